"""A loop of one's own in a block: what is in the archive afterwards, however it ended?"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import labapp
from labapp import frames
from labapp.callbacks import record_run
from labapp.frames.diagnosis.material import Material
from labapp.recording import every, unwatch, watch
from labapp.store import Run, list_runs
from tests.callbacks.loops import (
    batches,
    by_hand,
    net,
    nothing_said,
    require_same_layers,
    require_same_weights,
    sgd,
    what_is_said,
)

ROOT = Path(labapp.__file__).parent.parent


def trained(model, run, given, optimizer=None, broken_at=None, error=None):
    optimizer = optimizer or sgd(model.parameters())
    for step, (x, y) in enumerate(given):
        if step == broken_at:
            raise error or ValueError("a leak")
        out = model(x)
        loss = F.cross_entropy(out, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        run.log(loss=loss, accuracy=(out.argmax(1) == y).float().mean())


def test_the_run_holds_what_a_loop_by_hand_gives(tmp_path):
    given, expected, model = batches(5), by_hand(batches(5)), net()
    optimizer = sgd(model.parameters())
    with nothing_said(), record_run(model, optimizer, tmp_path, when=every(1), steps=5) as run:
        trained(model, run, given, optimizer)
        run.evaluated(loss=1.5, accuracy=torch.tensor(0.25))
    found = Run(run.path)
    require_same_weights(model, expected.weights)
    require_same_layers(found, expected.layers)
    steps = found.steps()
    assert steps["step"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(steps["loss"], np.float32(expected.losses))
    np.testing.assert_array_equal(steps["accuracy"], np.float32(expected.accuracies))
    np.testing.assert_array_equal(steps["learning_rate"], np.float32(0.05))
    assert (np.diff(steps["seconds"]) > 0).all()
    assert found.evals().to_dict("records") == [{"step": 5, "split": "test", "loss": 1.5, "accuracy": 0.25}]
    assert (found.status, found.progress, found.name) == ("finished", (5, 5), "Sequential")
    what = found.experiment
    assert (what.learning_rate, what.momentum, what.weight_decay, what.steps) == (0.05, 0.9, 1e-3, 5)
    assert found.environment["loop"] == "PyTorch"
    assert found.environment["optimizer"] == "SGD"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("a leak"), "failed", "ValueError: a leak"),
        (KeyboardInterrupt(), "stopped", "stopped by hand"),
        (SystemExit(3), "stopped", "SystemExit"),
    ],
)
def test_an_exception_passes_and_ends_the_run(tmp_path, error, status, message):
    model = net()
    optimizer = sgd(model.parameters())
    with pytest.raises(type(error)) as raised, record_run(model, optimizer, tmp_path) as run:
        trained(model, run, batches(4), optimizer, broken_at=3, error=error)
    assert raised.value is error
    found = Run(run.path)
    assert (found.status, found.record.message, found.progress) == (status, message, (3, 3))


def test_nets_of_any_name_have_a_run(tmp_path):
    class _Net(torch.nn.Sequential):
        pass

    model = _Net(torch.nn.Linear(3, 2))
    with nothing_said(), record_run(model, sgd(model.parameters()), tmp_path) as run:
        pass
    assert run.path.name.startswith("Net-")
    assert Run(run.path).name == "_Net"
    assert watch(model, sgd(model.parameters()), runs=tmp_path).run.is_dir()  # of <locals>
    unwatch(model)


def test_a_loss_that_is_no_number_ends_it_as_diverged(tmp_path):
    model = net()
    optimizer = sgd(model.parameters())
    with record_run(model, optimizer, tmp_path, when=every(1)) as run:
        (x, y), *_ = batches(1)
        trained(model, run, [(x, y), (x * torch.inf, y)], optimizer)
    assert Run(run.path).status == "diverged"


def test_steps_that_a_scaler_refuses_keep_their_numbers(tmp_path):
    model = net()
    optimizer, scaler = sgd(model.parameters()), torch.amp.GradScaler("cpu", init_scale=64.0)
    with record_run(model, optimizer, tmp_path, when=every(1), scaler=scaler) as run:
        for step, (x, y) in enumerate(batches(6)):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            scaler.scale(loss * (torch.inf if step in (1, 5) else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            run.log(loss=step)
    found = Run(run.path)
    assert found.steps()[["step", "loss"]].to_numpy().tolist() == [[step, step] for step in range(6)]
    assert found.table("totals")["skipped"].tolist() == [0, 1, 0, 0, 0, 1]


def test_numbers_of_one_step_become_their_mean_and_no_row_is_of_a_step_that_was_not(tmp_path):
    model = net()
    optimizer = sgd(model.parameters())
    with record_run(model, optimizer, tmp_path) as run:
        trained(model, run, batches(2), optimizer)
        run.log(step=1, loss=7.0, share=0.5)
        run.log(step=2, loss=9.0)  # of a step that never ends
    steps = Run(run.path).steps()
    assert steps["step"].tolist() == [0, 1]
    first, second = by_hand(batches(2)).losses
    assert steps["loss"].tolist() == pytest.approx([first, (second + 7.0) / 2], rel=1e-6)  # float32
    assert Run(run.path).table("steps")["share"].tolist()[1] == 0.5


def test_percentages_are_no_accuracy(tmp_path):
    model = net()
    optimizer = sgd(model.parameters())
    with what_is_said() as said, record_run(model, optimizer, tmp_path) as run:
        trained(model, run, batches(1), optimizer)
        run.evaluated(accuracy=93.0)
        run.evaluated(accuracy=93.0)
    assert said == ["accuracy 93 is left out: it is a fraction between 0 and 1 here, and no percentage"]
    assert Run(run.path).evals()["accuracy"].isna().all()


class TestWhatCannotBeRecorded:
    """The training is the same as without, and one sentence says why there is no record."""

    def check(self, tmp_path, sentence, runs=None, model=None, optimizer=None, ahead=lambda: None, **options):
        expected, model = by_hand(batches(3)), model or net()
        optimizer = optimizer or sgd(model.parameters())
        archive = runs or tmp_path / "runs"
        with what_is_said() as said, record_run(model, optimizer, archive, when=every(1), **options) as run:
            ahead()
            trained(model, run, batches(3), optimizer)
            run.evaluated(accuracy=0.5)
        (only,) = said
        assert sentence in only
        require_same_weights(model, expected.weights)
        return run

    def test_a_model_with_nothing_to_train(self, tmp_path):
        frozen = net().requires_grad_(False)
        with what_is_said() as said, record_run(frozen, sgd(net().parameters()), tmp_path) as run:
            run.log(loss=1.0)
        assert "and training goes on: no parameter of this model requires a gradient" in said[0]
        assert run.path is None
        assert list_runs(tmp_path) == []

    def test_another_model_than_the_optimizer_trains(self, tmp_path):
        model = net()
        with what_is_said() as said, record_run(net(), sgd(model.parameters()), tmp_path):
            pass
        assert "the optimizer holds no parameter of this model" in said[0]

    def test_a_model_that_is_recorded_already(self, tmp_path):
        model = net()
        optimizer = sgd(model.parameters())
        with record_run(model, optimizer, tmp_path / "one"):
            self.check(tmp_path, "this model is watched already", model=model, optimizer=optimizer)
        assert Run(next((tmp_path / "one").glob("Seq*"))).progress == (3, 3)

    def test_an_archive_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        run = self.check(tmp_path, "training goes on", runs=tmp_path / "file")
        assert run.path is None

    def test_a_name_that_is_taken(self, tmp_path):
        for sentence in ("", "is there already"):
            if sentence:
                self.check(tmp_path, sentence, run_id="mine")
            else:
                model = net()
                record_run(model, sgd(model.parameters()), tmp_path / "runs", run_id="mine").end()

    def test_a_field_that_no_experiment_has(self, tmp_path):
        self.check(tmp_path, "unknown option 'batchsize'", about={"batchsize": 3})

    def test_a_part_that_is_not_there(self, tmp_path):
        self.check(tmp_path, "the model has no part 'body'", part="body")

    def test_a_disk_that_is_full(self, tmp_path, monkeypatch):
        def full(*args, **options):
            raise OSError(28, "No space left on device")

        run = None
        with monkeypatch.context() as patched:
            run = self.check(
                tmp_path,
                "No space left on device",
                ahead=lambda: patched.setattr("labapp.store.appending.write_table", full),
            )
        assert Run(run.path).status == "failed"


@pytest.mark.long
def test_a_run_without_a_block_ends_with_the_process(tmp_path):
    program = f"""
