"""How does a run of somebody's own loop get into an archive?

    from labapp.callbacks import record_run

    with record_run(model, optimizer, runs="runs") as run:
        for images, labels in loader:
            loss = loss_function(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(loss=loss)
    run.path

Layers are recorded as `watch` does it: a step is one of the optimizer. What fails of the lab is said once and costs
the record alone. The block ends the run: as finished, as failed where an exception passes, as stopped on Ctrl-C.
"""

import atexit
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from torch import nn
from torch.optim import Optimizer

from labapp.callbacks.harmless import Harmless
from labapp.callbacks.rows import StepRows, kept
from labapp.callbacks.told import ending, experiment_of, torch_optimizer
from labapp.config import LabError, place
from labapp.recording import Watch, watch
from labapp.recording.schedule import Schedule
from labapp.store import RunWriter


class RecordedRun:
    """One run of a loop that is not the lab's. Nothing of it ever raises: what goes wrong is a warning, said once.

    Args:
        runs: The archive.
        run_id: The run's name; made of the net's and the time when left out. A training that goes on at a later step
            goes on in the run of that name, where it is there.
        when: Which optimizer steps to record; every tenth when left out.
        about: What is known of the training besides, as fields of `Experiment`: seed, batch_size, imageset, …
        loop: Whose loop it is.
        announced: Whether the loop tells of its end, so that one that does not has broken off.
        within: Whether what is logged now is of the optimizer step that runs; else it is of the one that ended last.
        **options: As for `Recorder`: layers, histograms, spreads, budget.

    Attributes:
        path: The run's folder; None before it begins, where it cannot be recorded, and in all processes but the first.
    """

    def __init__(
        self,
        runs: str | Path = "runs",
        *,
        run_id: str | None = None,
        when: Schedule | None = None,
        about: Mapping[str, Any] | None = None,
        loop: str = "PyTorch",
        announced: bool = False,
        within: Callable[[], bool] | None = None,
        **options: Any,
    ) -> None:
        self.path: Path | None = None
        self.harmless = Harmless()
        self._runs, self._run_id, self._when, self._about = runs, run_id, when, dict(about or {})
        self._loop, self._announced, self._within, self._options = loop, announced, within, options
        self._watching: Watch | None = None
        self._writer: RunWriter | None = None
        self._rows = StepRows(lambda columns: self._write("steps", columns))

    def begin(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        scaler: Any = None,
        part: str = "",
        first_step: int = 0,
        steps: int | None = None,
    ) -> Self:
        """Begin to record.

        Args:
            model: The net, bare or in DistributedDataParallel.
            optimizer: The one whose steps count; a wrapper's own is found.
            scaler: The GradScaler in use, if any.
            part: The path of the submodule to record, if not the whole.
            first_step: Steps done before, of a training that goes on.
            steps: Steps in all, where they are known.
        """
        with self.harmless:
            if self._watching is not None:
                raise LabError("this run is being recorded already; make one for each training")
            optimizer = torch_optimizer(optimizer)
            options: dict[str, Any] = {"runs": None, "when": self._when, "first_step": first_step, **self._options}
            watching = watch(model, optimizer, scaler=scaler, part=part, **options)
            self._since, self._steps = time.monotonic(), steps
            try:
                if watching.writes:
                    self._writer = self._new_writer(watching.recorder.model, optimizer, first_step)
                    watching.send_to(self._writer)
                    self.path = self._writer.path
            except Exception:
                if not watching.together:
                    watching.close()
                    raise
                watching.recorder.send_to(Nowhere())  # the others wait for what this process has recorded
                self._watching = watching
                raise
            self._watching = watching
            atexit.register(self._abandoned)
        return self

    @property
    def steps_done(self) -> int:
        """How many steps of the optimizer have ended, those before the recording among them; 0 without a record."""
        return self._watching.steps_done if self._watching is not None else 0

    @property
    def is_open(self) -> bool:
        """Whether something is recorded now."""
        return self._watching is not None

    def log(self, *, step: int | None = None, loss: Any = None, accuracy: Any = None, **numbers: Any) -> None:
        """Write down numbers of a step; several of one step, those of its micro-batches, become their mean.

        Args:
            step: Which, from 0; when left out the one that ended last, so call it after ``optimizer.step()``.
            loss: Of the batch, a number or a tensor, which is not waited for.
            accuracy: Of the batch, a fraction.
            **numbers: Others, each a column of the table `steps`.
        """
        with self.harmless:
            if self._watching is None or self._writer is None:
                return
            done = self._watching.steps_done
            if step is None:
                step = done if self._within is not None and self._within() else max(done - 1, 0)
            self._rows.add(step, {"loss": loss, "accuracy": accuracy, **numbers})
            if step < done:
                seconds = self._before + time.monotonic() - self._since
                self._rows.add(step, {"learning_rate": self._watching.rate, "seconds": seconds})
            if self._rows.due:
                self._rows.hand_on(before=step)
                if self._steps is None:
                    self._writer.update(progress={"step": done, "steps": done})

    def evaluated(
        self, *, loss: Any = None, accuracy: Any = None, split: str = "test", step: int | None = None
    ) -> None:
        """Write down loss and accuracy on images that were held out, which pages know as the split `test`.

        Args:
            loss: Their mean loss.
            accuracy: The share classified correctly.
            split: Or "train", for all training images.
            step: Steps done; those until now when left out.
        """
        with self.harmless:
            if self._watching is not None and self._writer is not None:
                numbers = {name: [kept(n)] for name, n in (("loss", loss), ("accuracy", accuracy)) if n is not None}
                at = self._watching.steps_done if step is None else step
                self._write("evals", {"step": [at], "split": [split], **numbers})

    def end(self, status: str = "finished", message: str = "") -> None:
        """End the run; nothing where it has ended, or was never begun."""
        watching, self._watching = self._watching, None
        if watching is None:
            return
        with self.harmless:
            atexit.unregister(self._abandoned)
            self._rows.hand_on(before=watching.steps_done)  # of a step that did not end there is none
        with self.harmless:
            watching.close(status, message)
        self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.end(*ending(error))

    def _new_writer(self, net: nn.Module, optimizer: Any, first_step: int) -> RunWriter:
        steps = {} if self._steps is None else {"steps": self._steps}
        notes: dict[str, Any] = {"loop": self._loop, "optimizer": type(optimizer).__name__}
        self._before = 0.0
        if self._run_id is not None and first_step and (path := place(self._runs) / self._run_id).is_dir():
            writer = RunWriter(path, from_step=first_step, environment=notes)
            self._before = writer.run.seconds
            writer.update(progress=steps)
            return writer
        about, told = experiment_of(net, optimizer, steps | self._about)
        return RunWriter.create(self._runs, about, run_id=self._run_id, environment=notes | {"told": told})

    def _write(self, table: str, columns: Mapping[str, Any]) -> None:
        shares = columns.get("accuracy", ())
        if any(share > 1 for share in shares):
            self.harmless.say(
                f"accuracy {max(shares):g} is left out: it is a fraction between 0 and 1 here, and no percentage"
            )
            columns = {**columns, "accuracy": [share if share <= 1 else float("nan") for share in shares]}
        if self._writer is not None:
            self._writer.write(table, columns)

    def _abandoned(self) -> None:
        """The process ends, and nobody has ended the run."""
        error = getattr(sys, "last_value", None)
        if error is None and self._announced:
            self.end("failed", "the training broke off without a word of its end")
        else:
            self.end(*ending(error))


class Nowhere:
    """A sink for rows that can be written nowhere."""

    def describe(self, layers: list[dict[str, Any]], recorder: dict[str, Any]) -> None:
        """Forgets."""

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Forgets."""


def record_run(
    model: nn.Module,
    optimizer: Optimizer,
    runs: str | Path = "runs",
    *,
    scaler: Any = None,
    part: str = "",
    first_step: int = 0,
    steps: int | None = None,
    **options: Any,
) -> RecordedRun:
    """Record a training into an archive: a block around its loop.

    Args:
        model: The net, bare or in DistributedDataParallel.
        optimizer: The one whose steps are the steps of the record.
        runs: The archive, made if it is not there.
        scaler: The GradScaler in use, if any.
        part: The path of the submodule to record, if not the whole.
        first_step: Steps done before, of a training that goes on.
        steps: Steps in all, where they are known.
        **options: As for `RecordedRun`: run_id, when, about, and what `Recorder` takes.
    """
    run = RecordedRun(runs, **options)
    return run.begin(model, optimizer, scaler=scaler, part=part, first_step=first_step, steps=steps)
