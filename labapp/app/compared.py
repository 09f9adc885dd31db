"""Which tables of two sides does the Compare page read again and again?

Those of `frames.compare`, cached by the runs' paths and versions. Of a large run the page reads the step that is shown
and the first one, where healthy layers show what they have, and not the whole table; its axes hold what a play shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labapp import charts
from labapp.app.controls import frames_of
from labapp.app.tables import token
from labapp.frames import compare
from labapp.store import Run

Span = tuple[float, float]
Sampled = tuple[
    tuple[str, str, tuple[int, ...]], ...
]  # the runs of a side: path, stamp and the steps that are looked at
ROWS = 4000  # of the steps that are looked at for an axis, of all runs together: reading more keeps the page waiting
FEWEST = 5  # of these steps
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


def ratio_span(a: compare.Side, b: compare.Side, quantity: str, steps: pd.DataFrame, where: str = "") -> Span:
    """`charts.ratio_span` over the steps of a play, so that the axis stands still while it goes on.

    Of nets with many layers it is over fewer of them; then, and of steps between them, the chart adds its own step.

    Args:
        a: One side.
        b: The other.
        quantity: Of `frames.compare.OF_LAYERS`.
        steps: From `compared_steps`.
        where: As in `by_depth`.
    """
    runs = [*a.runs, *b.runs]
    most = max(FEWEST, ROWS // max(1, sum(len(run.layers_info) for run in runs)))
    shown = frames_of(len(steps))
    at = steps.iloc[sorted({*shown[:: -(-len(shown) // most)], len(steps) - 1})]
    one, other = (
        tuple(
            (*_stamp(run), tuple(sorted({*own} - {-1})))
            for run, own in zip(side.runs, zip(*told, strict=True), strict=True)
        )
        for side, told in ((a, at["a"]), (b, at["b"]))
    )
    return _ratio_span(one, other, quantity, where)


def course(a: compare.Side, b: compare.Side, quantity: str) -> pd.DataFrame:
    """`frames.compare.course`, cached run by run."""
    return compare.course(a, b, quantity, read=lambda run, what: _series(*token(run), what))


def _stamp(run: Run) -> tuple[str, str]:
    """A run's path and version; of one that trains what stays until it has doubled."""
    path, version = token(run)
    return path, f"doubled {run.progress[0].bit_length()} times" if run.status == "running" else version


@st.cache_data(max_entries=512, show_spinner=False)
def _ratio_span(a: Sampled, b: Sampled, quantity: str, where: str) -> Span:
    one, other = (compare.Side("", tuple(Run(path) for path, _, steps in side if steps)) for side in (a, b))
    known: dict[Run, tuple[str, tuple[int, ...]]] = {}
    for path, stamp, steps in (*a, *b):  # a run may be on both sides
        _, before = known.get(Run(path), (stamp, ()))
        known[Run(path)] = stamp, tuple(sorted({*before, *steps}))

    def read(run: Run, name: str) -> pd.DataFrame:
        return compare.read_compared(run, name, _sampled(str(run.path), *known[run]))

    return charts.ratio_span(compare.by_depth(one, other, quantity, where=where, read=read))


@st.cache_data(max_entries=16, show_spinner=False)
def _sampled(path: str, stamp: str, steps: tuple[int, ...]) -> pd.DataFrame:
    return compare.read_recorded(Run(path), steps=steps)


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
