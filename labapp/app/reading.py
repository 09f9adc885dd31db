"""What does a page say while it reads? What is being read, where it will be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from labapp import frames, palette
from labapp.store import Run


@contextmanager
def reading(runs: Sequence[Run]) -> Iterator[None]:
    """Say what is being read as long as the block takes; nothing is seen of it where that is a moment."""
    with st.spinner(palette.sentence(what_is_read(runs)), show_time=True):
        yield


def what_is_read(runs: Sequence[Run]) -> str:
    """The largest of the runs, with its size, and how many there are besides."""
    if not runs:
        return "Reading …"
    sizes = [len(run.layers_info) * run.progress[0] for run in runs]
    largest = sizes.index(max(sizes))
    run, name = runs[largest], frames.names(runs)[largest]
    places = f"{len(run.layers_info):,} places" if run.layers_info else "the record"
    others = f" and of {len(runs) - 1} more" if len(runs) > 1 else ""
    return f"Reading {places} over {run.progress[0]:,} steps of {name}{others} …"
