"""Rules 17 to 24: recording leaves no trace, neither in memory nor on the model nor in its training."""

import copy
import gc
import io
import pickle
import resource
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.nets import build
from labapp.recording import Recorder, RecorderWarning, every
from labapp.recording.hooks import Hooks
from tests.recording.nets import Nowhere, batch, hooks_of, optimizer_of, same, small, train


def test_rule_17_no_value_is_read_back_in_the_hook_path():
    model = small()
    x, y = batch(16)
    optimizer = optimizer_of(model.parameters())

    def reads(recorded):
        events = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        recorder = Recorder(model, optimizer, when=every(1) if recorded else (lambda step: False))
        with recorder:
            with recorder.step():  # the first step is the one that studies the net
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            with events, recorder.step():
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        return sum(event.count for event in events.key_averages() if event.key == "aten::_local_scalar_dense")

    assert reads(True) == reads(False)


def test_rule_17_nor_by_the_portable_reductions(monkeypatch):
    monkeypatch.setattr("labapp.recording.board.library", lambda: (None, "none here"))
    monkeypatch.setattr("labapp.recording.kernels.library", lambda: (None, "none here"))
    test_rule_17_no_value_is_read_back_in_the_hook_path()


def test_rule_18_no_tensor_outlives_its_step_and_memory_is_flat():
    model = small()
    x, y = batch(16)
    optimizer = optimizer_of(model.parameters())
    alive = []

    def remember(module, args, output):
        alive.append(weakref.ref(output))

    model.stage1.block1.register_forward_hook(remember)
    sizes = []
    with Recorder(model, optimizer, when=every(1), sink=Nowhere()) as recorder:
        for step in range(200):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            assert alive[-1]() is None, "an activation outlived its step"
            if step in (50, 199):
                gc.collect()
                sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert sizes[1] - sizes[0] < 8 * 1024  # KiB; 150 steps of outputs would be 60 MiB


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_rule_19_hooks_are_gone_after_an_exception(error):
    model = small()
    x, y = batch(16)
    optimizer = optimizer_of(model.parameters())

    def fails():
        F.cross_entropy(model(x), y).backward()
        raise error("in the middle")

    with pytest.raises(error), Recorder(model, optimizer, when=every(1)) as recorder, recorder.step():
        fails()
    assert hooks_of(model) == 0
    assert len(optimizer._optimizer_step_pre_hooks) == 0
    assert recorder.table().empty


def test_rule_19_hooks_are_gone_when_attaching_fails_half_way(monkeypatch):
    model = small()
    count = 0
    original = Hooks.after

    def fails_later(self, module, function):
        nonlocal count
        count += 1
        if count > 5:
            raise RuntimeError("no more hooks")
        original(self, module, function)

    monkeypatch.setattr(Hooks, "after", fails_later)
    recorder = Recorder(model, when=every(1))
    with pytest.warns(RecorderWarning, match="no more hooks"), recorder, recorder.step():
        assert hooks_of(model) == 0  # gone before training goes on
    assert recorder.cost["missing_steps"] == [0]


def test_rule_20_close_may_be_called_twice_and_nothing_is_cleaned_in_del():
    model = small()
    recorder = train(model, 2, {"when": every(1)})
    recorder.close()
    recorder.close()
    import labapp.recording.recorder as module

    assert not any("__del__" in vars(value) for value in vars(module).values() if isinstance(value, type))


def test_rule_21_the_users_own_hooks_stay():
    model = small()
    calls = []
    model.stem.conv.register_forward_hook(lambda *_: calls.append("forward"))
    model.head.register_forward_pre_hook(lambda *_: calls.append("before"))
    train(model, 3, {"when": every(1)})
    assert calls.count("forward") == calls.count("before") == 3
    assert hooks_of(model) == 2


def test_rule_22_a_recorded_model_pickles_copies_and_keeps_its_keys():
    model = small()
    keys = list(model.state_dict())
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    x, y = batch(16)
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for _ in range(2):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            buffer = io.BytesIO()
            torch.save(model, buffer)
            copy.deepcopy(model)
            pickle.loads(pickle.dumps(model))
    assert list(model.state_dict()) == keys
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes


def test_rule_22_a_model_goes_to_a_spawned_process_within_a_step():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 10))
    with Recorder(model, when=every(2)) as recorder:
        with recorder.step():
            F.cross_entropy(model(torch.randn(3, 4)), torch.randint(0, 10, (3,))).backward()
        context = torch.multiprocessing.get_context("spawn")
        queue = context.SimpleQueue()
        process = context.Process(target=count_parameters, args=(model, queue))
        process.start()
        process.join(60)
        assert queue.get() == sum(p.numel() for p in model.parameters())


def count_parameters(model, queue):
    queue.put(sum(p.numel() for p in model.parameters()))


def test_rule_23_two_recorders_do_not_disturb_each_other():
    model, twin = small(), small()
    x, y = batch(16)
    alone = train(twin, 4, {"when": every(1)}).table()
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1)) as one, Recorder(model, optimizer, when=every(2)) as two:
        for _ in range(4):
            with one.step(), two.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    assert one.table().equals(alone)
    assert two.table().equals(alone[alone.step % 2 == 0].reset_index(drop=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: build("residual", depth=14, width=4, image_size=16, shortcut="B", preactivation=True),
        lambda: build("dense", depth=10, growth_rate=4, image_size=16, dropout=0.2),
        lambda: __import__("torchvision").models.resnet18(num_classes=10),
    ],
)
def test_rule_24_training_is_bit_identical_with_and_without(make):
    torch.manual_seed(0)
    model = make()
    twin = copy.deepcopy(model)
    x, y = batch(32)
    states = []
    for net, options in ((model, {"when": every(1), "histograms": every(2), "gradient_noise": True}), (twin, None)):
        torch.manual_seed(1)
        train(net, 4, options, x=x, y=y)
        states.append((torch.get_rng_state(), [p.grad.clone() for p in net.parameters()]))
    assert same(model, twin)
    assert torch.equal(states[0][0], states[1][0])
    assert all(torch.equal(a, b) for a, b in zip(states[0][1], states[1][1], strict=True))
    assert all(a.training == b.training for a, b in zip(model.modules(), twin.modules(), strict=True))
