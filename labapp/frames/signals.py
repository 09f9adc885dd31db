"""What do the layers do with the signal?

Six quantities of the recorder, each at the layers that it speaks of: how strongly a layer responds, how much of it a
rectifier silences, how far its weights move, and how a residual block divides its work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from labapp.frames.beyond import measured, states_of
from labapp.frames.gradients import LAYER
from labapp.frames.runs import IDENTITY, identities
from labapp.frames.slopes import on_shortcut
from labapp.frames.steps import at_near_step
from labapp.frames.thinning import MARKS, joined, thinned
from labapp.store import Run

SIGNALS = ("output_std", "zero_fraction", "dead_share", "update_ratio", "forward_ratio", "backward_ratio")
FROM_ZERO = ("zero_fraction", "dead_share")  # shares, whose zero is a value; of the others 0 is a state
UPDATES = (1e-4, 1e-2)  # of a layer that learns at a healthy pace; around 1e-3, a rule of thumb (Karpathy, CS231n)
ALIKE = 1.25  # rates that share a band: it is two decades wide, of which this is a twentieth
_RECORDED = (
    *("output_std", "zero_fraction", "dead_channels", "update_ratio", "nonfinite"),
    *("branch_norm", "shortcut_norm", "branch_grad_norm", "shortcut_grad_norm"),
)
_WORDS = ["layer", "kind", "block", "quantity"]


def signals(runs: Sequence[Run], read: Callable[[Run], pd.DataFrame] | None = None) -> pd.DataFrame:
    """All signals of all runs at every recorded step.

    Returns:
        The columns of `IDENTITY` and `LAYER`, then quantity (of `SIGNALS`), value, part and whole (what the value is
        the ratio of, NaN for others), rate (the learning rate in force over the full one, NaN where it was not written
        down); one row a (run, step, layer, quantity).
    """
    read = read or read_signals
    parts = [read(run).assign(**who) for run, who in zip(runs, identities(runs), strict=True)]
    table = joined(parts, [*IDENTITY, *LAYER, "quantity", "value", "part", "whole", "rate"])
    return table.astype(dict.fromkeys(_WORDS, object))


def read_signals(run: Run) -> pd.DataFrame:
    """The signals of a run: the columns of `LAYER`, then quantity, value, part, whole, rate.

    output_std: standard deviation of the outputs where a layer's response is read (`response_kind`), shortcuts left
    out; zero_fraction: share of values that the rectifier sets to zero, dead_share: channels without a positive value
    in the batch over all channels, both at the last place before the rectifier; update_ratio: ‖Δw‖/‖w‖ of layers with
    weights; forward_ratio: norm of a residual block's branch over that of its shortcut, backward_ratio: the same of the
    two parts of ∂L/∂x. One row a measurement, which may be NaN.
    """
    table = run.layers(columns=[*LAYER, *_RECORDED])
    kind = table["kind"]
    shortcut = on_shortcut(table["layer"])
    channels = table["layer"].map(_channels(run)).astype(float)
    # of blocks; asked at all steps, because a value that is not finite leaves no trace in the quantity itself
    split, rectified, judged = (
        table[name].notna().groupby(table["layer"]).transform("any")
        for name in ("shortcut_norm", "zero_fraction", "dead_channels")
    )
    lost = table["output_std"].isna() & (table["nonfinite"] > 0)
    places = {
        "output_std": (kind == response_kind(run)) & ~shortcut,
        "zero_fraction": rectified,
        "dead_share": judged,
        "update_ratio": kind.isin(["conv", "linear"]),
        "forward_ratio": split,
        "backward_ratio": split,
    }
    numbers = {
        "dead_share": ("dead_channels", channels),
        "forward_ratio": ("branch_norm", table["shortcut_norm"]),
        "backward_ratio": ("branch_grad_norm", table["shortcut_grad_norm"]),
    }
    parts = []
    for quantity in SIGNALS:
        part, whole = numbers.get(quantity, (quantity, None))
        rows = table.assign(part=table[part].astype(float), whole=1.0 if whole is None else whole.astype(float))
        with np.errstate(divide="ignore", invalid="ignore"):
            rows["value"] = rows["part"] / rows["whole"]
        if quantity in FROM_ZERO:  # of outputs that are NaN it cannot be said how many are above zero
            rows[["value", "part", "whole"]] = rows[["value", "part", "whole"]].mask(lost)
        rows = rows[places[quantity] & measured(rows.assign(**{quantity: rows["value"]}), quantity, run)]
        if quantity in FROM_ZERO:
            rows = _once_a_depth(rows)
        if whole is None:
            rows = rows.assign(part=np.nan, whole=np.nan)
        parts.append(rows.assign(quantity=quantity))
    rates = run.steps(columns=["step", "learning_rate"]).drop_duplicates("step", keep="last").set_index("step")
    shares = (rates["learning_rate"].astype(float) / run.experiment.learning_rate).round(6)  # kept as float32
    found = joined(parts, [*LAYER, "quantity", "value", "part", "whole"])
    found = found.assign(rate=found["step"].map(shares).astype(float))
    found = found.sort_values(["quantity", "step", "depth"], kind="stable", ignore_index=True)
    return found.astype(dict.fromkeys(_WORDS, "category"))  # a tenth of the memory, and of the time to copy it


def response_kind(run: Run) -> str:
    """Where a layer's response is read.

    As in He et al. 2015, Fig. 7, behind the normalisation and before rectifier and addition; where the normalisation
    stands in front of the layer, or there is none, at the layer itself.
    """
    what = run.experiment
    return "conv" if what.norm == "none" or what.family == "dense" or what.preactivation else "norm"


def at_step(table: pd.DataFrame, step: int, marks: int = MARKS) -> pd.DataFrame:
    """`signals` at one step: each run at its own recorded step that stands for it, see `steps`; or left out.

    Returns:
        The columns of the table, then state (of `STATES`; a share of zero is finite). At most `marks` rows a quantity,
        thinned evenly, first and last layer kept.
    """
    if table.empty:
        return table.assign(state=pd.Series(dtype=str))
    chosen = at_near_step(table, step)
    parts = [thinned(part, marks) for _, part in chosen.groupby("quantity", sort=False, observed=True)]
    found = pd.concat(parts, ignore_index=True)
    linear = found["quantity"].isin(FROM_ZERO)
    return found.assign(state=np.where(linear, states_of(found["value"], log=False), states_of(found["value"])))


def medians(at: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The typical layer, and the outermost ones: over a run's layers with a finite value.

    Returns:
        The columns of `IDENTITY`, then step, kind (of the first layer), median, low, high, layers; NaN without values.
    """
    rows = at[at["quantity"] == quantity]
    finite = rows.assign(value=rows["value"].where(np.isfinite(rows["value"].astype(float))))
    groups = finite.groupby([*IDENTITY, "step"], sort=False, as_index=False, observed=True, dropna=False)
    return groups.agg(
        kind=("kind", "first"),
        median=("value", "median"),
        low=("value", "min"),
        high=("value", "max"),
        layers=("value", "count"),
    )


