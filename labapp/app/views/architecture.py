"""What is this net?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.config import LabError, listed
from labapp.store import Run

PLAN = ("architecture", "stages", "stacks", "growth")
MEASURED = ("level_gradients", "spatial_order", "accepted_sizes")
MEANING = """
**Multiply-adds**: products summed in convolutions and linear layers, for one image. **Receptive field**: pixels a side
that can change one position of the layer's output. **FC share**: parameters in linear layers over all parameters, 86 to
93 % in the VGG nets of 2014 (Simonyan & Zisserman), where global average pooling leaves hardly any.
"""
PARTS = "Convolutions by stage from pale to strong, then normalisation, then linear layers (FC) in full at the end."
STAGES = """What the net hands on at each resolution, as a backbone for detection or segmentation; names as in He et al.
2015, Table 1."""
STACKS = """A stack of 3×3 kernels sees as much as one large kernel, with fewer weights and more rectifiers between
(Simonyan & Zisserman 2014, §2.3); from 64 to 64 channels, without bias."""
PYRAMID = """A pyramid (Lin et al. 2017) newly initialised on this net's stages: norm of the gradient that a unit error
at every position of a level sends into each stage, for one image. A level reaches finer stages only through the net."""
GROWTH = "Each layer adds k channels to what it read; a transition keeps a share θ of them (Huang et al. 2017, §3)."
PUBLISHED = """What papers say of this net, with their images, recipes and machines. Only what stands
under *Here* was measured here: this run's own number, where quantity and images are the same."""
ROWS = {"layers with parameters": "parameters", "all layers": "all", "blocks": "blocks"}
HEIGHT = 420  # pixels of the table of layers


def answer(name: str, sizes: dict[str, float], image: tuple[int, ...]) -> str:
    """The page's question answered for `frames.sizes` and the shape of the first layer's output."""
    field = ""
    if pd.notna(sizes["receptive_field"]):
        field = f"; its last map sees {sizes['receptive_field']:,.0f} pixels a side"
        if image and sizes["receptive_field"] >= 2 * image[-1]:
            field += f", more than the image of {image[-1]} has"
    share = palette.percent(sizes["linear_share"])
    return (
        f"{name} has {amount(sizes['parameters'])} parameters, {share} of them in linear layers, and makes "
        f"{amount(sizes['multiply_adds'])} multiply-adds for an image{field}."
    )


def amount(number: float) -> str:
    """A count as people say it: 272 k, 1.02 M, 4.09 G."""
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{palette.number(number / size)}{sign}"
    return palette.number(number)


def page() -> None:
    """Draw the page."""
    app.show(lambda archive: app.show_probed(archive, archive.chosen, PLAN, "The architecture of {}", _picture))


def _picture(archive: app.OpenArchive, have: Sequence[Run]) -> None:
    top = st.container()
    names = dict(zip(frames.names(have, seeds=False), have, strict=True))  # of repetitions one is enough
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run = app.choice("Net", names, "net", width=230)
        shown = st.segmented_control(
            "Rows", list(ROWS), default="layers with parameters", key="rows", bind="query-params", required=True
        )
    name = next(known for known, own in names.items() if own is run)
    try:
        table = frames.architecture(run, app.probe)
        parts = frames.parts(list(names.values()), app.probe)
    except LabError as error:
        top.title("This table cannot be read.", anchor=False)
        st.error(palette.sentence(error))
        return
    image = tuple(int(side) for side in str(table["shape"].iloc[0]).split("×")) if len(table) else ()
    top.title(palette.sentence(answer(name, frames.sizes(table), image)), help=MEANING, anchor=False)
    _layers(table, ROWS[shown])
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("**Parameters by part**", help=PARTS)
        linear = parts[parts["part"] == "linear"]
        in_linear = below.of_runs(f"{palette.percent(row.share)} of {row.run}" for row in app.rows(linear))
        app.chart(charts.parts_chart(parts), "parts", f"Parameters by part; in linear layers {in_linear}", parts)
    with right:
        _stages(run)
    _published(run, frames.sizes(table)["parameters"])
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _measured(archive, run)
    with right:
        _stacks(run)
        if "growth" in run.probes():
            _growth(run)


def _layers(table: pd.DataFrame, which: str) -> None:
    rows = {
        "parameters": table[(table["kind"] != "block") & (table["parameters"] > 0)],
        "all": table[table["kind"] != "block"],
        "blocks": table[table["kind"] == "block"],
    }[which]
    if rows.empty:
        st.caption("This net has no blocks; choose its layers.")
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        rows.assign(kind=rows["kind"].map(palette.kind))[
            ["depth", "layer", "kind", "stage", "shape", "parameters", "multiply_adds", "receptive_field"]
        ],
        hide_index=True,
        height=min(HEIGHT, 36 * (len(rows) + 1)),
        key=f"layers-{which}",
        placeholder="–",
        alt="Every layer: shape, parameters, multiply-adds and receptive field",
        column_config={
            "depth": number("Depth", width="small", help="Place in the order of execution"),
            "layer": st.column_config.TextColumn("Layer", width="medium"),
            "kind": "Kind",
            "stage": number("Stage", width="small", help="Counts spatial resolutions"),
            "shape": st.column_config.TextColumn("Output", help="Channels × height × width"),
            "parameters": number("Parameters", format="localized"),
            "multiply_adds": number("Multiply-adds", format="localized", help="For one image"),
            "receptive_field": number("Receptive field", format="%.0f px", help="Pixels a side"),
        },
    )


