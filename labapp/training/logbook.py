r"""What is written down of a training besides its layers, and who is told?

A `Logbook` stands between the loop and the archive: it turns each step and evaluation into a row, notices when the
loss is no longer finite, and lets the recorder's rows pass through on their way, for the ratio that it shows.

Everywhere:
    Sampling: Every step of the training, of the images of its batch; with several processes their mean.
    Processes: Reduced: the mean over all processes, in every step.

loss, train_accuracy:
    Meaning: How well the net does on the batch that it is about to learn from, before the weights move.
    Formula: $-\log p_c$ of the true class c, in nats, its mean over the batch; and the share classified correctly.
    Source: Goodfellow, Bengio & Courville 2016, *Deep Learning*, §6.2.2.
    Batch norm: In training mode, with the statistics of the batch.
    Fails: Of one batch, so it is noisy: pages take means over stretches of steps. Augmentation is in it.

accuracy, test_loss:
    Meaning: How well the net does on held-out images.
    Formula: Share of the test images that are classified correctly, and their mean cross-entropy in nats.
    Source: Goodfellow, Bengio & Courville 2016, *Deep Learning*, §5.2.
    Batch norm: In evaluation mode, with running statistics.
    Sampling: All test images of the run, every so many steps and at the end.
    Fails: Of N images the error is uncertain by √(p(1−p)/N), 1 % for 2,000 images at 75 %; over seeds it varies more.
    Processes: Local: every process evaluates all images, and the first one writes.

learning_rate:
    Meaning: What the optimizer multiplies its direction by in this step.
    Formula: The schedule's value, after the warm-up.
    Source: He et al. 2015 (arXiv 1512.03385), §4.2, for a schedule with a warm-up.
    Batch norm: Not concerned.
    Fails: Of the first group of parameters, where an optimizer has several.
    Processes: Local: the same in every process.

seconds, images_per_second:
    Meaning: How long the training took until now, and how fast this step was.
    Formula: Images of the batch over the time of the step, recording included.
    Source: The machine's monotonic clock.
    Batch norm: Not concerned.
    Fails: Goes with what else the machine does; what recording adds is told by its own measure.
    Processes: Local: by the clock of the first process; images are those of all.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from labapp.config import Experiment
from labapp.store import RunWriter


class Moment(NamedTuple):
    """Where a training stands, for whoever watches it."""

    step: int  # steps done
    steps: int
    loss: float
    accuracy: float  # of the last training batch
    test_accuracy: float  # the last measured
    ratio: float  # see `first_over_last`, when last recorded
    final: bool = False


Progress = Callable[[Moment], None]


class Logbook:
    """Rows of one training, for its archive and for whoever watches it. A sink for the recorder.

    Args:
        experiment: What is trained.
        writer: Where rows go; None in all processes but the first.
        progress: Called after every step, and at the end.
    """

    def __init__(self, experiment: Experiment, writer: RunWriter | None, progress: Progress | None) -> None:
        self.experiment = experiment
        self.writer = writer
        self.progress = progress if writer else None
        self.diverged_at: int | None = None
        from labapp.training.diverged import Origins  # with torch, which those who read a `Moment` do without

        self._origins = Origins()
        self._test_accuracy = self._ratio = math.nan
        self._began = time.perf_counter()
        self._moment = Moment(0, experiment.steps, math.nan, math.nan, math.nan, math.nan)

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite."""
        return self.diverged_at is not None

    def over(self, step: int) -> bool:
        """Whether a training that has done so many steps does no more: the last is the one after a diverged loss."""
        return self.diverged_at is not None and step > self.diverged_at + 1

    def state_dict(self) -> dict[str, Any]:
        """What it takes to go on writing from here."""
        return {
            "moment": tuple(self._moment),
            "test_accuracy": self._test_accuracy,
            "ratio": self._ratio,
            "diverged_at": self.diverged_at,
            "origins": self._origins.state_dict(),
            "seconds": time.perf_counter() - self._began,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._moment = Moment(*state["moment"])
        self._test_accuracy, self._ratio = state["test_accuracy"], state["ratio"]
        self.diverged_at = state["diverged_at"]
        self._origins.load_state_dict(state["origins"])
        self._began = time.perf_counter() - state["seconds"]

    def step(self, step: int, numbers: tuple[float, float, float], rate: float, seconds: float) -> None:
        """Write down one optimizer step; the numbers are loss, accuracy and gradient norm before the weights moved."""
        loss, accuracy, grad_norm = numbers
        if self.diverged_at is None and not math.isfinite(loss):
            self.diverged_at = step
            self._write("divergence", self._origins.lost(step, loss))
        if self.writer is not None:
            row = {
                "step": step,
                "loss": loss,
                "accuracy": accuracy,
                "learning_rate": rate,
                "grad_norm": grad_norm,
                "seconds": time.perf_counter() - self._began,
                "images_per_second": self.experiment.batch_size / seconds,
            }
            self.writer.write("steps", {name: [value] for name, value in row.items()})
        self._moment = Moment(step + 1, self.experiment.steps, loss, accuracy, self._test_accuracy, self._ratio)
        if self.progress is not None:
            self.progress(self._moment)

    def evaluation(self, step: int, split: str, loss: float, accuracy: float) -> None:
        """Write down loss and accuracy over a whole split after `step` steps."""
        if split == "test":
            self._test_accuracy = accuracy
        if self.writer is not None:
            self.writer.write("evals", {"step": [step], "split": [split], "loss": [loss], "accuracy": [accuracy]})

    def end(self) -> None:
        """Tell whoever watches that the training has ended."""
        if self.progress is not None:
            last = self._moment._replace(test_accuracy=self._test_accuracy, ratio=self._ratio, final=True)
            self.progress(last)

    def describe(self, layers: list[dict[str, Any]], recorder: dict[str, Any]) -> None:
        """Pass what the recorder reports about itself on to the archive."""
        if self.writer is not None:
            self.writer.describe(layers, recorder)

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Pass the recorder's rows on to the archive, and note their gradient ratio and where the training diverged."""
        self._write(table, self._origins.placed(columns) if table == "divergence" else columns)
        if table == "layers":
            self._ratio = first_over_last(columns)
            self._origins.seen(columns)

    def _write(self, table: str, columns: Mapping[str, Any]) -> None:
        if self.writer is not None:
            self.writer.write(table, columns)

    @property
    def divergence(self) -> str:
        """Where values that are not finite began and what was seen before, in a sentence; "" of a healthy training."""
        return self._origins.sentence()


def first_over_last(rows: Any, step: int | None = None) -> float:
    """Gradient norm at the first convolution's output over the last one's; NaN without a record.

    Above 1 the gradient grows on its way back to the input, below 1 it vanishes.

    Args:
        rows: Columns of a `layers` table, as a dictionary or a frame: step, kind, depth, output_grad_norm.
        step: The recorded step; the last one when left out.
    """
    steps = np.asarray(rows["step"])
    if not len(steps):
        return math.nan
    here = (steps == (steps.max() if step is None else step)) & (np.asarray(rows["kind"]) == "conv")
    if not here.any():
        return math.nan
    depth, norm = np.asarray(rows["depth"])[here], np.asarray(rows["output_grad_norm"], dtype=float)[here]
    with np.errstate(divide="ignore", invalid="ignore"):  # a gradient of zero gives Inf or NaN, which is the answer
        return float(norm[depth.argmin()] / norm[depth.argmax()])
