"""What is said of a sweep before and after: tables for people, a dictionary for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from labapp.commands.sweep.working import Standings
from labapp.config import Experiment, listed
from labapp.frames import costs
from labapp.training.sweeps import STATES, Standing

MOST = 3  # runs whose steps are told
Costs = Mapping[Experiment, costs.Cost | str]


def forecast(screen: Console, there: Standings, jobs: int, threads: int, known: Costs) -> None:
    """What would run and what is there, a line for all seeds of an experiment; then about how long it takes."""
    table = Table("experiment", "seeds", "state", "each takes", title=there.sweep.about or None, title_justify="left")
    todo = {each.experiment for each in there.todo}
    for name, several in _without_seeds(there).items():
        seeds = ", ".join(str(each.experiment.seed) for each in several)
        takes = dict.fromkeys(_takes(each, known) for each in several if each.experiment in todo)
        table.add_row(name, seeds, _counted(several), ", ".join(takes) or "–")
    screen.print(table)
    again = f"; {there.sweep.repeated} stand in the file more than once" if there.sweep.repeated else ""
    screen.print(f"{len(there.all)} experiments: {_counted(there.all)}; {len(there.todo)} would be trained{again}")
    screen.print(_together(there, jobs, threads, known))


def _without_seeds(there: Standings) -> dict[str, list[Standing]]:
    found: dict[str, list[Standing]] = {}
    for each in there.all:
        found.setdefault(there.label(each.experiment).rpartition(" seed ")[0], []).append(each)
    return found


def _counted(several: Sequence[Standing]) -> str:
    """How many stand how, and where those go on that were interrupted: "2 finished, 1 interrupted (step 40 of 300)"."""
    counts = {state: [each for each in several if each.state == state] for state in STATES}
    words = []
    for state, those in counts.items():
        steps = [f"{each.run.progress[0]} of {each.run.progress[1]}" for each in those if each.run is not None]
        where = f" (step {', '.join(steps)})" if state in ("interrupted", "running") and len(steps) <= MOST else ""
        words += [f"{len(those)} {state}{where}"] if those else []
    return listed(words)


def _takes(standing: Standing, known: Costs) -> str:
    cost = known.get(standing.experiment)
    if cost is None:
        return "–"
    return f"unknown: {cost}" if isinstance(cost, str) else costs.span(cost.low, cost.high)


def _together(there: Standings, jobs: int, threads: int, known: Costs) -> str:
    told = [cost for cost in (_left(each, known) for each in there.todo) if cost is not None]
    unknown = len(there.todo) - len(told)
    if not there.todo:
        return "Nothing is to be trained."
    if not told:
        return "How long it takes is not known."
    words = costs.in_words(told, jobs)
    more = f" That of {unknown} others is not known." if unknown else ""
    measuring = " Measuring comes on top." if any(each.probes for each in there.sweep.planned) else ""
    return f"{words} Each computes with {threads} thread{'s' * (threads > 1)}.{more}{measuring}"


def _left(standing: Standing, known: Costs) -> costs.Cost | None:
    """What is left of a training."""
    cost = known.get(standing.experiment)
    if cost is None or isinstance(cost, str):
        return None
    done = standing.run.progress[0] if standing.run is not None and standing.state == "interrupted" else 0
    share = 1 - done / standing.experiment.steps
    return cost._replace(low=cost.low * share, high=cost.high * share)


def outcome(screen: Console, there: Standings, faults: Mapping[Experiment, Sequence[str]], seconds: float) -> None:
    """How many ended how, and what went wrong."""
    for experiment, sentences in faults.items():
        for sentence in sentences:
            screen.print(f"{there.label(experiment)}: {sentence}")
    for each in there.all:
        if each.state in ("diverged", "failed") and each.run is not None and each.experiment not in faults:
            screen.print(f"{there.label(each.experiment)}: {each.state}, {each.run.message} ({each.run.id})")
    took = costs.span(seconds, seconds)
    screen.print(f"{there.sweep.name}: {_counted(there.all)}, in {took}; `{there.sweep.tag}` is their tag")
    if not there.retry and there.count("failed", "diverged"):
        screen.print("what failed or diverged is kept; --retry-failed tries it again")


def as_json(
    there: Standings,
    jobs: int | None,
    threads: int,
    known: Costs | None = None,
    *,
    faults: Mapping[Experiment, Sequence[str]] | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """The same for programs; times in seconds."""
    told = [cost for each in there.todo if (cost := _left(each, known or {})) is not None]
    whole = costs.together(told, jobs) if told and jobs else None
    return {
        "sweep": there.sweep.name,
        "about": there.sweep.about,
        "tag": there.sweep.tag,
        "root": there.root,
        "jobs": jobs,
        "threads": threads,
        "repeated": there.sweep.repeated,
        "counts": {state: there.count(state) for state in STATES},
        "to_train": len(there.todo),
        "estimate": whole and {"low": whole.low, "high": whole.high, "bytes": whole.room},
        "unknown": len(there.todo) - len(told) if known is not None else None,
        "seconds": seconds,
        "experiments": [
            {
                "label": there.label(each.experiment),
                "digest": each.experiment.digest,
                "seed": each.experiment.seed,
                "state": each.state,
                "before": there.at_first[each.experiment],
                "run": each.run.id if each.run is not None else None,
                "message": each.run.message if each.run is not None else "",
                "faults": list((faults or {}).get(each.experiment, ())),
                **_times(known, each),
            }
            for each in there.all
        ],
    }


def _times(known: Costs | None, standing: Standing) -> dict[str, Any]:
    cost = (known or {}).get(standing.experiment)
    if cost is None:
        return {}
    return {"unknown": cost} if isinstance(cost, str) else {"low": cost.low, "high": cost.high, "by": cost.by}
