"""Which runs does somebody mean who types `residual tag=good depth>=56 accuracy>0.9`?

A word has to stand somewhere in a run's name, id, tags, note or in a setting that is a word. `field=value`,
`field!=value`, `field<value`, `<=`, `>` and `>=` ask for one field; `width=8,16` for any of several values, `tag=` for
none. Case does not matter, and "quotes" keep words together. What is no number fits neither `<` nor `>`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labapp.config import CHOICES, Experiment, LabError, nearest
from labapp.store.entries import Entry

OWN = ("id", "name", "net", "status", "tag", "note", "started", "step", "progress", "seconds")  # besides settings
SETTINGS = tuple(Experiment.model_fields)
FIELDS = (*OWN, *(name for name in SETTINGS if name not in OWN and name != "net"))
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_CONDITION = re.compile(r"([A-Za-z_][A-Za-z0-9_ ]*)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_WORDY = tuple(name for name in ("family", *CHOICES, "net") if name in SETTINGS)
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


@dataclass(frozen=True)
class Condition:
    """One field, how it is compared, and with what."""

    field: str
    sign: str
    values: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Whether it holds for a value of the field; several values (tags) fit where one does."""
        if self.sign in _COMPARED:
            number = as_number(value)
            return _COMPARED[self.sign](number, as_number(self.values[0], strict=self))
        several = list(value) if isinstance(value, tuple) else [value]
        fits = any(_equal(each, other) for each in several or [None] for other in self.values)
        return fits != (self.sign == "!=")


@dataclass(frozen=True)
class Question:
    """What is looked for: words and conditions that all have to fit."""

    words: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words or self.conditions)

    def fits(self, entry: Entry, name: str, number: Callable[[Entry, str], float] | None = None) -> bool:
        """Whether a run is meant.

        Args:
            entry: The run.
            name: What it is called.
            number: Gives what was measured of it by the name of the field, NaN where that is not known.
        """
        for condition in self.conditions:
            if not condition.holds(value_of(entry, condition.field, name, number)):
                return False
        if not self.words:
            return True
        text = text_of(entry, name)
        return all(word in text for word in self.words)


def question(text: str, more: Iterable[str] = ()) -> Question:
    """Read what somebody typed; `more` are fields that were measured.

    Raises:
        LabError: A field that does not exist, or something that cannot be compared.
    """
    words, conditions = [], []
    measured = tuple(more)
    for word in _WORD.findall(text):
        found = _CONDITION.fullmatch(word) if not word.startswith('"') else None
        if not found:
            words.append(word.replace('"', "").casefold())
            continue
        field, sign, value = found[1].strip().casefold(), found[2], found[3].replace('"', "")
        known = (*FIELDS, *measured)
        field = {"tags": "tag", "run": "name"}.get(field, field)
        if field not in known:
            raise LabError(f"runs have no field '{field}'{nearest(field, known) or f'; they have {_some(known)}'}")
        condition = Condition(field, sign, tuple(value.split(",")) if sign in ("=", "!=") else (value,))
        if sign in _COMPARED:
            as_number(value, strict=condition)
        conditions.append(condition)
    return Question(tuple(filter(None, words)), tuple(conditions))


def value_of(entry: Entry, field: str, name: str, number: Callable[[Entry, str], float] | None = None) -> Any:
    """A field of a run: one of FIELDS, or something that was measured."""
    if field in _OWN:
        return name if field == "name" else _OWN[field](entry)
    if field in entry.experiment.__dict__:
        return entry.experiment.__dict__[field]
    return number(entry, field) if number else math.nan


def text_of(entry: Entry, name: str) -> str:
    """Where words are looked for."""
    settings = entry.experiment.__dict__
    words = [str(settings[key]) for key in _WORDY if settings[key] is not None]
    return "\n".join([name, entry.id, *entry.labels.tags, entry.labels.note, entry.status, *words]).casefold()


def as_number(value: Any, strict: Condition | None = None) -> float:
    """A value as a number, a day as seconds since 1970, and NaN, or an error where `strict`, for what is none."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, int | float):
        return float(value)
    said = str(value).strip()
    try:
        return float(said[:-1]) / 100 if said.endswith("%") else float(said)
    except ValueError:
        pass
    try:
        day = datetime.fromisoformat(said)
        return (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        if strict is None:
            return math.nan
    asked = f"{strict.field}{strict.sign}{said}"
    raise LabError(f"{asked} compares with no number; give one, 5 % as 0.05 or 5%, or a day as 2026-01-31")


def _equal(value: Any, said: str) -> bool:
    if value is None or value == "":
        return said.strip().casefold() in ("", "none")
    if isinstance(value, bool):
        return said.casefold() in (("true", "yes", "1") if value else ("false", "no", "0"))
    if isinstance(value, int | float):
        return float(value) == as_number(said)
    if isinstance(value, datetime):
        return value.isoformat().startswith(said)
    return str(value).casefold() == said.strip().casefold()


_OWN: Mapping[str, Callable[[Entry], Any]] = {
    "id": lambda entry: entry.id,
    "name": lambda entry: entry.labels.name,
    "net": lambda entry: entry.name,
    "status": lambda entry: entry.status,
    "tag": lambda entry: entry.labels.tags,
    "note": lambda entry: entry.labels.note,
    "started": lambda entry: entry.created,
    "step": lambda entry: entry.step,
    "progress": lambda entry: entry.step / entry.steps if entry.steps else math.nan,
    "seconds": lambda entry: entry.seconds,
}


def _some(known: Iterable[str]) -> str:
    return ", ".join(known)
