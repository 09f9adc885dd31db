"""Did they train?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.app.views import experiment, library, overview_diagnosis, overview_more
from labapp.config import listed
from labapp.store import Run

POINTS = 100  # of a loss curve, each a mean over a stretch of steps: single batches are noisy
CLEAR = 0.10  # accuracies further apart than this are worth naming two nets for
UNFINISHED = 2  # runs whose stand is told one by one
DIFFERENCES = 3  # settings that are named at most
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
    "seconds": "Time",
    "recorder_cost": "Recording",
    "cpu": "Recording, CPU",
    "slope_start": "Slope, start",
    "slope_end": "Slope, end",
    "ratio_start": "First ÷ last, start",
    "run_id": "Id",
}
RECORDING = """Time spent in the recorder, as a share of what training alone took: wall time, in which waiting for a
core that another program has counts too."""
CPU = """What recording added to the processor time of training, with its 95 % interval: recorded steps beside the steps
after them. Waiting for a core does not count; what it costs torch to call the recorder does."""
SLOPE = f"Gradient slope, log₁₀ a layer. {palette.quantity('slope').meaning}"


def answer(table: pd.DataFrame) -> str:
    """The page's question answered for a `frames.overview` table: of finished runs, and where the others stand."""
    nets = frames.finals(table)
    sentences = [_compared(nets)] if len(nets) else []
    lost = table[table["status"] == "diverged"]
    if len(lost):
        sentences.append(f"{listed(lost['run'])} diverged: numbers became infinite or NaN.")
    open_ends = [_standing(row) for row in app.rows(table[~table["status"].isin(["finished", "diverged"])])]
    sentences += open_ends[:UNFINISHED]
    if more := len(open_ends) - UNFINISHED if len(open_ends) > UNFINISHED else 0:
        sentences.append(f"{more} other {'run has' if more == 1 else 'runs have'} not finished either.")
    return " ".join(sentences) or "None of the chosen runs has a test accuracy yet."


def _standing(row: Any) -> str:
    """Where a run stands that has not finished."""
    if row.status == "running":
        so_far = "" if pd.isna(row.accuracy) else f", with {palette.percent(row.accuracy)} at its last test"
        return f"{row.run} is at step {row.step:,} of {row.steps:,}{so_far}."
    return f"{row.run} ended early, at step {row.step:,} of {row.steps:,}, and is not compared."


def _compared(nets: pd.DataFrame) -> str:
    """What the finished nets show beside each other, with what differs besides and what the seeds allow."""
    rows = app.rows(nets)
    low, high = _pair(rows)
    if len(rows) == 1:
        seeds = "" if high.seeds == 1 else f" (mean of {high.seeds} seeds, {_interval(high.low, high.high)})"
        return (
            f"{high.name} reaches {palette.percent(high.accuracy)} on held-out images after {high.step:,} steps{seeds}."
        )
    if high.accuracy - low.accuracy < CLEAR:
        every = f"All {len(rows)}" if len(rows) > 2 else "Both"
        ends = [palette.percent(each.accuracy) for each in (low, high)]
        spread = f"between {' and '.join(ends)}" if ends[0] != ends[1] else f"at {ends[0]}"
        first, them = f"{every} nets end {spread} on held-out images{_recipe(rows)}.", rows
    else:
        first = (
            f"{high.name} reaches {palette.percent(high.accuracy)}, "
            f"{low.name} stays at {palette.percent(low.accuracy)}{_recipe([high, low])}."
        )
        them = [high, low]
    return f"{first} {_seeds(them, low, high)}"


def _recipe(rows: list[Any]) -> str:
    others = frames.besides(*(row.comparable for row in rows))
    if not others:
        told = " as far as their loops told it" if any("loop" in row.comparable for row in rows) else ""
        return f" with the same recipe{told}"
    return f"; they also differ in {listed([*others[:DIFFERENCES], *['more'] * (len(others) > DIFFERENCES)])}"


