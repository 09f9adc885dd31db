"""Real small nets of every family, probed: the tables that are promised, and one sentence where there can be none."""

import inspect
import random
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from labapp.commands.cli import main
from labapp.config import FAMILIES, Experiment, LabError
from labapp.diagnostics.feature_reuse import feature_reuse
from labapp.diagnostics.lesions import lesions
from labapp.probes import explanations, measure
from labapp.probes.catalogue import CATALOGUE, against_name, against_of, chosen, command, why_not
from labapp.probes.given import probe_images
from labapp.store import Run

LAYER = {"layer", "kind", "depth", "relative_depth", "stage", "block"}
PROMISED = {  # of each table
    "architecture": {"layer", "kind", "depth", "stage", "shape", "parameters", "multiply_adds", "receptive_field"},
    "stages": {"stage", "channels", "height", "width", "stride"},
    "growth": {"part", "block", "channels_in", "channels_new", "channels", "compression"},
    "stacks": {"stack", "layers", "kernel", "receptive_field", "weights", "activations"},
    "accepted_sizes": {"size", "accepted", "positions", "note"},
    "feature_reuse": {"weighting", "block", "source", "target", "kind", "value", "images"},
    "reuse_observations": {"weighting", "observation", "claim", "number", "threshold", "seen", "untrained", "reason"},
    "similarity": LAYER | {f"other_{name}" for name in LAYER} | {"cka", "low", "high", "images", "batches", "note"},
    "by_depth": LAYER | {"features", "images", "quantity", "value", "low", "high", "note"},
    "neural_collapse": {"quantity", "value", "note", "images", "split"},
    "shattering": {"layer", "kind", "depth", "relative_depth", "cosine", "examples", "reason", "batch_statistics"},
    "autocorrelation": {"layer", "depth", "lag", "distance", "autocorrelation", "points", "batch_statistics"},
    "path_gradients": {"length", "paths", "probability", "gradient_norm", "weight", "effective_length", "decay"},
    "lesions": {"lesion", "block", "position", "loss", "accuracy", "loss_change", "accuracy_change", "chance"},
    "permutations": {"swaps", "repeat", "kendall_tau", "loss", "accuracy", "chance"},
    "gradient_split": {"stage", "block", "position", "example", "shortcut_share", "forward_error", "backward_error"},
    "singular_values": {"span", "block", "position", "blocks", "example", "largest", "smallest"},
    "level_gradients": {"level", "stage", "gradient_norm", "through_lateral"},
    "spatial_order": {"layer", "positions", "accuracy", "accuracy_permuted", "output_change"},
}
NETS = ("plain", "residual", "original", "dense", "vgg")


