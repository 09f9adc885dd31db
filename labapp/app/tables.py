"""Which tables do the pages read again and again?

Those of `frames`, cached by a run's path and version: a run being written is read again only when something was added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labapp import frames, palette
from labapp.frames import compare
from labapp.store import Run


def overview(runs: Sequence[Run]) -> pd.DataFrame:
    """`frames.overview`, cached."""
    return frames.overview(runs, read=summary)


def curves(runs: Sequence[Run], marks: int = frames.MARKS) -> pd.DataFrame:
    """`frames.curves`, cached."""
    return frames.curves(runs, read=lambda run: _curves(*token(run)), marks=marks)


def layer_table(runs: Sequence[Run], quantity: str, kinds: tuple[str, ...], relative: bool = False) -> pd.DataFrame:
    """`frames.layer_table`, cached."""
    return frames.layer_table(
        runs, quantity, kinds, relative, read=lambda run, what, which: _layers(*token(run), what, which)
    )


def signals(runs: Sequence[Run]) -> pd.DataFrame:
    """`frames.signals`, cached."""
    return frames.signals(runs, read=lambda run: _signals(*token(run)))


def compared_steps(a: Sequence[Run], b: Sequence[Run]) -> pd.DataFrame:
    """`frames.compare.compared_steps` of the steps at which the runs of two sides recorded their layers, cached."""
    return compare.compared_steps(*([_recorded_steps(*token(run)) for run in runs] for runs in (a, b)))


def by_depth(a: compare.Side, b: compare.Side, quantity: str, at: Any, where: str = "") -> pd.DataFrame:
    """`frames.compare.by_depth` at one row of `compared_steps`, of which only those steps are read; cached."""
    one, other = (
        tuple((*token(run), own) for run, own in zip(side.runs, steps, strict=True))
        for side, steps in ((a, at.a), (b, at.b))
    )
    return _by_depth(one, other, quantity, where).assign(step=int(at.step))


def course(a: compare.Side, b: compare.Side, quantity: str) -> pd.DataFrame:
    """`frames.compare.course`, cached run by run."""
    return compare.course(a, b, quantity, read=lambda run, what: _series(*token(run), what))


def described(runs: Sequence[Run]) -> pd.DataFrame:
    """`frames.describe`, and what a comparison of the runs has to name."""
    settings: Any = [frames.comparable(run.experiment) for run in runs]
    return frames.describe(runs).assign(comparable=settings)


def styles(runs: Sequence[Run]) -> pd.DataFrame:
    """How each chosen run is drawn, on every page alike."""
    return palette.styles(frames.describe(runs))


def summary(run: Run) -> dict[str, Any]:
    """`frames.summary`, cached."""
    return _summary(*token(run))


def problems(run: Run) -> list[str]:
    """What of a run cannot be read: cached, and with what any page found since while it read."""
    cached = _problems(*token(run))
    return cached + [found for found in run.damage if found not in cached]


def evidence(run: Run) -> dict[str, Any]:
    """`frames.evidence`, cached."""
    return _evidence(*token(run))


def rows(table: pd.DataFrame) -> list[Any]:
    """The rows of a table as objects, a column an attribute."""
    return list(table.itertuples())


def token(run: Run) -> tuple[str, str]:
    """What a cache of a run's tables looks at: its folder and its version."""
    return str(run.path.resolve()), run.version


@st.cache_data(max_entries=512, show_spinner=False)
def _problems(path: str, version: str) -> list[str]:
    return Run(path).problems


@st.cache_data(max_entries=512, show_spinner=False)
def _summary(path: str, version: str) -> dict[str, Any]:
    return frames.summary(Run(path))


@st.cache_data(max_entries=512, show_spinner=False)
def _evidence(path: str, version: str) -> dict[str, Any]:
    return frames.evidence(Run(path))


@st.cache_data(max_entries=64, show_spinner=False)
def _curves(path: str, version: str) -> pd.DataFrame:
    return frames.read_curves(Run(path))


@st.cache_data(max_entries=64, show_spinner=False)
def _layers(path: str, version: str, quantity: str, kinds: tuple[str, ...]) -> pd.DataFrame:
    return frames.read_layers(Run(path), quantity, kinds)


@st.cache_data(max_entries=64, show_spinner=False)
def _signals(path: str, version: str) -> pd.DataFrame:
    return frames.read_signals(Run(path))


Own = tuple[tuple[str, str, int], ...]  # the runs of a side: path, version and the step that is looked at, or −1


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
    known = {path: (version, step) for path, version, step in (*a, *b)}

    def read(run: Run, what: str) -> pd.DataFrame:
        version, step = known[str(run.path)]
        if step < 0:
            return pd.DataFrame(columns=compare.VALUES).astype({"usual": bool})
        found = compare.read_compared(run, what, _recorded(str(run.path), version, step))
        return found[found["step"] == step].assign(step=0)  # all stand for the one that was asked for

    one, other = (compare.Side("", tuple(Run(path) for path, _, _ in side)) for side in (a, b))
    return compare.by_depth(one, other, quantity, where=where, read=read)
