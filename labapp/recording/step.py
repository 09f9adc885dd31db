"""What happens in one recorded step: hooks come, numbers are taken, hooks go, whatever the training does meanwhile?"""

import time
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from labapp.recording.change import Change, Own
from labapp.recording.checks import fingerprint, identities
from labapp.recording.hooks import Hooks, in_backward
from labapp.recording.kernels import Launches
from labapp.recording.listener import Listener
from labapp.recording.places import WHOLE, LayerSelection, choose, find_spots
from labapp.recording.row import Row
from labapp.recording.schedule import Schedule
from labapp.recording.schema import Due
from labapp.recording.sums import Sums, joined
from labapp.recording.weights import Weights

Passed = tuple[tuple[Any, ...], dict[str, Any]]  # what an optimizer is called with


class Step:
    """The parts of a recorder that touch the net.

    Attributes:
        sums: of the step that ended last.
        seconds: that it took of the recorder's own.
        first: whether it was the one that found out what the net looks like.
        faults: what failed in it; such a step has no record.
        raised: steps in which training did.
    """

    def __init__(
        self,
        model: nn.Module,
        compiled: bool,
        optimizer: Optimizer | None,
        layers: LayerSelection,
        scaler: Any,
        noise: bool,
        say: Callable[[str], None],
    ) -> None:
        self.model, self.compiled, self.optimizer, self.layers, self.say = model, compiled, optimizer, layers, say
        self.histograms: Schedule | None = None
        self.spreads: Schedule | None = None
        self.spots = find_spots(model)
        self.chosen = choose(self.spots, layers)
        self.launches = Launches()
        self.launches.prepare([*model.parameters(), *model.buffers()])
        self.weights = Weights(model, self.spots, scaler, noise, self.launches)
        self.listener = Listener(self.weights, say)
        self.listener.refresh(model, self.spots, self.chosen, layers is None)
        self._modules, self._identities = fingerprint(model, self.weights.sharded)
        self._hooks: Hooks | None = None
        self._studied = False
        self.seconds = 0.0
        self.first = False
        self.faults: dict[str, int] = {}
        self.raised: set[int] = set()
        self.sums: Sums

    def shown_rows(self) -> list[Row]:
        """The places that are recorded, in order of depth."""
        return [self.listener.rows[index] for index in self.listener.shown]

    def due(self, number: int) -> Due:
        """What is to be taken of a step besides its sums, by its number alone."""
        return Due(number, *(asked is not None and bool(asked(number)) for asked in (self.histograms, self.spreads)))

    def begin(self, number: int, driven: bool) -> None:
        """Attaches the hooks of a step; those on optimizers only where nobody else tells of their steps."""
        started = time.perf_counter()
        self._number, self.first = number, False
        self.seconds, self._heard = 0.0, self.listener.seconds
        self.listener.faults = {}
        self._evaluations = 0
        try:
            if identities(self._modules, self.weights.sharded) != self._identities:
                self._look_again()
            self._hooks = Hooks()
            self.weights.begin()
            self.weights.hold()
            if not driven:
                self._hooks.stepping(self.before_optimizer, self.after_optimizer)
            if not self.compiled:
                self.listener.begin(
                    self._hooks,
                    self.histograms is not None and bool(self.histograms(number)),
                    self.spreads is not None and bool(self.spreads(number)),
                )
        except BaseException:
            self.release()
            raise
        self.seconds += time.perf_counter() - started

    def end(self, failed: bool) -> bool:
        """Collects the numbers of the step, into `sums`; whether there are any.

        Of a step in which training raised there are none, unless values were not finite: why it raised, as it may be.
        """
        self.remove_hooks()
        started = time.perf_counter()
        try:
            self.faults = dict(self.listener.faults)
            if self._hooks is None or self.faults:
                return False
            if failed:
                self.raised.add(self._number)
                return self._was_ill()
            if not (self.listener.fired or self.weights.passes or self.weights.stepped):
                return False  # a step in which nothing happened, such as one whose batch was left out
            self.first = not self._studied
            boards = [] if self.compiled else self.listener.boards()
            if self.compiled:
                self.listener.shown = self.listener.study.without_outputs()
            else:
                self.listener.end()
            self.sums = joined(self._number, boards, len(self.listener.rows))
            whole = identities(self._modules, self.weights.sharded) == self._identities
            self.sums.change = self.weights.end(whole)
            if not whole:
                self._replaced_within(self.sums.change)
            self.sums.change.skipped = self.optimizer is not None and not self.weights.stepped
            if self._evaluations > 1:
                self.say(
                    "the optimizer evaluated its closure several times in a step; the record is of the first evaluation"
                )
            if self.first:
                self._studied = True
                self._look_for_silence()
            for row, reason in self.sums.void.items():
                self.say(f"output_grad_norm is missing where {reason} (first seen in {self.listener.rows[row].layer})")
            return True
        finally:
            self.seconds += time.perf_counter() - started + self.listener.seconds - self._heard

    def _was_ill(self) -> bool:
        boards = [] if self.compiled else self.listener.passes.boards
        # Of what is on devices that is known when it has landed.
        whole = [board for board in boards if board.complete is not False]
        ill = [board for board in whole if board.pending or any(board.ill.values())]
        if ill:
            self.sums = joined(self._number, ill, len(self.listener.rows))
            self.sums.failed = True
        return bool(ill)

    def remove_hooks(self) -> None:
        """Takes the step's hooks away."""
        if self._hooks is not None:
            self._hooks.remove()

    def release(self) -> None:
        """Lets go of everything that belongs to the step alone, however it ended."""
        try:
            self.remove_hooks()
        finally:
            self._hooks = None
            try:
                self.listener.release()
            finally:
                self.weights.release()

    # The optimizer -----------------------------------------------------------------------------------------------

    def before_optimizer(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Passed | None:
        """An optimizer is about to step; with a closure, it will be once that has run for the first time."""
        started = time.perf_counter()
        try:
            late = self.listener.passes.over and self.listener.passes.kind == "ignored"
            if late or not self.weights.of_optimizer(optimizer):
                return None
            for at, given in enumerate(args[1:], 1):  # the first is the optimizer
                if callable(given):
                    return (*args[:at], self._watched(given, optimizer), *args[at + 1 :]), kwargs
            if callable(closure := kwargs.get("closure")):
                return args, {**kwargs, "closure": self._watched(closure, optimizer)}
            self.weights.before_step(optimizer)
        except Exception as error:
            self.listener.fault(error)
        finally:
            self.seconds += time.perf_counter() - started
        return None

    def _watched(self, closure: Callable[[], Any], optimizer: Optimizer) -> Callable[[], Any]:
        def evaluated() -> Any:
            loss = closure()
            try:
                self._evaluations += 1
                if self._evaluations == 1:
                    self.weights.before_step(optimizer)
                    self.listener.passes.over = True
            except Exception as error:
                self.listener.fault(error)
            return loss

        return evaluated

    def after_optimizer(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """An optimizer has stepped: what follows belongs to another update, unless a backward pass still runs."""
        try:
            if self.weights.of_optimizer(optimizer):
                self.weights.stepped = True
                if not in_backward():
                    self.listener.passes.over = True
        except Exception as error:
            self.listener.fault(error)

    # The net -----------------------------------------------------------------------------------------------------

    def _look_again(self) -> None:
        """Modules or parameters were replaced: everything is looked up and studied anew; known rows stay."""
        self._modules, self._identities = fingerprint(self.model, self.weights.sharded)
        self.spots = find_spots(self.model)
        self.chosen = self._chosen_again()
        self.weights.refresh(self.model, self.spots)
        self.listener.refresh(self.model, self.spots, self.chosen, self.layers is None)
        self.say("parts of the model were replaced while it was recorded; it was studied anew")

    def _replaced_within(self, change: Change) -> None:
        """Modules or parameters were replaced within the step: what is known of their weights is of two nets."""
        modules = dict(self.model.named_modules())
        whole = modules.pop("")
        for spot in self.spots:
            if modules.get(spot.path, whole if spot.path == WHOLE else None) is not spot.module or (
                not self.weights.knows(spot.path, spot.module)
            ):
                change.of = {**change.of, spot.path: Own((), (), 0)}
        self.say("parts of the model were replaced within a step, so what is known of their weights is missing in it")

    def _chosen_again(self) -> set[str]:
        if self.layers is None or isinstance(self.layers, str) or callable(self.layers):
            return choose(self.spots, self.layers)
        known = {spot.path for spot in self.spots}
        kept = [name for name in self.layers if name in known or not name.replace(".", "").isalnum()]
        return choose(self.spots, kept) if kept else set()

    def _look_for_silence(self) -> None:
        """Says, once, what gave nothing in the first recorded step."""
        if self.compiled:
            self.say(
                "the model is compiled, so hooks do not fire and only weights, their gradients and updates are "
                "recorded; record before torch.compile to see outputs"
            )
        elif silent := [path for path in self.silent() if path not in self._undeclared()]:
            named = ", ".join(silent[:8]) + (f" and {len(silent) - 8} more" if len(silent) > 8 else "")
            self.say(
                f"{len(silent)} layers gave no output in the first recorded step (never called, or used without "
                f"calling the module), so at most their weights are recorded: {named}"
            )
        if closed := [] if self.compiled else sorted(self.listener.study.closed):
            self.say(
                f"compiled or scripted parts are left whole and recorded from outside, their inside by its weights: "
                f"{', '.join(closed[:8])}"
            )
        change = self.sums.change
        if self.optimizer is not None and not self.weights.stepped and self.weights.scaler is None and change:
            self.say("optimizer.step() was not called inside recorder.step(), so update ratios are zero")

    def _undeclared(self) -> set[str]:
        """Places that a net which declares its own does not count among them: it knows why it does not call them."""
        if all(spot.depth is None for spot in self.spots):
            return set()
        return {spot.path for spot in self.spots if spot.depth is None}

    def silent(self) -> list[str]:
        """Places that were asked for and gave no output; those inside attention are used by it without a call."""
        inside = tuple(f"{path}." for path in self.listener.study.closed)
        attention = tuple(f"{spot.path}." for spot in self.spots if spot.kind == "attention")
        heard = {row.path for row in self.listener.rows if row.heard}
        return [
            spot.path
            for spot in self.spots
            if spot.path in self.chosen - heard
            and not spot.path.startswith(inside + attention)
            and spot.path not in self.listener.study.closed
        ]
