"""Are runs ill as they are called, and is the table of what was found in them read off right?"""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from analysis import calibration, diagnosis, ill
from labapp.config import Experiment
from labapp.nets import build


def treated(kind):
    """A net of a kind and its optimizer, treated, and one image passed through it."""
    case = calibration.CASES[kind]
    net = build(**Experiment(**case.experiment).net_options(), in_channels=1, image_size=16)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    case.treat(net, sgd)
    return net, sgd


def test_frozen_layers_get_no_gradient_or_no_rate():
    net, _ = treated("frozen")
    assert {name.split(".")[0] for name, p in net.named_parameters() if not p.requires_grad} == {"stage2"}
    net, sgd = treated("frozen-by-rate")
    rest, still = (group["params"] for group in sgd.param_groups)
    assert {id(p) for p in still} == {id(p) for p in net.get_submodule("stage1").parameters()}
    assert len(rest) + len(still) == len([*net.parameters()])
    assert sgd.param_groups[1]["still"]


@pytest.mark.parametrize("kind", ["dead-relu", "dead-relu-residual", "dead-relu-bare"])
def test_rectifiers_are_dead_at_first(kind):
    net, _ = treated(kind)
    biases = [m.bias for m in net.get_submodule("stage2").modules() if isinstance(m, nn.BatchNorm2d | nn.Conv2d)]
    assert biases
    assert all(bool((bias == -5).all()) for bias in biases if bias is not None)


@pytest.mark.parametrize(
    ("kind", "branch", "shortcut"), [("broken-shortcut", 1, 0.01), ("no-shortcut", 1, 0), ("drowned-branch", 0.001, 1)]
)
def test_a_path_is_drowned(kind, branch, shortcut):
    torch.manual_seed(0)
    net, _ = treated(kind)
    torch.manual_seed(0)
    whole = build(**Experiment(**calibration.CASES[kind].experiment).net_options(), in_channels=1, image_size=16)
    x = torch.randn(2, 8, 16, 16)
    own, usual = (each.get_submodule("stage1.block1") for each in (net, whole))
    assert torch.allclose(own.branch(x), branch * usual.branch(x), atol=1e-6)  # float32, values around one
    assert torch.allclose(own.shortcut(x), shortcut * x)


def named_in_sweep():
    text = (Path(ill.__file__).parent / "sweeps" / "diagnosis" / "ill.yaml").read_text()
    return re.findall(r'"analysis\.ill:(\w+)"', text)


@pytest.mark.parametrize("name", named_in_sweep())
def test_nets_of_the_sweep_are_ill_as_they_are_called(name):
    kind, depth = name.split("_")[0], int(re.search(r"\d+$", name)[0])
    net = getattr(ill, name)(10)
    usual = build("residual" if "residual" in name else "plain", depth=depth, width=8, image_size=24, num_classes=10)
    usual.load_state_dict(net.state_dict())  # what was done added and took away no weight
    still = {path for path, parameter in net.named_parameters() if not parameter.requires_grad}
    convolutions = {f"{path}.weight" for path, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    assert still == ({path for path in convolutions if path.startswith("stage2")} if kind == "frozen" else set())
    shut = [path for path, module in net.named_modules() if path and getattr(module, "bias", None) is not None
            and bool((module.bias == ill.SHUT).all())]  # fmt: skip
    assert shut == (["stage2.block2.branch.norm1"] if kind == "dead" else [])
    cut = [path for path, module in net.named_modules() if isinstance(module, ill.Scaled) and module.factor == 0]
    assert [path.rpartition(".shortcut")[0] for path in cut] == (
        [f"stage2.block{(depth - 2) // 12 + 1}"] if kind == "cut" else []
    )


def test_a_treated_run_is_recorded_diagnosed_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(calibration.SMALL, "steps", 4)
    monkeypatch.setitem(calibration.SMALL, "record_every", 1)
    assert calibration.main(["--out", str(tmp_path), "--seeds", "100", "--only", "frozen", "wrong-sign"]) == 0
    assert calibration.main(["--out", str(tmp_path), "--seeds", "100", "--only", "frozen"]) == 0  # it is there
    assert capsys.readouterr().out.count("frozen.s100: finished") == 1
    assert diagnosis.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "one limit set after: " in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "diagnosis.csv")
    row = table.set_index("kind").loc["frozen"]
    assert not table.set_index("kind").loc["wrong-sign", "made"]  # in four steps no loss explodes
    assert (row["rank"], row["findings"].split()[0], row["steps"], row["seeds"]) == (
        1,
        "frozen",
        4,
        "one limit set after",
    )


def test_an_archive_without_such_runs_is_said(tmp_path, record, capsys):
    record(tmp_path)
    assert diagnosis.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "python -m analysis.calibration" in capsys.readouterr().err


def test_outcomes_are_counted():
    rows = [
        ("frozen", 1, True),
        ("frozen", 3, True),
        ("nonfinite", 0, False),
        ("", 0, True),
        ("", 2, True),
        ("", 1, False),
    ]
    table = pd.DataFrame(rows, columns=["right", "rank", "made"]).assign(seeds="unseen")
    assert diagnosis.sentences(table) == [
        "unseen: 1 of 2 ill runs named first or second (1 first), 1 of 2 healthy runs with a finding; 2 more "
        "did not come out as they were meant"
    ]
