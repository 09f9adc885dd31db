"""How is a training by Lightning's Trainer recorded?

    from labapp.callbacks.lightning import LightningCallback

    trainer = Trainer(callbacks=[LightningCallback(runs="runs")])

Both `lightning` and `pytorch_lightning` will do. Steps are those of the optimizer, `trainer.global_step` where there is
one. The sanity check is not recorded; what Lightning calls validation stands in `evals` as held-out images. Several
optimizers make a run each, of the part of the module that each trains. In several processes layers are of the joined
batch, loss and accuracy of the first process's part of it.
"""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from labapp.callbacks.harmless import Harmless
from labapp.callbacks.recorded import RecordedRun
from labapp.callbacks.told import HELD_OUT, TRAINING, ending, named, version_of
from labapp.config import CHOICES
from labapp.config.extras import require
from labapp.recording.schedule import Schedule

_NAMES = ("lightning.pytorch", "pytorch_lightning")


def _bases() -> tuple[Any, ...]:
    """The base class that the user's Trainer knows; both where nothing tells which one that is."""
    there = [name for name in _NAMES if importlib.util.find_spec(name.partition(".")[0]) is not None]
    if not there:
        require("`labapp.callbacks.lightning`", ["pytorch_lightning"])
    loaded = [name for name in there if name in sys.modules] or there
    return tuple(importlib.import_module(name).Callback for name in loaded)


class LightningCallback(*_bases()):  # type: ignore[misc]
    """Records a `Trainer.fit` into an archive. Whatever goes wrong in it is a warning, and training goes on.

    Args:
        runs: The archive.
        run_id: The run's name. A fit from a checkpoint goes on in the run of that name, where it is there.
        when: Which optimizer steps to record; every tenth when left out.
        loss: The name under which the module logs the loss of a batch; what `training_step` returns when left out.
        accuracy: The same of the accuracy, a fraction; "train_acc", "accuracy" and the like when left out.
        val_loss: The name of the loss in validation; "val_loss" and the like when left out.
        val_accuracy: The same of the accuracy.
        about: What is known of the training besides, as fields of `Experiment`.
        **options: As for `Recorder`.

    Attributes:
        runs: The runs of the latest fit, by the part of the module that each is of; "" for the whole.
    """

    def __init__(
        self,
        runs: str | Path = "runs",
        *,
        run_id: str | None = None,
        when: Schedule | None = None,
        loss: str | None = None,
        accuracy: str | None = None,
        val_loss: str | None = None,
        val_accuracy: str | None = None,
        about: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.runs: dict[str, RecordedRun] = {}
        self._harmless = Harmless()
        self._archive, self._run_id, self._about = runs, run_id, dict(about or {})
        self._options: dict[str, Any] = {"when": when, **options}
        self._training = {"loss": loss, "accuracy": accuracy}
        self._held_out = {"loss": val_loss, "accuracy": val_accuracy}
        self._done: dict[str, int] = {}
        self._last: dict[str, Any] = {}

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Begins a run for each optimizer."""
        with self._harmless:
            self.runs, self._last = {}, {}
            parts = [part_of(pl_module, optimizer, len(trainer.optimizers)) for optimizer in trainer.optimizers]
            for part, optimizer in zip(parts, trainer.optimizers, strict=True):
                if part in self.runs:
                    self._harmless.say(
                        f"several optimizers train the same part {part or '(the whole)'}, and steps of the first count"
                    )
                else:
                    self._begin(trainer, part, optimizer, several=len(set(parts)) > 1)

    def _begin(self, trainer: Any, part: str, optimizer: Any, several: bool) -> None:
        run_id = f"{self._run_id}-{part}" if self._run_id is not None and several else self._run_id
        about, loop = told_by(trainer) | self._about, version_of("lightning", "pytorch-lightning")
        run = RecordedRun(self._archive, run_id=run_id, about=about, loop=loop, announced=True, **self._options)
        run.harmless = self._harmless
        automatic = bool(trainer.lightning_module.automatic_optimization)
        total = trainer.estimated_stepping_batches if automatic else trainer.max_steps
        run.begin(
            trainer.strategy.model,
            optimizer,
            scaler=getattr(trainer.precision_plugin, "scaler", None),
            part=part,
            first_step=trainer.global_step // len(trainer.optimizers),
            steps=int(total) if 0 < total < float("inf") else None,
        )
        self.runs[part], self._done[part] = run, run.steps_done

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Writes down loss and accuracy of the step that the batch was a part of."""
        with self._harmless:
            fresh = self._fresh(trainer.callback_metrics)
            numbers = named(fresh, TRAINING, self._training)
            returned = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            if isinstance(returned, torch.Tensor) and self._training["loss"] is None:
                shares = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
                numbers["loss"] = returned.detach() * shares  # Lightning has divided it
            for part, run in self.runs.items():
                done = run.steps_done
                step, self._done[part] = done - 1 if done > self._done[part] else done, done
                run.log(step=step, **numbers)

    def on_validation_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Writes down what was measured on held-out images."""
        with self._harmless:
            if not trainer.sanity_checking:
                numbers = named(trainer.callback_metrics, HELD_OUT, self._held_out)
                for run in self.runs.values() if numbers else ():
                    run.evaluated(**numbers)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Ends the runs."""
        self._end()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """Ends the runs as failed or stopped."""
        self._end(*ending(exception))

    def teardown(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        """Ends what is still open, of a fit that was left early."""
        self._end("stopped", "the fit was left early")

    def _end(self, status: str = "finished", message: str = "") -> None:
        for run in self.runs.values():
            run.end(status, message)

    def _fresh(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """What was logged for this batch: the rest lies where it lay, since an earlier one or the last epoch."""
        before, self._last = self._last, dict(metrics)
        places = {name: value.data_ptr() for name, value in before.items()}
        return {name: value for name, value in metrics.items() if value.data_ptr() != places.get(name)}


def part_of(module: nn.Module, optimizer: Any, optimizers: int) -> str:
    """The path of the part of a module that is recorded with an optimizer: its net, "" for the whole.

    That is the only part that has parameters, or with several optimizers the part that holds all of this one's.
    """
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    parts = {name: {id(p) for p in part.parameters()} for name, part in module.named_children()}
    parts = {name: ids for name, ids in parts.items() if ids}
    if any(True for _ in module.parameters(recurse=False)) or (optimizers == 1 and len(parts) > 1):
        return ""
    return next((name for name, ids in parts.items() if own <= ids), "")


def told_by(trainer: Any) -> dict[str, Any]:
    """What a Trainer says of its training, as fields of `Experiment`."""
    about: dict[str, Any] = {"devices": trainer.num_devices}
    if (precision := str(trainer.precision)) in CHOICES["precision"]:
        about["precision"] = precision
    if trainer.gradient_clip_val and trainer.gradient_clip_algorithm in (None, "norm"):
        about["clip_norm"] = float(trainer.gradient_clip_val)
    size = getattr(trainer.train_dataloader, "batch_size", None)
    if isinstance(size, int):
        about |= {
            "batch_size": size * trainer.accumulate_grad_batches * trainer.world_size,
            "accumulate": trainer.accumulate_grad_batches,
        }
    return about
