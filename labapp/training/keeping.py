"""When is a training's state kept, so that it can go on after an interruption?

At every checkpoint; between two of them every so many seconds, in place of the point before; and when somebody asks the
training to stop. Always between two steps: a point of a step that was half done would be of a net that never was.
"""

import math
import time

import torch

from labapp.config import LabError
from labapp.store import RunWriter
from labapp.training.fabric import Fabric
from labapp.training.state import Changing, state_of
from labapp.training.stopping import Stop

SECONDS = 60.0  # between two points, by default


def checked(seconds: float) -> float:
    """A time between two points, if it is one.

    Raises:
        LabError: if it is not.
    """
    if math.isnan(seconds) or seconds < 0:
        raise LabError(f"keep_every is a number of seconds, 0 or above (inf: at checkpoints alone), not {seconds}")
    return seconds


class Keeper:
    """Keeps the state of one training; every process has one, the first one writes.

    Args:
        fabric: Of the training.
        writer: Of the run; None in all processes but the first.
        parts: What is kept.
        stop: Whether somebody asked the training to stop.
        seconds: Between two points; inf for none but the checkpoints.
    """

    def __init__(self, fabric: Fabric, writer: RunWriter | None, parts: Changing, stop: Stop, seconds: float) -> None:
        self.fabric, self.writer, self.parts, self.stop, self.seconds = fabric, writer, parts, stop, seconds
        self._kept = time.monotonic()

    def between_steps(self, step: int, checkpoint: bool) -> None:
        """Keep what is to be kept after `step` steps, and end the training here if somebody asked for it."""
        due, asked = self._agreed(time.monotonic() - self._kept >= self.seconds, self.stop.asked)
        if checkpoint:
            self.checkpoint(step)
        elif due or asked:
            state = state_of(self.fabric, self.parts, step)
            if self.writer is not None:
                self.writer.keep(step, self.parts.net.state_dict(), state)
            self._kept = time.monotonic()
        if asked:
            self.stop.pass_on()

    def checkpoint(self, step: int) -> None:
        """Keep weights and state after `step` steps for good."""
        state = state_of(self.fabric, self.parts, step)
        if self.writer is not None:
            self.writer.checkpoint(step, self.parts.net.state_dict(), state)
        self._kept = time.monotonic()

    def _agreed(self, *wishes: bool) -> list[bool]:
        """What any process wishes, told to all: they keep and stop at the same step."""
        if self.fabric.world_size == 1:
            return list(wishes)
        told = self.fabric.all_reduce(torch.tensor(wishes, device=self.fabric.device).float(), reduce_op="sum")
        return [bool(wish) for wish in told]
