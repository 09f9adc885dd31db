"""Which parts of a page are drawn again while a run trains, and when?

    live(draw, "curves", archive)(archive)     # a fragment that is drawn again once the chosen runs have new rows
    look()                                     # from time to time, by the bars beside the page

Drawing takes processor time from the training that is watched, most of all where that has all cores. So only those
parts are drawn whose rows changed, and after c seconds of work, here and in the browser, the next drawing waits until
they are no more than `SHARE` of the time that went by: a small page is drawn every few seconds, a large one less often.
A look costs next to nothing here, but has the browser go over its whole page; so there are no more looks than can lead
to something.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial, wraps
from threading import Event
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx

from labapp.config import LabError
from labapp.store import Run

PACE = 2.0  # seconds between looks at something that is still running
SLOWEST = 15.0  # seconds between two looks at most
SHARE = 0.03  # of one processor, that drawing takes at most, here and in a browser on the same machine
BROWSER = 2.0  # seconds of processor time that a browser takes to draw what was made in one
PASS = 0.1  # and for a drawing of anything
RARE = 60.0  # seconds after which is drawn what changes with each row and is there to be looked up
LOOK = "look"  # the name of the fragment that looks
EARLY = 0.2  # seconds that a timer may be early
FLUSH = 0.005  # seconds between two looks at what is not sent yet
LONGEST = 0.5  # seconds to wait for it
State = Callable[[], Hashable]


@dataclass
class Watched:
    """What is known of the live parts of one open page.

    Attributes:
        states: Of each part, what it was drawn from; a function tells what that is now.
        spent: Seconds of processor time here since `since`; with those of a browser they have to be `SHARE` of the
            time before anything is drawn.
        since: When parts were drawn last, on the clock `time.monotonic`.
        every: Seconds between two looks.
    """

    states: dict[str, tuple[State, Hashable]] = field(default_factory=dict)
    spent: float = 0.0
    since: float = field(default_factory=time.monotonic)
    every: float = PACE

    @property
    def wait(self) -> float:
        """Seconds from the last drawing to the next one."""
        return max(PACE, (self.spent * (1 + BROWSER) + PASS) / SHARE) if self.spent else PACE

    def due(self, now: float) -> list[str]:
        """The parts to be drawn now: those that changed, once what was spent is little enough."""
        left = self.since + self.wait - now
        if left > EARLY:
            self.every = min(max(PACE, left), SLOWEST)
            return []
        changed = [key for key, (state, drawn) in self.states.items() if _now(state) != drawn]
        if changed:
            self.spent, self.since = 0.0, now
        return changed


def begin() -> None:
    """Forget the parts of the page that was drawn before; at the beginning of a page."""
    st.session_state["_watched"] = Watched()


def soon() -> None:
    """Look again soon: somebody waits for something that was just begun or stopped."""
    watched: Watched | None = st.session_state.get("_watched")
    if watched is not None:
        watched.spent = 0.0


def live(
    draw: Callable[..., None],
    key: str,
    runs: Sequence[Run] = (),
    tables: Sequence[str] = (),
    state: State | None = None,
) -> Callable[..., None]:
    """`draw` as a fragment that is drawn again when rows were added, for as long as one of the runs is written.

    Args:
        draw: Draws the part.
        key: Names it on its page.
        runs: Those that it shows.
        tables: Of the runs, those that it shows; where none is named all, and what run.json says.
        state: What it shows, where that is something else.
    """
    shown = state or partial(_written, tuple(runs), tuple(tables))

    @wraps(draw)
    def drawn(*given: Any) -> None:
        watched: Watched = st.session_state["_watched"]
        if state is not None or any(run.status == "running" for run in runs):
            watched.states[key] = shown, _now(shown)  # before the rows are read, so that later ones are seen as new
        begun = time.thread_time()
        try:
            draw(*given)
        finally:
            context = get_script_run_ctx()
            if context is not None and context.fragment_ids_this_run:  # not the whole page, which somebody asked for
                watched.spent += time.thread_time() - begun
                sent()

    return st.fragment(drawn, key=f"live-{key}")


def unfolded(key: str, runs: Sequence[Run], tables: Sequence[str] = ()) -> State:
    """The state of a part that is an expander of this key, as `live` takes it: while it is folded, nothing changes."""
    return lambda: _written(runs, tables) if st.session_state.get(key) else ()


def rarely(state: State, at_once: State) -> State:
    """A state that is told as it was until `RARE` seconds have gone by, or something changed that is told at once."""
    told: list[tuple[float, Hashable, Hashable]] = []

    def shown() -> Hashable:
        now, urgent = time.monotonic(), at_once()
        if not told or urgent != told[-1][1] or now - told[-1][0] >= RARE:
            told[:] = [(now, urgent, state())]
        return told[-1][1:]

    return shown


def sent() -> None:
    """Wait until what was drawn is on its way to the browser; at the end of a page and of a part of it.

    When somebody asks for a part again, Streamlit drops what it drew of that part and has not sent yet, but not the
    word that it was drawn: the browser then takes it off the page, and a table that comes back has no row marked.
    """
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return
    with suppress(AttributeError):  # another Streamlit may call these otherwise, and does without
        server: Any = runtime.get_instance()
        session = server._session_mgr.get_session_info(context.session_id).session
        queued, end = Event(), time.monotonic() + LONGEST
        session._event_loop.call_soon_threadsafe(queued.set)  # after what was drawn, which comes the same way
        queued.wait(LONGEST)
        while not session._browser_queue.is_empty() and time.monotonic() < end:
            time.sleep(FLUSH)


def look() -> None:
    """Have the parts drawn that are due, after the fragment that asks for it."""
    context = get_script_run_ctx()
    watched: Watched | None = st.session_state.get("_watched")
    if context is None or context.script_requests is None or not context.fragment_ids_this_run or watched is None:
        return  # the whole page is being drawn
    before = watched.every
    due = watched.due(time.monotonic())
    if watched.every != before:
        again = ForwardMsg()
        again.auto_rerun.interval = watched.every
        again.auto_rerun.fragment_id = context.fragment_storage.resolve_target(LOOK)[0]
        context.enqueue(again)
    if due:
        context.script_requests.request_rerun(  # st.rerun has names of fragments from buttons alone
            RerunData(
                query_string=context.query_string,
                page_script_hash=context.page_script_hash,
                fragment_id_queue=context.fragment_storage.resolve_target([f"live-{key}" for key in due]),
                is_auto_rerun=True,
                cached_message_hashes=context.cached_message_hashes,
                context_info=context.context_info,
            )
        )


def _written(runs: Sequence[Run], tables: Sequence[str]) -> Hashable:
    return tuple(run.written(*tables) if tables else run.version for run in runs)


def _now(state: State) -> Hashable:
    try:
        return state()
    except (LabError, OSError) as error:  # it was removed meanwhile, which the part says
        return str(error)
