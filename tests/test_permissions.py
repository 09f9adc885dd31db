"""What may a process do, as its environment says? Real folders and links, real archives."""

import os
from pathlib import Path

import pytest

from labapp.app import launch
from labapp.config import Experiment, LabError, permissions
from labapp.store import RunWriter, list_runs, remove_run


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """A working folder, a root in it, and something outside."""
    for name in ("home", "home/runs", "home/runs/sub", "outside", "home/runs-too"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "home")
    for name in (permissions.RUNS, permissions.ROOTS, permissions.READ_ONLY, permissions.TRUST, permissions.DATA):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "home/runs/out").symlink_to(tmp_path / "outside")
    (tmp_path / "home/runs/loop").symlink_to("loop")
    (tmp_path / "home/linked").symlink_to(tmp_path / "home/runs")
    return tmp_path


@pytest.mark.parametrize(
    "folder", ["runs", "runs/sub", "./runs/", "runs/../runs/sub", "linked", "linked/sub", "runs/new"]
)
def test_what_lies_under_a_root_may_be_opened(folder):
    assert permissions.under_roots(folder).is_relative_to(Path("runs").resolve())


@pytest.mark.parametrize(
    "folder",
    ["/", "/etc", "..", ".", "runs/..", "runs/../../outside", "runs/out", "linked/out", "runs-too", "~", "runs/loop/x",
     "~nobody-of-this-name/x", "runs/\0", ""],
)  # fmt: skip
def test_what_lies_outside_is_one_sentence(folder):
    with pytest.raises(LabError) as refused:
        permissions.under_roots(folder)
    assert "\n" not in str(refused.value)


def test_several_roots_may_be_given(at_home, monkeypatch):
    monkeypatch.setenv(permissions.ROOTS, os.pathsep.join(["runs-too", str(at_home / "outside")]))
    assert permissions.roots()[0] == Path("runs-too").resolve()
    assert permissions.under_roots(at_home / "outside") == at_home / "outside"
    with pytest.raises(LabError, match=r"where this app may open archives; `labapp app --root DIR`"):
        permissions.under_roots("runs")
    monkeypatch.setenv(permissions.RUNS, "runs")
    assert permissions.roots() == tuple(Path(name).resolve() for name in ("runs", "runs-too", "../outside"))


def test_images_lie_anywhere_until_somebody_says_where(at_home, monkeypatch):
    assert permissions.under_data("/data") == Path("/data")
    monkeypatch.setenv(permissions.DATA, "")
    assert permissions.under_data("data") == at_home / "home" / "data"
    with pytest.raises(LabError, match=r"where this app may open images; `labapp app --data DIR`"):
        permissions.under_data(at_home / "outside")
    monkeypatch.setenv(permissions.DATA, str(at_home / "outside"))
    assert permissions.under_data(at_home / "outside" / "set")


@pytest.mark.parametrize("said", ["1", "yes", "true"])
def test_read_only_forbids_starting_stopping_and_removing(tmp_path, monkeypatch, said):
    RunWriter.create("runs", Experiment(), run_id="a").finish("finished")
    job = launch.Launch(tmp_path / "job.json", ("train",), 0.0)
    monkeypatch.setenv(permissions.READ_ONLY, said)
    for forbidden in (
        lambda: launch.start(["train"], "runs"), lambda: launch.start(["probe", "a"], "runs"),
        lambda: launch.start(["starter"], "runs"), lambda: launch.stop(job), lambda: remove_run("runs", "a"),
    ):  # fmt: skip
        with pytest.raises(LabError, match="is not allowed, because this lab was opened with --read-only"):
            forbidden()
    assert launch.begin_starter("elsewhere") is None
    assert not Path("runs/.launches").exists()
    assert not Path("elsewhere").exists()
    assert [run.id for run in list_runs("runs")] == ["a"]


@pytest.mark.parametrize("said", ["", "0", "no", "false"])
def test_what_is_not_read_only_may_be_changed(monkeypatch, said):
    RunWriter.create("runs", Experiment(), run_id="a").finish("finished")
    monkeypatch.setenv(permissions.READ_ONLY, said)
    remove_run("runs", "a")


@pytest.mark.parametrize(
    ("net", "module"),
    [
        (None, None), ("torchvision:resnet18", None), ("timm:resnet18.a1_in1k", None), ("timm:hf_hub:a/b", None),
        ("mine:make", "mine"), ("a.b:c", "a.b"), ("os:system", "os"), ("torchvision.x:y", "torchvision.x"),
        (" torchvision:resnet18", " torchvision"), ("timm.models:x", "timm.models"), ("resnet18", None),
    ],
)  # fmt: skip
def test_a_module_of_ones_own_is_told_from_a_library(net, module):
    assert permissions.module_of(net) == module
    assert permissions.is_trusted(net) == (module is None)


def test_consent_is_by_the_modules_name(monkeypatch):
    with pytest.raises(LabError, match="asks for the code of module 'mine', which reading a run does not execute"):
        permissions.require_trust("mine:make", "run 'a'")
    permissions.trust(["mine", "b"])
    monkeypatch.setenv(permissions.TRUST, os.environ[permissions.TRUST])  # to be taken back after this test
    permissions.require_trust("mine:make", "run 'a'")
    permissions.require_trust("mine:other", "run 'a'")
    for other in ("mine.sub:make", "min:make", "mine2:make"):
        assert not permissions.is_trusted(other)


def test_the_app_starts_no_training_with_code_that_nobody_consented_to():
    for words in (["train", "--net", "evil:make"], ["train", "--net=evil:make"]):
        with pytest.raises(LabError, match="this training asks for the code of module 'evil'"):
            launch.start(words, "runs")
