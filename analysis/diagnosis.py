"""Does `labapp diagnose` name each illness, and nothing where a run is healthy?

Of the runs of `analysis.calibration`: what was found in each, in order, and at which place the right finding stands.
Seeds below 100 were looked at while the rules were written. Those from 100 on were not, and one limit, `once`, was set
after them; those from 200 on were never looked at before.

    python -m analysis.calibration --out runs --seeds 0 1 2 100 101 102
    python -m analysis.diagnosis --runs runs --out analysis/data
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis.plates import Plate
from labapp.config import LabError
from labapp.figures import WIDTH
from labapp.frames import diagnosis
from labapp.frames.training import held_out
from labapp.store import Run, list_runs

SETS = {0: "written with", 100: "one limit set after", 200: "unseen"}  # of seeds, from the first one
LEARNT = 0.5  # of the test images, by a run that is healthy
EXPLODED = 2.0  # times the loss of a net that knows nothing
FIRST, SECOND, LATER, MISSED = "named first", "named second", "named later", "not named"
NOTHING, FALSE, UNMADE = "nothing found, as it should be", "something found", "did not come out as it was meant"
SAID = {
    FIRST: "#31688E", SECOND: "#A7D0E4", LATER: "#F7B799", MISSED: "#B61F2E", NOTHING: "#26828E", FALSE: "#DC6E57",
    UNMADE: "#BBBBBB",
}  # fmt: skip
COLUMNS = [
    "kind",
    "seed",
    "seeds",
    "status",
    "steps",
    "accuracy",
    "peak",
    "made",
    "right",
    "rank",
    "findings",
    "strengths",
]


def outcomes(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run of `CASES`.

    Returns:
        kind, seed, seeds (of `SETS`: what the rules owe to it), status, steps, accuracy (the last on test images, NaN
        where there was none), peak (the largest loss over its first value, or over that of a net that knows nothing
        where that is larger; infinite where one was not finite), made (whether the run came out as it was meant: at a
        high rate a net without normalisation may lose all its rectifiers before its loss explodes, and at a usual one
        it may not begin to learn), right (rules of which one has to be found, "" of a healthy run), rank (the place of
        the first of them, 0 where there is none; of a healthy run how many findings it has), findings and strengths (in
        order).
    """
    from analysis.calibration import CASES  # it trains, so it needs torch, which drawing does not

    rows = []
    for run in runs:
        kind, _, seed = run.id.rpartition(".s")
        if kind not in CASES or run.status == "running":
            continue
        right, told = CASES[kind].finding, diagnosis.diagnose(run).findings
        names = [one.rule for one in told]
        rank = next((at for at, name in enumerate(names, start=1) if name in right), 0) if right else len(names)
        tests, peak = held_out(run)["accuracy"], highest(run)
        accuracy = float(tests.iloc[-1]) if len(tests) else math.nan
        made = accuracy > LEARNT if not right else peak > EXPLODED or "exploding_loss" not in right
        rows.append(
            (
                *(kind, int(seed), SETS[max(at for at in SETS if at <= int(seed))], run.status, run.progress[0]),
                *(accuracy, peak, made, " or ".join(right), rank, " ".join(names)),
                " ".join(f"{one.strength:.2f}" for one in told),
            )
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = list(CASES)
    return table.sort_values(["kind", "seed"], key=lambda own: own.map(order.index) if own.name == "kind" else own)


def drawn(table: pd.DataFrame) -> Figure:
    """A bar a kind: how many of its runs were named first, second, later or not; healthy kinds to the right."""
    table = table.assign(said=[_said(row) for row in table.to_dict("records")])
    ill = table["right"] != ""
    parts = [rows for rows in (table[ill], table[~ill]) if len(rows)]
    figure, axes = plt.subplots(1, len(parts), figsize=(WIDTH, 4.0), layout="constrained", squeeze=False)
    for ax, rows in zip(axes[0], parts, strict=True):
        counts = pd.crosstab(rows["kind"], rows["said"]).loc[list(dict.fromkeys(rows["kind"]))]
        left = np.zeros(len(counts))
        for said in [word for word in SAID if word in counts]:
            ax.barh(
                range(len(counts)), counts[said], left=left, color=SAID[said], height=0.7, edgecolor="white", lw=0.5
            )
            left += counts[said].to_numpy(float)
        ax.set_yticks(range(len(counts)), counts.index)
        ax.set(
            ylim=(len(counts) - 0.4, -0.6), xlabel="runs", title="Ill on purpose" if rows["right"].any() else "Healthy"
        )
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.grid(visible=False, axis="y")
    there = [word for word in SAID if word in set(table["said"])]
    handles = [Patch(color=SAID[word], label=word) for word in there]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, borderpad=0)
    return figure


def _said(row: dict[Hashable, Any]) -> str:
    if not row["made"]:
        return UNMADE
    if not row["right"]:
        return FALSE if row["rank"] else NOTHING
    return {0: MISSED, 1: FIRST, 2: SECOND}.get(row["rank"], LATER)


def highest(run: Run) -> float:
    """The largest loss over the larger of the first one and ln 10."""
    losses = run.steps(columns=["loss"])["loss"].astype(float)
    return float(losses.max() / max(losses.iloc[0], math.log(10))) if np.isfinite(losses).all() else math.inf


def sentences(table: pd.DataFrame) -> list[str]:
    """How many illnesses were named first or second, and how many healthy runs have a finding."""
    words = []
    for name, own in table.groupby("seeds", sort=False):
        ill, healthy = own[(own["right"] != "") & own["made"]], own[(own["right"] == "") & own["made"]]
        named = int(ill["rank"].between(1, 2).sum())
        false = int((healthy["rank"] > 0).sum())
        words.append(
            f"{name}: {named} of {len(ill)} ill runs named first or second ({int((ill['rank'] == 1).sum())} first), "
            f"{false} of {len(healthy)} healthy runs with a finding"
            + (f"; {unmade} more did not come out as they were meant" if (unmade := int((~own["made"]).sum())) else "")
        )
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Write diagnosis.csv."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", default="runs", type=Path, metavar="DIR", help="folder of runs (runs)")
    parser.add_argument("--out", default="analysis/data", type=Path, metavar="DIR", help="where the table goes")
    options = parser.parse_args(argv)
    try:
        table = outcomes(list_runs(options.runs))
        if table.empty:
            raise LabError(f"{options.runs} holds no run of `python -m analysis.calibration --out {options.runs}`")
    except LabError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "diagnosis.csv", index=False, float_format="%.4g")
    print(options.out / "diagnosis.csv", *sentences(table), sep="\n")  # noqa: T201
    return 0


def measured(runs: list[Run]) -> pd.DataFrame:
    """`outcomes`, of runs of `analysis.calibration`."""
    table = outcomes(runs)
    if table.empty:
        raise LabError("these are no runs of `analysis.calibration`")
    return table


PLATES = (Plate("diagnosis", measured, drawn),)

if __name__ == "__main__":
    sys.exit(main())
