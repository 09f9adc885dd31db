"""How do runs leave for other tools?

    export([run], "tensorboard", "out")          # then: tensorboard --logdir out
    export(runs, "parquet", "tables")            # then: duckdb -c "SELECT * FROM 'tables/layers.parquet'"

Reads the archive and changes nothing in it. A run that is being written is exported as far as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labapp.config import LabError
from labapp.exports.about import AboutRun, about_run
from labapp.exports.chosen import CurveChoice
from labapp.exports.dashboards import TABLES, Dashboard, require_target, told
from labapp.exports.outfolder import out_folder
from labapp.exports.points import OF_LAYERS, CurvePoint, Curves
from labapp.exports.reading import pieces
from labapp.exports.to_tables import write_tables
from labapp.store import Run

FIRST = ("steps", "evals", "layers")  # tables, before those that further ones speak of


@dataclass(frozen=True)
class Exported:
    """What came out of an export.

    Attributes:
        path: Where it lies.
        curves: How many curves, of all runs together; 0 for tables.
        numbers: How many points of curves, or rows of tables.
        notes: What was left out and why, in sentences.
        whole: Whether all could be read that was recorded.
    """

    path: Path
    curves: int
    numbers: int
    notes: tuple[str, ...]
    whole: bool


def export(
    runs: Run | Iterable[Run],
    to: str,
    out: str | Path,
    *,
    quantities: str | Iterable[str] = (),
    layers: str | Iterable[str] = (),
    force: bool = False,
) -> Exported:
    """Write runs so that another tool reads them.

    Args:
        runs: One run or several.
        to: csv, parquet, tensorboard, wandb or mlflow.
        out: The folder that is made.
        quantities: Names of quantities, "histograms", "spreads" or "all"; left out, all for tables and four for others.
        layers: Kinds, paths or patterns of layers, or "all"; left out, all for tables, else those with weights.
        force: Replace an earlier export at `out`.

    Raises:
        LabError: A target, quantity or layer that is none, a tool that is not installed, a place that is taken or
            cannot be written, or a run that cannot be read. Nothing is left at `out` then but what was there.
    """
    chosen = [runs] if isinstance(runs, Run) else list(runs)
    if not chosen:
        raise LabError("there is no run to export")
    require_target(to)
    wanted = CurveChoice.of(quantities, layers)
    notes: list[str] = []
    known = [(run, _told_of(run, notes)) for run in chosen]
    damaged = len(notes)
    with out_folder(out, force, to, [run.id for run in chosen]) as folder:
        if to in TABLES:
            curves, numbers = 0, write_tables(folder, to, known, wanted, notes.append)
        else:
            curves, numbers = _write_curves(folder, Path(out), to, known, wanted, notes)
    for run, about in known:
        notes += [f"{run.id}: {problem}" for problem in run.problems]
        damaged += bool(run.problems)
        if about.status == "running":
            notes.append(f"{run.id} is being written; exported is what there was, step {about.step} of {about.steps}")
    return Exported(Path(out), curves, numbers, tuple(dict.fromkeys(notes)), not damaged)


def _told_of(run: Run, notes: list[str]) -> AboutRun:
    about, faults = about_run(run)
    notes += faults
    return about


def _write_curves(
    folder: Path, out: Path, to: str, runs: Sequence[tuple[Run, AboutRun]], wanted: CurveChoice, notes: list[str]
) -> tuple[int, int]:
    """Write the curves of runs; how many, and of how many points."""
    curves = points = 0
    names = _names([run for run, _ in runs])
    for (run, about), name in zip(runs, names, strict=True):
        shown = Curves(wanted)
        with told(to, out):
            dashboard = opened(to, folder, replace(about, id=name), out)
        try:
            for point, wall in _points(run, about, shown):
                with told(to, out):
                    dashboard.add(point, wall)
                points += len(point.scalars) + len(point.histograms)
        finally:
            with told(to, out):
                dashboard.close(about)
        curves += len(shown.names)
        here = f"{run.id}: " if len(runs) > 1 else ""
        notes += [f"{here}{sentence}" for sentence in (*shown.left_out(), *dashboard.lost())]
    return curves, points


def opened(to: str, folder: Path, about: AboutRun, final: Path | None = None) -> Dashboard:
    """A dashboard for one run, in a folder that is renamed to `final` later on."""
    if to == "tensorboard":
        from labapp.exports.to_tensorboard import EventFile

        return EventFile(folder / about.id, about)
    if to == "wandb":
        from labapp.exports.to_wandb import OfflineRun

        return OfflineRun(folder, about)
    from labapp.exports.to_mlflow import TrackedRun, local_store

    return TrackedRun(local_store(folder), about, (final or folder) / "artifacts")


def _names(runs: Sequence[Run]) -> list[str]:
    """The ids of runs; of two of one id, from two archives, the later ones have a number behind."""
    names: list[str] = []
    for run in runs:
        name, count = run.id, 2
        while name in names:
            name, count = f"{run.id}.{count}", count + 1
        names.append(name)
    return names


def _points(run: Run, about: AboutRun, curves: Curves) -> Iterator[tuple[CurvePoint, float]]:
    """All points of a run, each with the time at which it was measured, as far as steps have one."""
    there = run.tables()
    clock = _clock(run, about) if "steps" in there else lambda step: about.started.timestamp()
    shown: list[str] = []
    if "layers" in there:
        found = _layers(run)
        shown = curves.knows(found)
        if found and not shown and curves.wanted.layers:
            raise LabError(f"{run.id}: {curves.notes[-1]}")
    for table in (*FIRST, *(name for name in there if name not in FIRST)):
        if table not in there or (table in OF_LAYERS and table != "layers" and not curves.wanted.takes(table)):
            continue
        columns = ["step", "layer", "kind", "depth", *curves.wanted.columns] if table == "layers" else None
        for part in pieces(run, table, columns, shown if table in OF_LAYERS else None):
            for point in curves.points(table, {name: part[name].to_numpy() for name in part.columns}):
                yield point, clock(point.step)


def _layers(run: Run) -> list[tuple[str, str, int]]:
    """Path, kind and depth of each layer that run.json names, or the last recorded step."""
    words = ["layer", "kind", "depth"]
    last = run.layers(["step"])["step"].max()
    rows = run.layers(words, steps=int(last)) if last == last else run.layers(words)
    told = [(one["path"], one["kind"], int(one["depth"])) for one in run.layers_info if {"kind", "depth"} <= set(one)]
    told += [(layer, str(kind), int(depth)) for layer, kind, depth in rows[words].itertuples(index=False)]
    return list({layer[0]: layer for layer in told}.values())


def _clock(run: Run, about: AboutRun) -> Callable[[int], float]:
    """When a step was, in seconds since 1970: from the seconds that its row says, else as far as the run is known."""
    frame = run.steps(["step", "seconds"]).dropna().sort_values("step", kind="stable")
    began = about.started.timestamp()
    if frame.empty:
        share = about.seconds / max(about.step, 1)
        return lambda step: began + share * step
    steps, seconds = frame["step"].to_numpy(), frame["seconds"].to_numpy(dtype=np.float64)
    return lambda step: began + float(np.interp(step, steps, seconds))


def of_words(words: Sequence[str], find: Callable[[str], Run], below: Callable[[str], list[Run]]) -> list[Run]:
    """The runs that words name, each once: a run's name or folder, or a folder that holds runs.

    Args:
        words: What somebody typed.
        find: Gives a run by name.
        below: Gives the runs of a folder.
    """
    found: list[Run] = []
    for word in words:
        folder = Path(word)
        if folder.is_dir() and not (folder / "run.json").exists() and (several := below(word)):
            found += several
        else:
            found.append(find(word))
    return list(dict.fromkeys(found))
