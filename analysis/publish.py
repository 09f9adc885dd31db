"""How does a figure become files that can be published, from runs or from the table that it once wrote?

A script hands `command` its plates; that reads the options, picks the runs and turns mistakes into one sentence and
exit code 2:

    if __name__ == "__main__":
        sys.exit(command(PLATES, __doc__))

Either way a figure is drawn from the text of its CSV, so both give the same picture.
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plates import Plate, of_sweeps
from analysis.written import INCOMPLETE, incomplete, notes, read_table, signed, written
from labapp import palette
from labapp.config import LabError, listed, nearest, place, shown
from labapp.figures import UNDATED, paper
from labapp.store import Run, broken_runs, list_runs

ACROSS = 3  # panels in a row
TOLD = 3  # sentences under a figure; standard error has them all
FORMATS = (*UNDATED, "csv")


class _OneSentence(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}; --help lists the options\n")


def options_of(about: str | None, *, runs: bool = True, out: Path = Path("figures")) -> argparse.ArgumentParser:
    """A parser whose mistakes are one sentence, with what every command here may be told.

    Args:
        about: The module's docstring.
        runs: Whether it takes a folder of runs.
        out: Where files go when it is not told.
    """
    parser = _OneSentence(description=(about or "").strip().splitlines()[0])
    if runs:
        parser.add_argument("--runs", default="runs", type=Path, metavar="DIR", help="folder of runs (runs)")
    parser.add_argument("--out", default=out, type=Path, metavar="DIR", help=f"where the files go ({out.name})")
    return parser


def choose_formats(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which files to write; without a picture among them nothing is drawn."""
    parser.add_argument(
        "--formats", nargs="+", default=FORMATS, choices=FORMATS, metavar="KIND", help=f"of {listed(FORMATS)}; all"
    )


def command(plates: Sequence[Plate], about: str | None, argv: Sequence[str] | None = None) -> int:
    """Draw the figures of one script from the command line; 0, or 2 after a sentence about what is wrong."""
    parser = options_of(about)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="runs by id or name, * and ? allowed; all when left out"
    )
    parser.add_argument(
        "--table", nargs="+", default=[], type=Path, metavar="FILE", help="draw again from such a CSV, not from runs"
    )
    choose_formats(parser)
    options = parser.parse_args(argv)
    mpl.use("agg")
    with spoken(options.out) as failed:
        if options.table:
            texts = {plate_of(path, plates): reading(path) for path in options.table}
        else:
            texts = measured(plates, pick(options.runs, options.only), bool(options.only))
        options.out.mkdir(parents=True, exist_ok=True)
        files = [path for plate, text in texts.items() for path in put(plate, text, options.out, options.formats)]
        print(*files, sep="\n")  # noqa: T201
    return 2 if failed else 0


@contextmanager
def spoken(out: Path) -> Iterator[list[str]]:
    """Mistakes become one sentence on standard error; it is in the list that is given."""
    failed: list[str] = []
    try:
        yield failed
    except LabError as error:
        failed.append(str(error))
    except OSError as error:
        failed.append(f"cannot write into {out}: {error.strerror or error}; choose another --out")
    for sentence in failed:
        print(sentence, file=sys.stderr)  # noqa: T201


def pick(folder: Path, only: Sequence[str] = ()) -> list[Run]:
    """The readable runs of an archive, oldest first; one line to standard error about each one that is broken."""
    for _, sentence in broken_runs(folder):
        print(f"left out: {sentence}", file=sys.stderr)  # noqa: T201
    runs = list_runs(folder)[::-1]
    if not runs:
        where = shown(place(folder))
        raise LabError(f"{where} holds no run that can be read; `labapp starter --root {where}` makes some")
    known = [word for run in runs for word in (run.id, run.name)]
    for pattern in only:
        if not fnmatch.filter(known, pattern):
            raise LabError(f"no run in {folder} is called '{pattern}'{nearest(pattern, known)}")
    wanted = [run for run in runs if any(fnmatch.fnmatch(word, p) for p in only for word in (run.id, run.name))]
    return wanted if only else runs


