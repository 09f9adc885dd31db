"""What stands below the first screen of a page? Tabs, of which only the open one is drawn, and pictures in them.

A picture has its name with what it means behind a mark, one line in words with its number, and the chart; what was not
measured yet has a button that measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from labapp import charts, frames, palette
from labapp.app.archive import OpenArchive, look_again_if_gone
from labapp.app.controls import PLAY, say_steps, step_slider
from labapp.app.drawn import chart
from labapp.app.live import live
from labapp.app.probed import applying, measured_steps, probed, unmeasured
from labapp.app.reading import reading
from labapp.app.tables import layers, made_of, styles, token
from labapp.config import LabError
from labapp.probes.catalogue import why_not
from labapp.store import Run

Draw = Callable[[OpenArchive], None]
SLIDERS = "more-"  # what the names of sliders in tabs begin with
SAID = 3  # runs that are told one by one
Number = Callable[[float], str]


def tabs(archive: OpenArchive, parts: Mapping[str, Draw], key: str) -> None:
    """Tabs in a fragment of their own: choosing one, or playing the page's steps, draws nothing else.

    Args:
        archive: The archive that the app shows.
        parts: By the words on the tab, what draws it.
        key: Part of the page's address.
    """
    played = any(value for name, value in st.session_state.items() if str(name).startswith(f"_playing-{SLIDERS}"))
    shown = ("layers", "steps", "evals")
    part = st.fragment(_tabs, run_every=PLAY) if played else live(_tabs, key, archive.chosen, shown)
    part(archive, dict(parts), key)


def _stop() -> None:
    """Stop what plays in a tab that is left."""
    for name in [name for name in st.session_state if str(name).startswith(f"_playing-{SLIDERS}")]:
        del st.session_state[name]


def _tabs(archive: OpenArchive, parts: dict[str, Draw], key: str) -> None:
    look_again_if_gone(archive.chosen)
    if st.session_state.get(key) not in (None, *parts):
        del st.session_state[key]
    for tab, draw in zip(
        st.tabs(list(parts), key=key, bind="query-params", on_change=_stop), parts.values(), strict=True
    ):
        if tab.open:
            with tab:
                try:
                    draw(archive)
                except LabError as error:
                    st.error(palette.sentence(error))


def picture(
    quantity: str,
    words: str,
    drawn: charts.Chart | None = None,
    key: str = "",
    table: pd.DataFrame | None = None,
    about: str = "",
) -> None:
    """A picture: name, meaning, one line with its number, and the chart.

    Args:
        quantity: Its name in `palette.QUANTITIES`.
        words: What is to be seen, with the number; also what a screen reader says of the chart.
        drawn: The chart; None where there is nothing to draw, which `words` say.
        key: Of the chart.
        table: What is drawn.
        about: What comes behind the name: which run and layer.
    """
    caption = palette.quantity(quantity)
    name = f"{caption.name[:1].upper()}{caption.name[1:]}{f', {about}' if about else ''}"
    with st.container(gap=None):
        st.markdown(f"**{palette.markdown(name)}**", help=caption.meaning or None)
        st.caption(palette.sentence(words))
    if drawn is not None and table is not None:
        chart(drawn, key, name, table, said=words, seen=True)


def checkpointed(
    archive: OpenArchive, names: Sequence[str], key: str, draw: Callable[[Sequence[Run], int], None]
) -> None:
    """Draw what was measured at a checkpoint, chosen by a slider; offer to measure what was not, or say why not.

    Args:
        archive: The archive that the app shows.
        names: The quantities, the first of which decides which checkpoints there are.
        key: Of the slider, behind `SLIDERS`; part of the page's address.
        draw: Draws these runs at this checkpoint.
    """
    able = [run for run in archive.chosen if applying(run, names)]
    have = probed(able, names)
    steps = sorted({step for run in have for step in run.probes().get(names[0], [])})
    if steps:
        step = step_slider(steps, f"{SLIDERS}{key}", "Checkpoint", begin=steps[-1])
        say_steps(frames.standing(measured_steps(have, names[0]), step), step)
        draw([run for run in have if names[0] in run.probes()], step)
    if lack := [run for run in able if run not in have]:
        unmeasured(archive, lack, names, "", primary=False)
    reasons = {why_not(name, run.experiment): None for run in archive.chosen if run not in able for name in names}
    if not able:
        st.caption(palette.sentence(f"Nothing to measure here: {next(iter(reasons), 'no run is chosen')}."))


def whole_steps(runs: Sequence[Run]) -> pd.DataFrame:
    """`frames.whole_steps`, cached."""
    return made_of(
        "whole steps", runs, partial(frames.whole_steps, read=lambda run, marks: _whole_steps(*token(run), marks))
    )


def dead_spans(runs: Sequence[Run]) -> pd.DataFrame:
    """`frames.dead_spans`, cached."""
    return made_of("dead spans", runs, partial(frames.dead_spans, read=lambda run: _dead_spans(*token(run))))


def recorded(
    archive: OpenArchive, quantity: str, kinds: tuple[str, ...], absent: str, even: float | None = None
) -> None:
    """A quantity that was recorded of every layer, against depth, at a step of its own slider.

    Args:
        archive: The archive that the app shows.
        quantity: A column of the table of layers.
        kinds: Of layers.
        absent: What is said where no run has it.
        even: A value to draw a rule at.
    """
    with reading(archive.chosen):
        panels = frames.of_layers_that_have(layers(archive.chosen, quantity, kinds))
    moments = frames.moments(panels)
    if moments.empty:
        picture(quantity, absent)
        return
    steps = sorted(int(at) for at in moments["step"].unique())
    place = st.container()
    step = step_slider(steps, f"{SLIDERS}{quantity}", begin=frames.middle_step(moments))
    standing = frames.standing(moments, step)
    say_steps(standing, step)
    at = frames.gradient_profile(frames.rows_at(panels, standing), step)
    log = palette.quantity(quantity).log
    span = frames.span(panels, positive=log) or ((0.1, 1.0) if log else (0.0, 1.0))
    with place:
        drawn = charts.signal_chart(at, styles(archive.chosen), quantity, span, even=even)
        picture(quantity, f"{from_to(at)}, at step {step:,}", drawn, f"further-{quantity}", at)


def extremes(rows: pd.DataFrame, value: str = "value") -> tuple[Any, Any] | None:
    """The rows of the least and the greatest finite value; None where there is none."""
    numbers = rows[value].astype(float)
    fine = numbers[numbers.abs() < float("inf")].dropna()
    if fine.empty:
        return None
    ends = rows.loc[[fine.idxmin(), fine.idxmax()]]
    first, last = ends.itertuples()
    return first, last


def of_runs(words: Iterable[str]) -> str:
    """What is said of each run, in one line: of the first `SAID`, and how many there are besides."""
    said = list(words)
    more = [f"{len(said) - SAID} more"] if len(said) > SAID + 1 else []
    return "; ".join([*said[: SAID if more else None], *more])


def from_to(rows: pd.DataFrame, number: Number = palette.number) -> str:
    """One line about rows with layer, run and value: "from 0.1 in conv1 of plain-20 to 0.9 in conv9 of plain-56"."""
    ends = extremes(rows)
    if ends is None:
        said = [note for note in dict.fromkeys(rows["note"].fillna("")) if note] if "note" in rows else []
        return str(said[0]) if said else "no finite value"
    low, high = (f"{number(end.value)} in {end.layer} of {end.run}" for end in ends)
    return low if low == high else f"from {low} to {high}"


@st.cache_data(max_entries=32, show_spinner=False)
def _whole_steps(path: str, version: str, marks: int) -> pd.DataFrame:
    return frames.read_whole_steps(Run(path), marks)


@st.cache_data(max_entries=32, show_spinner=False)
def _dead_spans(path: str, version: str) -> pd.DataFrame:
    return frames.read_dead_spans(Run(path))
