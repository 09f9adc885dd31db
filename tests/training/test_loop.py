"""Real trainings, small: the same bits for the same seed, watched or not, and steps as the papers have them."""

import io
import math
import os
import pickle

import numpy as np
import pytest
import torch

from labapp.nets import build
from labapp.training.devices import make_fabric
from labapp.training.loop import evaluate, forward_backward, gradient_norm, train
from tests.training.small import same, small, weights


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(small(), tmp_path_factory.mktemp("runs"))


def test_a_training_leaves_a_complete_run(run):
    assert run.status == "finished"
    assert run.progress == (6, 6)
    assert run.steps()["step"].tolist() == list(range(6))
    assert np.isfinite(run.steps().to_numpy()).all()
    evals = run.evals()
    assert list(zip(evals["step"], evals["split"], strict=True)) == [
        (0, "test"),
        (3, "test"),
        (6, "test"),
        (6, "train"),
    ]
    layers = run.layers()
    assert sorted(set(layers["step"])) == [0, 2, 4]
    assert {"conv", "norm", "linear"} <= set(layers["kind"])
    assert run.checkpoints() == [0, 2, 6]  # log-spaced: none done, 7^(1/2) − 1, and the end
    assert run.environment["images"]["image_size"] == 24
    assert run.environment["threads"] == max(1, torch.get_num_threads() - ("OMP_NUM_THREADS" not in os.environ))
    assert next(layer["path"] for layer in run.layers_info if layer["kind"] == "conv") == "stem.conv"


def test_what_is_recorded_on_request_is_there_at_each_recorded_step(run, tmp_path):
    asked = {"histograms": True, "spreads": True, "gradient_noise": True, "accumulate": 2}
    more = train(small(**asked), tmp_path)
    steps = sorted(set(more.layers()["step"]))
    for table in ("histograms", "spreads"):
        rows = more.table(table)
        assert sorted(set(rows["step"])) == steps
        assert set(rows["of"]) == {"output", "gradient"}
        assert table not in run.tables()
    weighted = more.layers()["weight_norm"].notna()
    assert more.layers()["gradient_signal_to_noise"].notna().equals(weighted)
    assert run.layers()["gradient_signal_to_noise"].isna().all()


def test_one_seed_gives_the_same_bits(run, tmp_path):
    again, other = train(small(), tmp_path), train(small(seed=1), tmp_path)
    assert same(weights(run), weights(again))
    assert not same(weights(run), weights(other))
    for table in ("layers", "evals"):
        one, two = run.table(table), again.table(table)
        assert one.equals(two), table
    timeless = ["step", "loss", "accuracy", "learning_rate", "grad_norm"]
    assert run.steps(columns=timeless).equals(again.steps(columns=timeless))


@pytest.mark.parametrize("changes", [{}, {"family": "dense", "depth": 10, "dropout": 0.2}, {"augment": True}])
def test_recording_and_evaluating_change_nothing(tmp_path, changes):
    quiet = {"record": "none", "eval_every": 100, "checkpoints": 0}
    watched, alone = train(small(**changes), tmp_path), train(small(**changes, **quiet), tmp_path)
    assert same(weights(watched), weights(alone))
    assert len(alone.layers()) == 0
    assert alone.checkpoints() == [6]


def test_nets_of_one_seed_see_the_same_images_in_the_same_order(tmp_path, monkeypatch):
    seen = []

    def spy(fabric, net, x, y, parts):
        seen.append((x.clone(), y.clone()))
        return forward_backward(fabric, net, x, y, parts)

    monkeypatch.setattr("labapp.training.loop.forward_backward", spy)
    train(small(augment=True), tmp_path)
    train(small(augment=True, family="vgg", depth=None, width=2, configuration="A"), tmp_path)
    assert all(torch.equal(seen[n][0], seen[n + 6][0]) and torch.equal(seen[n][1], seen[n + 6][1]) for n in range(6))


def test_the_random_state_of_the_caller_is_left_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(small(steps=2), tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_the_first_checkpoint_is_the_net_as_it_was_made_and_the_last_one_is_what_was_evaluated(run):
    net = build(**run.experiment.net_options(), image_size=24)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in weights(run, 6).items()})
    from labapp.imagesets import load_for
    from labapp.imagesets.order import in_turn

    fabric = make_fabric(run.experiment)
    loss, accuracy = evaluate(fabric, fabric.setup(net), in_turn(load_for(run.experiment, "test")))
    last = run.evals(where={"split": "test"}).iloc[-1]
    assert accuracy == pytest.approx(last["accuracy"])
    assert loss == pytest.approx(last["loss"], rel=1e-5)
    assert not same(weights(run, 0), weights(run, 2))


