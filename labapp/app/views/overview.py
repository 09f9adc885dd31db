"""Did they train?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app.views import experiment
from labapp.config import listed
from labapp.store import Run

POINTS = 100  # of a loss curve, each a mean over a stretch of steps: single batches are noisy
CLEAR = 0.10  # accuracies further apart than this are worth naming a winner for
MEANING = """
**Test accuracy**: held-out images that are classified correctly. **Training loss**: mean cross-entropy of the training
batch, in nats; an untrained net on ten classes starts near ln 10 ≈ 2.30.

That a deeper plain net can end *worse* than a shallower one, in training as well as in test, is the degradation
problem: He, Zhang, Ren & Sun, *Deep Residual Learning for Image Recognition* (2015), section 1.
"""
COLUMNS = {
    "look": "",
    "run": "Run",
    "accuracy": "Test accuracy",
    "status": "Status",
    "progress": "Progress",
    "loss": "Training loss",
    "slope_start": "Slope, start",
    "slope_end": "Slope, end",
    "ratio_start": "First ÷ last, start",
    "seconds": "Time",
    "recorder_cost": "Recording",
}
SLOPE = f"Gradient slope, log₁₀ a layer. {palette.quantity('slope').meaning}"


def answer(table: pd.DataFrame, same_recipe: bool) -> str:
    """The page's question answered for a `frames.overview` table, in one sentence or two."""
    tested = table.dropna(subset="accuracy").sort_values("accuracy", kind="stable")
    lost = table[table["status"] == "diverged"]
    ends = [f"{listed(lost['run'])} diverged: the loss was no longer a number."] if len(lost) else []
    tested = tested[tested["status"] != "diverged"]
    if tested.empty:
        begun = table[table["status"] == "running"]
        sentences = [f"{row.run} is at step {row.step:,} of {row.steps:,}." for row in app.rows(begun)]
        return " ".join([*sentences[:2], *ends]) or "None of the chosen runs has been tested yet."
    low, high = _pair(tested)
    recipe = " with the same recipe" if same_recipe else ""
    if len(tested) == 1:
        first = f"{high.run} reaches {palette.percent(high.accuracy)} on held-out images after {high.step:,} steps."
    elif high.accuracy - low.accuracy < CLEAR:
        every = f"All {len(tested)}" if len(tested) > 2 else "Both"
        spread = f"{palette.percent(low.accuracy)} and {palette.percent(high.accuracy)}"
        busy = bool((tested["status"] == "running").any())
        first = (
            f"{every} runs {'are' if busy else 'end'} between {spread} on held-out images{recipe}{' so far' * busy}."
        )
    else:
        stays = "stays at" if low.status != "running" else "is still at"
        first = (
            f"{high.run} reaches {palette.percent(high.accuracy)}, "
            f"{low.run} {stays} {palette.percent(low.accuracy)}{recipe}."
        )
    return " ".join([first, *ends])


def _pair(tested: pd.DataFrame) -> tuple[Any, Any]:
    """The worst run, and the best one, of the same depth where that already makes a clear difference."""
    rows = app.rows(tested)
    low, high = rows[0], rows[-1]
    equals = [row for row in rows if row is low or row.net_depth == low.net_depth]  # a net without a depth equals none
    return (low, equals[-1]) if equals[-1].accuracy - low.accuracy >= CLEAR else (low, high)


def published(runs: Sequence[Run]) -> str:
    """What papers say of the nets of these runs, for the page's ⓘ; empty where they say nothing."""
    words = {}
    for run in runs:
        rows = frames.beside(run.experiment, float("nan"), float("nan"))
        for row in app.rows(rows[rows["quantity"] == "error"]):
            other = [row.differs] if row.differs else []
            other += [] if row.imageset == run.experiment.imageset else ["other images here"]
            hint = f"; {', '.join(other)}" if other else ""
            words[row.net, row.what, row.number] = f"- {row.net}: {row.what}: {row.number} ({row.source}{hint})"
    if not words:
        return ""
    return "\n\n**Published, not measured here**:\n\n" + "\n".join(words.values()) + "\n"


