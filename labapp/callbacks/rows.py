"""How do numbers that a loop tells become one row a step, without making it wait?"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

SECONDS = 2.0  # between two times that rows are handed on
ROWS = 200


class StepRows:
    """Rows of the table `steps` on their way to a run.

    A number on a device is copied there and looked at when rows are handed on, so that no step waits for it. Several
    values of one step, those of its micro-batches, become their mean.

    Args:
        write: Takes columns.
    """

    def __init__(self, write: Callable[[Mapping[str, Any]], None]) -> None:
        self._write = write
        self._rows: dict[int, dict[str, list[Any]]] = {}
        self._handed_on = time.monotonic()

    def add(self, step: int, numbers: Mapping[str, Any]) -> None:
        """Keep numbers of a step; what is None is not there."""
        row = self._rows.setdefault(step, {})
        for name, number in numbers.items():
            if number is not None:
                row.setdefault(name, []).append(kept(number))

    @property
    def due(self) -> bool:
        """Whether it is time to hand rows on."""
        return len(self._rows) > ROWS or time.monotonic() - self._handed_on > SECONDS

    def hand_on(self, before: int | None = None) -> None:
        """Write all rows; or those of steps before one that may still get numbers."""
        self._handed_on = time.monotonic()
        steps = sorted(step for step in self._rows if before is None or step < before)
        rows = {step: self._rows.pop(step) for step in steps}
        if rows:
            names = dict.fromkeys(name for row in rows.values() for name in row)
            columns = {name: [_mean(row.get(name, ())) for row in rows.values()] for name in names}
            self._write({"step": steps, **columns})


def kept(number: Any) -> Any:
    """A number as it is now: of a device still there, else a float."""
    if isinstance(number, torch.Tensor):
        one = number.detach()
        return one.clone() if one.device.type != "cpu" else float(one.double().mean())
    return float(number)


def _mean(numbers: Any) -> float:
    values = [float(number.float().mean()) if isinstance(number, torch.Tensor) else number for number in numbers]
    return sum(values) / len(values) if values else float("nan")
