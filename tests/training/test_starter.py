"""The starter comparison in small: recorded once, continued after a failure, told in two tables."""

import sys

import pytest
from rich.console import Console

from labapp.commands.starter import _turn, degradation, record, summary
from labapp.config import Experiment, LabError
from labapp.probes.catalogue import shown, why_not
from labapp.store import RunWriter, list_runs
from labapp.training.starter import COSTS, STARTER, Result, finished, resumable, seconds
from tests.store.examples import edit
from tests.training.interrupted import interrupted
from tests.training.small import small

QUICK = {
    "width": 4,
    "steps": 3,
    "batch_size": 8,
    "record_every": 1,
    "train_images": 16,
    "test_images": 20,
    "checkpoints": 0,
}
SERIES = (
    Experiment(family="plain", depth=8, **QUICK),
    Experiment(family="residual", depth=8, **QUICK),
    Experiment(family="plain", depth=14, **QUICK),
    Experiment(family="residual", depth=14, **QUICK),
    Experiment(family="dense", depth=10, growth_rate=4, bottleneck=True, compression=0.5, **QUICK),
)

FRAGILE = """
from torch import nn

class Fragile(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.only = nn.Linear(4, classes)

    def forward(self, x):
        raise RuntimeError("out of memory")

def make(num_classes=10):
    return Fragile(num_classes)
"""


