"""What does a net lose without a block, and with its blocks in another order?

The tabs below the Feature reuse page.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.store import Run

KINDS = {"delete": "one block left out", "swap": "two neighbours exchanged"}
TOLD = {
    "other": "exchanged with",
    "accuracy": "accuracy, a share",
    "accuracy_change": "change of the accuracy",
    "whole": "accuracy of the whole net",
    "chance": "by chance",
    "images": "images",
}
ORDERS = {
    "kendall_tau": "Kendall's τ",
    "orders": "orders",
    "swaps": "exchanges, at most",
    "accuracy": "accuracy, a share",
    "accuracy_change": "change of the accuracy",
    "chance": "by chance",
}


def draw(archive: app.OpenArchive) -> None:
    """Draw the tabs."""
    below.tabs(archive, {"Without a block": _lesions, "Blocks in another order": _orders}, "more")


def _lesions(archive: app.OpenArchive) -> None:
    below.checkpointed(archive, ["lesions"], "lesion", _deleted)


def _deleted(runs: Sequence[Run], step: int) -> None:
    rows, looks = frames.lesions(runs, step, app.probe), app.styles(runs)
    known = rows["value"].astype(float)
    known = known[known.abs() < float("inf")]
    span = (min(0.0, float(known.min())), float(known.max())) if len(known) else (0.0, 1.0)
    for (lesion, about), column in zip(KINDS.items(), st.columns(2, gap="medium"), strict=True):
        own = rows[rows["lesion"] == lesion]
        with column:
            if own.empty:
                below.picture("loss_change", "no two blocks in a row have one shape", about=about)
                continue
            chart = charts.signal_chart(own, looks, "loss_change", span, even=0.0, told=TOLD, height=280)
            below.picture("loss_change", lesion_words(own), chart, f"lesions-{lesion}", own, about)


def lesion_words(rows: pd.DataFrame) -> str:
    """What the worst lesion of each net costs, in one line."""
    said = []
    for run, own in rows.groupby("run", sort=False):
        ends = below.extremes(own)
        if ends is not None:
            worst = ends[1]
            said.append(
                f"{run} loses most at {worst.layer} ({_signed(worst.value)} nats, "
                f"{palette.percent(worst.accuracy)} instead of {palette.percent(worst.whole)} right)"
            )
    return below.of_runs(said) if said else below.from_to(rows)


def most(cells: pd.DataFrame, unit: str) -> str:
    """The source that a target of a block reads most, in words."""
    ends = below.extremes(cells, "raw")
    if ends is None:
        return "no finite value"
    return f"at most {palette.number(ends[1].raw)} ({unit}), of {ends[1].source_layer} for {ends[1].target_layer}"


def _signed(change: float) -> str:
    return f"+{palette.number(change)}" if change > 0 else palette.number(change)


def _orders(archive: app.OpenArchive) -> None:
    below.checkpointed(archive, ["permutations"], "order", _reordered)


def _reordered(runs: Sequence[Run], step: int) -> None:
    rows, looks = frames.reordered(runs, step, app.probe), app.styles(runs)
    chart = charts.curve_chart(
        rows, looks, "loss_reordered", "kendall_tau", "Kendall's τ with the trained order", ORDERS, even=0.0, height=300
    )
    below.picture("loss_reordered", order_words(rows), chart, "orders", rows)


def order_words(rows: pd.DataFrame) -> str:
    """What the order furthest from the trained one costs each net, in one line."""
    said = [
        f"{run} {_signed(float(own['value'].iloc[0]))} nats at τ = {palette.number(float(own['kendall_tau'].iloc[0]))}"
        for run, own in rows.dropna(subset="value").sort_values("kendall_tau").groupby("run", sort=False)
    ]
    return below.of_runs(said) if said else "no finite value"
