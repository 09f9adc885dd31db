"""Which experiments of a sweep does an archive hold already, and how did they end?

An experiment is known by its content, whoever trained it and whatever the run is called. Of several runs of one a
finished one counts, else one that is being written, else the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labapp.config import Experiment, LabError, place
from labapp.store import Entry, Listing, Run, is_there, look

STATES = {  # what is said of an experiment
    "finished": "trained to its end",
    "running": "being trained",
    "interrupted": "goes on from its last state",
    "diverged": "ended because its loss was no longer finite",
    "failed": "ended by an error",
    "absent": "not begun",
}
_STATES = {"stopped": "interrupted", "incomplete": "failed"}  # of runs that lost a part the training has ended
ENDED = ("finished", "diverged", "failed")


@dataclass(frozen=True)
class Standing:
    """What became of an experiment.

    Attributes:
        experiment: Which.
        state: One of STATES.
        run: Its run; None where there is none.
        taken: Ids of all its runs.
    """

    experiment: Experiment
    state: str = "absent"
    run: Run | None = None
    taken: tuple[str, ...] = ()

    @property
    def next_id(self) -> str:
        """What a new run of it is called: by its content, so that two processes cannot make the same one."""
        first = f"{self.experiment.name}-{self.experiment.digest}"
        names = (first, *(f"{first}-{number}" for number in range(2, len(self.taken) + 2)))
        return next(name for name in names if name not in self.taken)


def opened(root: str | Path) -> Listing:
    """What lies in an archive; nothing where there is none yet."""
    return look(root) if is_there(root) else Listing.empty(place(root))


def standings(experiments: Sequence[Experiment], listing: Listing) -> list[Standing]:
    """What became of each of some experiments, in their order."""
    wanted = set(experiments)
    found: dict[Experiment, list[Entry]] = {}
    for entry in listing.entries:
        if entry.problem == "" and entry.experiment in wanted and _is_ours(listing.run(entry)):
            found.setdefault(entry.experiment, []).append(entry)
    return [_standing(each, found.get(each, ()), listing) for each in experiments]


def _standing(experiment: Experiment, entries: Iterable[Entry], listing: Listing) -> Standing:
    """By the entries of its runs, the newest first."""
    several = {entry.id: _STATES.get(entry.status, entry.status) for entry in entries}
    if not several:
        return Standing(experiment)
    order = ("finished", "running")
    chosen = next((run_id for state in order for run_id in several if several[run_id] == state), next(iter(several)))
    return Standing(experiment, several[chosen], listing.run(listing.by_id[chosen]), tuple(several))


def _is_ours(run: Run) -> bool:
    """Whether the lab trained it: a loop of somebody's own need not do what its experiment says."""
    try:
        return "images" in run.environment
    except LabError:  # damaged, or gone meanwhile
        return False
