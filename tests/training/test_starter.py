"""The starter comparison in small: recorded once, continued after a failure, told in two tables."""

import pytest
from rich.console import Console

from labapp.commands.starter import degradation, record, summary
from labapp.config import Experiment, LabError
from labapp.store import RunWriter, list_runs
from labapp.training import starter
from labapp.training.starter import STARTER, Result, finished

QUICK = {"width": 4, "steps": 3, "batch_size": 8, "record_every": 1, "train_images": 16, "test_images": 20}
SERIES = (
    Experiment(family="plain", depth=8, **QUICK),
    Experiment(family="residual", depth=8, **QUICK),
    Experiment(family="plain", depth=14, **QUICK),
    Experiment(family="residual", depth=14, **QUICK),
    Experiment(family="dense", depth=10, growth_rate=4, bottleneck=True, compression=0.5, **QUICK),
)


def printed(table):
    console = Console(width=160, markup=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.fixture
def console():
    return Console(width=160, record=True, markup=False)


def test_the_five_differ_in_their_net_alone():
    assert [experiment.name for experiment in STARTER] == [
        "plain-20",
        "residual-20",
        "plain-56",
        "residual-56",
        "dense-40",
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
    assert "[5/5] dense-10: step 3/3" in capsys.readouterr().out


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


def test_a_failure_ends_neither_the_series_nor_goes_unsaid(tmp_path, console, monkeypatch):
    from labapp.training import loop

    real = loop.train

    def fragile(experiment, root, **options):
        if experiment == SERIES[0]:
            raise RuntimeError("out of memory")
        return real(experiment, root, **options)

    monkeypatch.setattr(loop, "train", fragile)
    results = record(SERIES[:2], tmp_path, console)
    assert results[0] == Result(SERIES[0], None, "RuntimeError: out of memory")
    assert results[1].run.status == "finished"
    assert "failed: RuntimeError: out of memory" in printed(summary(results))
    assert "points" not in printed(degradation(results))

    monkeypatch.setattr(starter, "STARTER", SERIES[:1])
    monkeypatch.setattr("labapp.commands.cli.STARTER", SERIES[:1])
    from labapp.commands.cli import main

    assert main(["starter", "--root", str(tmp_path)]) == 1


def test_a_mistake_that_meets_all_ends_it(tmp_path, console):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError):
        record(SERIES, tmp_path / "file", console)
