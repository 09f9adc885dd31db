"""Which learning rate does a step have, is it recorded, and are the weights before it kept?"""

import math

import torch

from labapp.config import Experiment
from labapp.recording import every, log_spaced
from labapp.recording.schedule import Schedule


def learning_rate(experiment: Experiment, step: int) -> float:
    """The learning rate of a step: a linear warm-up to the full rate, then the schedule."""
    rate, warmup = experiment.learning_rate, experiment.warmup_steps
    if step < warmup:
        return rate * (step + 1) / warmup
    if experiment.schedule == "cosine":  # Loshchilov & Hutter 2017, eq. (5), from the warm-up to the last step
        return rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (experiment.steps - warmup)))
    if experiment.schedule in ("he", "densenet"):  # 32k and 48k of 64k steps; epochs 150 and 225 of 300
        return rate * 0.1 ** ((step >= experiment.steps / 2) + (step >= experiment.steps * 3 / 4))
    return rate


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> float:
    """Set the learning rate of all parameters, and return it."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def recording_schedule(experiment: Experiment) -> Schedule:
    """A function that says of a step whether it is recorded."""
    if experiment.record == "every":
        return every(experiment.record_every)
    if experiment.record == "log-spaced":
        return log_spaced(experiment.record_points, experiment.steps)
    return lambda step: False


def checkpoint_steps(experiment: Experiment) -> set[int]:
    """After how many steps weights are kept: 0, then log-spaced. The loop itself keeps those of the end."""
    if not experiment.checkpoints:
        return set()
    kept = log_spaced(experiment.checkpoints, experiment.steps + 1)
    return {step for step in range(experiment.steps) if kept(step)}
