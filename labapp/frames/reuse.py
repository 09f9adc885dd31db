"""Which earlier features are used?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from labapp.config import LabError, listed, nearest
from labapp.frames.runs import names
from labapp.frames.steps import Read, near
from labapp.store import Run

REUSE: Literal["feature_reuse"] = "feature_reuse"
SCALES = ("column mean", "column maximum", "raw", "column min–max")
NULL_DRAWS = 400  # of cells as untrained nets have them, for the interval of a number made of many cells
NULL = ["null", "null_deviation"]
CELL = ["block", "source", "target", "kind"]


def reuse(runs: Sequence[Run], weighting: str, step: int, read: Read | None = None) -> pd.DataFrame:
    """The source × target cells of runs that agree in all but the seed.

    Returns:
        block (from 1), source (0 is what comes into the block), target, kind (of the target: layer, transition, block,
        classifier), value (mean over the runs measured at one step, that which stands for `step`), deviation (between
        them, NaN for one), seeds (how many), null and null_deviation (the cell over its column's mean in nets that have
        learnt nothing: mean, and deviation between nets; NaN where not measured), source_layer and target_layer
        (paths), step (theirs); one row a cell. Empty where no measured step stands for `step`.

    Raises:
        LabError: If the runs have different cells.
    """
    parts = []
    steps = {run.id: reuse_steps(run, weighting, read) for run in runs}
    at = near({measured for own in steps.values() for measured in own}, step)
    for run in runs:
        if at is not None and at in steps[run.id]:
            table = (read or Run.probe)(run, "feature_reuse", at)
            part = table[table["weighting"] == weighting].assign(step=at)
            parts.append(part.assign(**dict.fromkeys(set(NULL) - set(part), np.nan)))
    columns = [*CELL, "value", "deviation", "seeds", *NULL, "source_layer", "target_layer", "step"]
    if not parts or parts[0].empty:
        return pd.DataFrame(columns=columns)
    if len({tuple(map(tuple, part[CELL].to_numpy())) for part in parts}) > 1:
        raise LabError(f"{listed(names(runs))} have different blocks, so their cells cannot be laid over each other")
    groups = pd.concat(parts, ignore_index=True).groupby(CELL, sort=False, as_index=False)
    cells = groups.agg(
        value=("value", lambda values: values.mean(skipna=False)),
        deviation=("value", "std"),
        seeds=("value", "size"),
        null=("null", "mean"),
        null_deviation=("null_deviation", "mean"),
        step=("step", "max"),
    )
    called = layers_of_cells(runs[0], cells)
    pairs = list(zip(cells["block"], cells["source"], cells["target"], strict=True))
    return cells.assign(
        source_layer=[called.get((block, source), f"source {source}") for block, source, _ in pairs],
        target_layer=[called.get((block, target), f"target {target}") for block, _, target in pairs],
    )[columns]


def reuse_steps(
    run: Run, weighting: str, read: Read | None = None, name: Literal["feature_reuse", "reuse_observations"] = REUSE
) -> list[int]:
    """The steps at which a weighting was measured: not every one is at every checkpoint."""
    steps = run.probes().get(name, [])
    return [at for at in steps if ((read or Run.probe)(run, name, at)["weighting"] == weighting).any()]


def layers_of_cells(run: Run, cells: pd.DataFrame) -> dict[tuple[int, int], str]:
    """The path of the layer behind each number of a block, as far as the recorded layers tell: (block, number) → path.

    In a dense net number 0 is what comes into the block and the last one is the transition or the classifier; in a
    residual or plain net the numbers count blocks, 0 is the stem.
    """
    info = run.layers_info
    weights = [layer for layer in info if layer["kind"] in ("conv", "linear")]
    if not weights:
        return {}
    if not set(cells["kind"]) & {"layer", "transition"}:
        blocks = [layer["path"] for layer in info if layer["kind"] == "block"]
        called = [weights[0]["path"], *blocks, weights[-1]["path"]]
        return {(1, number): path for number, path in enumerate(called)}
    found: dict[tuple[int, int], str] = {}
    before, number, seen = weights[0]["path"], 0, list[str]()
    for layer in weights[1:]:
        inside = layer["block"]
        if not inside:
            if seen:  # what comes behind a block reads all of it
                found[number, len(seen) + 1] = layer["path"]
            before, seen = layer["path"], []
            continue
        if not seen:
            number += 1
            found[number, 0] = before
        path = re.sub(rf"^({re.escape(inside)}\.[^.]+).*", r"\1", layer["path"])
        if path not in seen:  # a bottleneck holds two convolutions
            seen.append(path)
            found[number, len(seen)] = path
    return found


def scaled(cells: pd.DataFrame, scale: str) -> pd.DataFrame:
    """The same cells on another scale, each column (block, target) for itself; the values as they were stay in `raw`.

    column mean: by how much a cell is above or below the mean of its column, as a share of it, which shows what there
    is, however little; NaN in a column with a negative value. column maximum: divided by the column's largest size, so
    that values lie in −1 … 1. column min–max: (v − min) / (max − min), which also hides how unequal a column is. NaN
    where a column has nothing to scale by.
    """
    if scale not in SCALES:
        raise LabError(f"unknown scale '{scale}'; there are {listed(SCALES)}{nearest(scale, SCALES)}")
    kept = cells.assign(raw=cells["value"])
    if scale == "raw" or cells.empty:
        return kept
    columns = cells.groupby(["block", "target"])["value"]
    if scale == "column mean":
        means = columns.transform("mean").where(columns.transform("min") >= 0)
        return kept.assign(value=cells["value"] / means.where(means > 0) - 1)
    if scale == "column maximum":
        largest = cells["value"].abs().groupby([cells["block"], cells["target"]]).transform("max")
        return kept.assign(value=cells["value"] / largest.where(largest > 0))
    lowest = columns.transform("min")
    span = columns.transform("max") - lowest
    return kept.assign(value=(cells["value"] - lowest) / span.where(span > 0))


def preference(cells: pd.DataFrame) -> float:
    """How much more a layer reads its strongest source than the mean one, on the mean over the layers.

    1 for equal weights; NaN where no layer has several sources, or a value is negative or not finite.
    """
    columns = cells[cells["kind"] == "layer"].groupby(["block", "target"])["value"]
    sizes = columns.agg(["max", "mean", "min", "size"]).astype(float)
    sizes = sizes[sizes["size"] > 1]
    if sizes.empty or (sizes["min"] < 0).any() or not np.isfinite(cells["value"].to_numpy(float)).all():
        return float("nan")
    return float((sizes["max"] / sizes["mean"].where(sizes["mean"] > 0)).mean())


def preference_of_untrained(cells: pd.DataFrame, level: float = 0.95) -> tuple[float, float]:
    """Where the `preference` of a net that has learnt nothing lies, by chance alone; NaN where that was not measured.

    Nets are drawn cell by cell, normal and independent, so that the cells over their column's mean have null and
    null_deviation; of several seeds, whose mean is shown, the mean.
    """
    columns = cells[(cells["kind"] == "layer") & cells["null_deviation"].notna()]
    numbers = []
    draw = np.random.default_rng(0)
    for _, column in columns.groupby(["block", "target"]):
        if len(column) > 1:
            mean = column["null"].to_numpy(float)
            deviation = _before_division(mean, column["null_deviation"].to_numpy(float) ** 2 / column["seeds"]) ** 0.5
            drawn = np.abs(draw.normal(mean, deviation, (NULL_DRAWS, len(column))))
            numbers.append(drawn.max(1) / drawn.mean(1))
    if not numbers:
        return float("nan"), float("nan")
    low, high = np.quantile(np.mean(numbers, axis=0), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _before_division(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Variances (n,) of independent values whose share of their mean, 1, has these means and variances.

    To first order a share vᵢ / v̄ varies by dvᵢ − mᵢ Σ dvⱼ / n, so its variance is sᵢ (1 − 2 mᵢ / n) + mᵢ² Σ sⱼ / n².
    """
    n = len(mean)
    system = np.diag(1 - 2 * mean / n) + (mean[:, None] / n) ** 2
    return np.clip(np.linalg.lstsq(system, variance, rcond=None)[0], 0, None)


