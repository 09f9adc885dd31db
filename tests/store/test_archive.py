"""Does an archive stay readable, whatever lies in it?"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter, broken_runs, list_runs, remove_run
from tests.store.examples import edit, edited, make, told


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        make(tmp_path, name)
    assert [run.id for run in list_runs(tmp_path)] == ["a", "c", "b"]
    assert broken_runs(tmp_path) == []
    edited(Run(tmp_path / "b"), created="2099-01-01T00:00:00Z")
    assert [run.id for run in list_runs(str(tmp_path))] == ["b", "a", "c"]


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty folder": (lambda path: shutil.rmtree(path) or path.mkdir(), "holds no run.json, so it is no run"),
    "no run.json": (lambda path: (path / "run.json").unlink(), "holds no run.json, so it is no run"),
    "truncated": (lambda path: (path / "run.json").write_bytes((path / "run.json").read_bytes()[:200]), "is damaged"),
    "empty": (lambda path: (path / "run.json").write_bytes(b""), "is damaged"),
    "binary": (lambda path: (path / "run.json").write_bytes(os.urandom(300)), "is damaged"),
    "a list": (lambda path: (path / "run.json").write_text("[1, 2]"), "is damaged"),
    "another's": (
        lambda path: (path / "run.json").write_text('{"lr": 3}'),
        "is not as this version of the lab writes it",
    ),
    "newer": (lambda path: edit(path, format=2), "by a newer version of the lab"),
    "an unknown option": (lambda path: edit(path, experiment={"optimiser": "adam"}), "unknown option 'optimiser'"),
    "attempts": (lambda path: edit(path, attempts=3), "attempts"),
    "a folder": (lambda path: (path / "run.json").unlink() or (path / "run.json").mkdir(), "Is a directory"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_run_is_told_and_does_not_hurt_the_others(tmp_path: Path, fault: str) -> None:
    for name in ("good", "bad", "fine"):
        make(tmp_path, name)
    harm, words = BROKEN[fault]
    harm(tmp_path / "bad")
    assert words in told(tmp_path / "bad")
    assert [run.id for run in list_runs(tmp_path)] == ["fine", "good"]
    ((path, sentence),) = broken_runs(tmp_path)
    assert path == tmp_path / "bad"
    assert words in sentence


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "good")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".launches").mkdir()
    (tmp_path / ".new-x-1").mkdir()
    assert [run.id for run in list_runs(tmp_path)] == ["good"]
    assert broken_runs(tmp_path) == []


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"there is no archive at .*none; `labapp starter` makes one"):
        list_runs(tmp_path / "none")
    (tmp_path / "file").write_text("")
    for asked in (list_runs, broken_runs):
        with pytest.raises(LabError, match="is a file, not an archive"):
            asked(tmp_path / "file")
    with pytest.raises(LabError, match="is a file, not an archive"):
        list_runs(tmp_path / "file" / "below")


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    make(tmp_path, "plain-20-a")
    assert "did you mean 'plain-20-a'?" in told(tmp_path / "plain-20-b")
    assert "there is no run at" in told(tmp_path / "nowhere" / "x")
    assert "there is no run at" in told(tmp_path / "plain-20-a" / "run.json" / "x")


def test_removing(tmp_path: Path) -> None:
    make(tmp_path, "plain-20")
    make(tmp_path, "plain-56")
    with pytest.raises(LabError, match=r"holds no run 'plain-2' .did you mean 'plain-20'"):
        remove_run(tmp_path, "plain-2")
    for escape in ("..", ".", "", "../x", "plain-20/evals", str(tmp_path / "plain-20")):
        with pytest.raises(LabError, match="holds no run"):
            remove_run(tmp_path, escape)
    remove_run(tmp_path, "plain-20")
    assert [run.id for run in list_runs(tmp_path)] == ["plain-56"]
    assert [path.name for path in tmp_path.iterdir()] == ["plain-56"]
    writer = RunWriter.create(tmp_path, Experiment(), run_id="live")
    with pytest.raises(LabError, match="run 'live' is being written; stop it first"):
        remove_run(tmp_path, "live")
    writer.finish()
    remove_run(tmp_path, "live")


def test_a_broken_run_can_be_removed_and_a_strangers_folder_cannot(tmp_path: Path) -> None:
    make(tmp_path, "bad")
    (tmp_path / "bad" / "run.json").write_text("{")
    remove_run(tmp_path, "bad")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"x")
    with pytest.raises(LabError, match="photos holds nothing that the lab wrote, so it is left alone"):
        remove_run(tmp_path, "photos")
    assert (tmp_path / "photos" / "me.jpg").exists()


def test_a_link_to_a_run_is_removed_without_the_run(tmp_path: Path) -> None:
    run = make(tmp_path / "one", "a")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a").symlink_to(run.path)
    assert [found.id for found in list_runs(tmp_path / "two")] == ["a"]
    remove_run(tmp_path / "two", "a")
    assert list((tmp_path / "two").iterdir()) == []
    assert len(run.evals()) == 2


def test_a_run_removed_while_open_is_told(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    remove_run(tmp_path, "a")
    for read in (run.evals, lambda: run.status, lambda: run.version):
        with pytest.raises(LabError, match="there is no run at"):
            read()


@settings(deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=100).map(str.encode))
def test_no_run_json_whatsoever_makes_a_reader_fail(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("runs")
    (root / "a").mkdir()
    (root / "a" / "run.json").write_bytes(content)
    assert list_runs(root) == []
    assert len(broken_runs(root)) == 1