def _seeds(rows: list[Any], low: Any, high: Any) -> str:
    """What the seeds allow to be said: whether chance alone may have made the difference."""
    single = [row.name for row in rows if row.seeds == 1]
    if single:
        whose = "one seed each" if len(single) == len(rows) else f"one seed of {listed(single)}"
        return f"With {whose}, chance cannot be told from the nets."
    gap, least, most = (100 * each for each in frames.difference(high, low))
    told = "more than chance" if least > 0 else "which chance may have made"
    return (
        f"Between {high.name} and {low.name} lie {palette.number(gap)} points "
        f"({palette.number(least)} to {palette.number(most)}, from the seeds), {told}."
    )


def _interval(low: float, high: float) -> str:
    return f"{palette.percent(low)} to {palette.percent(high)}"


def _pair(rows: list[Any]) -> tuple[Any, Any]:
    """The worst net, and the best one, of the same depth where that already makes a clear difference."""
    low, high = rows[0], rows[-1]
    equals = [row for row in rows if row is low or row.net_depth == low.net_depth]  # a net without a depth equals none
    return (low, equals[-1]) if equals[-1].accuracy - low.accuracy >= CLEAR else (low, high)


def published(runs: Sequence[Run], table: pd.DataFrame) -> str:
    """What papers say of the nets of these runs beside their own errors, for the page's ⓘ; empty without such nets.

    Args:
        runs: The chosen ones.
        table: `frames.overview` of them.
    """
    words = []
    for run, own in zip(runs, app.rows(table), strict=True):
        rows = frames.published(run.experiment)
        so_far = "" if own.status == "finished" else " so far"
        here = "" if pd.isna(own.accuracy) else f", here {palette.percent(1 - own.accuracy)}{so_far} on {own.imageset}"
        words += [
            f"- {palette.markdown(own.run)}{here}; published as {row.net}: "
            f"{frames.published_words(row)} on {row.images} ({row.source}"
            f"{'; ' * bool(row.conditions)}{row.conditions}{'; ' * bool(row.differs)}{row.differs})"
            for row in app.rows(rows[rows["quantity"] == "error"])
        ]
    if not words:
        return ""
    return (
        "\n\n**Error, here and published** (by the papers named, with their recipes, not measured here):\n\n"
        + "\n".join(words)
    )


def page() -> None:
    """Draw the page."""
    archive = app.opened()
    if not archive.listing.entries:
        app.empty(archive)
        return
    app.live(_picture, "curves", archive.chosen)(archive)
    if archive.chosen:
        overview_more.draw(archive)
        overview_diagnosis.draw(archive)
    app.resume_buttons(archive)
    with st.container(horizontal=True):  # here also while no run is chosen
        experiment.button(archive.root)
        app.starter_button(archive.root)
    library.show(archive)
    app.broken(archive)


@dataclass(frozen=True, eq=False)
class _Screen:
    """The first screen, as it is drawn until a run changes."""

    said: str
    help: str
    pictures: tuple[tuple[charts.Unchecked, str, str, str], ...]  # each with its key, what is to be seen, and its last
    curves: pd.DataFrame
    table: pd.DataFrame  # as it is shown


def prepare(runs: Sequence[Run]) -> None:
    """Make the first screen of these runs, for whoever asks for it."""
    if runs:
        app.made_of("screen", runs, _screen)


def _screen(runs: Sequence[Run]) -> _Screen:
    table, looks = app.overview(runs), app.styles(runs)
    curves = app.curves(runs, POINTS * len(runs))
    pictures = []
    for key, draw, name, number, words in (
        ("loss", charts.loss_chart, "loss", palette.number, "Training loss over steps"),
        ("accuracy", charts.accuracy_chart, "accuracy", palette.percent, "Test accuracy over steps"),
    ):
        last = below.of_runs(f"{number(getattr(row, name))} in {row.run}" for row in app.rows(table))
        if len(curves):
            pictures.append((charts.Unchecked(draw(curves, looks)), key, words, f"at last {last}"))
    said, more = answer(table), MEANING + published(runs, table)
    return _Screen(said, more, tuple(pictures), curves, _shown(table, looks))


