"""Real small nets of every family, probed: numbers, traces, comparisons, and nets that cannot be measured."""

import copy
import random

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from labapp.config import Experiment, LabError
from labapp.diagnostics.by_depth import by_depth
from labapp.diagnostics.feature_reuse import feature_reuse
from labapp.diagnostics.lesions import lesions
from labapp.diagnostics.measuring.batch_statistics import BATCH, HELD, RUNNING, calibrated
from labapp.diagnostics.measuring.features import collect, last_features
from labapp.diagnostics.neural_collapse import neural_collapse
from labapp.probes import explanations, measure
from labapp.probes.catalogue import CATALOGUE, against_name, against_of
from labapp.probes.given import CALIBRATION, probe_images
from labapp.probes.subjects import as_stored
from labapp.store import Run
from tests.probes.probing import NETS, all_of, with_weights

ENOUGH = [net if net == "dense" else pytest.param(net, marks=pytest.mark.long) for net in NETS]


def test_tables_hold_what_the_diagnostics_say(probed_nets):
    run = Run(probed_nets / "dense")
    net = explanations.of_run(run, 12).net
    weights = run.probe("feature_reuse", 12).query("weighting == 'weights'")
    assert weights["value"].tolist() == feature_reuse(net)["value"].tolist()
    batch = probe_images(run.experiment, "test", 48)
    direct = lesions(net, batch.images, batch.labels)
    stored = run.probe("lesions", 12)
    np.testing.assert_allclose(stored["loss"], direct["loss"], rtol=1e-12)
    assert stored["chance"].unique().tolist() == [0.1]
    assert stored.query("lesion == 'delete'")["position"].tolist() == list(range(1, 10))


def test_all_layers_but_blocks_add_up_to_the_net(probed_nets):
    for net in NETS:
        run = Run(probed_nets / net)
        table = run.probe("architecture", 0)
        parameters = sum(p.numel() for p in explanations.of_run(run).net.parameters())
        assert table.query("kind != 'block'")["parameters"].sum() == parameters


def test_equations_four_and_five_hold_to_rounding(probed_nets):
    table = Run(probed_nets / "residual").probe("gradient_split", 12)
    assert table["forward_error"].max() < 1e-4
    assert table["backward_error"].max() < 1e-4


def test_every_table_says_which_statistics_batch_norms_used(probed_nets):
    run = Run(probed_nets / "residual")
    for name, spec in CATALOGUE.items():
        if name in run.probes() and spec.images:
            before = BATCH if name == "path_gradients" else HELD
            for step, expected in ((0, before), (12, RUNNING)):
                assert set(run.probe(name, step)["batch_norm"]) == {expected}, (name, step)


def test_an_untrained_net_is_asked_with_the_statistics_of_probe_images(probed_nets):
    """With the first running statistics, 0 and 1, a batch norm would do nothing at all."""
    run = Run(probed_nets / "original")
    net = as_stored(run, 0).net
    whole = probe_images(run.experiment, "test", 48)
    stored = run.probe("by_depth", 0).set_index(["layer", "quantity"])["value"]
    bare = by_depth(net, whole.images, whole.labels, quantities=["participation_ratio"])
    held = copy.deepcopy(net).train()
    for module in held.modules():
        module.momentum = 1.0
    with torch.no_grad():
        held(whole.images)  # torch's own running statistics, whose variance is that of a sample: n / (n − 1) times ours
    own = by_depth(held, whole.images, whole.labels, quantities=["participation_ratio"])
    layer = own["layer"].iloc[-1]
    wanted = stored[layer, "participation_ratio"]
    assert own["value"].iloc[-1] == pytest.approx(wanted, rel=1e-2)
    assert bare["value"].iloc[-1] != pytest.approx(wanted, rel=1e-2)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in load_file(run.checkpoint_path(0)).items())


def test_probe_images_are_the_same_for_every_run_and_come_from_all_of_the_set():
    first = probe_images(Experiment(family="plain", imageset="digits"), "test", 40)
    second = probe_images(Experiment(family="dense", imageset="digits", seed=3), "test", 60).first(40)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert len(first.labels.unique()) == 10


# nothing is left behind


