"""Minimum, maximum and quartiles of outputs and gradients, where asked for."""

import numpy as np
import pytest
import torch
from torch import nn

from labapp.recording import Recorder, every
from labapp.recording.spread import SIZE, spread_of


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def test_of_few_values_all_five_are_exact():
    model = net()
    xs = torch.randn(2, 16, 6)
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with Recorder(model, optimizer, when=every(1), spreads=every(2), scaler=scaler) as recorder:
        for _ in range(3):
            with recorder.step():
                optimizer.zero_grad()
                for x in xs:  # two micro-batches: the values of both
                    scaler.scale(model(x).pow(2).sum()).backward()
                scaler.step(optimizer)
                scaler.update()
    table = recorder.table("spreads")
    assert sorted(table.step.unique()) == [0, 2]
    both = xs.reshape(32, 6)
    hidden = model[0](both)
    output = model[2](hidden.tanh())
    gradients = torch.autograd.grad(output.pow(2).sum(), [hidden, output])
    values = {
        ("0", "output"): hidden,
        ("2", "output"): output,
        ("0", "gradient"): gradients[0],
        ("2", "gradient"): gradients[1],
    }
    for (layer, of), tensor in values.items():
        expected = np.quantile(tensor.detach().double().numpy(), [0, 0.25, 0.5, 0.75, 1])
        rows = table[(table.layer == layer) & (table["of"] == of)]
        assert len(rows) == 2
        for row in rows.itertuples():
            found = [row.minimum, row.lower, row.median, row.upper, row.maximum]
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)  # the net's own rounding, batch by batch


def test_of_many_values_extremes_are_exact_and_quartiles_near():
    torch.manual_seed(0)
    values = torch.randn(64, 16, 32, 32)
    low, lower, median, upper, high = spread_of(values).five()
    assert (low, high) == (values.min().item(), values.max().item())
    # A sample of 4096 errs by 0.5/√4096 = 0.8 % in rank, one standard error: three of them, over the density there.
    assert len(spread_of(values).values) <= SIZE
    assert [lower, median, upper] == pytest.approx([-0.6745, 0, 0.6745], abs=3 * 0.008 / 0.31)


def test_what_is_not_finite_is_no_quartile():
    five = spread_of(torch.tensor([1.0, torch.nan, torch.inf, 2.0, 3.0])).five()
    assert (five[0], five[4]) == (1.0, torch.inf)
    assert five[1:4].tolist() == [1.5, 2.0, 2.5]
    assert np.isnan(spread_of(torch.full((3,), torch.nan)).five()).all()


def test_training_is_the_same_to_the_bit():
    one, two = net(), net()
    x = torch.randn(16, 6)
    for model, options in ((one, {"spreads": every(1)}), (two, {})):
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        torch.manual_seed(1)
        with Recorder(model, optimizer, when=every(1), **options) as recorder:
            for _ in range(3):
                with recorder.step():
                    optimizer.zero_grad()
                    model(x).pow(2).sum().backward()
                    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert recorder.table("spreads").empty
