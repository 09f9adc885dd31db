"""In which settings do two sides differ?"""

from __future__ import annotations

import pandas as pd

from labapp.config import BELONGS_TO, FAMILIES, listed
from labapp.frames.compare.sides import Side
from labapp.frames.naming import asked_for, settings

CONFIGURATION = ["setting", "a", "b"]
_FAMILY = {  # what two families have each of its own, where they share all else
    frozenset(("plain", "residual")): "shortcut",
}
NAMED = 3  # settings that are named at most in a sentence


def configuration(a: Side, b: Side) -> pd.DataFrame:
    """The settings in which two sides differ; what follows from other settings is not repeated.

    A setting is asked for if leaving it out would make another experiment (`asked_for`): of the recipe "he" only the
    recipe is told, not its 64,000 steps. What belongs to one family alone follows from the family.

    Returns:
        setting, a, b: its values on either side, as words; one row a setting, the family's and the net's first.
    """
    sides = [[run.experiment for run in each.runs] for each in (a, b)]
    every = [one for own in sides for one in own]
    families = {one.family for one in every}
    asked = frozenset().union(*(asked_for(one) for one in every)) | ({"family"} if len(families) > 1 else set())
    alike = all(len(each.runs) > 1 and repeated(each) for each in (a, b))  # then seeds are what chance is told by
    rows = []
    for name in settings(every[0]):
        if name == "seed" and alike:
            continue
        belongs = BELONGS_TO.get(name, (*FAMILIES, "foreign"))
        if name not in asked or not families <= set(belongs):
            continue
        values = [list(dict.fromkeys(_word(settings(one)[name]) for one in own)) for own in sides]
        if set(values[0]) != set(values[1]):
            rows.append((name.replace("_", " "), *(listed(own) for own in values)))
    return pd.DataFrame(rows, columns=CONFIGURATION)


def _word(value: object) -> str:
    if value is None:
        return "not set"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def in_words(differing: pd.DataFrame) -> str:
    """What differs, as it ends a sentence: "the shortcut alone", "the seed alone", "depth, width and 2 more"."""
    names = list(differing["setting"])
    if not names:
        return "nothing that was set"
    told = [_named(*words) for words in differing[CONFIGURATION].astype(str).to_numpy().tolist()]
    if len(told) == 1:
        return f"{told[0]} alone"
    more = len(told) - NAMED
    return listed(told if more <= 0 else [*told[:NAMED], f"{more} more"])


def _named(setting: str, a: str, b: str) -> str:
    if setting == "family":
        return f"the {_FAMILY[pair]}" if (pair := frozenset((a, b))) in _FAMILY else f"the family ({a}, {b})"
    return f"the {setting}" if setting == "seed" else f"the {setting} ({a}, {b})"


def repeated(each: Side) -> bool:
    """Whether the runs of a side are repetitions, which differ in the seed alone."""
    return len({repr(settings(run.experiment) | {"seed": None}) for run in each.runs}) == 1
