"""Are the four observations of DenseNet's Fig. 5 seen in this net?

    observations(feature_reuse(model), nulls)       # observation, claim, number, threshold, seen, null_low, …, reason

Huang et al. 2017 (arXiv 1608.06993, §5 *Feature Reuse*) read four things off the mean absolute weights of DenseNet-40
with k = 12 trained on CIFAR-10 with augmentation. Each is turned into one number here, with the value that equal
weights (a net before training) have. The thresholds are the lab's, for the paper gives none:

1. *All layers spread their weights over many inputs within the same block.* Effective number of sources of a column
   (the exponential of the entropy of its shares) over their number; mean over the layers' columns. Seen from ½ on.
2. *The transition layers also spread their weight across all layers within the preceding dense block.* The same of
   the transitions' columns. Seen from ½ on.
3. *The layers within the second and third dense block consistently assign the least weight to the outputs of the
   transition layer.* Share of these columns whose smallest value is source 0. Seen from ¾ on; by chance 1/sources.
4. *The final classification layer … a concentration towards final feature maps.* Spearman's rank correlation of the
   classifier's column with the source's number. Seen from ½ on (13 sources: p = 0.04 one-sided).

A threshold alone would also be met by a net that has learnt nothing: equal weights are spread best of all, and of few
sources the first is soon the least. So an observation is seen only if its number passes the threshold *and* lies
outside of where those of untrained nets lie (`labapp.diagnostics.reuse_null`); inside, it cannot be told. Without such
nets the threshold decides.

Unit: none. Invariances: a column may be multiplied by any number, so raw values and the column-maximum scale give the
same; the min–max scale does not, it makes every column's least source 0. NaN with a reason where a net has no such
column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from labapp.config import LabError
from labapp.diagnostics.reuse_null import expected

CLAIMS = (
    "all layers spread their weights over many inputs within the same block",
    "the transition layers spread their weight across all layers of the block before",
    "layers of the later blocks give the least weight to the outputs of the transition",
    "the classifier concentrates on the final feature maps",
)
THRESHOLDS = (0.5, 0.5, 0.75, 0.5)
RANGES = ((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (-1.0, 1.0))  # of the four numbers
MISSING = (
    "no layer with several sources",
    "no transition",
    "no layer behind a transition",
    "no classifier's column",
)
COLUMNS = (
    "observation",
    "claim",
    "number",
    "threshold",
    "seen",
    "untrained",
    "null",
    "null_low",
    "null_high",
    "reason",
)


def observations(table: pd.DataFrame, nulls: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """The four observations, each measured.

    Args:
        table: From `feature_reuse` of a dense net, raw or scaled by the column maximum, with any weighting whose values
            are not negative.
        nulls: The same of nets like it with new first weights.

    Returns:
        observation (1–4), claim, number, threshold, seen (True, False, or None where it cannot be told), untrained (the
        number that equal weights give, NaN if undefined), null, null_low, null_high (mean of untrained nets' numbers
        and the 95 % interval of a further one's, NaN without such nets), reason (why there is no number or no verdict,
        else "").

    Method:
        Meaning: Whether the four things that Huang et al. read off Fig. 5 are seen in this net, each as a number with a
            threshold.
        Formula: 1, 2: $e^{H(p)} / n$ of a column's shares p; 3: share of columns whose least source is 0; 4: Spearman's
            ρ of the classifier's column with the source's number.
        Source: Huang et al. 2017 (arXiv 1608.06993), §5; the thresholds are the lab's.
        Batch norm: As in feature reuse, of which it is made.
        Sampling: Untrained nets like this one say where numbers lie by chance, with 95 %.
        Fails: Seen or not depends on thresholds that the paper does not give; of few sources chance alone meets them,
            so what lies inside the null cannot be told.
    """
    if (table["value"] < 0).any():
        raise LabError("the observations speak of shares, so values must not be negative; ablation has none to offer")
    parts = _parts(table)
    dense = any(parts)
    equal = (1.0, 1.0, _mean([1 / len(values) for values in parts[2]]), 0.0)
    untrained = [_numbers(_parts(each)) for each in nulls]
    rows = []
    for at, number in enumerate(_numbers(parts)):
        null = expected((numbers[at] for numbers in untrained), RANGES[at])
        reason = ""
        if math.isnan(number):
            reason = f"{MISSING[at]} in this net" if dense else "every layer of this net sees one source"
            reason = "the weights of a column are equal, zero or not finite" if parts[at] else reason
        seen = None if reason else bool(number >= THRESHOLDS[at])
        if seen and null.low <= number <= null.high:
            seen, reason = None, "so it is in nets that have learnt nothing"
        rows.append((at + 1, CLAIMS[at], number, THRESHOLDS[at], seen, equal[at], *null, reason))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seen": object})


def _parts(table: pd.DataFrame) -> tuple[list[np.ndarray], ...]:
    """The columns with several sources that each observation is about: values by source."""
    columns = [
        (column["block"].iloc[0], column["kind"].iloc[0], column.sort_values("source")["value"].to_numpy(float))
        for _, column in table.groupby(["block", "target"], sort=True)
        if len(column) > 1
    ]
    return (
        [values for _, kind, values in columns if kind == "layer"],
        [values for _, kind, values in columns if kind == "transition"],
        [values for block, kind, values in columns if kind == "layer" and block > 1],
        [values for _, kind, values in columns if kind == "classifier"],
    )


def _numbers(parts: tuple[list[np.ndarray], ...]) -> list[float]:
    """The number of each observation."""
    measures = (_spread, _spread, _least_is_first, _trend)
    return [_mean([measure(values) for values in part]) for measure, part in zip(measures, parts, strict=True)]


def _spread(values: np.ndarray) -> float:
    """exp(H(p)) / n: 1 for equal shares, 1/n for a single source."""
    total = values.sum()
    if not np.isfinite(total) or total <= 0:
        return math.nan
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()) / len(values))


def _least_is_first(values: np.ndarray) -> float:
    if not np.isfinite(values).all():
        return math.nan
    return float(values[0] < values[1:].min())


def _trend(values: np.ndarray) -> float:
    """Spearman's rank correlation with the position."""
    if not np.isfinite(values).all() or len(set(values)) < 2:
        return math.nan
    return float(stats.spearmanr(values, range(len(values))).statistic)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan
