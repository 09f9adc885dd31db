"""Which controls do several pages use? A slider over steps that can be played, and a choice among things by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from labapp import frames, palette
from labapp.app.running import PACE
from labapp.config import listed

FRAMES = 40  # pictures in a play over all steps
PLAY = 0.4  # seconds between two of them
Thing = TypeVar("Thing")


def playing(key: str) -> bool:
    """Whether the steps of this slider are being played; then its page is drawn again every `PLAY` seconds."""
    return bool(st.session_state.get(f"_playing-{key}", False))


def playable(draw: Callable[..., None], key: str, live: bool = False) -> Callable[..., None]:
    """`draw` as a fragment that is drawn again by itself: often while its slider plays, at times while it is `live`."""
    return st.fragment(draw, run_every=PLAY if playing(key) else PACE if live else None)


def step_slider(
    steps: Sequence[int], key: str, label: str = "Step", begin: int | None = None, hold: bool = False
) -> int:
    """A slider over steps, and a button that plays them.

    Args:
        steps: In ascending order, at least one.
        key: Of the slider; part of the page's address.
        label: What stands above it.
        begin: The step to begin with; the first one when left out.
        hold: Whether a play has to wait, because the present step is not drawn yet.
    """
    state, flag, steps = st.session_state, f"_playing-{key}", list(steps)
    now = playing(key)
    if now and not hold:
        at = steps.index(state[key]) if state.get(key) in steps else 0
        last = len(steps) - 1
        after = 0 if at == last else min(at + max(1, len(steps) // FRAMES), last)
        state[key] = steps[after]
        state[flag] = after < last
    elif key in state and state[key] not in steps:
        wanted = state[key]
        state[key] = min(steps, key=lambda step: abs(step - wanted))
    if len(steps) < 2:
        st.caption(palette.sentence(f"{label} {steps[0]:,}, the only one"))
        return steps[0]
    if key not in state and key not in st.query_params and begin is not None:
        state[key] = begin
    with st.container(horizontal=True, vertical_alignment="bottom"):
        icon = ":material/pause:" if now else ":material/play_arrow:"
        pressed = st.button("Pause" if now else "Play", icon=icon, key=f"play-{key}")
        step = st.select_slider(label, steps, key=key, bind="query-params", format_func=lambda at: f"{at}")
    if pressed:
        state[flag] = not now
    if now != playing(key):
        st.rerun()  # the whole page, because the pace is set where the fragment is called
    return int(step)


def of_step(run: str, own: int, step: int) -> str:
    """A run's name in a sentence about a step; with its own step in parentheses where that is another one."""
    return run if own == step else f"{run} (step {own:,})"


def say_steps(standing: pd.DataFrame, step: int) -> None:
    """Say which runs stand at another step than the one chosen, and which are left out; nothing where all stand at it.

    Args:
        standing: From `frames.standing`.
        step: The one chosen.
    """
    near = [
        f"{row.run} at step {int(row.step):,}" for row in _rows(standing) if row.step != step and row.step == row.step
    ]
    gone = [f"{row.run} (nearest step {row.nearest:,})" for row in _rows(standing) if row.step != row.step]
    words = [f"Shown at their nearest recorded step: {listed(near)}."] if near else []
    words += (
        [f"Left out, not recorded within {100 * frames.TOLERANCE:g} % of step {step:,}: {listed(gone)}."]
        if gone
        else []
    )
    if words:
        st.caption(palette.sentence(" ".join(words)))


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def choice(label: str, options: Mapping[str, Thing], key: str, **box: Any) -> Thing:
    """Ask for one of several things by its name; a name chosen before that is no longer there is forgotten."""
    if st.session_state.get(key) not in (None, *options):
        del st.session_state[key]
    return options[st.selectbox(label, list(options), key=key, bind="query-params", **box)]
