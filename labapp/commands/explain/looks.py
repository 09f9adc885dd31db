"""Where does each net look in each image? Writes sheets of maps, the raw maps, and a row of scores for each map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labapp import palette
from labapp.commands.explain.files import slug, write, write_tables
from labapp.commands.explain.nets import Asked
from labapp.commands.progress import console, percent

if TYPE_CHECKING:
    from labapp.figures.maps import Cell, Sheet
    from labapp.probes.explanations import LayerMap, Look, Sample

GROUPS = ("stages", "depths", "blocks")  # words that each stand for several layers


def write_looks(
    asked: Sequence[Asked],
    samples: Sequence[Sample],
    layers: Sequence[str],
    methods: Sequence[str],
    targets: Sequence[str],
    folder: Path,
    faithful: bool,
    signed: bool,
) -> list[Path]:
    """Make the maps of every net for every image and method, and write them with their scores; returns the files."""
    from labapp.figures.maps.figure import encoded
    from labapp.probes import explanations

    written: list[Path] = []
    raw: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    drifts: list[dict[str, Any]] = []
    wanted = None if len(layers) == 1 and layers[0] in GROUPS else list(layers)
    for number, sample in enumerate(samples):
        target = targets[number if len(targets) > 1 else 0]
        for method in methods:
            shown: list[tuple[Asked, Look, list[LayerMap]]] = []
            ends = {each.name: each.subject for each in asked}  # a net's last checkpoint
            for each in asked:
                meant: str | int = target
                if target == "predicted" and ends[each.name] is not each.subject:
                    # one class for all checkpoints: else maps would differ because they speak of different things
                    meant = explanations.look(ends[each.name], sample, method, target, wanted).target
                found = explanations.look(each.subject, sample, method, meant, wanted)
                picked = {"stages": found.stages, "depths": found.at_depths(), "blocks": list(found.layers)}
                shown.append((each, found, list(found.layers) if wanted else picked[layers[0]]))
            for each, found, maps in shown:
                console().print(f"{each.title}, {sample.name}, {method}: {_says(found)}")
                scores = explanations.faithfulness(each.subject, sample, found, maps) if faithful else [{}] * len(maps)
                for layer, more in zip(maps, scores, strict=True):
                    rows.append(_row(each, sample, found, layer) | more)
                    raw["/".join((slug(each.title), slug(sample.name), method, layer.path))] = layer.evidence
            sheet = _sheet(shown, sample, method, signed)
            written.append(write(folder / f"{slug(sample.name)}.{method}.png", encoded(sheet)))
            _singles(sheet, shown, sample, method, folder)
            drifts += _drift(shown, sample, method)
    np.savez_compressed(folder / "maps.npz", **raw)  # type: ignore[arg-type]
    written.append(folder / "maps.npz")
    return [*written, *write_tables({"scores": rows, "drift": drifts}, folder)]


def _says(found: Look) -> str:
    right = "predicted" if found.target == found.predicted else f"it predicts {found.predicted_name}"
    return f"asked about {found.target_name} ({percent(found.probability)}, {right})"


def _row(each: Asked, sample: Sample, found: Look, layer: LayerMap) -> dict[str, Any]:
    share = float("nan") if sample.mask is None else float(sample.mask.mean())
    return {
        "net": each.name,
        "run": each.run.id if each.run else "",
        "step": each.subject.step,
        "image": sample.name,
        "method": found.method,
        "layer": layer.path,
        "stage": layer.stage,
        "height": layer.evidence.shape[0],
        "width": layer.evidence.shape[1],
        "target": found.target_name,
        "predicted": found.predicted_name,
        "true": "" if sample.label is None else each.subject.class_name(sample.label),
        "probability": found.probability,
        "energy": layer.energy,
        "mask_share": share,
        "pointing": layer.hit,
    }


def _sheet(shown: Sequence[tuple[Asked, Look, list[LayerMap]]], sample: Sample, method: str, signed: bool) -> Sheet:
    """The maps of one image and method; also those of nets with another image size are laid over the same picture."""
    from labapp.figures.maps import Cell, MapRow, Sheet, energy_words

    rows = []
    across = max(len(maps) for *_, maps in shown)
    for each, found, maps in shown:
        cells: list[Cell | None] = [
            Cell(layer.over_image, palette.short(layer.path, 18), energy_words(layer.evidence, layer.energy))
            for layer in maps
        ]
        detail = f"{found.target_name}: {percent(found.probability)}"
        rows.append(MapRow(each.title, cells + [None] * (across - len(cells)), detail))
    return Sheet(sample.picture, rows, sample.mask, signed=signed, title=f"{sample.name}, {palette.METHODS[method]}")


def _singles(
    sheet: Sheet,
    shown: Sequence[tuple[Asked, Look, list[LayerMap]]],
    sample: Sample,
    method: str,
    folder: Path,
) -> None:
    """Write each map as a picture of its own, with the sheet's colours."""
    from labapp.figures.maps import SIDE, blend, png

    (folder / "maps").mkdir(exist_ok=True)
    for (each, _, maps), row in zip(shown, sheet.rows, strict=True):
        for layer, cell in zip(maps, row.cells, strict=False):
            if cell is not None:
                name = ".".join((slug(each.title), slug(sample.name), method, slug(layer.path), "png"))
                pixels = blend(sheet.picture, sheet.shown(cell), sheet.opacity, SIDE)
                write(folder / "maps" / name, png(pixels))


def _drift(shown: Sequence[tuple[Asked, Look, list[LayerMap]]], sample: Sample, method: str) -> list[dict[str, Any]]:
    from labapp.probes import explanations

    rows = []
    for name in dict.fromkeys(each.name for each, *_ in shown):
        looks = [found for each, found, _ in shown if each.name == name]
        if len(looks) > 1:
            about = {"net": name, "image": sample.name, "method": method, "layer": looks[-1].layers[-1].path}
            for row in explanations.drift_of(looks):
                rows.append(about | {key: row[key] for key in ("step", "measure", "mean")})
    return rows
