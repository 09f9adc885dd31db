"""How is a loop with Hugging Face's Accelerator recorded?

    from labapp.callbacks.accelerate import record_run

    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    with record_run(accelerator, model, optimizer, runs="runs") as run:
        for images, labels in loader:
            with accelerator.accumulate(model):
                loss = loss_function(model(images), labels)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            run.log(loss=loss)

A step is one that the optimizer makes, at the last micro-batch; the losses of its micro-batches become their mean. In
several processes layers are of the joined batch, and what is logged is of the first process's part of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from labapp.callbacks.recorded import RecordedRun
from labapp.callbacks.told import torch_optimizer, version_of
from labapp.config.extras import require

require("`labapp.callbacks.accelerate`", ["accelerate"])
from accelerate import Accelerator  # noqa: E402 - where it is not there, the sentence comes first

PRECISIONS = {"no": "32-true", "fp16": "16-mixed", "bf16": "bf16-mixed"}


def record_run(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    runs: str | Path = "runs",
    *,
    first_step: int = 0,
    steps: int | None = None,
    about: Mapping[str, Any] | None = None,
    **options: Any,
) -> RecordedRun:
    """Record a training into an archive: a block around its loop.

    Args:
        accelerator: The loop's.
        model: As `accelerator.prepare` gave it.
        optimizer: The same.
        runs: The archive, made if it is not there.
        first_step: Steps done before, of a training that goes on.
        steps: Steps in all, where they are known.
        about: What is known of the training besides, as fields of `Experiment`.
        **options: As for `RecordedRun`: run_id, when, and what `Recorder` takes.
    """
    told = {"precision": PRECISIONS.get(accelerator.mixed_precision), "devices": accelerator.num_processes}
    known = {name: value for name, value in told.items() if value is not None}
    run = RecordedRun(
        runs,
        about=known | dict(about or {}),
        loop=version_of("accelerate"),
        within=lambda: not accelerator.sync_gradients,
        **options,
    )
    scaler = getattr(accelerator, "scaler", None)
    return run.begin(model, torch_optimizer(optimizer), scaler=scaler, first_step=first_step, steps=steps)
