"""Does the command say what stands in the way of a recorder, in words and with exit codes?"""

import pytest

from labapp.commands.cli import main


def test_torchvision_resnet(capsys):
    assert main(["doctor", "torchvision:resnet18", "--image-size", "64", "--batch-size", "4"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "8 of 8 blocks into branch and shortcut" in said
    assert "in place" in said
    assert "called several times" in said
    assert "× a bare one" in said


def test_a_net_of_the_lab(capsys):
    assert main(["doctor", "dense", "--image-size", "16", "--batch-size", "2", "--layers", "conv"]) == 0
    said = capsys.readouterr().out
    assert "nothing stands in the way" in said
    assert "40 conv" not in said  # 39 convolutions and a linear layer, of which convolutions were asked for
    assert "39 conv" in said


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
