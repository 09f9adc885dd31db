"""What did a run record of a quantity, and at which of its layers is that usually read?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from labapp.frames.beyond import measured_rows
from labapp.frames.compare.quantities import OF_LAYERS
from labapp.frames.grids import LAYER
from labapp.frames.signals import response_kind
from labapp.frames.slopes import on_shortcut
from labapp.store import Run

VALUES = ["step", "layer", "kind", "depth", "relative_depth", "usual", "value"]
_KINDS = ("conv", "linear")  # of layers between which a signal is followed
# some places never have the quantity; a value that is not finite would else be taken for a measurement of it
_EVER = {"rectified": "dead_channels", "blocks": "shortcut_norm"}
_AT_TIMES = ("gradient_signal_to_noise",)


def read_recorded(run: Run, steps: Sequence[int] | None = None) -> pd.DataFrame:
    """The `layers` table of a run, at some steps or all, with every column that comparing any quantity asks for."""
    parts = [about.part or name for name, about in OF_LAYERS.items()]
    return run.layers(columns=list(dict.fromkeys([*LAYER, "output_std", *parts])), steps=steps)


def read_compared(run: Run, quantity: str, recorded: pd.DataFrame | None = None) -> pd.DataFrame:
    """One quantity of a run at all its places.

    Args:
        run: Which.
        quantity: Of `OF_LAYERS`.
        recorded: From `read_recorded`, where several quantities are asked for.

    Returns:
        step, layer, kind, depth, relative_depth, usual (whether it is read there unless others are asked for), value;
        one row a measurement, which may be NaN.
    """
    about = OF_LAYERS[quantity]
    part = about.part or quantity
    if recorded is None:
        whole = [about.whole] if about.whole not in ("", "channels") else []
        needed = [*LAYER, "nonfinite", "update_ratio", "output_std", "dead_channels", "shortcut_norm", part, *whole]
        recorded = run.layers(columns=list(dict.fromkeys(needed)))
    table = recorded
    value = table[part].astype(float)
    if about.whole == "channels":
        sizes = {info["path"]: info["shape"][0] for info in run.layers_info if info.get("shape")}
        value = value / table["layer"].map(sizes).astype(float)
    elif about.whole:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = value / table[about.whole].astype(float)
    table = table.assign(value=value)
    ill = table["nonfinite"] > 0
    if not (ill | value.notna()).any():  # as most quantities of most nets: nothing was measured
        return table.assign(usual=False)[VALUES].head(0)
    if about.place == "rectified":  # of outputs that are NaN it cannot be said how many are above zero
        table["value"] = table["value"].mask(table["output_std"].isna() & ill)
    rows = table.assign(**{quantity: table["value"]}, usual=_usual(table, run, about.place))
    there = measured_rows(rows, quantity, run)
    if ever := _EVER.get(about.place, "") or (quantity if quantity in _AT_TIMES else ""):
        there &= table.groupby("layer")[ever].transform("count") > 0
    rows = rows[there]
    rows = rows.sort_values(["step", "depth"], kind="stable").drop_duplicates(["step", "layer"])
    return rows[VALUES].reset_index(drop=True)


def read_only(
    own: Mapping[Run, int], recorded: Callable[[Run, int], pd.DataFrame]
) -> Callable[[Run, str], pd.DataFrame]:
    """A reader as `read_compared`, of each run's rows at one step, which all get step 0: they stand for one another.

    Args:
        own: Of each run its step.
        recorded: What a run recorded at a step and at its first one, where healthy layers show what they have.
    """

    def read(run: Run, quantity: str) -> pd.DataFrame:
        found = read_compared(run, quantity, recorded(run, own[run]))
        return found[found["step"] == own[run]].assign(step=0)

    return read


def _usual(table: pd.DataFrame, run: Run, place: str) -> pd.Series:
    """The rows of the layers at which a quantity is read unless others are asked for."""
    kind = table["kind"]
    if place == "blocks":
        return kind == "block"
    if place == "rectified":  # a block and its last layer feed the same rectifier
        judged = table[(table["dead_channels"].notna()) & (kind != "block")]
        return (kind != "block") | ~table["depth"].isin(judged["depth"])
    if place == "weights":
        return kind.isin(_KINDS)
    beside = on_shortcut(table["layer"])
    for wanted in ((response_kind(run),) if place == "response" else ("conv",)), _KINDS:
        if (found := kind.isin(wanted) & ~beside).any():
            return found
    return kind != "block"  # a net of another kind, a transformer say
