"""Which tables do the pages read again and again?

Those of `frames`, cached by a run's path and version: a run being written is read again only when something was added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labapp import frames, palette
from labapp.app import grids
from labapp.store import Run


def overview(runs: Sequence[Run]) -> pd.DataFrame:
    """`frames.overview`, cached."""
    return frames.overview(runs, read=summary)


def curves(runs: Sequence[Run], marks: int = frames.MARKS) -> pd.DataFrame:
    """`frames.curves`, cached."""
    return frames.curves(runs, read=lambda run: _curves(*token(run)), marks=marks)


def layers(runs: Sequence[Run], quantity: str, kinds: tuple[str, ...], relative: bool = False) -> list[frames.Panel]:
    """`frames.layer_panels`, from grids that are kept."""
    return frames.layer_panels(runs, quantity, kinds, relative, grids.read)


def signals(runs: Sequence[Run]) -> dict[str, list[frames.Panel]]:
    """`frames.signal_panels`, from grids that are kept."""
    return frames.signal_panels(runs, grids.read)


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
    return frames.summary(Run(path), grids.read)  # of a live run, the rows that are new


@st.cache_data(max_entries=512, show_spinner=False)
def _evidence(path: str, version: str) -> dict[str, Any]:
    return frames.evidence(Run(path))


@st.cache_data(max_entries=64, show_spinner=False)
def _curves(path: str, version: str) -> pd.DataFrame:
    return frames.read_curves(Run(path))
