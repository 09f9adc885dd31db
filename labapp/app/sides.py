"""Which runs are compared with which?

Two pickers, A and B, each for one run or several. The address holds their ids, `?a=…&b=…&b=…`. Until somebody picks,
the two follow what is chosen in the sidebar: its most telling pair, see `frames.compare.telling`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from labapp import frames, palette
from labapp.app.archive import OpenArchive, strays
from labapp.app.late import stands, went, wished
from labapp.app.tables import summary
from labapp.config import LabError, listed, shown
from labapp.store import Run

OPTIONS = 200  # runs that a picker offers; in a larger archive those chosen in the sidebar, which can search
LETTERS = ("a", "b")
_LONGEST = 60  # signs of an id that a sentence shows


def pick_sides(archive: OpenArchive) -> tuple[list[list[Run]], list[str]]:
    """Ask for the two sides; the runs of each that can be read, and sentences about what was asked for and cannot."""
    state = st.session_state
    here = archive.listing.by_id
    wanted = wanted_sides(archive)
    offered = list(here) if len(here) <= OPTIONS else [run.id for run in archive.chosen]
    offered += [name for ids in wanted.values() for name in ids if name in here]
    labels = {name: archive.names.get(name, name) for name in offered}
    sentences: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for letter in LETTERS:
            _picker(letter, [name for name in wanted[letter] if name in here], labels)
        st.button(
            "Swap",
            icon=":material/swap_horiz:",
            key="swap",
            on_click=_swap,
            args=(wanted["a"], wanted["b"]),
            help="Compare A with B instead of B with A: every ratio becomes its inverse",
        )
    found: list[list[Run]] = []
    for letter in LETTERS:
        gone = [name for name in wanted[letter] if name not in here]
        sentences += [_missing(gone, archive)] if gone else []
        fine, unreadable = _readable([archive.listing.run(here[name]) for name in wanted[letter] if name in here])
        sentences += unreadable
        found.append(fine)
        said = wanted[letter] or [""]
        if letter not in st.query_params or st.query_params.get_all(letter) != said:
            st.query_params[letter] = said
        state[f"_said-{letter}"] = said
        stands(f"address-{letter}", tuple(said))
    return found, list(dict.fromkeys(sentences))


def wanted_sides(archive: OpenArchive) -> dict[str, list[str]]:
    """The ids of both sides, a and b; also those that are not in the archive."""
    first = dict(zip(LETTERS, frames.compare.telling(archive.chosen), strict=True))
    return {letter: _wanted(letter, archive, [run.id for run in first[letter]]) for letter in LETTERS}


def _wanted(letter: str, archive: OpenArchive, first: Sequence[str]) -> list[str]:
    """The ids of one side: those of the address, those picked by hand, or those that are telling."""
    state = st.session_state
    if state.get(f"_of-{letter}") != str(archive.root):  # just opened, or another archive
        state[f"_of-{letter}"] = str(archive.root)
        state[f"_wanted-{letter}"] = None
    said = st.query_params.get_all(letter) if letter in st.query_params else None
    if said is not None and said != state.get(f"_said-{letter}") and went(f"address-{letter}", tuple(said)):
        state[f"_wanted-{letter}"] = list(dict.fromkeys(filter(None, said)))
    by_hand = state[f"_wanted-{letter}"]
    return list(first) if by_hand is None else list(by_hand)


def _picker(letter: str, shown: list[str], labels: Mapping[str, str]) -> None:
    state, key = st.session_state, f"side-{letter}"
    if list(state.get(key, [])) != shown or key not in state:
        state[key] = shown
    stands(key, tuple(shown))
    st.multiselect(
        letter.upper(),
        list(labels),
        format_func=lambda name: labels.get(name, name),
        key=key,
        on_change=_by_hand,
        args=(letter,),
        placeholder="Choose one run, or several as a group",
        filter_mode="contains",
        help="What is compared with" if letter == "a" else "What is compared: every ratio is B ÷ A",
    )


def _by_hand(letter: str) -> None:
    said = list(st.session_state[f"side-{letter}"])
    if wished(f"side-{letter}", tuple(said)):
        st.session_state[f"_wanted-{letter}"] = said


def _swap(a: list[str], b: list[str]) -> None:
    st.session_state["_wanted-a"], st.session_state["_wanted-b"] = list(b), list(a)


def _missing(gone: Sequence[str], archive: OpenArchive) -> str:
    names = listed(f"'{name if len(name) <= _LONGEST else f'{name[:_LONGEST]}…'}'" for name in gone)
    return f"{names}, which this page was to compare, {'is' if len(gone) == 1 else 'are'} not in {shown(archive.root)}"


def _readable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    fine, sentences = [], []
    for run in runs:
        try:
            if stray := strays(run):
                sentences.append(f"{stray} is a link out of the folders that this app may open, so it is left alone")
                continue
            summary(run)
            fine.append(run)
        except (LabError, OSError) as error:
            sentences.append(str(error))
    return fine, sentences


def say_left_out(sides: Sequence[frames.compare.Side]) -> None:
    """Say of both sides what does not count, and where their runs are no repetitions."""
    words = [sentence for each in sides for sentence in each.left_out]
    mixed = [each.name for each in sides if len(each.runs) > 1 and not frames.compare.repeated(each)]
    if mixed:
        words.append(
            f"The runs of {listed(mixed)} differ in more than the seed, so its interval is not of chance alone"
        )
    if words:
        st.caption(palette.sentence(". ".join(words) + "."))
