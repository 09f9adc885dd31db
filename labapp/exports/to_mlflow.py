"""How is a run written to MLflow? By its client, into a local store in SQLite or to a server.

    OUT/mlflow.db        `mlflow ui --backend-store-uri sqlite:///OUT/mlflow.db`

Curves are metrics, settings parameters, all else tags. MLflow keeps NaN, but of infinity its stores make the largest
number of a float, which would be a wrong number, so infinite values are left out and counted. It has no histograms.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from labapp.exports.about import AboutRun
from labapp.exports.points import CurvePoint

EXPERIMENT = "labapp"
BATCH = 1000  # metrics of one call, the most that MLflow takes
MOST_PARAMS = 100  # of one call
LONGEST = {"value": 500, "note": 5000}  # signs of a parameter, and of a tag
STATUS = {"failed": "FAILED", "stopped": "KILLED", "interrupted": "KILLED", "running": "RUNNING"}  # others: FINISHED


def local_store(folder: Path) -> str:
    """The address of a store in a folder."""
    return f"sqlite:///{folder.absolute()}/mlflow.db"


class TrackedRun:
    """A dashboard: a run of the experiment "labapp" in a store.

    Args:
        uri: Of the store; "" for the one that MLflow's own settings name.
        about: The run.
        artifacts: Where a new experiment says that its files lie.
    """

    def __init__(self, uri: str, about: AboutRun, artifacts: Path | None = None) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag

        self._metric, self._tag = Metric, RunTag
        self._client = MlflowClient(tracking_uri=uri or None)
        self._waiting: list[Any] = []
        self._left: Counter[str] = Counter()
        known = self._client.get_experiment_by_name(EXPERIMENT)
        place = artifacts.absolute().as_uri() if artifacts else None
        experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT, place)
        name = about.name if not about.first else f"{about.name} from step {about.first}"
        began = int(1000 * about.started.timestamp())
        self._id = self._client.create_run(experiment, start_time=began, run_name=name).info.run_id
        params = [Param(name, str(value)[: LONGEST["value"]]) for name, value in about.settings.items()]
        for at in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(self._id, params=params[at : at + MOST_PARAMS])
        self._say(about)

    def add(self, point: CurvePoint, wall: float) -> None:
        """As `Dashboard.add`."""
        for name, value in point.scalars.items():
            if math.isinf(value):
                self._left["infinite values"] += 1
            else:
                self._waiting.append(self._metric(name, value, int(1000 * wall), point.step))
        self._left["histograms"] += len(point.histograms)
        while len(self._waiting) >= BATCH:
            self._send()

    def flush(self) -> None:
        """As `Dashboard.flush`."""
        while self._waiting:
            self._send()

    def close(self, about: AboutRun) -> None:
        """As `Dashboard.close`."""
        self.flush()
        self._say(about)
        ended = int(1000 * (about.started.timestamp() + about.seconds))
        status = STATUS.get(about.status, "FINISHED")
        if status == "RUNNING":
            self._client.update_run(self._id, status)
        else:
            self._client.set_terminated(self._id, status, ended)

    def lost(self) -> list[str]:
        """Infinite values and histograms."""
        return [f"{count:,} {what} left out, which MLflow cannot keep" for what, count in self._left.items() if count]

    def _say(self, about: AboutRun) -> None:
        """Facts as tags; each tag of the run is a tag of its own too, so that runs can be looked for by it."""
        tags = {f"labapp.{name}": words[: LONGEST["note"]] for name, words in about.facts().items()}
        tags |= {f"labapp.tag.{tag}": "true" for tag in about.tags if all(c.isalnum() or c in " ._-/" for c in tag)}
        self._left["signs of the note"] = max(0, len(about.note) - LONGEST["note"])
        if about.note:
            tags["mlflow.note.content"] = about.note[: LONGEST["note"]]
        self._client.log_batch(self._id, tags=[self._tag(name, words) for name, words in tags.items()])

    def _send(self) -> None:
        batch, rest = self._waiting[:BATCH], self._waiting[BATCH:]
        self._client.log_batch(self._id, metrics=batch)
        self._waiting = rest
