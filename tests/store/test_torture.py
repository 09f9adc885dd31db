"""Is every flushed row there once, wherever the process dies, whatever the disk refuses?

Exhaustive: a short run with flushes, publications, checkpoints and an end is killed, or its disk fails, at each of its
file operations in turn. LABAPP_TORTURE says how many of them each test tries, of as many kinds as that allows; 9 by
default, `all` for all.
"""

import errno
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labapp.config import LabError
from labapp.store import appending, check, list_runs, mend
from labapp.store import writer as store_writer
from tests.store.faulty import FaultyDisk, Harm, Operation, die_before, die_half_way, fail_half_way, fail_with
from tests.store.tortured import ASKED, TOLD, TOTAL, contents, each_once, killed, persistently, record, sample


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where the system has such a folder: a sync costs nothing there, and what is tried is not the disk."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="labapp-torture-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes come when they are asked for, so that operations have numbers; files are gathered and published often."""
    monkeypatch.setattr(store_writer, "FLUSH_SECONDS", 1e9)
    monkeypatch.setattr(appending, "GATHER", 2)
    monkeypatch.setattr(appending, "SHARE", 2)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list], list[Operation], list[int]]:
    """What a run holds that nothing happened to, its file operations, and where flushes ended."""
    root = tmp_path_factory.mktemp("unbroken")
    ends = []
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (store_writer, "FLUSH_SECONDS", 1e9),
            (appending, "GATHER", 2),
            (appending, "SHARE", 2),
        ):
            patch.setattr(module, name, value)
        with FaultyDisk(root) as disk:
            run = record(root, lambda word: ends.append(len(disk.done)))
    each_once(run, TOTAL - 1)
    return contents(run), disk.done, ends


@pytest.mark.parametrize("harm", [die_half_way, pytest.param(die_before, marks=pytest.mark.long)])
def test_killed_at_any_operation(
    tmp_path: Path, unbroken: tuple[dict[str, list], list[Operation], list[int]], harm: Harm
) -> None:
    whole, operations, _ = unbroken
    for at in sample(operations, harm is die_before):
        root = tmp_path / str(at)
        root.mkdir()
        promised = killed(root, at, harm)
        flushed = max((int(word.split()[1]) for word in promised if word.startswith("flushed")), default=-1)
        kept = max((int(word.split()[1]) for word in promised if word.startswith("kept")), default=0)
        for run in list_runs(root):  # none when it died before there was one
            assert run.status in ("interrupted", "finished")
            each_once(run, flushed)
            assert max(run.checkpoints(), default=0) >= kept
        assert list_runs(root) or not promised
        run = record(root)
        assert run.status == "finished"
        each_once(run, TOTAL - 1)
        assert contents(run) == whole, f"killed at {at}: {operations[at]}"
        assert check(run.path) == []
        shutil.rmtree(root)


@pytest.mark.long
def test_killed_again_and_again(tmp_path: Path, unbroken: tuple[dict[str, list], list[Operation], list[int]]) -> None:
    """Each attempt dies somewhere on its way, also while it takes up what the one before left."""
    whole, operations, _ = unbroken
    draw = random.Random(1)
    for trial in range(len(operations) // 10 if ASKED == "all" else 2):
        root = tmp_path / str(trial)
        root.mkdir()
        for _ in range(8):
            try:
                promised = killed(root, draw.randrange(len(operations) // 2), draw.choice([die_before, die_half_way]))
            except AssertionError:  # it got to its end before
                break
            begun = max((number for number, word in enumerate(promised) if word.startswith("begun")), default=0)
            flushed = [int(word.split()[1]) for word in promised[begun:] if word.startswith("flushed")]
            for run in list_runs(root):
                each_once(run)
                assert len(run.steps()) > max(flushed, default=-1) or len(run.attempts) > promised.count("begun")
        run = record(root)
        assert contents(run) == whole


HARMS = {
    "full": fail_with(errno.ENOSPC),
    "faulty": fail_with(errno.EIO),
    "read-only": fail_with(errno.EROFS),
    "half": fail_half_way,
}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::labapp.store.appending.StoreWarning")
@pytest.mark.parametrize("fault", HARMS)
def test_the_disk_fails_once_at_any_operation(
    tmp_path: Path, unbroken: tuple[dict[str, list], list[Operation], list[int]], fault: str
) -> None:
    """Every fault is a sentence, in an error, a warning or run.json; and nothing is lost, for it is tried again."""
    _, operations, _ = unbroken
    for at in sample(operations, len(fault)):
        root = tmp_path / f"{fault}-{at}"
        root.mkdir()
        with FaultyDisk(root, at, HARMS[fault]) as disk:
            errors = list(persistently(root))
        if len(disk.done) <= at:
            continue
        for error in errors:
            assert "\n" not in str(error)
            assert len(str(error)) > 20
        (run,) = list_runs(root)
        if run.status == "running":  # the very last word could not be written
            assert errors
        else:
            assert run.status in ("finished", "failed")
        each_once(run, TOTAL - 1 if run.status == "finished" else -1)
        if run.status != "finished":
            run = record(root)
            assert run.status == "finished"
        each_once(run, TOTAL - 1)
        mend(run.path)  # a temporary file may have stayed, or the last rows wait to be published
        assert not [fault for fault in check(run.path) if not fault.what.startswith(TOLD)]
        shutil.rmtree(root)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::labapp.store.appending.StoreWarning")
def test_the_disk_stays_full_from_any_operation_on(
    tmp_path: Path, unbroken: tuple[dict[str, list], list[Operation], list[int]]
) -> None:
    whole, operations, _ = unbroken
    for at in sample(operations, 5):
        root = tmp_path / str(at)
        root.mkdir()
        flushed = []
        with FaultyDisk(root, at, fail_with(errno.ENOSPC), lasting=True):
            with pytest.raises(LabError, match=r"No space left on device") as raised:
                record(root, flushed.append)
            assert "\n" not in str(raised.value)
        last = max((int(word.split()[1]) for word in flushed if word.startswith("flushed")), default=-1)
        for run in list_runs(root):
            each_once(run, last)
        store_writer_dropped(root)
        assert contents(record(root)) == whole
        shutil.rmtree(root)


def store_writer_dropped(root: Path) -> None:
    """The process that held the run is over, as after an exception that nobody caught."""
    from labapp.store.lease import _HELD

    for key in [key for key in _HELD if key.is_relative_to(root.resolve())]:
        _HELD.pop(key).release()


def test_contents_reach_the_disk_before_names_and_names_before_promises(
    unbroken: tuple[dict[str, list], list[Operation], list[int]],
) -> None:
    """A file is synced after its last write and before it is renamed or linked; its folder before a flush returns."""
    _, operations, ends = unbroken
    dirty: set[str] = set()  # files with writes that may not be on the disk
    unnamed: set[str] = set()  # folders with names that may not be
    there: set[str] = set()
    renames = 0
    for number, (name, path, to) in enumerate(operations):
        if number in ends:
            assert not unnamed, f"promised before {unnamed} was synced"
        if name in ("open", "write"):
            dirty.add(path)
        elif name == "fsync":
            dirty.discard(path)
            unnamed.discard(path)
        elif name in ("replace", "rename", "link"):
            renames += 1
            assert path not in dirty, f"{path} got the name {to} before its contents were on the disk"
            unnamed.add(os.path.dirname(to))  # noqa: PTH120
            there.add(to)
        elif name == "mkdir" and path not in there:
            unnamed.add(os.path.dirname(path))  # noqa: PTH120
    assert renames > 50
    assert not unnamed
