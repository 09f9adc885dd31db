"""What is still to be measured on a sweep's runs? Told without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from labapp.config import LabError
from labapp.config.sweeps import Planned, ProbeWish
from labapp.probes.catalogue import against_name, chosen, spec_of, why_not
from labapp.probes.tasks import missing, steps_of, tasks
from labapp.store import Run


def require_known(planned: Sequence[Planned]) -> None:
    """Whether the quantities that are wished for exist.

    Raises:
        LabError: One does not, or cannot be compared between runs.
    """
    for wish in dict.fromkeys(wish for each in planned for wish in each.probes):
        try:
            chosen([wish.quantity])
        except LabError as error:
            raise LabError(f"{wish.at}: {error}") from None
        if wish.against and wish.quantity != "similarity":
            raise LabError(f"{wish.at}: only similarity compares two runs; leave against out of {wish.quantity}")


def lacking(run: Run, planned: Planned) -> tuple[ProbeWish, ...]:
    """Those wishes of a run that are not all fulfilled and apply to its net."""
    wishes = [wish for wish in planned.probes if not why_not(wish.quantity, planned.experiment)]
    return tuple(wish for wish in wishes if _is_lacking(run, wish))


def _is_lacking(run: Run, wish: ProbeWish) -> bool:
    try:
        return bool(missing(run, tasks(run, [wish.quantity], wish.checkpoints)[0]))
    except LabError:  # whoever measures says why
        return True


def pairs(planned: Sequence[Planned], runs: Mapping[Planned, Run]) -> Iterator[tuple[Planned, Run, Run, ProbeWish]]:
    """Runs of one experiment with two seeds whose layers are to be compared and were not yet: each with the next."""
    together: dict[object, list[Planned]] = {}
    for each in planned:
        together.setdefault(each.experiment.but(seed=0), []).append(each)
    for several in together.values():
        there = sorted((each for each in several if each in runs), key=lambda each: each.experiment.seed)
        for one, other in pairwise(there):
            for wish in one.probes:
                if wish.against and not _is_compared(runs[one], runs[other], wish):
                    yield one, runs[one], runs[other], wish


def _is_compared(run: Run, other: Run, wish: ProbeWish) -> bool:
    try:
        steps = steps_of(run, wish.checkpoints or "last")
        name = against_name(other.id, steps_of(other, "last")[0])
    except LabError:
        return False
    return set(steps) <= set(run.probes().get(name, ()))


def titles(wishes: Sequence[ProbeWish]) -> str:
    """What is measured, in words."""
    return ", ".join(spec_of(wish.quantity).title for wish in wishes)
