"""A sweep on Ray: the runs are those of this machine, whatever is lost on the way, and nothing is left behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import torch

from labapp.commands.cli import main
from labapp.commands.sweep.cluster import Cluster
from labapp.commands.sweep.connecting import STORE
from labapp.commands.sweep.engines import ENGINES, Means
from labapp.config import LabError
from labapp.config.sweeps import read
from labapp.store import Run, list_runs
from labapp.training.loop import train
from tests.commands.in_process import InProcess
from tests.commands.test_sweep_killed import run_of
from tests.commands.test_workers import double
from tests.training.interrupted import assert_equal

ray = pytest.importorskip("ray", reason="Ray is not installed here: pip install 'labapp[cluster]'")

TINY = (
    "{imageset: digits, steps: 300, batch_size: 16, record_every: 50, eval_every: 300, "
    "checkpoints: 12, train_images: 64, test_images: 40, device: cpu}"
)


def written(folder, text):
    path = folder / "tiny.yaml"
    path.write_text(f"base: {TINY}\n{text}")
    return path


@pytest.fixture(scope="module")
def cluster():
    """A head that computes nothing, and two nodes of one processor."""
    from ray.cluster_utils import Cluster as Nodes

    folder = tempfile.mkdtemp(prefix="labapp-")  # a short name, for sockets
    os.environ["RAY_TMPDIR"] = folder  # else the nodes' address is written below /tmp/ray, if there is such a folder
    Path(folder, "ray").mkdir()
    about = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder, "object_store_memory": STORE}
    made = Nodes(initialize_head=True, head_node_args=about)
    made.nodes = [made.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
    yield made
    made.shutdown()
    del os.environ["RAY_TMPDIR"]
    shutil.rmtree(folder, ignore_errors=True)


def lose(cluster, run):
    """Kill the node on which a run is trained."""
    parents = {each.pid for each in psutil.Process(run.attempts[-1]["pid"]).parents()}
    (node,) = (each for each in cluster.nodes if raylet(each) in parents)
    cluster.remove_node(node, allow_graceful=False)
    cluster.nodes.remove(node)


def raylet(node):
    return node.all_processes["raylet"][0].process.pid


def begun(spec, root, address):
    command = [sys.executable, "-m", "labapp", "sweep", str(spec), "--root", str(root), "--engine", "ray"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    options = ["--address", address, "--threads", "1"]
    return subprocess.Popen([*command, *options], env=environment, start_new_session=True, **pipes)


NET = """
import torch

