"""How does one training step become one row a layer?

    with Recorder(model, optimizer, when=every(10)) as recorder:
        for x, y in loader:
            with recorder.step():
                optimizer.zero_grad()
                loss_function(model(x), y).backward()
                optimizer.step()
    recorder.table()

Hooks exist only inside a recorded step, so an idle step costs two function calls. Nothing is stored on a module, no
tensor outlives its step, and the weights come out bit for bit as without. Whatever fails in here is counted and said at
the end: it costs the record of that step, never the training.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

import pandas as pd
from torch import nn
from torch.optim import Optimizer

from labapp.config import LabError
from labapp.recording.checks import check_model, check_optimizer, check_options, unwrap
from labapp.recording.cost import cost_of
from labapp.recording.device_time import Times
from labapp.recording.guard import Guard
from labapp.recording.joined import exchange_of
from labapp.recording.outlet import Outlet, Sink
from labapp.recording.places import LayerSelection
from labapp.recording.report import Report, look
from labapp.recording.schedule import Schedule, every
from labapp.recording.schema import Due
from labapp.recording.state import restore, state_of
from labapp.recording.step import Passed, Step

FLUSH_STEPS = 20
FLUSH_SECONDS = 2.0


class Recorder:
    """Records gradients, activations and updates of any net while it trains.

    Args:
        model: the net, bare or in DistributedDataParallel.
        optimizer: its optimizer; needed to know whether a step was left out (loss scaling), and to refuse a wrong one.
        when: which optimizer steps to record: `every(n)`, `log_spaced(points, total)` or any ``f(step) -> bool``.
        sink: where rows go (a `RunWriter`); None keeps them in memory for `table()`.
        layers: which places to record, see `labapp.recording.places.choose`.
        scaler: the GradScaler in use, if any: recorded gradients are divided by the scale in force.
        histograms: at which of the recorded steps to take histograms of magnitudes too.
        spreads: at which of the recorded steps to take minimum, maximum and quartiles too.
        gradient_noise: compare the gradients of the micro-batches of a step (needs gradient accumulation).
        budget: the share of training time recording may take; a scheduled step is left out while it has taken more.
        first_step: the number of the first optimizer step; that of a resumed run stands in `load_state_dict`.
        part: the path of the submodule to record where that is not the whole, which may be what is distributed.

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
        layers: LayerSelection = None,
        scaler: Any = None,
        histograms: Schedule | None = None,
        spreads: Schedule | None = None,
        gradient_noise: bool = False,
        budget: float | None = None,
        first_step: int = 0,
        part: str = "",
    ) -> None:
        self.model, self.compiled = unwrap(model, part)
        exchange = exchange_of(model)
        self._joined = exchange is not None  # with other processes, which record the same steps
        check_model(self.model)
        check_optimizer(self.model, optimizer)
        check_options(budget, gradient_noise, self._joined)
        self.when, self.budget, self._guard = when or every(10), budget, Guard()
        self._step = Step(self.model, self.compiled, optimizer, layers, scaler, gradient_noise, self._guard.note)
        self._step.histograms, self._step.spreads = histograms, spreads
        self._outlet, self._times = Outlet(sink, exchange), Times(self.model)
        self._next = self.first_step = first_step
        self._entered = self._inside = self._closed = self._due = False
        self._scheduled: list[Due] = []  # steps since the last flush; the same in all processes
        self._flushed = time.perf_counter()
        self._own = self._setup = self._spent = 0.0
        self._recorded = self._left_out = self._steps = 0

    @property
    def notes(self) -> list[str]:
        """Sentences about what is missing, each said once."""
        return self._guard.notes

    @property
    def sink(self) -> Sink | None:
        """Where rows go."""
        return self._outlet.sink

    def __enter__(self) -> Self:
        if self._entered:
            raise LabError("this recorder has been entered already; make a new one for a second `with` block")
        self._entered = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Other processes may not come to an exchange while an exception is on its way in this one.
        self.close(alone=kind is not None)

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
        self.begin_step()
        try:
            yield
        except BaseException:
            self.end_step(failed=True)
            raise
        self.end_step()

    def begin_step(self, driven: bool = False) -> None:
        """Starts to listen, if this step is to be recorded. `step` does it, or `watch`, which then is the driver."""
        if self._joined and len(self._scheduled) >= FLUSH_STEPS:  # put off while an exception was on its way
            self.flush()
        self._guard.step = self._next
        self._next += 1
        self._inside, self._due = True, False
        self._started = time.perf_counter()
        with self._guard():
            due = self._is_due(self._guard.step)
            self._times.begins(due)
            if due:
                self._step.begin(self._guard.step, driven)
                self._due = True

    def end_step(self, failed: bool = False) -> None:
        """Stops listening and keeps the step's numbers; of one that `failed` only what was not finite."""
        self._inside = False
        due, self._due = self._due, False
        try:
            if due:
                with self._guard():
                    if self._step.end(failed):
                        self._recorded += not failed
                        self._outlet.waiting.append(self._step.sums)
        finally:
            if due:
                for last in (self._step.release, self._account):
                    with self._guard():
                        last()
            self._spent += time.perf_counter() - self._started
            self._steps += not failed
            with self._guard():
                self._times.ends(not (failed or (due and (self._step.first or self._step.faults))))
        with self._guard():
            if (not failed and len(self._scheduled) >= FLUSH_STEPS) or self._late():
                self.flush()

    def listen(self) -> bool:
        """Records the step that runs from here on, whose turn had not come: its passes run anew. False if it had."""
        if self._due or self._joined:  # other processes would not know
            return False
        with self._guard():
            self._step.begin(self._guard.step, driven=False)
            self._due = True
            self._scheduled.append(Due(self._guard.step))
        return self._due

    def before_optimizer(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Passed | None:
        """An optimizer, any one, is about to step."""
        return self._step.before_optimizer(optimizer, args, kwargs) if self._due else None

    def after_optimizer(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """An optimizer, any one, has stepped."""
        if self._due:
            self._step.after_optimizer(optimizer, args, kwargs)

    def forward_began(self) -> None:
        """The forward of the net had begun when this step did."""
        with self._guard():
            if self._due and not self.compiled:
                self._step.listener.forward_begins()

    def send_to(self, sink: Sink) -> None:
        """Has the rows go to a sink."""
        self._outlet.sink = sink

    @property
    def steps_done(self) -> int:
        """How many steps have ended."""
        return self._next - self._inside

    def table(self, name: str = "layers") -> pd.DataFrame:
        """The rows kept in memory: of any table of `tables`, or of ``divergence``; under DDP those flushed so far.

        Raises:
            LabError: if the rows went to a sink.
        """
        if not self._joined:  # the others need not ask at the same time
            self.flush()
        return self._outlet.table(name)

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The places that are recorded, in order of depth; known after the first recorded step."""
        return [{"index": at, **row.about()} for at, row in enumerate(self._step.shown_rows())]

    @property
    def cost(self) -> dict[str, Any]:
        """What recording took so far, and what is missing; see `labapp.recording.cost`."""
        return cost_of(self)

    def state_dict(self) -> dict[str, Any]:
        """What another recorder of this net needs to go on from here, between two steps; what waits is handed on first.

        Under DDP every process calls it at the same step, and has a state of its own. `torch.load` reads it with
        weights_only=True.
        """
        self.flush()
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the recorder of a `state_dict` was: the next step has its number, and rows are as of one.

        Raises:
            LabError: after the first step, or where the state is of another net.
        """
        restore(self, state)

    def report(self) -> Report:
        """What is recorded, what is not and why; complete after the first recorded step."""
        return look(self._step)

    def close(self, alone: bool = False) -> None:
        """Writes what is left and says what went wrong, once. May be called twice.

        Args:
            alone: whether the other processes of a distributed run may not get here; then this one writes its own part.
        """
        if self._closed:
            return
        self._closed = True
        if self._due:
            self.end_step(failed=True)
        self.flush(alone)
        with self._guard():
            for sentence in self._outlet.complaints():
                self._guard.warn(sentence)
        self._guard.close(quiet=alone)

    def flush(self, alone: bool = False) -> None:
        """Brings what was recorded to the host and hands it to the sink, or keeps it."""
        if not self._scheduled:
            return  # nothing since the last one, in no process: no exchange then either
        due, self._scheduled = self._scheduled, []
        started, busy = time.perf_counter(), time.thread_time()
        self._flushed = started
        with self._guard([sums.step for sums in self._outlet.waiting]):
            if self._outlet.flush(self._step, due, alone, self._guard):
                self._outlet.describe(self.layers, self.cost)
        spent = time.perf_counter() - started
        self._own += spent
        self._spent += spent
        with self._guard([]):
            self._times.flushed(spent, time.thread_time() - busy)

    def _is_due(self, step: int) -> bool:
        if not self.when(step):
            return False
        work, done = self._spent - self._own - self._setup, (self._recorded, self._steps)
        if self.budget is not None and self._recorded > 1 and self._times.is_over(self.budget, self._own, work, *done):
            self._left_out += 1
            return False
        self._scheduled.append(self._step.due(step) if self._joined else Due(step))
        return True

    def _late(self) -> bool:
        waits = bool(self._outlet.waiting) and not self._joined  # all of several flush at the same step
        return waits and time.perf_counter() - self._flushed > FLUSH_SECONDS

    def _account(self) -> None:
        """Adds up the step's cost, and its faults, for which it has no record."""
        seconds, first = self._step.seconds, self._step.first
        self._setup, self._own = (seconds, self._own) if first else (self._setup, self._own + seconds)
        self._guard.add(self._step.faults)
