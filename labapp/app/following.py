"""Does a slider over steps go with the last one of a run that trains?

Until somebody moves it, or the address asks for a step. What it does is said by a toggle beside it and by the address:
without a step there it goes with the last one, with a step it stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st


@dataclass
class Following:
    """Whether a slider goes with the last step, and where it was led.

    Attributes:
        on: Whether it does.
        led: Where it was led since the browser last said that it stands there; the last is where it is led now.
        turn: Of the toggle, which begins anew when the slider was moved.
        page: What the whole page found when it was drawn last.
    """

    on: bool
    led: list[int] = field(default_factory=list)
    turn: int = 0
    page: object = None

    def goes(self, live: bool) -> bool:
        """Whether it goes with the last step now: while more are to come, and to those that came before a run ended."""
        return self.on and (live or bool(self.led))


def following(key: str) -> Following:
    """Of the slider of this key; at first whether nobody has asked for a step."""
    state = st.session_state
    name = f"_following-{key}"
    if name not in state:
        state[name] = Following(key not in state and key not in st.query_params)
    found: Following = state[name]
    return found


def lead(key: str, step: int) -> None:
    """Move a slider that follows to a step; before it is drawn."""
    state, this = st.session_state, following(key)
    page, this.page = this.page, state.get("_archive")
    if this.led and state.get(key) == this.led[-1]:
        if page is this.page:  # else the page is drawn anew by itself perhaps, without a word from the browser
            this.led = this.led[-1:]
    elif not this.led and key in state:
        this.led = [state[key]]
    if not this.led or this.led[-1] != step:
        this.led.append(step)
    state[key] = step


def let_go(key: str) -> None:
    """Somebody takes hold of a slider, or has it played."""
    this = following(key)
    if this.on:
        this.on, this.led, this.turn = False, [], this.turn + 1


def moved(key: str) -> None:
    """The browser says that a slider stands elsewhere: somebody moved it, unless it is only late.

    A page that is drawn again by itself may ask before the browser has heard of the step before, and so says an older
    one, and then the newer: both are where the slider was led, not somebody's wish.
    """
    this = following(key)
    if not (this.on and st.session_state.get(key) in this.led):
        let_go(key)


def toggle(key: str) -> None:
    """The toggle beside a slider."""
    this = following(key)
    name = f"_follow-{key}-{this.turn}"  # a toggle of its own after each move, so that none is told what it is
    st.toggle(
        "Follow latest", value=this.on, key=name, on_change=_toggled, args=(key, name),
        help="The slider goes with the last recorded step while a run trains; moving it lets go",
    )  # fmt: skip


def _toggled(key: str, name: str) -> None:
    state: Any = st.session_state
    this = following(key)
    this.on, this.led = bool(state[name]), []
    if not this.on and key in state:
        state[key] = state[key]  # said once more, so that it stands in the address from now on
