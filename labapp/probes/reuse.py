"""Which earlier features does each layer use, by every weighting that the net has?"""

from __future__ import annotations

import pandas as pd

from labapp.config import LabError
from labapp.diagnostics.block_ablation import block_ablation
from labapp.diagnostics.feature_reuse import WEIGHTINGS
from labapp.diagnostics.feature_reuse import feature_reuse as reuse_of
from labapp.diagnostics.measuring.chains import chain_of
from labapp.diagnostics.reuse_observations import observations
from labapp.probes.given import Given

ORDER = ["weighting", "block", "source", "target", "kind", "value", "images"]


def feature_reuse(given: Given) -> pd.DataFrame:
    """Columns: weighting, block, source, target, kind, value, images. One row a weighting and cell."""
    batch = given.test
    tables = []
    residual = chain_of(given.net).family == "residual"
    for weighting in WEIGHTINGS if not residual else ("ablation",):
        try:
            if weighting == "ablation":
                table = block_ablation(given.net, batch.images, batch.labels, progress=given.tell)
            else:
                table = reuse_of(given.net, weighting, batch.images, batch.labels)
        except LabError as error:
            given.say(f"{weighting}: {error}")
            continue
        asked = 0 if weighting in ("weights", "bn-folded") else len(batch.images)
        tables.append(table.assign(weighting=weighting, images=asked))
    if not tables:
        raise LabError("no weighting could be measured on this net")
    return pd.concat(tables, ignore_index=True)[ORDER]


def reuse_observations(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.reuse_observations`; with the column weighting in front."""
    tables = []
    for weighting in WEIGHTINGS[:-1]:  # ablation has values below 0, which are no shares
        try:
            table = observations(reuse_of(given.net, weighting, given.test.images, given.test.labels))
        except LabError as error:
            given.say(f"{weighting}: {error}")
            continue
        table.insert(0, "weighting", weighting)
        tables.append(table)
    if not tables:
        raise LabError("no weighting could be measured on this net")
    return pd.concat(tables, ignore_index=True)
