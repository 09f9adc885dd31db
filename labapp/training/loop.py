"""How does a net learn?

    run = train(Experiment(family="plain", depth=56, width=8), "runs")
    run.status, run.evals()
    resume(run)                     # one that was interrupted

`_train` is the loop, from top to bottom. Everything random in it follows from the experiment's seed, and the caller's
random state is afterwards as it was. A loss that is no longer finite is written down, its step and the one after it are
recorded whatever the schedule says (where a loss is seen only after its step, the latter alone), and the run ends as
`diverged`. Ctrl-C ends it as `stopped`, an exception as `failed`; what was recorded until then is in the archive, and
the training can go on from the last state that was kept.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import Experiment, place
from labapp.imagesets import ImageSet, load_for
from labapp.imagesets.order import LabelledBatch, batches, in_turn, seed_of
from labapp.nets.ordered import net_for
from labapp.nets.synced import with_synced_norms
from labapp.recording import Recorder
from labapp.store import Run, RunWriter
from labapp.training.again import is_ill, once_more
from labapp.training.beginnings import NewRun, ResumedRun, noted, resumed
from labapp.training.company import Company
from labapp.training.devices import a_core_left
from labapp.training.fabric import Fabric, _FabricModule
from labapp.training.keeping import SECONDS, Keeper, checked
from labapp.training.launching import launched
from labapp.training.logbook import Logbook, Progress
from labapp.training.randomness import randomness_of_its_own, seed_all
from labapp.training.schedules import checkpoint_steps, learning_rate, recording_schedule, set_rate
from labapp.training.state import Changing
from labapp.training.stopping import Stop

# Measured in pairs on one CPU core at width 8, 64 images of 24 pixels: a step takes 0.90 (residual-20), 0.86
# (residual-56) and 0.71 (dense-40) of the time that it takes with contiguous tensors.
FORMAT = torch.channels_last
EVALUATED = 1000  # training images on which a net is evaluated at the end
Follow = Callable[[RunWriter], None]


def train(
    experiment: Experiment,
    root: str | os.PathLike[str] = "runs",
    *,
    progress: Progress | None = None,
    run_id: str | None = None,
    keep_every: float = SECONDS,
    follow: Follow | None = None,
) -> Run:
    """Train one net and record it into the archive.

    Args:
        experiment: What to train, on what, and how.
        root: The archive, made if it is not there.
        progress: Called with a `Moment` after every step, and at the end.
        run_id: The run's name; made of family, depth and time when left out.
        keep_every: Seconds between two states that are kept for `resume`; it changes no result.
        follow: Called with the run's writer before the first step, as by `labapp.exports.mirror`; it travels to the
            process that writes.
    """
    return _launched(NewRun(experiment, place(root), run_id), progress, keep_every, follow)


def resume(
    run: Run | str | Path,
    *,
    progress: Progress | None = None,
    keep_every: float = SECONDS,
    from_start: bool = False,
    devices: int | None = None,
    num_nodes: int | None = None,
    follow: Follow | None = None,
) -> Run:
    """Go on with a training that was interrupted, stopped or failed, from the last state of it that is whole.

    On the same device, with as many threads and the same versions, tables and weights end as those of a run that was
    never interrupted, bit for bit; columns that hold times do not. What was recorded after that state is superseded.

    Args:
        run: The run, or its folder.
        progress: As for `train`.
        keep_every: As for `train`.
        from_start: Begin again at step 0, as where no state was kept.
        devices: How many on each host from here on; as many as before when left out.
        num_nodes: The same of hosts.
        follow: As for `train`.

    Raises:
        LabError: If the run is being written, has ended, is of other images or another net, or none of its states can
            be read; nothing is changed then.
    """
    beginning = resumed(run if isinstance(run, Run) else Run(run), from_start).on(devices, num_nodes)
    return _launched(beginning, progress, keep_every, follow)


def _launched(
    beginning: NewRun | ResumedRun, progress: Progress | None, keep_every: float, follow: Follow | None
) -> Run:
    """Train in this process, or in as many as the experiment wants."""
    kept = checked(keep_every)
    begun = partial(_train_or_stop, beginning=beginning, progress=progress, keep_every=kept, follow=follow)
    return Run(launched(begun, beginning.experiment))


def _train_or_stop(fabric: Fabric, **options: Any) -> Path | None:
    """Train in this process; None where one of several was stopped, because the others' end would not be heard of."""
    try:
        company = Company(fabric.global_rank, fabric.world_size)
        with company.one_fault():
            return _train(fabric, company, **options)
    except KeyboardInterrupt:
        if fabric.world_size == 1:
            raise
        return None


