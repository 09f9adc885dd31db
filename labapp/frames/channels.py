"""Which channels died, when, and which came back?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from labapp.frames.runs import IDENTITY, identities
from labapp.frames.thinning import MARKS, joined
from labapp.store import Run

SPAN = ["layer", "depth", "channel", "channels", "step", "end", "back"]


def dead_spans(runs: Sequence[Run], read: Callable[[Run], pd.DataFrame] | None = None) -> pd.DataFrame:
    """Every time in which a channel was dead.

    Returns:
        The columns of `IDENTITY`, then layer, depth, channel (its number), channels (of the layer), step (the recorded
        one in which it had no positive value for the first time), end (the one in which it had one again, else the
        last recorded one), back (whether it came back).
    """
    read = read or read_dead_spans
    parts = [read(run).assign(**who) for run, who in zip(runs, identities(runs), strict=True)]
    return joined(parts, [*IDENTITY, *SPAN])


def read_dead_spans(run: Run) -> pd.DataFrame:
    """The same of one run, without its identity."""
    if "lifetimes" not in run.tables():
        return pd.DataFrame(columns=SPAN)
    events = run.table("lifetimes").sort_values(["layer", "channel", "step"], kind="stable")
    layers = {info["path"]: info for info in run.layers_info}
    own = events.groupby(["layer", "channel"], sort=False)
    events = events.assign(then=own["step"].shift(-1), next=own["event"].shift(-1))
    died = events[events["event"] == "died"]
    back = died["next"] == "revived"
    last = judged_steps(run)[1]
    found = died.assign(
        back=back,
        end=died["then"].where(back, last).astype(int),
        depth=died["layer"].map(lambda name: layers.get(name, {}).get("depth", 0)),
        channels=died["layer"].map(lambda name: (layers.get(name, {}).get("shape") or [1])[0]),
    )
    found["channels"] = found[["channels"]].max(axis=1).clip(lower=found["channel"] + 1)
    return found.sort_values(["depth", "channel", "step"], kind="stable", ignore_index=True)[SPAN]


def judged_steps(run: Run) -> tuple[int, int]:
    """The first and the last recorded step of a run; 0 and 0 where nothing was recorded."""
    table = "totals" if "totals" in run.tables() else "layers"  # a row a step, or one a step and layer
    steps = run.table(table, columns=["step"])["step"]
    return (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)


def longest(spans: pd.DataFrame, most: int = MARKS) -> pd.DataFrame:
    """The `most` longest spans, in their order."""
    if len(spans) <= most:
        return spans
    length = (spans["end"] - spans["step"]).sort_values(ascending=False, kind="stable")
    return spans.loc[sorted(length.index[:most])]
