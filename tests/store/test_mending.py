"""Is all damage found, what is whole kept, and what is lost said?"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors

from labapp.config import LabError
from labapp.store import Run, RunWriter, check, mend
from labapp.store.parquet import ROW_GROUP, write_table
from labapp.store.schema import TABLES
from labapp.store.table import Table
from tests.store.examples import one_step, rows


@pytest.fixture
def run(writer: RunWriter) -> Run:
    """A finished run with something of everything."""
    draw = np.random.default_rng(0)
    for first in range(0, 60, 20):
        writer.write("steps", {"step": np.arange(first, first + 20), "loss": draw.random(20, np.float32)})
        writer.write("layers", {"step": first, "layer": ["a", "b"], "kind": "conv", "weight_norm": draw.random(2)})
        writer.flush()
    writer.checkpoint(60, {"w": draw.random((5, 7), np.float32), "n": np.array(3)}, b"state" * 50)
    writer.keep(60, {"w": draw.random(9, np.float32)}, b"state of a moment ago")
    writer.write_probe("cka", 60, pd.DataFrame({"value": draw.random(30)}))
    return writer.finish()


def contents(run: Run) -> dict[str, object]:
    """All that can be read of a run."""
    found: dict[str, object] = {"record": run.record.model_dump(exclude={"faults", "status"})}
    for name in run.tables():
        frame = run.table(name)
        found[name] = {column: frame[column].to_numpy().tolist() for column in frame}
    for name, steps in run.probes().items():
        found[name] = [run.probe(name, step)["value"].tolist() for step in steps]
    for step in run.checkpoints():
        with safetensors.safe_open(run.checkpoint_path(step), framework="numpy") as file:
            found[f"weights {step}"] = {name: file.get_tensor(name).tolist() for name in file.keys()}  # noqa: SIM118
            found[f"about {step}"] = [file.metadata()[name] for name in ("run", "step", "state_sha256")]
        found[f"state {step}"] = state.read_bytes() if (state := run.state_path(step)) else None
    return found


def test_a_whole_run_has_no_faults(run: Run) -> None:
    assert check(run.path) == []
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert mend(run.path) == []
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.long
def test_every_changed_bit_is_found(run: Run, tmp_path: Path) -> None:
    """One bit of any file of a run; what is not found changes nothing that a reader sees."""
    draw, whole = random.Random(0), contents(run)
    silent = 0
    kinds = [path for path in sorted(run.path.rglob("*")) if path.is_file() and path.name != ".run.json.copy"]
    assert {path.suffix for path in kinds} == {".parquet", ".json", ".safetensors", ".pt"}
    for count in range(600):
        path = kinds[count % len(kinds)]
        data = bytearray(path.read_bytes())
        before = bytes(data)
        data[at := draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        if not check(run.path):
            silent += 1
            assert contents(Run(run.path)) == whole, f"byte {at} of {path.name} is read as something else"
        path.write_bytes(before)
    assert silent < 120  # such as the words in a footer that say who wrote it


@pytest.mark.parametrize("seed", range(8))
def test_mending_keeps_what_is_whole(run: Run, seed: int) -> None:
    draw = random.Random(seed)
    files = [path for path in sorted(run.path.rglob("*")) if path.is_file() and path.name != ".run.json.copy"]
    hit = draw.sample(files, 3)
    for path in hit:
        data = bytearray(path.read_bytes())
        for _ in range(20):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
    found = check(run.path)
    assert found
    mend(run.path)
    assert Run(run.path).status == "finished" if {path.suffix for path in hit} == {".json"} else "incomplete"
    after = Run(run.path)
    left = set(after.steps()["step"]) | set(after.layers()["step"])
    assert left <= set(range(60))
    known = {fault.what for fault in check(run.path)}
    assert all(text in known or "missing" in text for text in after.record.faults)
    assert not [fault for fault in mend(run.path) if fault.mended]  # nothing is left to mend
    for path in hit:  # what was damaged is there still, for whoever can do better
        assert list(path.parent.glob(f"_damaged/{path.name}.*"))


def test_a_column_that_is_damaged_costs_itself_and_its_row_group(folder: Path, table: Table) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, 3 * ROW_GROUP, np.uint32).view(np.float32)
    path = folder / "part-01-000000.parquet"
    write_table(pa.table({"step": np.arange(3 * ROW_GROUP), "loss": noise, "accuracy": noise[::-1].copy()}), path)
    (folder.parent / "run.json").write_text(json.dumps({"id": "run", "experiment": {}, "status": "finished"}))
    whole = bytearray(path.read_bytes())
    whole[whole.index(noise[ROW_GROUP + 500 : ROW_GROUP + 502].tobytes())] ^= 1  # of the second group's loss
    path.write_bytes(whole)
    (fault,) = mend(folder.parent)
    assert fault.mended == f"{3 * ROW_GROUP:,} of its {3 * ROW_GROUP:,} rows were kept, without loss in some"
    frame = Run(folder.parent).steps(columns=["step", "loss", "accuracy"])
    assert frame["step"].tolist() == list(range(3 * ROW_GROUP))
    assert frame["accuracy"].to_numpy().tobytes() == noise[::-1].tobytes()
    first, second, third = np.split(frame["loss"].to_numpy(), 3)
    assert np.isnan(second).all()
    assert first.tobytes() + third.tobytes() == noise[:ROW_GROUP].tobytes() + noise[2 * ROW_GROUP :].tobytes()
    assert Run(folder.parent).status == "incomplete"
    assert any("without loss in some" in problem for problem in Run(folder.parent).problems)


def test_what_a_killed_process_left_is_published(writer: RunWriter) -> None:
    for step in range(11):
        writer.write("steps", one_step(step))
        writer.flush()
    with pytest.raises(LabError, match=r"run 'run' is being written"):
        mend(writer.path)
    assert check(writer.path) == []  # a writer at work
    path = writer.path / "run.json"
    record = json.loads(path.read_text())
    record["attempts"][-1]["process"] = "another"
    path.write_text(json.dumps({name: value for name, value in record.items() if name != "digest"}))
    (writer.path / "steps" / ".part-01-000011.parquet.9.tmp").write_bytes(b"half")
    writer._lease.release()
    said = [fault.what for fault in check(writer.path)]
    assert said == [
        "1 temporary file of a process that was killed",
        "steps: 1 file of rows not published yet, so other tools miss them",
    ]
    assert len(pd.read_parquet(writer.path / "steps")) == 10
    assert [fault.mended for fault in mend(writer.path)] == ["deleted", "published"]
    assert pd.read_parquet(writer.path / "steps")["step"].tolist() == list(range(11))
    assert check(writer.path) == []


def damaged(text: str) -> str:
    return text[: len(text) // 2]


def changed(text: str) -> str:
    return text.replace('"learning_rate": 0.1', '"learning_rate": 0.2')


def gone(text: str) -> None:
    return None


@pytest.mark.parametrize("harm", [damaged, changed, gone])
def test_run_json_comes_back_from_its_copy(run: Run, harm: Callable[[str], str | None]) -> None:
    path = run.path / "run.json"
    before = json.loads(path.read_text())
    text = harm(path.read_text())
    path.unlink() if text is None else path.write_text(text)
    (fault,) = check(run.path)
    assert fault.what.endswith("its copy is whole")
    (fault,) = mend(run.path)
    assert "restored from its copy" in fault.mended
    assert json.loads(path.read_text()) == before
    assert check(run.path) == []


def test_without_a_whole_copy_run_json_stays_as_it_is(run: Run) -> None:
    for name in ("run.json", ".run.json.copy"):
        (run.path / name).write_text("{")
    (fault,) = mend(run.path)
    assert "run.json is damaged" in fault.what
    assert not fault.mended
    assert (run.path / "run.json").read_text() == "{"


def test_a_damaged_checkpoint_and_its_state_are_set_aside(run: Run) -> None:
    state = run.state_path()
    assert state
    state.write_bytes(state.read_bytes()[:-1])
    (fault,) = check(run.path)
    assert fault.what == "checkpoints/step-00000060.pt is damaged (its contents are not those that were written)"
    mend(run.path)
    assert Run(run.path).checkpoints() == []
    assert len(list(run.path.glob("checkpoints/_damaged/*"))) == 2


def test_a_run_of_a_newer_version_says_so(run: Run) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2, "labapp": "9.1"}))
    with pytest.raises(LabError, match=r"by a newer version of the lab \(9.1, format 2\); this one reads format 1"):
        Run(run.path)


def test_a_time_without_a_zone_is_read_as_utc(run: Run, tmp_path: Path) -> None:
    from labapp.store import list_runs

    other = Path(shutil.copytree(run.path, run.path.with_name("other")))
    record = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(record | {"created": "2026-01-02T03:04:05"}))
    assert [each.id for each in list_runs(run.path.parent)] == ["run", "other"]
    assert str(Run(other).started) == "2026-01-02 03:04:05+00:00"


def test_a_footer_that_says_something_else_is_noticed_by_every_reader(folder: Path) -> None:
    write_table(rows(0, 9), folder / "part-01-000000.parquet")
    path = folder / "part-01-000000.parquet"
    path.write_bytes(path.read_bytes().replace(b"loss", b"lois"))
    table = Table(folder, TABLES["steps"])
    assert table.read().num_rows == 0
    assert "is damaged" in next(iter(table.problems.values()))


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ({"step": [0, 1], "loss": ["low", "high"], "accuracy": [0.5, 0.6]}, [0, 1]),
        ({"step": [0, 1], "mine": [[1], [2]]}, [0, 1]),
        ({"step": ["a", "b"], "loss": [0.5, 0.6]}, []),
    ],
)
def test_a_column_of_another_kind_is_mended_once(run: Run, columns: dict, kept: list[int]) -> None:
    pq.write_table(pa.table(columns), run.path / "steps" / "part-01-000000.parquet")
    (fault, *_) = [fault for fault in mend(run.path) if fault.mended]
    assert f"{len(kept)} of its 2 rows were kept" in fault.mended
    assert not [fault for fault in mend(run.path) if fault.mended]
    frame = Run(run.path).steps(columns=["step", "loss"])
    assert [step for step in frame["step"] if step < 20] == kept
    assert frame["loss"][: len(kept)].isna().all()