def same_recipe(runs: tuple[Run, ...]) -> bool:
    """Whether the runs differ in their nets and seeds only."""
    own = set(runs[0].experiment.net_options()) if runs else set()
    nets = {option for run in runs for option in run.experiment.net_options()} | own
    fields = nets | {"seed", "device", "devices", "data", "record", "record_every", "record_points", "checkpoints"}
    return len({repr(run.experiment.model_dump(exclude=fields)) for run in runs}) == 1


def page() -> None:
    """Draw the page."""
    archive = app.opened()
    if not archive.runs:
        app.empty(archive)
        return
    st.fragment(_picture, run_every=app.PACE if archive.live else None)(archive)
    with st.container(horizontal=True):  # here also while no run is chosen
        experiment.button(archive.root)
        app.starter_button(archive.root)
    app.broken(archive)


def _picture(archive: app.OpenArchive) -> None:
    app.look_again_if_gone(archive.chosen)
    if not archive.chosen:
        app.none_chosen(archive)
        return
    table = app.overview(archive.chosen)
    looks = app.styles(archive.chosen)
    st.title(answer(table, same_recipe(archive.chosen)), help=MEANING + published(archive.chosen), anchor=False)
    curves = app.curves(archive.chosen, POINTS * len(archive.chosen))
    if curves.empty:
        st.caption("Nothing is recorded yet; the curves begin with the first steps.")
    else:
        with st.container(gap=None):
            names = listed(table["run"])
            st.altair_chart(charts.loss_chart(curves, looks), key="loss", alt=f"Training loss over steps of {names}")
            st.altair_chart(
                charts.accuracy_chart(curves, looks), key="accuracy", alt=f"Test accuracy over steps of {names}"
            )
    _table(table, looks)


def _table(table: pd.DataFrame, looks: pd.DataFrame) -> None:
    shown = table.merge(looks, on="run").assign(
        look=[app.swatch(look.colour, look.dash) for look in app.rows(looks)],
        accuracy=100 * table["accuracy"],
        recorder_cost=100 * table["recorder_cost"],
        progress=100 * table["step"] / table["steps"],
    )
    columns = {name: title for name, title in COLUMNS.items() if name != "progress" or (shown["progress"] < 100).any()}
    if shown["recorder_cost"].isna().all():
        columns.pop("recorder_cost")
    number = st.column_config.NumberColumn
    st.dataframe(
        shown[list(columns)],
        hide_index=True,
        key="table",
        placeholder="–",
        alt="The chosen runs: accuracy, loss, gradient slope, time, cost of recording and status",
        column_config={
            "look": st.column_config.ImageColumn("", width=48),
            "run": st.column_config.TextColumn("Run"),
            "accuracy": number(columns["accuracy"], format="%.1f %%", help="Held-out images, at the last evaluation"),
            "loss": number(columns["loss"], format="%.3g", help="Mean over the last tenth of the steps, in nats"),
            "slope_start": number(columns["slope_start"], format="%.3f", help=f"First recorded step. {SLOPE}"),
            "slope_end": number(columns["slope_end"], format="%.3f", help=f"Last recorded step. {SLOPE}"),
            "ratio_start": number(
                columns["ratio_start"],
                format="%.3g",
                help="Gradient norm at the first convolution's output over the last one's, at the first recorded step",
            ),
            "seconds": number(columns["seconds"], format="%.0f s", help="Of all attempts, evaluation included"),
            "recorder_cost": number(
                columns.get("recorder_cost"), format="%.1f %%", help="What recording added to the time of training"
            ),
            "status": st.column_config.TextColumn("Status"),
            "progress": st.column_config.ProgressColumn("Progress", min_value=0, max_value=100, format="%d %%"),
        },
    )


if __name__ == "__main__":
    page()
