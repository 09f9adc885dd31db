"""The door to torch: nets of all kinds, pictures of all kinds, and what comes back."""

import threading

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from labapp import palette
from labapp.config import LabError
from labapp.diagnostics.attributions import METHODS
from labapp.imagesets import load_for
from labapp.probes import explanations
from labapp.probes.explanations import from_file, from_set, look, of_run, of_spec
from labapp.store import Run, list_runs

OWN = """
import torch
from torch import nn

class Small(nn.Sequential):
    def __init__(self):
        convolution, pool = nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1)
        super().__init__(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 5))

class Spoken(Small):
    def forward(self, x):
        return {"out": super().forward(x)}
"""


@pytest.fixture
def runs(trained):
    return {run.name: run for run in list_runs(trained)}


@pytest.fixture
def run(runs):
    return runs["residual-8"]


@pytest.fixture
def copy(run, tmp_path):
    """A copy of a run, to be damaged."""
    import shutil

    return Run(shutil.copytree(run.path, tmp_path / run.id))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own, in the folder where the command is typed, under a name of its own."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return name


def weights_of(module):
    namespace = {}
    exec(OWN, namespace)
    return namespace[module]().state_dict()


# nets


@pytest.mark.parametrize("family", ["plain-8", "residual-8", "dense-10", "vgg-11"])
def test_a_look_has_a_map_for_every_resolution_with_extent(runs, family):
    found = look(of_run(runs[family]), from_set(runs[family], 0))
    sizes = [layer.evidence.shape for layer in found.stages]
    assert sizes[:3] == [(24, 24), (12, 12), (6, 6)]
    assert [layer.stage for layer in found.stages] == list(range(1, len(sizes) + 1))
    assert all(layer.over_image.shape == (24, 24) for layer in found.layers)
    assert all(layer.evidence.dtype == np.float32 for layer in found.layers)
    assert found.at_depths(2)[-1] is found.layers[-1]


def test_the_last_map_is_captums(run):
    subject, sample = of_run(run), from_set(run, 5)
    found = look(subject, sample, target="true")
    last = found.layers[-1]
    oracle = LayerGradCam(subject.net, subject.net.get_submodule(last.path))
    theirs = oracle.attribute(subject.read(sample.picture), sample.label)[0, 0].detach().numpy()
    np.testing.assert_allclose(last.evidence, theirs, rtol=1e-4, atol=1e-6)  # float32, summed in another order


def test_a_test_image_is_read_as_in_training(run):
    """Through the picture that is shown, bytes and back: the same numbers."""
    images = load_for(run.experiment, "test")
    read = of_run(run).read(from_set(run, 7).picture)
    torch.testing.assert_close(read[0], images[7][0], rtol=0, atol=1e-6)


def test_energy_is_the_share_inside_the_mask(run):
    sample = from_set(run, 2)
    for layer in look(of_run(run), sample).layers:
        if layer.evidence.shape == sample.mask.shape:
            positive = np.maximum(layer.evidence.astype(float), 0)
            assert layer.energy == pytest.approx(positive[sample.mask].sum() / positive.sum(), nan_ok=True, rel=1e-5)


def test_a_checkpoint_is_loaded_once_and_anew_when_it_changes(copy):
    assert of_run(copy) is of_run(copy)
    first, last = of_run(copy, 0), of_run(copy)
    assert (first.step, last.step) == (0, 30)
    before = look(first, from_set(copy, 0)).layers[-1].evidence
    copy.checkpoint_path(0).write_bytes(copy.checkpoint_path(30).read_bytes() + b"")
    assert not np.array_equal(look(of_run(copy, 0), from_set(copy, 0)).layers[-1].evidence, before)


def test_nothing_is_left_behind(run):
    subject = of_run(run)
    before = {name: value.clone() for name, value in subject.net.state_dict().items()}
    random = torch.get_rng_state()
    look(subject, from_set(run, 0), "guided-gradcam")
    explanations.survey(subject, run, count=8)
    explanations.check_sanity(subject, run, count=4, checks=2)
    assert all(torch.equal(value, before[name]) for name, value in subject.net.state_dict().items())
    assert all(parameter.grad is None for parameter in subject.net.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in subject.net.modules())
    assert not any(module.training for module in subject.net.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_questions_from_several_threads_get_their_own_answers(runs):
    nets = [of_run(run) for run in runs.values()]
    samples = [from_set(run, 3) for run in runs.values()]
    alone = [look(*pair).layers[-1].evidence for pair in zip(nets, samples, strict=True)]
    together = {}

    def ask(at):
        for _ in range(3):
            together[at] = look(nets[at], samples[at]).layers[-1].evidence

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(nets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at, evidence in enumerate(alone):
        np.testing.assert_array_equal(together[at], evidence)


def test_every_method_has_a_name_for_the_page():
    assert tuple(palette.METHODS) == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers(run, method):
    found = look(of_run(run), from_set(run, 1), method)
    assert all(np.isfinite(layer.evidence).all() for layer in found.layers)


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


# mistakes, each one sentence


def test_a_net_that_returns_a_dictionary(own, picture_file):
    with pytest.warns(UserWarning, match="as its factory made it"):
        subject = of_spec(f"{own}:Spoken", image_size=16)
    with pytest.raises(LabError, match="returns a dict"):
        look(subject, from_file(picture_file))


def test_a_layer_without_spatial_extent(run):
    with pytest.raises(LabError, match=r"'head.classifier' has no map to show"):
        look(of_run(run), from_set(run, 0), layers=["head.classifier"])


def test_a_layer_that_is_not_there(run):
    with pytest.raises(LabError, match=r"did you mean 'stage3.block1'"):
        look(of_run(run), from_set(run, 0), layers=["stage3.blok1"])


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (10, "class 10 is out of range: this net has 10 classes"),
        ("-1", "class -1 is out of range"),
        ("trew", "did you mean 'true'"),
    ],
)
def test_a_class_that_is_not_there(run, target, sentence):
    with pytest.raises(LabError, match=sentence):
        look(of_run(run), from_set(run, 0), target=target)


