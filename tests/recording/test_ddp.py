"""Rule 10: several processes record what one process records on the joined batch, and nobody waits for nobody."""

import pandas as pd
import pytest
import torch

from labapp.store import Run, list_runs
from labapp.training.processes import start_method
from tests.recording.together import WORLD, Differs, data, net, steps, work

FLUSHES = 3  # of 45 steps: after 20, after 40, at the end
NEW, DATA = "all_gather_object", "all_gather"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    given = (f"file://{folder}/meet", str(folder))
    torch.multiprocessing.start_processes(work, given, nprocs=WORLD, join=True, start_method=start_method())
    return [torch.load(folder / f"told{rank}.pt", weights_only=False) for rank in range(WORLD)]


def compare(together, alone, rel=1e-6):
    """Of float64 sums in another order, kept as float32, which has 6e-8."""
    assert list(together.columns) == list(alone.columns)
    assert len(together) == len(alone)
    for column in alone:
        if alone[column].dtype.kind == "f":
            expected = pytest.approx(alone[column].to_numpy(), rel=rel, abs=1e-12, nan_ok=True)
            assert together[column].to_numpy() == expected, column
        else:
            assert together[column].tolist() == alone[column].tolist(), column


@pytest.mark.parametrize(
    ("name", "count", "world"), [("four", 45, 4), ("two", 3, 2), ("shards", 3, 4), ("hybrid", 3, 4)]
)
def test_together_they_record_what_one_records(told, name, count, world):
    alone, tables = steps(net(), *data(), count=count), told[0][name]["tables"]
    for table in ("layers", "totals", "lifetimes"):
        compare(tables[table], alone.table(table))
    # A histogram shows what flows in a process, whose gradients are `world` times those of the joined mean: a power
    # of two, so they are that many bins higher.
    order = ["step", "layer", "of", "exponent"]
    one, all_of_them = (
        table.sort_values(order).reset_index(drop=True) for table in (alone.table("histograms"), tables["histograms"])
    )
    moved = (all_of_them["of"] == "gradient") & (all_of_them["exponent"] > -127)
    all_of_them.loc[moved, "exponent"] -= world.bit_length() - 1
    assert all_of_them.equals(one)
    one, all_of_them = (
        table.sort_values(order[:3]).reset_index(drop=True) for table in (alone.table("spreads"), tables["spreads"])
    )
    compare(all_of_them, one)  # so small that a sample is all of a tensor
    for other in told[1:]:
        if world == WORLD:
            assert all(table.empty for table in other[name]["tables"].values())  # one process writes for all
    assert told[0][name]["cost"]["processes"] == world
    assert told[0][name]["cost"]["local_steps"] == []


@pytest.mark.parametrize("name", ["four", "shards"])
def test_there_is_one_collective_a_flush_and_one_agreement(told, name):
    expected = {"four": [NEW, *[DATA] * FLUSHES], "shards": [NEW, DATA]}[name]
    assert [each[name]["calls"] for each in told] == [expected] * WORLD


def test_processes_that_run_different_layers_meet(told):
    """Also where one leaves out an update, meets a layer later, or catches an error where the others flush."""
    # the new layer costs the second flush a message that says so, and an agreement
    assert [each["different"]["calls"] for each in told] == [[NEW, DATA, DATA, NEW, DATA, DATA]] * WORLD
    table = told[0]["different"]["tables"]["layers"]
    row = table[table.step == 0].set_index("layer")
    torch.manual_seed(0)
    models = [Differs(0)]
    x = torch.randn(WORLD, 8, 6, generator=torch.Generator().manual_seed(3))
    first = models[0].first(x).detach().double()
    assert row.loc["first", "output_mean"] == pytest.approx(first.mean().item(), rel=1e-5)
    assert row.loc["first", "output_std"] == pytest.approx(first.std(correction=0).item(), rel=1e-5)
    odd = models[0].sometimes(models[0].first(x[1::2]).relu()).detach().double()
    assert row.loc["sometimes", "output_std"] == pytest.approx(odd.std(correction=0).item(), rel=1e-5)
    assert set(table.step) == set(range(45)) - {19}  # in which the training of one of them raised
    late = table[(table.layer == "late") & table.output_std.notna()]
    assert set(late.step) == set(range(22, 45))


def test_a_step_that_one_process_lost_is_a_record_of_none_and_nobody_waits(told):
    here, there = (told[rank]["losing"]["cost"]["missing_steps"] for rank in (0, 1))
    assert len(there) == 3
    assert here == there
    table = told[0]["losing"]["tables"]["layers"]
    assert set(table.step) == set(range(6)) - set(here)
    alone = steps(net(), *data(), count=6).table()
    compare(table, alone[alone.step.isin(set(table.step))])


def test_there_is_no_collective_while_an_exception_is_on_its_way(told):
    for each in told:
        assert each["raising"]["calls"] == []
    assert told[0]["raising"]["cost"]["local_steps"] == [0, 1]


def test_what_several_processes_cannot_have_is_told(told):
    for each in told:
        budget, noise = each["refused"]
        assert "same steps" in budget
        assert "only their mean" in noise


def test_of_several_watched_processes_one_makes_a_run(told):
    assert [each["run"] for each in told[1:]] == ["None"] * (WORLD - 1)
    run = Run(told[0]["run"])
    assert [each.id for each in list_runs(run.path.parent)] == [run.id]
    alone = steps(net(), *data(), count=1).table()
    first = run.layers(steps=0)
    names = ["output_mean", "output_std", "output_grad_norm", "weight_norm", "weight_grad_norm"]
    pd.testing.assert_frame_equal(first[names], alone[names], rtol=1e-6, check_dtype=False)
