"""Of which runs is a report: of those that were named, or of a whole archive?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from labapp import frames
from labapp.config import LabError, listed, place, shown
from labapp.frames.naming import Called
from labapp.store import Entry, Listing, Run, find_run, look

NAMED = 3  # runs that a title names


@dataclass(frozen=True)
class ReportScope:
    """What a report is of.

    Attributes:
        listing: The archive, with these runs alone: oldest first, or in the order given.
        called: What each run and its net are called.
        root: The archive as somebody typed it.
        whole: Whether it is of all runs of the archive.
    """

    listing: Listing
    called: Mapping[str, Called]
    root: str
    whole: bool

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The runs, as the archive's index knows them."""
        return self.listing.entries

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The same for reading."""
        return self.listing.runs

    def name(self, entry: Entry) -> str:
        """What a run is called."""
        return self.called[entry.id].run

    @property
    def title(self) -> str:
        """What stands on top."""
        if self.whole:
            return f"Report of the archive {place(self.root).absolute().name}"
        names = [self.name(entry) for entry in self.entries]
        return f"Report of {listed(names) if len(names) <= NAMED else f'{len(names)} runs'}"

    @property
    def standing(self) -> str:
        """How many runs ended in which way: "90 finished, 2 diverged and 1 interrupted"."""
        count = Counter(entry.status for entry in self.entries)
        told = sorted(count.items(), key=lambda each: (each[0] != "finished", -each[1], each[0]))
        return listed([f"{number:,} {status}" for status, number in told])


def scope_of(names: Sequence[str], root: str, archive: bool) -> ReportScope:
    """What somebody asks for.

    Raises:
        LabError: No run is named, or one that is not there, or runs of several archives; or nothing lies there.
    """
    if names and archive:
        raise LabError("a report is of the runs that you name, or with --archive of all; give one of them")
    if not names and not archive:
        raise LabError("which runs? `labapp report RUN …` is of some, `labapp report --archive` of all in the archive")
    if archive:
        listing = look(root, 0.0)
        if not listing.entries:
            raise LabError(f"{root} holds no run that can be read; `labapp starter --root {root}` makes some")
        return _scope(listing, listing.entries[::-1], root, True)
    found = list(dict.fromkeys(find_run(name, root) for name in names))
    places = list(dict.fromkeys(run.path.parent.absolute() for run in found))
    if len(places) > 1:
        raise LabError(f"the runs lie in {len(places)} archives, {listed(places)}; a report is of one")
    where = root if place(root).absolute() == places[0] else shown(found[0].path.parent)
    listing = look(where, 0.0)
    for run in found:
        if run.id not in listing.by_id:
            raise LabError(f"{run.path} is no run of an archive; a run's folder has no '.' or '_' in front")
    return _scope(listing, [listing.by_id[run.id] for run in found], where, False)


def _scope(listing: Listing, entries: Sequence[Entry], root: str, whole: bool) -> ReportScope:
    broken = listing.broken if whole else ()
    chosen = replace(listing, entries=tuple(entries), broken=broken, who=object(), standing=object())
    return ReportScope(chosen, frames.called(listing), root, whole)