def typed(words, capsys):
    """Exit code, and what was printed."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def all_of(run, names, **options):
    todo, _ = measure.tasks(run, names, options.pop("checkpoints", "last"))
    return list(measure.measure(run, todo, **options))


def with_weights(run, change, step=12):
    """Change the tensors of a checkpoint on disk."""
    path = run.checkpoint_path(step)
    state = load_file(path)
    change(state)
    save_file(state, path)


# what there is


def test_every_quantity_of_the_catalogue_is_measured_by_somebody():
    assert list(PROMISED) == [name for name in CATALOGUE if name in PROMISED]
    for name in CATALOGUE:
        parameters = inspect.signature(measure.function_of(name)).parameters.values()
        needed = {parameter.name for parameter in parameters if parameter.default is parameter.empty}
        assert needed <= {"given", "model", "net", "images", "labels", "train", "seed", "progress"}, name
    assert all(set(quantity.families) <= set(FAMILIES) for quantity in CATALOGUE.values())
    assert all(quantity.otherwise for quantity in CATALOGUE.values() if set(quantity.families) != set(FAMILIES))


@pytest.mark.parametrize("net", NETS)
def test_a_run_gets_every_table_that_applies_to_its_net(net, probed_nets):
    run = Run(probed_nets / net)
    there = run.probes()
    assert set(there) == {name for name in CATALOGUE if not why_not(name, run.experiment)}
    for name, steps in there.items():
        assert steps == ([0] if CATALOGUE[name].when == "plan" else [0, 12]), name
        table = run.probe(name, steps[-1])
        assert len(table), name
        assert PROMISED.get(name, set()) <= set(table), name


def test_what_does_not_apply_is_said_in_a_sentence(probed_nets):
    missing = {
        net: {name: why for name in CATALOGUE if (why := why_not(name, Run(probed_nets / net).experiment))}
        for net in NETS
    }
    assert set(missing["dense"]) == {"path_gradients", "permutations", "gradient_split", "singular_values"}
    assert set(missing["residual"]) == {"growth", "reuse_observations"}
    assert "this one was built without" in missing["original"]["gradient_split"]
    assert missing["plain"]["path_gradients"].endswith("this one is plain")
    assert "one source" in str(CATALOGUE["reuse_observations"].otherwise) or missing["vgg"]["reuse_observations"]


def test_a_net_of_another_maker_is_asked_for_everything():
    foreign = Experiment(net="torchvision:resnet18")
    assert not any(why_not(name, foreign) for name in CATALOGUE)


def test_the_costly_ones_are_measured_at_few_checkpoints(probed_nets):
    todo, _ = measure.tasks(Run(probed_nets / "residual"))
    steps = {name: [task.step for task in todo if task.name == name] for name in CATALOGUE}
    assert steps["by_depth"] == Run(probed_nets / "residual").checkpoints()
    assert steps["singular_values"] == [0, 12]
    assert steps["lesions"] == [12]
    assert steps["architecture"] == [0]
    assert len({(task.name, task.step) for task in todo}) == len(todo)


# the numbers are those of the diagnostics


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


def test_untrained_nets_are_asked_with_the_statistics_of_the_batch(probed_nets):
    run = Run(probed_nets / "residual")
    for name in ("shattering", "autocorrelation", "path_gradients"):
        assert run.probe(name, 0)["batch_statistics"].all()
        assert not run.probe(name, 12)["batch_statistics"].any()


def test_probe_images_are_the_same_for_every_run_and_come_from_all_of_the_set():
    first = probe_images(Experiment(family="plain", imageset="digits"), "test", 40)
    second = probe_images(Experiment(family="dense", imageset="digits", seed=3), "test", 60).first(40)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert len(first.labels.unique()) == 10


# nothing is left behind


@pytest.mark.parametrize("net", NETS)
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


def test_names_of_comparisons_are_read_back():
    assert against_of("similarity+a+b-1+20") == ("a+b-1", 20)
    assert [against_of(name) for name in ("similarity", "similarity+", "similarity+20", "lesions")] == [None] * 4


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


@pytest.mark.parametrize("net", NETS)
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
        assert table[value].isna().all(), name


def test_a_run_without_checkpoints(digit_nets, capsys):
    shutil.rmtree(digit_nets / "plain" / "checkpoints")
    code, _, err = typed(["probe", "plain", "--root", digit_nets], capsys)
    assert code == 2
    assert "has no checkpoint" in err


def test_a_damaged_checkpoint_is_one_sentence(digit_nets, capsys):
    run = Run(digit_nets / "plain")
    path = run.checkpoint_path(12)
    path.write_bytes(path.read_bytes()[:100])
    code, _, err = typed(["probe", "plain", "--root", digit_nets, "--checkpoints", 12], capsys)
    assert code == 2
    assert "no checkpoint at step 12" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "which run?"),
        (["plian"], "did you mean 'plain'"),
        (["plain", "--quantities", "lesion"], "unknown quantity 'lesion'"),
        (["plain", "--checkpoints", "first"], "--checkpoints takes all, ends, last or steps, not 'first'"),
        (["plain", "--checkpoints", "5"], "has no checkpoint at step 5"),
        (["plain", "--images", "0"], "cannot be 0"),
        (["plain", "--images", "5000"], "has 200 test images here, so 5000 of them cannot be taken"),
        (["plain", "--against-checkpoint", "0"], "name it with --against RUN"),
        (["plain", "--against", "dense", "--quantities", "lesions"], "only similarity compares two runs"),
        (["plain", "--against", "plain", "--against-checkpoint", "7"], "has no checkpoint at step 7"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, sentence, digit_nets, capsys):
    code, _, err = typed(["probe", *words, "--root", digit_nets], capsys)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1


# the command


def test_a_log_has_a_line_for_every_table(digit_nets, capsys):
    words = [*command(["lesions", "growth", "architecture"], "plain"), "--root", digit_nets, "--images", 20]
    code, out, err = typed(words, capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].startswith("growth: growth and compression are a matter of dense nets; this one is plain")
    assert lines[2].startswith("[1/2] architecture: ")
    assert lines[3].startswith("[2/2] lesions at step 12: ")
    assert lines[4].startswith("probed plain: 2 tables in ")
    assert Run(digit_nets / "plain").probes() == {"architecture": [0], "lesions": [12]}


def test_only_what_does_not_apply_is_an_error(digit_nets, capsys):
    code, out, _ = typed(["probe", "vgg", "--quantities", "path_gradients", "--root", digit_nets], capsys)
    assert code == 2
    assert "path_gradients: path lengths speak of sums of paths" in out


def test_a_part_that_cannot_be_measured_is_told_and_the_rest_is_kept(digit_nets, tmp_path, capsys):
    from labapp.training.loop import train

    about = {"imageset": "digits", "steps": 1, "batch_size": 16, "device": "cpu"}
    train(Experiment(family="dense", depth=10, growth_rate=4, norm="group", **about), tmp_path / "runs", run_id="group")
    words = ["probe", "group", "--quantities", "feature_reuse", "--checkpoints", "last", "--root", tmp_path / "runs"]
    code, out, _ = typed([*words, "--images", 16], capsys)
    assert code == 0
    assert "feature_reuse at step 1: bn-folded: bn-folded needs a batch norm" in out
    stored = Run(tmp_path / "runs" / "group").probe("feature_reuse", 1)
    assert set(stored["weighting"]) == {"weights", "activation", "gradient", "ablation"}


def test_two_runs_from_the_command_line(digit_nets, capsys):
    words = ["probe", "residual", "--against", "plain", "--checkpoints", "ends", "--images", 64, "--root", digit_nets]
    code, out, err = typed(words, capsys)
    assert (code, err) == (0, "")
    assert "[2/2] similarity+plain+12 at step 12: 36 rows" in out
    assert Run(digit_nets / "residual").probes() == {"similarity+plain+12": [0, 12]}


def test_quantities_come_in_the_order_of_the_catalogue():
    assert chosen(["lesions", "architecture"]) == ["architecture", "lesions"]
    assert chosen([]) == list(CATALOGUE)
