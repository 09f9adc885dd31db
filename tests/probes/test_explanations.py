"""What one net makes of one image: maps, scores and mistakes."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image

from labapp import palette
from labapp.config import LabError
from labapp.diagnostics.attributions import METHODS
from labapp.imagesets import load_for
from labapp.probes import explanations
from labapp.probes.explanations import from_file, from_set, look, of_run, of_spec


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


@pytest.mark.long
def test_the_first_map_asks_for_no_library_that_it_does_not_need():
    """Each takes 30 to 190 MB of the app's memory and up to two seconds of the first click."""
    code = "import sys; from labapp.probes import explanations; from labapp.imagesets.clutter import digits; "
    code += "digits('test'); print(*({'captum', 'sklearn', 'torchvision', 'triton', 'scipy.stats'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
