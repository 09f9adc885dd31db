"""What is too large or too deep to be read is one sentence, and the rest of the archive is read."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter, broken_runs, list_runs, parquet
from labapp.store import record as records


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        with RunWriter.create(tmp_path, Experiment(), run_id=name) as writer:
            writer.write("steps", {"step": [0, 1], "loss": [2.0, 1.0]})
    return tmp_path


def refused(root: Path) -> str:
    """The sentence about run b; run a is read."""
    assert [run.id for run in list_runs(root)] == ["a"]
    ((path, sentence),) = broken_runs(root)
    assert path.name == "b"
    assert "\n" not in sentence
    return sentence


def test_a_record_that_is_too_large(root: Path) -> None:
    with (root / "b" / "run.json").open("r+b") as file:  # sparse: takes no room
        file.seek(records.LARGEST)
        file.write(b"}")
    assert "is damaged" in refused(root)


@pytest.mark.parametrize("text", ['{"id": ' + "[" * 200_000 + "]" * 200_000 + "}", '{"id": ' + '{"a":' * 200_000])
def test_a_record_that_is_nested_without_end(root: Path, text: str) -> None:
    (root / "b" / "run.json").write_text(text)
    assert "is damaged" in refused(root)


@pytest.mark.parametrize("where", ["message", "layers"])
def test_a_record_with_half_a_character(root: Path, where: str) -> None:
    """JSON can say it, and nothing can show or store it: pages and tables would fail on it."""
    path = root / "b" / "run.json"
    said = json.loads(path.read_text())
    said[where] = "\ud800" if where == "message" else [{"path": "\udfff"}]
    path.write_text(json.dumps(said))
    assert "is damaged" in refused(root)
    said[where] = "😀" if where == "message" else [{"path": "😀"}]  # two escapes that make one character
    path.write_text(json.dumps(said))
    assert len(list_runs(root)) == 2


@pytest.fixture
def small_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of more values than may be read; the bound is lowered, because one of 4 GB takes long to write."""
    monkeypatch.setattr(parquet, "MOST_CELLS", 1000)
    path = tmp_path.with_name(f"{tmp_path.name}.parquet")
    pq.write_table(pa.table({"step": np.zeros(1001, np.int64)}), path)
    return path


def test_a_probe_that_would_fill_the_memory(root: Path, small_file: Path) -> None:
    run = Run(root / "b")
    (run.path / "probes").mkdir()
    (run.path / "probes" / "x.step-00000000.parquet").symlink_to(small_file)
    with pytest.raises(LabError, match="more than the lab reads at once"):
        run.probe("x", 0)


def test_a_part_that_would_fill_the_memory(root: Path, small_file: Path) -> None:
    run = Run(root / "b")
    (part,) = (run.path / "steps").glob("part-*.parquet")
    part.unlink()
    part.symlink_to(small_file)
    assert len(run.steps()) == 0
    assert any("more than the lab reads at once" in problem for problem in run.problems)


@pytest.mark.parametrize("name", ["../b/steps", "..", "/etc", "a/b", "", ".hidden", "\0", "steps\n"])
def test_no_name_of_a_table_or_probe_leads_out_of_the_run(root: Path, name: str) -> None:
    run = Run(root / "a")
    with pytest.raises(LabError):
        run.table(name)
    with pytest.raises(LabError):
        run.probe(name, 0)
    with pytest.raises(LabError):
        run.write_probe(name, 0, run.steps())


KINDS = [
    *(("layers", name, value) for name in ("path", "kind", "block") for value in (3, ["a"], {"a": 1})),
    *(
        ("layers", name, value)
        for name in ("depth", "stage", "parameters")
        for value in ("x", [1], {"a": 1}, float("nan"))
    ),
    *(("layers", "shape", value) for value in ("x", 3, {"a": 1}, ["x"], [-1], [float("inf")])),
    ("layers", "path", None),
    *(("images", name, value) for name in ("mean", "std", "classes", "image_size") for value in ("x", {"a": 1})),
    ("images", "mean", ["x"]),
]


@pytest.mark.parametrize(("section", "name", "value"), KINDS)
def test_a_record_whose_parts_are_of_another_kind(root: Path, section: str, name: str, value: object) -> None:
    """Pages and probes take them for granted, and would fail for every run beside it."""
    path = root / "b" / "run.json"
    said = json.loads(path.read_text())
    whole: dict[str, object] = {"path": "a", "kind": "conv", "depth": 1, "shape": [1, 2, 2], "parameters": 9}
    said["layers"] = [whole]
    said["environment"]["images"] = {"mean": [0.0], "std": [1.0], "classes": ["a"], "image_size": 8}
    path.write_text(json.dumps(said))
    assert len(list_runs(root)) == 2
    (said["layers"][0] if section == "layers" else said["environment"]["images"])[name] = value
    path.write_text(json.dumps(said))
    assert "is damaged" in refused(root)
