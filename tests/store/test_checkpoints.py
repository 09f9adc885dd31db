"""Are weights and training state on disk as they were handed over?"""

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from labapp.config import LabError
from labapp.store import RunWriter, checkpoints
from tests.store.examples import one_step


def test_checkpoints(writer: RunWriter) -> None:
    run = writer.run
    with pytest.raises(LabError, match="run 'run' has no checkpoint"):
        run.checkpoint_path()
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.array(3)}
    writer.write("steps", one_step(4))
    path = writer.checkpoint(5, arrays)
    assert len(run.steps()) == 1  # the tables reach as far as the weights
    assert path == run.checkpoint_path(5) == run.checkpoint_path()
    assert path.name == "step-00000005.safetensors"
    loaded = safetensors.numpy.load_file(path)
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())
    assert run.state_path() is None
    writer.checkpoint(12, {"w": torch.ones(2, 3).T.requires_grad_()}, b"state")
    assert run.checkpoints() == [5, 12]
    assert run.state_path() == run.checkpoint_path(12).with_suffix(".pt")
    assert run.state_path(12).read_bytes() == b"state"  # type: ignore[union-attr]
    assert torch.equal(safetensors.torch.load_file(run.checkpoint_path(12))["w"], torch.ones(3, 2))
    with pytest.raises(LabError, match="has no checkpoint at step 7; it has 5 and 12"):
        run.checkpoint_path(7)
    assert not list(writer.path.rglob("*.tmp"))


def test_whoever_sees_weights_finds_their_state(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    names, write_whole = [], checkpoints.write_whole
    monkeypatch.setattr(
        checkpoints, "write_whole", lambda path, fill: names.append(path.suffix) or write_whole(path, fill)
    )
    writer.checkpoint(1, {"w": np.ones(2)}, b"state")
    assert names == [".pt", ".safetensors"]


def test_checkpoints_in_types_that_numpy_lacks(writer: RunWriter) -> None:
    weights = {"w": torch.randn(3, 4, dtype=torch.bfloat16).T, "b": torch.ones(2), "n": torch.tensor(7)}
    weights["tied"] = weights["b"]
    writer.checkpoint(1, weights)
    loaded = safetensors.torch.load_file(writer.run.checkpoint_path())
    assert all(
        torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype for name, tensor in weights.items()
    )


def test_a_models_state_goes_there_and_back(writer: RunWriter) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last), torch.nn.BatchNorm2d(4))
    writer.checkpoint(1, model.state_dict())
    loaded = safetensors.torch.load_file(writer.run.checkpoint_path())
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())
