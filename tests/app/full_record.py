"""Runs in which every table that a recorder knows has rows, and every quantity that a page measures when asked to."""

from pathlib import Path

import torch
from torch.nn import functional as F

from labapp.config import Experiment
from labapp.nets import build
from labapp.probes import measure
from labapp.recording import Recorder, every
from labapp.store import Run, RunWriter
from labapp.training.loop import train
from tests.probes.probing import few_points

STEPS = 5
REFUSED, DEAD, ALIVE = 3, 1, 3  # the steps whose update is refused, after which channels die, after which they live


def recorded(root: Path) -> Run:
    """A residual net, trained in micro-batches with a loss scale and clipping; channels die and come back."""
    torch.manual_seed(0)
    net = build("residual", depth=8, width=4, image_size=8, num_classes=3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
    x, y = torch.randn(2, 8, 3, 8, 8), torch.randint(3, (2, 8))
    writer = RunWriter.create(root, Experiment(family="residual", depth=8, width=4, steps=STEPS), run_id="recorded")
    parameters = dict(net.named_parameters())
    bias = next(own for name, own in parameters.items() if name.endswith("norm.bias"))
    options = {"histograms": every(1), "spreads": every(1), "gradient_noise": True, "scaler": scaler}
    with Recorder(net, optimizer, when=every(1), sink=writer, **options) as recorder:
        for step in range(STEPS):
            with recorder.step():
                optimizer.zero_grad()
                for images, labels in zip(x, y, strict=True):
                    loss = F.cross_entropy(net(images), labels)
                    scaler.scale(loss).backward()
                if step == REFUSED:
                    bias.grad.fill_(float("inf"))
                scaler.unscale_(optimizer)
                norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
                scaler.step(optimizer)
                scaler.update()
            numbers = {"loss": loss.item(), "accuracy": 0.1 * step, "learning_rate": 0.05, "grad_norm": norm.item()}
            writer.write("steps", {"step": step, **numbers, "seconds": 0.5 * step, "images_per_second": 90.0 + step})
            with torch.no_grad():
                bias[:2] = -100.0 if DEAD <= step < ALIVE else 0.1
    writer.write("evals", {"step": [0, STEPS], "split": "test", "loss": [1.0, 0.5], "accuracy": [0.3, 0.6]})
    return writer.finish("finished")


def probed(root: Path, names: list[str]) -> Run:
    """A residual net with preactivation, trained for a moment, and these quantities of it on 24 images."""
    net = {"family": "residual", "depth": 14, "width": 4, "preactivation": True, "imageset": "digits"}
    small = {"steps": 4, "batch_size": 16, "test_images": 60, "checkpoints": 2, "eval_every": 4, "record_every": 2}
    run = train(Experiment(**net, **small, device="cpu"), root, run_id="probed")
    with few_points():
        for outcome in measure.measure(run, measure.tasks(run, names, checkpoints="ends")[0], images=24):
            assert not outcome.reason, outcome
    return run
