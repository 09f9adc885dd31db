"""Which runs lie in an archive, and which of them are repetitions of one experiment? One row a run, or a net.

Nothing here opens a run: what was measured comes from whoever worked it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from labapp.frames.comparisons import finals
from labapp.frames.naming import Called
from labapp.store import SETTINGS, Entry, value_of

OF_A_NET = ["net", "runs", "seeds", "finished", "accuracy", "low", "high", "ids"]
Number = Callable[[Entry, str], float]


def library(
    entries: Sequence[Entry],
    called: Mapping[str, Called],
    measured: Sequence[str],
    number: Number,
    settings: Sequence[str],
) -> pd.DataFrame:
    """One row a run, in the order given.

    Args:
        entries: The runs.
        called: What each is called, by its id; from `called`.
        measured: Names of numbers.
        number: Gives such a number of a run, NaN where it is not known.
        settings: Names of settings, or of other fields of `store.FIELDS`.

    Returns:
        run_id, run (its name), net, family, net_depth, seed, status, progress (done, a fraction), tags (a list), note,
        started, seconds; then those asked for.
    """
    names = [called[entry.id] for entry in entries]
    experiments = [entry.experiment for entry in entries]
    columns: dict[str, Any] = {
        "run_id": [entry.id for entry in entries],
        "run": [each.run for each in names],
        "net": [each.net for each in names],
        "family": [each.family for each in experiments],
        "net_depth": [each.depth for each in experiments],
        "seed": [each.seed for each in experiments],
        "status": [entry.status for entry in entries],
        "progress": [entry.step / entry.steps if entry.steps else math.nan for entry in entries],
        "tags": [list(entry.labels.tags) for entry in entries],
        "note": [entry.labels.note for entry in entries],
        "started": pd.to_datetime([entry.created for entry in entries], utc=True),
        "seconds": [entry.seconds for entry in entries],
    }
    for name in measured:
        columns[name] = [number(entry, name) for entry in entries]
    for name in settings:
        if name not in columns:
            columns[name] = [value_of(entry, name, called[entry.id].run, number) for entry in entries]
    return pd.DataFrame(columns)


def differing(entries: Sequence[Entry]) -> list[str]:
    """The settings in which runs differ."""
    found = []
    for name in SETTINGS:
        values = {entry.experiment.__dict__[name] for entry in entries}
        if len(values) > 1:
            found.append(name)
    return found


def folded(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of a `library` table, repetitions of an experiment in one row.

    Returns:
        net, runs, seeds and finished (how many of each; a seed that ran twice counts once), accuracy (mean over the
        seeds of the finished runs), low, high (its 95 % interval, NaN for one seed; see `finals`), ids (a list), in the
        order in which the nets come first in the table.
    """
    if table.empty:
        return pd.DataFrame(columns=OF_A_NET)
    done = table["status"] == "finished"
    groups = table.assign(done=done).groupby("net", sort=False)
    rows = pd.DataFrame(
        {
            "runs": groups.size(),
            "seeds": groups["seed"].nunique(),
            "finished": groups["done"].sum(),
            "ids": groups["run_id"].agg(list),
        }
    ).reset_index()
    ends = finals(table.assign(step=0, comparable=None))
    return rows.merge(ends[["net", "accuracy", "low", "high"]], on="net", how="left")[OF_A_NET]
