"""The recorder's contract: each test is a fault of another tool that ours must not have."""

import copy
import gc
import io
import pickle
import resource
import warnings
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from labapp.config import LabError
from labapp.nets import build
from labapp.recording import Recorder, RecorderWarning, every, log_spaced
from labapp.recording.hooks import Hooks
from tests.recording.test_numbers import batch, optimizer_of, record


def small(**options):
    torch.manual_seed(0)
    return build("residual", depth=8, width=4, image_size=16, **options)


def train(model, steps, recorder_options=None, optimizer=None, x=None, y=None):
    optimizer = optimizer or optimizer_of(model.parameters())
    if x is None:
        x, y = batch(16)
    if recorder_options is None:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        return None
    with Recorder(model, optimizer, **recorder_options) as recorder:
        for _ in range(steps):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    return recorder


def hooks_of(model):
    return sum(
        len(getattr(module, name))
        for module in model.modules()
        for name in ("_forward_hooks", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks")
    )


# 1 in-place operations, 2 overwritten activations, 3 the twin: tests/recording/test_numbers.py
# 4 branch and shortcut: tests/recording/test_numbers.py


class Shared(nn.Module):
    """One ReLU for three places, as torchvision's blocks have it."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = nn.Linear(8, 16), nn.Linear(16, 4), nn.Linear(4, 10)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.three(self.relu(self.two(self.relu(self.one(x))))))


def test_rule_5_calls_of_one_module_are_told_apart():
    torch.manual_seed(0)
    model = Shared()
    x, y = torch.randn(6, 8), torch.randint(0, 10, (6,))
    recorder = record(model, x, y, steps=3, layers=["activation"])
    shapes = {layer["path"]: layer["shape"] for layer in recorder.layers}
    assert shapes == {"relu": [16], "relu#2": [4], "relu#3": [10]}
    twin = copy.deepcopy(model)
    outputs = [twin.one(x).relu()]
    outputs.append(twin.two(outputs[0]).relu())
    outputs.append(twin.three(outputs[1]).relu())
    gradients = torch.autograd.grad(F.cross_entropy(outputs[2], y), outputs)
    with Recorder(model, when=every(1), layers="relu*") as again, again.step():
        F.cross_entropy(model(x), y).backward()
    table = again.table().set_index("layer")
    for name, gradient in zip(("relu", "relu#2", "relu#3"), gradients, strict=True):
        assert table.loc[name, "output_grad_norm"] == pytest.approx(gradient.norm().item(), rel=1e-5)


def test_rule_6_silent_layers_are_named_once():
    class Bypass(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.forgotten, self.called_by_forward = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 10)

        def forward(self, x):
            return self.called_by_forward.forward(self.used(x))

    model = Bypass()
    with pytest.warns(RecorderWarning, match="forgotten, called_by_forward") as said:
        recorder = record(model, torch.randn(3, 4), torch.randint(0, 10, (3,)), steps=3)
    assert len(said) == 1
    assert "forgotten" in recorder.notes[0]
    table = recorder.table().set_index("layer")
    assert table.loc["called_by_forward"].weight_grad_norm.gt(0).all()  # its weights are recorded all the same
    assert table.loc["called_by_forward"].output_mean.isna().all()


def test_rule_6_a_forward_called_past_the_hooks_is_noticed():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 10))
    x, y = torch.randn(3, 4), torch.randint(0, 10, (3,))
    recorder = Recorder(model, when=every(1))
    with recorder:
        for _ in range(2):
            with recorder.step():
                F.cross_entropy(model.forward(x), y).backward()
    assert recorder.table().output_grad_norm.notna().all()
    assert recorder.table().groupby("step").size().tolist() == [2, 2]


def test_rule_6_keyword_arguments_reach_the_block():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, *, hidden):
            return hidden + self.b(self.a(hidden).relu())

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.one, self.two, self.head = nn.Linear(8, 8), Block(), Block(), nn.Linear(8, 10)

        def forward(self, x):
            return self.head(self.two(hidden=self.one(hidden=self.stem(x))))

    table = record(Net(), torch.randn(4, 8), torch.randint(0, 10, (4,))).table().set_index("layer")
    assert table.loc[["one", "two"], "branch_grad_norm"].gt(0).all()


def test_rule_7_frozen_layers_and_no_grad():
    model = small()
    for parameter in model.stem.parameters():
        parameter.requires_grad_(False)
    x, y = batch(16)
    optimizer = optimizer_of(p for p in model.parameters() if p.requires_grad)
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for _ in range(2):
            with recorder.step():
                with torch.no_grad():
                    model(x)  # an evaluation inside the step is not the training forward
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    table = recorder.table().set_index("layer")
    stem = table.loc["stem.conv"]
    assert stem.output_std.gt(0).all()
    assert stem.output_grad_norm.isna().all()
    assert stem.weight_grad_norm.isna().all()
    assert stem.update_ratio.eq(0).all()
    assert table.groupby("step").size().nunique() == 1


def test_rule_7_a_fault_of_ours_never_raises_into_training(monkeypatch):
    model = small()

    def broken(*_):
        raise RuntimeError("the kernel is ill")

    monkeypatch.setattr("labapp.recording.board.Board.energy", broken)
    twin = copy.deepcopy(model)
    with pytest.warns(RecorderWarning, match="the kernel is ill"):
        train(model, 2, {"when": every(1)})
    train(twin, 2)
    assert same(model, twin)


def test_rule_8_tuples_dictionaries_and_dataclasses_are_walked():
    from dataclasses import dataclass

    @dataclass
    class Result:
        logits: torch.Tensor
        note: str = ""

    class Twice(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = Twice(4, 4), nn.Linear(4, 10)

        def forward(self, x):
            return Result(self.head(self.first(x)[0]))

    model = Net()
    with Recorder(model, when=every(1)) as recorder, recorder.step():
        F.cross_entropy(model(torch.randn(3, 4)).logits, torch.randint(0, 10, (3,))).backward()
    assert recorder.table().set_index("layer").output_grad_norm.gt(0).all()
    assert recorder.cost["skipped_outputs"] == 1


def test_rule_9_data_parallel_is_refused():
    model = nn.DataParallel(nn.Linear(2, 2))
    with pytest.raises(LabError, match="use DistributedDataParallel"):
        Recorder(model)
    assert hooks_of(model) == 0


# 10 DDP: tests/recording/test_ddp.py


@pytest.mark.parametrize("init_scale", [1.0, 1024.0])
def test_rule_11_loss_scaling_is_taken_out(init_scale):
    model = small()
    twin = copy.deepcopy(model)
    x, y = batch(16)
    optimizer = optimizer_of(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, growth_interval=1)
    with Recorder(model, optimizer, when=every(1), scaler=scaler) as recorder:
        for _ in range(3):  # the scale doubles after each step: the one in force counts
            with recorder.step():
                optimizer.zero_grad()
                scaler.scale(F.cross_entropy(model(x), y)).backward()
                scaler.step(optimizer)
                scaler.update()
    plain = train(twin, 3, {"when": every(1)}).table()
    scaled = recorder.table()
    for name in ("output_grad_norm", "weight_grad_norm", "branch_grad_norm", "shortcut_grad_norm", "update_ratio"):
        assert scaled[name].to_numpy() == pytest.approx(plain[name].to_numpy(), rel=1e-3, nan_ok=True), name
    totals = recorder.table("totals")
    assert totals.loss_scale.tolist() == [init_scale, 2 * init_scale, 4 * init_scale]
    assert totals.skipped.tolist() == [0, 0, 0]


def test_rule_11_an_overflowed_step_is_marked_skipped():
    model = small()
    x, y = batch(16)
    optimizer = optimizer_of(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    with Recorder(model, optimizer, when=every(1), scaler=scaler) as recorder:
        for factor in (1.0, torch.inf, 1.0):
            with recorder.step():
                optimizer.zero_grad()
                scaler.scale(F.cross_entropy(model(x), y) * factor).backward()
                scaler.step(optimizer)
                scaler.update()
    totals = recorder.table("totals")
    assert totals.skipped.tolist() == [0, 1, 0]
    assert not np.isfinite(totals.grad_norm[1])
    table = recorder.table()
    assert table[table.step == 1].update_ratio.dropna().eq(0).all()


def test_rule_12_half_precision_outputs_are_summed_wide():
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 10))
    with torch.no_grad():
        model[0].weight.fill_(100.0)
    x, y = torch.ones(256, 8), torch.randint(0, 10, (256,))
    optimizer = torch.optim.SGD(model.parameters(), 1e-9)
    with Recorder(model, optimizer, when=every(1)) as recorder, recorder.step():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = F.cross_entropy(model(x).float(), y)
        loss.backward()
        optimizer.step()
    row = recorder.table().set_index("layer").loc["0"]
    assert row.output_mean == pytest.approx(800, rel=1e-2)  # 16,384 squares of 800 are 1e10; float16 ends at 65,504
    assert np.isfinite(row.output_std)
    assert row.nonfinite == 0


def test_rule_12_bfloat16_autocast_is_recorded():
    table = None
    model = small()
    x, y = batch(16)
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for _ in range(2):
            with recorder.step():
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
    table = recorder.table()
    assert table.output_grad_norm.gt(0).all()
    assert {layer["split"] for layer in recorder.layers if layer["kind"] == "block"} == {"branch+shortcut"}


def test_rule_13_accumulated_micro_batches_are_one_row():
    torch.manual_seed(0)
    model = build("residual", depth=8, width=4, image_size=16, norm="none").double()
    whole = copy.deepcopy(model)
    x, y = torch.randn(8, 3, 16, 16).double(), torch.randint(0, 10, (8,))
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(2)) as recorder:
        for _ in range(4):
            with recorder.step():
                optimizer.zero_grad()
                for a, b in zip(x.chunk(4), y.chunk(4), strict=True):
                    (F.cross_entropy(model(a), b) / 4).backward()
                optimizer.step()
    one = recorder.table()
    two = train(whole, 4, {"when": every(2)}, x=x, y=y).table()
    assert one.step.unique().tolist() == [0, 2]
    for name in one.select_dtypes("float32").columns:
        assert one[name].to_numpy() == pytest.approx(two[name].to_numpy(), rel=1e-5, abs=1e-9, nan_ok=True), name


def test_rule_14_both_norms_where_clipping_makes_them_differ():
    model = small()
    x, y = batch(16)
    optimizer = optimizer_of(model.parameters())
    seen = []
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for limit in (0.1, 1e9):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                seen.append(nn.utils.clip_grad_norm_(model.parameters(), limit).item())
                optimizer.step()
    totals = recorder.table("totals")
    assert totals.grad_norm.tolist() == pytest.approx(seen, rel=1e-5)
    assert totals.grad_norm_used[0] == pytest.approx(0.1, rel=1e-4)
    # A limit that is not reached multiplies by 1: the norms are equal, and both are there.
    assert totals.grad_norm_used[1] == pytest.approx(seen[1], rel=1e-5)


def test_rule_15_a_compiled_model_gives_weights_and_says_so():
    model = small()
    compiled = torch.compile(model, backend="eager")
    with pytest.warns(RecorderWarning, match="only weights"):
        recorder = train(compiled, 2, {"when": every(1)}, optimizer=optimizer_of(model.parameters()))
    table = recorder.table()
    weights = table[table.kind.isin(["conv", "linear", "norm"])]
    assert weights.weight_grad_norm.gt(0).all()
    assert weights.update_ratio.gt(0).all()
    assert table.output_mean.isna().all()
    assert table.depth.max() == 8
    twin = small()
    train(twin, 2)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 10)
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
        self.reentrant = reentrant

    def forward(self, x):
        x = self.stem(x)
        x = self.body(x) if self.reentrant is None else checkpoint(self.body, x, use_reentrant=self.reentrant)
        return self.head(x)


@pytest.mark.parametrize("reentrant", [True, False])
def test_rule_16_a_checkpointed_segment_is_recorded_once(reentrant):
    x, y = torch.randn(6, 8), torch.randint(0, 10, (6,))
    layers = ["linear", "activation"]
    plain = record(Checkpointed(None), x, y, steps=2, layers=layers).table()
    ours = record(Checkpointed(reentrant), x, y, steps=2, layers=layers).table()
    assert len(ours) == len(plain) == 12
    columns = ["step", "layer"]
    one, two = (table.set_index(columns).sort_index() for table in (plain, ours))
    assert one.index.equals(two.index)
    assert one.depth.equals(two.depth)
    for name in ("output_mean", "output_std", "output_grad_norm", "weight_grad_norm", "update_ratio", "nonfinite"):
        assert two[name].to_numpy() == pytest.approx(one[name].to_numpy(), rel=1e-5, nan_ok=True), name


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


class Nowhere:
    def describe(self, layers, recorder):
        pass

    def write(self, table, columns):
        pass


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


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


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


def test_rule_25_nan_and_infinity_are_data():
    model = small()
    x, y = batch(16)
    bad = x.clone()
    bad[0, 0, 0, 0] = torch.nan
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for images in (x, bad, x):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(images), y).backward()
                optimizer.step()
    table = recorder.table()
    assert table.groupby("step").nonfinite.sum()[0] == 0
    step = table[table.step == 1]
    assert step.nonfinite.gt(0).all()
    assert step.output_std.isna().all()
    assert len(table) == 3 * len(step)
    assert np.isnan(recorder.table("totals").grad_norm[1])


def test_rule_26_histogram_edges_never_move():
    model = small()
    recorder = train(model, 6, {"when": every(1), "histograms": every(3)})
    table = recorder.table("histograms")
    assert set(table.columns) == {"step", "layer", "of", "exponent", "count"}
    assert sorted(table.step.unique()) == [0, 3]
    assert table.exponent.dtype.kind == "i"


def test_rule_27_one_column_a_quantity_however_many_layers():
    one = train(small(), 1, {"when": every(1)}).table()
    torch.manual_seed(0)
    deep = train(build("residual", depth=26, width=4, image_size=16), 1, {"when": every(1)}).table()
    assert list(one.columns) == list(deep.columns)


def test_rule_28_a_second_attempt_continues_the_numbering():
    recorder = train(small(), 3, {"when": every(1), "first_step": 40})
    assert recorder.table().step.unique().tolist() == [40, 41, 42]


# What else a user may do wrong -------------------------------------------------------------------------------


def test_entered_twice_stepped_outside_and_stepped_inside():
    model = small()
    recorder = Recorder(model)
    with pytest.raises(LabError, match="outside"), recorder.step():
        pass
    with recorder:
        with pytest.raises(LabError, match="already"):
            recorder.__enter__()
        with recorder.step(), pytest.raises(LabError, match="inside another step"), recorder.step():
            pass
    with pytest.raises(LabError, match="outside"), recorder.step():
        pass
    assert hooks_of(model) == 0


def test_models_and_optimizers_that_cannot_be_recorded():
    model = small()
    with pytest.raises(LabError, match="no parameters"):
        Recorder(nn.ReLU())
    with pytest.raises(LabError, match=r"torch\.nn\.Module"):
        Recorder("resnet18")
    with pytest.raises(LabError, match="no parameter of this model"):
        Recorder(model, torch.optim.SGD(small().parameters(), 0.1))
    with pytest.raises(LabError, match="budget"):
        Recorder(model, budget=2)
    for wrong in (0, -1, 2.5, "ten"):
        with pytest.raises(LabError, match="every"):
            every(wrong)
    with pytest.raises(LabError, match="points"):
        log_spaced(0, 10)
    assert hooks_of(model) == 0


def test_layers_that_do_not_exist_bring_the_nearest_names():
    with pytest.raises(LabError, match=r"nearest paths are .*stage1\.block1\.branch\.conv1"):
        Recorder(small(), layers=["stage1.block1.branch.conv"])
    with pytest.raises(LabError, match="predicate"):
        Recorder(small(), layers=lambda path, module: False)


def test_layers_by_kind_by_glob_and_by_predicate():
    def paths(layers):
        return [layer["path"] for layer in train(small(), 1, {"when": every(1), "layers": layers}).layers]

    assert paths("block") == ["stage1.block1", "stage2.block1", "stage3.block1"]
    assert paths(["stage2.block1.branch.*"]) == [
        f"stage2.block1.branch.{n}" for n in ("conv1", "norm1", "activation1", "conv2", "norm2")
    ]
    assert paths(lambda path, module: isinstance(module, nn.Linear)) == ["head.classifier"]


class Full:
    def __init__(self, takes):
        self.takes = takes
        self.rows = 0

    def describe(self, layers, recorder):
        pass

    def write(self, table, columns):
        if self.rows >= self.takes:
            raise OSError("no space left on device")
        self.rows += len(columns["step"])


def test_a_sink_that_fails_does_not_end_training_and_loses_no_row():
    model, twin = small(), small()
    with pytest.warns(RecorderWarning, match="no space left on device"):
        recorder = train(model, 50, {"when": every(1), "sink": Full(takes=200)})
    everything = train(twin, 50, {"when": every(1)}).table()
    kept = recorder.table()
    assert len(kept) + recorder.sink.rows >= len(everything)
    assert kept.step.max() == 49
    assert same(model, twin)


def test_budget_stretches_the_schedule():
    model = small()
    tight = train(model, 60, {"when": every(1), "budget": 0.001})
    assert tight.cost["left_out_for_budget"] > 0
    assert tight.cost["recorded_steps"] < 60
    free = train(small(), 60, {"when": every(1)})
    assert free.cost["recorded_steps"] == 60


def test_log_spaced_is_dense_at_the_start_and_ends_at_the_end():
    when = log_spaced(20, 1000)
    chosen = [step for step in range(1000) if when(step)]
    assert chosen[0] == 0
    assert chosen[-1] == 999
    assert len(chosen) <= 21
    gaps = np.diff(chosen)
    assert gaps[0] == 1
    assert gaps[-1] > 100


def test_the_cost_is_measured():
    recorder = train(small(), 10, {"when": every(5)})
    cost = recorder.cost
    assert cost["recorded_steps"] == 2
    assert 0 < cost["seconds"] < cost["step_seconds"]
    assert cost["share"] > 0


def test_no_warning_where_nothing_is_missing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(small(), 3, {"when": every(1)})
