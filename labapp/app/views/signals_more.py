"""What else was recorded of the layers: lives of channels, magnitudes, weights and means, what was not finite?

The tabs below the Signals page.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.store import Run

OF = {"outputs": "output", "gradients": "gradient"}
DISTRIBUTIONS = {
    "histograms": "`Recorder(…, histograms=every(100))`",
    "spreads": "`Recorder(…, spreads=every(100))`",
}


def draw(archive: app.OpenArchive) -> None:
    """Draw the tabs."""
    below.tabs(
        archive,
        {
            "Lives of channels": _lives,
            "Magnitudes": _magnitudes,
            "Weights and means": _weights,
            "Not finite": _nonfinite,
        },
        "more",
    )


def _lives(archive: app.OpenArchive) -> None:
    names = dict(zip(frames.names(archive.chosen), archive.chosen, strict=True))
    spans = below.dead_spans(archive.chosen)
    hurt = [name for name in names if name in set(spans["run"])]
    if not hurt:
        below.picture("lifetimes", f"no channel of {'the chosen runs' if len(names) > 1 else next(iter(names))} died")
        return
    name = app.choice("Run", {name: name for name in hurt}, "lives-of", width=230)
    run, own = names[name], spans[spans["run"] == name]
    depths = [info["depth"] for info in run.layers_info if info.get("depth")]
    shown = frames.longest(own)
    few = "" if len(shown) == len(own) else f"; drawn are the {len(shown):,} longest"
    chart = charts.lifetimes_chart(shown, frames.judged_steps(run), (min(depths, default=1), max(depths, default=1)))
    below.picture("lifetimes", lives(own) + few, chart, "lives", shown, name)


def lives(spans: pd.DataFrame) -> str:
    """Of one run: how many channels died, when first, and what became of them, in one line."""
    channels = spans.drop_duplicates(["layer", "channel"], keep="last")
    first = app.rows(spans.sort_values("step", kind="stable"))[0]
    back = int(channels["back"].astype(bool).sum())
    count = len(channels)
    ends = "all came back" if back == count else "none came back" if not back else f"{back:,} came back"
    return (
        f"{count:,} channel{'s' if count > 1 else ''} died at some time, the first in {first.layer} at step "
        f"{first.step:,}; {ends}{f' and {count - back:,} stayed dead' if 0 < back < count else ''}"
    )


def _magnitudes(archive: app.OpenArchive) -> None:
    names = dict(zip(frames.names(archive.chosen), archive.chosen, strict=True))
    held = {name: run for name, run in names.items() if set(DISTRIBUTIONS) & set(run.tables())}
    if not held:
        for table, how in DISTRIBUTIONS.items():
            below.picture(table, f"no chosen run has recorded any; a recorder takes them with {how}")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run = app.choice("Run", held, "values-of", width=230)
        there = {layer: None for table in DISTRIBUTIONS for layer in frames.layers_with(run, table)}
        layer = app.choice("Layer", {layer: layer for layer in there}, "values-layer", width=270)
        of = st.segmented_control(
            "Values", list(OF), default="outputs", key="values", bind="query-params", required=True
        )
    name = next(known for known, own in held.items() if own is run)
    about = f"{of} of {layer} in {name}"
    left, right = st.columns(2, gap="medium")
    with left:
        _histogram(run, layer, OF[of], about)
    with right:
        _spread(run, layer, OF[of], about)


def _histogram(run: Run, layer: str, of: str, about: str) -> None:
    bins = frames.magnitudes(run, layer, of) if "histograms" in run.tables() else pd.DataFrame()
    if bins.empty:
        below.picture(
            "histograms", f"not recorded of this layer; a recorder takes them with {DISTRIBUTIONS['histograms']}"
        )
        return
    below.picture("histograms", magnitude_words(bins), charts.histogram_chart(bins), "histogram", bins, about)


def magnitude_words(bins: pd.DataFrame) -> str:
    """Where most values lie at the first and the last step, and how many are zero or not finite, in one line."""
    said = []
    for step in dict.fromkeys((bins["step"].min(), bins["step"].max())):
        at = bins[bins["step"] == step]
        inside = at[at["apart"] == ""].sort_values("low", kind="stable")
        total = inside["count"].sum()
        if total:
            middle = inside["low"].iloc[int((inside["count"].cumsum() >= total / 2).to_numpy().argmax())]
            said.append(f"at step {step:,} the median |x| is near {palette.number(2.0 ** (middle + 0.5))}")
        for apart, word in (("zero", "zero"), ("NaN or infinite", "not finite")):
            share = at.loc[at["apart"] == apart, "share"].sum()
            said += [f"{palette.percent(share)} {'are' if total else 'of the values are'} {word}"] if share else []
    return ", ".join(said)


def _spread(run: Run, layer: str, of: str, about: str) -> None:
    rows = frames.spread(run, layer, of) if "spreads" in run.tables() else pd.DataFrame()
    if rows.empty:
        below.picture("spreads", f"not recorded of this layer; a recorder takes them with {DISTRIBUTIONS['spreads']}")
        return
    last = app.rows(rows)[-1]
    words = (
        f"at step {last.step:,} half of the values lie from {palette.number(last.lower)} to "
        f"{palette.number(last.upper)}, all from {palette.number(last.minimum)} to {palette.number(last.maximum)}"
    )
    below.picture("spreads", words, charts.spread_chart(rows), "spread", rows, about)


def _weights(archive: app.OpenArchive) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        below.recorded(archive, "weight_norm", ("conv", "linear"), "none of the chosen runs has recorded its weights")
    with right:
        kinds = tuple(palette.KINDS)
        below.recorded(archive, "output_mean", kinds, "none of the chosen runs has recorded its outputs", even=0.0)


def _nonfinite(archive: app.OpenArchive) -> None:
    panels = app.layers(archive.chosen, "nonfinite", tuple(palette.KINDS))
    ill = {str(panel.who["run"]): panel for panel in panels if (panel.columns["value"] > 0).any()}
    if not ill:
        steps = frames.moments(panels)["step"].nunique()
        words = f"none in {steps:,} recorded steps" if steps else "the chosen runs have recorded no layers"
        below.picture("nonfinite", words)
        return
    name = app.choice("Run", {name: name for name in ill}, "ill-run", width=230)
    own = ill[name].where(ill[name].columns["value"] > 0)
    first = app.rows(own.rows(own.recorded[:1]))[0]
    words = (
        f"first at step {first.step:,}, in {first.layer} ({int(first.value):,} values); in all "
        f"{own.measured.any(0).sum():,} layers and {len(own.recorded):,} recorded steps"
    )
    cells = frames.gradient_heatmap([own])
    domain = charts.colour_domain(cells["value"])
    below.picture("nonfinite", words, charts.heatmap_chart(cells, "nonfinite", domain), "ill", cells, name)
