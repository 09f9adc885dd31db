"""Is each step's learning rate the one that the schedule's formula gives?"""

import math

import pytest

from labapp.config import Experiment
from labapp.training.schedules import learning_rate


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1, 1, 1, 1]),
        # what is left out: up over a third of the steps, then down along a cosine
        ({}, [0.5, 1, *((1 + math.cos(math.pi * step / 6)) / 2 for step in range(6))]),
        ({"schedule": "he"}, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"schedule": "densenet"}, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"schedule": "cosine"}, [(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]),
        ({"warmup_steps": 4, "schedule": "constant"}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ({"warmup_steps": 4, "schedule": "cosine"}, [0.25, 0.5, 0.75, 1, 1, 0.5 + 8**-0.5, 0.5, 0.5 - 8**-0.5]),
        ({"warmup_steps": 8, "schedule": "cosine"}, [0.125 * (step + 1) for step in range(8)]),
    ],
)
def test_schedules(options, rates):
    experiment = Experiment(steps=8, learning_rate=2.0, **options)
    assert [learning_rate(experiment, step) / 2 for step in range(8)] == pytest.approx(rates)
