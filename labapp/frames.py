"""Which table does a picture show?

Every function takes runs, or a table made here, and returns a tidy table: one row is one measurement, and its columns
stand at the top of the docstring. Nothing here draws, and nothing here decides a colour.

    table = layer_table(runs, "output_grad_norm", kinds=["conv"])
    gradient_profile(table, step=0)      # against depth
    gradient_slope(table)                # one number a run and step, with its interval
    gradient_heatmap(table)              # depth × step

Values that are not finite are data. They stay in the table, are counted in a column of their own and never take part in
a mean or a fit; a fit that is left without points is NaN.

The three functions that read files take `read=`, so that the app can pass cached readers of the same signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from labapp.config import Experiment
from labapp.store import Run

IDENTITY = ["run", "run_id", "family", "net_depth", "seed"]  # what every table says about its run
LAYER = ["step", "layer", "kind", "depth", "relative_depth", "stage", "block"]  # and about its layer
MARKS = 2000  # more marks than these are aggregated before drawing

# Yang et al. 2019, "A mean field theory of batch normalization", Theorem 3.10: behind ReLU and batch norm the squared
# gradient grows by π/(π − 1) a layer towards the input, at initialisation and in the limit of large batches.
BATCH_NORM_GROWTH = float(np.sqrt(np.pi / (np.pi - 1)))

_NO_PART_OF_A_NAME = {
    "data",
    "device",
    "devices",
    "checkpoints",
    "eval_every",
    "record",
    "record_every",
    "record_points",
}


def describe(runs: Sequence[Run]) -> pd.DataFrame:
    """Who the runs are, without opening a table.

    Returns:
        run (the shortest name that tells these runs apart), net (the same without seed: equal for runs that are
        repetitions), run_id, family, net_depth, seed, norm, activation, init, imageset, status; one row a run.
    """
    rows = [
        {
            "run_id": run.id,
            "family": run.experiment.family,
            "net_depth": run.experiment.depth,
            "seed": run.experiment.seed,
            "norm": run.experiment.norm,
            "activation": run.experiment.activation,
            "init": run.experiment.init,
            "imageset": run.experiment.imageset,
            "status": run.status,
        }
        for run in runs
    ]
    table = pd.DataFrame(rows, columns=[*IDENTITY[1:], "norm", "activation", "init", "imageset", "status"])
    table.insert(0, "run", names(runs))
    table.insert(1, "net", names(runs, seeds=False))
    return table


def names(runs: Sequence[Run], seeds: bool = True) -> list[str]:
    """The shortest names that tell these runs apart: "residual-56", or "plain-20, seed 1" where seeds differ.

    Without `seeds`, repetitions of an experiment share a name.
    """
    settings = [_settings(run.experiment, seeds) for run in runs]
    result = []
    for run, own in zip(runs, settings, strict=True):
        twins = [other for twin, other in zip(runs, settings, strict=True) if twin.name == run.name]
        differing = [key for key, value in own.items() if any(other[key] != value for other in twins)]
        parts = [run.name, *(_in_words(key, own[key]) for key in differing)]
        if seeds and twins.count(own) > 1:  # the same experiment again: only the folder tells them apart
            parts.append(run.id.removeprefix(f"{run.name}-"))
        result.append(", ".join(parts))
    return result


def _settings(experiment: Experiment, seeds: bool) -> dict[str, Any]:
    return experiment.model_dump(exclude=_NO_PART_OF_A_NAME if seeds else _NO_PART_OF_A_NAME | {"seed"})


def _in_words(name: str, value: Any) -> str:
    """A setting as part of a name: seed 1, no norm, preactivation, learning rate 0.05."""
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if value is None or value == "none":
        return f"no {name}"
    if name in {"norm", "init"}:
        return f"{value} {name}"
    return str(value) if name in {"activation", "imageset"} else f"{name.replace('_', ' ')} {value}"


def overview(runs: Sequence[Run], read: Callable[[Run], dict[str, Any]] | None = None) -> pd.DataFrame:
    """How did each run end, in one row a run?

    Returns:
        The columns of `describe`, then those of `summary`.
    """
    read = read or summary
    table = describe(runs)
    rows = pd.DataFrame([read(run) for run in runs], columns=list(SUMMARY))
    return pd.concat([table, rows], axis=1)


SUMMARY = {  # column: meaning
    "step": "steps done",
    "steps": "steps asked for",
    "loss": "training loss, mean of the last tenth of the steps",
    "accuracy": "last test accuracy, a fraction",
    "best_accuracy": "best test accuracy, a fraction",
    "ratio_start": "first over last layer's gradient norm at the first recorded step",
    "ratio_end": "the same at the last recorded step",
    "slope_start": "slope of log10 gradient norm a layer at the first recorded step",
    "slope_end": "the same at the last recorded step",
    "seconds": "time of training",
    "recorder_cost": "what recording added, as a share of what training alone took",
    "message": "why it ended",
}


def summary(run: Run) -> dict[str, Any]:
    """The numbers a run comes down to; the keys are those of `SUMMARY`, NaN where the run holds no such number."""
    done, asked = run.progress
    losses = run.steps(columns=["step", "loss"])
    tests = held_out(run)["accuracy"].to_numpy(float)
    gradients = read_layers(run, "output_grad_norm", ("conv",))
    ends = gradients[gradients["step"].isin([gradients["step"].min(), gradients["step"].max()])].assign(run="")
    slopes = gradient_slope(ends)
    ratios = gradient_ratio(ends)
    last = losses["loss"].tail(max(1, len(losses) // 10))
    return {
        "step": done,
        "steps": asked,
        "loss": float(last.mean()) if len(last) else np.nan,
        "accuracy": float(tests[-1]) if tests.size else np.nan,
        "best_accuracy": float(np.nanmax(tests)) if np.isfinite(tests).any() else np.nan,
        "ratio_start": _at(ratios["ratio"], 0),
        "ratio_end": _at(ratios["ratio"], -1),
        "slope_start": _at(slopes["slope"], 0),
        "slope_end": _at(slopes["slope"], -1),
        "seconds": run.seconds,
        "recorder_cost": recorder_cost(run),
        "message": run.message,
    }


def curves(runs: Sequence[Run], read: Callable[[Run], pd.DataFrame] | None = None, marks: int = MARKS) -> pd.DataFrame:
    """Loss, accuracy and error over steps.

    Returns:
        The columns of `IDENTITY`, then step, split ("train": the batch; "test": held out), loss, accuracy, error
        (fractions; error = 1 − accuracy), nonfinite (losses in this row that are not finite). At most `marks` rows of
        each split: training rows become means over equal stretches of steps.
    """
    read = read or read_curves
    parts = []
    for run, who in zip(runs, _who(runs), strict=True):
        table = read(run)
        share = max(2, marks // max(1, len(runs)))
        train, test = (table[table["split"] == split] for split in ("train", "test"))
        parts.append(pd.concat([_means(train, share), _spaced(test, share)], ignore_index=True).assign(**who))
    columns = [*IDENTITY, "step", "split", "loss", "accuracy", "error", "nonfinite"]
    return _joined(parts, columns)


def _who(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in describe(runs)[IDENTITY].to_dict("records")]


def read_curves(run: Run) -> pd.DataFrame:
    """All that a run says about its training: step, split, loss, accuracy, error, nonfinite."""
    train = run.steps(columns=["step", "loss", "accuracy"]).assign(split="train")
    table = pd.concat([train, held_out(run).assign(split="test")], ignore_index=True)
    loss = table["loss"].to_numpy(float)
    return table.assign(error=1 - table["accuracy"], nonfinite=(~np.isfinite(loss)).astype(int))


def layer_table(
    runs: Sequence[Run],
    quantity: str = "output_grad_norm",
    kinds: Iterable[str] = ("conv",),
    relative: bool = False,
    read: Callable[[Run, str, tuple[str, ...]], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """One quantity of every layer at every recorded step.

    Returns:
        The columns of `IDENTITY` and `LAYER`, then value (`relative`: divided by the last layer's at the same step);
        one row a (run, step, layer), layers of the given kinds only.
    """
    read = read or read_layers
    parts = []
    for run, who in zip(runs, _who(runs), strict=True):
        table = read(run, quantity, tuple(kinds))
        if relative and len(table):
            last = table[table["depth"] == table["depth"].max()].groupby("step")["value"].first()
            with np.errstate(divide="ignore", invalid="ignore"):
                table = table.assign(value=table["value"] / table["step"].map(last))
        parts.append(table.assign(**who))
    return _joined(parts, [*IDENTITY, *LAYER, "value"])


def read_layers(run: Run, quantity: str, kinds: tuple[str, ...]) -> pd.DataFrame:
    """What a run says about one quantity: the columns of `LAYER`, then value.

    A layer for which the quantity does not exist (the weights of a ReLU) is left out; one that is NaN is kept.
    """
    table = run.layers(columns=[*LAYER, "nonfinite", quantity], where=[("kind", "in", list(kinds))])
    says = table[quantity].notna() | (table["nonfinite"] > 0)
    table = table[says.groupby(table["layer"]).transform("any")]
    table = table[[*LAYER, quantity]].rename(columns={quantity: "value"})
    return table.sort_values(["step", "depth"], kind="stable", ignore_index=True)


def gradient_profile(table: pd.DataFrame, step: int, marks: int = MARKS) -> pd.DataFrame:
    """A `layer_table` at one step: the value against depth.

    Returns:
        The columns of the table, then state ("finite", "zero", "not finite"). Each run stands at its recorded step
        nearest to `step`, the earlier of two; at most `marks` rows, thinned evenly, first and last layer kept.
    """
    if table.empty:
        return table.assign(state=pd.Series(dtype=str))
    steps = table[["run", "step"]].drop_duplicates().sort_values("step", kind="stable")
    distance = (steps["step"] - step).abs()
    nearest = steps.loc[distance.groupby(steps["run"]).idxmin()]
    chosen = table.merge(nearest, on=["run", "step"])
    profile = thinned(chosen, marks)
    value = profile["value"].to_numpy(float)
    return profile.assign(state=_states(~np.isfinite(value) | (value < 0), value == 0))


def theory_profile(profile: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """What a gradient profile would be if it grew by `BATCH_NORM_GROWTH` a layer from the last layer's value back.

    Args:
        profile: from `gradient_profile` at the first recorded step.
        runs: from `describe`; the theory speaks of plain nets with batch norm and ReLU only.

    Returns:
        run, depth, relative_depth, value.
    """
    known = (runs["family"] == "plain") & (runs["norm"] == "batch") & (runs["activation"] == "relu")
    rows = profile[profile["run"].isin(runs.loc[known, "run"])]
    if rows.empty:
        return rows[["run", "depth", "relative_depth", "value"]]
    last = rows.loc[rows.groupby("run")["depth"].idxmax()].set_index("run")
    missing = rows["run"].map(last["depth"]) - rows["depth"]
    value = rows["run"].map(last["value"]) * BATCH_NORM_GROWTH**missing
    return rows[["run", "depth", "relative_depth"]].assign(value=value)


def gradient_slope(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """How fast does the value change from layer to layer? Least squares of log10(value) on depth.

    Returns:
        The columns of `IDENTITY`, then step, slope (log10 a layer; below 0 it grows towards the input), low, high (the
        interval of the least-squares slope at `level`, from Student's t with layers − 2 degrees of freedom), factor
        (10 ** −slope, growth a layer towards the input), layers (in the fit), left_out (zero or not finite). Two layers
        give no interval, fewer no slope: NaN.
    """
    keys = [*IDENTITY, "step"] if "run_id" in table else ["run", "step"]
    columns = [*keys, "slope", "low", "high", "factor", "layers", "left_out"]
    if table.empty:
        return pd.DataFrame(columns=columns)
    usable = np.isfinite(table["value"]) & (table["value"] > 0)
    log = np.log10(table["value"].where(usable).astype(float))
    depth = table["depth"].where(usable).astype(float)
    group = table.assign(x=depth, y=log).groupby(keys, sort=False, dropna=False)
    x, y = depth - group["x"].transform("mean"), log - group["y"].transform("mean")
    sums = (
        table[keys]
        .assign(n=usable.astype(int), left_out=(~usable).astype(int), xx=x * x, xy=x * y, yy=y * y)
        .groupby(keys, sort=False, dropna=False, as_index=False)
        .sum()
    )
    n = sums["n"].to_numpy()
    xx, xy, yy = (sums[name].to_numpy(float) for name in ("xx", "xy", "yy"))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where((n >= 2) & (xx > 0), xy / xx, np.nan)
        residual = np.clip(yy - slope * xy, 0, None)  # rounding can push a perfect fit below zero
        error = np.where(n >= 3, np.sqrt(residual / np.where(n >= 3, n - 2, np.nan) / xx), np.nan)
    half = stdtrit(np.maximum(n - 2, 1), (1 + level) / 2) * error
    result = sums[keys].assign(
        slope=slope, low=slope - half, high=slope + half, factor=10**-slope, layers=n, left_out=sums["left_out"]
    )
    return result.sort_values(["run", "step"], kind="stable", ignore_index=True)


def thinned(table: pd.DataFrame, marks: int = MARKS) -> pd.DataFrame:
    """The same table with at most `marks` rows: of each run evenly spaced ones, first and last kept."""
    share = max(2, marks // max(1, table["run"].nunique()))
    parts = [_spaced(part, share) for _, part in table.groupby("run", sort=False)]
    return pd.concat(parts, ignore_index=True) if parts else table


def gradient_ratio(table: pd.DataFrame) -> pd.DataFrame:
    """How much larger is the first layer's value than the last one's?

    Returns:
        run, step, first, last (values of the layers of least and greatest depth), ratio (first / last).
    """
    if table.empty:
        return pd.DataFrame(columns=["run", "step", "first", "last", "ratio"])
    ordered = table.sort_values(["run", "step", "depth"], kind="stable")
    first, last = (ordered.drop_duplicates(["run", "step"], keep=which) for which in ("first", "last"))
    ends = first[["run", "step"]].assign(first=first["value"].to_numpy(float), last=last["value"].to_numpy(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        return ends.assign(ratio=ends["first"] / ends["last"]).reset_index(drop=True)


def gradient_heatmap(table: pd.DataFrame, marks: int = MARKS) -> pd.DataFrame:
    """Depth × step, coarse enough to draw: at most `marks` cells a run.

    Returns:
        The columns of `IDENTITY`, then layer ("first … last" where layers were taken together), depth (of the last of
        them), depth_start, depth_end (edges of the cell), step, step_end (edges too), value (log10, mean over the
        cell's positive finite values), state ("finite", "zero", "not finite": the worst in the cell). The first
        recorded step keeps cells of its own: it is the initialisation.
    """
    columns = [*IDENTITY, "layer", "depth", "depth_start", "depth_end", "step", "step_end", "value", "state"]
    return _joined([_cells(part, marks) for _, part in table.groupby("run", sort=False)], columns)


def _cells(table: pd.DataFrame, marks: int) -> pd.DataFrame:
    layers = table[["layer", "depth"]].drop_duplicates("layer").sort_values("depth", kind="stable")
    steps = np.sort(table["step"].unique())
    layers["row"] = _bins(len(layers), max(1, marks // 20))
    rows = layers.groupby("row").agg(first=("layer", "first"), last=("layer", "last"), depth=("depth", "max"))
    rows["layer"] = np.where(rows["first"] == rows["last"], rows["first"], rows["first"] + " … " + rows["last"])
    rows["depth_end"] = rows["depth"] + 0.5
    rows["depth_start"] = rows["depth_end"].shift(fill_value=0.5)
    column = np.concatenate([[0], 1 + _bins(len(steps) - 1, max(1, marks // len(rows) - 1))])
    edges = np.append(steps[np.unique(column, return_index=True)[1]], steps[-1] + (steps[-1] - steps[-2:][0] or 1))
    value = table["value"].to_numpy(float)
    good = np.isfinite(value) & (value > 0)
    cells = pd.DataFrame(
        {
            "row": table["layer"].map(layers.set_index("layer")["row"]),
            "column": column[np.searchsorted(steps, table["step"])],
            "value": np.log10(value, where=good, out=np.full(len(value), np.nan)),
            "zero": value == 0,
            "bad": ~np.isfinite(value) | (value < 0),
        }
    )
    cells = cells.groupby(["row", "column"], as_index=False).agg({"value": "mean", "zero": "any", "bad": "any"})
    return cells.join(rows[["layer", "depth", "depth_start", "depth_end"]], on="row").assign(
        step=edges[cells["column"]],
        step_end=edges[cells["column"] + 1],
        state=_states(cells["bad"], cells["zero"]),
        **{name: table[name].iloc[0] for name in IDENTITY},
    )


def held_out(run: Run) -> pd.DataFrame:
    """The held-out evaluations of a run: step, loss, accuracy, in order of steps."""
    table = run.evals(columns=["step", "split", "loss", "accuracy"])
    return table[table["split"] == "test"].drop(columns="split").sort_values("step", ignore_index=True)


def _states(bad: pd.Series, zero: pd.Series) -> np.ndarray:
    return np.select([bad, zero], ["not finite", "zero"], "finite")


def _means(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Means over at most `rows` stretches of equal length; what is not finite is counted, not averaged."""
    if len(table) <= rows:
        return table
    stretch = _bins(len(table), rows)
    numbers = table[["loss", "accuracy", "error"]].astype(float)
    means = numbers.where(np.isfinite(numbers)).groupby(stretch).mean()
    steps = table.groupby(stretch).agg(step=("step", "median"), nonfinite=("nonfinite", "sum"))
    return means.join(steps).assign(split=table["split"].iloc[0])


def _spaced(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """At most `rows` rows, evenly spaced, first and last kept."""
    if len(table) <= rows:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, rows).round().astype(int))]


def _bins(length: int, bins: int) -> np.ndarray:
    """To which of at most `bins` nearly equal stretches does each of `length` things belong?"""
    return np.arange(length) * min(bins, length) // max(1, length)


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    filled = [part[columns] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)


def _at(values: pd.Series, place: int) -> float:
    return float(values.iloc[place]) if len(values) else np.nan


def recorder_cost(run: Run) -> float:
    """What recording added to training, as a share of what training alone took; the recorder's own measure."""
    share = run.recorder.get("share")
    return np.nan if share is None else float(share)
