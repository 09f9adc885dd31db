"""Which colour, line, word and unit stands for what, on screen and on paper alike?"""

from labapp.palette.colours import (
    ACCENT,
    ALARM,
    DASHES,
    DIVERGING,
    FAMILIES,
    MARKERS,
    MUTED,
    SEQUENTIAL,
    colour,
    styles,
)
from labapp.palette.numbers import SUPERSCRIPT, duration, log_ticks, number, percent, short, tick_label
from labapp.palette.text import expression, markdown, sentence, visible
from labapp.palette.words import KINDS, METHODS, NORMS, QUANTITIES, WEIGHTINGS, Caption, kind, quantity

__all__ = [
    "ACCENT", "ALARM", "DASHES", "DIVERGING", "FAMILIES", "KINDS", "MARKERS", "METHODS", "MUTED", "NORMS", "QUANTITIES",
    "SEQUENTIAL", "SUPERSCRIPT", "WEIGHTINGS", "Caption", "colour", "duration", "expression", "kind", "log_ticks",
    "markdown", "number", "percent", "quantity", "sentence", "short", "styles", "tick_label", "visible",
]  # fmt: skip