def test_the_true_class_of_a_users_picture_is_not_known(run, picture_file):
    with pytest.raises(LabError, match=r"true class of picture\.png is not known"):
        look(of_run(run), from_file(picture_file), target="true")


@pytest.mark.parametrize("index", [-1, 120])
def test_an_image_that_is_not_there(run, index):
    with pytest.raises(LabError, match="has 120, from 0 on"):
        from_set(run, index)


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


# pictures


@pytest.fixture
def picture_file(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("kind", ["CMYK", "I;16", "animation", "L", "RGBA", "P"])
def test_pictures_of_all_kinds_can_be_looked_at(run, tmp_path, kind):
    grey = np.linspace(0, 65535, 30 * 30).reshape(30, 30).astype(np.uint16)
    small = Image.fromarray((grey // 257).astype(np.uint8))
    path = tmp_path / {"CMYK": "a.jpg", "animation": "a.gif"}.get(kind, "a.png")
    if kind == "I;16":
        Image.fromarray(grey).save(path)
    elif kind == "animation":
        small.save(path, save_all=True, append_images=[small.rotate(90)])
    else:
        small.convert(kind).save(path)
    found = look(of_run(run), from_file(path))
    assert np.isfinite(found.layers[-1].evidence).all()
    assert np.isnan(found.layers[-1].energy)


def test_a_large_picture_is_kept_small(tmp_path):
    Image.new("RGB", (3000, 1200)).save(tmp_path / "large.png")
    assert from_file(tmp_path / "large.png").picture.shape == (512, 512, 3)


# surveys


@pytest.fixture
def both(run):
    net = of_run(run)
    return explanations.survey(net, run, count=40), explanations.survey(
        explanations.untrained_of(net, run), run, count=40
    )


def test_a_survey_is_the_looks_of_its_images(run, both):
    """In batches or one by one, the same."""
    for index in (0, 39):
        for layer in look(of_run(run), from_set(run, index), target="true").stages:
            np.testing.assert_allclose(both[0].maps[layer.path][index], layer.evidence, rtol=1e-3, atol=1e-5)
            assert both[0].energy[layer.path][index] == pytest.approx(layer.energy, nan_ok=True, abs=1e-4)


def test_the_energy_table_sets_trained_beside_untrained(run, both):
    table = explanations.energy_table(*both)
    cell = {(row["layer"], row["measure"], row["net"]): row for row in table}
    last = both[0].last
    ours, theirs = both[0].energy[last], both[1].energy[last]
    assert cell[last, "energy", "trained"]["mean"] == pytest.approx(np.nanmean(ours), rel=1e-5)
    assert cell[last, "energy", "difference"]["mean"] == pytest.approx(np.nanmean(ours - theirs), rel=1e-4, abs=1e-6)
    assert cell[last, "energy", "uniform"]["mean"] == pytest.approx(both[0].share.mean(), rel=1e-5)
    assert all(not row["low"] > row["mean"] and not row["high"] < row["mean"] for row in table)
    assert both[1].step == 0


def test_progress_is_told(run):
    told = []
    explanations.survey(of_run(run), run, count=70, tell=lambda share, what: told.append(share))
    assert told == [0.0, 32 / 70, 64 / 70]


def test_a_survey_needs_an_image(run):
    with pytest.raises(LabError, match="at least 1 image"):
        explanations.survey(of_run(run), run, count=0)


def test_a_net_agrees_with_itself_and_drifts_to_where_it_ends(run, both):
    rows = explanations.agreement_of([both[0], both[0].named("again")])
    assert {row["measure"]: row["mean"] for row in rows} == pytest.approx({"rank correlation": 1.0, "overlap": 1.0})
    looks = [look(of_run(run, step), from_set(run, 0)) for step in run.checkpoints()]
    formed = [row for row in explanations.drift_of(looks) if row["measure"] == "formed"]
    assert [row["step"] for row in formed] == run.checkpoints()
    assert formed[-1]["mean"] == pytest.approx(1.0)


def test_the_sanity_check_ends_in_a_verdict(run):
    verdict, rows = explanations.check_sanity(of_run(run), run, count=8, checks=3)
    assert verdict in {"depends on the weights", "does not depend on the weights", "undecided"}
    assert {row["measure"] for row in rows} == {"signed", "absolute", "ssim"}
    assert len(rows) == 9


def test_faithfulness_scores_every_layer(run):
    net, sample = of_run(run), from_set(run, 0)
    found = look(net, sample)
    rows = explanations.faithfulness(net, sample, found, found.stages)
    assert [row["layer"] for row in rows] == [layer.path for layer in found.stages]
    assert all(0 <= row["deletion"] <= 1 and 0 <= row["insertion"] <= 1 for row in rows)
