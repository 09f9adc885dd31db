"""Which runs are ill on purpose, and which beside them are healthy? What `labapp diagnose` is calibrated on.

An illness that an `Experiment` can express is trained as any run; one that it cannot is done to the net or its
optimizer after it was built (`treat`, by `analysis.ill`), and trained here with the same images, rates and recorder.
Every run is small: 8 channels, digits of 16 pixels; `analysis/sweeps/diagnosis/ill.yaml` lists others. A run's id is
"KIND.sSEED"; one that is there already is not made again.

    python -m analysis.calibration --out runs --seeds 0 1 2
    python -m analysis.calibration --out runs --seeds 100 101 102 --only 'healthy-*' frozen
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from analysis import ill
from labapp.config import Experiment
from labapp.imagesets import load_for
from labapp.imagesets.order import batches, seed_of
from labapp.nets.ordered import net_for
from labapp.recording import Recorder
from labapp.store import Run, RunWriter, list_runs
from labapp.training.logbook import Logbook
from labapp.training.loop import gradient_norm, train
from labapp.training.randomness import randomness_of_its_own, seed_all
from labapp.training.schedules import learning_rate, recording_schedule

SMALL = {
    "imageset": "digits", "steps": 120, "test_images": 200, "record_every": 5, "eval_every": 100, "checkpoints": 0,
    "device": "cpu",
}  # fmt: skip
RATE = 0.1  # of the lab's recipe

Treat = Callable[[nn.Module, torch.optim.Optimizer], None]


class Case(NamedTuple):
    """One kind of run.

    Attributes:
        finding: The rules of `labapp.frames.diagnosis` of which one must come first or second; none of a healthy run.
        experiment: What differs from SMALL.
        treat: What is done to net and optimizer before the first step.
    """

    finding: tuple[str, ...]
    experiment: dict[str, Any]
    treat: Treat | None = None


def _frozen(net: nn.Module, _: torch.optim.Optimizer) -> None:
    ill.freeze([net.get_submodule("stage2")])


def _still(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    ill.stand_still([net.get_submodule("stage1")], optimizer)


def _dead(net: nn.Module, _: torch.optim.Optimizer) -> None:
    ill.shut(ill.below(net, "stage2", nn.BatchNorm2d, "norm"))


def _dead_bare(net: nn.Module, _: torch.optim.Optimizer) -> None:
    ill.shut(ill.below(net, "stage2", nn.Conv2d))


def _broken(net: nn.Module, _: torch.optim.Optimizer) -> None:
    ill.weaken_shortcuts(ill.blocks(net), 0.01)


def _cut(net: nn.Module, _: torch.optim.Optimizer) -> None:
    ill.weaken_shortcuts(ill.blocks(net), 0.0)


def _drowned(net: nn.Module, _: torch.optim.Optimizer) -> None:
    ill.weaken_branches(ill.blocks(net), 0.001)


def _climbing(_: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    ill.climb(optimizer)


PLAIN, RESIDUAL = {"family": "plain", "width": 8}, {"family": "residual", "width": 8}
DENSE = {"family": "dense", "growth_rate": 8, "bottleneck": True, "compression": 0.5}
VGG = {"family": "vgg", "depth": 11, "width": 8}
BARE = {"norm": "none"}
CASES = {
    "default-init": Case(("vanishing_gradient",), PLAIN | BARE | {"depth": 56, "init": "default", "steps": 80}),
    "default-init-32": Case(("vanishing_gradient",), PLAIN | BARE | {"depth": 32, "init": "default"}),
    "rate-x30-plain": Case(("rate_too_high",), PLAIN | {"depth": 14, "learning_rate": 30 * RATE}),
    "rate-x30-residual": Case(("rate_too_high",), RESIDUAL | {"depth": 14, "learning_rate": 30 * RATE}),
    "rate-x30-dense": Case(("rate_too_high",), DENSE | {"depth": 16, "learning_rate": 30 * RATE}),
    "rate-x30-vgg": Case(("rate_too_high",), VGG | {"learning_rate": 30 * RATE}),
    "rate-1000th": Case(("rate_too_low",), RESIDUAL | {"depth": 14, "learning_rate": RATE / 1000}),
    "frozen": Case(("frozen",), RESIDUAL | {"depth": 14}, _frozen),
    "frozen-by-rate": Case(("frozen",), PLAIN | {"depth": 14}, _still),
    "dead-relu": Case(("dead_channels",), PLAIN | {"depth": 14}, _dead),
    "dead-relu-residual": Case(("dead_channels",), RESIDUAL | {"depth": 14}, _dead),
    "dead-relu-bare": Case(("dead_channels",), VGG | BARE | {"learning_rate": 0.02}, _dead_bare),
    "broken-shortcut": Case(("drowned_shortcut",), RESIDUAL | {"depth": 20}, _broken),
    "no-shortcut": Case(("drowned_shortcut",), RESIDUAL | {"depth": 14}, _cut),
    "drowned-branch": Case(("drowned_branch",), RESIDUAL | {"depth": 14}, _drowned),
    "exploding": Case(("nonfinite", "exploding_loss"), VGG | BARE | {"learning_rate": 30 * RATE}),
    "exploding-plain": Case(("nonfinite", "exploding_loss"), PLAIN | BARE | {"depth": 8, "learning_rate": 10 * RATE}),
    "exploding-residual": Case(
        ("nonfinite", "exploding_loss"),
        RESIDUAL | BARE | {"depth": 20, "learning_rate": 10 * RATE, "warmup_steps": 0},
    ),
    "wrong-sign": Case(("nonfinite", "exploding_loss"), RESIDUAL | {"depth": 14}, _climbing),
    "healthy-plain": Case((), PLAIN | {"depth": 14, "steps": 200}),
    "healthy-plain-20": Case((), PLAIN | {"depth": 20, "steps": 200}),
    "healthy-residual": Case((), RESIDUAL | {"depth": 20, "steps": 200}),
    "healthy-residual-32": Case((), RESIDUAL | {"depth": 32, "steps": 200}),
    "healthy-preactivation": Case((), RESIDUAL | {"depth": 14, "preactivation": True, "steps": 200}),
    "healthy-dense": Case((), DENSE | {"depth": 22, "steps": 200}),
    "healthy-vgg": Case((), VGG | {"steps": 200}),
    "healthy-bare": Case((), PLAIN | BARE | {"depth": 8, "learning_rate": 0.05, "steps": 200}),
    "healthy-clutter": Case((), RESIDUAL | {"depth": 14, "imageset": "cluttered-digits", "steps": 200}),
}


def make(kind: str, seed: int, root: Path) -> Run:
    """Train one run, unless it is there."""
    case, name = CASES[kind], f"{kind}.s{seed}"
    experiment = Experiment(**SMALL | case.experiment | {"seed": seed})
    if case.treat is None:
        return train(experiment, root, run_id=name)
    return _treated(experiment, case.treat, root, name)


def _treated(experiment: Experiment, treat: Treat, root: Path, name: str) -> Run:
    """The loop of `labapp.training` in its simplest form, of a net that was treated."""
    images = load_for(experiment, "train")
    with randomness_of_its_own(torch.device("cpu")):
        seed_all(seed_of(experiment.seed, "weights"))
        net = net_for(
            experiment, num_classes=images.num_classes, image_size=images.image_size, in_channels=images.channels
        )
        sgd = torch.optim.SGD(
            net.parameters(),
            lr=experiment.learning_rate,
            momentum=experiment.momentum,
            weight_decay=experiment.weight_decay,
        )
        treat(net, sgd)
        scheduled = recording_schedule(experiment)
        with RunWriter.create(root, experiment, run_id=name) as writer:
            log = Logbook(experiment, writer, None)
            with Recorder(net, sgd, when=lambda step: scheduled(step) or log.diverged, sink=log) as recorder:
                for step, (x, y) in zip(
                    range(experiment.steps), batches(images, experiment.batch_size, experiment.seed), strict=False
                ):
                    if log.over(step):
                        break
                    rate = learning_rate(experiment, step)
                    for group in sgd.param_groups:
                        group["lr"] = 0.0 if group.get("still") else rate
                    with recorder.step():
                        sgd.zero_grad()
                        logits = net(x)  # (B, classes)
                        loss = F.cross_entropy(logits, y)
                        loss.backward()
                        norm = gradient_norm(net)
                        sgd.step()
                    right = (logits.argmax(1) == y).float().mean()
                    log.step(step, (loss.item(), right.item(), norm.item()), rate, 1.0)
                    done = step + 1
            writer.update(progress={"step": done, "steps": experiment.steps})
            message = log.divergence
            return writer.finish("diverged" if message else "finished", message)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the runs that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="runs", type=Path, metavar="DIR", help="the archive (runs)")
    parser.add_argument("--seeds", nargs="+", default=[0, 1, 2], type=int, metavar="SEED", help="one run each (0 1 2)")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="KIND", help="kinds, * and ? allowed; all")
    options = parser.parse_args(argv)
    kinds = [kind for kind in CASES if any(fnmatch.fnmatch(kind, pattern) for pattern in options.only)]
    there = {run.id for run in list_runs(options.out)} if options.out.is_dir() else set()
    for seed in options.seeds:
        for kind in kinds:
            if f"{kind}.s{seed}" not in there:
                run = make(kind, seed, options.out)
                print(f"{run.id}: {run.status}, {run.seconds:.0f} s", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
