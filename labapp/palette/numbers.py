"""How is a number, a duration or a layer's name written so that it can be read?"""

from __future__ import annotations

import math

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """A number with three significant digits (or `digits`), as a power of ten where zeros would have to be counted."""
    if value is None or math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if not -3 <= power < 6:
        shown = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{shown} × 10{str(power).translate(SUPERSCRIPT)}".replace("-", "−")
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:,.{max(0, digits - 1 - power)}f}".replace("-", "−")


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Ticks of a log axis from low to high: whole decades, or 1-2-5 where there are fewer than three of those."""
    # matplotlib's LogLocator gives the same from three decades on, but one tick or none over a decade or less, as most
    # pages have; and it would load matplotlib on pages that have no other use for it.
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = list(range(first, last + 1))
    if len(decades) >= 3:
        stride = math.ceil(len(decades) / most)
        return [float(f"1e{power}") for power in decades if power % stride == 0]
    for steps in ((1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(1 + tenth / 10 for tenth in range(90))):
        fine = [float(f"{m}e{power}") for power in range(first - 1, last + 2) for m in steps]
        inside = [tick for tick in fine if low <= tick <= high]
        if len(inside) >= 3:
            return inside[:: math.ceil(len(inside) / most)]
    return [low, high]


def tick_label(tick: float) -> str:
    """0.01, 100, 10⁻⁷: a power of ten is written as one where its zeros would have to be counted."""
    power = math.log10(tick)
    if power == round(power) and not -3 < power < 4:
        return f"10{str(round(power)).translate(SUPERSCRIPT)}"
    return f"{tick:,.6g}" if 1e-3 <= tick < 1e5 else number(tick, 2)


def percent(fraction: float) -> str:
    """A fraction as a percentage: 0.956 is "95.6 %"."""
    return "no value" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.3g} %"


def duration(seconds: float) -> str:
    """Seconds as people say them: "41 s", "3 min 20 s", "2 h 5 min"."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def short(name: str, width: int = 28) -> str:
    """A layer's name, shortened in the middle: both its stage and its last part stay readable."""
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"
