"""Trainings that were interrupted, and how they are compared with those that never were."""

import shutil

import pytest
import torch

from labapp.store import Run
from labapp.training.loop import train
from tests.training.small import small

TIMES = ["seconds", "images_per_second"]  # columns of clocks, which no two trainings share


class Trip:
    """A progress display that fails at a step."""

    def __init__(self, at):
        self.at = at

    def __call__(self, moment):
        if moment.step == self.at and not moment.final:
            raise RuntimeError("the roof leaks")


class Snapshot:
    """A progress display that copies the run's folder at a step: what a process killed there leaves behind.

    At the top of a module, so that it travels to other processes.
    """

    def __init__(self, run, at, copy):
        self.run, self.at, self.copy = run, at, copy

    def __call__(self, moment):
        if moment.step == self.at and not moment.final:
            shutil.copytree(self.run, self.copy, ignore=shutil.ignore_patterns(".*"))


def interrupted(root, at, run_id="cut", keep_every=0, **changes):
    """A run that failed at a step, with the states that were kept until then."""
    with pytest.raises(RuntimeError, match="the roof leaks"):
        train(small(**changes), root, run_id=run_id, progress=Trip(at), keep_every=keep_every)
    return Run(root / run_id)


def timeless(run, table):
    frame = run.table(table)
    return frame.drop(columns=[name for name in TIMES if name in frame]).reset_index(drop=True)


def tensors(run):
    """Final weights and optimizer state, by name."""
    from safetensors.torch import load_file

    state = torch.load(run.state_path(), map_location="cpu", weights_only=True)
    found = dict(load_file(run.checkpoint_path()))
    for number, one in state["optimizer"]["state"].items():
        found |= {f"{number}.{name}": value for name, value in one.items() if isinstance(value, torch.Tensor)}
    return {
        name: (value.dtype, value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, value in found.items()
    }


def assert_equal(one, two):
    """Every table and the last weights and optimizer state, bit for bit."""
    assert one.status == two.status
    assert one.tables() == two.tables()
    for table in one.tables():
        first, second = timeless(one, table), timeless(two, table)
        assert first.equals(second), f"{table}:\n{first.compare(second) if len(first) == len(second) else second}"
    assert one.checkpoints() == two.checkpoints()
    assert one.layers_info == two.layers_info
    assert tensors(one) == tensors(two)
    assert two.problems == []