@pytest.mark.parametrize("net", ENOUGH)
def test_nets_and_random_numbers_are_as_before(net, digit_nets):
    run = Run(digit_nets / net)
    model = explanations.of_run(run, 12).net
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    outcomes = all_of(run, (), images=16)
    assert sum(not outcome.reason for outcome in outcomes) >= 14
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_twice_is_the_same(probed_nets, digit_nets):
    names = ["similarity", "path_gradients", "permutations", "singular_values", "level_gradients", "by_depth"]
    run = Run(digit_nets / "residual")
    all_of(run, names, images=48)
    for name in names:
        pd.testing.assert_frame_equal(run.probe(name, 12), Run(probed_nets / "residual").probe(name, 12), rtol=1e-5)


# two runs


def test_layers_of_two_runs_are_compared(digit_nets):
    run, other = Run(digit_nets / "residual"), Run(digit_nets / "plain")
    (outcome,) = measure.against(run, other, images=64)
    name = against_name("plain", 12)
    assert outcome.task.name == name
    assert against_of(name) == ("plain", 12)
    table = run.probe(name, 12)
    assert len(table) == 6 * 6
    assert set(table["other_run"]) == {"plain"}
    assert table["cka"].between(-1, 1.0001).all()


def test_a_net_with_itself_is_one_and_with_its_beginning_is_not(digit_nets):
    run = Run(digit_nets / "plain")
    list(measure.against(run, run, images=64))
    same = run.probe(against_name("plain", 12), 12)
    np.testing.assert_allclose(same.query("layer == other_layer")["cka"], 1, atol=1e-6)
    list(measure.against(run, run, other_checkpoint=0, images=64))
    assert run.probe(against_name("plain", 0), 12).query("layer == other_layer")["cka"].max() < 0.9999


def test_runs_on_other_images_are_refused(digit_nets, tmp_path):
    from labapp.training.loop import train

    small = {"depth": 8, "width": 4, "steps": 1, "batch_size": 16, "device": "cpu"}
    other = train(Experiment(**small, imageset="digits", image_size=20), tmp_path / "runs")
    with pytest.raises(LabError, match=r"different images \(image size None and 20\)"):
        list(measure.against(Run(digit_nets / "plain"), other))
    third = train(Experiment(**small, imageset="cluttered-digits", train_images=64, test_images=40), tmp_path / "runs")
    with pytest.raises(LabError, match="imageset digits and cluttered-digits"):
        list(measure.against(Run(digit_nets / "plain"), third))


# bad input


def test_too_few_images_are_a_sentence_or_nan(digit_nets):
    run = Run(digit_nets / "plain")
    found = {outcome.task.name: outcome for outcome in all_of(run, ["similarity", "by_depth", "shattering"], images=1)}
    assert "1 images say nothing about similarity" in found["similarity"].reason
    assert "2 images at least" in found["shattering"].reason
    table = run.probe("by_depth", 12)
    assert table["value"].isna().all()
    assert (table["note"] != "").all()


def test_silent_and_constant_layers_are_nan_with_a_reason(digit_nets):
    run = Run(digit_nets / "plain")

    def silence(state):
        for name in state:
            if name.startswith("stage2.block1.") and name.endswith((".weight", ".bias")):
                state[name].zero_()

    with_weights(run, silence)
    all_of(run, ["similarity", "by_depth", "neural_collapse", "shattering"], images=48)
    depth = run.probe("by_depth", 12)
    dead = depth[depth["layer"].str.startswith("stage2.block1")]
    assert len(dead)
    assert dead["value"].isna().all()
    assert dead["note"].str.contains("silent|same features").all()
    cka = run.probe("similarity", 12)
    pairs = cka[cka["layer"].str.startswith("stage2.block1")]
    assert pairs["cka"].isna().all()
    assert pairs["note"].str.contains("all images have the same features").all()
    assert cka[cka["layer"].str.startswith("stem") & cka["other_layer"].str.startswith("stem")]["cka"].notna().all()


