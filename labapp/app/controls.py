"""Which controls do several pages use? A slider over steps that can be played, and a choice among things by name."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from labapp import frames, palette
from labapp.app.following import following, lead, let_go, moved, toggle
from labapp.app.live import State, live
from labapp.config import listed
from labapp.store import Run

FRAMES = 40  # pictures in a play over all steps
PLAY = 0.4  # seconds between two of them
MANY = 300  # steps that a slider offers at once: a browser takes long to read thousands of words
NEAR = 40  # of many, how many on either side of the one shown are offered, so that arrow keys reach each
LONGEST = 40  # signs of what an address asks for that are shown
Thing = TypeVar("Thing")


def playing(key: str) -> bool:
    """Whether the steps of this slider are being played; then its page is drawn again every `PLAY` seconds."""
    return bool(st.session_state.get(f"_playing-{key}", False))


def playable(
    draw: Callable[..., None], key: str, runs: Sequence[Run] = (), state: State | None = None
) -> Callable[..., None]:
    """`draw` as a fragment that is drawn again by itself: often while its slider plays, else when layers were recorded.

    Args:
        draw: Draws it.
        key: Of its slider.
        runs: Those that it shows.
        state: What it shows, where that is something else.
    """
    return st.fragment(draw, run_every=PLAY) if playing(key) else live(draw, key, runs, ("layers",), state)


def step_slider(
    steps: Sequence[int],
    key: str,
    label: str = "Step",
    begin: int | None = None,
    hold: bool = False,
    live: bool = False,
) -> int:
    """A slider over steps, and a button that plays them.

    An address that asks for a step that is none gets the nearest one, and a sentence.

    Args:
        steps: In ascending order, at least one.
        key: Of the slider; part of the page's address.
        label: What stands above it.
        begin: The step to begin with; the first one when left out.
        hold: Whether a play has to wait, because the present step is not drawn yet.
        live: Whether more steps are to come: then the slider goes with the last one until somebody moves it, and a
            toggle beside it says so.
    """
    state, flag, steps = st.session_state, f"_playing-{key}", list(steps)
    now, follows = playing(key), following(key).goes(live)
    if isinstance(state.get(key), tuple):  # two of them in the address
        state[key] = state[key][0]
    if now and not hold:
        at = steps.index(state[key]) if state.get(key) in steps else 0
        last = len(steps) - 1
        after = 0 if at == last else min(at + _stride(len(steps)), last)
        state[key] = steps[after]
        state[flag] = after < last
    elif follows:
        lead(key, steps[-1])
    elif key in state and state[key] not in steps:
        wanted = state[key]
        state[key] = min(steps, key=lambda step: abs(step - wanted))
    elif key not in state:
        _find_asked(steps, key, label)
    if len(steps) < 2:
        st.caption(palette.sentence(f"{label} {steps[0]:,}, the only one"))
        return steps[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        icon = ":material/pause:" if now else ":material/play_arrow:"
        pressed = st.button("Pause" if now else "Play", icon=icon, key=f"play-{key}", on_click=let_go, args=(key,))
        step = st.select_slider(
            label, _offered(steps, key, begin), value=steps[-1] if follows else begin, key=key, bind="query-params",
            format_func=lambda at: f"{at}", on_change=_moved, args=(key,),
        )  # fmt: skip
        if live:
            toggle(key)
    if sentence := state.get(f"_asked-{key}"):
        st.caption(palette.sentence(sentence))
    if pressed:
        state[flag] = not now
    if now != playing(key) or isinstance(step, tuple):
        st.rerun()  # the whole page, because the pace is set where the fragment is called
    return int(step)


def frames_of(steps: int) -> list[int]:
    """Which of so many steps a play over all of them shows, as places."""
    return sorted({*range(0, steps, _stride(steps)), max(0, steps - 1)})


def _stride(steps: int) -> int:
    return max(1, steps // FRAMES)


def offered(steps: Sequence[int], at: int) -> list[int]:
    """Which of these steps are offered where one is shown: all of a few; of many an even share and those around it.

    While a run grows the same ones stay offered, until every other one is enough, so that a slider keeps still in the
    hand.
    """
    if len(steps) <= MANY:
        return list(steps)
    stride = 2 ** math.ceil(math.log2(len(steps) / (MANY - 2 * NEAR)))
    place = bisect.bisect_left(steps, at)
    return sorted({*steps[::stride], *steps[max(0, place - NEAR) : place + NEAR + 1], steps[-1]})


def _offered(steps: list[int], key: str, begin: int | None) -> list[int]:
    """What is offered now, and what was a moment ago: a browser that is late may ask for one of those."""
    state, first = st.session_state, steps[0] if begin is None else begin
    asked = st.query_params.get(key, "")
    now = offered(steps, state[key] if key in state else int(asked) if asked in map(str, steps) else first)
    before, state[f"_offered-{key}"] = state.get(f"_offered-{key}", ()), now
    return sorted({*now, *set(before).intersection(steps), first})


def _moved(key: str) -> None:
    st.session_state.pop(f"_asked-{key}", None)
    moved(key)


def _find_asked(steps: list[int], key: str, label: str) -> None:
    """Where the address asks for what is no step of these, take the nearest and keep a sentence that says so."""
    asked = st.query_params.get_all(key)
    if not asked or (len(asked) == 1 and asked[0] in map(str, steps)):
        return
    word = ", ".join(asked) if len(", ".join(asked)) <= LONGEST else f"{', '.join(asked)[:LONGEST]}…"
    number = re.fullmatch(r"-?[0-9]{1,15}", asked[0])
    if number:
        nearest = min(steps, key=lambda step: abs(step - int(number[0])))
    else:
        nearest = steps[-1] if re.fullmatch(r"[0-9]+", asked[0]) else steps[0]
    st.session_state[key] = nearest
    why = "was not recorded" if number and len(asked) == 1 and int(number[0]) >= 0 else "is none"
    st.session_state[f"_asked-{key}"] = (
        f"The address asks for {label.lower()} '{word}', which {why}; shown is {label.lower()} {nearest:,}."
    )


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
