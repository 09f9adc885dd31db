"""How do pages behave with a long run of a deep net? One of 110 layers, recorded at each of 10,000 steps.

    python -m tests.large_run FOLDER

Eight steps of a real training, recorded by the lab; the others repeat their rows with every number a fifth up or down.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from labapp.config import Experiment
from labapp.store import QUANTITIES, Run, RunWriter
from labapp.training.loop import train

CHUNK = 50  # steps written at a time
WORDS = ("layer", "kind", "block")
COUNTS = ("nonfinite", "dead_channels", "zero_fraction")  # which are no longer what they are when they are multiplied


def large_run(root: Path, depth: int = 110, steps: int = 10_000, run_id: str = "residual-110-large") -> Run:
    """Write the run into an archive."""
    net = {"family": "residual", "depth": depth, "width": 4, "imageset": "digits", "batch_size": 16, "device": "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        few = {"steps": 8, "record_every": 1, "eval_every": 8, "checkpoints": 2, "test_images": 64, "train_images": 320}
        real = train(Experiment(**net | few), folder)
        layers, info, recorder = real.layers(), real.layers_info, real.recorder
    profiles = [rows for _, rows in layers.groupby("step")]
    random = np.random.default_rng(0)
    with RunWriter.create(root, Experiment(**net, steps=steps, record_every=1), run_id=run_id) as writer:
        writer.describe(info, recorder)
        for begin in range(0, steps, CHUNK):
            at = np.arange(begin, min(begin + CHUNK, steps))
            rows = pd.concat([profiles[step % len(profiles)].assign(step=step) for step in at])
            factor = np.exp(0.2 * random.standard_normal(len(rows)))
            columns = {
                name: list(rows[name])
                if name in WORDS
                else rows[name].to_numpy() * (factor if name in QUANTITIES and name not in COUNTS else 1)
                for name in rows
            }
            writer.write("layers", columns)
            loss = 2.3 * np.exp(-at / 4000) + 0.05 * random.random(len(at))
            writer.write("steps", {"step": at, "loss": loss, "accuracy": at / steps, "learning_rate": 0.1 + 0 * loss})
            if begin % 1000 == 0:
                writer.write("evals", {"step": [begin], "split": ["test"], "loss": [1.0], "accuracy": [begin / steps]})
                writer.flush()
    return writer.run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a run of a deep net that was recorded at every step.")
    parser.add_argument("folder", type=Path)
    large_run(parser.parse_args().folder)
