"""How does the Grad-CAM page lay out its maps?

Rows are runs; columns are stages, depths, blocks or checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from labapp import app, palette
from labapp.app.views.gradcam_html import map_grid
from labapp.figures import maps
from labapp.store import Run

if TYPE_CHECKING:
    from labapp.probes.explanations import LayerMap, Look, Sample

COLUMNS = ("stages", "depths", "blocks", "checkpoints")
DEPTHS = ("¼ of the depth", "½", "¾", "last block")
Shown = Sequence[tuple[Run, int, "Look"]]  # run, step of its checkpoint, what it says


class View(NamedTuple):
    """What is being looked at."""

    columns: str
    method: str
    target: str
    stage: int | None
    step: int | None
    scale: str
    signed: bool
    opacity: float
    mean: tuple[float, ...] = ()  # how pixels are read, where not as each run's images were
    std: tuple[float, ...] = ()


def at_stage(look: Look, stage: int | None) -> LayerMap:
    """The last layer of a stage; the last layer of all where there is no such stage."""
    return {layer.stage: layer for layer in look.layers}.get(stage or 0, look.layers[-1])


def picked(look: Look, view: View) -> list[LayerMap]:
    """The layers that a view shows of one net."""
    if view.columns == "checkpoints":
        return [at_stage(look, view.stage)]
    return {"stages": look.stages, "depths": look.at_depths(), "blocks": list(look.layers)}[view.columns]


def draw(runs: Sequence[Run], names: dict[str, str], sample: Sample, shown: Shown, view: View) -> None:
    """The grid with its colour scale, and the downloads."""
    styles = {row.run: row for row in app.rows(app.styles(runs))}
    by_run = {run: [(step, look) for of, step, look in shown if of == run] for run, _, _ in shown}
    over_time = view.columns == "checkpoints"
    lines = {
        run: [
            (layer, f"step {step:,}: " if over_time else "") for step, look in own for layer in picked(look, view)
        ]
        for run, own in by_run.items()
    }  # fmt: skip
    across = max(len(line) for line in lines.values())
    if over_time:
        columns = [_moment([own[at][0] for own in by_run.values() if at < len(own)]) for at in range(across)]
    else:
        columns = [_column(view, at, across, [line[at][0] for line in lines.values() if at < len(line)])
                   for at in range(across)]  # fmt: skip
    rows, hovers = [], []
    for run, line in lines.items():
        cells: list[maps.Cell | None] = [_cell(layer, hover) for layer, hover in line]
        step, look = by_run[run][-1]
        detail = f"{look.target_name}: {palette.percent(look.probability)}"
        detail += f" (says {look.predicted_name})" if look.predicted != look.target else ""
        name = names[run.id]
        called = name if over_time or view.step is None else app.of_step(name, step, view.step)
        rows.append(maps.MapRow(called, cells + [None] * (across - len(cells)), detail))
        hovers.append((app.swatch(styles[name].colour, styles[name].dash), f"{run.id}, step {step:,}"))
    title = f"{sample.name}, {palette.METHODS[view.method]}"
    sheet = maps.Sheet(sample.picture, rows, sample.mask, view.scale, view.signed, view.opacity, title, tuple(columns))
    map_grid(sheet, columns, hovers)
    _downloads(sheet, names, shown)


def _moment(steps: Sequence[int]) -> str:
    """A column's heading: the step of its checkpoints, or their range where the runs kept different ones."""
    low, high = min(steps), max(steps)
    return f"step {low:,}" if low == high else f"step {low:,} – {high:,}"


def _column(view: View, at: int, count: int, layers: Sequence[LayerMap]) -> str:
    if layers[0].path == "image":
        return "at the image"
    if view.columns == "blocks":
        return f"{at + 1}"
    if view.columns == "depths" and count == len(DEPTHS):
        return DEPTHS[at]
    sizes = {layer.evidence.shape for layer in layers}
    return f"stage {at + 1}" + (f", {layers[0].evidence.shape[0]}×{layers[0].evidence.shape[1]}" * (len(sizes) == 1))


def _cell(layer: LayerMap, hover: str) -> maps.Cell:
    return maps.Cell(layer.over_image, hover + layer.path, maps.energy_words(layer.evidence, layer.energy))


def _downloads(sheet: maps.Sheet, names: dict[str, str], shown: Shown) -> None:
    # a file is made when its button is pressed, which a page that draws itself anew meanwhile would forget
    busy = bool(st.session_state.get("_looking", False))
    with st.container(horizontal=True):
        for kind, mime in {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}.items():
            st.download_button(
                kind.upper(), _later(sheet, kind), f"maps.{kind}", mime, key=f"download-{kind}",
                icon=":material/download:", on_click="ignore", disabled=busy,
            )  # fmt: skip
        st.download_button(
            "Raw maps", lambda: maps.raw(_raw(names, shown)), "maps.npz", "application/octet-stream",
            key="download-raw", icon=":material/download:", on_click="ignore", disabled=busy,
            help="Signed maps at each layer's resolution, for numpy.load",
        )  # fmt: skip


def _later(sheet: maps.Sheet, kind: str) -> Any:
    def encoded() -> bytes:
        from labapp.figures.maps.figure import encoded

        return encoded(sheet, kind)

    return encoded


def _raw(names: dict[str, str], shown: Shown) -> dict[str, Any]:
    return {
        f"{names[run.id]}/step-{step}/{look.method}/{layer.path}": layer.evidence
        for run, step, look in shown
        for layer in look.layers
    }