def totals(at: pd.DataFrame) -> pd.DataFrame:
    """How many channels are dead, and how many layers move at a healthy pace for the learning rate in force?

    An update is the rate times a direction, so a schedule that lowers the rate lowers the updates: they are judged
    after dividing by the share of the full rate that is in force. At a rate of zero there is nothing to judge.

    Returns:
        run, dead, channels (of all layers before a rectifier), healthy, layers (with weights, that can be judged;
        healthy ones have an update ratio inside `UPDATES`), rate (the share of the full rate in force; NaN where it was
        not written down: then judged as it is).
    """
    rows = []
    for run, own in at.groupby("run", sort=False, observed=True):
        dead, moved = own[own["quantity"] == "dead_share"], own[own["quantity"] == "update_ratio"]["value"]
        rate = float(own["rate"].iloc[0])
        judged = moved[moved.index if rate != 0 else []] / (1.0 if np.isnan(rate) else rate or 1.0)
        healthy = int(judged.between(*UPDATES).sum())
        rows.append((run, dead["part"].sum(), dead["whole"].sum(), healthy, len(judged), rate))
    return pd.DataFrame(rows, columns=["run", "dead", "channels", "healthy", "layers", "rate"])


def healthy_band(totals: pd.DataFrame) -> tuple[float, float] | None:
    """The update ratios that are healthy at the rate in force; None where the runs' rates are not alike, or zero."""
    rates = totals["rate"].fillna(1.0)
    if rates.empty or rates.max() <= 0 or rates.max() > ALIKE * rates.min():
        return None
    return UPDATES[0] * float(rates.mean()), UPDATES[1] * float(rates.mean())


def _channels(run: Run) -> dict[str, int]:
    """Channels of each layer's output, by the name that it has in the tables."""
    return {layer["path"]: layer["shape"][0] for layer in run.layers_info if layer.get("shape")}


def _once_a_depth(rows: pd.DataFrame) -> pd.DataFrame:
    """Of a block and its last layer, which feed the same rectifier, the layer, since both have the same values."""
    order = rows.assign(_block=rows["kind"] == "block").sort_values(["step", "depth", "_block"], kind="stable")
    return order.drop_duplicates(["step", "depth"]).drop(columns="_block")
