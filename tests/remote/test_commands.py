"""The commands and the pages on an archive in S3: what they say on a machine that has nothing of it yet."""

import json

import pytest
import torch

from analysis.publish import pick
from labapp.commands.cli import main
from labapp.commands.sweep.engines import ENGINES
from labapp.config import place
from labapp.store import find_run, list_runs
from labapp.training.loop import train
from tests.app.conftest import open_page  # noqa: F401 - a fixture
from tests.app.pages import go
from tests.commands.in_process import InProcess
from tests.remote.conftest import stored
from tests.training.interrupted import assert_equal, interrupted
from tests.training.small import small

TINY = "{depth: 8, width: 2, imageset: digits, steps: 4, batch_size: 16, train_images: 64, test_images: 40}"


def typed(words, capsys, code=0):
    assert main(words) == code, capsys.readouterr()
    return capsys.readouterr().out


def test_a_training_goes_on_elsewhere_bit_for_bit(archive, machine, tmp_path):
    whole = train(small(), tmp_path / "runs", run_id="cut")
    interrupted(place(archive), 4)
    with machine("two"):
        assert find_run("cut", archive).status == "failed"
        assert main(["resume", "cut", "--root", archive]) == 0
    with machine("three"):
        assert_equal(whole, find_run("cut", archive))


def test_every_command_takes_an_address(archive, machine, capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(ENGINES, "local", InProcess)
    monkeypatch.setattr("labapp.commands.sweep.estimating.Workers", InProcess)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(f"base: {TINY}\nseeds: [0, 1]\n")
    typed(["sweep", "tiny.yaml", "--root", archive], capsys)
    with machine("two"):
        assert f"2 runs in {archive}" in typed(["runs", "list", "--root", archive], capsys)
        told = json.loads(typed(["runs", "list", "--json", "--root", archive], capsys))
        assert [each["status"] for each in told] == ["finished", "finished"]
        assert all(each["tags"] == ["sweep:tiny"] for each in told)
        run = told[0]["id"]
        assert "0 faults" not in typed(["runs", "check", "--root", archive], capsys)
        assert run in typed(["runs", "show", run, "--root", archive], capsys)
        typed(["runs", "show", f"{archive}/{run}"], capsys)
        typed(["claims", "--root", archive], capsys)
        typed(["sweep", "tiny.yaml", "--root", archive], capsys)  # nothing is left to do
        typed(["report", run, "--root", archive, "--out", "report.html"], capsys)
        assert archive in (tmp_path / "report.html").read_text()
        assert len(pick(place(archive))) == len(list_runs(archive)) == 2
        typed(["runs", "rename", run, "ours", "--root", archive], capsys)
        assert "sent: nothing" in typed(["runs", "send", "--root", archive], capsys)
        assert main(["runs", "send", "--root", "runs"]) == 2
        assert "runs is a folder of this machine, so there is nothing to send" in capsys.readouterr().err
        typed(["runs", "remove", run, "--root", archive], capsys)
        assert not [key for key in stored(archive) if run in key]
    assert list(tmp_path.glob("s3:*")) == []  # nobody took the address for a folder


def test_pages_show_an_archive_elsewhere_and_what_is_wrong(archive, machine, open_page):  # noqa: F811
    train(small(), archive, run_id="run")
    with machine("two"):
        app = open_page(archive)
        assert app.text_input(key="archive").value == archive
        assert not app.error
        go(app, "gradient_flow")
        assert app.get("vega_lite_chart")
    with machine("three"):
        app = open_page("s3://other/runs")
        said = " ".join(each.value for each in (*app.error, *app.warning, *app.info))
        assert "there is no bucket 'other'" in said


@pytest.mark.parametrize("words", [["runs", "list"], ["claims"], ["train", "--steps", "1"], ["sweep", "x.yaml"]])
def test_a_bucket_that_is_not_there_is_one_sentence(archive, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(f"base: {TINY}\n")
    assert main([*words, "--root", "s3://other/runs"]) == 2
    assert "there is no bucket 'other'" in capsys.readouterr().err
