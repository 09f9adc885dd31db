"""Are curves named and chosen so that a dashboard can show them, and is every number of a run one of their points?"""

import math

import numpy as np
import pytest

from labapp.config import LabError
from labapp.exports import chosen
from labapp.exports.chosen import CurveChoice
from labapp.exports.naming import LayerNames, clean, of_layer
from labapp.exports.points import Curves


def test_names_sort_by_depth_and_no_two_layers_share_one():
    names = LayerNames()
    layers = [(f"l{99 - depth}", depth) for depth in range(1, 100)]
    made = [names(*layer) for layer in layers]
    assert sorted(made) == made
    assert made[0] == "001.l98"
    same = [names("a b", 5), names("a_b", 5), names("a?b", 5), names("a b", 5)]
    assert same == ["005.a_b", "005.a_b.2", "005.a_b.3", "005.a_b"]
    assert LayerNames(4)("x", 12) == "0012.x"


def test_names_keep_to_what_every_tool_takes():
    assert clean("block.conv#2") == "block.conv:2"
    assert clean("größe|x\n") == "gr__e_x_"
    assert len(of_layer("gradient_signal_to_noise", LayerNames()("x" * 1000, 1))) <= 250  # MLflow's limit
    assert of_layer("output_grad_norm", "001.a") == "gradients/output_grad_norm/001.a"
    assert of_layer("update_ratio", "001.a") == "weights/update_ratio/001.a"
    assert of_layer("dead_channels", "001.a") == "activations/dead_channels/001.a"


def shown(wanted, *rows, **columns):
    """Points of rows (step, layer, kind, depth, norm)."""
    curves = Curves(wanted)
    names = ("step", "layer", "kind", "depth", "output_grad_norm")
    table = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return curves, list(curves.points("layers", table | columns))


def test_a_curve_begins_with_its_first_number_and_keeps_what_is_none():
    rows = [(step, "a", "conv", 1, value) for step, value in enumerate((math.nan, 1.0, math.inf, math.nan))]
    curves, points = shown(CurveChoice(), *rows, update_ratio=[math.nan] * 4)
    name = "gradients/output_grad_norm/001.a"
    assert [point.scalars for point in points[:3]] == [{}, {name: 1.0}, {name: math.inf}]
    assert math.isnan(points[3].scalars[name])
    assert curves.left_out() == [
        "1 curve without a single number left out",
        "1 NaN in front of a curve's first number left out",
    ]


def test_an_evaluation_of_the_training_images_is_no_loss_of_a_batch():
    curves = Curves(CurveChoice())
    list(curves.points("steps", {"step": [0], "loss": [1.0]}))
    list(curves.points("evals", {"step": [0, 0], "split": ["test", "train"], "loss": [2.0, 3.0]}))
    assert curves.names == {"train/loss", "test/loss", "train_eval/loss"}


def test_layers_without_weights_and_norms_come_when_asked_for():
    rows = [(0, path, kind, at, 1.0) for at, (path, kind) in enumerate([("c", "conv"), ("n", "norm"), ("b", "block")])]
    name = "gradients/output_grad_norm/00"
    assert set(shown(CurveChoice(), *rows)[0].names) == {f"{name}0.c"}
    assert set(shown(CurveChoice.of("all", "all"), *rows)[0].names) == {f"{name}0.c", f"{name}1.n", f"{name}2.b"}
    assert set(shown(CurveChoice.of(layers="norm,b*"), *rows)[0].names) == {f"{name}1.n", f"{name}2.b"}
    assert shown(CurveChoice.of("update_ratio"), *rows)[0].names == set()


def test_a_deep_net_is_thinned_evenly_unless_layers_are_asked_for():
    rows = [(0, f"l{at}", "conv", at, 1.0) for at in range(500)]
    curves, _ = shown(CurveChoice(), *rows)
    kept = sorted(int(name.split(".l")[1]) for name in curves.names)
    assert len(kept) == chosen.MOST // 4  # four quantities of each
    assert (kept[0], kept[-1]) == (0, 499)
    assert set(np.diff(kept)) <= {5, 6}
    assert curves.left_out()[0] == "100 of 500 layers are shown, at even distances; --layers all shows every one"
    assert len(shown(CurveChoice.of(layers="all"), *rows)[0].names) == 500


def test_a_layer_that_is_called_late_has_curves_too():
    curves = Curves(CurveChoice())
    for step, layers in ((0, ["a"]), (1, ["a", "b"])):
        count = len(layers)
        table = {"step": [step] * count, "layer": layers, "kind": ["conv"] * count, "depth": list(range(count))}
        list(curves.points("layers", table | {"output_grad_norm": [1.0] * count}))
    assert curves.names == {"gradients/output_grad_norm/000.a", "gradients/output_grad_norm/001.b"}


@pytest.mark.parametrize(
    ("quantities", "sentence"),
    [
        ("output_grad_nrom", r"'output_grad_nrom' \(did you mean 'output_grad_norm'\?\)"),
        ("zzz", "there are weight_norm"),
    ],
)
def test_a_quantity_that_is_none(quantities, sentence):
    with pytest.raises(LabError, match=sentence):
        CurveChoice.of(quantities)


def test_layers_that_are_none():
    found, said = CurveChoice.of(layers="cnov").among([("a", "conv", 1)])
    assert (found, said) == ([], "no layer is cnov (did you mean 'conv'?)")