def spread_of_untrained(cells: pd.DataFrame) -> float:
    """By how much a cell, over its column's mean, differs between nets that have learnt nothing: the median cell's."""
    several = cells.groupby(["block", "target"])["source"].transform("size") > 1
    known = cells["null_deviation"][several].dropna()
    return float(known.median()) if len(known) else float("nan")


def missed(cells: pd.DataFrame) -> pd.DataFrame:
    """How much does the loss rise without one source, on the mean over the layers that read it?

    Returns:
        source, source_layer, loss (nats), targets; what comes into the net, source 0, is left out; worst first.
    """
    groups = cells[cells["source"] > 0].groupby(["block", "source", "source_layer"], as_index=False)
    table = groups.agg(loss=("value", "mean"), targets=("value", "size"))
    return table.sort_values("loss", ascending=False, kind="stable", ignore_index=True)


def observations(runs: Sequence[Run], weighting: str, step: int, read: Read | None = None) -> pd.DataFrame:
    """The four observations of Huang et al. 2017, Fig. 5, in each run.

    Returns:
        run, observation (1 … 4), claim, number, threshold, seen (True, False, None), untrained (of equal weights),
        null, null_low, null_high (of nets that have learnt nothing, NaN where that was not measured), reason, step;
        runs without a measured step that stands for `step` are left out.
    """
    measured = ["null", "null_low", "null_high"]
    columns = ["run", "observation", "claim", "number", "threshold", "seen", "untrained", *measured, "reason", "step"]
    parts = []
    for run, name in zip(runs, names(runs), strict=True):
        at = near(reuse_steps(run, weighting, read, "reuse_observations"), step)
        if at is None:
            continue
        table = (read or Run.probe)(run, "reuse_observations", at)
        missing = dict.fromkeys(set(measured) - set(table), np.nan)
        parts.append(table[table["weighting"] == weighting].assign(run=name, step=at, **missing))
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
