"""Where did a training diverge, by what its recorder saw and what its losses say?"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labapp.recording.divergence import Origin, began


class Origins:
    """The rows of `divergence` of one training, and what was recorded before them."""

    def __init__(self) -> None:
        self._lost_at: int | None = None
        self._found: list[Origin] = []
        self._recent: list[Mapping[str, Any]] = []  # the last rows of layers

    def seen(self, rows: Mapping[str, Any]) -> None:
        """Rows of layers, which may be the last before it began."""
        self._recent = [*self._recent[-1:], rows]

    def lost(self, step: int, loss: float) -> dict[str, Any]:
        """The row of the first loss that is not finite."""
        self._lost_at = step
        return self._kept([Origin(step, "loss", "", "nan" if math.isnan(loss) else "inf").told()])

    def placed(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """The recorder's rows, told with what losses say: a finite one means finite weights before its step."""
        origins = []
        for row in zip(*(columns[name] for name in Origin._fields), strict=True):
            origin = Origin(*row)
            last = min(origin.step, origin.step if self._lost_at is None else self._lost_at) - 1
            narrower = origin.what == "weight" and last - 1 > origin.after
            origins.append(origin.since(last - 1) if narrower else origin)
        return self._kept(origins)

    def _kept(self, origins: Sequence[Origin]) -> dict[str, Any]:
        self._found += origins
        return {name: [getattr(one, name) for one in origins] for name in Origin._fields}

    def sentence(self) -> str:
        """Where it began and what was seen before; "" of a healthy training."""
        lost = self._lost_at is not None
        if not lost and not any("weight" in one.what for one in self._found):
            return ""
        first = began(self._found)
        words = f"the loss of step {self._lost_at} is not finite" if lost else "weights are not finite"
        if first.what != "loss":
            words += f"; it began {first.note}"
        elif any((np.asarray(rows["step"]) == first.step).any() for rows in self._recent):
            words += "; every output that was recorded of that step is"
        else:
            words += "; the layers of that step were not recorded"
        return words + self._evidence(first.step)

    def _evidence(self, step: int) -> str:
        """The largest update of the last step recorded before."""
        found: list[tuple[int, float, str]] = []
        for rows in self._recent:
            steps, ratios = np.asarray(rows["step"]), np.asarray(rows.get("update_ratio", []), dtype=float)
            earlier = np.flatnonzero((steps[: len(ratios)] < step) & np.isfinite(ratios[: len(steps)]))
            found += [(int(steps[i]), float(ratios[i]), rows["layer"][i]) for i in earlier]
        if not found:
            return ""
        at, ratio, layer = max(found)
        return f"; in step {at}, recorded before, the largest update was {ratio:.2g} times the weights (of {layer})"
