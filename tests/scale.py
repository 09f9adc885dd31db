"""How do times grow with the number of runs, and with layers × steps of one run?

    python -m tests.scale FOLDER --out assets        # archives of up to 10,000 runs, runs of up to 10 million rows

Every time is of a process of its own, which has imported the lab and then looks once: seconds of its processor, and of
the clock. `scale.csv` has them, `scale.png` shows them on two logarithmic axes, where a slope of 1 is linear growth.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from labapp.config import Experiment
from labapp.figures import WIDTH, paper
from labapp.store import QUANTITIES, RunWriter
from tests.many_runs import many_runs

RUNS = (1000, 2000, 5000, 10_000)
SIZES = ((100, 1000), (100, 10_000), (1000, 1000), (1000, 10_000))  # layers, recorded steps
MEASURED = {  # what is done once, after the imports
    "list, first time": "look(sys.argv[1])",
    "list": "look(sys.argv[1])",
    "one quantity of one run": "find_run(sys.argv[2], sys.argv[1]).layers(['step', 'layer', 'output_grad_norm'])",
    "one quantity of all runs": "[run.steps(['loss'])['loss'].iloc[-1] for run in look(sys.argv[1]).runs]",
    "open": "find_run(sys.argv[2], sys.argv[1]).progress",
    "one quantity": "find_run(sys.argv[2], sys.argv[1]).matrices(['output_grad_norm'])",
    "100 steps of one quantity": "find_run(sys.argv[2], sys.argv[1]).matrices(['output_grad_norm'], int(sys.argv[3]))",
}
CHILD = """
import json, sys, time
from labapp.store import find_run, look
import pandas, pyarrow.dataset, pyarrow.parquet
clock, processor = time.perf_counter(), time.process_time()
{}
print(json.dumps([time.perf_counter() - clock, time.process_time() - processor]))
"""


def timed(what: str, *words: object) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    command = [sys.executable, "-c", CHILD.format(MEASURED[what]), *map(str, words)]
    clock, processor = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return clock, processor


def of_runs(folder: Path, counts: tuple[int, ...] = RUNS) -> list[dict[str, object]]:
    """Times of archives of so many runs."""
    rows: list[dict[str, object]] = []
    for count in counts:
        root = folder / "runs"
        shutil.rmtree(root, ignore_errors=True)
        names = many_runs(root, count)
        for what in ("list, first time", "list", "one quantity of one run", "one quantity of all runs"):
            clock, processor = timed(what, root, names[count // 2])
            rows.append({"of": "runs", "size": count, "what": what, "seconds": clock, "cpu_seconds": processor})
        shutil.rmtree(root)
    return rows


def of_steps(folder: Path, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[dict[str, object]]:
    """Times of runs of so many layers and steps, the number of rows."""
    rows: list[dict[str, object]] = []
    for layers, steps in sizes:
        root = folder / "runs"
        shutil.rmtree(root, ignore_errors=True)
        long_run(root, layers, steps)
        for what in ("open", "one quantity", "100 steps of one quantity"):
            clock, processor = timed(what, root, "long", steps - 100)
            about = {"layers": layers, "steps": steps}
            rows.append(
                {"of": "rows", "size": layers * steps, "what": what, "seconds": clock, "cpu_seconds": processor} | about
            )
        shutil.rmtree(root)
    return rows


def long_run(root: Path, layers: int, steps: int, chunk: int = 50_000) -> None:
    """A run of one net whose every quantity is a random number at every step."""
    random = np.random.default_rng(0)
    with RunWriter.create(root, Experiment(steps=steps, record_every=1), run_id="long") as writer:
        names, at_once = [f"conv{n}" for n in range(layers)], max(1, chunk // layers)
        for first in range(0, steps, at_once):
            at = np.arange(first, min(first + at_once, steps))
            writer.write(
                "layers",
                {
                    "step": np.repeat(at, layers),
                    "layer": names * len(at),
                    "kind": "conv",
                    "depth": np.tile(np.arange(layers), len(at)),
                    **{name: random.random(len(at) * layers) for name in QUANTITIES},
                },
            )
            writer.write("steps", {"step": at, "loss": random.random(len(at))})


def growth(table: pd.DataFrame) -> pd.Series:
    """The exponent with which each time grows, by least squares on logarithms: 1 is linear."""
    groups = table.groupby("what", sort=False)
    return groups.apply(lambda rows: np.polyfit(np.log(rows["size"]), np.log(rows["cpu_seconds"]), 1)[0])


def draw(table: pd.DataFrame, out: Path) -> None:
    """Write the figure."""
    slopes = growth(table)
    with paper():
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, WIDTH * 0.6), layout="constrained")
        for ax, (of, label) in zip(
            axes, {"runs": "runs in the archive", "rows": "layers × steps of a run"}.items(), strict=True
        ):
            for what, rows in table[table["of"] == of].groupby("what", sort=False):
                rows = rows.sort_values("size")
                ax.loglog(rows["size"], rows["cpu_seconds"], marker="o", label=f"{what} (slope {slopes[what]:.2f})")
            ax.set(xlabel=label, ylabel="seconds of the processor")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize="x-small")
        figure.savefig(out, dpi=200)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure how times grow with runs and with rows.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("assets"))
    parser.add_argument("--again", action="store_true", help="draw from scale.csv, measure nothing")
    asked = parser.parse_args()
    mpl.use("agg")
    if asked.again:
        measured = pd.read_csv(asked.out / "scale.csv")
    else:
        measured = pd.DataFrame(of_runs(asked.folder) + of_steps(asked.folder))
        measured.round(5).to_csv(asked.out / "scale.csv", index=False)
    draw(measured, asked.out / "scale.png")
    print(measured.to_string(), growth(measured), sep="\n")  # noqa: T201 - its answer
