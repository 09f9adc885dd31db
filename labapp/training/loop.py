"""How does a net learn?

    run = train(Experiment(family="plain", depth=56, width=8), "runs")
    run.status, run.evals()

`_train` is the loop, from top to bottom. Everything random in it follows from the experiment's seed, and the caller's
random state is afterwards as it was. A loss that is no longer finite is written down, its step and the one after it are
recorded whatever the schedule says (where a loss is seen only after its step, the latter alone), and the run ends as
`diverged`. Ctrl-C ends it as `stopped`, an exception as `failed`; what was recorded until then is in the archive.
"""

import contextlib
import io
import os
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import Experiment, LabError
from labapp.imagesets import ImageSet, load_for
from labapp.imagesets.order import LabelledBatch, batches, in_turn, seed_of
from labapp.nets.ordered import net_for
from labapp.recording import Recorder
from labapp.store import Run, RunWriter
from labapp.training.again import is_ill, once_more
from labapp.training.devices import a_core_left, make_fabric
from labapp.training.logbook import Logbook, Progress
from labapp.training.schedules import checkpoint_steps, learning_rate, recording_schedule, set_rate

# Measured in pairs on one CPU core at width 8, 64 images of 24 pixels: a step takes 0.90 (residual-20), 0.86
# (residual-56) and 0.71 (dense-40) of the time that it takes with contiguous tensors.
FORMAT = torch.channels_last
EVALUATED = 1000  # training images on which a net is evaluated at the end


def train(
    experiment: Experiment,
    root: str | os.PathLike[str] = "runs",
    *,
    progress: Progress | None = None,
    run_id: str | None = None,
) -> Run:
    """Train one net and record it into the archive.

    Args:
        experiment: What to train, on what, and how.
        root: The archive, made if it is not there.
        progress: Called with a `Moment` after every step, and at the end.
        run_id: The run's name; made of family, depth and time when left out.
    """
    fabric = make_fabric(experiment)
    try:
        return Run(
            fabric.launch(partial(_train, experiment=experiment, root=Path(root), progress=progress, run_id=run_id))
        )
    except torch.multiprocessing.ProcessRaisedException as error:  # one of several processes; the last line says what
        kind, _, what = error.msg.strip().splitlines()[-1].partition(": ")
        raise (LabError(what) if kind.endswith("LabError") else RuntimeError(f"{kind}: {what}")) from None


def _train(fabric: Fabric, experiment: Experiment, root: Path, progress: Progress | None, run_id: str | None) -> Path:
    """Train in this process, which may be one of several; the first one writes. Returns the run's folder."""
    seed, rank, processes = experiment.seed, fabric.global_rank, fabric.world_size
    with fabric.rank_zero_first():  # one process downloads
        images, test = load_for(experiment, "train"), load_for(experiment, "test")
    feed = batches(images, experiment.batch_size, seed, share=(rank, processes))
    by_itself = processes == 1 and fabric.device.type == "cpu"  # sees a loss without waiting for it
    scheduled, kept_at = recording_schedule(experiment), checkpoint_steps(experiment)

    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []), a_core_left():
        torch.manual_seed(seed_of(seed, "weights"))
        bare = build_for(experiment, images).to(memory_format=FORMAT)
        sgd = torch.optim.SGD(
            bare.parameters(),
            lr=experiment.learning_rate,
            momentum=experiment.momentum,
            nesterov=experiment.nesterov,
            weight_decay=experiment.weight_decay,
        )
        net, optimizer = fabric.setup(bare, sgd)

        with _writer(fabric, experiment, root, run_id, images) as writer:
            log = Logbook(experiment, writer, progress)
            with Recorder(
                net._forward_module if processes > 1 else bare,  # DDP itself, else the net as it was built
                sgd,
                when=lambda step: scheduled(step) or log.diverged,
                sink=log if writer else None,
                scaler=(scaler := getattr(fabric.strategy.precision, "scaler", None)),
            ) as recorder:
                for step, (x, y) in zip(range(experiment.steps), feed, strict=False):
                    if writer and step in kept_at:
                        writer.checkpoint(step, bare.state_dict(), state_of(sgd))
                    if step % experiment.eval_every == 0:
                        log.evaluation(step, "test", *evaluate(fabric, net, in_turn(test)))
                    torch.manual_seed(dropout := seed_of(seed, "dropout", step * processes + rank))
                    rate = set_rate(sgd, learning_rate(experiment, step))

                    began = time.perf_counter()
                    x, y = fabric.to_device(x.to(memory_format=FORMAT)), fabric.to_device(y)
                    with recorder.step():
                        optimizer.zero_grad()
                        loss, right = forward_backward(fabric, net, x, y, experiment.accumulate)
                        norm = gradient_norm(bare) / (scaler.get_scale() if scaler else 1)
                        if by_itself and is_ill(loss, norm) and recorder.listen():
                            with once_more(bare):
                                torch.manual_seed(dropout)
                                optimizer.zero_grad()
                                forward_backward(fabric, net, x, y, experiment.accumulate)
                        if experiment.clip_norm is not None:
                            fabric.clip_gradients(net, sgd, max_norm=experiment.clip_norm, error_if_nonfinite=False)
                        optimizer.step()

                    last = log.diverged  # the step after a loss that was not finite
                    numbers: Any = fabric.all_reduce(torch.stack([loss, right, norm]), reduce_op="mean")
                    log.step(step, numbers.tolist(), rate, time.perf_counter() - began)
                    if last:
                        break

            log.evaluation(step + 1, "test", *evaluate(fabric, net, in_turn(test)))
            log.evaluation(step + 1, "train", *evaluate(fabric, net, in_turn(images, EVALUATED)))
            log.end()
            if writer:
                writer.checkpoint(step + 1, bare.state_dict(), state_of(sgd))
            if writer and (message := log.divergence):
                writer.finish("diverged", message)
        return writer.path if writer else root


