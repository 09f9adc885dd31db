"""Lightning's Trainer with the callback, against the loop by hand."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import labapp
from labapp.recording import RecorderWarning, every
from labapp.store import Run, list_runs
from tests.callbacks.loops import batches, by_hand, net, nothing_said, require_same_layers, require_same_weights, sgd

pl = pytest.importorskip("pytorch_lightning", reason="Lightning is not installed: pip install 'labapp[lightning]'")
from labapp.callbacks.lightning import LightningCallback  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:.*GPU available:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's use of torch
]
ROOT = Path(labapp.__file__).parent.parent


class Module(pl.LightningModule):
    def __init__(self, broken_at=None, error=None):
        super().__init__()
        self.net, self.broken_at, self.error = net(), broken_at, error

    def training_step(self, batch, number):
        if number == self.broken_at:
            raise self.error
        x, y = batch
        out = self.net(x)
        self.log("train_acc", (out.argmax(1) == y).float().mean())
        self.log("train_loss", 9.0, on_step=False, on_epoch=True)  # of the epoch: no number of a step
        return F.cross_entropy(out, y)

    def validation_step(self, batch, number):
        x, y = batch
        out = self.net(x)
        self.log_dict({"val_loss": F.cross_entropy(out, y), "val_acc": (out.argmax(1) == y).float().mean()})

    def configure_optimizers(self):
        return sgd(self.parameters())


def fit(callbacks, module=None, train=None, val=None, ckpt_path=None, **options):
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(**{"accelerator": "cpu", "max_epochs": 1, "callbacks": callbacks, **quiet, **options})
    loaders = [torch.utils.data.DataLoader(given, batch_size=None) for given in (train or batches(6), val or [])]
    trainer.fit(module or Module(), loaders[0], loaders[1] if val else None, ckpt_path=ckpt_path)
    return trainer


LOOPS = {  # how the Trainer is told, and the loop by hand
    "plain": ({}, {}),
    "accumulated": ({"accumulate_grad_batches": 2}, {"parts": 2}),
    "clipped": ({"gradient_clip_val": 0.1}, {"clip": 0.1}),
    "accumulated and clipped": ({"accumulate_grad_batches": 3, "gradient_clip_val": 0.1}, {"parts": 3, "clip": 0.1}),
    "mixed precision": ({"precision": "bf16-mixed"}, {"autocast": True}),
}


@pytest.mark.parametrize("name", LOOPS)
def test_the_run_holds_what_a_loop_by_hand_gives(tmp_path, name):
    options, by = LOOPS[name]
    expected, module, callback = by_hand(batches(6), **by), Module(), LightningCallback(tmp_path, when=every(1))
    with nothing_said():
        trainer = fit([callback], module, **options)
    run = Run(callback.runs["net"].path)
    require_same_weights(module.net, expected.weights)
    require_same_layers(run, expected.layers)
    steps = run.steps()
    assert steps["step"].tolist() == [*range(trainer.global_step)]
    np.testing.assert_allclose(steps["loss"], expected.losses, rtol=1e-6)  # divided and multiplied again, in float32
    np.testing.assert_array_equal(steps["accuracy"], np.float32(expected.accuracies))
    assert (run.status, run.progress) == ("finished", (trainer.global_step, trainer.global_step))
    what = run.experiment
    assert (what.learning_rate, what.momentum) == (0.05, 0.9)
    assert what.clip_norm == options.get("gradient_clip_val")
    assert what.precision == options.get("precision", "32-true")
    assert run.environment["loop"].startswith("Lightning 2")


def test_training_is_bit_for_bit_what_it_is_without(tmp_path):
    one, other = Module(), Module()
    val = batches(2, size=7)
    fit([], one, val=val, max_epochs=2)
    fit([LightningCallback(tmp_path, when=every(1), histograms=every(1))], other, val=val, max_epochs=2)
    require_same_weights(other, one.state_dict())


def test_validation_is_no_training(tmp_path):
    """Neither that of the sanity check nor that between two steps; it stands in `evals` as held-out images."""
    expected, callback = by_hand(batches(6)), LightningCallback(tmp_path, when=every(1))
    val = batches(3, size=9)
    module = Module()
    with nothing_said():
        fit([callback], module, val=val, val_check_interval=2, num_sanity_val_steps=2)
    run = Run(callback.runs["net"].path)
    require_same_layers(run, expected.layers)
    assert run.steps()["step"].tolist() == [*range(6)]
    evals = run.evals()
    assert evals["step"].tolist() == [2, 4, 6]
    assert set(evals["split"]) == {"test"}
    with torch.no_grad():
        losses = [float(F.cross_entropy(module.net.eval()(x), y)) for x, y in val]
    assert evals["loss"].tolist()[-1] == pytest.approx(np.mean(losses), rel=1e-5)  # summed in float32 by Lightning
    assert evals["accuracy"].between(0, 1).all()


def test_names_that_the_module_logs_under(tmp_path):
    class Named(Module):
        def training_step(self, batch, number):
            self.log_dict({"objective": float(number), "hits": 0.25})
            return F.cross_entropy(self.net(batch[0]), batch[1])

    callback = LightningCallback(tmp_path, loss="objective", accuracy="hits")
    fit([callback], Named(), train=batches(3))
    steps = Run(callback.runs["net"].path).steps()
    assert steps["loss"].tolist() == [0.0, 1.0, 2.0]
    assert steps["accuracy"].tolist() == [0.25] * 3


class Pair(pl.LightningModule):
    """Two nets that play against each other, each with its optimizer; the second one steps every other time."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        torch.manual_seed(0)
        self.maker = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))
        self.judge = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))

    def training_step(self, batch, number):
        first, second = self.optimizers()
        self.toggle_optimizer(first)
        first.zero_grad()
        self.manual_backward(-self.judge(self.maker(batch)).mean())
        first.step()
        self.untoggle_optimizer(first)
        if number % 2 == 0:
            second.zero_grad()
            made = self.maker(batch).detach()
            self.manual_backward(self.judge(made).mean() + self.judge(made.flip(1)).square().mean())
            second.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.maker.parameters(), 0.1), torch.optim.Adam(self.judge.parameters(), 0.01)]


