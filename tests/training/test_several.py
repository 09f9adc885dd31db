"""Several processes train one net: they end together, say which of them failed, and go on as more or fewer."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from labapp.config import Experiment, LabError
from labapp.store import Run, list_runs
from labapp.training.beginnings import ResumedRun, ResumeWarning
from labapp.training.devices import make_fabric
from labapp.training.loop import resume, train
from tests.training.interrupted import timeless
from tests.training.small import small, weights

ROOT = Path(__file__).parent.parent.parent
NET = "tests.training.leaking:make"
OPTIONS = {"net": NET, "depth": None, "width": None, "imageset": "digits", "steps": 9, "record_every": 1}


def torchrun(words, processes, **environment):
    """What torchrun's processes print and complain about."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        [*command, "-m", "labapp", *words], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def close(one, two):
    """As far as the order of float32 sums goes: gradients are means of parts, which then train nine steps."""
    assert one.status == two.status == "finished"
    assert one.tables() == two.tables()
    for table in ("layers", "steps", "evals", "totals"):
        first, second = timeless(one, table), timeless(two, table)
        assert len(first) == len(second), table
        for column in first.select_dtypes("number"):
            expected = pytest.approx(first[column].to_numpy(), rel=1e-4, abs=1e-7, nan_ok=True)
            assert second[column].to_numpy() == expected, f"{table}: {column}"
    for name, value in weights(one).items():
        np.testing.assert_allclose(weights(two)[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_a_run_goes_from_process_to_process(tmp_path, monkeypatch):
    """Under torchrun one of two raises; of four that go on one is killed; then two go on, and one ends it."""
    whole = train(small(**OPTIONS), tmp_path, run_id="whole")
    words = f"train --net {NET} --imageset digits --steps 9 --batch-size 16 --train-images 64 --test-images 40"
    words += " --record-every 1 --eval-every 3 --checkpoints 3 --device cpu --keep-every 0 --devices 2 --root"
    done = torchrun([*words.split(), str(tmp_path / "runs")], 2, LEAK="raise 1 3")
    assert done.returncode != 0
    assert done.stdout.count("loading torch") == 1
    (cut,) = list_runs(tmp_path / "runs")
    assert cut.status == "failed"
    assert "process 1: RuntimeError: the roof leaks" in cut.message
    assert "process 1: RuntimeError: the roof leaks" in done.stderr
    assert cut.environment["processes"] == 2

    monkeypatch.setenv("LEAK", "kill 2 3")
    with pytest.raises(LabError, match="process 2 of this training was ended by SIGKILL"):
        resume(cut, devices=4, keep_every=0)
    cut = Run(cut.path)
    assert cut.status == "failed"
    assert "process 2 (" in cut.message
    assert "is gone: it was killed" in cut.message
    assert cut.attempts[-1]["from_step"] == 2

    monkeypatch.setenv("LEAK", "raise 0 3")
    with pytest.raises(RuntimeError, match="the roof leaks"):
        resume(cut, devices=2, keep_every=0)
    cut = Run(cut.path)
    assert (cut.status, cut.message) == ("failed", "RuntimeError: the roof leaks")
    assert cut.attempts[-1]["from_step"] == 4

    monkeypatch.delenv("LEAK")
    with pytest.warns(ResumeWarning, match="processes 2 → 1"):
        again = resume(cut, devices=1)
    close(whole, again)
    assert again.environment["changed"][-1].startswith("from step 6 on: processes 2 → 1")


def test_synced_norms_do_what_one_process_does(tmp_path):
    """Two on the whole batch's statistics, where each by itself would take those of its half."""
    one, two = (
        train(small(steps=3, devices=devices, sync_batchnorm=True, record_every=1), tmp_path) for devices in (1, 2)
    )
    # float32: statistics are sums of halves, and in a net whose rectifiers may tip a difference grows from step to step
    for column in ("output_mean", "output_std", "output_grad_norm", "weight_grad_norm", "update_ratio"):
        expected = one.layers()[column].to_numpy()
        np.testing.assert_allclose(two.layers()[column], expected, rtol=2e-3, atol=1e-5, err_msg=column)
    for name, value in weights(one).items():
        np.testing.assert_allclose(weights(two)[name], value, rtol=2e-3, atol=1e-5, err_msg=name)


def test_the_digest_of_an_experiment_without_the_later_fields_is_as_it_was():
    assert Experiment().digest == Experiment(num_nodes=1, sync_batchnorm=False).digest == "8d923885"
    assert Experiment(family="dense", depth=40, devices=2).digest == "5fbe3994"
    assert len({Experiment(**changes).digest for changes in ({}, {"num_nodes": 2}, {"sync_batchnorm": True})}) == 3


@pytest.mark.parametrize(
    ("options", "environment", "sentence"),
    [
        ({"num_nodes": 2}, {}, "several hosts need MASTER_ADDR and MASTER_PORT"),
        ({"devices": 2, "num_nodes": 3}, {}, "a batch of 16 cannot be shared equally by 6 devices"),
        (
            {"devices": 2},
            {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4"},
            "torchrun began 4 processes, and --devices 2 --num-nodes 1 asks for 2",
        ),
        ({}, {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2"}, "torchrun began 2 processes"),
        (
            {"devices": 2, "num_nodes": 2},
            {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train", "SLURM_NTASKS_PER_NODE": "2"},
            "Slurm began 2 tasks, and --devices 2 --num-nodes 2 asks for 4; begin the command by `srun --nodes=2",
        ),
    ],
)
def test_processes_that_are_not_as_asked_for(monkeypatch, options, environment, sentence):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LabError) as caught:
        make_fabric(small(**options))
    assert sentence in str(caught.value)


def test_each_task_of_a_job_may_train_a_net_of_its_own(monkeypatch):
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "many", "SLURM_PROCID": "3"}.items():
        monkeypatch.setenv(name, value)
    assert make_fabric(small()).world_size == 1


def test_tasks_of_slurm_find_their_place(monkeypatch):
    """As srun sets it for the second task of the second of two hosts."""
    told = {"NTASKS": 4, "JOB_NAME": "train", "NTASKS_PER_NODE": 2, "NNODES": 2, "PROCID": 3, "LOCALID": 1, "NODEID": 1}
    for name, value in told.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("SLURM_NODELIST", "host[5-6]")
    monkeypatch.setenv("SLURM_JOB_ID", "12345")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that what lightning makes of them is gone afterwards
        monkeypatch.delenv(name)
    place = make_fabric(small(devices=2, num_nodes=2)).strategy.cluster_environment
    assert (place.global_rank(), place.local_rank(), place.world_size()) == (3, 1, 4)
    assert (place.main_address, place.main_port) == ("host5", 17345)
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("count", [0, -1])
def test_a_training_has_at_least_one_process(tmp_path, count):
    with pytest.raises(LabError, match=f"num_nodes is a whole number above 0, not {count}"):
        ResumedRun(small(), tmp_path, None).on(None, count)