def _train(
    fabric: Fabric,
    company: Company,
    beginning: NewRun | ResumedRun,
    progress: Progress | None,
    keep_every: float,
    follow: Follow | None,
) -> Path:
    """Train in this process, which may be one of several; the first one writes. Returns the run's folder."""
    experiment, first = beginning.experiment, beginning.first
    seed, rank, processes = experiment.seed, fabric.global_rank, fabric.world_size
    with fabric.rank_zero_first():  # one process downloads
        images, test = load_for(experiment, "train"), load_for(experiment, "test")
    beginning.check(images)
    feed = batches(images, experiment.batch_size, seed, (rank, processes), first)
    by_itself = processes == 1 and fabric.device.type == "cpu"  # sees a loss without waiting for it
    scheduled, kept_at = recording_schedule(experiment), checkpoint_steps(experiment)

    with randomness_of_its_own(fabric.device), a_core_left():
        seed_all(seed_of(seed, "weights"))
        bare = build_for(experiment, images).to(memory_format=FORMAT)
        if experiment.sync_batchnorm and processes > 1:
            bare = with_synced_norms(bare, fabric.device.type)
        sgd = torch.optim.SGD(
            bare.parameters(),
            lr=experiment.learning_rate,
            momentum=experiment.momentum,
            nesterov=experiment.nesterov,
            weight_decay=experiment.weight_decay,
        )
        net, optimizer = fabric.setup(bare, sgd)
        scaler = getattr(fabric.strategy.precision, "scaler", None)
        if state := beginning.state():
            state.load_net(bare, sgd, scaler)

        with Stop() as stop, _writer(fabric, company, beginning, images) as writer, company.one_fault():
            path = Path(fabric.broadcast(str(writer.path) if writer else ""))
            if writer and follow:
                follow(writer)
            log = Logbook(experiment, writer, progress)
            with Recorder(
                net._forward_module if processes > 1 else bare,  # DDP itself, else the net as it was built
                sgd,
                when=lambda step: scheduled(step) or log.diverged,
                sink=log if writer else None,
                scaler=scaler,
                histograms=scheduled if experiment.histograms else None,
                spreads=scheduled if experiment.spreads else None,
                gradient_noise=experiment.gradient_noise,
            ) as recorder:
                keeper = Keeper(fabric, writer, Changing(bare, sgd, scaler, recorder, log), stop, keep_every)
                if state:
                    state.load_rest(fabric, recorder, log)
                done = first
                for step, (x, y) in zip(range(first, experiment.steps), feed, strict=False):
                    if log.over(step):
                        break
                    keeper.between_steps(step, checkpoint=step in kept_at)
                    if step % experiment.eval_every == 0:
                        log.evaluation(step, "test", *evaluate(fabric, net, in_turn(test)))
                    seed_all(dropout := seed_of(seed, "dropout", step * processes + rank))
                    rate = set_rate(sgd, learning_rate(experiment, step))

                    began = time.perf_counter()
                    x, y = fabric.to_device(x.to(memory_format=FORMAT)), fabric.to_device(y)
                    with recorder.step():
                        optimizer.zero_grad()
                        loss, right = forward_backward(fabric, net, x, y, experiment.accumulate)
                        norm = gradient_norm(bare) / (scaler.get_scale() if scaler else 1)
                        if by_itself and is_ill(loss, norm) and recorder.listen():
                            with once_more(bare):
                                seed_all(dropout)
                                optimizer.zero_grad()
                                forward_backward(fabric, net, x, y, experiment.accumulate)
                        if experiment.clip_norm is not None:
                            fabric.clip_gradients(net, sgd, max_norm=experiment.clip_norm, error_if_nonfinite=False)
                        optimizer.step()

                    numbers: Any = fabric.all_reduce(torch.stack([loss, right, norm]), reduce_op="mean")
                    log.step(step, numbers.tolist(), rate, time.perf_counter() - began)
                    done = step + 1

            log.evaluation(done, "test", *evaluate(fabric, net, in_turn(test)))
            log.evaluation(done, "train", *evaluate(fabric, net, in_turn(images, EVALUATED)))
            log.end()
            keeper.checkpoint(done)
            if writer:
                writer.drop_kept()
            if writer and (message := log.divergence):
                writer.finish("diverged", message)
        return path


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


def build_for(experiment: Experiment, images: ImageSet) -> nn.Module:
    """The net of an experiment, for these images."""
    return net_for(
        experiment, num_classes=images.num_classes, image_size=images.image_size, in_channels=images.channels
    )


def _writer(
    fabric: Fabric, company: Company, beginning: NewRun | ResumedRun, images: ImageSet
) -> contextlib.AbstractContextManager[RunWriter | None]:
    """A writer of the run in the first process; a context manager of None in the others."""
    if not fabric.is_global_zero:
        return contextlib.nullcontext()
    environment = {
        "device": str(fabric.device),
        "processes": fabric.world_size,
        "threads": torch.get_num_threads(),
        "images": noted(images),
    }
    if len(company.hosts) > 1:
        environment["hosts"] = company.hosts
    return beginning.writer(environment)
