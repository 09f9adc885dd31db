"""Nets that are not from a run, checkpoints that come and go, and weights that do not fit."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from labapp.config import LabError
from labapp.probes.explanations import from_file, from_set, look, of_run, of_spec
from labapp.store import Run
from tests.probes.own_nets import OWN


def weights_of(module):
    namespace = {}
    exec(OWN, namespace)
    return namespace[module]().state_dict()


# nets that are not from a run


@pytest.mark.parametrize("kind", ["pt", "safetensors", "wrapped", "ddp"])
def test_own_nets_take_their_weights_from_a_file(own, tmp_path, kind, picture_file):
    state = weights_of("Small")
    state["0.weight"] = torch.full_like(state["0.weight"], 0.25)
    path = tmp_path / f"net.{'safetensors' if kind == 'safetensors' else 'pt'}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        whole = {"pt": state, "wrapped": {"state_dict": state, "epoch": 3}}
        torch.save(whole.get(kind, {f"module.{name}": value for name, value in state.items()}), path)
    subject = of_spec(f"{own}:Small", path, image_size=16)
    assert torch.equal(subject.net[0].weight, state["0.weight"])
    found = look(subject, from_file(picture_file), layers=["0"])
    assert found.layers[0].evidence.shape == (16, 16)
    assert found.target_name == str(found.target)


def test_torchvision_without_its_weights_is_random_with_a_warning(tmp_path, monkeypatch, picture_file):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there: as without a network
    with pytest.warns(UserWarning, match="random weights"):
        subject = of_spec("torchvision:squeezenet1_1", image_size=64)
    found = look(subject, from_file(picture_file))
    assert found.target_name in subject.classes
    assert len(subject.classes) == 1000


def test_torchvision_with_its_weights(tmp_path, monkeypatch):
    from torchvision import models

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    there = tmp_path / "hub" / "checkpoints"
    there.mkdir(parents=True)
    net = models.squeezenet1_1()
    url = models.SqueezeNet1_1_Weights.DEFAULT.url
    torch.save(net.state_dict(), there / url.rsplit("/", 1)[1])
    found = of_spec("torchvision:squeezenet1_1")
    assert torch.equal(found.net.features[0].weight, net.features[0].weight)


def test_a_checkpoint_is_loaded_once_and_anew_when_it_changes(copy):
    assert of_run(copy) is of_run(copy)
    first, last = of_run(copy, 0), of_run(copy)
    assert (first.step, last.step) == (0, 30)
    before = look(first, from_set(copy, 0)).layers[-1].evidence
    copy.checkpoint_path(0).write_bytes(copy.checkpoint_path(30).read_bytes() + b"")
    assert not np.array_equal(look(of_run(copy, 0), from_set(copy, 0)).layers[-1].evidence, before)


def test_a_checkpoint_that_is_gone(copy):
    path = copy.checkpoint_path(30)
    with pytest.raises(LabError, match="has no checkpoint at step 7; it has 0"):
        of_run(copy, 7)
    path.unlink()
    with pytest.raises(LabError, match="has no checkpoint at step 30"):
        of_run(copy, 30)


def test_a_checkpoint_that_is_gone_while_it_is_asked_for(copy, monkeypatch):
    path = copy.checkpoint_path(30)
    path.unlink()
    monkeypatch.setattr(Run, "checkpoint_path", lambda self, step=None: path)
    with pytest.raises(LabError, match="may have been removed meanwhile"):
        of_run(copy, 30)


def test_a_checkpoint_of_another_net(copy, runs):
    copy.checkpoint_path(30).write_bytes(runs["dense-10"].checkpoint_path().read_bytes())
    with pytest.raises(LabError, match="holds weights of another net"):
        of_run(copy, 30)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no weights file"),
        (b"", "holds no plain state dict"),
        (b"\x00" * 300, "holds no plain state dict"),
        ([1, 2], "holds no state dict"),
        ({}, "holds no state dict"),
        ({"a": torch.zeros(2)}, "holds weights of another net"),
        ({"0.weight": torch.zeros(2)}, r"\(2,\) for '0.weight'"),
        (nn.Linear(2, 2), "holds no plain state dict"),  # pickled code is not run
    ],
)
def test_weights_that_do_not_fit(own, tmp_path, content, sentence):
    path = tmp_path / "net.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(LabError, match=sentence) as caught:
        of_spec(f"{own}:Small", path)
    assert "\n" not in str(caught.value)


def test_damaged_safetensors(own, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"\x08" * 40)
    with pytest.raises(LabError, match="damaged"):
        of_spec(f"{own}:Small", tmp_path / "net.safetensors")
