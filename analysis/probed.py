"""Which runs hold the probes that a figure shows, and which command makes them where they are missing?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd

from labapp import frames
from labapp.config import LabError, shown
from labapp.probes.catalogue import why_not
from labapp.store import Run


def probed(runs: Sequence[Run], name: str) -> list[Run]:
    """The runs that hold a table of this quantity; one line to standard error about the others that could.

    Raises:
        LabError: If there is none: how to make one, or why there can be none.
    """
    there = [run for run in runs if run.probes().get(name)]
    reasons = {run: why_not(name, run.experiment) for run in runs if run not in there}
    wanting = [run for run, reason in reasons.items() if not reason]
    if not there:
        if not wanting:
            raise LabError(f"{runs[0].id} has no {name}: {reasons[runs[0]]}")
        raise LabError(f"these runs hold no {name}; `{_command(wanting, name)}` measures it")
    if wanting:
        print(f"left out: {len(wanting)} runs without {name}; `{_command(wanting, name)}` measures it", file=sys.stderr)  # noqa: T201
    return there


def _command(runs: Sequence[Run], name: str) -> str:
    return f"labapp probe {' '.join(run.id for run in runs)} --quantities {name} --root {shown(runs[0].path.parent)}"


def tables(runs: Sequence[Run], name: str, at: int = -1) -> pd.DataFrame:
    """A quantity of all runs, at the last checkpoint measured of each (`at` −1) or at step 0 (`at` 0).

    Of the seeds of a net only those that stand at one step, which is named in `frames.together`.

    Args:
        runs: At least one; all hold the quantity.
        name: Of the quantity.
        at: Which of the steps that were measured.

    Returns:
        The probe's rows, with the columns net, run, seed and step.
    """
    parts = []
    for run, (_, who) in zip(runs, frames.describe(runs).iterrows(), strict=True):
        step = run.probes()[name][-1] if at else 0
        if step not in run.probes()[name]:
            print(f"left out: {run.id}, which has no {name} at step {step}", file=sys.stderr)  # noqa: T201
            continue
        parts.append(run.probe(name, step).assign(net=who["net"], run=who["run"], seed=who["seed"], step=step))
    if not parts:
        raise LabError(f"none of these runs has {name} at step 0; `{_command(runs, name)}` measures it")
    return frames.together(pd.concat(parts, ignore_index=True))


def last(run: Run, name: str) -> int:
    """The last checkpoint at which a quantity was measured."""
    return run.probes()[name][-1]
