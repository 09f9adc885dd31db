"""Is a rule broken?

What cannot be told breaks a rule: a layer without a finite value, a quantity that was not recorded, a side that was
broken off before the other, a step that neither recorded. So a guard never passes because it saw nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from labapp.config import listed
from labapp.frames.compare.layers import Read, by_depth
from labapp.frames.compare.quantities import OF_LAYERS, OF_RUNS
from labapp.frames.compare.reading import read_compared
from labapp.frames.compare.rules import Rule
from labapp.frames.compare.series import ReadSeries, ends, read_series
from labapp.frames.compare.sides import Side
from labapp.frames.steps import near

HELD, BROKEN, UNTOLD = "held", "broken", "cannot be told"
_COLUMNS = {"factor": ("ratio", "low", "high"), "difference": ("difference", "least", "most"), "value": ("b",)}
NAMED = 3  # places without a number that are told one by one


class Verdict(NamedTuple):
    """What became of a rule.

    Attributes:
        rule: As it was written.
        state: held, broken, or cannot be told, which counts as broken.
        value, low, high: the number nearest to the limit, or furthest beyond it, and its interval; NaN where there is
            none.
        layer, step: where; "" and −1 where that is nowhere.
        runs_a, runs_b: how many runs the number is of.
        note: why it cannot be told, or what there is to say.
    """

    rule: str
    state: str
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    layer: str = ""
    step: int = -1
    runs_a: int = 0
    runs_b: int = 0
    note: str = ""

    @property
    def broken(self) -> bool:
        """Whether the rule is not known to hold."""
        return self.state != HELD


def judge(rule: Rule, a: Side, b: Side, read: Read | None = None, read_of_runs: ReadSeries | None = None) -> Verdict:
    """Whether two sides break a rule.

    Args:
        rule: From `parse_rule`.
        a: What is compared with.
        b: What is judged; alone, where the rule is about B itself.
        read: `read_compared`, or the same cached.
        read_of_runs: `read_series`, or the same cached.
    """
    a = b if rule.of == "value" else a
    if rule.of == "factor" and rule.quantity in OF_LAYERS and OF_LAYERS[rule.quantity].scale == "signed":
        return _untold(rule, f"{rule.quantity} has either sign, so it has no factor; give a difference such as +0.1")
    short = _cut_short(rule, a, b, read or read_compared, read_of_runs or read_series)
    if short:
        return _untold(rule, short)
    if rule.quantity in OF_RUNS:
        table = ends(a, b, rule.quantity, rule.step, read_of_runs)
        table = table.assign(layer="", relative_depth=0.0)
    else:
        table = _of_layers(rule, a, b, read)
    if table.empty:
        return _untold(rule, _nothing(rule, a, b))
    name = _COLUMNS[rule.of][0]
    table = table.assign(value=table[name].astype(float))
    lost = table[table["value"].isna() | (table["lost_a"] > 0) | (table["lost_b"] > 0)]
    if len(lost):
        return _untold(rule, _told(lost))
    return _judged(rule, _over(rule, table))


def _of_layers(rule: Rule, a: Side, b: Side, read: Read | None) -> pd.DataFrame:
    table = by_depth(a, b, rule.quantity, None, rule.where, read)
    if rule.step == "any" or table.empty:
        return table
    steps = [int(step) for step in table["step"].unique()]
    at = max(steps) if rule.step == "last" else near(steps, int(rule.step))
    return table[table["step"] == (-1 if at is None else at)]


def _cut_short(rule: Rule, a: Side, b: Side, read: Read, read_of_runs: ReadSeries) -> str:
    """Why the end cannot be compared where a rule looks at it; "" where it can."""
    if isinstance(rule.step, int):
        return ""
    tables = (
        [read_of_runs(run, rule.quantity) for side in (a, b) for run in side.runs]
        if rule.quantity in OF_RUNS
        else [read(run, rule.quantity) for side in (a, b) for run in side.runs]
    )
    last = {
        run.id: int(table["step"].max()) for run, table in zip((*a.runs, *b.runs), tables, strict=True) if len(table)
    }
    if not last or near([min(last.values())], max(last.values())) is not None:
        return ""
    first, late = min(last, key=last.__getitem__), max(last, key=last.__getitem__)
    return (
        f"{first} has {rule.quantity} until step {last[first]:,} only, {late} until step {last[late]:,}; a step that "
        f"both have, as in @{last[first]}, can be judged"
    )


def _over(rule: Rule, table: pd.DataFrame) -> pd.DataFrame:
    """The rows that a rule looks at: of each step all, or one."""
    if rule.over == "any" or rule.quantity in OF_RUNS:
        return table
    if rule.over == "median":
        middle = table.groupby("step", as_index=False).agg(
            value=("value", "median"), runs_a=("runs_a", "min"), runs_b=("runs_b", "min")
        )
        return middle.assign(layer="", note="", low=np.nan, high=np.nan, least=np.nan, most=np.nan)
    order = table.sort_values(["step", "relative_depth"], kind="stable")
    return order.drop_duplicates("step", keep="first" if rule.over == "first" else "last")


def _judged(rule: Rule, table: pd.DataFrame) -> Verdict:
    value = table["value"].to_numpy(float)
    worst: Any = table.iloc[int(value.argmax() if rule.sign[0] == ">" else value.argmin())]
    low, high = (float(worst[name]) for name in _COLUMNS[rule.of][1:]) if rule.of != "value" else (np.nan, np.nan)
    broken = rule.breaks(float(worst["value"]))
    return Verdict(
        rule.text, BROKEN if broken else HELD, float(worst["value"]), low, high, str(worst["layer"]),
        int(worst["step"]), int(worst["runs_a"]), int(worst["runs_b"]), str(worst["note"]),
    )  # fmt: skip


def _untold(rule: Rule, why: str) -> Verdict:
    return Verdict(rule.text, UNTOLD, note=why)


def _told(lost: pd.DataFrame) -> str:
    """Which places have no number, and why."""
    rows = [
        f"{f'{layer} ' if layer else ''}at step {step:,} is {note or 'without a number'}"
        for layer, step, note in lost[["layer", "step", "note"]].head(NAMED).itertuples(index=False)
    ]
    more = len(lost) - NAMED
    return listed(rows if more <= 0 else [*rows, f"{more:,} more"])


def _nothing(rule: Rule, a: Side, b: Side) -> str:
    where = f" at layers '{rule.where}'" if rule.where else ""
    step = "" if rule.step == "any" else f" at step {rule.step}" if isinstance(rule.step, int) else " at the end"
    whose = b.name if rule.of == "value" else f"both {a.name} and {b.name}"
    return f"{rule.quantity} was not recorded{where}{step} in {whose}"