@pytest.mark.parametrize("net", ENOUGH)
def test_weights_that_are_not_finite_give_no_number(net, digit_nets):
    run = Run(digit_nets / net)

    first = next(name for name, _ in explanations.of_run(run, 12).net.named_parameters())
    with_weights(run, lambda state: state[first].fill_(float("nan")))
    outcomes = {outcome.task.name: outcome for outcome in all_of(run, (), images=32)}
    asked_of_the_net = {name for name, quantity in CATALOGUE.items() if quantity.when != "plan"} & set(outcomes)
    for name in asked_of_the_net:
        if outcomes[name].reason:
            assert outcomes[name].reason.count("\n") == 0
            continue
        table = run.probe(name, 12)
        value = {"similarity": "cka", "spatial_order": "output_change", "level_gradients": "gradient_norm"}.get(
            name, "value"
        )
        if name == "map_scores":  # what an even map scores is of the images, and fresh weights are finite
            table = table[~table["net"].isin(["uniform", "untrained"])].rename(columns={"mean": "value"})
        assert table[value].isna().all(), name


def test_collapse_is_read_on_training_images_and_on_test_ones_beside_them(probed_nets):
    run = Run(probed_nets / "plain")
    table = run.probe("neural_collapse", 12).set_index("quantity")
    net = explanations.of_run(run, 12).net
    for split, ending in (("train", ""), ("test", "_test")):
        batch = probe_images(run.experiment, split, 48)
        features, weight, outputs = last_features(net, batch.images)
        for name, measured in neural_collapse(features, batch.labels, weight, outputs).items():
            assert table.loc[name + ending, "split"] == split
            assert table.loc[name + ending, "value"] == pytest.approx(measured.value, nan_ok=True)
    layers = run.probe("by_depth", 12)
    assert set(layers["quantity"]) >= {"nc1", "nc1_test"}
    last = layers[layers["layer"] == layers["layer"].iloc[-1]].set_index("quantity")["value"]
    learnt = probe_images(run.experiment, "train", 48)
    features = collect(net, learnt.images).by_layer[layers["layer"].iloc[-1]]
    assert last["nc1"] == pytest.approx(neural_collapse(features, learnt.labels)["nc1"].value)


def test_nets_that_have_learnt_nothing_stand_beside_the_cells(probed_nets):
    run = Run(probed_nets / "dense")
    first, last = (run.probe("feature_reuse", step) for step in (0, 12))
    for weighting, own in first.groupby("weighting"):
        again = last[last["weighting"] == weighting]
        assert again["null"].tolist() == pytest.approx(own["null"].tolist(), nan_ok=True)  # the same at any checkpoint
        assert own["null"].notna().all() == (weighting != "ablation")
    weights = first[first["weighting"] == "weights"]
    share = weights["value"] / weights.groupby(["block", "target"])["value"].transform("mean")
    several = weights.groupby(["block", "target"])["source"].transform("size") > 1
    away = ((share - weights["null"]) / weights["null_deviation"])[several]
    # the run's own first weights are a further draw: Student's t with nine degrees of freedom has a deviation of 1.13
    assert np.sqrt((away**2).mean()) == pytest.approx(1.13 * np.sqrt(1.1), rel=0.25)
    verdicts = run.probe("reuse_observations", 0)
    at_start = verdicts[verdicts["weighting"] == "weights"]
    assert not at_start["seen"].fillna(False).any()  # nothing is seen in a net that has learnt nothing
    assert run.probe("feature_reuse", 12).query("weighting == 'weights'")["null"].notna().all()
    assert Run(probed_nets / "plain").probe("feature_reuse", 12)["null"].isna().all()


def test_a_net_is_shown_before_training_as_it_is_measured(probed_nets):
    """Grad-CAM and the random net beside it: with the statistics of probe images, not with 0 and 1."""
    run = Run(probed_nets / "plain")
    images = probe_images(run.experiment, "test", CALIBRATION).images
    shown, stored = explanations.of_run(run, 0), as_stored(run, 0)
    with calibrated(stored.net, images), torch.no_grad():
        expected = stored.net(images)
    with torch.no_grad():
        assert torch.equal(shown.net(images), expected)
        assert not torch.allclose(stored.net(images), expected)
    assert explanations.of_run(run, 0) is shown  # made once
    assert explanations.of_run(run, 12) is as_stored(run, 12)
    assert explanations.untrained_of(explanations.of_run(run), run) is shown


def test_a_run_whose_images_are_gone_is_shown_as_it_is_stored(probed_nets, monkeypatch):
    def gone(*_):
        raise LabError("no such images here")

    run = Run(probed_nets / "dense")
    monkeypatch.setattr("labapp.probes.subjects.probe_images", gone)
    assert explanations.of_run(run, 0) is as_stored(run, 0)
