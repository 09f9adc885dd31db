"""Is what a browser says of a control or the address somebody's wish, or has it not heard yet what the page made of it?

    stands("runs", shown)                # where it is drawn: what it stands at, which the page may have set itself
    if wished("runs", said): …           # where Streamlit calls because the browser says something else

With whatever happens a browser says what all controls stand at and what its address is, also when the page merely looks
whether there is something new. Until it has drawn what the page set, which takes a slow one a second, it says what was
there before.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState


@dataclass
class Stood:
    """What a control or a part of the address stood at since somebody moved it last, and on which page."""

    at: list[Hashable] = field(default_factory=list)
    page: str = ""


def stands(key: str, value: Hashable) -> None:
    """A control is drawn, or the address written, and stands at this."""
    this, context = _stood(key), get_script_run_ctx()
    this.page = context.page_script_hash if context else ""
    if value not in this.at:
        this.at.append(value)


def wished(key: str, value: Hashable) -> bool:
    """Whether somebody wishes a control to stand at what the browser says of it.

    Who moves it has the part of the page run in which it is drawn, or the whole page where it is in none; with another
    part, or on the way to another page, comes what the control stands at in the browser. The whole page also runs in
    place of several parts that are asked for at once: then what it stood at before is late and anything else a wish.
    """
    this, context, part = _stood(key), get_script_run_ctx(), ThreadState.get().fragment_id
    parts = (context.fragment_ids_this_run if context else None) or []
    if parts:
        by_hand = part in parts
    else:
        same = part is None and (context is None or context.page_script_hash == this.page)
        by_hand = same or value not in this.at
    if by_hand:
        this.at[:] = [value]
    return by_hand


def went(key: str, value: Hashable) -> bool:
    """Whether somebody went to an address that says this: back to an earlier one, or to one never written here."""
    this, context = _stood(key), get_script_run_ctx()
    gone = value not in this.at or (context is not None and context.is_history_navigation)
    if gone:
        this.at[:] = [value]
    return gone


def _stood(key: str) -> Stood:
    state: Any = st.session_state
    name = f"_stood-{key}"
    if name not in state:
        state[name] = Stood()
    found: Stood = state[name]
    return found
