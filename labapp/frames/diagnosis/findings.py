"""What is a finding, and in which order are several told?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from labapp.config import cards
from labapp.frames.diagnosis.limits import LIMITS, Limit

STRONGEST = 3.0  # decades beyond a limit that count; more of them say no more


@dataclass(frozen=True)
class Symptom:
    """Something that is wrong with a run.

    Attributes:
        rule: Which one found it.
        title: What is wrong, in a few words.
        words: What was seen, in a sentence or two.
        quantity: Of which the value is, as the recorder's tables call it.
        value, low, high: The worst number seen, and its 95 % interval where it is a fit; NaN where there is none.
        limit: Its threshold, a name of `LIMITS`.
        first, last: Steps at which it was first and last so.
        share: Of the recorded steps that can be judged, those in which it was so.
        layers: Of the net, from the image outwards; none where it is of the whole net.
        expected: What theory expects of this net, in a sentence.
        confirm: Commands, or runs to make, that would confirm it.
        strength: 0 to 3: the decades by which the value is beyond its limit, at most 3, times `share`; 3 for what is a
            fact and no matter of degree.
        because: The title of the finding that it follows from; "" where it follows from none.
    """

    rule: str
    title: str
    words: str
    quantity: str
    value: float
    limit: str
    first: int
    last: int
    share: float
    strength: float
    layers: tuple[str, ...] = ()
    low: float = math.nan
    high: float = math.nan
    expected: str = ""
    confirm: tuple[str, ...] = ()
    because: str = ""

    @property
    def threshold(self) -> Limit:
        """The limit, with its source."""
        return LIMITS[self.limit]


@dataclass(frozen=True)
class Examined:
    """What one rule looked at.

    Attributes:
        rule: Its name.
        question: What it asks.
        found: How many findings it has.
        reason: Why it could not look; "" where it could.
    """

    rule: str
    question: str
    found: int
    reason: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a run.

    Attributes:
        run: Its id.
        net: What it is called.
        about: What kind of run it is, where it stands, what is recorded of it; sentences.
        findings: The strongest first, consequences behind their causes.
        looks: One a rule.
    """

    run: str
    net: str
    about: tuple[str, ...]
    findings: tuple[Symptom, ...]
    looks: tuple[Examined, ...]

    def _repr_html_(self) -> str:
        from labapp.frames.diagnosis.telling import verdict  # which tells this record to others

        rows = [(rank, found.title, found.words) for rank, found in enumerate(self.findings, start=1)]
        parts = [cards.note(" ".join(self.about)), cards.note(verdict(self))]
        return cards.card(
            self.net, [*parts, *([cards.grid(["", "finding", "evidence"], rows)] if rows else [])], "diagnosis"
        )


def decades(value: float, limit: float) -> float:
    """How far a value is beyond its limit, on either side, in powers of ten; at most STRONGEST."""
    if value == limit:
        return 0.0
    if value <= 0 or limit <= 0 or not math.isfinite(value):
        return STRONGEST
    return min(STRONGEST, abs(math.log10(value / limit)))


def percent(share: float) -> str:
    """A share of 0 to 1 in a sentence."""
    return f"{100 * share:.0f} %"


def ranked(symptoms: Sequence[Symptom]) -> tuple[Symptom, ...]:
    """Strongest first; one behind those that it follows from, and of equals the first stays first."""
    own = {symptom.rule: symptom for symptom in symptoms}
    told = [replace(symptom, because=_because(symptom, own)) for symptom in symptoms]
    return tuple(sorted(told, key=lambda symptom: (bool(symptom.because), -symptom.strength)))


def _because(symptom: Symptom, own: Mapping[str, Symptom]) -> str:
    for name, fits in FOLLOWS.get(symptom.rule, ()):
        cause = own.get(name)
        if cause is not None and fits(symptom, cause):
            return cause.title
    return ""


def _later(symptom: Symptom, cause: Symptom) -> bool:
    return cause.first < symptom.first


def _always(symptom: Symptom, cause: Symptom) -> bool:
    return True


def _together(symptom: Symptom, cause: Symptom) -> bool:
    return cause.first <= symptom.first


def _cut_off(symptom: Symptom, cause: Symptom) -> bool:
    """A layer that is dead as a whole lets no gradient at all through."""
    return symptom.value == 0 and cause.value == 1 and cause.first <= symptom.first


_GONE = (("nonfinite", _later), ("exploding_loss", _later), ("rate_too_high", _later))
_SILENT = (
    ("vanishing_gradient", _together),
    ("dead_channels", _together),
    ("drowned_branch", _together),
    ("vanishing_signal", _together),
)
FOLLOWS = {  # rule: what it may follow from, and when
    "exploding_loss": (("rate_too_high", _later),),
    "dead_channels": _GONE,
    "vanishing_gradient": (("dead_channels", _cut_off), *_GONE),
    "exploding_gradient": _GONE,
    "vanishing_signal": (("dead_channels", _cut_off), *_GONE),
    "exploding_signal": _GONE,
    "drowned_branch": _GONE,
    "drowned_shortcut": _GONE,
    "frozen": (("dead_channels", _cut_off), *_GONE),
    "rate_too_high": (("exploding_gradient", _together), ("exploding_signal", _together)),
    "rate_too_low": _SILENT,
    "stalled": (*_SILENT, ("rate_too_low", _together), *_GONE),
    "flat_loss": (
        *_SILENT,
        *((name, _always) for name in ("nonfinite", "exploding_loss", "exploding_gradient", "exploding_signal")),
        *((name, _always) for name in ("rate_too_low", "rate_too_high", "noisy_gradient")),
    ),
}
