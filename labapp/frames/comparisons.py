"""What may be said of two nets beside each other?

Of finished runs only; with what differs between them besides the net; and with what the seeds allow: one seed tells
nothing of luck, several give an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit  # scipy.stats takes half a second to import

from labapp.config import BELONGS_TO, FOREIGN, Experiment
from labapp.frames.naming import ALWAYS_SAID, asked_for, settings
from labapp.store import Run

_OF_THE_NET = {"family", "net", "depth", "form", *ALWAYS_SAID}  # a run's name says them
_OF_TRAINING = {
    *("recipe", "steps", "learning_rate", "momentum", "nesterov", "weight_decay", "schedule", "warmup_steps"),
    *("clip_norm", "test_images"),
}
_SAME_KIND = ("plain", "residual")  # whose width means the same
FINAL = ["name", "net", "family", "net_depth", "accuracy", "low", "high", "deviation", "seeds", "step", "comparable"]


def comparable(experiment: Experiment) -> dict[str, Any]:
    """The settings that change a result and that a name does not say, by name; those asked for come first."""
    asked = asked_for(experiment)
    elsewhere = {key for key, families in BELONGS_TO.items() if experiment.family not in families}
    own = {key: value for key, value in settings(experiment).items() if key not in _OF_THE_NET | elsewhere}
    if experiment.family == FOREIGN:
        own = {key: value for key, value in own.items() if key not in {"width", "init", "padding_mode"}}
    elif experiment.family not in _SAME_KIND:
        own |= {f"{experiment.family} {key}": own.pop(key) for key in ("width",)}
    return dict(sorted(own.items(), key=lambda item: item[0] not in asked))


def comparable_of(run: Run) -> dict[str, Any]:
    """`comparable` of a run; of a loop that is not the lab's only what that told of itself."""
    known = run.environment
    if "loop" not in known:
        return comparable(run.experiment)
    told = {name: getattr(run.experiment, name) for name in known.get("told", ()) if hasattr(run.experiment, name)}
    return {name: known[name] for name in ("loop", "optimizer") if name in known} | told


def besides(*nets: Mapping[str, Any], untrained: bool = False) -> list[str]:
    """In what nets differ besides: "learning rate (0.1 and 0.5)".

    Args:
        nets: What `comparable` says of each.
        untrained: Whether it is about step 0, for which training does not matter.
    """
    shared = [key for key in nets[0] if all(key in other for other in nets)] if nets else []
    shared = [key for key in shared if not (untrained and key in _OF_TRAINING)]
    found = []
    for key in shared:
        values = list(dict.fromkeys(str(net[key]) for net in nets if net[key] is not None))
        if len({repr(net[key]) for net in nets}) > 1 and values:
            left = ["not set"] * any(net[key] is None for net in nets)
            found.append(f"{key.replace('_', ' ')} ({' and '.join(values + left)})")
    return found


def finals(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """How did each net end? Its finished runs that were tested, together.

    Args:
        table: From `overview`.
        level: Of the interval.

    Returns:
        name (the run's where there is one seed, else the net's), net, family, net_depth, accuracy (mean over the
        seeds), low, high (the mean's interval from Student's t; NaN for one seed), deviation (between seeds), seeds (a
        seed that ran twice counts once), step, comparable; the worst net first.
    """
    done = table[(table["status"] == "finished") & table["accuracy"].notna()].drop_duplicates(["net", "seed"])
    groups = done.groupby("net", sort=False, as_index=False)
    ends = groups.agg(
        name=("run", "first"),
        family=("family", "first"),
        net_depth=("net_depth", "first"),
        accuracy=("accuracy", "mean"),
        deviation=("accuracy", "std"),
        seeds=("accuracy", "size"),
        step=("step", "first"),
        comparable=("comparable", "first"),
    )
    ends["name"] = ends["name"].where(ends["seeds"] == 1, ends["net"])
    count = ends["seeds"].to_numpy(float)
    half = stdtrit(np.maximum(count - 1, 1), (1 + level) / 2) * ends["deviation"].to_numpy(float) / np.sqrt(count)
    ends = ends.assign(low=(ends["accuracy"] - half).clip(0), high=(ends["accuracy"] + half).clip(upper=1))
    return ends[FINAL].sort_values("accuracy", kind="stable", ignore_index=True)


def difference(one: Any, other: Any, level: float = 0.95) -> tuple[float, float, float]:
    """How much higher does `one` end than `other`, two rows of `finals`? Welch's interval; NaN where one has one seed.

    Returns:
        The difference of the means, and the ends of its interval.
    """
    gap = one.accuracy - other.accuracy
    if min(one.seeds, other.seeds) < 2:
        return gap, np.nan, np.nan
    parts = [each.deviation**2 / each.seeds for each in (one, other)]
    if sum(parts) == 0:
        return gap, gap, gap
    freedom = sum(parts) ** 2 / sum(part**2 / (each.seeds - 1) for part, each in zip(parts, (one, other), strict=True))
    half = float(stdtrit(freedom, (1 + level) / 2)) * float(np.sqrt(sum(parts)))
    return gap, gap - half, gap + half
