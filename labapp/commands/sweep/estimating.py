"""How long will a sweep take? By runs of the archive, else by timing a few steps, else it is not known.

As the app's form estimates it (`labapp.frames.costs`). Where two runs of the same net are in the archive nothing is
built for it, so torch is not loaded.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Container, Iterable, Sequence

from labapp.commands.workers import Tell, Workers
from labapp.config import Experiment, LabError
from labapp.frames import costs
from labapp.store import Listing

SAME = 6  # runs of each net that are asked, the newest
OTHERS = 20  # and of any
LONGEST = 90.0  # seconds that a timing may take
MADE = ("cluttered-digits", "digits")  # image sets that need no files


def paces(wanted: Iterable[Experiment], listing: Listing) -> list[costs.Pace]:
    """What trainings took that say something of these."""
    asked = dict.fromkeys(map(costs.net_key, wanted), SAME)
    others, found = OTHERS, []
    for entry in listing.entries:
        if entry.status != "finished":
            continue
        key = costs.net_key(entry.experiment)
        if asked.get(key, 0) > 0:
            asked[key] -= 1
        elif others > 0:
            others -= 1
        else:
            continue
        try:
            pace = costs.pace(listing.run(entry))
        except (LabError, OSError):  # damaged, or gone meanwhile
            continue
        found += [pace] if pace else []
    return found


def by_same_nets(experiment: Experiment, known: Sequence[costs.Pace]) -> costs.Cost | None:
    """The estimate where runs of the same net are there; None where they are not enough."""
    same = [pace for pace in known if costs.same_net(pace.experiment, experiment)]
    return costs.expected(experiment, same[0].size, same) if same else None


def estimates(
    wanted: Sequence[Experiment],
    known: Sequence[costs.Pace],
    imagesets: Container[str],
    threads: int,
    tell: Callable[[str], None],
) -> dict[Experiment, costs.Cost | str]:
    """What each training will take, or why that is not known.

    Args:
        wanted: The trainings.
        known: From `paces`.
        imagesets: That need no download.
        threads: With which each computes.
        tell: Called with what is done meanwhile, in words.
    """
    by_net: dict[object, Experiment] = {}
    found: dict[Experiment, costs.Cost | str] = {}
    for experiment in wanted:
        cost = by_same_nets(experiment, known)
        if cost is not None:
            found[experiment] = cost
        elif experiment.imageset in imagesets:
            by_net.setdefault(costs.net_key(experiment), experiment)
        else:
            found[experiment] = f"the images of {experiment.imageset} are not here yet"
    timed = _timed([*by_net.values()], threads, tell) if by_net else {}
    for experiment in wanted:
        if experiment not in found:
            pace = timed[costs.net_key(experiment)]
            found[experiment] = pace if isinstance(pace, str) else costs.timed(experiment, pace)
    return found


def _timed(
    experiments: Sequence[Experiment], threads: int, tell: Callable[[str], None]
) -> dict[object, costs.Pace | str]:
    """What a few steps of each net take, by `costs.net_key`, or why that is not known."""
    found: dict[object, costs.Pace | str] = {}
    with Workers(1, threads) as workers:
        works = {workers.add(time_steps, experiment): experiment for experiment in experiments}
        for work in workers.finished():
            found[costs.net_key(works[work])] = work.fault or work.value
            tell(f"[{len(found)}/{len(experiments)}] timed {costs.STEPS} steps of {works[work].name}")
    return found


def time_steps(experiment: Experiment, tell: Tell) -> costs.Pace | str:
    """What a few steps take, as a real training that leaves nothing behind; in a process of its own."""
    from labapp.training.loop import train

    until = time.monotonic() + LONGEST

    def progress(_: object) -> None:
        if time.monotonic() > until:
            raise LabError(f"{costs.STEPS} steps of it take more than {LONGEST:g} s")

    try:
        with tempfile.TemporaryDirectory(prefix="labapp-trial-") as folder:
            run = train(costs.trial_of(experiment), folder, progress=progress)
            return costs.pace(run, least=1) or "its steps are too short to be timed"
    except LabError as error:
        return str(error)
