"""Where do nets look, and when do they begin to?

Two figures. *Families*: one test image through a net of each family, at four depths. *Training*: the deepest plain net
beside the residual net of the same depth, at each checkpoint, and below it the energy of their maps inside the mask
over many test images, with its interval. Maps are Grad-CAM for the image's true class, all on one colour scale. The
image is the first one of the test set that all the nets of the figure classify correctly; where there is none, the
first one. The numbers behind the pictures stand in the CSV, the maps themselves in the .npz beside it.

    python -m analysis.gradcam --runs runs --out figures
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import SubFigure

from analysis.publish import command, publish
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures import WIDTH
from labapp.figures.maps import Cell, MapRow, Sheet, energy_words, raw
from labapp.figures.maps.figure import draw_sheet, figure_of, height_of, tight
from labapp.probes import explanations
from labapp.probes.explanations import LayerMap, Look, Sample, Subject
from labapp.store import Run

SEARCHED = 48  # test images among which one is sought that all nets get right
IMAGES = 128  # for a mean with its interval
DEPTHS = ("¼ of the depth", "½", "¾", "last block")
STAGE = 2  # of the checkpoints' maps: where a map is neither the image's edges nor one blot


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write gradcam_families.* and gradcam_training.*; the second where the archive holds such a pair."""
    kept = [run for run in runs if run.checkpoints()]
    if not kept:
        raise LabError(
            "these runs kept no checkpoints, and a map needs a net's weights; train some with --checkpoints 8"
        )
    written = draw_families(kept, out)
    both = pair(kept)
    return written + (draw_training(both, out) if both else [])


def draw_families(runs: Sequence[Run], out: Path) -> list[Path]:
    """One image through a net of each family, the deepest; at four depths."""
    chosen = of_each_family(runs)
    nets = [explanations.of_run(run) for run in chosen]
    sample = first_right(nets, chosen)
    rows, table, maps = [], [], {}
    for run, net, name in zip(chosen, nets, frames.names(chosen), strict=True):
        found = explanations.look(net, sample, target="true")
        layers = found.at_depths(len(DEPTHS))
        rows.append(MapRow(name, [_cell(layer, str(layer.path)) for layer in layers], _says(found)))
        table += [_row(run, name, sample, found, layer) for layer in layers]
        maps |= {f"{name}/{layer.path}": layer.evidence for layer in layers}
    across = max(len(row.cells) for row in rows)
    columns = DEPTHS if across == len(DEPTHS) else ()
    sheet = Sheet(sample.picture, rows, sample.mask, title=_title(sample), columns=columns)
    return [*publish(figure_of(sheet), pd.DataFrame(table), out, "gradcam_families"), _raw(maps, out, "families")]


def draw_training(runs: Sequence[Run], out: Path) -> list[Path]:
    """Two nets at each checkpoint they share, and the energy of their maps over many images."""
    steps = sorted(set.intersection(*(set(run.checkpoints()) for run in runs)))
    names = frames.names(runs)
    sample = first_right([explanations.of_run(run) for run in runs], runs)
    rows, table, maps, energies = [], [], {}, []
    for run, name in zip(runs, names, strict=True):
        cells = []
        for step in steps:
            net = explanations.of_run(run, step)
            found = explanations.look(net, sample, target="true")
            layer = {each.stage: each for each in found.layers}.get(STAGE, found.layers[-1])
            cells.append(_cell(layer))
            table.append(_row(run, name, sample, found, layer))
            maps[f"{name}/step-{step}/{layer.path}"] = layer.evidence
            many = explanations.survey(net, run, count=IMAGES)
            rows_of = [row for row in explanations.energy_table(many, many) if row["stage"] == layer.stage]
            energies += [
                {"run": run.id, "net": name if row["net"] == "trained" else "even map", "step": step}
                | {key: row[key] for key in ("layer", "stage", "mean", "low", "high", "images")}
                for row in rows_of
                if row["measure"] == "energy" and row["net"] in ("trained", "uniform")
            ]
        rows.append(MapRow(name, cells, _says(found)))
    columns = tuple(f"step {step:,}" for step in steps)
    sheet = Sheet(sample.picture, rows, sample.mask, title=_title(sample), columns=columns)
    curves = pd.DataFrame(energies)
    high = height_of(sheet)
    figure = plt.figure(figsize=(WIDTH, high + 2.0), layout=tight())
    top, bottom = figure.subfigures(2, 1, height_ratios=[high, 2.0])
    draw_sheet(top, sheet)
    _energy(bottom, curves, runs)
    curves = curves.assign(what="mean over images").rename(columns={"mean": "energy"})
    data = pd.concat([pd.DataFrame(table).assign(what="the image shown"), curves])
    return [*publish(figure, data, out, "gradcam_training"), _raw(maps, out, "training")]


