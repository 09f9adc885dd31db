"""How is a run written as TensorBoard's event files? By TensorBoard's own records and protobufs, without torch.

    OUT/<run>/events.out.tfevents.…

Curves are scalars, histograms those of the histogram plugin over log₂|x|, settings stand under HPARAMS and, with all
else that is known of the run, under TEXT. Scalars are float32, NaN and infinity among them, so nothing is lost.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from labapp.exports.about import AboutRun
from labapp.exports.points import CurvePoint, PowerBins

_COUNT = itertools.count()
ENDED_WELL = ("finished", "incomplete", "diverged")


class EventFile:
    """A dashboard: one event file in a folder, which may hold others of the same run.

    Args:
        folder: Made if it is not there.
        about: The run. Where it goes on from a step, TensorBoard forgets what it read of later ones.
    """

    def __init__(self, folder: Path, about: AboutRun) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._described: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.labapp.{os.getpid()}.{next(_COUNT)}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        try:
            self._begin(about)
        except OSError:
            self._file.close()
            raise

    def add(self, point: CurvePoint, wall: float) -> None:
        """As `Dashboard.add`."""
        summary = self._summary()
        for name, value in point.scalars.items():
            summary.value.add(tag=name, simple_value=value)
        for name, bins in point.histograms.items():
            self._add_histogram(summary, name, bins)
        if summary.value:
            self._write(wall_time=wall, step=point.step, summary=summary)

    def flush(self) -> None:
        """As `Dashboard.flush`."""
        self._file.flush()

    def close(self, about: AboutRun) -> None:
        """As `Dashboard.close`."""
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        try:
            good = about.status in ENDED_WELL
            status = api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE
            if about.status == "running":
                status = api_pb2.STATUS_RUNNING
            ended = about.started.timestamp() + about.seconds
            end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
            self._add_hparams("end", plugin_data_pb2.HParamsPluginData(session_end_info=end), ended)
            self._add_text("run", _as_table(about.facts()), ended)
        finally:
            self._file.close()

    def lost(self) -> list[str]:
        """Nothing."""
        return []

    def _begin(self, about: AboutRun) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.plugins.hparams import plugin_data_pb2

        wall = about.started.timestamp()
        self._write(wall_time=wall, file_version="brain.Event:2")
        if about.first:
            self._write(wall_time=time.time(), step=about.first, session_log=SessionLog(status=SessionLog.START))
        start = plugin_data_pb2.SessionStartInfo(group_name=about.id, start_time_secs=wall)
        for name, value in sorted(about.settings.items()):
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = str(value)
        self._add_hparams("start", plugin_data_pb2.HParamsPluginData(session_start_info=start), wall)
        self._add_text("settings", _as_table({name: str(value) for name, value in about.settings.items()}), wall)
        if about.note:
            self._add_text("note", about.note, wall)

    def _add_hparams(self, which: str, data: Any, wall: float) -> None:
        from tensorboard.plugins.hparams import metadata

        tag = metadata.SESSION_START_INFO_TAG if which == "start" else metadata.SESSION_END_INFO_TAG
        summary = self._summary()
        about = metadata.create_summary_metadata(data)
        summary.value.add(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
        self._write(wall_time=wall, summary=summary)

    def _add_text(self, tag: str, text: str, wall: float) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write(wall_time=wall, summary=text_pb(tag, text))

    def _add_histogram(self, summary: Any, tag: str, bins: PowerBins) -> None:
        """Rows of left edge, right edge, count, as the plugin keeps them; what it is stands at the first of a tag."""
        from tensorboard.plugins.histogram import metadata
        from tensorboard.util import tensor_util

        rows = np.stack([bins.edges[:-1], bins.edges[1:], bins.counts], axis=1).astype(np.float64)  # (K, 3)
        about = None
        if tag not in self._described:
            self._described.add(tag)
            about = metadata.create_summary_metadata(display_name=None, description="over log2|x|, without zeros")
        summary.value.add(tag=tag, metadata=about, tensor=tensor_util.make_tensor_proto(rows, dtype=np.float64))

    def _write(self, **fields: Any) -> None:
        self._records.write(self._event(**fields).SerializeToString())


def _as_table(facts: dict[str, str]) -> str:
    """Names and words as a table of Markdown, in which no sign of a word means anything else."""
    rows = [f"| {name} | {_escaped(words)} |" for name, words in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _escaped(words: str) -> str:
    kept = "".join(f"\\{sign}" if sign in "\\|`*_{}[]<>()#+-!" else sign for sign in words)
    return " ".join(kept.split())
