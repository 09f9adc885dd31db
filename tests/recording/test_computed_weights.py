"""A weight that is computed before each forward: the weight in use is measured, and its sources' gradient."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from labapp.recording import Recorder, every
from tests.recording.scenarios import data
from tests.recording.witness import norm


def spectral(weight, u):
    """Divided by the largest singular value, after many more power iterations than torch makes."""
    for _ in range(200):
        v = weight.T @ u / (weight.T @ u).norm()
        u = weight @ v / (weight @ v).norm()
    return weight / (u @ weight @ v)


COMPUTED = {  # how the layer is changed, the parameters that its weight is made of, and the weight they make
    "weight norm, old": (
        torch.nn.utils.weight_norm,
        ("weight_g", "weight_v"),
        lambda p, m: p["weight_g"] * p["weight_v"] / p["weight_v"].norm(dim=1, keepdim=True),
    ),
    "pruned by mask": (
        lambda m: prune.l1_unstructured(m, "weight", amount=0.5),
        ("weight_orig",),
        lambda p, m: p["weight_orig"] * m.weight_mask,
    ),
    "spectral norm": (
        parametrizations.spectral_norm,
        ("parametrizations.weight.original",),
        lambda p, m: spectral(p["parametrizations.weight.original"], m.parametrizations.weight[0]._u),
    ),
    "spectral norm, old": (
        torch.nn.utils.spectral_norm,
        ("weight_orig",),
        lambda p, m: spectral(p["weight_orig"], m.weight_u),
    ),
}


# torch deprecates the old ways, which many nets still use
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", COMPUTED)
def test_the_weight_in_use_is_measured(name):
    change, sources, made = COMPUTED[name]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    change(model[0])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected = []

    def in_use():
        return made({name: p.detach().clone() for name, p in model[0].named_parameters()}, model[0])

    # torch's own power iterations stop earlier: what it divides by is as good as its last one
    within = 1e-5 if "spectral" not in name else 5e-3
    with torch.no_grad():
        for number in range(50):
            model(data(number, 4, 6))
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for number in range(3):
            before = in_use()
            with recorder.step():
                optimizer.zero_grad()
                model(data(number, 4, 6)).pow(2).mean().backward()
                optimizer.step()
            after = in_use()
            parameters = dict(model[0].named_parameters())
            gradient = norm([parameters[source].grad for source in sources])
            expected.append((norm([before]), norm([after - before]) / norm([before]), gradient))
    row = recorder.table().query("layer == '0'")
    assert len(row) == 3
    for (_, ours), (weight, ratio, gradient) in zip(row.iterrows(), expected, strict=True):
        assert ours.weight_norm == pytest.approx(weight, rel=within)
        assert ours.weight_grad_norm == pytest.approx(gradient, rel=1e-5)
        assert ours.update_ratio == pytest.approx(ratio, rel=10 * within)
    assert "computed weight" in {finding.what for finding in recorder.report().findings}


@pytest.mark.filterwarnings("ignore:.*replaced")
@pytest.mark.parametrize("within", [True, False])
def test_pruning_that_comes_and_goes(within):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def in_use():
        masked = hasattr(model[0], "weight_mask")
        return (model[0].weight_orig * model[0].weight_mask if masked else model[0].weight).detach().clone()

    def change(number):
        if number == 1:
            prune.l1_unstructured(model[0], "weight", amount=0.5)
        if number == 3:
            prune.remove(model[0], "weight")

    expected = []
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for number in range(4):
            if not within:
                change(number)
            before = in_use()
            with recorder.step():
                if within:
                    change(number)
                optimizer.zero_grad()
                model(data(number, 4, 6)).pow(2).mean().backward()
                optimizer.step()
            expected.append((norm([before]), norm([in_use() - before]) / norm([before])))
    table = recorder.table().query("layer == '0'").set_index("step")
    for number, (weight, ratio) in enumerate(expected):
        row = table.loc[number]
        if within and number in (1, 3):
            assert row[["weight_norm", "weight_grad_norm", "update_ratio"]].isna().all()
        else:
            assert row.weight_norm == pytest.approx(weight, rel=1e-5)
            assert row.update_ratio == pytest.approx(ratio, rel=1e-4)
    assert any("within a step" in note for note in recorder.notes) == within
