"""How fast does the gradient change from layer to layer, and how sure is that?

The slope is that of least squares, of log10(value) on depth. Its interval cannot take layers for independent: a
gradient is multiplied from one layer to the next, so what makes one layer deviate from the line makes its neighbours
deviate too.

Of one run, the deviations are taken as an autoregression of first order over depth. For each ρ of RHOS the profile
gives a restricted likelihood and a standard error of the slope; the interval is that of the mixture of Student's t
(layers − 2 degrees of freedom) about the slope, each ρ weighted by its likelihood (Harville 1974, Biometrika 61, 383;
the error of least squares under a covariance σ² V is σ √(w'V w), w its weights). Deviations count whatever their cause:
a profile that bends, or the saw-tooth of a residual net, makes the interval wider than initialisations alone would.

Of a net with several seeds, their spread says it without a model: `over_seeds`.

Projections on shortcuts are in no fit: they stand beside the layers, not between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from labapp.frames.grids import Panel, rows_at, sampled
from labapp.frames.runs import IDENTITY
from labapp.frames.thinning import joined

RHOS = (-0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98)  # denser where a step changes the error more
SEEDS = 3  # from this many on their spread is taken; that of two has an interval of 13 deviations
LEVEL = 0.95
_HALVINGS = 30  # of the bracket of a quantile: to 1e-9 of it

_FITTED = ("step", "slope", "low", "high", "factor", "layers", "left_out")

Numbers = NDArray[np.float64]


def on_shortcut(layers: pd.Series) -> pd.Series:
    """Which of these layers stand on the shortcut of a residual block (torchvision and timm say downsample)?"""
    return layers.str.contains(r"(?:^|\.)(?:shortcut|downsample)(?:\.|#|$)", regex=True)


def gradient_slope(table: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    r"""How fast does the value change from layer to layer? Least squares of log10(value) on depth.

    Args:
        table: From `frames.layer_table`.
        level: Of the interval.

    Returns:
        The columns of `IDENTITY`, then step, slope (log10 a layer; below 0 it grows towards the input), low, high (its
        interval, see above), factor (10 ** −slope, growth a layer towards the input), layers (in the fit), left_out
        (zero or not finite). Two layers give no interval, fewer no slope: NaN.

    Method:
        Meaning: How fast the gradient changes from layer to layer: 0 keeps it, below 0 it grows towards the input.
        Formula: Least squares of $\log_{10} \lVert \partial L / \partial h \rVert$ on depth; the growth a layer is
            $10^{-\text{slope}}$.
        Source: Glorot & Bengio 2010, §4, for the profile; Harville 1974, *Biometrika* 61, 383, for the likelihood of
            its interval.
        Batch norm: As in the gradients, of which it is made.
        Sampling: Layers of one step. The interval allows for neighbours that deviate together; from three seeds on it
            is that of their mean.
        Fails: A profile that bends is no line, which widens the interval. Zero and NaN are left out and counted;
            shortcuts' projections are in no fit.
        Command: labapp train --record every
    """
    keys = [*IDENTITY, "step"] if "run_id" in table else ["run", "step"]
    columns = [*dict.fromkeys([*keys, *_FITTED])]
    table = table[~on_shortcut(table["layer"])] if len(table) else table
    if table.empty:
        return pd.DataFrame(columns=columns)
    table = table.sort_values(["run", "step", "depth"], kind="stable", ignore_index=True)
    usable = (np.isfinite(table["value"]) & (table["value"] > 0)).to_numpy()
    depth = table["depth"].to_numpy(float)
    log = np.log10(table["value"].to_numpy(float), where=usable, out=np.full(len(table), np.nan))
    starts = np.flatnonzero(~table.duplicated(["run", "step"]).to_numpy())
    profiles = list(zip(*(np.split(numbers, starts[1:]) for numbers in (depth, log, usable)), strict=True))
    alike: dict[bytes, list[int]] = {}  # profiles over the same depths are fitted together
    for at, (x, _, good) in enumerate(profiles):
        alike.setdefault(x[good].tobytes(), []).append(at)
    slope, half = np.full((2, len(profiles)), np.nan)
    for places in alike.values():
        x = profiles[places[0]][0][profiles[places[0]][2]]
        y = np.stack([profiles[at][1][profiles[at][2]] for at in places])
        slope[places], half[places] = _fit(x, y, level)
    result = table.loc[starts, keys].assign(
        slope=slope,
        low=slope - half,
        high=slope + half,
        factor=10**-slope,
        layers=[int(good.sum()) for _, _, good in profiles],
        left_out=[int((~good).sum()) for _, _, good in profiles],
    )
    return result.reset_index(drop=True)[columns]


def sampled_slopes(panels: Sequence[Panel], steps: int, standing: pd.DataFrame) -> pd.DataFrame:
    """`gradient_slope` at so many steps of all runs together, see `sampled`, and at those shown (`frames.standing`)."""
    share = max(4, steps // max(1, len(panels)))
    found = []
    for panel in panels:
        fitted = panel.once(_sampled, share)
        shown = gradient_slope(rows_at([panel], standing[~standing["step"].isin(fitted["step"])]))
        found.append(pd.concat([fitted, shown]).sort_values("step", kind="stable") if len(shown) else fitted)
    return joined(found, [*IDENTITY, *_FITTED])


def _sampled(panel: Panel, steps: int) -> pd.DataFrame:
    return gradient_slope(sampled(panel, steps))


def _fit(x: Numbers, y: Numbers, level: float) -> tuple[Numbers, Numbers]:
    """Slopes of profiles y (T, n) over depths x (n,) and half the width of their intervals, both (T,)."""
    n = len(x)
    missing = np.full(len(y), np.nan)
    if n < 2 or x[0] == x[-1]:
        return missing, missing
    x = x - x.mean()
    weights = x / (x @ x)
    y = y - y.mean(1, keepdims=True)
    slope = y @ weights
    if n < 3:
        return slope, missing
    left = y - slope[:, None] * x
    # below rounding a deviation says nothing; it also keeps the logarithm of a perfect fit finite
    floor = np.maximum(n * (np.finfo(float).eps * np.abs(y).max(1)) ** 2, 1e-300)
    likelihood, error = zip(*(_autoregressive(rho, x, left, weights, floor) for rho in RHOS), strict=True)
    share = np.exp(np.stack(likelihood, 1) - np.max(likelihood, axis=0)[:, None])  # (T, ρ)
    return slope, _quantile(share / share.sum(1, keepdims=True), np.stack(error, 1), n - 2, (1 + level) / 2)


def _autoregressive(rho: float, x: Numbers, left: Numbers, weights: Numbers, floor: Numbers) -> tuple[Numbers, Numbers]:
    """Log of the restricted likelihood of ρ, and the standard error of the least-squares slope; both (T,)."""
    n = len(x)

    def whitened(rows: Numbers) -> Numbers:  # (…, n), of innovations with equal variance
        return np.concatenate([(1 - rho**2) ** 0.5 * rows[..., :1], rows[..., 1:] - rho * rows[..., :-1]], axis=-1)

    q, r = np.linalg.qr(whitened(np.stack([np.ones(n), x])).T)
    rest = whitened(left)
    rest = rest - (rest @ q) @ q.T
    square = np.maximum((rest**2).sum(1), floor)
    order = np.arange(n)
    covariance = rho ** np.abs(order[:, None] - order) / (1 - rho**2)
    fixed = 0.5 * np.log(1 - rho**2) - np.log(np.abs(np.diag(r))).sum()
    return fixed - (n - 2) / 2 * np.log(square), np.sqrt(square / (n - 2) * (weights @ covariance @ weights))


def _quantile(shares: Numbers, scales: Numbers, freedom: int, level: float) -> Numbers:
    """Of mixtures of Student's t, (T,): shares and scales are (T, ρ)."""
    low, high = np.zeros(len(scales)), stdtrit(freedom, level) * scales.max(1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = (shares * stdtr(freedom, middle[:, None] / scales)).sum(1) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high


def over_seeds(slopes: pd.DataFrame, runs: pd.DataFrame, level: float = LEVEL) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Slopes in which runs that differ in the seed alone, and are SEEDS or more at one step, are one row.

    Args:
        slopes: From `gradient_slope`, one row a run.
        runs: From `frames.describe`.
        level: Of the interval.

    Returns:
        The same two tables: of such a net one row in each, called "plain-20 (mean of 3 seeds)", with the mean slope and
        its interval by Student's t over the seeds; layers and left_out are the sums.
    """
    nets = slopes["run"].map(runs.set_index("run")["net"])
    known = slopes.assign(net=nets)[np.isfinite(slopes["slope"].astype(float))]
    for (net, _), own in known.groupby(["net", "step"], sort=False):
        count = len(own)
        if count < SEEDS:
            continue
        name = f"{net} (mean of {count} seeds)"
        mean = own["slope"].mean()
        half = stdtrit(count - 1, (1 + level) / 2) * own["slope"].std() / count**0.5
        row = own.iloc[[0]].drop(columns="net").assign(
            run=name, slope=mean, low=mean - half, high=mean + half, factor=10**-mean,
            layers=own["layers"].sum(), left_out=own["left_out"].sum(),
        )  # fmt: skip
        slopes = pd.concat([slopes[~slopes["run"].isin(own["run"])], row], ignore_index=True)
        described = runs[runs["run"].isin(own["run"])].iloc[[0]].assign(run=name)
        runs = pd.concat([runs[~runs["run"].isin(own["run"])], described], ignore_index=True)
    return slopes, runs
