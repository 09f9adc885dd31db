"""Rules 11 to 16: loss scaling, half precision, accumulation, clipping, compiled and checkpointed nets."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.nets import build
from labapp.recording import Recorder, RecorderWarning, every
from tests.recording.nets import Checkpointed, batch, optimizer_of, record, small, train


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
