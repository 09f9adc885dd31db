"""Do the runs of backbones say what was trained, and is their figure's table read off them right?"""

import math

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from analysis import backbones, segmenting
from analysis.publish import command
from labapp.imagesets import load_for
from labapp.imagesets.order import order, seed_of
from labapp.nets.foreign import foreign
from labapp.store import list_runs
from labapp.training.randomness import seed_all


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    small = {"train_images": 40, "test_images": 30, "batch_size": 8, "image_size": 32}
    root = tmp_path_factory.mktemp("backbones")
    for seed in (0, 1):
        for name in ("resnet34", "vgg16_bn"):
            segmenting.train(name, seed, root, steps=2, **small)
    return root


def test_the_recorded_gradients_are_those_of_the_net_the_images_and_the_order_that_the_run_names(archive):
    run = next(run for run in list_runs(archive) if run.id == "vgg16_bn.s1")
    experiment = run.experiment
    images = load_for(experiment, "train")
    seed_all(seed_of(1, "weights"))
    net = foreign(experiment.net, wanted={"num_classes": 10, "image_size": 32})
    indices = next(order(40, 8, 1))
    x, _ = images.batch(indices)
    maps = net.pyramid.body(x)
    tensors = maps | net.pyramid.of(maps)
    logits = net.head([tensors[level] for level in net.pyramid.levels], (32, 32))
    loss = F.cross_entropy(logits, images.label_maps(indices))
    assert run.steps()["loss"][0] == pytest.approx(loss.item(), rel=1e-5)
    layers = run.layers(steps=slice(0, 1)).set_index("layer")["output_grad_norm"]
    for name, gradient in zip(tensors, torch.autograd.grad(loss, [*tensors.values()]), strict=True):
        recorded = layers[run.environment["maps"][name]]
        assert recorded == pytest.approx(float(gradient.norm()), rel=1e-3), name  # float32, sums in two orders
    assert run.progress == (2, 2)
    trained = [p for name, p in net.named_parameters() if ".net." in name and ".net.head." not in name]
    assert run.environment["backbone"]["parameters"] == sum(p.numel() for p in trained)


def test_the_figure_is_drawn_from_its_table_which_holds_every_run(archive, tmp_path, capsys):
    assert command(backbones.PLATES, "?", ["--runs", str(archive), "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "backbones.csv")
    iou = table[table["what"] == "iou"]
    assert len(iou) == 4
    assert sorted(iou["net"].unique()) == ["resnet34", "vgg16_bn"]
    gradients = table[table["what"] == "gradient"]
    assert len(gradients) == 4 * 2 * 8  # runs, moments, maps and levels
    assert sorted(gradients["step"].unique()) == [0, 1]
    test = load_for(list_runs(archive)[0].experiment, "test")
    ground = float((test.label_maps(torch.arange(30)) == 0).double().mean())
    seen = len(set(test.labels.tolist())) + 1
    assert iou["constant"].tolist() == pytest.approx([ground / seen] * 4, rel=1e-5)
    capsys.readouterr()


def test_other_runs_and_other_images_are_one_sentence(record, tmp_path, capsys):
    record(tmp_path / "runs")
    assert command(backbones.PLATES, "?", ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path)]) == 2
    assert "`python -m analysis.segmenting` trains them" in capsys.readouterr().err
    with pytest.raises(segmenting.LabError, match="digits does not know where"):
        segmenting.train("resnet34", 0, tmp_path / "runs", steps=1, imageset="digits")
    assert len(list_runs(tmp_path / "runs")) == 1


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([0.30, 0.31, 0.29], "−20.0 [−22.5, −17.5] to resnet34: lower"),
        ([0.70, 0.71, 0.69], "+20.0 [+17.5, +22.5] to resnet34: higher"),
        ([0.40, 0.50, 0.60], "+0.0 [−24.8, +24.8] to resnet34: undecided"),
        ([0.10, 0.11], "undecided"),  # two seeds decide nothing
        ([0.10], "−40.0 (one seed) to resnet34: undecided"),
        ([], "no seed in common with resnet34"),
    ],
)
def test_a_difference_is_told_with_its_interval_and_its_verdict(others, words):
    rows = [("resnet34", seed, 0.5) for seed in range(3)] + [("x", seed, value) for seed, value in enumerate(others)]
    table = pd.DataFrame(rows, columns=["net", "seed", "value"]).assign(what="iou")
    judged = backbones.over_base(table, "x")
    assert backbones.in_words(judged).endswith(words)
    assert judged.seeds == len(others)
    assert math.isnan(judged.value) == (not others)
