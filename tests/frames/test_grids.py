"""Do the matrices say what the rows on disk say, and does a live run cost only what was added to it?"""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from labapp.app import grids
from labapp.frames.grids import panels_of
from labapp.store import QUANTITIES, RunWriter, list_runs
from labapp.training.loop import train
from tests.conftest import SMALL_NETS
from tests.frames import by_rows
from tests.training.small import small

KINDS = ("conv", "norm", "linear", "block")
SAME = {"check_dtype": False, "check_like": True}


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    return train(small(norm="none", learning_rate=1e4, steps=20, record_every=2), tmp_path_factory.mktemp("diverged"))


def equal(ours, rows):
    columns = [name for name in rows.columns if name in ours]
    pd.testing.assert_frame_equal(ours[columns].reset_index(drop=True), rows[columns].reset_index(drop=True), **SAME)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("relative", [False, True])
def test_layers_are_those_of_the_rows(quantity, relative, digit_nets, diverged):
    for run in [*list_runs(digit_nets), diverged]:
        for kinds in (["conv"], list(KINDS)):
            ours = frames.layer_table([run], quantity, kinds, relative)
            rows = by_rows.layer_table(run, quantity, kinds, relative)
            assert len(ours) == len(rows)
            equal(ours, rows)


@pytest.mark.parametrize("net", [*SMALL_NETS, "diverged"])
def test_signals_are_those_of_the_rows(net, digit_nets, diverged):
    run = diverged if net == "diverged" else next(run for run in list_runs(digit_nets) if run.id == net)
    order = ["quantity", "step", "depth", "layer"]
    ours, rows = (table.sort_values(order) for table in (frames.signals([run]), by_rows.read_signals(run)))
    assert len(ours) == len(rows) > 0
    equal(ours, rows.astype({"quantity": object}))


def test_one_step_of_a_panel_is_that_step_of_the_table(digit_nets):
    runs = list_runs(digit_nets)
    panels = frames.layer_panels(runs)
    at = frames.rows_at(panels, frames.standing(frames.moments(panels), 8))
    table = frames.layer_table(runs)
    equal(at, table[table["step"] == 8])
    assert frames.span(panels) == (table["value"].min(), table["value"].max())


def test_heatmaps_of_panels_are_those_of_their_rows(digit_nets, diverged):
    runs = [*list_runs(digit_nets), diverged]
    panels, table = frames.layer_panels(runs), frames.layer_table(runs)
    pd.testing.assert_frame_equal(
        frames.gradient_heatmap(panels, 30), frames.gradient_heatmap(table, 30), check_dtype=False
    )
    assert [panel.who["run"] for panel in panels_of(table)] == list(dict.fromkeys(table["run"]))


def test_slopes_are_sampled_with_first_last_and_the_step_shown(record, tmp_path):
    run = record(tmp_path, recorded=tuple(range(0, 300, 3)), nan_from=270, status="diverged")
    panels = frames.layer_panels([run])
    slopes = frames.sampled_slopes(panels, 12, frames.standing(frames.moments(panels), 150))
    steps = list(slopes["step"])
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == 297
    assert 150 in steps
    assert len(steps) <= 13
    assert slopes["slope"].isna().sum() == 6  # half of them are those without a slope
    whole = frames.gradient_slope(frames.layer_table([run]))
    pd.testing.assert_frame_equal(
        slopes.reset_index(drop=True), whole[whole["step"].isin(steps)].reset_index(drop=True)
    )


def test_what_was_worked_out_once_stays(digit_nets):
    runs = list_runs(digit_nets)
    read = {run.id: frames.read_grid(run, frames.quantities_for("output_grad_norm")) for run in runs}
    one, other = (frames.layer_panels(runs, read=lambda run, _: read[run.id]) for _ in range(2))
    assert all(each is again for each, again in zip(one, other, strict=True))
    pd.testing.assert_frame_equal(frames.gradient_heatmap(one), frames.gradient_heatmap(other))
    assert frames.layer_panels(runs, relative=True, read=lambda run, _: read[run.id])[0] is not one[0]


def written(writer, steps, layers=("stem", "body", "head"), scale=1.0):
    for step in steps:
        writer.write(
            "layers",
            {
                "step": step, "layer": list(layers), "kind": "conv", "depth": np.arange(len(layers)) + 1,
                "relative_depth": np.linspace(0, 1, len(layers)), "stage": 1, "block": "",
                "output_grad_norm": scale * (1.0 + step + np.arange(len(layers))), "nonfinite": 0.0,
            },
        )  # fmt: skip
    writer.flush()


@pytest.fixture
def live(tmp_path):
    from labapp.config import Experiment

    with RunWriter.create(tmp_path, Experiment(family="plain", depth=8, steps=100)) as writer:
        yield writer


ASKED = ["output_grad_norm", "nonfinite"]


def test_a_live_run_costs_its_new_rows(live, monkeypatch):
    written(live, range(50))
    before = frames.read_grid(live.run, ASKED)
    written(live, range(50, 53))
    asked, read = [], type(live.run).matrices
    monkeypatch.setattr(
        type(live.run), "matrices", lambda run, names, since=None: asked.append(since) or read(run, names, since)
    )
    after = frames.read_grid(live.run, ASKED, before)
    assert asked == [49]
    fresh = frames.read_grid(live.run, ASKED)
    assert np.array_equal(after.steps, np.arange(53))
    for name in ASKED:
        assert np.array_equal(after.columns[name], fresh.columns[name])
    assert after.rows == fresh.rows == 159
    pd.testing.assert_frame_equal(after.layers, fresh.layers)


def test_a_step_of_which_a_part_came_late_is_whole(live):
    written(live, range(5))
    before = frames.read_grid(live.run, ASKED)
    live.write("layers", {"step": 4, "layer": ["late"], "kind": "conv", "depth": 2, "output_grad_norm": 9.0})
    live.flush()
    after = frames.read_grid(live.run, ASKED, before)
    assert after.there.sum() == 16
    assert list(after.layers["layer"]) == ["stem", "body", "late", "head"]


def test_rows_of_an_earlier_step_are_not_missed(live):
    written(live, range(10, 20))
    before = frames.read_grid(live.run, ASKED)
    written(live, [3])
    assert list(frames.read_grid(live.run, ASKED, before).steps) == [3, *range(10, 20)]


def test_a_later_attempt_replaces_what_was_kept(tmp_path):
    from labapp.config import Experiment

    with RunWriter.create(tmp_path, Experiment(family="plain", depth=8, steps=100)) as writer:
        written(writer, range(20))
        run = writer.run
        before = frames.read_grid(run, ASKED)
    with RunWriter(run.path, from_step=10) as writer:
        written(writer, range(10, 30), scale=-1.0)
        after = frames.read_grid(writer.run, ASKED, before)
    assert list(after.steps) == [*range(30)]
    assert (after.columns["output_grad_norm"] < 0).sum() == 60


def test_what_is_kept_has_an_end(record, tmp_path, monkeypatch):
    runs = [record(tmp_path, seed=seed) for seed in range(5)]
    one = grids.read(runs[0], ASKED)
    monkeypatch.setattr(grids, "ROOM", 3 * one.size)
    monkeypatch.setattr(grids, "_kept", type(grids._kept)())
    for run in runs:
        assert grids.read(run, ASKED) is grids.read(run, ASKED)
    assert len(grids._kept) == 3
    monkeypatch.setattr(grids, "ROOM", 0)
    assert grids.read(runs[0], ASKED) is not None  # one larger than the room is kept while it is looked at
    assert len(grids._kept) == 1
