"""What do maps of where nets look score over many images?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from labapp.frames.runs import IDENTITY, identities
from labapp.frames.steps import Read
from labapp.frames.thinning import joined
from labapp.store import Run

QUANTITIES = {"energy": "map_energy", "sanity": "map_change"}
_OF = {"trained": "trained", "untrained": "new weights", "uniform": "an even map", "difference": "difference"}


def map_scores(runs: Sequence[Run], read: Read | None = None) -> pd.DataFrame:
    """The scores of maps of runs, at the last checkpoint at which they were measured.

    Returns:
        The columns of `IDENTITY`, then step, quantity (of `QUANTITIES`), of (trained, new weights, an even map; of
        map_change the method), value, low, high, images, note.
    """
    parts = []
    for run, who in zip(runs, identities(runs), strict=True):
        for step in run.probes().get("map_scores", [])[-1:]:
            table = (read or Run.probe)(run, "map_scores", step)
            table = table[table["net"] != "difference"].assign(step=step, **who)
            sane = table["measure"] == "sanity"
            of = table["method"].where(sane, table["net"].map(_OF))
            parts.append(table.assign(quantity=table["measure"].map(QUANTITIES), of=of, value=table["mean"]))
    return joined(parts, [*IDENTITY, "step", "quantity", "of", "value", "low", "high", "images", "note"])
