"""Which earlier features does each layer use, by every weighting that the net has?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from labapp.config import LabError
from labapp.diagnostics.block_ablation import block_ablation
from labapp.diagnostics.feature_reuse import WEIGHTINGS
from labapp.diagnostics.feature_reuse import feature_reuse as reuse_of
from labapp.diagnostics.measuring.chains import chain_of
from labapp.diagnostics.reuse_observations import observations
from labapp.probes.given import Given

BY_WEIGHTS = ("weights", "bn-folded")  # no images go into the numbers themselves
CHEAP = ("weights",)  # nor into anything that they use: running statistics of untrained norms are none
ORDER = ["weighting", "block", "source", "target", "kind", "value", "images"]


def feature_reuse(given: Given) -> pd.DataFrame:
    """Columns: weighting, block, source, target, kind, value, images. One row a weighting and cell."""
    images, labels = given.test.images, given.test.labels

    def measure(weighting: str) -> pd.DataFrame:
        if weighting == "ablation":
            table = block_ablation(given.net, images, labels, progress=given.tell)
        else:
            table = reuse_of(given.net, weighting, images, labels)
        return table.assign(images=0 if weighting in BY_WEIGHTS else len(images))

    residual = chain_of(given.net).family == "residual"
    if residual and given.cheap:
        raise LabError("a residual net adds its features, so its weights alone tell nothing of their reuse")
    return _each(given, ("ablation",) if residual else _of(given, WEIGHTINGS), measure)[ORDER]


def reuse_observations(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.reuse_observations`; with the column weighting in front."""
    images, labels = given.test.images, given.test.labels
    shares = _of(given, WEIGHTINGS[:-1])  # ablation has values below 0, which are no shares
    return _each(given, shares, lambda weighting: observations(reuse_of(given.net, weighting, images, labels)))


def _of(given: Given, weightings: Sequence[str]) -> Sequence[str]:
    return [each for each in weightings if each in CHEAP] if given.cheap else weightings


def _each(given: Given, weightings: Iterable[str], measure: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    """The tables of several weightings as one; of those that cannot be measured, why."""
    tables = []
    for weighting in weightings:
        try:
            table = measure(weighting)
        except LabError as error:
            given.say(f"{weighting}: {error}")
            continue
        table.insert(0, "weighting", weighting)
        tables.append(table)
    if not tables:
        raise LabError("no weighting could be measured on this net")
    return pd.concat(tables, ignore_index=True)
