"""Nets made ill on purpose: is the layer named in which it began, the step, and whether it was NaN or infinite?"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.recording import Recorder, every
from tests.recording.ill import Between, Poisoned, chain, first, train


@pytest.mark.parametrize(("value", "kind"), [(math.inf, "inf"), (-math.inf, "inf"), (math.nan, "nan")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_layer_whose_output_is_not_finite(value, kind, dtype):
    model = chain(Poisoned(value, 3)).to(dtype)
    x = torch.randn(16, 8, dtype=dtype)
    table = train(model, x=x)
    assert first(table) == (3, "output", "2", kind)
    assert table["input"][0] == "finite"
    assert table["after"][0] == 2
    assert table["note"][0].startswith("in step 3: the output of 2 became")
    assert not table.duplicated("what").any()  # each kind of value once, where it was first seen


def test_a_value_made_between_two_layers():
    table = train(Between(lambda x: torch.log(x * 0)), steps=2)
    assert first(table) == (0, "output", "second", "nan")  # a sum of −∞ with weights of either sign
    assert table["input"][0] == "not finite"
    assert "behind first, whose output was finite" in table["note"][0]


def test_images_that_are_not_finite():
    x = torch.randn(16, 8)
    x[3, 3] = math.nan
    table = train(chain(nn.Linear(8, 8)), steps=1, x=x)
    assert first(table) == (0, "output", "0", "nan")
    assert table["note"][0].endswith("what the net was given was not finite")


def test_a_loss_whose_gradient_is_not_finite():
    table = train(chain(nn.Linear(8, 8)), steps=2, loss=lambda out, y: torch.log(out * 0).sum())
    assert first(table) == (0, "output gradient", "4", "nan")
    assert table["note"][0].endswith("the first to come back from the loss")


def test_a_gradient_that_is_lost_on_the_way_back():
    model = Between(lambda x: x + torch.sqrt(x * 0))  # 0 forward, 0 · ∞ backward
    table = train(model, steps=2)
    assert first(table) == (0, "output gradient", "first", "nan")
    assert "that at the output of second behind it was finite" in table["note"][0]
    assert set(table["what"]) == {"output gradient", "weight gradient", "updated weight", "output"}
    assert table.set_index("what")["step"].to_dict() == {
        "output gradient": 0, "weight gradient": 0, "updated weight": 0, "output": 1,
    }  # fmt: skip


def test_a_weight_whose_gradient_alone_is_not_finite():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8))

        def forward(self, x):
            return x + torch.sqrt(self.weight)

    table = train(chain(Scaled()), steps=1)
    assert first(table)[:3] == (0, "weight gradient", "2")
    assert "though the gradient at its output was finite" in table["note"][0]


def test_a_weight_that_somebody_breaks_between_two_steps():
    def act(model, step):
        if step == 3:
            with torch.no_grad():
                model[2].weight[0, 0] = math.nan

    table = train(chain(nn.Linear(8, 8)), act=act)
    assert first(table) == (3, "weight", "2", "nan")
    assert table["note"][0].startswith("between step 2 and step 3, by no recorded update")


def test_an_update_that_overflows():
    model = chain(nn.Linear(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(16, 8), torch.randint(0, 4, (16,))
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for step in range(4):
            with recorder.step():
                optimizer.zero_grad()
                (F.cross_entropy(model(x), y) * (1e6 if step == 2 else 1)).backward()
                optimizer.param_groups[0]["lr"] = 1e38 if step == 2 else 0.1  # float32 ends at 3.4e38
                optimizer.step()
    row = recorder.table("divergence").iloc[0]
    assert (row["step"], row["what"], row["layer"], row["kind"]) == (2, "updated weight", "0", "inf")
    assert "though every gradient was finite" in row["note"]


def test_a_gradient_that_is_broken_before_the_optimizer_takes_it():
    model = chain(nn.Linear(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, when=every(1)) as recorder, recorder.step():
        F.cross_entropy(model(torch.randn(16, 8)), torch.randint(0, 4, (16,))).backward()
        model[2].weight.grad.mul_(math.nan)
        optimizer.step()
    assert first(recorder.table("divergence")) == (0, "used gradient", "2", "nan")


def test_what_began_in_a_step_that_was_not_recorded_is_between_two_that_were():
    table = train(chain(Poisoned(math.nan, 14)), steps=30, every_=10)
    assert first(table)[:2] == (20, "weight")
    assert table["after"][0] == 10
    assert table["note"][0].startswith("in an update of steps 11 to 19: ")
    table = train(chain(Poisoned(math.nan, 1)), steps=3, every_=2)
    assert table["note"][0].startswith("in the update of step 1: ")
    table = train(chain(Poisoned(math.nan, 0)), steps=4, act=lambda model, step: None, first_step=1, every_=2)
    assert table["note"][0].startswith("before step 2: the weights of 0 were NaN already")


def test_a_training_that_stops_itself_at_a_loss_that_is_not_finite():
    model = chain(Poisoned(math.nan, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, when=every(1))

    def run():
        with recorder:
            for _ in range(9):
                with recorder.step():
                    optimizer.zero_grad()
                    loss = F.cross_entropy(model(torch.randn(16, 8)), torch.zeros(16, dtype=torch.long))
                    if not math.isfinite(loss.detach()):
                        raise ValueError("the loss is not finite")
                    loss.backward()
                    optimizer.step()

    with pytest.raises(ValueError, match="not finite"):
        run()
    table = recorder.table("divergence")
    assert table[["step", "what", "layer", "kind"]].to_numpy().tolist() == [[3, "output", "2", "nan"]]
    assert sorted(set(recorder.table()["step"])) == [0, 1, 2]
    assert recorder.cost["recorded_steps"] == 3


def test_a_training_that_is_stopped_while_it_is_healthy_has_no_rows():
    model = chain(nn.Linear(8, 8))
    recorder = Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1), when=every(1))

    def run():
        with recorder, recorder.step():
            model(torch.randn(16, 8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert recorder.table("divergence").empty
    assert recorder.table().empty
