"""Which colour, line, word and unit stands for what, on screen and on paper alike?"""

from labapp.palette.caption import Caption
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
from labapp.palette.text import expression, markdown, sentence, visible
from labapp.palette.words import KINDS, METHODS, NORMS, QUANTITIES, WEIGHTINGS, kind, quantity

__all__ = [
    "ACCENT", "ALARM", "DASHES", "DIVERGING", "FAMILIES", "KINDS", "MARKERS", "MARKS", "METHODS", "MUTED", "NORMS",
    "QUANTITIES", "SEQUENTIAL", "SUPERSCRIPT", "WEIGHTINGS", "Caption", "Mark", "beyond", "colour", "duration",
    "expression", "kind", "log_ticks", "markdown", "number", "percent", "quantity", "sentence", "short", "styles",
    "tick_label", "visible",
]  # fmt: skip
