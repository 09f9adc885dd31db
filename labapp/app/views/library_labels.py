"""What can be done with the chosen runs? Named, tagged, noted, removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from labapp import app, palette
from labapp.app.picking import chosen, take
from labapp.config import READING, LabError, is_read_only, listed
from labapp.store import Entry, Labels, label_run, remove_run

NAMED = 3  # runs that a sentence names


def act(archive: app.OpenArchive) -> None:
    """The buttons below the table of all runs."""
    entries = [archive.listing.by_id[name] for name in chosen() if name in archive.listing.by_id]
    if is_read_only():
        st.caption(palette.sentence(f"Runs are neither labelled nor removed from here, because {READING}."))
        return
    if said := st.session_state.pop("_refused", ""):
        st.error(palette.sentence(said))
    if not entries:
        return
    with st.container(horizontal=True):
        for words, icon, kind, key, draw in MENUS:
            menu = st.popover(words, icon=f":material/{icon}:", type=kind, key=key, on_change="rerun")
            if menu.open:
                with menu:
                    draw(archive, entries)


def _label(archive: app.OpenArchive, entries: Sequence[Entry]) -> None:
    ids = [entry.id for entry in entries]
    known = sorted({tag for entry in archive.listing.entries for tag in entry.labels.tags})
    if len(entries) > 1:
        tags = st.multiselect(
            f"Tags for all {len(entries)} chosen runs", known, key="tags-all", accept_new_options=True,
            placeholder="Choose or type tags",
        )  # fmt: skip
        st.button("Add tags", key="tag-all", disabled=not tags, on_click=_tag_all, args=(archive, ids))
        st.divider()
    one = st.selectbox("Run", ids, format_func=lambda name: archive.names.get(name, name), key="label-run")
    if one not in archive.listing.by_id:
        return
    labels: Labels = archive.listing.by_id[one].labels
    usual = "Empty: the name that the lab gives. Its folder and its address stay as they are"
    st.text_input("Name", labels.name, key=f"name-{one}", placeholder="As the lab calls it", help=usual)
    st.multiselect(
        "Tags", sorted({*known, *labels.tags}), list(labels.tags), key=f"tags-{one}", accept_new_options=True,
        placeholder="Choose or type tags",
    )  # fmt: skip
    st.text_area("Note", labels.note, key=f"note-{one}")
    st.button("Save", key="label-save", type="primary", on_click=_save, args=(archive, one, labels))


def _save(archive: app.OpenArchive, one: str, before: Labels) -> None:
    """Write down what was changed here; the rest may have been changed elsewhere."""
    state = st.session_state
    now = {"name": state[f"name-{one}"], "tags": state[f"tags-{one}"], "note": state[f"note-{one}"]}
    changed = {key: value for key, value in now.items() if value != before.model_dump()[key]}
    _say_of(archive, [one], **changed)


def _tag_all(archive: app.OpenArchive, ids: Sequence[str]) -> None:
    _say_of(archive, ids, add=st.session_state["tags-all"])


def _say_of(archive: app.OpenArchive, ids: Sequence[str], **words: object) -> None:
    try:
        for name in ids:
            label_run(archive.root, name, **words)
    except LabError as error:
        st.session_state["_refused"] = str(error)


def _remove(archive: app.OpenArchive, entries: Sequence[Entry]) -> None:
    """What would be lost, and the button that does it."""
    live = [entry for entry in entries if entry.status == "running"]
    gone = [entry for entry in entries if entry not in live]
    if live:
        st.markdown(palette.sentence(f"{_called(archive, live)} {_is(live)} being written and cannot be removed."))
    if not gone:
        return
    steps, seconds = sum(entry.step for entry in gone), sum(entry.seconds for entry in gone)
    st.markdown(
        palette.sentence(
            f"{_called(archive, gone)} would be deleted with all that was recorded, measured and kept of "
            f"{'it' if len(gone) == 1 else 'them'}: {steps:,} steps in {palette.duration(seconds)} of training. "
            "Nothing brings that back."
        )
    )
    st.button(
        f"Remove {len(gone):,} {'run' if len(gone) == 1 else 'runs'} for good",
        key="remove",
        type="primary",
        icon=":material/delete_forever:",
        on_click=_removed,
        args=(archive, [entry.id for entry in gone]),
    )


def _removed(archive: app.OpenArchive, ids: Sequence[str]) -> None:
    done = []
    try:
        for name in ids:
            remove_run(archive.root, name)
            done.append(name)
    except LabError as error:
        st.session_state["_refused"] = str(error)
    take(name for name in chosen() if name not in done)


def _called(archive: app.OpenArchive, entries: Sequence[Entry]) -> str:
    names = [archive.names[entry.id] for entry in entries[:NAMED]]
    return listed([*names, *[f"{len(entries) - NAMED:,} more"] * (len(entries) > NAMED)])


def _is(entries: Sequence[Entry]) -> str:
    return "is" if len(entries) == 1 else "are"


MENUS: tuple[tuple[str, str, Literal["secondary", "tertiary"], str, Callable[..., None]], ...] = (
    ("Name, tags and note", "label", "secondary", "runs-label", _label),
    ("Remove", "delete", "tertiary", "runs-remove", _remove),
)
