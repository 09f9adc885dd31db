"""Does a dashboard that follows a training show what an export shows, and hurt nothing when it fails?"""

import errno
import socket
import warnings

import numpy as np
import pytest

from labapp.commands.cli import main
from labapp.config import Experiment, LabError
from labapp.exports import MirrorWarning, export, mirror, mirroring
from labapp.store import Run, RunWriter, list_runs
from labapp.store.appending import StoreWarning
from tests.exports.runs import STEPS, write_rows
from tests.store.faulty import FaultyDisk, fail_with

WHY = "the extra `export` is not installed: pip install 'labapp[export]'"
accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=WHY)


def everything(folder):
    """All scalars and histograms that TensorBoard reads of a run."""
    from tensorboard.util import tensor_util

    found = accumulator.EventAccumulator(str(folder), accumulator.STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    curves = {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    for tag in found.Tags()["tensors"]:
        if not tag.startswith("histograms/"):
            continue
        events = found.Tensors(tag)
        curves[tag] = [(event.step, *tensor_util.make_ndarray(event.tensor_proto).ravel()) for event in events]
    return curves


def same(one, other):
    assert one.keys() == other.keys()
    for tag in one:
        np.testing.assert_array_equal(one[tag], other[tag], err_msg=tag)


@pytest.fixture
def writer(tmp_path):
    return RunWriter.create(tmp_path / "runs", Experiment(depth=20, steps=21), run_id="full")


def test_a_mirror_shows_what_an_export_shows(writer, tmp_path):
    made = mirror(writer, "tensorboard", tmp_path / "logs", quantities="all")
    write_rows(writer)
    run = writer.finish()
    assert made.fault == ""
    export(run, "tensorboard", tmp_path / "out", quantities="all")
    shown = everything(tmp_path / "logs" / "full")
    same(shown, everything(tmp_path / "out" / "full"))
    assert [step for step, _ in shown["gradients/output_grad_norm/010.head"]] == list(STEPS)


def test_what_a_later_attempt_writes_anew_is_shown_once(writer, tmp_path):
    mirror(writer, "tensorboard", tmp_path / "logs")
    write_rows(writer)
    writer.finish("stopped")
    again = RunWriter(writer.path, from_step=10)
    mirror(again, "tensorboard", tmp_path / "logs")
    again.write("steps", {"step": [10, 11], "loss": [7.0, 6.0]})
    again.finish()
    shown = dict(everything(tmp_path / "logs" / "full")["train/loss"])
    assert list(shown) == list(range(12))
    assert (shown[9], shown[10], shown[11]) == (np.float32(0.23), 7.0, 6.0)


def kept(run):
    """Whether the archive has all rows."""
    return run.status == "finished" and len(run.steps()) == 21 and len(run.layers()) == 15 and not run.problems


def in_place_of_the_folder(tmp_path):
    (tmp_path / "logs").write_text("somebody's")
    return "tensorboard", tmp_path / "logs"


def nobody_there(tmp_path):
    pytest.importorskip("mlflow", reason=WHY)
    return "mlflow", "http://127.0.0.1:9"


@pytest.mark.parametrize("where", [in_place_of_the_folder, nobody_there])
def test_a_dashboard_that_is_not_there_is_said_once(writer, tmp_path, where, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = mirror(writer, *where(tmp_path))
        write_rows(writer)
        run = writer.finish()
    ours = [str(one.message) for one in said if issubclass(one.category, MirrorWarning)]
    assert ours == [made.fault]
    assert "training goes on, and the archive has everything" in made.fault
    assert kept(run)


@pytest.mark.parametrize("at", [1, 3])
def test_a_full_disk_of_a_dashboard_costs_the_dashboard(writer, tmp_path, at):
    with FaultyDisk(tmp_path / "logs", at, fail_with(errno.ENOSPC), lasting=True):
        made = mirror(writer, "tensorboard", tmp_path / "logs")
        write_rows(writer)
        run = writer.finish()
    assert "No space left on device" in made.fault
    assert kept(run)


def test_a_dashboard_that_hangs_holds_nothing_up(writer, monkeypatch):
    pytest.importorskip("mlflow", reason=WHY)
    monkeypatch.setattr(mirroring, "LAST_SECONDS", 0.05)
    monkeypatch.setattr(mirroring, "MOST_ROWS", 30)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes a call and never answers
        made = mirror(writer, "mlflow", f"http://127.0.0.1:{server.getsockname()[1]}")
        write_rows(writer)
        run = writer.finish()
        assert "it had not taken everything" in made.fault
        assert made.dropped > 0
        assert kept(run)
    made._thread.join(30)  # the server has gone, and the call with it
    assert not made._thread.is_alive()


def test_a_follower_that_raises_is_left_behind(writer):
    class Broken:
        def write(self, table, columns):
            raise RuntimeError("no more")

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        writer.also(Broken())
        write_rows(writer)
        run = writer.finish()
    told = [str(one.message) for one in said if issubclass(one.category, StoreWarning)]
    assert told == ["Broken follows the run no more (no more)"]
    assert kept(run)


def test_a_watched_model_is_mirrored(tmp_path):
    from torch import nn, ones, optim

    from labapp.recording import every, unwatch, watch

    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    found = watch(net, optimizer, runs=tmp_path / "runs", when=every(1))
    mirror(found, to="tensorboard", where=tmp_path / "logs")
    for _ in range(3):
        optimizer.zero_grad()
        net(ones(5, 3)).sum().backward()
        optimizer.step()
    unwatch(net)
    export(Run(found.run), "tensorboard", tmp_path / "out")
    shown = everything(tmp_path / "logs" / found.run.name)
    assert {"weights/update_ratio/001.0", "gradients/output_grad_norm/003.2"} & set(shown)
    same(shown, everything(tmp_path / "out" / found.run.name))
    with pytest.raises(LabError, match="there is no run to follow"):
        found.also(None)


def test_a_training_is_mirrored_from_the_command_line(tmp_path, capsys):
    words = "--family plain --depth 8 --width 2 --imageset digits --steps 4 --record-every 2 --train-images 64"
    more = ["--test-images", "20", "--batch-size", "16", "--device", "cpu", "--probe", "none"]
    logs, root = tmp_path / "logs", tmp_path / "runs"
    mirrors = ["--mirror", f"tensorboard:{logs}", "--root", str(root)]
    assert main(["train", *words.split(), *more, *mirrors]) == 0
    (run,) = list_runs(root)
    shown = everything(logs / run.id)
    steps = run.steps()
    assert shown["train/loss"] == list(zip(steps["step"], steps["loss"], strict=True))
    assert any(tag.startswith("gradients/output_grad_norm/001.") for tag in shown)
    capsys.readouterr()
    for word, sentence in {
        "tensorbord:x": "'tensorbord' is no target (did you mean 'tensorboard'?)",
        "tensorboard": "a mirror to TensorBoard needs its log folder: --mirror tensorboard:DIR",
    }.items():
        assert main(["train", *words.split(), "--mirror", word, "--root", str(tmp_path / "none")]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
