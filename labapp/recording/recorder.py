"""How does one training step become one row a layer?

    with Recorder(model, optimizer, when=every(10)) as recorder:
        for x, y in loader:
            with recorder.step():
                optimizer.zero_grad()
                loss_function(model(x), y).backward()
                optimizer.step()
    recorder.table()

Hooks exist only inside a recorded step, so an idle step costs two function calls. Nothing is stored on a module, no
tensor outlives its step, nothing in the hook path reads a value back to Python, and the weights come out bit for bit as
without.
"""

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

import pandas as pd
from torch import nn
from torch.optim import Optimizer

from labapp.config import LabError
from labapp.recording.board import Sums
from labapp.recording.hooks import Hooks
from labapp.recording.joined import join
from labapp.recording.listener import Listener
from labapp.recording.places import Layers, choose, find_spots
from labapp.recording.report import Report, look
from labapp.recording.schedule import Schedule, every
from labapp.recording.tables import Lifetimes, histogram_table, layer_table, totals_table
from labapp.recording.weights import Weights

FLUSH_STEPS = 20
FLUSH_SECONDS = 2.0


class RecorderWarning(UserWarning):
    """Something is missing from the record; training itself was not touched."""


class Sink(Protocol):
    """Where rows go: `labapp.store.RunWriter`, or anything with these two methods."""

    def describe(self, layers: list[dict[str, Any]], recorder: dict[str, Any]) -> None:
        """Takes what is known about the places, and how the recorder does."""

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Appends rows to a table."""


class Recorder:
    """Records gradients, activations and updates of any net while it trains.

    Args:
        model: the net, bare or in DistributedDataParallel.
        optimizer: its optimizer; needed to know whether it stepped and what clipping did before.
        when: which optimizer steps to record: `every(n)`, `log_spaced(points, total)` or any ``f(step) -> bool``.
        sink: where rows go (a `RunWriter`); None keeps them in memory for `table()`.
        layers: which places to record, see `labapp.recording.places.choose`.
        scaler: the GradScaler in use, if any: recorded gradients are divided by the scale in force.
        histograms: at which of the recorded steps to take histograms of magnitudes too.
        gradient_noise: compare the gradients of the micro-batches of a step (needs gradient accumulation).
        budget: the share of training time recording may take; a scheduled step is left out while it has taken more.
        first_step: the number of the first optimizer step, for a resumed run.

    Raises:
        LabError: for a model that cannot be recorded; the model is left as it was.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        *,
        when: Schedule | None = None,
        sink: Sink | None = None,
        layers: Layers = None,
        scaler: Any = None,
        histograms: Schedule | None = None,
        gradient_noise: bool = False,
        budget: float | None = None,
        first_step: int = 0,
    ) -> None:
        self.model, self.compiled = unwrap(model)
        self._joined = isinstance(model, nn.parallel.DistributedDataParallel)
        if not any(p.is_floating_point() for p in self.model.parameters()):
            raise LabError("this model has no parameters, so there is nothing that trains and nothing to record")
        if optimizer is not None:
            own = {id(p) for p in self.model.parameters()}
            if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
                raise LabError("the optimizer holds no parameter of this model; give the optimizer that trains it")
        if budget is not None and not 0 < budget <= 1:
            raise LabError(
                f"budget={budget!r}: give the share of training time recording may take, above 0 and up to 1"
            )
        if budget is not None and self._joined:
            raise LabError("a budget goes by one process's clock, and all have to record the same steps; give when=")
        self.optimizer, self.when, self.sink = optimizer, when or every(10), sink
        self.histograms, self.budget = histograms, budget
        spots = find_spots(self.model)
        chosen = choose(spots, layers)
        self.weights = Weights(self.model, spots, scaler, gradient_noise)
        self.listener = Listener(self.model, spots, chosen, layers is None, self.weights.of)
        self.notes: list[str] = []
        self._next = first_step
        self._entered = self._inside = self._closed = False
        self._waiting: list[Sums] = []
        self._kept: dict[str, list[pd.DataFrame]] = {}
        self._lifetimes = Lifetimes()
        self._sink_error: Exception | None = None
        self._flushed = time.perf_counter()
        self._own = self._setup = self._spent = 0.0
        self._recorded = self._left_out = 0

    def __enter__(self) -> Self:
        if self._entered:
            raise LabError("this recorder has been entered already; make a new one for a second `with` block")
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """One optimizer step: forward and backward passes of all its micro-batches, and ``optimizer.step()``.

        Raises:
            LabError: outside the recorder's `with` block, or inside another step.
        """
        if not self._entered or self._closed:
            raise LabError("recorder.step() was called outside `with Recorder(…) as recorder:`; put it inside")
        if self._inside:
            raise LabError("recorder.step() was called inside another step; one `with recorder.step():` holds one step")
        number, self._next = self._next, self._next + 1
        self._inside = True
        started = time.perf_counter()
        try:
            if self._due(number):
                with self._recording(number):
                    yield
            else:
                yield
        finally:
            self._inside = False
            self._spent += time.perf_counter() - started
        if self._waiting and (len(self._waiting) >= FLUSH_STEPS or self._late()):
            self.flush()

    def table(self, name: str = "layers") -> pd.DataFrame:
        """The rows kept in memory: ``layers`` (one a step and layer), ``totals``, ``lifetimes`` or ``histograms``.

        Raises:
            LabError: if the rows went to a sink.
        """
        self.flush()
        if self.sink is not None and self._sink_error is None:
            raise LabError("the rows went to the sink; read them there, with labapp.store.Run(path).layers()")
        parts = self._kept.get(name)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The places that are recorded, in order of depth; known after the first recorded step."""
        listed = (self.listener.rows[index] for index in self.listener.shown)
        return [{"index": at, **row.about()} for at, row in enumerate(listed)]

    @property
    def cost(self) -> dict[str, Any]:
        """What recording took so far.

        seconds: in hooks and around steps; setup_seconds: the first recorded step, which finds the net's structure out;
        step_seconds: in all steps, training included; share: seconds over what training alone took.
        """
        work = self._spent - self._own - self._setup
        return {
            "recorded_steps": self._recorded,
            "left_out_for_budget": self._left_out,
            "seconds": round(self._own, 6),
            "setup_seconds": round(self._setup, 6),
            "step_seconds": round(self._spent, 6),
            "share": round(self._own / work, 6) if work > 0 else None,
            "kernels": self.listener.board.implementation,
            "skipped_outputs": self.listener.skipped_outputs,
            "notes": list(self.notes),
        }

    def report(self) -> Report:
        """What is recorded, what is not and why; complete after the first recorded step."""
        return look(self.model, self.listener, self.weights, self.compiled)

    def close(self) -> None:
        """Writes what is left and says what went wrong, once. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        if self._sink_error is not None:
            self._warn(
                f"the recorder's sink failed ({self._sink_error}); training went on, "
                "and the rows it did not take are in recorder.table()"
            )
        for fault, times in self.listener.faults.items():
            self._warn(f"a hook of the recorder failed {times} times ({fault}); what it should have taken is missing")

    def flush(self) -> None:
        """Brings what was recorded to the host and hands it to the sink, or keeps it."""
        waiting, self._waiting = self._waiting, []
        started = self._flushed = time.perf_counter()
        if not waiting:
            return
        for sums in waiting:
            sums.land()
        if self._joined and not join(waiting):
            return  # the first process writes for all
        rows, shown = self.listener.rows, self.listener.shown
        for name, columns in {
            "layers": layer_table(waiting, rows, shown),
            "totals": totals_table(waiting),
            "lifetimes": self._lifetimes.table(waiting, rows, shown),
            "histograms": histogram_table(waiting, rows, shown),
        }.items():
            if columns and len(columns["step"]):
                self._hand_over(name, columns)
        spent = time.perf_counter() - started
        self._own += spent
        self._spent += spent
        if self.sink is not None and self._sink_error is None:
            try:
                self.sink.describe(self.layers, self.cost)
            except Exception as error:
                self._sink_error = error

    def _hand_over(self, name: str, columns: dict[str, Any]) -> None:
        if self.sink is not None and self._sink_error is None:
            try:
                self.sink.write(name, columns)
                return
            except Exception as error:  # the sink's fault must not end the user's training
                self._sink_error = error
        self._kept.setdefault(name, []).append(pd.DataFrame(columns))

    def _due(self, step: int) -> bool:
        if not self.when(step):
            return False
        work = self._spent - self._own - self._setup
        if self.budget is not None and self._recorded > 1 and self._own > self.budget * work:
            self._left_out += 1
            return False
        return True

    def _late(self) -> bool:
        # Under DDP every process has to flush at the same step, so only the count decides.
        return not self._joined and time.perf_counter() - self._flushed > FLUSH_SECONDS

    @contextlib.contextmanager
    def _recording(self, step: int) -> Iterator[None]:
        """Listens to one step. A step that raises leaves no hook and no row behind."""
        clock = time.perf_counter
        first = self._recorded == 0
        started, before = clock(), self.listener.seconds
        with Hooks() as hooks:
            self.weights.begin()
            if self.optimizer is not None:
                hooks.stepping(self.optimizer, lambda *_: self.weights.before_step())
            if not self.compiled:
                counting = self.histograms is not None and self.histograms(step)
                self.listener.begin(hooks, counting, self.weights.gradients_complete)
            own = clock() - started
            yield
            started = clock()
        if not (self.listener.fired or self.weights.backwards or self.weights.stepped):
            return  # a step in which nothing happened, such as one whose batch was left out
        if not self.compiled:
            self.listener.end()
        elif first:
            self.listener.without_outputs()
        sums = self.listener.board.take(step, len(self.listener.rows))
        sums.links, sums.shared = self.listener.links, dict(self.listener.shared)
        if first:
            self.listener.share(sums)
        self.weights.end(sums)
        sums.skipped = self.optimizer is not None and not self.weights.stepped
        self._waiting.append(sums)
        self._recorded += 1
        if first:
            self._look_for_silence()
        own += clock() - started + self.listener.seconds - before
        if first:
            self._setup = own
        else:
            self._own += own

    def _look_for_silence(self) -> None:
        """Says, once, what gave nothing in the first recorded step."""
        if self.compiled:
            self._note(
                "the model is compiled, so hooks do not fire and only weights, their gradients and updates are "
                "recorded; record before torch.compile to see outputs"
            )
            return
        fired = {row.path for row in self.listener.rows if row.shape}
        silent = [spot.path for spot in self.listener.spots if spot.path in self.listener.chosen - fired]
        if silent:
            named = ", ".join(silent[:8]) + (f" and {len(silent) - 8} more" if len(silent) > 8 else "")
            self._note(
                f"{len(silent)} layers gave no output in the first recorded step (never called, or used without "
                f"calling the module), so at most their weights are recorded: {named}"
            )
        if self.optimizer is not None and not self.weights.stepped and self.weights.scaler is None:
            self._note("optimizer.step() was not called inside recorder.step(), so update ratios are zero")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._warn(text)

    @staticmethod
    def _warn(text: str) -> None:
        warnings.warn(text, RecorderWarning, stacklevel=2)


def unwrap(model: nn.Module) -> tuple[nn.Module, bool]:
    """The user's own module inside DistributedDataParallel and torch.compile, and whether it is compiled.

    Raises:
        LabError: for anything that is no module, and for DataParallel, whose replicas hooks do not see.
    """
    if isinstance(model, nn.DataParallel):
        raise LabError("DataParallel makes replicas each step, which hooks cannot follow; use DistributedDataParallel")
    if not isinstance(model, nn.Module):
        raise LabError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    compiled = False
    while hasattr(model, "_orig_mod") or isinstance(model, nn.parallel.DistributedDataParallel):
        compiled = compiled or hasattr(model, "_orig_mod")
        inner: Any = model._orig_mod if hasattr(model, "_orig_mod") else model.module
        model = inner
    return model, compiled or any(getattr(m, "_compiled_call_impl", None) is not None for m in model.modules())
