"""How is a value shown that its axis cannot show: NaN, an infinite one, or zero on a logarithmic axis?

It gets a mark of its own at the edge of the plot, or a cell of its own colour, with an entry in the legend; it is never
left out. `tests/test_palette.py` keeps the colours of cells apart from those of the scales, for every kind of sight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_CROSS = "M-1,-0.7L-0.7,-1L0,-0.3L0.7,-1L1,-0.7L0.3,0L1,0.7L0.7,1L0,0.3L-0.7,1L-1,0.7L-0.3,0Z"
_RING = "M1,0A1,1,0,1,0,-1,0A1,1,0,1,0,1,0ZM0.55,0A0.55,0.55,0,1,1,-0.55,0A0.55,0.55,0,1,1,0.55,0Z"


@dataclass(frozen=True)
class Mark:
    """The mark of one kind of value.

    Attributes:
        title: its entry in a legend.
        shape: Vega's.
        marker: matplotlib's.
        colour: of a cell.
        top: whether it stands at the upper edge, else at the lower one.
    """

    title: str
    shape: str
    marker: str
    colour: str
    top: bool = False


ALARM = "#9900FF"  # NaN
MARKS = {
    "NaN": Mark("NaN", _CROSS, "x", ALARM),
    "∞": Mark("infinite", "triangle-up", "^", "#FF00FF", top=True),
    "−∞": Mark("minus infinite", "triangle-down", "v", "#FF00FF"),
    "zero": Mark("zero", _RING, "o", "#FF0000"),
    "below zero": Mark("below zero", "square", "s", "#FF0000"),
}


def beyond(values: Iterable[float], log: bool = False) -> list[str]:
    """Of each value the name of its mark in `MARKS`; "" where the axis, logarithmic or not, can show it."""
    import numpy as np  # here, since commands want the words alone

    numbers = np.asarray(list(values), dtype=float)
    with np.errstate(invalid="ignore"):
        tests = [np.isnan(numbers), numbers == np.inf, numbers == -np.inf, log & (numbers == 0), log & (numbers < 0)]
    return [str(name) for name in np.select(tests, list(MARKS), "")]
