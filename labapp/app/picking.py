"""Which runs are chosen, and how does the page's address say so?

The address holds the ids of the chosen runs, `?runs=…&runs=…`, so that it means the same tomorrow and in another
browser: neither a new name nor a new run changes it. Where it holds none, the newest few are chosen. Runs that come
later are offered and never choose themselves. Only a page that was opened on an archive without runs shows the first
few that come, until somebody chooses, since there was nothing to choose from.

What is chosen is kept under `_wanted`, also ids that are not in the archive (any more), which a sentence names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from labapp import palette
from labapp.app.late import stands, went, wished
from labapp.config import listed, nearest, shown
from labapp.store import Entry, Listing

AT_FIRST = 6  # runs chosen when nobody has chosen yet: the newest
MOST = 100  # runs that pages show at once
OPTIONS = 100  # runs that the picker's list holds; more are found by searching
NAMED = 5  # ids that a sentence names
_LONGEST = 60  # signs of an id that it shows
_KEY = "runs"
_ADDRESS = "address-runs"


def pick(listing: Listing, names: Mapping[str, str], refused: bool) -> tuple[list[Entry], list[str]]:
    """Ask for the runs to show; those, and sentences about what was asked for and is not shown.

    Args:
        listing: What lies in the archive.
        names: What each run is called, by its id.
        refused: Whether the folder that was asked for is not opened; then the address keeps what it says.
    """
    state: Any = st.session_state
    there = listing.by_id
    if refused:
        state[_KEY] = []
        st.multiselect("Runs", [], key=_KEY, placeholder="No runs", disabled=True)
        return [], []
    _settle(listing)
    wanted: list[str] = state["_wanted"]
    shown = [name for name in wanted if name in there]
    if list(state.get(_KEY, [])) != shown or _KEY not in state:
        state[_KEY] = shown
    stands(_KEY, tuple(shown))
    st.multiselect(
        "Runs",
        _options(listing, names, shown),
        format_func=lambda name: names.get(name, name),
        key=_KEY,
        on_change=_by_hand,
        placeholder="Choose runs",
        filter_mode="contains",
    )
    _offer(listing, names)
    _write_address()
    sentences = _missing([name for name in wanted if name not in there], listing)
    if state.get("_cut"):
        sentences.append(f"pages show {MOST} runs at once, so of the {state['_cut']:,} chosen ones these are the first")
    return [there[name] for name in shown], sentences


def chosen() -> list[str]:
    """The ids of the chosen runs, also of those that are not in the archive."""
    return list(st.session_state.get("_wanted", []))


def take(ids: Iterable[str]) -> None:
    """Choose these runs, and no others; to be called before the page is drawn, by a button or a table."""
    all_of_them = list(dict.fromkeys(ids))
    st.session_state["_wanted"] = all_of_them[:MOST]
    st.session_state["_cut"] = len(all_of_them) if len(all_of_them) > MOST else 0
    st.session_state["_following"] = False


def _settle(listing: Listing) -> None:
    """What is chosen, by the address, by hand, or by nobody yet."""
    state: Any = st.session_state
    there = listing.by_id
    said = st.query_params.get_all(_KEY) if _KEY in st.query_params else None
    if state.get("_choice_of") != str(listing.root):  # the page was just opened, or another archive
        state["_choice_of"] = str(listing.root)
        state["_met"] = set(there)
        state["_following"] = not there
        state["_wanted"] = list(there)[:AT_FIRST]
        if said is not None and said != state.get("_said"):
            take(filter(None, said))
    elif said is not None and said != state.get("_said") and went(_ADDRESS, tuple(said)):
        take(filter(None, said))
    if state["_following"]:
        came = [name for name in list(there)[::-1] if name not in state["_wanted"]]
        state["_wanted"] = [*state["_wanted"], *came][:AT_FIRST]
        state["_met"].update(state["_wanted"])


def _by_hand() -> None:
    said = st.session_state[_KEY]
    if wished(_KEY, tuple(said)):
        take(said)


def _write_address() -> None:
    said = chosen() or [""]
    if st.session_state["_following"] and said == [""]:
        return  # nobody has chosen, and there is nothing to choose from
    if _KEY not in st.query_params or st.query_params.get_all(_KEY) != said:
        st.query_params[_KEY] = said
    st.session_state["_said"] = said
    stands(_ADDRESS, tuple(said))


def _options(listing: Listing, names: Mapping[str, str], shown: Sequence[str]) -> list[str]:
    """The runs that the list offers: all, or the chosen ones and the newest that fit what is looked for."""
    if len(listing.entries) <= OPTIONS:
        return list(listing.by_id)
    words = st.text_input(
        "Find runs",
        key="find",
        placeholder=f"Search {len(listing.entries):,} runs",
        help="Words of a run's name, id, tags or note; the list below then offers those runs.",
        icon=":material/search:",
        label_visibility="collapsed",
    )
    sought = str(words).casefold().split()
    found: list[str] = []
    for entry in listing.entries:
        if len(found) >= OPTIONS:
            break
        text = " ".join((names.get(entry.id, ""), entry.id, *entry.labels.tags, entry.labels.note)).casefold()
        if all(word in text for word in sought):
            found.append(entry.id)
    if sought and not found:
        st.caption(palette.sentence(f"No run has “{words}” in its name, id, tags or note."))
    return list(dict.fromkeys([*shown, *found]))


def _offer(listing: Listing, names: Mapping[str, str]) -> None:
    """The runs that came since the page was opened."""
    met = st.session_state["_met"]
    fresh = [name for name in listing.by_id if name not in met]
    met.update(name for name in fresh if name in chosen())
    fresh = [name for name in fresh if name not in met]
    if not fresh:
        return
    few = [palette.markdown(names.get(name, name)) for name in fresh[:NAMED]]
    few += [f"{len(fresh) - NAMED} more"] * (len(fresh) > NAMED)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            f"Show {len(fresh):,} new {'run' if len(fresh) == 1 else 'runs'}",
            icon=":material/add:",
            key="offer",
            on_click=_take_fresh,
            args=(fresh,),
            help=f"Since this page was opened came {listed(few)}.",
        )
        st.button(
            "Not now",
            key="offer-not",
            type="tertiary",
            on_click=met.update,
            args=(fresh,),
        )


def _take_fresh(fresh: Sequence[str]) -> None:
    st.session_state["_met"].update(fresh)
    take([*chosen(), *reversed(fresh)])


def _missing(ids: Sequence[str], listing: Listing) -> list[str]:
    """One sentence about runs that were asked for and are not there."""
    broken = {path.name for path, _ in listing.broken}  # of which another sentence tells
    gone = [name for name in ids if name not in broken]
    if not gone:
        return []
    short = [f"'{name if len(name) <= _LONGEST else f'{name[:_LONGEST]}…'}'" for name in gone[:NAMED]]
    more = [f"{len(gone) - NAMED} others"] * (len(gone) > NAMED)
    near = nearest(gone[0], listing.by_id) if len(gone) == 1 and len(listing.by_id) <= OPTIONS else ""
    runs = "the run" if len(gone) == 1 else "the runs"
    return [
        f"{runs} {listed([*short, *more])} that this page was to show {_are(gone)} not in {shown(listing.root)}{near}"
    ]


def _are(gone: Sequence[str]) -> str:
    return "is" if len(gone) == 1 else "are"