def of_each_family(runs: Sequence[Run]) -> list[Run]:
    """The deepest run of each family on the image set that most runs share; of equals the first."""
    sets = [run.experiment.imageset for run in runs]
    same = [run for run in runs if run.experiment.imageset == max(sets, key=sets.count)]
    best: dict[str, Run] = {}
    for run in same:
        held = best.get(run.experiment.family)
        if held is None or (run.experiment.depth or 0) > (held.experiment.depth or 0):
            best[run.experiment.family] = run
    return [best[family] for family in palette.FAMILIES if family in best]


def pair(runs: Sequence[Run]) -> list[Run]:
    """The deepest plain net and the residual net of its depth on the same images; none where there is no such pair."""
    found: dict[Any, dict[str, Run]] = {}
    for run in runs:
        key = (run.experiment.depth, run.experiment.imageset)
        found.setdefault(key, {}).setdefault(run.experiment.family, run)
    pairs = {key[0]: nets for key, nets in found.items() if {"plain", "residual"} <= set(nets)}
    return [pairs[max(pairs)][family] for family in ("plain", "residual")] if pairs else []


def first_right(nets: Sequence[Subject], runs: Sequence[Run]) -> Sample:
    """The first test image that all nets classify correctly; the first one, where none of those searched is."""
    right = [explanations.survey(net, run, count=SEARCHED).correct for net, run in zip(nets, runs, strict=True)]
    every = [index for index in range(min(map(len, right))) if all(each[index] for each in right)]
    return explanations.from_set(runs[0], every[0] if every else 0)


def _energy(figure: SubFigure, curves: pd.DataFrame, runs: Sequence[Run]) -> None:
    """Mean energy inside the mask over checkpoints, with its interval."""
    ax = figure.subplots()
    styles: Any = palette.styles(frames.describe(runs)).to_dict("records")
    for run, name, style in zip(runs, frames.names(runs), styles, strict=True):
        rows = curves[(curves["run"] == run.id) & (curves["net"] == name)]
        line = {"color": style["colour"], "dashes": tuple(style["dash"]) or (None, None), "marker": style["marker"]}
        ax.plot(rows["step"], 100 * rows["mean"], **line, markersize=3, label=name)
        ax.fill_between(rows["step"], 100 * rows["low"], 100 * rows["high"], color=style["colour"], alpha=0.18, lw=0)
    even = curves[curves["net"] == "even map"]
    ax.axhline(100 * even["mean"].mean(), color=palette.MUTED, linestyle=":", linewidth=1, label="even map")
    ax.set_xscale("symlog", linthresh=1)
    steps = sorted(curves["step"].unique())
    ax.set_xticks(steps, [f"{step:,}" for step in steps])
    ax.minorticks_off()
    ax.set(
        xlabel=palette.quantity("step").title,
        ylabel="energy inside the mask (%)",
        ylim=(0, None),
        xlim=(-0.1, 1.1 * steps[-1]),
    )
    ax.set_title(f"Mean over {curves['images'].max()} test images, 95 % interval, stage {STAGE}")
    ax.legend(loc="upper left", ncols=3)


def _cell(layer: LayerMap, above: str = "") -> Cell:
    return Cell(layer.over_image, palette.short(above, 18), energy_words(layer.evidence, layer.energy))


def _row(run: Run, name: str, sample: Sample, found: Look, layer: LayerMap) -> dict[str, Any]:
    share = float("nan") if sample.mask is None else float(sample.mask.mean())
    return {
        "run": run.id, "net": name, "step": found.step, "image": sample.name, "target": found.target_name,
        "predicted": found.predicted_name, "probability": found.probability, "layer": layer.path,
        "stage": layer.stage, "depth": layer.depth, "energy": layer.energy, "pointing": layer.hit, "mask_share": share,
    }  # fmt: skip


def _says(found: Look) -> str:
    return f"{found.target_name}: {palette.percent(found.probability)}"


def _title(sample: Sample) -> str:
    return f"{sample.name} of the test set, Grad-CAM for its true class"


def _raw(maps: dict[str, Any], out: Path, name: str) -> Path:
    path = out / f"gradcam_{name}.npz"
    path.write_bytes(raw(maps))
    return path


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