def test_the_training_state_beside_the_weights_loads_without_running_code(run):
    path = run.checkpoint_path(6).with_suffix(".pt")
    state = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
    assert len(state["optimizer"]["state"]) == len(list(build(**run.experiment.net_options()).parameters()))


def test_micro_batches_add_up_to_the_gradient_of_the_batch():
    net = build("plain", depth=8, width=4, norm="none").double()
    fabric = make_fabric(small())
    wrapped = fabric.setup(net)
    x, y = torch.randn(10, 3, 16, 16, dtype=torch.float64), torch.arange(10)
    found = []
    for parts in (1, 3, 4):  # 10 images: 4, 3, 3 and 3, 3, 2, 2
        net.zero_grad()
        loss, right = forward_backward(fabric, wrapped, x, y, parts)
        found.append([loss, right, gradient_norm(net), *(p.grad.clone() for p in net.parameters())])
    for one, three, four in zip(*found, strict=True):
        torch.testing.assert_close(one, three)
        torch.testing.assert_close(one, four)
    direct = torch.nn.functional.cross_entropy(net(x), y)
    torch.testing.assert_close(found[0][0], direct.detach())


def test_a_step_is_sgd_as_the_papers_have_it(tmp_path):
    """Two steps by hand: v ← 0.9 v + g + wd·w, w ← w − lr·v."""
    options = {"steps": 2, "checkpoints": 3, "norm": "none", "warmup_steps": 2, "learning_rate": 0.02}
    run = train(small(**options), tmp_path)
    from labapp.imagesets import load_for
    from labapp.imagesets.order import batches

    net = build(**run.experiment.net_options(), image_size=24).to(memory_format=torch.channels_last)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in weights(run, 0).items()})
    momentum = [torch.zeros_like(p) for p in net.parameters()]
    for rate, (x, y) in zip((0.01, 0.02), batches(load_for(run.experiment, "train"), 16, 0), strict=False):
        gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(net(x), y), list(net.parameters()))
        with torch.no_grad():
            for p, v, g in zip(net.parameters(), momentum, gradients, strict=True):
                v.mul_(0.9).add_(g + 1e-4 * p)
                p.sub_(rate * v)
    for name, value in weights(run, 2).items():
        np.testing.assert_allclose(net.state_dict()[name].numpy(), value, rtol=1e-4, atol=1e-6)
    assert run.steps()["learning_rate"].tolist() == pytest.approx([0.01, 0.02])


def test_clipping_bounds_the_step_and_the_whole_norm_is_still_recorded(tmp_path):
    options = {"steps": 1, "checkpoints": 2, "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1.0}
    run = train(small(**options, clip_norm=0.01), tmp_path)
    before, after = weights(run, 0), weights(run, 1)
    names = [name for name, _ in build(**run.experiment.net_options()).named_parameters()]
    moved = math.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in names))
    assert moved == pytest.approx(0.01, rel=1e-3)
    assert run.steps()["grad_norm"].item() > 0.1


@pytest.mark.parametrize("options", [{"precision": "bf16-mixed"}, {"precision": "64-true"}, {"accumulate": 3}])
def test_precision_and_accumulation(tmp_path, options):
    run = train(small(**options, steps=2), tmp_path)
    assert run.status == "finished"
    assert np.isfinite(run.steps()["loss"]).all()


def test_two_processes_take_the_step_that_one_would(tmp_path):
    """Without batch statistics, which are each process's own, the gradient of the whole batch is the mean of halves."""
    one, two = (train(small(norm="none", steps=3, devices=devices), tmp_path) for devices in (1, 2))
    assert two.status == "finished"
    assert two.environment["processes"] == 2
    for name, value in weights(one).items():
        np.testing.assert_allclose(weights(two)[name], value, rtol=1e-4, atol=1e-6)
    assert two.steps()["loss"].tolist() == pytest.approx(one.steps()["loss"].tolist(), rel=1e-5)
    np.testing.assert_allclose(two.layers()["weight_grad_norm"], one.layers()["weight_grad_norm"], rtol=1e-3)


def test_progress_can_travel_to_another_process():
    from labapp.commands.progress import TrainingProgress

    assert pickle.loads(pickle.dumps(TrainingProgress([small()]))).names == ["residual-8"]
