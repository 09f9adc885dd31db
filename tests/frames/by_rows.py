"""What `frames` says of layers, row by row as the tables lie on disk: slow, and no other code than pandas'."""

import numpy as np
import pandas as pd

from labapp.frames.beyond import OF_WEIGHTS
from labapp.frames.beyond import measured_rows as measured
from labapp.frames.grids import LAYER
from labapp.frames.signals import FROM_ZERO, RECORDED, SIGNALS, response_kind
from labapp.frames.slopes import on_shortcut


def read_layers(run, quantity, kinds):
    columns = dict.fromkeys([*LAYER, "nonfinite", quantity, *(["update_ratio"] if quantity in OF_WEIGHTS else [])])
    table = run.layers(columns=list(columns), where=[("kind", "in", list(kinds))])
    table = table[measured(table, quantity, run)]
    table = table[[*LAYER, quantity]].rename(columns={quantity: "value"})
    return table.sort_values(["step", "depth"], kind="stable", ignore_index=True)


def layer_table(run, quantity, kinds, relative=False):
    table = read_layers(run, quantity, kinds)
    if relative and len(table):
        last = table[table["depth"] == table["depth"].max()].groupby("step")["value"].first()
        with np.errstate(divide="ignore", invalid="ignore"):
            table = table.assign(value=table["value"] / table["step"].map(last))
    return table


def read_signals(run):
    table = run.layers(columns=[*LAYER, *RECORDED])
    kind = table["kind"]
    shortcut = on_shortcut(table["layer"])
    channels = (
        table["layer"]
        .map({layer["path"]: layer["shape"][0] for layer in run.layers_info if layer.get("shape")})
        .astype(float)
    )
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
    found = pd.concat([part for part in parts if len(part)] or parts[:1])[
        [*LAYER, "quantity", "value", "part", "whole"]
    ]
    found = found.assign(rate=found["step"].map(shares).astype(float))
    return found.sort_values(["quantity", "step", "depth"], kind="stable", ignore_index=True)


def _once_a_depth(rows: pd.DataFrame) -> pd.DataFrame:
    """Of a block and its last layer, which feed the same rectifier, the layer, since both have the same values."""
    order = rows.assign(_block=rows["kind"] == "block").sort_values(["step", "depth", "_block"], kind="stable")
    return order.drop_duplicates(["step", "depth"]).drop(columns="_block")
