"""Does `labapp diagnose` name each illness, and nothing where a run is healthy?

Of the runs of `analysis.calibration`: what was found in each, in order, and at which place the right finding stands.
Seeds below 100 were looked at while the rules were written; those from 100 on were not.

    python -m analysis.calibration --out runs --seeds 0 1 2 100 101 102
    python -m analysis.diagnosis --runs runs --out analysis/data
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.calibration import CASES
from labapp.config import LabError
from labapp.frames import diagnosis
from labapp.frames.training import held_out
from labapp.store import Run, list_runs

UNSEEN = 100  # seeds from here on
COLUMNS = ["kind", "seed", "seen", "status", "steps", "accuracy", "right", "rank", "findings", "strengths"]


def outcomes(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run of `CASES`.

    Returns:
        kind, seed, seen (whether the rules were written with it in view), status, steps, accuracy (the last on test
        images, NaN where there was none), right (rules of which one has to be found, "" of a healthy run), rank (the
        place of the first of them, 0 where there is none; of a healthy run how many findings it has, all false),
        findings and strengths (in order).
    """
    rows = []
    for run in runs:
        kind, _, seed = run.id.rpartition(".s")
        if kind not in CASES or run.status == "running":
            continue
        right, told = CASES[kind].finding, diagnosis.diagnose(run).findings
        names = [one.rule for one in told]
        rank = next((at for at, name in enumerate(names, start=1) if name in right), 0) if right else len(names)
        tests = held_out(run)["accuracy"]
        rows.append(
            (
                *(kind, int(seed), int(seed) < UNSEEN, run.status, run.progress[0]),
                float(tests.iloc[-1]) if len(tests) else float("nan"),
                *(" or ".join(right), rank, " ".join(names)),
                " ".join(f"{one.strength:.2f}" for one in told),
            )
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = list(CASES)
    return table.sort_values(["kind", "seed"], key=lambda own: own.map(order.index) if own.name == "kind" else own)


def sentences(table: pd.DataFrame) -> list[str]:
    """How many illnesses were named first or second, and how many healthy runs have a finding."""
    words = []
    for seen, own in table.groupby("seen"):
        ill, healthy = own[own["right"] != ""], own[own["right"] == ""]
        named = int(ill["rank"].between(1, 2).sum())
        false = int((healthy["rank"] > 0).sum())
        which = "seeds that the rules were written with" if seen else "unseen seeds"
        words.append(
            f"{which}: {named} of {len(ill)} ill runs named first or second ({int((ill['rank'] == 1).sum())} first), "
            f"{false} of {len(healthy)} healthy runs with a finding"
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


if __name__ == "__main__":
    sys.exit(main())
