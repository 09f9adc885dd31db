"""Before training: what would a recorder see of this net, and what would it cost? Answered on one real batch."""

import copy
import math
import statistics
import time
import warnings
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labapp.config import LabError, cards, first_line
from labapp.recording.guard import RecorderWarning
from labapp.recording.hooks import tensors_in
from labapp.recording.places import LayerSelection
from labapp.recording.recorder import Recorder
from labapp.recording.report import Finding, Report
from labapp.recording.schedule import every

TRIED = (32, 64, 96, 128, 224, 256, 299, 384)  # pixels a side, where the batch's own size does not pass


@dataclass(frozen=True)
class Examination:
    """What one batch showed.

    Attributes:
        report: what is recorded, what is not and why.
        bare: seconds of a training step without the recorder, median.
        ratio: of a step with every quantity recorded over one without, median of pairs.
    """

    report: Report
    bare: float
    ratio: float

    def _repr_html_(self) -> str:
        cost = {"bare step": f"{1e3 * self.bare:.3g} ms", "recorded step": f"{self.ratio:.2f} × a bare one"}
        return cards.card(f"{len(self.report.layers)} places are recorded", [*self.report.parts, cards.facts(cost)])


def examine(
    model: nn.Module, images: Tensor, labels: Tensor, *, layers: LayerSelection = None, pairs: int = 5
) -> Examination:
    """Trains a copy of the net for a few steps, with and without a recorder in turn.

    Args:
        model: the net; it is copied and not changed.
        images: (N, …) a batch it takes.
        labels: (N,) class numbers; the loss is the cross-entropy of the first tensor the net returns.
        layers: as for `Recorder`.
        pairs: how many steps of each kind to time.

    Raises:
        LabError: if the net cannot be copied, does not take the batch, or gives nothing to train on.
    """
    try:
        twin = copy.deepcopy(model).train()
    except Exception as error:
        raise LabError(f"the model cannot be copied ({error}), so it cannot be examined without changing it") from error
    Recorder(twin)  # refuses what cannot be recorded, in its own words
    optimizer = torch.optim.SGD(twin.parameters(), lr=1e-3, momentum=0.9)
    recorder = Recorder(twin, optimizer, when=every(1), layers=layers)

    losses: list[float] = []  # of the first step
    stage, shape = "", tuple[int, ...]()  # what a step is doing, and of which shape the net's output is

    def step() -> None:
        nonlocal stage, shape
        optimizer.zero_grad()
        stage = "forward"
        output = next(tensors_in(twin(images)), None)
        if output is None:
            raise LabError("the model returned no floating-point tensor, so there is no loss to train on")
        stage, shape = "loss", tuple(output.shape)
        loss = F.cross_entropy(output.reshape(len(labels), -1), labels)
        if not losses:
            losses.append(float(loss.detach()))
        stage = "backward"
        loss.backward()
        stage = "update"
        optimizer.step()

    def timed() -> float:
        started = time.perf_counter()
        step()
        if images.device.type == "cuda":
            torch.cuda.synchronize(images.device)
        return time.perf_counter() - started

    state = torch.get_rng_state()
    try:
        with warnings.catch_warnings(), recorder:
            warnings.simplefilter("ignore", RecorderWarning)  # the report says it
            with recorder.step():
                step()
            timed()
            bare, recorded = [], []
            for _ in range(pairs):
                bare.append(timed())
                started = time.perf_counter()
                with recorder.step():
                    timed()
                recorded.append(time.perf_counter() - started)
            report = recorder.report()
            report = replace(report, findings=(*report.findings, *_not_finite(recorder, losses[0])))
    except LabError:
        raise
    except Exception as error:
        why = _size_in_words(twin, images) if stage == "forward" else _elsewhere(stage, shape)
        raise LabError(
            f"the model does not train on a batch of shape {tuple(images.shape)}: {first_line(error)}; {why}"
        ) from error
    finally:
        torch.set_rng_state(state)
    ratio = statistics.median(r / b for r, b in zip(recorded, bare, strict=True))
    return Examination(report, statistics.median(bare), ratio)


def _not_finite(recorder: Recorder, loss: float) -> list[Finding]:
    """What of the first recorded step was NaN or infinite."""
    rows = recorder.table()
    rows = rows[(rows["step"] == rows["step"].min()) & (rows["nonfinite"] > 0)].sort_values("depth", kind="stable")
    places = tuple(dict.fromkeys(rows["layer"])) or (() if math.isfinite(loss) else ("the loss",))
    return [Finding("not finite", places, "NaN or infinite on this batch, so there is nothing to learn from")] * bool(
        places
    )


def _size_in_words(model: nn.Module, images: Tensor) -> str:
    """Whether another size of image would have passed, tried on two images."""
    if images.dim() != 4:
        return "its input is of another kind"
    for size in TRIED:
        try:
            with torch.no_grad():
                model(F.interpolate(images[:2], size=(size, size)))
        except Exception:  # whatever a user's net raises: this size does not pass either
            continue
        return f"it takes images of {size} × {size}"
    return f"nor does it take images of {TRIED[0]} to {TRIED[-1]} pixels, so the size is not the matter"


def _elsewhere(stage: str, shape: tuple[int, ...]) -> str:
    if stage == "loss":
        return f"its output has shape {shape}, where one score for each image and class is wanted"
    return f"its forward pass works, its {stage} does not" if stage else "it fails before its forward pass"
