"""Several processes at a list of tasks: what they give, what they raise, how they end."""

import os
import signal
import subprocess
import sys
import time

import pytest

from labapp.commands.workers import Workers, cores
from labapp.config import LabError


def double(number, tell):
    tell(0.5, f"half of {number}")
    return 2 * number, os.getpid(), os.environ["OMP_NUM_THREADS"]


def fail(tell):
    raise RuntimeError("out of memory\nat line 3")


def mistake(tell):
    raise LabError("this folder cannot be written")


def die(tell):
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_interrupt(path, tell):
    try:
        path.write_text(str(os.getpid()))
        time.sleep(60)
    except KeyboardInterrupt:
        path.write_text("interrupted")
        raise


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_tasks_share_the_processes_and_more_may_come(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    said = []
    with Workers(2) as workers:
        for number in range(4):
            workers.add(double, number)
        done = []
        for work in workers.finished(lambda: said.extend(work.words for work in workers.running)):
            assert not work.fault
            assert work.share == 1.0
            done.append(work.value)
            if len(done) == 4:
                workers.add(double, 4)
    assert sorted(value for value, _, _ in done) == [0, 2, 4, 6, 8]
    assert len({pid for _, pid, _ in done}) == 2  # each process was used again
    assert {threads for _, _, threads in done} == {str(max(1, cores() // 2))}
    assert "OMP_NUM_THREADS" not in os.environ
    assert all(gone(pid) for _, pid, _ in done)
    assert {word for word in said if word} <= {f"half of {number}" for number in range(5)}


def count_threads(tell):
    import torch

    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize(
    ("asked", "threads"),
    [
        pytest.param("2", 2, marks=pytest.mark.long),
        pytest.param("1", 1, marks=pytest.mark.long),
        ("2,1", 2),
        ("many", None),
    ],
)
def test_each_process_has_the_threads_of_whoever_began_it(monkeypatch, asked, threads):
    """Also where an earlier one had another number, and they come out of the same process."""
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    with Workers(1) as workers:
        work = workers.add(count_threads)
        list(workers.finished())
    assert work.fault == ""
    assert work.value[1] == asked
    assert work.value[0] == threads or threads is None


def test_a_fault_and_a_death_take_one_task_each():
    with Workers(1) as workers:
        works = [workers.add(fail), workers.add(double, 1), workers.add(die), workers.add(double, 2)]
        assert list(workers.finished()) == works
    assert [work.fault for work in works] == [
        "RuntimeError: out of memory",
        "",
        "the process ended by itself (exit code -9)",
        "",
    ]
    assert works[3].value[0] == 4
    assert works[3].value[1] != works[1].value[1]


def test_a_mistake_ends_all_at_once(tmp_path):
    began = time.monotonic()
    with pytest.raises(LabError, match="this folder cannot be written"), Workers(2) as workers:  # noqa: PT012
        workers.add(wait_for_interrupt, tmp_path / "said")
        workers.add(mistake)
        workers.add(double, 1)
        for _ in workers.finished():
            pass
    assert time.monotonic() - began < 30
    assert not (tmp_path / "said").exists() or (tmp_path / "said").read_text() == "interrupted"


PARENT = """
import pathlib, sys
from labapp.commands.workers import Workers
from tests.commands.test_workers import wait_for_interrupt
if __name__ == "__main__":
    with Workers(1) as workers:
        workers.add(wait_for_interrupt, pathlib.Path(sys.argv[1]))
        list(workers.finished())
"""


@pytest.mark.parametrize("whom", [pytest.param("the parent alone", marks=pytest.mark.long), "all of the terminal"])
def test_ctrl_c_reaches_what_runs(tmp_path, whom):
    script, said = tmp_path / "parent.py", tmp_path / "said"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, script, said], env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not (said.exists() and said.read_text().isdigit()) and time.monotonic() < until:
        time.sleep(0.05)
    child = int(said.read_text())
    if whom == "the parent alone":
        parent.send_signal(signal.SIGINT)
    else:
        os.killpg(parent.pid, signal.SIGINT)
    parent.wait(timeout=60)
    assert said.read_text() == "interrupted"
    assert gone(child)


@pytest.mark.long
def test_a_process_whose_parent_was_killed_ends(tmp_path):
    script, said = tmp_path / "parent.py", tmp_path / "said"
    script.write_text(PARENT.replace("wait_for_interrupt", "a_moment"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, script, said], env=environment, start_new_session=True)
    until = time.monotonic() + 60
    while not (said.exists() and said.read_text().isdigit()) and time.monotonic() < until:
        time.sleep(0.05)
    child = int(said.read_text())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 60
    while not gone(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert gone(child)
    assert said.read_text() == "finished"  # what had begun came to its end


def a_moment(path, tell):
    path.write_text(str(os.getpid()))
    time.sleep(1)
    tell(0.9, "nearly")
    path.write_text("finished")
