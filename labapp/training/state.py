"""What does it take to go on with a training as if it had never been interrupted?

Its weights, which lie in a file of their own, and in the state beside them: the optimizer, the loss scale, the random
generators, the recorder and the logbook. Position in the data and learning rate follow from the step. Both files are
read without running code from them, and only if they are whole and belong together: a flipped bit would go on unseen
through the rest of the training.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from labapp.config import LabError, first_line
from labapp.recording import Recorder
from labapp.store import ResumePoint
from labapp.training.fabric import Fabric
from labapp.training.logbook import Logbook
from labapp.training.randomness import random_states, set_random_states

CONTENTS = {"step", "buffers", "optimizer", "scaler", "log", "processes"}


class Changing(NamedTuple):
    """The parts of a training that change from step to step."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: Any
    recorder: Recorder
    log: Logbook


def state_of(fabric: Fabric, parts: Changing, step: int) -> bytes:
    """The training's state after `step` steps as the bytes of a file; the first process has that of all of them.

    Every process calls it at the same step. What the recorder holds is handed on first.
    """
    own = {"random": random_states(fabric.device), "recorder": parts.recorder.state_dict()}
    everyone = [own]
    if fabric.world_size > 1:
        everyone *= fabric.world_size
        torch.distributed.all_gather_object(everyone, own)
    named = parts.net.state_dict()
    buffer = io.BytesIO()
    contents = {
        "step": step,
        "buffers": {name: value for name, value in parts.net.named_buffers() if name not in named},  # not persistent
        "optimizer": parts.optimizer.state_dict(),
        "scaler": parts.scaler.state_dict() if parts.scaler else None,
        "log": parts.log.state_dict(),
        "processes": everyone,
    }
    torch.save(contents, buffer)
    return buffer.getvalue()


@dataclass(frozen=True)
class TrainingState:
    """A point of a run, read and found whole."""

    where: str
    weights: dict[str, Tensor]
    contents: dict[str, Any]

    @classmethod
    def read(cls, point: ResumePoint) -> "TrainingState":
        """The state at a point.

        Raises:
            LabError: where its files are damaged, do not belong together, or are of another version.
        """
        where = f"{point.weights.parent.name}/{point.weights.stem}"
        state = point.state()
        try:
            weights = load_file(point.weights)
            contents = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a file that is no state makes of the readers
            raise LabError(f"{where} cannot be read ({first_line(error)})") from None
        if not isinstance(contents, dict) or not contents.keys() >= CONTENTS or contents["step"] != point.step:
            raise LabError(f"{where}.pt does not hold all that it takes to go on; another version wrote it")
        return cls(where, weights, contents)

    def load_net(self, net: nn.Module, optimizer: torch.optim.Optimizer, scaler: Any) -> None:
        """Give a net and its optimizer what they had.

        Raises:
            LabError: if the state is of another net.
        """
        own = net.state_dict()
        wrong = [name for name in own.keys() ^ self.weights.keys() or sorted(own) if not _fits(name, own, self.weights)]
        if wrong:
            raise LabError(f"{self.where} is of another net: it does not fit '{wrong[0]}'; was the net's code changed?")
        try:
            net.load_state_dict(self.weights)
            optimizer.load_state_dict(self.contents["optimizer"])
            buffers = dict(net.named_buffers())
            for name, value in self.contents["buffers"].items():
                buffers[name].copy_(value)
            if scaler is not None:
                scaler.load_state_dict(self.contents["scaler"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise LabError(f"{self.where} is of another net or optimizer ({first_line(error)})") from None

    def load_rest(self, fabric: Fabric, recorder: Recorder, log: Logbook) -> None:
        """Give recorder, logbook and random generators what they had in this process."""
        known = self.contents["processes"]
        there = fabric.global_rank < len(
            known
        )  # else there are more of them now: a new one knows the net as the first does
        own = known[fabric.global_rank if there else 0]
        recorder.load_state_dict(own["recorder"])
        log.load_state_dict(self.contents["log"])
        if there:  # each step seeds its own draws, so a new one draws as any would
            set_random_states(own["random"], fabric.device)


def _fits(name: str, one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return name in one and name in other and one[name].shape == other[name].shape
