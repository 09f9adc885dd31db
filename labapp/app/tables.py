"""Which tables do the pages read again and again?

Those of `frames`, cached by a run's path and version: a run being written is read again only when something was added.
What is made of several runs is kept beside that by what they are called and how they stand (`made_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from labapp import frames, palette
from labapp.app import grids
from labapp.store import Run

Made = TypeVar("Made")


def quickly() -> None:
    """Have this process, the app's, keep strings as Python's: to small tables, as pages draw, Arrow's add a sixth."""
    pd.set_option("mode.string_storage", "python")


def made_of(what: str, runs: Sequence[Run], make: Callable[[Sequence[Run]], Made]) -> Made:
    """What is made of runs as they are now, made once for all sessions; to be read only.

    A page that is drawn again mostly shows what it showed before: a key press, a search, another page and back.

    Args:
        what: Names what is made, and whatever it depends on besides the runs.
        runs: The runs; when one is written on, changes its status, or is called otherwise, it is made anew.
        make: Makes it. It draws nothing.
    """
    named = frames.callings(runs)
    key = tuple((*token(run), run.status, *called) for run, called in zip(runs, named, strict=True))
    made: Made = _made_of(what, key, runs, make)
    return made


def overview(runs: Sequence[Run]) -> pd.DataFrame:
    """`frames.overview`, cached."""
    return made_of("overview", runs, partial(frames.overview, read=summary))


def curves(runs: Sequence[Run], marks: int = frames.MARKS) -> pd.DataFrame:
    """`frames.curves`, cached."""
    return frames.curves(runs, read=lambda run, rows: _curve(*token(run), rows), marks=marks)


def layers(runs: Sequence[Run], quantity: str, kinds: tuple[str, ...], relative: bool = False) -> list[frames.Panel]:
    """`frames.layer_panels`, from grids that are kept."""
    return frames.layer_panels(runs, quantity, kinds, relative, grids.read)


def signals(runs: Sequence[Run]) -> dict[str, list[frames.Panel]]:
    """`frames.signal_panels`, from grids that are kept."""
    return frames.signal_panels(runs, grids.read)


def described(runs: Sequence[Run]) -> pd.DataFrame:
    """`frames.describe`, and what a comparison of the runs has to name."""
    return made_of("described", runs, _described)


def styles(runs: Sequence[Run]) -> pd.DataFrame:
    """How each chosen run is drawn, on every page alike."""
    return made_of("styles", runs, lambda runs: palette.styles(frames.describe(runs)))


def _described(runs: Sequence[Run]) -> pd.DataFrame:
    settings: Any = [frames.comparable_of(run) for run in runs]
    return frames.describe(runs).assign(comparable=settings)


def summary(run: Run, seen: tuple[str, str] | None = None) -> dict[str, Any]:
    """`frames.summary`, cached; of a run whose `token` may have been taken just now."""
    return _summary(*(seen or token(run)))


def problems(run: Run, seen: tuple[str, str] | None = None) -> list[str]:
    """What of a run cannot be read: cached, and with what any page found since while it read."""
    cached = _problems(*(seen or token(run)))
    return cached + [found for found in run.damage if found not in cached]


def evidence(run: Run) -> dict[str, Any]:
    """`frames.evidence`, cached."""
    return _evidence(*token(run))


def rows(table: pd.DataFrame) -> list[Any]:
    """The rows of a table as objects, a column an attribute; of a small table three times as fast as `itertuples`."""
    values = zip(*(table[name].tolist() for name in table.columns), strict=True)
    return [SimpleNamespace(**dict(zip(table.columns, row, strict=True))) for row in values]


def token(run: Run) -> tuple[str, str]:
    """What a cache of a run's tables looks at: its folder and its version."""
    return str(run.path.absolute()), run.version


@st.cache_resource(max_entries=64, show_spinner=False)
def _made_of(what: str, key: tuple[Any, ...], _runs: Sequence[Run], _make: Callable[[Sequence[Run]], Any]) -> Any:
    return _make(_runs)


@st.cache_data(max_entries=512, show_spinner=False)
def _problems(path: str, version: str) -> list[str]:
    return Run(path).problems


@st.cache_data(max_entries=512, show_spinner=False)
def _summary(path: str, version: str) -> dict[str, Any]:
    return frames.summary(Run(path), grids.read)  # of a live run, the rows that are new


@st.cache_data(max_entries=512, show_spinner=False)
def _evidence(path: str, version: str) -> dict[str, Any]:
    return frames.evidence(Run(path))


@st.cache_data(max_entries=256, show_spinner=False)
def _curve(path: str, version: str, rows: int) -> pd.DataFrame:
    return frames.curve(Run(path), rows)
