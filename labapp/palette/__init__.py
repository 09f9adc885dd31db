"""Which colour, line, word and unit stands for what, on screen and on paper alike?"""

from labapp.palette.colours import (
    ACCENT,
    DASHES,
    DIVERGING,
    FAMILIES,
    MARKERS,
    MUTED,
    SEQUENTIAL,
    colour,
    styles,
)
from labapp.palette.marks import ALARM, MARKS, Mark, beyond
from labapp.palette.numbers import SUPERSCRIPT, duration, log_ticks, number, percent, short, tick_label
from labapp.palette.words import KINDS, METHODS, NORMS, QUANTITIES, WEIGHTINGS, Caption, kind, quantity

__all__ = [
    "ACCENT", "ALARM", "DASHES", "DIVERGING", "FAMILIES", "KINDS", "MARKERS", "MARKS", "METHODS", "MUTED", "NORMS",
    "QUANTITIES", "SEQUENTIAL", "SUPERSCRIPT", "WEIGHTINGS", "Caption", "Mark", "beyond", "colour", "duration", "kind",
    "log_ticks", "number", "percent", "quantity", "short", "styles", "tick_label",
]  # fmt: skip