def forward_backward(fabric: Fabric, net: _FabricModule, x: Tensor, y: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Mean loss of a batch and the share classified rightly; gradients are added to those of the parameters.

    The batch is cut into `parts` micro-batches whose losses are weighted by their size, so that the gradient is the
    whole batch's. Between processes gradients are exchanged once, with the last one.
    """
    losses: list[Tensor] = []
    right: list[Tensor] = []
    for images, labels in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
        with fabric.no_backward_sync(net, enabled=len(losses) + 1 < parts):
            logits = net(images)  # (B, classes)
            loss = F.cross_entropy(logits, labels, reduction="sum") / len(y)
            fabric.backward(loss)
        losses.append(loss.detach())
        right.append((logits.detach().argmax(1) == labels).sum())
    return torch.stack(losses).sum(), torch.stack(right).sum() / len(y)


@torch.no_grad()
def evaluate(fabric: Fabric, net: nn.Module, images: Iterable[LabelledBatch]) -> tuple[float, float]:
    """Mean loss over images and the share classified rightly, with the net in eval mode; it is left in train mode."""
    net.eval()
    loss = right = count = 0.0
    for x, y in images:
        x, y = fabric.to_device(x.to(memory_format=FORMAT)), fabric.to_device(y)
        logits = net(x)
        loss += float(F.cross_entropy(logits, y, reduction="sum"))
        right += float((logits.argmax(1) == y).sum())
        count += len(y)
    net.train()
    return loss / count, right / count


def gradient_norm(net: nn.Module) -> Tensor:
    """The Euclidean norm of the gradient of all parameters."""
    return torch.nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])


def state_of(optimizer: torch.optim.Optimizer) -> bytes:
    """The optimizer's state as the bytes of a file that `torch.load` reads with weights_only=True."""
    buffer = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict()}, buffer)
    return buffer.getvalue()


def build_for(experiment: Experiment, images: ImageSet) -> nn.Module:
    """The net of an experiment, for these images."""
    return net_for(
        experiment, num_classes=images.num_classes, image_size=images.image_size, in_channels=images.channels
    )


def _writer(
    fabric: Fabric, experiment: Experiment, root: Path, run_id: str | None, images: ImageSet
) -> contextlib.AbstractContextManager[RunWriter | None]:
    """A writer of the run in the first process; a context manager of None in the others."""
    if not fabric.is_global_zero:
        return contextlib.nullcontext()
    about = ("name", "classes", "channels", "image_size", "mean", "std")
    environment = {
        "device": str(fabric.device),
        "processes": fabric.world_size,
        "threads": torch.get_num_threads(),
        "images": {name: getattr(images, name) for name in about} | {"count": len(images)},
    }
    return RunWriter.create(root, experiment, run_id=run_id, environment=environment)