def make(num_classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, num_classes))
"""


def test_without_an_address_ray_is_begun_here_gives_the_same_and_is_gone_afterwards(tmp_path, capsys, monkeypatch):
    """Somebody's own net and a probe too; what goes to a program is JSON and nothing else."""
    (tmp_path / "own_of_ray.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(ENGINES, "local", InProcess)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    runs = "runs: [{depth: 8, width: 2, steps: 12}, {net: 'own_of_ray:make', steps: 12}]"
    spec = written(tmp_path, f"{runs}\nprobes: {{lesions: {{images: 16}}}}")
    before = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), dict(os.environ))
    words = [str(spec), "--jobs", "1", "--trust", "own_of_ray", "--json"]
    assert main(["sweep", *words, "--engine", "ray", "--root", "ray"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before[:2]
    assert {name: value for name, value in os.environ.items() if name.startswith("RAY_")} == {
        name: value for name, value in before[2].items() if name.startswith("RAY_")
    }
    words_of = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    assert not [each for each in words_of if "ray" in each and "forkserver" not in each]
    assert [path.name for path in Path("ray").iterdir() if path.name.startswith(".sweep")] == []

    assert main(["sweep", *words, "--root", "here"]) == 0
    here = json.loads(capsys.readouterr().out)
    assert [(each["run"], each["digest"]) for each in said["experiments"]] == [
        (each["run"], each["digest"]) for each in here["experiments"]
    ]
    assert said["counts"] == here["counts"]
    for run in list_runs("here"):
        other = Run(Path("ray") / run.id)
        assert other.environment["threads"] == 1
        assert other.attempts[-1]["pid"] != os.getpid()
        assert_equal(run, other)
        assert run.probes() == other.probes()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_what_is_lost_with_a_worker_or_a_node_goes_on_and_the_same_command_does(tmp_path, cluster):
    spec, root = written(tmp_path, "runs: [{depth: 8, width: 2}]\nseeds: [0, 1, 2]"), tmp_path / "runs"
    experiments = [planned.experiment for planned in read(spec).planned]

    with begun(spec, root, cluster.address) as process:
        first = run_of(experiments[0], root, process)
        os.kill(first.attempts[-1]["pid"], signal.SIGKILL)
        second = run_of(experiments[1], root, process)
        lose(cluster, second)
        run_of(experiments[2], root, process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "its worker was lost" in said
    assert "begun once more" in said
    assert "raylet" not in said
    assert "the same command goes on" in said
    assert {run.status for run in list_runs(root)} <= {"finished", "stopped", "interrupted"}

    cluster.nodes.append(cluster.add_node(num_cpus=1))
    with begun(spec, root, cluster.address) as process:
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "tiny: 3 finished" in said
    runs = {run.experiment: run for run in list_runs(root)}
    assert len(runs) == len(list_runs(root)) == 3
    assert all(len(runs[each.experiment].attempts) > 1 for each in (first, second))
    for experiment in experiments[:2]:
        assert_equal(train(experiment, tmp_path / "here"), runs[experiment])


@pytest.mark.long
def test_a_node_that_is_not_as_this_machine_is_one_sentence(tmp_path, cluster, monkeypatch):
    """An archive that it does not see, and another version there than here."""
    means = Means(str(tmp_path / "runs"), address=cluster.address)

    def begun(change=lambda: None):
        with Cluster(means) as workers:
            change()
            workers.add(double, 1)
            list(workers.finished())

    def away():
        for mark in (tmp_path / "runs").glob(".sweep-*"):
            mark.unlink()

    with pytest.raises(LabError, match=r"does not see the archive .*runs of the machine on which"):
        begun(away)
    monkeypatch.setattr("labapp.__version__", "0.0.9")
    with pytest.raises(LabError, match=r"has labapp 0\.1\.\d, the sweep was begun with labapp 0\.0\.9; install"):
        begun()


@pytest.mark.long
def test_what_no_node_has_is_waited_for_and_said(tmp_path, cluster):
    said = []
    with Cluster(Means(str(tmp_path), address=cluster.address, gpus=3, say=said.append)):
        pass
    assert len(said) == 1
    assert said[0].startswith("a run takes 1 CPUs and 3 GPUs, which no node of the cluster has yet (")
    assert "1 CPUs and 0 GPUs" in said[0]


def test_without_ray_it_is_said_how_it_is_installed(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["--engine", "ray", "--root", str(tmp_path / "runs")]
    assert main(["sweep", str(written(tmp_path, "")), *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("labapp: the engine ray needs Ray, which cannot be imported here (")
    assert "-m pip install 'labapp[cluster]'` in labapp's environment installs it" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1 (Connection refused); `ray start --head` begins one"),
        ("head", "--address is HOST:PORT of a cluster's head, 10.0.0.1:6379 say, or auto, not 'head'"),
        ("ray://head:10001", "ray://head:10001 is an address of Ray's client"),
        ("127.0.0.1:{silent}", "no Ray cluster answers at 127.0.0.1:{silent} (timed out)"),
    ],
)
def test_an_address_at_which_no_cluster_is_is_one_sentence(tmp_path, capfd, monkeypatch, address, sentence):
    monkeypatch.setattr("labapp.commands.sweep.connecting.ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        words = ["--engine", "ray", "--address", address.replace("{silent}", port), "--root", str(tmp_path / "runs")]
        began = time.monotonic()
        assert main(["sweep", str(written(tmp_path, "")), *words]) == 2
    assert time.monotonic() - began < 30
    _, err = capfd.readouterr()
    assert err.startswith(f"labapp: {sentence.replace('{silent}', port)}")
    assert err.count("\n") == 1, err
    assert not (tmp_path / "runs").exists()