import torch
from torch import nn
from labapp.callbacks import record_run
for ending in ("finished", "failed"):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = record_run(model, optimizer, {str(tmp_path)!r}, run_id=ending)
    for _ in range(3):
        loss = model(torch.randn(5, 3)).square().sum()
        optimizer.zero_grad(); loss.backward(); optimizer.step(); run.log(loss=loss)
    if ending == "finished":
        run.end()
raise ValueError("a leak")
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    for run in list_runs(tmp_path):
        assert run.status == run.id
        assert run.message == ("" if run.id == "finished" else "ValueError: a leak")
        assert run.steps()["step"].tolist() == [0, 1, 2]


def test_a_training_goes_on_in_its_run(tmp_path):
    expected, given = by_hand(batches(6)), batches(6)
    model = net()
    optimizer = sgd(model.parameters())
    options = {"when": every(1), "run_id": "mine", "steps": 6}
    with pytest.raises(ValueError, match="a leak"), record_run(model, optimizer, tmp_path, **options) as run:
        trained(model, run, given, optimizer, broken_at=4)
    with record_run(model, optimizer, tmp_path, first_step=4, **options) as run:
        trained(model, run, given[4:], optimizer)
    (found,) = list_runs(tmp_path)
    assert (found.status, found.progress, len(found.attempts)) == ("finished", (6, 6), 2)
    assert found.steps()["step"].tolist() == [*range(6)]
    require_same_layers(found, expected.layers)
    assert (np.diff(found.steps()["seconds"]) > 0).all()


