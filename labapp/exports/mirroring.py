"""How does a team's dashboard see the layers while a net trains?

    with RunWriter.create("runs", experiment) as writer:
        mirror(writer, to="tensorboard", where="logs")
        with Recorder(model, optimizer, sink=writer) as recorder: …

    mirror(watch(model, optimizer), to="mlflow", where="http://our.server:5000")

What has been written to the archive is handed to a thread of the mirror's own, so a dashboard that is slow, full or
gone costs neither a step nor a row of the archive: it is said once, and the training goes on.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from labapp.config import LabError, first_line
from labapp.exports.about import AboutRun, about_run
from labapp.exports.chosen import CurveChoice
from labapp.exports.dashboards import TITLES, Dashboard, require_target
from labapp.exports.points import Curves
from labapp.store import Run
from labapp.store.schema import chunk

MOST_ROWS = 500_000  # that wait for a dashboard, 100 MB of them; what comes then is not mirrored
LAST_SECONDS = 20.0  # that the end of a run waits for its dashboard
FLUSH_SECONDS = 2.0


class MirrorWarning(UserWarning):
    """A dashboard could not follow a training, which goes on."""


class Followed(Protocol):
    """What can be mirrored: a `RunWriter`, or what `watch` gives."""

    @property
    def run(self) -> Any:
        """The run, or its folder."""

    def also(self, follower: Any) -> None:
        """Hands what was written to a follower too."""


def mirror(
    writer: Followed,
    to: str,
    where: str | Path = "",
    *,
    quantities: str | Iterable[str] = (),
    layers: str | Iterable[str] = (),
) -> RunMirror:
    """Have a dashboard follow a run while it is written.

    Args:
        writer: The run's `RunWriter`, or what `watch` gave.
        to: tensorboard, wandb or mlflow.
        where: TensorBoard's log folder; a folder for an offline run of W&B; a folder, or the address of a server or
            store, of MLflow. Left out for the latter two, where their own settings say.
        quantities: As for `export`.
        layers: As for `export`.

    Raises:
        LabError: The tool is not installed, or the words fit nothing. What happens later raises nothing.
    """
    require_target(to, tuple(TITLES))
    if to == "tensorboard" and not str(where):
        raise LabError("a mirror to TensorBoard needs its log folder: tensorboard:DIR")
    wanted = CurveChoice.of(quantities, layers)
    run = writer.run if isinstance(writer.run, Run) else Run(writer.run)
    first = run.attempts[-1].get("from_step", 0) if run.attempts else 0
    made = RunMirror(to, str(where), about_run(run, first)[0], Curves(wanted))
    writer.also(made)
    return made


def mirror_all(writer: Followed, words: Sequence[str]) -> None:
    """Mirrors for "tensorboard:DIR", "wandb:DIR" or "mlflow:URI", as they are typed."""
    for word in words:
        to, _, where = word.partition(":")
        mirror(writer, to, where)


def check_mirrors(words: Sequence[str]) -> None:
    """Ask whether such mirrors can be made, before anything is trained.

    Raises:
        LabError: One cannot.
    """
    for word in words:
        to, _, where = word.partition(":")
        require_target(to, tuple(TITLES))
        if to == "tensorboard" and not where:
            raise LabError("a mirror to TensorBoard needs its log folder: --mirror tensorboard:DIR")


class RunMirror:
    """A follower of a run that never raises and never waits, but at the end.

    Attributes:
        fault: Why it gave up, in a sentence; "" while it goes on.
        curves: What it shows, and what it left out.
        dropped: Rows that came faster than the dashboard took them.
    """

    def __init__(self, to: str, where: str, about: AboutRun, curves: Curves) -> None:
        self.to, self.where, self.curves = to, where, curves
        self.fault, self.dropped = "", 0
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._rows, self._lock = 0, threading.Lock()
        self._about = about
        self._thread = threading.Thread(target=self._follow, name=f"labapp-mirror-{to}", daemon=True)
        self._thread.start()

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Takes rows that are in the archive."""
        if self.fault:
            return
        count = max((len(values) for values in columns.values() if hasattr(values, "__len__")), default=1)
        with self._lock:
            if self._rows + count > MOST_ROWS:
                self.dropped += count
                return
            self._rows += count
        self._waiting.put((table, columns, count, time.time()))

    def close(self, run: Run | None = None) -> None:
        """Ends the run in the dashboard, for which it waits a moment. May be called twice."""
        if not self._thread.is_alive():
            return
        about = self._about
        with contextlib.suppress(LabError, OSError):
            about = replace(about_run(run)[0], first=about.first) if run is not None else about
        self._waiting.put(about)
        self._thread.join(LAST_SECONDS)
        if self._thread.is_alive() and not self.fault:
            self._give_up(f"it had not taken everything {LAST_SECONDS:.0f} seconds after the end")
        elif self.dropped:
            self._say(f"{self.dropped:,} rows came faster than {TITLES[self.to]} took them; the archive has them")

    def _follow(self) -> None:
        """What the thread does."""
        dashboard: Dashboard | None = None
        try:
            dashboard = self._opened()
            flushed = time.monotonic()
            while True:
                try:
                    item = self._waiting.get(timeout=FLUSH_SECONDS)
                except queue.Empty:
                    dashboard.flush()
                    continue
                if isinstance(item, AboutRun):
                    dashboard.close(item)
                    break
                self._show(dashboard, *item)
                if time.monotonic() - flushed >= FLUSH_SECONDS:
                    dashboard.flush()
                    flushed = time.monotonic()
            if lost := dashboard.lost():
                self._say(f"{TITLES[self.to]}: {'; '.join(lost)}")
        except Exception as error:  # of whatever library: a dashboard must not end a training
            named = "" if isinstance(error, LabError | OSError) else f"{type(error).__name__}, "
            self._give_up(named + first_line(error))
            if dashboard is not None:
                with contextlib.suppress(Exception):  # its files
                    dashboard.close(self._about)

    def _show(self, dashboard: Dashboard, table: str, columns: Mapping[str, Any], count: int, when: float) -> None:
        for point in self.curves.points(table, chunk(table, columns).columns):
            dashboard.add(point, when)
        with self._lock:
            self._rows -= count

    def _opened(self) -> Dashboard:
        about = self._about
        if self.to == "tensorboard":
            from labapp.exports.to_tensorboard import EventFile

            return EventFile(Path(self.where) / about.id, about)
        if self.to == "wandb":
            from labapp.exports.to_wandb import OfflineRun

            return OfflineRun(Path(self.where or "."), about, "offline" if self.where else None)
        from labapp.exports.to_mlflow import TrackedRun, local_store

        uri = self.where
        if uri and "://" not in uri and not uri.startswith(("databricks", "file:")):
            folder = Path(uri)
            folder.mkdir(parents=True, exist_ok=True)
            return TrackedRun(local_store(folder), about, folder / "artifacts")
        return TrackedRun(uri, about)

    def _give_up(self, why: str) -> None:
        if self.fault:  # the end did not wait for it, and that has been said
            return
        self.fault = (
            f"the mirror to {TITLES[self.to]} gave up ({why}); training goes on, and the archive has everything"
        )
        self._say(self.fault)

    def _say(self, sentence: str) -> None:
        with contextlib.suppress(MirrorWarning):  # where warnings are errors, this one is none
            warnings.warn(sentence, MirrorWarning, stacklevel=2)
