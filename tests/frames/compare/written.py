"""Runs to compare, whose every number a test chooses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labapp.config import Experiment
from labapp.store import Run, RunWriter


def written(
    root: Path,
    layers: Mapping[str, Mapping[str, Any]],
    *,
    steps: tuple[int, ...] = (0, 10),
    kind: str = "conv",
    status: str = "finished",
    losses: Mapping[int, float] | None = None,
    tests: Mapping[int, float] | None = None,
    **experiment: Any,
) -> Run:
    """A run with these layers in order of depth, each with its quantities: a number, or a list, one a recorded step.

    A layer may give its own kind, depth and shape too.
    """
    chosen = Experiment(**{"family": "plain", "depth": 8, "steps": steps[-1] + 1} | experiment)
    writer = RunWriter.create(root, chosen)
    count = len(layers)
    about, rows = [], []
    for number, (path, own) in enumerate(layers.items()):
        depth = own.get("depth", number + 1)
        place = {"kind": own.get("kind", kind), "depth": depth, "relative_depth": (depth - 1) / max(1, count - 1)}
        about.append({"index": number, "path": path, "shape": own.get("shape", [8, 4, 4]), "parameters": 8} | place)
        rows.append({"layer": path, "stage": 1, "block": ""} | place)
    writer.describe(about, {})
    for at, step in enumerate(steps):
        for row, own in zip(rows, layers.values(), strict=True):
            numbers = {
                name: value[at] if isinstance(value, list | tuple) else value
                for name, value in own.items()
                if name not in ("kind", "depth", "shape")
            }
            writer.write("layers", {"step": [step], "nonfinite": [0.0]} | {k: [v] for k, v in (row | numbers).items()})
    for step, loss in (losses or {}).items():
        writer.write("steps", {"step": [step], "loss": [loss]})
    for step, accuracy in (tests or {}).items():
        writer.write("evals", {"step": [step], "split": ["test"], "loss": [1.0], "accuracy": [accuracy]})
    return writer.finish(status)
