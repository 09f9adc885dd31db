"""How does a figure become files that can be published, and the table behind it too?

A script hands `command` its function `draw`; that reads the options, picks the runs and turns mistakes into one
sentence and exit code 2:

    if __name__ == "__main__":
        sys.exit(command(draw, __doc__))
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import NoReturn

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labapp import frames, palette
from labapp.config import LabError, nearest
from labapp.figures import UNDATED, paper
from labapp.store import Run, broken_runs, list_runs

ACROSS = 3  # panels in a row
Draw = Callable[[list[Run], Path], list[Path]]
TOLD = 3  # sentences under a figure; standard error has them all
_drawn: ContextVar[list[Run]] = ContextVar("drawn", default=[])  # noqa: B039 -- never changed in place


class _OneSentence(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}; --help lists the options\n")


def command(draw: Draw, about: str | None, argv: Sequence[str] | None = None) -> int:
    """Draw one figure from the command line; 0, or 2 after a sentence about what is wrong."""
    parser = _OneSentence(description=(about or "").strip().splitlines()[0])
    parser.add_argument("--runs", default="runs", type=Path, metavar="DIR", help="folder of runs (runs)")
    parser.add_argument("--out", default="figures", type=Path, metavar="DIR", help="where the files go (figures)")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="runs by id or name, * and ? allowed; all when left out"
    )
    options = parser.parse_args(argv)
    mpl.use("agg")
    try:
        runs = pick(options.runs, options.only)
        options.out.mkdir(parents=True, exist_ok=True)
        _drawn.set(runs)
        with paper():
            written = draw(runs, options.out)
    except LabError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:
        print(f"cannot write into {options.out}: {error.strerror or error}; choose another --out", file=sys.stderr)  # noqa: T201
        return 2
    print(*written, sep="\n")  # noqa: T201
    return 0


def pick(folder: Path, only: Sequence[str] = ()) -> list[Run]:
    """The readable runs of an archive, oldest first; one line to standard error about each one that is broken."""
    for _, sentence in broken_runs(folder):
        print(f"left out: {sentence}", file=sys.stderr)  # noqa: T201
    runs = list_runs(folder)[::-1]
    if not runs:
        raise LabError(f"{folder} holds no run that can be read; `labapp starter --root {folder}` makes some")
    known = [word for run in runs for word in (run.id, run.name)]
    for pattern in only:
        if not fnmatch.filter(known, pattern):
            raise LabError(f"no run in {folder} is called '{pattern}'{nearest(pattern, known)}")
    wanted = [run for run in runs if any(fnmatch.fnmatch(word, p) for p in only for word in (run.id, run.name))]
    return wanted if only else runs


def publish(figure: Figure, data: pd.DataFrame, out: Path, name: str) -> list[Path]:
    """Write a figure as PNG, SVG and PDF, and the numbers it shows as CSV.

    What is missing or damaged in the runs stands under the figure, and on standard error.
    """
    if missing := [f"{run.id}: {problem}" for run in _drawn.get() for problem in run.problems]:
        print(*missing, sep="\n", file=sys.stderr)  # noqa: T201
        more = [f"and {len(missing) - TOLD} more"] if len(missing) > TOLD else []
        words = "\n".join(textwrap.fill(line, 130) for line in ["Incomplete data", *missing[:TOLD], *more])
        figure.supxlabel(words, x=0.01, ha="left", fontsize=5.5, color=palette.MUTED, parse_math=False)
    paths = [out / f"{name}.{kind}" for kind in UNDATED]
    for path, metadata in zip(paths, UNDATED.values(), strict=True):
        figure.savefig(path, metadata=metadata)
    plt.close(figure)
    table = out / f"{name}.csv"
    data.to_csv(table, index=False, float_format="%.6g")
    return [*paths, table]


def panels(names: Sequence[str], size: Callable[[int, int], tuple[float, float]]) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel for each name, at most `ACROSS` in a row; the rest of the last row stays empty.

    Args:
        names: In the order in which they are read.
        size: Width and height in inches, for so many panels across and down.
    """
    across = min(ACROSS, len(names))
    down = math.ceil(len(names) / across)
    figure, axes = plt.subplots(down, across, figsize=size(across, down), layout="constrained", squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    return figure, dict(zip(names, axes.flat, strict=False))


def looks(runs: Sequence[Run]) -> pd.DataFrame:
    """How each net is drawn: `palette.styles` with one row for each net, whatever its seeds, and the column net.

    In the order in which they are listed: by family, then by depth.
    """
    order = [*palette.FAMILIES]
    nets = frames.describe(runs).drop_duplicates("net")
    nets = nets.assign(order=nets["family"].map(order.index)).sort_values(
        ["order", "net_depth", "net"], ignore_index=True
    )
    return palette.styles(nets.assign(place=nets["net_place"])).assign(net=list(nets["net"]))
