"""Rules 5 to 9: which outputs are seen, whose they are, and what is said of the others."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.config import LabError
from labapp.recording import Recorder, RecorderWarning, every
from tests.recording.nets import Shared, batch, hooks_of, optimizer_of, record, same, small, train


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


def test_memory_that_was_given_back_is_no_sign_of_a_call():
    """A checkpointed call is known by the memory of its input, which may hold that of another call by now."""
    net = torch.nn.Linear(2, 2)
    with Recorder(net) as recorder:
        listener = recorder._step.listener
        board = listener.new_board()
        inputs = torch.randn(500), torch.randn(500)
        addresses = [x.data_ptr() for x in inputs]
        for at, x in enumerate(inputs):
            listener.calls._log(board, "a", (x,), at)
            board.log.append(("a", at + 1))
        assert [listener.calls._logged("a", address) for address in addresses] == [(board, 0), (board, 1)]
        del inputs, x
        assert [listener.calls._logged("a", address) for address in addresses] == [None, None]
        assert listener.calls.unmatched == {"a"}