def printed(table):
    console = Console(width=160, markup=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.fixture
def console():
    return Console(width=160, record=True, markup=False)


def test_the_six_differ_in_their_net_alone():
    assert [experiment.name for experiment in STARTER] == [
        "plain-20",
        "residual-20",
        "plain-56",
        "residual-56",
        "dense-40",
        "vgg-11",
    ]
    names = list(Experiment.model_fields)
    for name in names[names.index("imageset") :]:  # before it stand the fields of the net
        assert len({getattr(experiment, name) for experiment in STARTER}) == 1, name
    assert STARTER[0].imageset == "cluttered-digits"


def test_it_records_all_and_tells_them_in_tables(tmp_path, console, capsys):
    results = record(SERIES, tmp_path / "runs", console)
    assert [result.run.status for result in results] == ["finished"] * 5
    table = printed(summary(results))
    for result in results:
        (line,) = (line for line in table.splitlines() if f" {result.run.name} " in line)
        accuracy = result.run.evals(where={"split": "test"})["accuracy"].iloc[-1]
        assert f"{100 * accuracy:.1f} %" in line
        layers = result.run.layers(where={"kind": "conv"})
        for step in (0, 2):
            rows = layers[layers["step"] == step].sort_values("depth")["output_grad_norm"]
            assert f"{rows.iloc[0] / rows.iloc[-1]:.3g}" in line
    table = printed(degradation(results))
    assert [line.split("│")[1].strip() for line in table.splitlines() if "points" in line] == ["8", "14"]
    said = capsys.readouterr().out
    assert "[1/" in said
    assert "training dense-10: done, step 3 of 3, test " in said


def test_only_finished_runs_are_compared(tmp_path):
    results = []
    for family, status in (("plain", "finished"), ("residual", "diverged")):
        experiment = Experiment(family=family, depth=8, steps=3)
        writer = RunWriter.create(tmp_path, experiment)
        writer.write("evals", {"step": [1], "split": ["test"], "loss": [2.0], "accuracy": [0.1]})
        results.append(Result(experiment, writer.finish(status)))
    assert "points" not in printed(degradation(results))


@pytest.mark.long
def test_what_is_finished_is_not_recorded_again(tmp_path, console):
    with RunWriter.create(tmp_path, SERIES[0]):  # finished at once, with nothing in it
        pass
    RunWriter.create(tmp_path, SERIES[1]).finish("failed", "out of memory")
    before = list_runs(tmp_path)
    results = record(SERIES[:2], tmp_path, console)
    assert results[0].run in before
    assert results[1].run not in before
    assert "plain-8 is there already" in console.export_text()
    assert set(finished(SERIES, tmp_path)) == {SERIES[0], SERIES[1]}
    assert record(SERIES[:2], tmp_path, console) == results
    assert "–" in printed(summary(results[:1]))  # nothing recorded, nothing made up


def test_what_was_interrupted_goes_on(tmp_path, console):
    cut = interrupted(tmp_path, 2, **SERIES[1].model_dump(include=SERIES[1].model_fields_set))
    assert cut.experiment != SERIES[1]  # small() gives more fields
    same = small(**cut.experiment.model_dump(include=cut.experiment.model_fields_set))
    (result,) = record((same,), tmp_path, console)
    assert result.run == cut
    assert [attempt["from_step"] for attempt in cut.attempts] == [0, 1]
    assert "residual-8 was interrupted and goes on (cut)" in console.export_text()
    assert list_runs(tmp_path) == [cut]


def test_what_has_no_state_or_has_ended_does_not_go_on(tmp_path):
    cut = interrupted(tmp_path, 2)
    assert resumable([cut.experiment, small(seed=1)], tmp_path) == {cut.experiment: cut}
    later = interrupted(tmp_path, 2, run_id="later")
    assert resumable([cut.experiment], tmp_path) == {cut.experiment: later}  # the newest
    for kept in later.path.rglob("*.pt"):
        kept.unlink()
    assert resumable([cut.experiment], tmp_path) == {cut.experiment: cut}
    edit(cut.path, status="diverged")
    assert resumable([cut.experiment], tmp_path) == {}
    assert resumable([cut.experiment], tmp_path / "nowhere") == {}


@pytest.mark.long
def test_a_failure_ends_neither_the_series_nor_goes_unsaid(tmp_path, console, monkeypatch):
    (tmp_path / "fragile_net.py").write_text(FRAGILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(filter(None, sys.path))}")
    fragile = Experiment(net="fragile_net:make", steps=3, batch_size=8, train_images=16, test_images=20)
    results = record((fragile, SERIES[1]), tmp_path / "runs", console)
    assert results[0] == Result(fragile, None, "RuntimeError: out of memory")
    assert results[1].run.status == "finished"
    assert "failed: RuntimeError: out of memory" in printed(summary(results))
    assert "points" not in printed(degradation(results))

    monkeypatch.setattr("labapp.commands.starter.STARTER", (fragile,))
    from labapp.commands.cli import main

    assert main(["starter", "--root", str(tmp_path / "runs")]) == 1


@pytest.mark.long
def test_what_a_page_shows_is_measured_too(tmp_path, console):
    kept = Experiment(**SERIES[4].model_dump(include=SERIES[4].model_fields_set) | {"checkpoints": 3})
    (result,) = record((kept,), tmp_path, console)
    run = result.run
    assert set(run.probes()) == {name for name in shown() if not why_not(name, kept)}
    by_weights = run.probe("feature_reuse", run.checkpoints()[1])
    assert set(by_weights["weighting"]) == {"weights"}
    assert {"gradient", "ablation"} < set(run.probe("feature_reuse", 3)["weighting"])
    before = {path: path.stat().st_mtime_ns for path in (run.path / "probes").iterdir()}
    assert record((kept,), tmp_path, console) == [result]  # what is there is not made again
    assert {path: path.stat().st_mtime_ns for path in (run.path / "probes").iterdir()} == before

    for path in (run.path / "probes").glob("by_depth*"):
        path.unlink()  # as after an interruption
    record((kept,), tmp_path, console)
    assert "by_depth" in run.probes()
    assert sum(path.stat().st_mtime_ns == when for path, when in before.items() if path.exists()) < len(before)


def test_the_first_two_come_first_and_then_the_longest():
    turns = sorted(STARTER, key=lambda each: _turn(each, STARTER))
    assert turns[:2] == list(STARTER[:2])
    assert [seconds(each)[0] for each in turns[2:]] == sorted((seconds(each)[0] for each in STARTER[2:]), reverse=True)
    assert {each.name for each in STARTER} == set(COSTS)


def test_a_mistake_that_meets_all_ends_it(tmp_path, console):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError):
        record(SERIES, tmp_path / "file", console)