def _picture(archive: app.OpenArchive) -> None:
    app.look_again_if_gone(archive.chosen)
    if not archive.chosen:
        app.none_chosen(archive)
        return
    with app.reading(archive.chosen):
        screen = app.made_of("screen", archive.chosen, _screen)
    st.title(palette.sentence(screen.said), help=screen.help, anchor=False)
    app.say_divergence(archive.chosen)
    if not screen.pictures:
        st.caption("Nothing is recorded yet; the curves begin with the first steps.")
    else:
        app.names_on_phones(archive.chosen)
        with st.container(gap=None):
            for drawn, key, words, last in screen.pictures:
                app.chart(drawn, key, words, screen.curves, said=last)
    _table(screen.table)


def _cpu(row: Any) -> str | None:
    if pd.isna(row.cpu_cost):
        return None
    low, share, high = (f"{100 * value:.1f}".replace("-", "−") for value in (row.cpu_low, row.cpu_cost, row.cpu_high))
    return f"{share} % ({low} to {high})"


def _status(row: Any) -> str:
    """A run's status; of one that diverged with what its loss became, which the column of numbers cannot show."""
    return f"{row.status} (loss {palette.number(row.loss)})" if row.status == "diverged" else str(row.status)


def _shown(table: pd.DataFrame, looks: pd.DataFrame) -> pd.DataFrame:
    """The table of the chosen runs as it is shown, without columns that say nothing."""
    rows = app.rows(table)
    cpu: Any = [_cpu(row) for row in rows]
    status: Any = [_status(row) for row in rows]
    shown = table.assign(
        look=[app.swatch(look.colour, look.dash) for look in app.rows(looks)],
        accuracy=100 * table["accuracy"],
        recorder_cost=100 * table["recorder_cost"],
        cpu=cpu,
        status=status,
        progress=100 * table["step"] / table["steps"],
    )
    empty: dict[str, Any] = {"progress": not (shown["progress"] < 100).any(), "cpu": table["cpu_cost"].isna().all()}
    empty |= {"recorder_cost": shown["recorder_cost"].isna().all()}
    return shown[[name for name in COLUMNS if not empty.get(name)]]


def _table(shown: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        shown,
        hide_index=True,
        key="table",
        placeholder="–",
        alt="The chosen runs: accuracy, loss, gradient slope, time, cost of recording and status",
        column_config={
            "look": st.column_config.ImageColumn("", width=48),
            "run": st.column_config.TextColumn("Run"),
            "accuracy": number(COLUMNS["accuracy"], format="%.1f %%", help="Held-out images, at the last evaluation"),
            "loss": number(COLUMNS["loss"], format="%.3g", help="Mean over the last tenth of the steps, in nats"),
            "slope_start": number(COLUMNS["slope_start"], format="%.3f", help=f"First recorded step. {SLOPE}"),
            "slope_end": number(COLUMNS["slope_end"], format="%.3f", help=f"Last recorded step. {SLOPE}"),
            "ratio_start": number(
                COLUMNS["ratio_start"],
                format="%.3g",
                help="Gradient norm at the first convolution's output over the last one's, at the first recorded step",
            ),
            "seconds": number(COLUMNS["seconds"], format="%.0f s", help="Of all attempts, evaluation included"),
            "recorder_cost": number(COLUMNS["recorder_cost"], format="%.1f %%", help=RECORDING),
            "cpu": st.column_config.TextColumn(COLUMNS["cpu"], help=CPU),
            "status": st.column_config.TextColumn("Status"),
            "run_id": st.column_config.TextColumn("Id", help="Its folder in the archive"),
            "progress": st.column_config.ProgressColumn("Progress", min_value=0, max_value=100, format="%d %%"),
        },
    )


if __name__ == "__main__":
    page()
