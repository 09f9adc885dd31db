"""Which tables of two sides does the Compare page read again and again?

Those of `frames.compare`, cached by the runs' paths and versions. Of a large run the page reads the step that is shown
and the first one, where healthy layers show what they have, and not the whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labapp.app.tables import token
from labapp.frames import compare
from labapp.store import Run

Own = tuple[tuple[str, str, int], ...]  # the runs of a side: path, version and the step that is looked at


def compared_steps(a: Sequence[Run], b: Sequence[Run]) -> pd.DataFrame:
    """`frames.compare.compared_steps` of the steps at which the runs of two sides recorded their layers, cached."""
    return _compared_steps(*(tuple(token(run) for run in runs) for runs in (a, b)))


def by_depth(a: compare.Side, b: compare.Side, quantity: str, at: Any, where: str = "") -> pd.DataFrame:
    """`frames.compare.by_depth` at one row of `compared_steps`, of which only those steps are read; cached."""
    one, other = (
        tuple((*token(run), own) for run, own in zip(side.runs, steps, strict=True) if own >= 0)
        for side, steps in ((a, at.a), (b, at.b))
    )
    return _by_depth(one, other, quantity, where).assign(step=int(at.step))


def course(a: compare.Side, b: compare.Side, quantity: str) -> pd.DataFrame:
    """`frames.compare.course`, cached run by run."""
    return compare.course(a, b, quantity, read=lambda run, what: _series(*token(run), what))


@st.cache_data(max_entries=64, show_spinner=False)
def _compared_steps(a: tuple[tuple[str, str], ...], b: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    return compare.compared_steps(*([_recorded_steps(*run) for run in runs] for runs in (a, b)))


@st.cache_data(max_entries=64, show_spinner=False)
def _recorded_steps(path: str, version: str) -> pd.DataFrame:
    return Run(path).layers(columns=["step"]).drop_duplicates(ignore_index=True)


@st.cache_data(max_entries=256, show_spinner=False)
def _recorded(path: str, version: str, step: int) -> pd.DataFrame:
    """What a run recorded at a step, and at its first one, where healthy layers show what they have."""
    first = _recorded_steps(path, version)["step"].min()
    return compare.read_recorded(Run(path), steps=sorted({int(first), step}))


@st.cache_data(max_entries=512, show_spinner=False)
def _series(path: str, version: str, quantity: str) -> pd.DataFrame:
    return compare.read_series(Run(path), quantity)


@st.cache_data(max_entries=512, show_spinner=False)
def _by_depth(a: Own, b: Own, quantity: str, where: str) -> pd.DataFrame:
    versions = {Run(path): version for path, version, _ in (*a, *b)}
    own = {Run(path): step for path, _, step in (*a, *b)}
    read = compare.read_only(own, lambda run, step: _recorded(str(run.path), versions[run], step))
    one, other = (compare.Side("", tuple(Run(path) for path, _, _ in side)) for side in (a, b))
    return compare.by_depth(one, other, quantity, where=where, read=read)
