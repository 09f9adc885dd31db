"""Is what an index says always what the runs say?"""

import json
import os
import shutil
import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter, index, label_run, list_runs, look, record
from labapp.store.parquet import write_table
from tests.many_runs import many_runs
from tests.store.examples import edit, make


@pytest.fixture(scope="module")
def _many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    many_runs(root := tmp_path_factory.mktemp("many") / "runs", 12)
    return root


@pytest.fixture
def many(_many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve runs of which an index is worth its while."""
    monkeypatch.setattr(index, "WORTH", 5)
    return Path(shutil.copytree(_many, tmp_path / "runs"))


def opened_anew(root: Path) -> index.Listing:
    """What another process finds."""
    index._archives.clear()
    return look(root)


def told(listing: index.Listing) -> list[tuple[object, ...]]:
    return [
        (run.id, run.experiment, run.status, run.progress, run.started, run.seconds)
        for run in map(Run, (listing.root / entry.id for entry in listing.entries))
    ]


def indexed(listing: index.Listing) -> list[tuple[object, ...]]:
    return [
        (entry.id, entry.experiment, entry.status, (entry.step, entry.steps), entry.created, entry.seconds)
        for entry in listing.entries
    ]


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs whose run.json is read from now on, to list them."""
    found: list[str] = []
    before = index._read
    monkeypatch.setattr(index, "_read", lambda folder, old: found.append(folder.name) or before(folder, old))
    return found


def test_an_index_says_what_the_runs_say_before_and_after_it_is_read_back(many: Path) -> None:
    first = look(many)
    assert (many / index.FILE).is_file()
    assert indexed(first) == told(first)
    assert {entry.status for entry in first.entries} == {"finished"}
    again = opened_anew(many)
    assert indexed(again) == indexed(first)


def test_nothing_that_is_known_is_read_again(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look(many)
    read = reads(monkeypatch)
    listing = opened_anew(many)
    assert look(many) is listing  # not even put together anew
    assert read == []
    assert [run.id for run in list_runs(many)] == [entry.id for entry in listing.entries]


def test_only_what_changed_is_read_again(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [entry.id for entry in look(many).entries]
    read = reads(monkeypatch)
    edit(many / ids[3], message="another")
    shutil.rmtree(many / ids[5])
    make(many, "one-more")
    label_run(many, ids[7], name="given", tags=["good"])
    listing = opened_anew(many)
    assert sorted(read) == sorted([ids[3], "one-more"])
    assert [entry.id for entry in listing.entries] == ["one-more", *ids[:5], *ids[6:]]
    assert (listing.by_id[ids[7]].labels.name, listing.by_id[ids[7]].labels.tags) == ("given", ("good",))
    assert indexed(listing) == told(listing)


def test_a_page_looks_at_what_is_written_and_at_what_came_and_after_a_rest_at_all(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an archive of thousands a look at each takes a while; one that is being written may not wait for it."""
    writer = RunWriter.create(many, Experiment(), run_id="live")
    look(many)  # which writes the index down
    look(many)
    archive = index._archives[many, many.absolute()]
    monkeypatch.setattr(index, "SHARE", 0)
    monkeypatch.setattr(index, "REST", 1e9)
    looks: list[str] = []
    before = index.look_at
    monkeypatch.setattr(index, "look_at", lambda path: looks.append(path) or before(path))
    writer.update(progress={"step": 7, "steps": 300})
    assert look(many, index.AGE).by_id["live"].step == 7
    assert len(looks) == 3  # the archive's folder, and two files of the run
    make(many, "new")
    assert look(many, index.AGE).entries[0].id == "new"
    finished = look(many).entries[-1].id
    edit(many / finished, progress={"step": 3, "steps": 21})
    assert look(many, index.AGE).by_id[finished].step == 21  # not looked at
    archive.whole -= index.WHOLE
    assert look(many, index.AGE).by_id[finished].step == 3
    edit(many / finished, progress={"step": 4, "steps": 21})
    index.forget(many)
    assert look(many, index.AGE).by_id[finished].step == 4
    writer.finish()
    assert look(many, index.AGE).by_id["live"].status == "finished"
    shutil.rmtree(many)
    with pytest.raises(LabError, match="there is no archive"):
        look(many, index.AGE)


def test_who_the_runs_are_is_another_object_only_when_that_changed(many: Path) -> None:
    first = look(many)
    newest = first.entries[0].id
    edit(many / newest, progress={"step": 7, "steps": 21})
    second = look(many)
    assert second.by_id[newest].step == 7
    assert (second.who, second.standing) == (first.who, first.standing)
    edit(many / newest, status="failed")
    third = look(many)
    assert third.who is first.who
    assert third.standing is not first.standing
    label_run(many, newest, name="given")
    assert look(many).who is not first.who


def test_a_run_is_running_as_long_as_its_process_lives(many: Path) -> None:
    writer = RunWriter.create(many, Experiment(), run_id="live")
    assert look(many).entries[0].status == "running"
    assert opened_anew(many).entries[0].status == "running"
    said = json.loads((many / "live" / "run.json").read_bytes())
    writer.finish()
    assert look(many).entries[0].status == "finished"
    said["attempts"][-1]["process"] = "another"
    (many / "live" / "run.json").write_text(json.dumps(said))
    for listing in (look(many), opened_anew(many)):
        assert listing.entries[0].status == "interrupted"


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "noise": lambda path: path.write_bytes(os.urandom(2000)),
    "a bit": lambda path: path.write_bytes(
        path.read_bytes()[:500] + bytes([path.read_bytes()[500] ^ 1]) + path.read_bytes()[501:]
    ),
    "a folder": lambda path: path.unlink() or path.mkdir(),
    "another table": lambda path: write_table(pa.table({"id": ["x"]}), path),
    "another version": lambda path: write_table(pq.read_table(path).replace_schema_metadata({"made_by": "x"}), path),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("harm", DAMAGE)
def test_a_damaged_or_foreign_index_is_as_none(many: Path, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = indexed(look(many))
    DAMAGE[harm](many / index.FILE)
    assert indexed(opened_anew(many)) == first
    if harm != "a folder":
        read = reads(monkeypatch)
        assert indexed(opened_anew(many)) == first
        assert read == []  # it was written anew


@pytest.mark.parametrize(
    "changes",
    [
        {"experiment": '{"family": "rezidual"}'},
        {"experiment": "{"},
        {"experiment": None},
        {"status": "asleep"},
        {"seed": -1},
        {"attempt": "[1]"},
        {"labels": '{"name": 3}'},
        {"created": None},
    ],
)
def test_an_index_with_values_that_no_lab_writes_is_as_none(many: Path, changes: dict[str, object]) -> None:
    first = indexed(look(many))
    table = pq.read_table(many / index.FILE)
    rows = [row | changes for row in table.to_pylist()]
    write_table(pa.Table.from_pylist(rows, table.schema), many / index.FILE)
    assert indexed(opened_anew(many)) == first


def test_where_nothing_may_be_written_memory_alone_knows(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    first = look(many)
    assert not (many / index.FILE).exists()
    read = reads(monkeypatch)
    assert look(many) is first
    assert read == []
    monkeypatch.delenv("LABAPP_READ_ONLY")
    monkeypatch.setattr(index, "write_table", _refused)
    assert indexed(opened_anew(many)) == indexed(first)
    assert not (many / index.FILE).exists()


def _refused(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_small_archive_holds_no_index(tmp_path: Path) -> None:
    make(tmp_path, "a")
    look(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_no_run_is_told_again_and_a_run_once_it_is_one(many: Path) -> None:
    (many / "half").mkdir()
    for listing in (look(many), opened_anew(many), look(many)):
        ((path, sentence),) = listing.broken
        assert path == many / "half"
        assert "holds no run.json" in sentence
    shutil.rmtree(many / "half")
    make(many, "half")
    assert look(many).broken == ()
    assert look(many).entries[0].id == "half"


def test_damaged_labels_are_told_and_mended_by_the_next_ones(many: Path) -> None:
    run_id = look(many).entries[0].id
    for harm in ("{", "[1]", '{"tags": 3}', '{"name": "\\ud800"}', '{"tags": ["a\\u202eb"]}'):
        (many / run_id / "labels.json").write_text(harm)
        assert "is damaged" in look(many).entries[0].labels_problem
        assert "is damaged" in opened_anew(many).entries[0].labels_problem
    label_run(many, run_id, add=["good"])
    assert look(many).entries[0].labels_problem == ""
    assert look(many).entries[0].labels.tags == ("good",)


def test_many_look_and_write_at_once(many: Path) -> None:
    wrong: list[BaseException] = []
    expected = indexed(look(many))

    def often() -> None:
        try:
            for _ in range(5):
                archive = index._Archive(many)
                assert indexed(archive.look(0.0)) == expected
                index._save(many, list(archive.rows.values()))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not list(many.glob(".*.tmp"))


def test_going_through_more_records_than_are_kept_still_finds_some(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the oldest forgotten first, one run too many would mean that every one is read again, each time."""
    said = next(many.glob("*/run.json"))
    size = said.stat().st_size
    paths = [many / str(number) / "run.json" for number in range(40)]
    for name, empty in {"_known": {}, "_paths": [], "_size": Counter[str]()}.items():
        monkeypatch.setattr(record, name, empty)
    monkeypatch.setattr(record, "KNOWN", 36 * size)
    read: list[Path] = []
    before = record._read
    monkeypatch.setattr(record, "_read", lambda path, seen: read.append(path) or before(said, seen))
    rounds = 5
    for _ in range(rounds):
        for path in paths:
            record.read_record(path, (1, 1, size))
    assert len(read) < 0.8 * rounds * len(paths)  # all, were the oldest forgotten; about a third so
    assert record._size["held"] <= record.KNOWN
    assert len(record._known) == len(record._paths) <= 36
