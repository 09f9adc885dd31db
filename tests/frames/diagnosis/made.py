"""Records whose numbers are known: a healthy run, but for what a test says of it."""

from __future__ import annotations

import numpy as np

from labapp.config import Experiment
from labapp.store import Run, RunWriter

LAYERS, STEPS = 8, tuple(range(0, 100, 10))
DEPTH = np.arange(LAYERS) / (LAYERS - 1)  # 0 … 1
HEALTHY = {
    "update_ratio": 1e-3, "weight_norm": 1.0, "weight_grad_norm": 0.1, "output_std": 1.0, "output_mean": 0.0,
    "zero_fraction": 0.5, "dead_channels": 0.0, "output_grad_norm": 1.0, "nonfinite": 0.0,
}  # fmt: skip


def made(
    root, *, recorded=STEPS, losses=None, rate=0.1, spans=(), events=(), status="finished", leave=(), asked=100,
    about=None, **numbers,
) -> Run:  # fmt: skip
    """A net of seven convolutions of ten channels and a classifier of ten classes, without normalisation.

    Args:
        root: The archive.
        recorded: Steps.
        losses: One a step, by default from ln 10 to next to nothing.
        rate: Written down at each step; None where it is not.
        spans: (layer, channel, step, event) of `lifetimes`.
        events: Rows of `divergence`.
        status: None: still being written.
        leave: Quantities that are not recorded.
        asked: Steps of the experiment.
        about: More of the experiment.
        numbers: Of a quantity what broadcasts to (steps, layers).
    """
    chosen = {"family": "plain", "depth": 20, "norm": "none", "steps": asked, "schedule": "constant"} | (about or {})
    writer = RunWriter.create(root, Experiment(**chosen))
    names = [*(f"conv{at}" for at in range(LAYERS - 1)), "head"]
    kinds = [*["conv"] * (LAYERS - 1), "linear"]
    depths = list(range(1, LAYERS + 1))
    writer.describe(
        [
            {
                "path": name,
                "kind": kind,
                "depth": depth,
                "shape": [10, 4, 4] if kind == "conv" else [10],
                "parameters": 9,
            }
            for name, kind, depth in zip(names, kinds, depths, strict=True)
        ],
        {},
    )
    given = {name: value for name, value in (HEALTHY | numbers).items() if name not in leave}
    values = {name: np.broadcast_to(value, (len(recorded), LAYERS)) for name, value in given.items()}
    for at, step in enumerate(recorded):
        place = {"layer": names, "kind": kinds, "depth": depths, "relative_depth": DEPTH, "stage": 1, "block": ""}
        writer.write("layers", {"step": step} | place | {name: value[at] for name, value in values.items()})
    losses = np.log(10) * np.exp(-np.arange(100) / 20) if losses is None else losses
    steps = {"step": np.arange(len(losses)), "loss": np.asarray(losses, float)}
    if len(losses):
        writer.write("steps", steps | ({"learning_rate": np.full(len(losses), rate)} if rate else {}))
    for layer, channel, step, event in spans:
        writer.write("lifetimes", {"step": [step], "layer": [layer], "channel": [channel], "event": [event]})
    for event in events:
        writer.write("divergence", {name: [value] for name, value in event.items()})
    writer.update(progress={"step": len(losses), "steps": asked})
    if status is None:
        writer.flush()
        return writer.run
    return writer.finish(status)


def along(first_over_last):
    """Values of the layers, falling or rising by one factor a layer among the convolutions."""
    place = np.append(np.arange(LAYERS - 1), LAYERS - 2) / (LAYERS - 2)
    return np.asarray(first_over_last, float) ** (1 - place)


def at_layers(value, *layers, otherwise):
    """One value for some layers, another for all others."""
    return np.where(np.isin(np.arange(LAYERS), layers), value, otherwise)
