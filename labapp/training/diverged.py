"""Where did a training diverge, by what its recorder saw and what its losses say?"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from labapp.recording.divergence import Origin, began

RECENT = 200  # recorded steps that are remembered


class Largest(NamedTuple):
    """The largest update of a recorded step, over the weights; NaN where none is finite."""

    step: int
    ratio: float
    layer: str


class Origins:
    """The rows of `divergence` of one training, and what was recorded before them."""

    def __init__(self) -> None:
        self._lost_at: int | None = None
        self._found: list[Origin] = []
        self._recent: deque[Largest] = deque(maxlen=RECENT)

    def state_dict(self) -> dict[str, Any]:
        """What it takes to go on from here."""
        return {
            "lost_at": self._lost_at,
            "found": [tuple(one) for one in self._found],
            "recent": [tuple(one) for one in self._recent],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._lost_at = state["lost_at"]
        self._found = [Origin(*one) for one in state["found"]]
        self._recent.extend(Largest(*one) for one in state["recent"])

    def seen(self, rows: Mapping[str, Any]) -> None:
        """Rows of layers, of which one step may be the last before it began; however many steps come at a time."""
        steps = np.asarray(rows["step"])
        ratios = np.asarray(rows.get("update_ratio", np.full(len(steps), np.nan)), dtype=float)
        for step in np.unique(steps):
            here = np.flatnonzero((steps == step) & np.isfinite(ratios))
            at = here[ratios[here].argmax()] if len(here) else None
            largest = (math.nan, "") if at is None else (float(ratios[at]), str(rows["layer"][at]))
            self._recent.append(Largest(int(step), *largest))

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
        elif any(one.step == first.step for one in self._recent):
            words += "; every output that was recorded of that step is"
        else:
            words += "; the layers of that step were not recorded"
        return words + self._evidence(first.step)

    def _evidence(self, step: int) -> str:
        """The largest update of the last step recorded before."""
        found = [one for one in self._recent if one.step < step and math.isfinite(one.ratio)]
        if not found:
            return ""
        at, ratio, layer = max(found)
        return f"; in step {at}, recorded before, the largest update was {ratio:.2g} times the weights (of {layer})"