def _stages(run: Run) -> None:
    table = app.readable(run, "stages", frames.PLAN)
    st.markdown("**Features by stage**", help=STAGES)
    if table.empty:
        return
    shape = [f"{row.channels} × {row.height} × {row.width}" for row in app.rows(table)]
    stride = ["–" if row.stride == 0 else f"{row.stride:,} px" for row in app.rows(table)]
    st.table(
        pd.DataFrame({"Map": table["stage"].map(palette.markdown), "Shape": shape, "Stride": stride}),
        hide_index=True,
        border="horizontal",
    )


def _published(run: Run, parameters: float) -> None:
    accuracy = float(app.overview([run])["accuracy"].iloc[0])
    table = frames.beside(run.experiment, parameters, accuracy)
    st.markdown("**Published record, beside this run**", help=PUBLISHED)
    if table.empty:
        st.caption("The papers that the lab keeps give no number for a net of this family, form and depth.")
        return
    shown = pd.DataFrame(
        {
            "Net": table["net"],
            "What": table["what"],
            "Published": table["number"],
            "Here": [_own(row) for row in app.rows(table)],
            "Source": [f"{row.source} ({row.address})" for row in app.rows(table)],
        }
    )
    st.table(shown, hide_index=True, border="horizontal")
    differing = [words for words in dict.fromkeys(table["differs"]) if words]
    if differing:
        st.caption(palette.sentence(f"This run's net is not quite the published one: {'; or '.join(differing)}."))


def _own(row: Any) -> str:
    """This run's own number beside a published one."""
    if pd.isna(row.own):
        return "other images" if row.quantity == "error" else "–"
    return f"{row.own:,.0f}" if row.quantity == "parameters" else f"{row.own:.2f} %"


def _stacks(run: Run) -> None:
    table = app.readable(run, "stacks", frames.PLAN)
    st.markdown("**Why 3×3 in a stack**", help=STACKS)
    if table.empty:
        return
    shown = pd.DataFrame(
        {
            "Stack": table["stack"].map(palette.markdown),
            "Sees": [f"{size} × {size}" for size in table["receptive_field"]],
            "Weights": [f"{weights:,}" for weights in table["weights"]],
            "Rectifiers": table["activations"],
        }
    )
    st.table(shown, hide_index=True, border="horizontal")


def _measured(archive: app.OpenArchive, run: Run) -> None:
    """The pyramid, which image sizes the net takes, and whether the order of positions matters to its head."""
    st.markdown("**Feature pyramid**", help=PYRAMID)
    there = run.probes()
    missing = [name for name in MEASURED if name not in there]
    if "level_gradients" in there:
        step = there["level_gradients"][-1]
        levels = frames.pyramid(run, step, app.probe)
        st.caption(palette.sentence(f"Gradient norm of each level at each stage, at step {step:,}."))
        ends = [palette.number(levels["gradient_norm"].min()), palette.number(levels["gradient_norm"].max())]
        said = f"Gradient norm of each level at each stage, from {' to '.join(ends)}"
        app.chart(charts.pyramid_chart(levels), "pyramid", said, levels)
    if "accepted_sizes" in there:
        sizes = app.readable(run, "accepted_sizes", frames.PLAN)
        words = accepted(sizes)
        st.markdown(f"**Images it takes.** {palette.sentence(words)}")
        if len(sizes):
            app.chart(charts.sizes_chart(sizes, run.experiment.family), "sizes", f"Images it takes: {words}", sizes)
    if "spatial_order" in there:
        step = there["spatial_order"][-1]
        moved = app.readable(run, "spatial_order", step)
        words = order(moved, step)
        st.markdown(f"**Order of positions.** {palette.sentence(words)}")
        if len(moved) and moved[["accuracy", "accuracy_permuted"]].notna().all(axis=None):
            app.chart(charts.order_chart(moved, run.experiment.family), "order", words, moved)
    if missing:
        app.unmeasured(archive, [run], missing, "", primary=False)


def accepted(table: pd.DataFrame) -> str:
    """Which image sizes a net takes, in a sentence."""
    yes, no = (list(table.loc[table["accepted"] == known, "size"]) for known in (True, False))
    if not no:
        return f"All sizes that were tried, {listed(map(str, yes))} pixels a side."
    refused = f"not {listed(map(str, no))}"
    return f"{listed(map(str, yes))} pixels a side, {refused}." if yes else f"None that was tried, {refused}."


def order(table: pd.DataFrame, step: int) -> str:
    """What permuting the positions of the last map does, in a sentence."""
    if table.empty:
        return "Not measured."
    row = app.rows(table)[0]
    change = palette.percent(row.decisions_changed)
    if pd.isna(row.decisions_changed):
        return f"{str(row.note).capitalize() or 'No value'}."
    why = f", because {row.note}" if row.note else ""
    return (
        f"When the {row.positions:,} positions of the last map change places, {change} of the decisions change and the "
        f"accuracy goes from {palette.percent(row.accuracy)} to {palette.percent(row.accuracy_permuted)} at step "
        f"{step:,}{why}."
    )


def _growth(run: Run) -> None:
    table = app.readable(run, "growth", frames.PLAN)
    if table.empty:
        return
    st.markdown("**Growth and compression**", help=GROWTH)
    layers, kept = table[table["part"] == "layer"], table["compression"].dropna()
    added = listed(map(str, sorted(layers["channels_new"].unique())))
    share = f"; transitions keep {palette.percent(kept.mean())}" if len(kept) else ""
    st.caption(palette.sentence(f"Every layer adds {added} channels{share}."))
    drawn = charts.growth_chart(table, run.experiment.family)
    most = f"{int(table['channels'].max()):,} at most"
    app.chart(drawn, "growth", f"Channels behind each part of the net, {most}", table)


if __name__ == "__main__":
    page()
