"""Does a file appear whole or not at all, and is a folder one process's at a time?"""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from labapp.store.files import alone, files, folders, write_whole


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_whole(path, lambda file: file.write(b"first"))

    def fails(file: Any) -> None:
        file.write(b"sec")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(path, fails)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


HOLDER = """
import sys, time
from pathlib import Path
from labapp.store.files import alone

with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_that_another_process_holds_is_waited_for_until_that_process_is_killed(tmp_path: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with alone(tmp_path):
            entered.set()

    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        waiting = threading.Thread(target=enter)
        waiting.start()
        assert not entered.wait(0.3)
        holder.kill()
        assert entered.wait(30)
        waiting.join()
    assert list(tmp_path.iterdir()) == []


def test_two_threads_are_not_in_a_folder_at_once(tmp_path: Path) -> None:
    inside, most = 0, 0

    def enter(_: int) -> None:
        nonlocal inside, most
        with alone(tmp_path):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, range(8)))
    assert most == 1


def test_a_folder_is_let_go_when_its_block_raises(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the roof leaks"), alone(tmp_path):
        raise RuntimeError("the roof leaks")
    with alone(tmp_path):
        pass


def test_a_link_in_a_circle_hides_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert (folders(tmp_path), files(tmp_path)) == (["folder"], ["file"])
