"""Before training: what would a recorder see of this net, and what would it cost? Answered on one real batch."""

import copy
import statistics
import time
import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labapp.config import LabError
from labapp.recording.guard import RecorderWarning
from labapp.recording.hooks import tensors_in
from labapp.recording.places import LayerSelection
from labapp.recording.recorder import Recorder
from labapp.recording.report import Report
from labapp.recording.schedule import every


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

    def step() -> None:
        optimizer.zero_grad()
        output = next(tensors_in(twin(images)), None)
        if output is None:
            raise LabError("the model returned no floating-point tensor, so there is no loss to train on")
        F.cross_entropy(output.reshape(len(labels), -1), labels).backward()
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
    except LabError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        shape = tuple(images.shape)
        raise LabError(
            f"the model does not train on a batch of shape {shape}: {first}; give it a size it takes"
        ) from error
    finally:
        torch.set_rng_state(state)
    ratio = statistics.median(r / b for r, b in zip(recorded, bare, strict=True))
    return Examination(report, statistics.median(bare), ratio)
