"""Where do nets look, and when do they begin to?

Two figures. *Families*: one test image through a net of each family, at four depths. *Training*: the deepest plain net
beside the residual net of the same depth, at each checkpoint, and below it the energy of their maps inside the mask
over many test images, with its interval. Maps are Grad-CAM for the image's true class, all on one colour scale. The
image is the first one of the test set that all the nets of the figure classify correctly; where there is none, the
first one. The CSV holds the picture, the mask and each map at its layer's resolution, a line each.

    python -m analysis.gradcam --runs runs --out figures
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure, SubFigure

from analysis.pixels import enlarged, grid_of, picture_of, picture_words, words_of
from analysis.plates import WHO, Plate, styles_of, titles_of, who
from analysis.publish import command
from labapp import palette
from labapp.config import LabError
from labapp.figures import WIDTH
from labapp.figures.maps import Cell, MapRow, Sheet, energy_words
from labapp.figures.maps.figure import draw_sheet, figure_of, height_of, tight
from labapp.store import Run

if TYPE_CHECKING:  # torch is needed to measure only
    from labapp.probes.explanations import LayerMap, Look, Sample, Subject

SEARCHED = 48  # test images among which one is sought that all nets get right
IMAGES = 128  # for a mean with its interval
DEPTHS = ("¼ of the depth", "½", "¾", "last block")
STAGE = 2  # of the checkpoints' maps: where a map is neither the image's edges nor one blot
PICTURE, MASK, MAP, MEAN = "picture", "mask", "map", "mean over images"
COLUMNS = [
    "what", *WHO, "step", "image", "target_class", "predicted_class", "probability", "layer", "stage", "depth",
    "energy", "low", "high", "even", "images", "pointing", "mask_share", "values",
]  # fmt: skip


def measured(runs: list[Run]) -> pd.DataFrame:
    """One image through a net of each family, the deepest; at four depths."""
    from labapp.probes import explanations

    chosen = of_each_family(_kept(runs))
    nets = [explanations.of_run(run) for run in chosen]
    sample = first_right(nets, chosen)
    rows = _sample(sample)
    for run, net in zip(chosen, nets, strict=True):
        found = explanations.look(net, sample, target="true")
        rows += [_row(run, sample, found, layer) for layer in found.at_depths(len(DEPTHS))]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def measured_training(runs: list[Run]) -> pd.DataFrame:
    """Two nets at each checkpoint they share, and the energy of their maps over many images."""
    from labapp.probes import explanations

    both = pair(_kept(runs))
    if not both:
        raise LabError("these runs hold no plain and residual net of one depth with checkpoints")
    steps = sorted(set.intersection(*(set(run.checkpoints()) for run in both)))
    sample = first_right([explanations.of_run(run) for run in both], both)
    rows = _sample(sample)
    for run in both:
        for step in steps:
            net = explanations.of_run(run, step)
            found = explanations.look(net, sample, target="true")
            layer = {each.stage: each for each in found.layers}.get(STAGE, found.layers[-1])
            rows.append(_row(run, sample, found, layer))
            many = explanations.survey(net, run, count=IMAGES)
            told = {row["net"]: row for row in explanations.energy_table(many, many) if _energy_of(row, layer.stage)}
            means = {key: told["trained"][key] for key in ("layer", "stage", "low", "high", "images")}
            energy = {"energy": told["trained"]["mean"], "even": told["uniform"]["mean"]}
            rows.append(_who(run) | {"what": MEAN, "step": step} | means | energy)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def drawn(table: pd.DataFrame) -> Figure:
    """A row a net, a column a depth."""
    maps = table[table["what"] == MAP]
    titles = titles_of(list(dict.fromkeys(maps["net"])))
    rows = [_map_row(titles[str(net)], own, list(own["layer"])) for net, own in maps.groupby("net", sort=False)]
    columns = DEPTHS if max(len(row.cells) for row in rows) == len(DEPTHS) else ()
    return figure_of(_sheet(table, rows, columns))


def drawn_training(table: pd.DataFrame) -> Figure:
    """A row a net, a column a checkpoint; below the energies."""
    maps = table[table["what"] == MAP]
    titles = titles_of(list(dict.fromkeys(maps["net"])))
    rows = [_map_row(titles[str(net)], own) for net, own in maps.groupby("net", sort=False)]
    sheet = _sheet(table, rows, tuple(f"step {step:,.0f}" for step in sorted(maps["step"].unique())))
    high = height_of(sheet)
    figure = plt.figure(figsize=(WIDTH, high + 2.0), layout=tight())
    top, bottom = figure.subfigures(2, 1, height_ratios=[high, 2.0])
    draw_sheet(top, sheet)
    _energy(bottom, table[table["what"] == MEAN])
    return figure


def of_each_family(runs: Sequence[Run]) -> list[Run]:
    """The deepest run of each family on the images that most runs share; of equals the first."""
    sets = [(run.experiment.imageset, run.experiment.image_size) for run in runs]
    usual = max(sets, key=sets.count)
    best: dict[str, Run] = {}
    for run, own in zip(runs, sets, strict=True):
        held = best.get(run.experiment.family)
        if own == usual and (held is None or (run.experiment.depth or 0) > (held.experiment.depth or 0)):
            best[run.experiment.family] = run
    return [best[family] for family in palette.FAMILIES if family in best]


def pair(runs: Sequence[Run]) -> list[Run]:
    """The deepest plain net and the residual net of its depth on the same images; none where there is no such pair."""
    found: dict[Any, dict[str, Run]] = {}
    for run in runs:
        key = (run.experiment.depth, run.experiment.imageset, run.experiment.image_size or 0)
        found.setdefault(key, {}).setdefault(run.experiment.family, run)
    pairs = {key: nets for key, nets in found.items() if {"plain", "residual"} <= set(nets) and key[0]}
    return [pairs[max(pairs)][family] for family in ("plain", "residual")] if pairs else []


def first_right(nets: Sequence[Subject], runs: Sequence[Run]) -> Sample:
    """The first test image that all nets classify correctly; the first one, where none of those searched is."""
    from labapp.probes import explanations

    right = [explanations.survey(net, run, count=SEARCHED).correct for net, run in zip(nets, runs, strict=True)]
    every = [index for index in range(min(map(len, right))) if all(each[index] for each in right)]
    return explanations.from_set(runs[0], every[0] if every else 0)


def _kept(runs: Sequence[Run]) -> list[Run]:
    kept = [run for run in runs if run.checkpoints()]
    if not kept:
        raise LabError(
            "these runs kept no checkpoints, and a map needs a net's weights; train some with --checkpoints 8"
        )
    return kept


def _who(run: Run) -> dict[str, Any]:
    return {str(name): value for name, value in who([run])[WHO].iloc[0].items()}


def _sample(sample: Sample) -> list[dict[str, Any]]:
    """The rows of the image and, where it is known, of what it shows."""
    rows = [{"what": PICTURE, "image": sample.name, "values": picture_words(sample.picture)}]
    if sample.mask is not None:
        rows.append({"what": MASK, "image": sample.name, "values": words_of(sample.mask.astype(float))})
    return rows


def _row(run: Run, sample: Sample, found: Look, layer: LayerMap) -> dict[str, Any]:
    share = float("nan") if sample.mask is None else float(sample.mask.mean())
    return _who(run) | {
        "what": MAP, "step": found.step, "image": sample.name, "target_class": found.target_name,
        "predicted_class": found.predicted_name, "probability": found.probability, "layer": layer.path,
        "stage": layer.stage, "depth": layer.depth, "energy": layer.energy, "pointing": layer.hit,
        "mask_share": share, "values": words_of(layer.evidence),
    }  # fmt: skip


def _energy_of(row: dict[str, Any], stage: int) -> bool:
    return row["stage"] == stage and row["measure"] == "energy"


def _sheet(table: pd.DataFrame, rows: Sequence[MapRow], columns: tuple[str, ...]) -> Sheet:
    picture = table[table["what"] == PICTURE].iloc[0]
    masks = table[table["what"] == MASK]
    mask = grid_of(masks["values"].iloc[0]) > 0 if len(masks) else None
    pixels = picture_of(picture["values"])
    shown = [
        MapRow(
            row.title,
            [cell and Cell(enlarged(cell.values, pixels.shape[:2]), cell.above, cell.below) for cell in row.cells],
            row.detail,
        )
        for row in rows
    ]
    title = f"{picture['image']} of the test set, Grad-CAM for its true class"
    return Sheet(pixels, shown, mask, title=title, columns=columns)


def _map_row(net: str, maps: pd.DataFrame, above: Sequence[str] = ()) -> MapRow:
    """The maps of one net, at the resolution of their layers."""
    cells = []
    for at, row in enumerate(maps.to_dict("records")):
        values = grid_of(row["values"])
        words = palette.short(str(above[at]), 18) if len(above) else ""
        cells.append(Cell(values, words, energy_words(values, row["energy"])))
    last = maps.iloc[-1]
    return MapRow(net, cells, f"{last['target_class']}: {palette.percent(last['probability'])}")


def _energy(figure: SubFigure, curves: pd.DataFrame) -> None:
    """Mean energy inside the mask over checkpoints, with its interval."""
    ax = figure.subplots()
    styles: Any = styles_of(curves).to_dict("records")
    for style in styles:
        rows = curves[curves["net"] == style["net"]]
        line = {"color": style["colour"], "dashes": tuple(style["dash"]) or (None, None), "marker": style["marker"]}
        ax.plot(rows["step"], 100 * rows["energy"], **line, markersize=3, label=style["net"])
        ax.fill_between(rows["step"], 100 * rows["low"], 100 * rows["high"], color=style["colour"], alpha=0.18, lw=0)
    ax.axhline(100 * curves["even"].mean(), color=palette.MUTED, linestyle=":", linewidth=1, label="even map")
    ax.set_xscale("symlog", linthresh=1)
    steps = sorted(curves["step"].unique())
    ax.set_xticks(steps, [f"{step:,.0f}" for step in steps])
    ax.minorticks_off()
    ax.set(
        xlabel=palette.quantity("step").title,
        ylabel="energy inside the mask (%)",
        ylim=(0, None),
        xlim=(-0.1, 1.1 * steps[-1]),
    )
    ax.set_title(f"Mean over {curves['images'].max():.0f} test images, 95 % interval, stage {STAGE}")
    ax.legend(loc="upper left", ncols=3)


CLAIMED = ("gradcam-sane", "gradcam-object")
PLATES = (
    Plate("gradcam_families", measured, drawn, ("degradation", "parameters", "healthy"), CLAIMED),
    Plate("gradcam_training", measured_training, drawn_training, ("degradation",), CLAIMED),
)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
