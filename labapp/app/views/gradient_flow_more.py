"""How is the gradient made up: in whole steps, by shortcuts and branches, along paths, from image to image?

The tabs below the Gradient flow page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.config import listed
from labapp.store import Run

TOTALS = ("grad_norm", "grad_norm_used", "loss_scale", "skipped")
WHERE = {"the image": 0.0, "½ of the depth": 0.5, "the last layer": 1.0}
SPLIT = {
    "shortcut_norm": "‖by the shortcuts‖ ÷ ‖whole‖",
    "branch_norm": "‖by the branches‖ ÷ ‖whole‖",
    "cosine": "cosine between the two",
    "forward_error": "what eq. 4 leaves over",
    "backward_error": "what eq. 5 leaves over",
    "examples": "images",
}
JACOBIAN = {"error": "a singular value lies within", "blocks": "blocks spanned", "examples": "images"}
BRIGHTEST = 100.0  # nats of the last colour of a loss surface: beyond it a net is lost, however much
BLOCKS, STAGES = "one block", "from a block to its stage's end"


def draw(archive: app.OpenArchive) -> None:
    """Draw the tabs."""
    below.tabs(
        archive,
        {
            "The whole gradient": _whole,
            "Branch and shortcut": _shortcuts,
            "Lengths of paths": _paths,
            "Shattering": _shattering,
            "Loss surface": _surface,
            "Noise": _noise,
        },
        "more",
    )


def _whole(archive: app.OpenArchive) -> None:
    table, looks = below.whole_steps(archive.chosen), app.styles(archive.chosen)
    left, right = st.columns(2, gap="medium")
    for number, quantity in enumerate(TOTALS):
        rows = table[table["quantity"] == quantity]
        with (left, right)[number % 2]:
            told = whole_words(rows, quantity)
            few = rows.empty or (quantity in ("loss_scale", "skipped") and _constant(rows))
            chart = None if few else charts.curve_chart(rows, looks, quantity)
            below.picture(quantity, told, chart, f"whole-{quantity}", rows)


def whole_words(rows: pd.DataFrame, quantity: str) -> str:
    """One line about a number of whole steps."""
    if quantity == "grad_norm_used" and rows.empty:
        return "nothing changed a gradient between the backward pass and the optimizer: none of the runs clips"
    if rows.empty:
        return "none of the chosen runs has written it down"
    if quantity == "skipped":
        last = rows.groupby("run", sort=False)["value"].max()
        return (
            f"{listed(f'{int(count):,} in {run}' for run, count in last.items() if count)} of the recorded steps"
            if last.any()
            else "no recorded step was skipped"
        )
    if quantity == "loss_scale" and _constant(rows):
        return (
            f"{palette.number(float(rows['value'].iloc[0]))} in every step: no loss was scaled"
            if (rows["value"].iloc[0] == 1)
            else f"{palette.number(float(rows['value'].iloc[0]))} in every step"
        )
    ends = below.extremes(rows)
    if ends is None:
        return "no finite value"
    low, high = ends
    return (
        f"from {palette.number(low.value)} ({low.run}, step {low.step:,}) to {palette.number(high.value)} "
        f"({high.run}, step {high.step:,})"
    )


def _constant(rows: pd.DataFrame) -> bool:
    return bool((rows["value"] == rows["value"].iloc[0]).all())


def _shortcuts(archive: app.OpenArchive) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        below.recorded(
            archive,
            "branch_shortcut_grad_cosine",
            ("block",),
            "only residual nets have a branch and a shortcut; none of the chosen runs has recorded any",
            even=0.0,
        )
    with right:
        below.checkpointed(
            archive, ["gradient_split"], "split", lambda runs, step: _split(runs, step, app.styles(runs))
        )
    below.checkpointed(archive, ["singular_values"], "jacobian", _jacobians)


def _split(runs: Sequence[Run], step: int, looks: pd.DataFrame) -> None:
    rows = frames.shortcut_shares(runs, step, app.probe)
    left_over = rows[["forward_error", "backward_error"]].max().max() if len(rows) else float("nan")
    words = below.from_to(rows, palette.percent)
    words += "" if pd.isna(left_over) else f"; equations 4 and 5 hold up to {palette.number(left_over)}"
    numbers = rows[["value", "low", "high"]].astype(float)
    low, top = min(0.0, float(numbers.min().min())), max(1.0, float(numbers.max().max()))
    chart = charts.signal_chart(rows, looks, "shortcut_share", (low, top), even=100.0, interval=True, told=SPLIT)
    below.picture("shortcut_share", words, chart, "further-split", rows)


def _jacobians(runs: Sequence[Run], step: int) -> None:
    looks = app.styles(runs)
    span = st.segmented_control(
        "Jacobian of", [BLOCKS, STAGES], default=BLOCKS, key="span", bind="query-params", required=True
    )
    rows = frames.singular_values(runs, step, "block" if span == BLOCKS else "stage", app.probe)
    for quantity, column in zip(
        ("smallest_singular_value", "largest_singular_value"), st.columns(2, gap="medium"), strict=True
    ):
        own = rows[rows["quantity"] == quantity]
        ends = below.extremes(own)
        least = quantity.startswith("smallest")
        words = "no finite value"
        if ends is not None:
            one = ends[0] if least else ends[1]
            words = (
                f"the {'least' if least else 'greatest'} is {palette.number(one.value)}, at {one.layer} of {one.run}"
            )
        with column:
            chart = charts.signal_chart(own, looks, quantity, charts.log_span(own["value"]), even=1.0, told=JACOBIAN)
            below.picture(quantity, words, chart, f"further-{quantity}", own)


def _paths(archive: app.OpenArchive) -> None:
    below.checkpointed(archive, ["path_gradients"], "path", _lengths)


def _lengths(runs: Sequence[Run], step: int) -> None:
    rows, looks = frames.paths(runs, step, app.probe), app.styles(runs)
    told = {"length": "branches gone through", "paths": "paths of this length", "deviation": "deviation between paths"}
    for quantity, column in zip(("path_share", "path_norm"), st.columns(2, gap="medium"), strict=True):
        own = rows[rows["quantity"] == quantity]
        with column:
            chart = charts.curve_chart(
                own, looks, quantity, "length", "branches that a path goes through", told, height=280
            )
            below.picture(quantity, path_words(own, quantity), chart, f"further-{quantity}", own)


def path_words(rows: pd.DataFrame, quantity: str) -> str:
    """One line about paths: how long those are that carry the gradient, or how it falls with their length."""
    own = rows.drop_duplicates("run")
    column = "effective_length" if quantity == "path_share" else "decay"
    known = [row for row in app.rows(own) if pd.notna(getattr(row, column))]
    if not known:
        said = [note for note in dict.fromkeys(rows["note"].fillna("")) if note]
        return said[0] if said else "no finite value"
    if quantity == "path_norm":
        return below.of_runs(
            f"in {row.run} each branch gone through takes a gradient times {palette.number(row.decay)}" for row in known
        )
    half = rows.groupby("run")["length"].max() / 2
    return below.of_runs(
        f"the gradient of {row.run} comes through {palette.number(row.effective_length)} branches on average, where "
        f"its paths (pale) have {palette.number(half[row.run])}"
        for row in known
    )


def _shattering(archive: app.OpenArchive) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        below.checkpointed(archive, ["shattering"], "shatter", _cosines)
    with right:
        below.checkpointed(archive, ["autocorrelation"], "line", _line)


def _cosines(runs: Sequence[Run], step: int) -> None:
    rows, looks = frames.shattering(runs, step, app.probe), app.styles(runs)
    first = rows[rows["depth"] == 0].dropna(subset="value")
    words = (
        "no finite value"
        if first.empty
        else "at the image, " + below.of_runs(f"{palette.number(row.value)} in {row.run}" for row in app.rows(first))
    )
    numbers = rows[["value", "low", "high"]].astype(float)
    low = min(0.0, float(numbers.min().min())) if len(first) else 0.0
    high = max(0.1, float(numbers.max().max())) if len(first) else 1.0
    chart = charts.signal_chart(
        rows,
        looks,
        "gradient_cosine",
        (low, high),
        even=0.0,
        interval=True,
        told={"examples": "images with a gradient"},
        height=280,
    )
    below.picture("gradient_cosine", words, chart, "further-shattering", rows)


def _line(runs: Sequence[Run], step: int) -> None:
    where = app.choice("Gradient at", WHERE, "line-at", width=190)
    rows, looks = frames.along_line(runs, step, where, app.probe), app.styles(runs)
    told = {"layer": "layer", "depth": "depth", "lag": "lag, points", "distance": "share of the line"}
    chart = charts.curve_chart(
        rows, looks, "autocorrelation", "distance", "distance, as a share of the line", told, even=0.0, height=240
    )
    below.picture("autocorrelation", line_words(rows), chart, "further-line", rows)


def line_words(rows: pd.DataFrame) -> str:
    """How far along the line the gradient stays alike, in one line."""
    words = []
    for run, own in rows.dropna(subset="value").groupby("run", sort=False):
        under = own[own["value"] < 0.5]
        words.append(
            f"that of {run} falls below ½ at {palette.percent(float(under['distance'].iloc[0]))} of the line"
            if len(under)
            else f"that of {run} stays above ½ up to {palette.percent(float(own['distance'].max()))} of the line"
        )
    said = [note for note in dict.fromkeys(rows["note"].fillna("")) if note] if len(rows) else []
    return below.of_runs(words) if words else (said[0] if said else "no finite value")


def _surface(archive: app.OpenArchive) -> None:
    below.checkpointed(archive, ["loss_surface"], "surface", _planes)


def _planes(runs: Sequence[Run], step: int) -> None:
    rows = frames.loss_surface(runs, step, app.probe)
    below.picture("surface_loss", plane_words(rows))
    if rows.empty:
        return
    low, high = charts.log_span(rows["value"])
    domain = charts.colour_domain([math.log10(low), math.log10(min(high, max(BRIGHTEST, 10 * low)))])
    bar = charts.scale_chart("surface_loss", domain)
    app.colour_bar(bar, "surface-bar", "The colour scale of the loss surfaces")
    names = list(rows["run"].unique())
    across = max(2, min(3, len(names)))  # one alone would be too wide
    for at in range(0, len(names), across):
        for run, column in zip(names[at : at + across], st.columns(across, gap="medium"), strict=False):
            own = rows[rows["run"] == run]
            with column:
                alt = f"Loss of {run} in a plane of two random directions around its weights"
                app.chart(charts.surface_chart(own, domain), f"surface-{run}", alt, own, bar, plane_words(own))


def plane_words(rows: pd.DataFrame) -> str:
    """What a loss surface shows of each run, in one line."""
    planes = [
        f"the loss of {row.run} is {palette.number(row.middle)} in the middle, {palette.number(row.greatest)} at most "
        f"and below that of guessing ({palette.number(row.guessing)}) in {palette.percent(row.below)} of the plane"
        f"{f', not finite at {row.ill:,} points' if row.ill else ''}"
        for row in app.rows(frames.of_planes(rows))
    ]
    return below.of_runs(planes) or "no checkpoint of the chosen runs stands for this step"


def _noise(archive: app.OpenArchive) -> None:
    below.recorded(
        archive,
        "gradient_signal_to_noise",
        ("conv", "linear"),
        "no chosen run compared the gradients of micro-batches; a recorder does with `gradient_noise=True`, where a "
        "step has several",
        even=1.0,
    )
