"""Which values does a field of `Experiment` take? Read off the model, so that what is offered is what is accepted."""

from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from labapp.config.errors import LabError
from labapp.config.experiment import Experiment

DEEPEST = 320  # layers up to which depths are tried; beyond, a form without a table goes on as it began


class Bounds(NamedTuple):
    """What a number lies between; None where there is no bound."""

    least: float | None = None
    above: float | None = None  # the same, itself excluded
    most: float | None = None
    below: float | None = None
    whole: bool = False

    def __str__(self) -> str:
        """In words: "1 or more", "above 0, at most 1", "from 0 to below 1"; "" where there is none."""
        least, above, most, below = self.inclusive[:4]
        low = "" if least is None else f"{least:,} or more"
        low = low if above is None else f"above {above:,g}"
        high = f"below {below:,g}" if below is not None else f"at most {most:,}" if most is not None else ""
        if least is not None and high:
            return f"from {least:,} to {high.removeprefix('at most ')}"
        return ", ".join(filter(None, (low, high)))

    @property
    def inclusive(self) -> "Bounds":
        """The same; of whole numbers with the least and the greatest in place of those that are excluded."""
        if not self.whole:
            return self
        least = self.least if self.above is None else self.above + 1
        return Bounds(least, None, self.most if self.below is None else self.below - 1, None, whole=True)


@cache
def bounds(name: str) -> Bounds | None:
    """Between what a field lies; None of one that is no number."""
    said = _schema()[name]
    kinds = [kind for kind in said.get("anyOf", [said]) if kind.get("type") in ("integer", "number")]
    if not kinds:
        return None
    least, above, most, below = map(kinds[0].get, ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"))
    return Bounds(least, above, most, below, whole=kinds[0]["type"] == "integer")


@cache
def _schema() -> dict[str, Any]:
    fields: dict[str, Any] = Experiment.model_json_schema()["properties"]
    return fields


class Depths(NamedTuple):
    """The depths that a net can have: so many, or from the first on in equal steps."""

    first: tuple[int, ...]
    step: int | None

    def __str__(self) -> str:
        """In words: "8, 14, 20 and so on", "18, 34, 50, 101 or 152"."""
        if self.step:
            return f"{', '.join(map(str, self.first[:3]))} and so on"
        *head, tail = map(str, self.first)
        return f"{', '.join(head)} or {tail}" if head else tail


def depths(experiment: Experiment) -> Depths:
    """The depths that fit what else is said of a net."""
    said = ("family", "form", "block", "bottleneck", "configuration")
    given = {name: getattr(experiment, name) for name in said if name in experiment.model_fields_set}
    return _depths(tuple(given.items()))


@cache
def _depths(given: tuple[tuple[str, Any], ...]) -> Depths:
    fitting = []
    for depth in range(1, DEEPEST + 1):
        try:
            Experiment(**dict(given), depth=depth)
        except LabError:
            continue
        fitting.append(depth)
    steps = {after - before for before, after in pairwise(fitting)}
    return Depths(tuple(fitting), steps.pop() if len(steps) == 1 and len(fitting) > 5 else None)