def test_several_optimizers_make_a_run_each(tmp_path):
    given = [torch.randn(5, 4, generator=torch.Generator().manual_seed(n)) for n in range(6)]
    one, other, callback = Pair(), Pair(), LightningCallback(tmp_path, run_id="pair", when=every(1))
    fit([], one, train=given)
    fit([callback], other, train=given)
    require_same_weights(other, one.state_dict())
    maker, judge = (Run(callback.runs[part].path) for part in ("maker", "judge"))
    assert (maker.id, judge.id) == ("pair-maker", "pair-judge")
    assert (maker.progress, judge.progress) == ((6, 6), (3, 3))
    assert set(maker.layers()["layer"]) == {"0", "2"}
    assert judge.environment["optimizer"] == "Adam"
    assert sorted(set(judge.layers()["step"])) == [0, 1, 2]
    assert (judge.layers()["update_ratio"] > 0).all()


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(ValueError("a leak"), "failed", "ValueError: a leak"), (KeyboardInterrupt(), "stopped", "stopped by hand")],
)
def test_an_exception_passes_and_ends_the_run(tmp_path, error, status, message):
    callback, hand = LightningCallback(tmp_path), signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(ValueError if status == "failed" else SystemExit) as raised:
            fit([callback], Module(broken_at=3, error=error))
    finally:
        signal.signal(signal.SIGINT, hand)  # Lightning switches it off as it goes
    assert raised.value is error or status == "stopped"
    run = Run(callback.runs["net"].path)
    assert (run.status, run.record.message, run.progress[0]) == (status, message, 3)


def test_a_fit_from_a_checkpoint_goes_on_in_its_run(tmp_path):
    options = {"run_id": "mine", "when": every(1)}
    trainer = fit([LightningCallback(tmp_path / "runs", **options)], train=batches(3))
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    module = Module()
    again = LightningCallback(tmp_path / "runs", **options)
    fit([again], module, train=batches(3), ckpt_path=tmp_path / "kept.ckpt", max_epochs=2)
    (run,) = list_runs(tmp_path / "runs")
    expected = by_hand(2 * batches(3))
    require_same_weights(module.net, expected.weights)
    require_same_layers(run, expected.layers)
    assert run.steps()["step"].tolist() == [*range(6)]
    assert (run.status, run.progress, len(run.attempts)) == ("finished", (6, 6), 2)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [("frozen", "no parameter of this model requires a gradient"), ("twice", "watched already"), ("a file", "is no")],
)
def test_what_cannot_be_recorded_is_said_once_and_trains_on(tmp_path, what, sentence):
    class Frozen(Module):
        def __init__(self):
            super().__init__()
            self.net.requires_grad_(False)

        def training_step(self, batch, number):
            return super().training_step(batch, number).requires_grad_()

    if what == "a file":
        (tmp_path / "runs").write_text("")
    made = [LightningCallback(tmp_path / "runs") for _ in range(1 + (what == "twice"))]
    module = Frozen() if what == "frozen" else Module()
    with pytest.warns(RecorderWarning, match=re.escape("training goes on")) as said:
        trainer = fit(made, module)
    assert trainer.global_step == 6
    ours = [str(each.message) for each in said if issubclass(each.category, RecorderWarning)]
    assert len(ours) == 1
    assert what == "a file" or sentence in ours[0]
    if what != "frozen":
        require_same_weights(module.net, by_hand(batches(6)).weights)
    assert len(list(tmp_path.glob("runs/*/run.json"))) == (what == "twice")


@pytest.mark.long
def test_two_processes_record_the_joined_batch(tmp_path):
    """Two halves of each batch in two processes, against the whole in one, on a net without batch norms."""
    program = f"""
import torch
import torch.nn.functional as F
import pytorch_lightning as pl
from torch import nn
from labapp.callbacks.lightning import LightningCallback
from labapp.recording import every

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    def training_step(self, batch, number):
        return self.net(batch[0]).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
    def train_dataloader(self):
        own = images[self.trainer.global_rank :: self.trainer.world_size]
        given = torch.utils.data.TensorDataset(own)
        return torch.utils.data.DataLoader(given, batch_size=12 // self.trainer.world_size)

images = torch.randn(24, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
for devices in (2, 1):
    pl.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp_fork" if devices > 1 else "auto", max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[LightningCallback({str(tmp_path)!r}, run_id=f"of-{{devices}}", when=every(1))],
    ).fit(Module())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    two, one = Run(tmp_path / "of-2"), Run(tmp_path / "of-1")
    assert (two.status, one.status) == ("finished", "finished")
    assert two.experiment.devices == 2
    assert two.experiment.batch_size == one.experiment.batch_size == 12
    assert two.layers()["layer"].tolist() == one.layers()["layer"].tolist() == ["0", "2"] * 2
    for name in ("weight_grad_norm", "update_ratio", "output_grad_norm", "output_std"):
        # added up in another order in float64, kept as float32
        np.testing.assert_allclose(two.layers()[name], one.layers()[name], rtol=1e-6)
