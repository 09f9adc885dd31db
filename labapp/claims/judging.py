r"""Does a claim hold? A verdict from numbers of several seeds and a threshold that was fixed before.

Of each part the numbers x of n seeds give Student's interval of their mean,

    x̄ ± t(n − 1) s / √n

The part is *supported* if the whole interval lies on the claim's side of the threshold, *contradicted* if it lies
wholly on the other side, else *undecided*. A claim is supported if all its parts are, each at 95 % (an intersection-
union test: Berger 1982, Technometrics 24, 295); it is contradicted if a part is with an interval of 1 − 0.05 / parts
(Bonferroni), so that several parts do not make a false verdict more likely. Where a number sits exactly at its
threshold, either verdict is then given in 2.5 % of the cases each.

Fewer than three seeds decide nothing (two give an interval of 13 deviations), and how many would is told from what was
measured: the least n at which an interval of the same deviation would not reach the threshold. Numbers that come in
steps (an accuracy) vary at least as much as rounding to these steps does: s ≥ step / √12.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes half a second to import

from labapp.claims.claim import Claim, Criterion, Observed
from labapp.claims.wording import card_of

SUPPORTED, CONTRADICTED, UNDECIDED, NO_DATA = "supported", "contradicted", "undecided", "no data"
VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED, NO_DATA)
LEVEL = 0.95
SEEDS = 3  # the fewest that decide
MOST = 1000  # seeds that anybody would be asked for


class Judged(NamedTuple):
    """What became of one part of a claim.

    Attributes:
        part: Which.
        verdict: Of `VERDICTS`.
        value: Mean over the seeds; NaN where there is none.
        low, high: Its interval of 95 %; equal to the value where it is exact, NaN where there is none.
        seeds: How many count.
        note: Why it is undecided or without data, else "".
        numbers: Of the seeds, in their order.
        whose: The seeds.
    """

    part: Criterion
    verdict: str
    value: float
    low: float
    high: float
    seeds: int
    note: str
    numbers: tuple[float, ...] = ()
    whose: tuple[int, ...] = ()


class Judgement(NamedTuple):
    """What became of a claim.

    Attributes:
        claim: Which.
        verdict: Of `VERDICTS`.
        parts: Each part's.
        note: What a reader has to know besides: runs that are missing, diverged, or not comparable.
        settings: What the runs share.
        runs: Their ids.
    """

    claim: Claim
    verdict: str
    parts: tuple[Judged, ...]
    note: str = ""
    settings: str = ""
    runs: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return card_of(self)

    def __repr__(self) -> str:
        return f"Judgement({self.claim.name}: {self.verdict})"


def judge(
    claim: Claim, measured: Iterable[Observed], note: str = "", settings: str = "", runs: Sequence[str] = ()
) -> Judgement:
    """The verdict on a claim from what was measured."""
    there = list(measured)
    parts = tuple(_part(part, [one for one in there if one.part == part.name], LEVEL) for part in claim.parts)
    strict = 1 - (1 - LEVEL) / len(claim.parts)
    refuted = any(
        _part(part, [one for one in there if one.part == part.name], strict).verdict == CONTRADICTED
        for part in claim.parts
    )
    if any(part.verdict == NO_DATA for part in parts):
        verdict = NO_DATA
    elif refuted:
        verdict = CONTRADICTED
    else:
        verdict = SUPPORTED if all(part.verdict == SUPPORTED for part in parts) else UNDECIDED
    return Judgement(claim, verdict, parts, note, settings, tuple(runs))


def interval(values: Sequence[float], level: float = LEVEL, resolution: float = 0.0) -> tuple[float, float, float]:
    """Mean of independent numbers, and Student's interval; NaN where fewer than two are given."""
    mean = float(np.mean(values)) if len(values) else math.nan
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * _deviation(values, resolution) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def seeds_needed(mean: float, deviation: float, threshold: float, level: float = LEVEL) -> int | None:
    """The least number of seeds whose interval would not reach the threshold; None if that is more than `MOST`."""
    for count in range(SEEDS, MOST + 1):
        half = float(stdtrit(count - 1, (1 + level) / 2)) * deviation / math.sqrt(count)
        if half < abs(mean - threshold):
            return count
    return None


def _deviation(values: Sequence[float], resolution: float) -> float:
    return max(float(np.std(values, ddof=1)), resolution / math.sqrt(12))


def _part(part: Criterion, measured: Sequence[Observed], level: float) -> Judged:
    found = [one for one in measured if math.isfinite(one.value)]
    found = sorted(found, key=lambda one: one.seed)
    values, whose = tuple(one.value for one in found), tuple(one.seed for one in found)
    lost = next((one.note for one in measured if one.note and not math.isfinite(one.value)), "")
    if not values:
        return Judged(part, NO_DATA, math.nan, math.nan, math.nan, 0, lost or "nothing was measured")
    mean, low, high = interval(values, LEVEL, part.resolution)
    if part.exact:
        return _exact(part, values, whose)
    if len(values) < SEEDS:
        needed = f"{len(values)} of at least {SEEDS} seeds"
        return Judged(part, UNDECIDED, mean, low, high, len(values), needed, values, whose)
    _, least, most = interval(values, level, part.resolution)
    verdict = _side(part, least, most)
    note = "" if verdict != UNDECIDED else _wanting(part, mean, values)
    return Judged(part, verdict, mean, low, high, len(values), note, values, whose)


def _exact(part: Criterion, values: tuple[float, ...], whose: tuple[int, ...]) -> Judged:
    """Of what follows from the architecture every run says the same; the one furthest from the claim counts."""
    worst = min(values) if part.above else max(values)
    verdict = SUPPORTED if (worst > part.threshold if part.above else worst < part.threshold) else CONTRADICTED
    return Judged(part, verdict, worst, worst, worst, len(values), "", values, whose)


def _side(part: Criterion, low: float, high: float) -> str:
    over, under = low > part.threshold, high < part.threshold
    if not over and not under:
        return UNDECIDED
    return SUPPORTED if over == part.above else CONTRADICTED


def _wanting(part: Criterion, mean: float, values: Sequence[float]) -> str:
    needed = seeds_needed(mean, _deviation(values, part.resolution), part.threshold)
    if needed is None:
        return f"it lies too near its threshold for {MOST:,} seeds to tell"
    return f"{needed} seeds would tell, if they deviate as these {len(values)} do"
