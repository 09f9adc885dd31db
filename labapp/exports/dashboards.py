"""What does every dashboard take, and is it installed?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from labapp.config import LabError, extras, first_line, listed, nearest
from labapp.exports.about import AboutRun
from labapp.exports.points import CurvePoint

TITLES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "mlflow": "MLflow"}
MODULES = {"tensorboard": ("tensorboard",), "wandb": ("wandb",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
TABLES = ("csv", "parquet")
TARGETS = (*TABLES, *TITLES)


class Dashboard(Protocol):
    """One run in somebody's dashboard, open for writing."""

    def add(self, point: CurvePoint, wall: float) -> None:
        """Takes a point; `wall` is when it was measured, in seconds since 1970."""

    def flush(self) -> None:
        """Makes what was added visible."""

    def close(self, about: AboutRun) -> None:
        """Ends the run, which is now as `about` says."""

    def lost(self) -> list[str]:
        """What the tool could not take, in sentences."""


def require_target(to: str, allowed: tuple[str, ...] = TARGETS) -> None:
    """Ask whether a target is known and what it needs is installed.

    Raises:
        LabError: It is not.
    """
    if to not in allowed:
        raise LabError(f"'{to}' is no target{nearest(to, allowed) or f'; there are {listed(allowed)}'}")
    extras.require(TITLES.get(to, to), MODULES.get(to, ()))


@contextlib.contextmanager
def told(to: str, where: object) -> Iterator[None]:
    """Whatever a tool fails with becomes a sentence: there is no list of what its libraries may raise."""
    try:
        yield
    except (LabError, OSError):
        raise
    except Exception as error:
        raise LabError(f"{TITLES[to]} could not write {where}: {type(error).__name__}, {first_line(error)}") from None