def measured(plates: Sequence[Plate], runs: list[Run], chosen: bool = False) -> dict[Plate, str]:
    """The table of each figure as the text of a CSV; one line to standard error about each that cannot be made.

    Args:
        plates: Which figures.
        runs: At least one.
        chosen: Whether somebody named the runs; else each figure takes those of its sweeps, where there are any.

    Raises:
        LabError: If none can be made: what is wrong with the first.
    """
    texts, errors = {}, {}
    for plate in plates:
        own = runs if chosen else of_sweeps(runs, plate.sweeps)
        if len(own) < len(runs):
            print(f"{plate.name}: of {len(runs)} runs the {len(own)} of {_tags(plate)}", file=sys.stderr)  # noqa: T201
        try:
            table = plate.measured(own)
        except LabError as error:
            errors[plate.name] = error
            continue
        missing = [f"{run.id}: {problem}" for run in own for problem in run.problems]
        texts[plate] = written(incomplete(table, missing))
    if not texts:
        raise next(iter(errors.values()))
    for name, error in errors.items():
        print(f"left out: {name}: {error}", file=sys.stderr)  # noqa: T201
    return texts


def _tags(plate: Plate) -> str:
    return f"the sweep{'s' * (len(plate.sweeps) > 1)} {listed(plate.sweeps)}"


def plate_of(path: Path, plates: Sequence[Plate]) -> Plate:
    """The figure that a table is of, by the file's name."""
    names = {plate.name: plate for plate in plates}
    if path.stem not in names:
        raise LabError(
            f"{path.name} is no table of this command, which draws {listed(f'{name}.csv' for name in names)}"
        )
    return names[path.stem]


def reading(path: Path) -> str:
    """The text of a table."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def put(plate: Plate, text: str, out: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw a figure from the text of its CSV, and write both.

    Args:
        plate: Which figure.
        text: Of its CSV.
        out: A folder.
        formats: The files that are wanted.

    Raises:
        LabError: If a column is missing that the figure needs.
    """
    kinds = [kind for kind in UNDATED if kind in formats]
    metadata = signed(plate.name, read_table(text))
    pictures = _pictures(figure_of(plate, text), out, plate.name, metadata, kinds) if kinds else []
    return [*pictures, *([_csv(text, out, plate.name)] if "csv" in formats else [])]


def figure_of(plate: Plate, text: str) -> Figure:
    """The figure of a table; what is missing or damaged in its runs stands under it, and on standard error."""
    table = read_table(text)
    with paper():
        try:
            figure = plate.drawn(table.drop(columns=INCOMPLETE, errors="ignore"))
        except KeyError as error:
            raise LabError(
                f"the table of {plate.name} has no column {error}; `analysis.freeze` makes a new one"
            ) from None
        if missing := notes(table):
            print(*missing, sep="\n", file=sys.stderr)  # noqa: T201
            more = [f"and {len(missing) - TOLD} more"] if len(missing) > TOLD else []
            words = "\n".join(textwrap.fill(line, 130) for line in ["Incomplete data", *missing[:TOLD], *more])
            figure.supxlabel(words, x=0.01, ha="left", fontsize=5.5, color=palette.MUTED, parse_math=False)
    return figure


def publish(figure: Figure, data: pd.DataFrame, out: Path, name: str) -> list[Path]:
    """Write a figure that is not of runs as PNG, SVG and PDF, and the numbers it shows as CSV."""
    return [*_pictures(figure, out, name, signed(name, data)), _csv(written(data), out, name)]


def _pictures(
    figure: Figure, out: Path, name: str, metadata: dict[str, dict[str, str]], kinds: Sequence[str] = tuple(UNDATED)
) -> list[Path]:
    paths = [out / f"{name}.{kind}" for kind in kinds]
    with paper():  # a format is drawn when it is written, in a layout that no other one has a part in
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for path, kind in zip(paths, kinds, strict=True):
            figure.savefig(path, metadata=UNDATED[kind] | metadata[kind])
    plt.close(figure)
    return paths


def _csv(text: str, out: Path, name: str) -> Path:
    path = out / f"{name}.csv"
    path.write_text(text, encoding="utf-8")
    return path


def panels(names: Sequence[str], size: Callable[[int, int], tuple[float, float]]) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel for each name, at most `ACROSS` in a row, as even as can be.

    Args:
        names: In the order in which they are read.
        size: Width and height in inches, for so many panels across and down.
    """
    down = math.ceil(len(names) / ACROSS)
    across = math.ceil(len(names) / down)
    figure, axes = plt.subplots(down, across, figsize=size(across, down), layout="constrained", squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    return figure, dict(zip(names, axes.flat, strict=False))


def outer(ax: Axes) -> None:
    """Labels stand at the left and the lower edge of a figure of `panels` alone."""
    place = ax.get_subplotspec()
    if place and not place.is_first_col():
        ax.set_ylabel("")
    if place and not place.is_last_row():
        ax.set_xlabel("")
