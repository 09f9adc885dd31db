"""Which runs of an archive may a claim be judged by?

Runs that differ in nothing but what the claim compares and the seed are one setup; an archive may hold several, and
each has its verdict. Only finished runs count. Runs that differ in more are not compared, and the reason names in what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from labapp.claims.claim import Claim, Missing, Setup
from labapp.claims.judging import NO_DATA, SEEDS, Judgement, judge
from labapp.config import BELONGS_TO, Experiment, listed
from labapp.frames.naming import asked_for, settings
from labapp.store import Entry, Listing, Run

COUNTED = "finished"
NAMED = 4  # settings that are told of a setup at most


def verdicts(claim: Claim, listing: Listing) -> list[Judgement]:
    """The verdict of every setup of an archive, of the longest trainings first; one without data where none is."""
    groups = _grouped(claim, listing)
    found, missing = [], ""
    for entries in groups.values():
        try:
            kept = _of_one_net(claim, _kept(claim, entries))
            measured = list(claim.measure(_setup(claim, kept, listing)))
        except Missing as error:
            missing = missing or f"there is no {error}"
            continue
        runs = list(dict.fromkeys(run for one in measured for run in one.runs))
        verdict = judge(claim, measured, _left(claim, entries), _shared_words(kept), runs)
        found.append((_rank(verdict, max(entry.experiment.steps for entry in kept)), verdict))
    if not found:
        return [judge(claim, (), _nothing(claim, groups, missing))]
    return [verdict for _, verdict in sorted(found, key=lambda each: each[0], reverse=True)]


def _rank(verdict: Judgement, steps: int) -> tuple[bool, bool, int, int, str]:
    """Never by the verdict: of several tries the one that decides would be false more often than it says."""
    seeds = min((part.seeds for part in verdict.parts), default=0)
    return verdict.verdict != NO_DATA, seeds >= SEEDS, steps, seeds, max(verdict.runs, default="")


def _grouped(claim: Claim, listing: Listing) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in listing.entries:
        if claim.side(entry.experiment):
            groups.setdefault(repr(_fixed(claim, entry.experiment)), []).append(entry)
    return groups


def _fixed(claim: Claim, experiment: Experiment) -> dict[str, Any]:
    """The settings in which all runs of a setup agree."""
    free = _free(claim.compares)
    return {name: value for name, value in settings(experiment).items() if name not in free}


def _free(compares: Sequence[str]) -> set[str]:
    """In which the runs of a setup may differ: what belongs to one family alone follows from the family."""
    return {"seed", *compares, *(BELONGS_TO if "family" in compares else ())}


def _kept(claim: Claim, entries: Sequence[Entry]) -> list[Entry]:
    """The finished ones; of a side and seed that ran twice the newest."""
    found: dict[tuple[str, int, str], Entry] = {}
    for entry in sorted(entries, key=lambda one: one.created):
        if entry.status == COUNTED:
            what = entry.experiment
            found[claim.side(what), what.seed, repr(settings(what))] = entry
    return list(found.values())


def _of_one_net(claim: Claim, entries: Sequence[Entry]) -> list[Entry]:
    """Of every side one net: where several could stand for it, the one that departs least from the lab's defaults.

    Raises:
        Missing: Where several depart as little; what they differ in.
    """
    sides: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        net = repr({name: value for name, value in settings(entry.experiment).items() if name != "seed"})
        sides.setdefault(claim.side(entry.experiment), {}).setdefault(net, []).append(entry)
    kept = []
    for side, nets in sides.items():
        departures = {net: len(asked_for(found[0].experiment)) for net, found in nets.items()}
        nearest = [net for net, number in departures.items() if number == min(departures.values())]
        if len(nearest) > 1:
            what = _differing([nets[net][0].experiment for net in nearest])
            raise Missing(f"single {side} net: those there differ in {what}")
        kept += nets[nearest[0]]
    return kept


def _setup(claim: Claim, entries: Iterable[Entry], listing: Listing) -> Setup:
    sides: dict[str, dict[int, Run]] = {}
    for entry in entries:
        sides.setdefault(claim.side(entry.experiment), {})[entry.experiment.seed] = listing.run(entry)
    return Setup(sides)


def _left(claim: Claim, entries: Sequence[Entry]) -> str:
    """Which runs of the setup do not count, and why."""
    count = Counter(entry.status for entry in entries if entry.status != COUNTED)
    told = [f"{number} {status}" for status, number in sorted(count.items())]
    return f"not counted: {listed(told)}" if told else ""


def _shared_words(entries: Sequence[Entry]) -> str:
    """What all of these runs share, of what was asked for."""
    if not entries:
        return ""
    asked = frozenset().union(*(asked_for(entry.experiment) for entry in entries))
    first, *others = (settings(entry.experiment) for entry in entries)
    further = ("image_size", "width", "steps", "norm", "init", "depth")
    names = ["imageset", "family", *(name for name in further if name in asked)]
    told = [name for name in names if all(other[name] == first[name] for other in others)]
    return ", ".join(_word(name, first[name]) for name in told[: NAMED + 2])


def _word(name: str, value: Any) -> str:
    if name in ("imageset", "family"):
        return str(value)
    if name == "steps":
        return f"{value:,} steps"
    if name == "image_size":
        return f"{value} px"
    return f"{name} {value}"


def _nothing(claim: Claim, groups: dict[str, list[Entry]], missing: str) -> str:
    """Why no setup could be measured."""
    if not groups:
        return "the archive holds no run that it speaks of"
    finished = [entries for entries in groups.values() if any(entry.status == COUNTED for entry in entries)]
    if not finished:
        return _left(claim, [entry for entries in groups.values() for entry in entries])
    sides = {claim.side(entry.experiment) for entries in finished for entry in entries}
    if len(finished) > 1 and len(sides) > 1:
        differing = _differing([entries[0].experiment for entries in finished], but=claim.compares)
        return f"{missing}; the runs there differ in more than it compares: {differing}"
    return missing


def _differing(experiments: Sequence[Experiment], but: Sequence[str] = ()) -> str:
    """The settings that somebody asked for and in which these differ, with their values."""
    asked = frozenset().union(*(asked_for(experiment) for experiment in experiments)) - _free(but)
    told = []
    for name in settings(experiments[0]):
        values = list(dict.fromkeys(str(settings(experiment)[name]) for experiment in experiments))
        if len(values) > 1 and name in asked:
            told.append(f"{name.replace('_', ' ')} ({listed(values)})")
    return listed(told[:NAMED]) or "the recipe"
