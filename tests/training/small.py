"""A training of seconds, and how its weights are compared."""

import numpy as np
from safetensors.numpy import load_file

from labapp.config import Experiment

SMALL = {
    "depth": 8,
    "width": 4,
    "steps": 6,
    "batch_size": 16,
    "record_every": 2,
    "eval_every": 3,
    "checkpoints": 3,
    "train_images": 64,
    "test_images": 40,
    "device": "cpu",
}


def small(**changes):
    return Experiment(**SMALL | changes)


def weights(run, step=None):
    return load_file(run.checkpoint_path(step))


def same(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)
