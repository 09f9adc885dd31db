"""Is each flushed row there exactly once, after any sequence of what may happen to a run?

Of appending, flushing, keeping weights, a crash, taking the run up again, ending it, and reading, by this archive and
by any other reader of Parquet; against a model that is two lists. LABAPP_SEQUENCES says how many are tried.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter, appending, check, mend
from labapp.store import writer as store_writer

TRIED = int(os.environ.get("LABAPP_SEQUENCES", "20"))
APPEND, FLUSH, KEEP, CRASH, RESUME, FINISH, READ, MEND = range(8)
# appending and flushing are what a run mostly does
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(APPEND), st.integers(1, 5)),
        st.tuples(st.just(FLUSH), st.just(0)),
        st.tuples(st.sampled_from([APPEND, FLUSH, FLUSH, KEEP, CRASH, RESUME, FINISH, READ, MEND]), st.integers(1, 4)),
    ),
    min_size=3,
    max_size=25,
)


class Model:
    """What should be there: rows on disk, rows in memory, and the steps of kept weights."""

    def __init__(self) -> None:
        self.disk: list[int] = []
        self.memory: list[int] = []
        self.kept: list[int] = []

    @property
    def done(self) -> int:
        return (self.disk + self.memory)[-1] + 1 if self.disk or self.memory else 0

    def flush(self) -> None:
        self.disk, self.memory = self.disk + self.memory, []

    def begin_at(self, step: int) -> None:
        self.disk = [row for row in self.disk if row < step]
        self.kept = [at for at in self.kept if at <= step]
        self.memory = []


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory, where the system has one: a thousand runs are synced a hundred thousand times."""
    there = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=there, prefix="labapp-sequences-") as folder:
        yield Path(folder)


def crash(writer: RunWriter) -> None:
    """The process is gone: nothing more is written, its lock is lifted, and run.json says still that it runs."""
    writer._lease.release()
    writer._over = True
    record = writer._record.model_copy(deep=True)
    record.attempts[-1]["process"] = "gone"
    path = writer.path / "run.json"
    path.write_bytes(store_writer.as_json(record))


@settings(max_examples=TRIED, deadline=None, suppress_health_check=list(HealthCheck))
@given(sequence=STEPS, gather=st.integers(2, 4), share=st.sampled_from([1, 2, 8]))
def test_each_flushed_row_is_there_once(memory: Path, sequence: list, gather: int, share: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=memory) as root:
        patch.setattr(store_writer, "FLUSH_SECONDS", 1e9)
        patch.setattr(appending, "GATHER", gather)
        patch.setattr(appending, "SHARE", share)
        model = Model()
        writer: RunWriter | None = RunWriter.create(root, Experiment(steps=1000), run_id="run")
        path = Path(root) / "run"
        for what, number in sequence:
            if writer is None and what in (APPEND, FLUSH, KEEP, CRASH, FINISH):
                what = RESUME
            if what == APPEND:
                first = model.done
                writer.write("steps", {"step": list(range(first, first + number)), "loss": 0.5})
                writer.write("layers", {"step": first + number - 1, "layer": ["a", "b"], "weight_norm": 1.0})
                model.memory += range(first, first + number)
            elif what == FLUSH:
                writer.flush()
                model.flush()
            elif what == KEEP:
                writer.checkpoint(model.done, {"w": [1.0]})
                model.flush()
                model.kept = sorted({*model.kept, model.done})
            elif what == CRASH:
                crash(writer)
                writer, model.memory = None, []
            elif what == FINISH:
                writer.finish("stopped")
                writer = None
                model.flush()
            elif what == RESUME and writer is None:
                begin = ([0, *model.kept])[-min(number, len(model.kept) + 1)]
                writer = RunWriter(path, from_step=begin)
                model.begin_at(begin)
            elif what == RESUME:
                with pytest.raises(LabError, match="being written"):
                    mend(path)
            elif what == MEND and writer is None:
                mend(path)
                assert check(path) == []
            holds(path, model)
        if writer is not None:
            writer.finish()
            model.flush()
        holds(path, model)
        mend(path)  # what a crash left to be published
        holds(path, model)
        assert check(path) == []
        assert sorted(pd.read_parquet(path / "steps")["step"]) == model.disk if model.disk else True


def holds(path: Path, model: Model) -> None:
    """What a new reader finds, and any other tool, is what the model says."""
    run = Run(path)
    assert run.problems == []
    assert run.steps(columns=["step"])["step"].tolist() == model.disk
    assert run.checkpoints() == model.kept
    layers = run.layers(columns=["step", "layer"])
    assert not layers.duplicated().any()
    assert set(layers["step"]) <= set(model.disk)
    if list((path / "steps").glob("*.parquet")):
        published = sorted(pd.read_parquet(path / "steps")["step"])
        assert published == model.disk[: len(published)]
