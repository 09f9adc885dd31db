"""What is known of one step's weights: their norms before it and of their changes, and the norms of their gradients?"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from labapp.recording.kernels import Slot

Numbers = Tensor | Slot
Parts = list[tuple[list[int], tuple[Numbers, ...]]]  # norms by device: positions, and (n,) numbers of each kind


class Own(NamedTuple):
    """Positions of a place's weights and of their gradients in the lists of norms; its number of parameters."""

    weights: tuple[int, ...]
    gradients: tuple[int, ...]
    size: int


@dataclass
class Change:
    """What one step did to the weights; norms are numpy arrays once it has landed.

    Attributes:
        of: path -> `Own`.
        weights: (W, 2) norms of the weights before the step, and of their changes.
        gradients: (P,) norms of the parameters' gradients after the backward pass, NaN for those that have none.
        known: (W,) whether these norms were taken; `present` and `seen` say it of `gradients` and of `used`.
        used: the same as the optimizer saw them; None where nothing changed them in between.
        micro: (P,) sums of the squared norms of what each backward pass added, of which there were `passes`.
        scale: the loss scale in force; `used_scale` that which the optimizer itself divides by (fused ones do).
        skipped: whether no optimizer changed the weights.
        whole: whether all parameters were the model's own from the start of the step to its end.
        shares: (W,) and (P,) by which squares count where the norms are those of shards, see `sharded`; else None.
    """

    of: dict[str, Own]
    sizes: tuple[int, int]
    weight_parts: Parts = field(default_factory=list)
    gradient_parts: Parts = field(default_factory=list)
    used_parts: Parts = field(default_factory=list)
    micro_parts: Parts = field(default_factory=list)
    touched: bool = False
    passes: int = 0
    scale: Any = 1.0
    used_scale: Any = 1.0
    skipped: bool = False
    whole: bool = True
    shares: tuple[np.ndarray, np.ndarray] | None = None
    found_inf: list[Numbers] = field(default_factory=list)

    def land(self) -> None:
        """Reads the norms, once the buffers of devices have been brought to the host."""
        count, parameters = self.sizes
        self.weights = _landed(self.weight_parts, (count, 2))
        self.known = _there(self.weight_parts, count)
        self.gradients = _landed(self.gradient_parts, (parameters, 1))[:, 0]
        self.present = _there(self.gradient_parts, parameters)
        self.seen = _there(self.used_parts, parameters)
        used = _landed(self.used_parts, (parameters, 1))[:, 0]
        same = np.array_equal(used[self.present], self.gradients[self.present], equal_nan=True)
        self.used = used if self.used_parts and (self.touched or not same) else None
        self.micro = _added(self.micro_parts, parameters) if self.micro_parts else None
        self.scale, self.used_scale = _number(self.scale), _number(self.used_scale)
        self.skipped = self.skipped or any(_number(found) > 0 for found in self.found_inf)


def _there(parts: Parts, size: int) -> np.ndarray:
    """(size,) whether a position was measured."""
    found = np.zeros(size, dtype=bool)
    found[[position for positions, _ in parts for position in positions]] = True
    return found


def _read(numbers: Numbers) -> np.ndarray:
    return numbers.numbers() if isinstance(numbers, Slot) else numbers.detach().numpy()


def _number(one: Numbers | float) -> float:
    return one if isinstance(one, float) else float(_read(one).reshape(-1)[0])


def _landed(parts: Parts, shape: tuple[int, int]) -> np.ndarray:
    found = np.full(shape, np.nan)
    for positions, kinds in parts:
        for kind, numbers in enumerate(kinds):
            found[positions, kind] = _read(numbers)
    return found


def _added(parts: Parts, size: int) -> np.ndarray:
    """(size,) sums of squares."""
    found = np.full(size, np.nan)
    for positions, (norms,) in parts:
        found[positions] = np.nan_to_num(found[positions]) + _read(norms).astype(np.float64) ** 2
    return found