def test_what_a_loop_did_not_tell_is_no_part_of_its_run(tmp_path):
    """Neither of what pages compare, nor of what the diagnosis knows: there the defaults of the lab would speak."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    with record_run(model, optimizer, tmp_path, about={"seed": 3}) as run:
        trained(model, run, batches(2), optimizer)
    found = Run(run.path)
    told = {"learning_rate": 0.01, "seed": 3, "weight_decay": 0.0}
    assert frames.comparable_of(found) == {"loop": "PyTorch", "optimizer": "Adam"} | told
    assert np.isfinite(found.steps()["learning_rate"]).all()
    assert not Material(found).own_loop


def test_a_library_that_is_not_installed_is_one_sentence():
    program = """
import importlib, importlib.util, sys
import labapp.callbacks
names = {'lightning', 'pytorch_lightning', 'transformers', 'accelerate'}
assert not names & sys.modules.keys()
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in names else find(name, *rest)
sys.modules |= dict.fromkeys(names)
for library in ('lightning', 'transformers', 'accelerate'):
    try:
        importlib.import_module('labapp.callbacks.' + library)
    except labapp.config.LabError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "`labapp.callbacks.lightning` needs pytorch-lightning, which is not installed; "
        "`pip install 'labapp[lightning]'` installs it",
        "`labapp.callbacks.transformers` needs transformers and accelerate, which are not installed; "
        "`pip install 'labapp[transformers]'` installs them",
        "`labapp.callbacks.accelerate` needs accelerate, which is not installed; "
        "`pip install 'labapp[transformers]'` installs it",
    ]
