"""Does the command say what stands in the way of a recorder, in words and with exit codes?"""

import sys
import types

import pytest
import torch
from torch import nn

from labapp import palette
from labapp.commands.cli import main
from labapp.commands.doctor import harmless
from labapp.recording import Finding, kernels
from labapp.recording.places import KINDS


def words(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_torchvision_resnet(capsys):
    assert main(["doctor", "torchvision:resnet18", "--image-size", "64", "--batch-size", "4"]) == 0
    said = words(capsys)
    assert "8 of 8 blocks into branch and shortcut" in said
    assert "46 places: 20 convolutions, 17 normalisations, 8 blocks, 1 linear layer" in said
    assert "in place relu, layer*.*.relu (8) harmless" in said
    assert "called several times" in said
    assert "layer*.0.downsample.1.weight/bias (3) a norm" in said
    assert "× a bare one" in said
    assert "nothing stands in the way" not in said  # three norms have no row


def test_a_net_of_the_lab(capsys):
    assert main(["doctor", "dense", "--image-size", "16", "--batch-size", "2", "--layers", "conv"]) == 0
    said = capsys.readouterr().out
    assert "nothing stands in the way" in said
    assert "40 conv" not in said  # 39 convolutions and a linear layer, of which convolutions were asked for
    assert "39 conv" in said


def test_the_compiled_pass_is_timed_or_its_absence_explained(capsys, monkeypatch):
    small = ["doctor", "residual", "--image-size", "8", "--batch-size", "2"]
    if kernels.library()[0]:
        assert main(small) == 0
        assert "× the time of torch.dot (" in words(capsys)
    monkeypatch.setattr(kernels, "library", lambda: (None, "no C compiler was found"))
    assert main(small) == 0
    assert "compiled pass none (no C compiler was found): torch reduces" in words(capsys)


@pytest.mark.parametrize("channels", [1, 4])
def test_the_batch_has_the_channels_of_the_first_layer(tmp_path, monkeypatch, capsys, channels):
    name = f"own_{tmp_path.name}"
    layers = f"nn.Conv2d({channels}, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()"
    (tmp_path / f"{name}.py").write_text(f"from torch import nn\ndef make():\n    return nn.Sequential({layers})\n")
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", f"{name}:make", "--image-size", "8", "--batch-size", "2", "--num-classes", "4"]) == 0
    assert f"on this batch of 2 × {channels} × 8 × 8" in words(capsys)


def test_every_kind_has_a_word():
    assert set(palette.KINDS) == set(KINDS)


def test_names_that_differ_in_numbers_are_one():
    def named(*names, what="in place"):
        return Finding(what, names, "").where

    assert named("relu") == "relu"
    assert named("a.0.c", "a.1.c", "b.1.c2") == "a.*.c (2), b.1.c2"
    assert named("a1.b2", "a1.b3", "a1.b3.c") == "a1.b* (2), a1.b3.c"
    assert named("a", "b", "c", "d", "e.1", "e.2", "f") == "a, b, c, d and 3 more"
    assert named("n.1.weight", "n.1.bias", "n.2.weight", "n.2.bias", "token", what="no row") == (
        "n.*.weight/bias (2), token"
    )


def test_a_gap_is_told_from_what_is_as_it_should_be():
    assert harmless(Finding("in place", ("a",), "harmless: …"))
    assert harmless(Finding("no row", ("a",), "not among the layers asked for"))
    assert not harmless(Finding("no row", ("a",), "its module gave no output and holds no weight"))
    assert not harmless(Finding("no gradient came", ("a",), "…"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["torchvision:resnet81"], "did you mean"),
        (["rezidual"], "names no net"),
        (["residual", "--layers", "stem.conf"], "stem.conv"),
        (["residual", "--image-size", "0"], "at least 1"),
        (["residual", "--image-size", "2"], "too small"),
        (["torchvision:vgg11", "--image-size", "8"], "does not train on a batch"),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, capsys):
    assert main(["doctor", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo):
        raise TypeError("two\nlines")


class NoBackward(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 10, 3)

    def forward(self, x):
        out = super().forward(x)
        out.register_hook(lambda _: 1 / 0)
        return out


class NotFinite(nn.Conv2d):
    def __init__(self, factor):
        super().__init__(3, 10, 3)
        self.factor = factor

    def forward(self, x):
        return super().forward(x) * self.factor


def on_meta():
    with torch.device("meta"):
        return nn.Linear(3, 2)


def failing(where):
    def refuse(*args):
        raise RuntimeError(f"no {where}\nand more")

    net = nn.Linear(3, 2)
    net.named_parameters = refuse
    return net


@pytest.mark.parametrize(("factor", "broken"), [(float("nan"), True), (1.0, False), (float("inf"), True)])
def test_what_is_not_finite_stands_in_the_way(factor, broken, capsys, monkeypatch):
    module = types.ModuleType("odd_nets")
    module.make = lambda: NotFinite(factor)
    monkeypatch.setitem(sys.modules, "odd_nets", module)
    assert main(["doctor", "odd_nets:make", "--image-size", "3", "--batch-size", "2"]) == 0
    said = words(capsys)
    assert ("nothing stands in the way" in said) == (not broken)
    assert ("not finite" in said) == broken
    assert ("nothing to learn from" in said) == broken


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: nn.LazyLinear(2), "lazy and has no shape"),
        (on_meta, "on the meta device"),
        (nn.ReLU, "no parameters"),
        (lambda: nn.Linear(3, 2).requires_grad_(False), "unfreeze some"),
        (lambda: Uncopied(3, 2), "cannot be copied (two lines)"),
        (lambda: nn.Bilinear(3, 3, 2), "does not train on a batch"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(5, 2, 1)), "so the size is not the matter"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 10)), "it takes images of 64 × 64"),
        (lambda: nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(0), nn.Linear(18, 3)), "its output has shape (3,)"),
        (NoBackward, "its forward pass works, its backward does not"),
        (lambda: failing("names"), "cannot be examined: RuntimeError: no names"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_odd_nets_are_one_sentence(make, sentence, capsys, monkeypatch):
    module = types.ModuleType("odd_nets")
    module.make = make
    monkeypatch.setitem(sys.modules, "odd_nets", module)
    assert main(["doctor", "odd_nets:make", "--image-size", "3", "--batch-size", "2"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
