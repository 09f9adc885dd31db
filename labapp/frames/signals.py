"""What do the layers do with the signal?

Six quantities of the recorder, each at the layers that it speaks of: how strongly a layer responds, how much of it a
rectifier silences, how far its weights move, and how a residual block divides its work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labapp.frames.beyond import measured, states_of
from labapp.frames.grids import LAYER, Grid, Panel, ReadGrid, Values, all_rows, read_grid, rows_at
from labapp.frames.runs import IDENTITY, identities
from labapp.frames.slopes import on_shortcut
from labapp.frames.steps import at_near_step
from labapp.frames.thinning import MARKS, thinned
from labapp.store import Run

SIGNALS = ("output_std", "zero_fraction", "dead_share", "update_ratio", "forward_ratio", "backward_ratio")
FROM_ZERO = ("zero_fraction", "dead_share")  # shares, whose zero is a value; of the others 0 is a state
UPDATES = (1e-4, 1e-2)  # of a layer that learns at a healthy pace; around 1e-3, a rule of thumb (Karpathy, CS231n)
ALIKE = 1.25  # rates that share a band: it is two decades wide, of which this is a twentieth
RECORDED = (
    *("output_std", "zero_fraction", "dead_channels", "update_ratio", "nonfinite"),
    *("branch_norm", "shortcut_norm", "branch_grad_norm", "shortcut_grad_norm"),
)
_MORE = ("value", "part", "whole", "rate")
_WORDS = ["layer", "kind", "block", "quantity"]


def signals(runs: Sequence[Run], read: ReadGrid | None = None) -> pd.DataFrame:
    """All signals of all runs at every recorded step.

    Returns:
        The columns of `IDENTITY` and `LAYER`, then quantity (of `SIGNALS`), value, part and whole (what the value is
        the ratio of, NaN for others), rate (the learning rate in force over the full one, NaN where it was not written
        down); one row a (run, step, layer, quantity).
    """
    return signal_rows(signal_panels(runs, read))


def signal_panels(runs: Sequence[Run], read: ReadGrid | None = None) -> dict[str, list[Panel]]:
    """`signals` as one panel a quantity and run.

    output_std: standard deviation of the outputs where a layer's response is read (`response_kind`), shortcuts left
    out; zero_fraction: share of values that the rectifier sets to zero, dead_share: channels without a positive value
    in the batch over all channels, both at the last place before the rectifier; update_ratio: ‖Δw‖/‖w‖ of layers with
    weights; forward_ratio: norm of a residual block's branch over that of its shortcut, backward_ratio: the same of the
    two parts of ∂L/∂x.
    """
    read = read or read_grid
    found = [_kept(run, who, read(run, RECORDED)) for run, who in zip(runs, identities(runs), strict=True)]
    return {quantity: [panels[quantity] for panels in found] for quantity in SIGNALS}


def signal_rows(panels: Mapping[str, Sequence[Panel]], standing: pd.DataFrame | None = None) -> pd.DataFrame:
    """The rows of `signal_panels`, as `signals` has them: of all steps, or of one step a run (`frames.standing`)."""
    parts = [
        (all_rows(own, _MORE) if standing is None else rows_at(own, standing, _MORE)).assign(quantity=quantity)
        for quantity, own in panels.items()
    ]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table[[*IDENTITY, *LAYER, "quantity", *_MORE]].astype(dict.fromkeys(_WORDS, object))


def _kept(run: Run, who: dict[str, Any], grid: Grid) -> dict[str, Panel]:
    key = ("signals", *who.values())
    if key not in grid.kept:
        grid.kept[key] = _panels(run, who, grid)
    return grid.kept[key]


def _panels(run: Run, who: dict[str, Any], grid: Grid) -> dict[str, Panel]:
    layers, values = grid.layers, grid.columns
    shortcut = on_shortcut(layers["layer"]).to_numpy(bool)
    channels = layers["layer"].map(_channels(run)).to_numpy(float)[None, :]
    # of blocks; asked at all steps, because a value that is not finite leaves no trace in the quantity itself
    split, rectified, judged = (
        pd.Series((~np.isnan(values[name])).any(0)).groupby(layers["layer"]).transform("any").to_numpy(bool)
        for name in ("shortcut_norm", "zero_fraction", "dead_channels")
    )
    lost = grid.there & np.isnan(values["output_std"]) & (values["nonfinite"] > 0)
    places = {
        "output_std": (layers["kind"] == response_kind(run)).to_numpy() & ~shortcut,
        "zero_fraction": rectified,
        "dead_share": judged,
        "update_ratio": layers["kind"].isin(["conv", "linear"]).to_numpy(),
        "forward_ratio": split,
        "backward_ratio": split,
    }
    ratios = {
        "dead_share": ("dead_channels", np.broadcast_to(channels, lost.shape)),
        "forward_ratio": ("branch_norm", values["shortcut_norm"]),
        "backward_ratio": ("branch_grad_norm", values["shortcut_grad_norm"]),
    }
    rates = run.steps(columns=["step", "learning_rate"]).drop_duplicates("step", keep="last").set_index("step")
    shares = (rates["learning_rate"].astype(float) / run.experiment.learning_rate).round(6)  # kept as float32
    rate = pd.Series(grid.steps).map(shares).to_numpy(float)
    found = {}
    for quantity, place in places.items():
        name, whole = ratios.get(quantity, (quantity, None))
        at = np.flatnonzero(place)
        part = values[name][:, at]
        own = {"value": part, "part": np.broadcast_to(np.float32(np.nan), part.shape)}
        own["whole"] = own["part"]
        if whole is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                own = {"value": part / whole[:, at], "part": part, "whole": whole[:, at]}
        if quantity in FROM_ZERO:  # of outputs that are NaN it cannot be said how many are above zero
            own = {column: np.where(lost[:, at], np.nan, each) for column, each in own.items()}
        there = measured(grid.of_layers(at), quantity, run, own["value"])
        if quantity in FROM_ZERO:
            there = _once_a_depth(layers.take(at), there)
        found[quantity] = Panel(who, grid.steps, layers.take(at).reset_index(drop=True), there, own, {"rate": rate})
    return found


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
    found = []
    for _, own in rows.groupby(["run", "step"], sort=False, observed=True):
        value = own["value"].to_numpy(float)
        finite = value[np.isfinite(value)]
        ends = (np.median(finite), finite.min(), finite.max()) if len(finite) else (np.nan,) * 3
        found.append([*(own[name].iloc[0] for name in (*IDENTITY, "step", "kind")), *ends, len(finite)])
    return pd.DataFrame(found, columns=[*IDENTITY, "step", "kind", "median", "low", "high", "layers"])


def totals(at: pd.DataFrame) -> pd.DataFrame:
    r"""How many channels are dead, and how many layers move at a healthy pace for the learning rate in force?

    An update is the rate times a direction, so a schedule that lowers the rate lowers the updates: they are judged
    after dividing by the share of the full rate that is in force. At a rate of zero there is nothing to judge.

    Returns:
        run, dead, channels (of all layers before a rectifier), healthy, layers (with weights, that can be judged;
        healthy ones have an update ratio inside `UPDATES`), rate (the share of the full rate in force; NaN where it was
        not written down: then judged as it is).

    Method:
        Meaning: How many layers move at a healthy pace for the learning rate in force.
        Formula: $10^{-4} \le \dfrac{\lVert \Delta w \rVert}{\lVert w \rVert} \Big/ \dfrac{\text{rate}}{\text{full
            rate}} \le 10^{-2}$.
        Source: A rule of thumb around 10⁻³ (Karpathy, *CS231n*).
        Batch norm: Weights in front of a batch norm have no scale of their own, so their ratio says how fast they turn.
        Sampling: One recorded step; layers with weights.
        Fails: A convention, not a law: the right pace goes with optimizer and depth. At a rate of zero there is nothing
            to judge.
        Command: labapp train --record every
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


def _once_a_depth(layers: pd.DataFrame, there: Values) -> Values:
    """Of a block and its last layer, which feed the same rectifier, the layer, since both have the same values."""
    kept = there.copy()
    order = layers.reset_index(drop=True).assign(_block=lambda rows: rows["kind"] == "block")
    for _, same in order.groupby("depth", sort=False):
        taken = np.zeros(len(there), bool)
        for at in same.sort_values("_block", kind="stable").index:
            kept[:, at] &= ~taken
            taken |= there[:, at]
    return kept
