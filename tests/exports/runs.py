"""A run with everything that an export takes: NaN, infinity, histograms, spreads, a table of somebody's own, labels."""

import numpy as np

from labapp.config import Experiment
from labapp.store import Run, RunWriter, label_run

LAYERS = [  # path, kind, depth
    ("stem.conv", "conv", 1),
    ("stem.norm", "norm", 1),
    ("stage1.0.conv", "conv", 2),
    ("stage1.0.conv#2", "conv", 3),
    ("head", "linear", 10),
]
STEPS = (0, 10, 20)


def columns_at(step):
    """The rows of layers at a step: an infinite value, a NaN after numbers, and a quantity that only `head` has."""
    count = len(LAYERS)
    norms = 2.0 ** -np.arange(count) / (1 + step)
    norms[0] = {0: 0.1, 10: np.inf, 20: np.nan}[step]
    return {
        "step": step,
        "layer": [path for path, _, _ in LAYERS],
        "kind": [kind for _, kind, _ in LAYERS],
        "depth": [depth for _, _, depth in LAYERS],
        "output_grad_norm": norms,
        "weight_grad_norm": [np.nan] * (count - 1) + [1.5 + step],
        "zero_fraction": np.full(count, 0.25),
    }


def write_rows(writer):
    """All rows of the run, as a training hands them over."""
    for step in range(21):
        writer.write("steps", {"step": [step], "loss": [2.3 / (1 + step)], "seconds": [step * 2.0]})
        if step in STEPS:
            writer.write("layers", columns_at(step))
            writer.write(
                "histograms",
                {
                    "step": step,
                    "layer": ["stem.conv"] * 4,
                    "of": "output",
                    "exponent": [-127, -3, -1, 128],
                    "count": [7, 1, 5, 2],
                },
            )
    five = {name: [value] for value, name in enumerate(("minimum", "lower", "median", "upper", "maximum"))}
    writer.write("spreads", {"step": [20], "layer": ["head"], "of": ["gradient"]} | five)
    writer.write("evals", {"step": [0, 21], "split": ["test", "test"], "loss": [np.nan, 0.5], "accuracy": [0.1, 0.9]})
    writer.write("gan", {"step": [0, 10], "d_loss": [1.0, 0.5]})
    writer.write("divergence", {"step": [10], "what": ["output"], "layer": ["stem.conv"]})


def full_run(root, run_id="full", status="finished", **experiment):
    """One run of it, labelled."""
    writer = RunWriter.create(root, Experiment(**{"depth": 20, "steps": 21} | experiment), run_id=run_id)
    writer.describe([{"path": path, "kind": kind, "depth": depth} for path, kind, depth in LAYERS], {})
    write_rows(writer)
    if status is None:
        writer.flush()
        return writer.run
    writer.finish(status)
    label_run(root, run_id, name="the full one", add=["good", "with words"], note="as in | the *paper*")
    return Run(writer.path)
