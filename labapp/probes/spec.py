"""What has a diagnostic to say of itself before it can be measured on a run?

A `ProbeSpec`. Those of the lab stand in `labapp.probes.entries`, those of other packages in these packages themselves
(`labapp.probes.others`); what holds of both is in `labapp.probes.catalogue`. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from labapp.config import FAMILIES, listed

WHEN = {
    "all": "every checkpoint",
    "few": "the first and the last checkpoint and at most two between",
    "ends": "the first and the last checkpoint",
    "last": "the last checkpoint",
    "plan": "the architecture alone",
}
MOST_IMAGES = 512
ASKED = ("given", "model", "net", "images", "labels", "train", "seed", "progress")  # what a function may ask for
ADDED = ("batch_norm",)  # columns that the lab adds to a table that has none of that name
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class ProbeSpec:
    """One table of a run's probes.

    Attributes:
        name: Of the table, and of the function that makes it.
        title: For a heading.
        question: What it answers.
        module: Where that function is. Of the lab's own, in labapp, and diagnostics.NAME when left out; of another
            package's, where this spec stands when left out. What it can ask for stands in
            `labapp.probes.measure.offered`.
        when: At which checkpoints it is measured unless others are asked for, see WHEN.
        images: From how many images at most; 0 for the plan and for what asks for weights alone.
        families: Whose nets it applies to.
        otherwise: Why it does not apply to the other families.
        columns: Of the table, but for those that the lab adds, see ADDED.
        value: The column that holds what was measured; "" where there are several.
        cheap: For the nets of which families it, or the part of it that asks for weights alone, is made in moments:
            `labapp train` does it at every checkpoint, and the app by itself.
        page: Of the app, which shows it.
        asked: Whether that page measures it only when it is asked to; the starter measures what it shows at once.
        package: Of another package's, its name and version; "" for the lab's own.
        docstring: Of another package's, that of its function, for the page Method.
    """

    name: str
    title: str
    question: str
    module: str = ""
    when: str = "ends"
    images: int = 0
    families: tuple[str, ...] = FAMILIES
    otherwise: str = ""
    columns: tuple[str, ...] = ()
    value: str = ""
    cheap: tuple[str, ...] = ()
    page: str = ""
    asked: bool = False
    package: str = ""
    docstring: str = ""


def wrong(spec: ProbeSpec) -> list[str]:
    """What is wrong with a spec, a clause each: "its when is 'often'; …"; empty where nothing is."""
    ill = [field.name for field in fields(spec) if not _is_of(field.default, getattr(spec, field.name))]
    if ill:
        return [f"its {name} is {getattr(spec, name)!r}, of another type than it should be" for name in ill]
    found = []
    if not _NAME.fullmatch(spec.name):
        found.append(f"its name is '{spec.name}'; small letters, digits and '_' can name a function and a table")
    found += [f"its {word} is empty; say it in words" for word in ("title", "question") if not getattr(spec, word)]
    if spec.when not in WHEN:
        found.append(f"its when is '{spec.when}'; there are {listed(WHEN)}")
    if not 0 <= spec.images <= MOST_IMAGES:
        found.append(f"its images are {spec.images}; 0 to {MOST_IMAGES} can be asked for")
    for word in ("families", "cheap"):
        found += [f"its {word} name '{name}'; there are {listed(FAMILIES)}" for name in _strangers(spec, word)]
    if set(spec.families) != set(FAMILIES) and not spec.otherwise:
        found.append("it does not apply to all families; say in otherwise why not")
    if not spec.columns:
        found.append("it declares no columns; name those of its table")
    if spec.value and spec.value not in spec.columns:
        found.append(f"its value is '{spec.value}', which is none of its columns")
    return found


def _strangers(spec: ProbeSpec, word: str) -> Sequence[str]:
    return [name for name in getattr(spec, word) if name not in FAMILIES]


def _is_of(default: object, value: object) -> bool:
    """Whether a value is of its field's type: a whole number, a yes or no, words, or a tuple of words."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(isinstance(each, str) for each in value)
    return type(value) is (type(default) if isinstance(default, int) else str)
