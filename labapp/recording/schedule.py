"""At which optimizer steps does the recorder listen? A schedule is a plain function of the step number."""

from collections.abc import Callable

from labapp.config import LabError

Schedule = Callable[[int], bool]


def every(n: int) -> Schedule:
    """Steps 0, n, 2n and so on.

    Raises:
        LabError: if ``n`` is not a whole number above zero.
    """
    if not isinstance(n, int) or n < 1:
        raise LabError(f"every({n!r}): give the whole number of steps between two records, 1 or more")
    return lambda step: step % n == 0


def log_spaced(points: int, total: int) -> Schedule:
    """About ``points`` of the steps ``0 … total-1``, dense at the start, where a net changes fastest, and the last.

    Raises:
        LabError: if ``points`` or ``total`` is not a whole number above zero.
    """
    for name, value in (("points", points), ("total", total)):
        if not isinstance(value, int) or value < 1:
            raise LabError(f"log_spaced: {name} is {value!r}; give a whole number above zero")
    last = total - 1
    chosen = {0, last} | {round((last + 1) ** (i / max(points - 1, 1))) - 1 for i in range(points)}
    return chosen.__contains__
