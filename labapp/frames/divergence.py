"""Where did values that are not finite begin, and what was seen before?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labapp.frames.beyond import events
from labapp.frames.grids import LAYER
from labapp.frames.runs import IDENTITY, identities
from labapp.frames.thinning import joined
from labapp.store import Run

EVENT = ["step", "what", "layer", "kind", "places", "input", "after", "note"]
EVIDENCE = ["before", "update_ratio", "update_layer", "quantity", "value", "loss", "loss_step", "recorded"]
_TURN = {"weight": 0, "output": 0, "loss": 1}  # what is of the forward pass comes before the loss
_BEFORE = {  # the quantity of the layer in which it began
    "output": "output_std",
    "output gradient": "output_grad_norm",
    "weight gradient": "weight_grad_norm",
    "used gradient": "weight_grad_norm",
    "updated weight": "weight_norm",
    "weight": "weight_norm",
}


def divergence(runs: Sequence[Run], read: Callable[[Run], pd.DataFrame] | None = None) -> pd.DataFrame:
    """What was not finite in runs that diverged, since all was finite: where it began comes first.

    Returns:
        The columns of `IDENTITY`, then step, what (weight: before the step; output, loss, output gradient, weight
        gradient, used gradient: as the optimizer took it; updated weight), layer, kind ("nan", "inf", "" where it was
        not told apart), places (layers with such values), input (of an output: "finite", "not finite" or ""), after
        (the last recorded step in which all was finite, −1 without one), note (where it began, in words).
    """
    read = read or read_divergence
    parts = [read(run).assign(**who) for run, who in zip(runs, identities(runs), strict=True)]
    return joined(parts, [*IDENTITY, *EVENT])


def read_divergence(run: Run) -> pd.DataFrame:
    """The same of one run, without its identity; of a run whose recorder wrote no such table, from its layers."""
    table = events(run)
    if table.empty:
        table = _from_layers(run)
    if table.empty:
        return pd.DataFrame(columns=EVENT)
    lost = table["step"][table["what"] == "loss"] - 1  # it may be infinite while all outputs and gradients are finite
    table = table[table["step"] > min([table["after"].max(), *lost])]
    if set(table["what"]) <= {"output"} and run.status != "diverged":
        later = run.layers(columns=["step"], where=[("step", ">", int(table["step"].max()))])
        if len(later):  # infinite for a moment, and nothing came of it
            return pd.DataFrame(columns=EVENT)
    turn = table["what"].map(_TURN).fillna(2)
    return table.assign(turn=turn).sort_values(["step", "turn"], kind="stable", ignore_index=True)[EVENT]


def evidence(run: Run, read: Callable[[Run], pd.DataFrame] | None = None) -> dict[str, Any]:
    """What was last recorded before values were not finite; empty of a run that did not diverge.

    Returns:
        The columns of EVENT of where it began; before (the last step recorded before it, None without one),
        update_ratio (the largest of it), update_layer, quantity and value (of the layer in which it began, at that
        step), loss (the last finite one), loss_step, recorded (whether
        the layers of the step are in the record).
    """
    table = (read or read_divergence)(run)
    if table.empty:
        return {}
    first: dict[str, Any] = {str(name): value for name, value in table.iloc[0].items()}
    found = first | dict.fromkeys(EVIDENCE)
    losses = run.steps(columns=["step", "loss"])
    losses = losses[(losses["step"] <= first["step"]) & np.isfinite(losses["loss"].astype(float))]
    if len(losses):
        found |= {"loss": float(losses["loss"].iloc[-1]), "loss_step": int(losses["step"].iloc[-1])}
    quantity = _BEFORE.get(first["what"])
    columns = ["step", "layer", "update_ratio", *([quantity] if quantity else [])]
    rows = run.layers(columns=columns, where=[("step", "<=", int(first["step"]))])
    found["recorded"] = bool((rows["step"] == first["step"]).any())
    rows = rows[rows["step"] < first["step"]]
    if rows.empty:
        return found
    before = int(rows["step"].max())
    rows = rows[rows["step"] == before]
    ratios = rows["update_ratio"].to_numpy(float)
    ratios = np.where(np.isfinite(ratios), ratios, -1)
    largest = int(ratios.argmax())
    if ratios[largest] >= 0:
        found |= {"update_ratio": float(ratios[largest]), "update_layer": str(rows["layer"].iloc[largest])}
    own = rows[rows["layer"] == first["layer"]]
    if quantity and len(own) and np.isfinite(own[quantity].iloc[0]):
        found |= {"quantity": quantity, "value": float(own[quantity].iloc[0])}
    return found | {"before": before}


def _from_layers(run: Run) -> pd.DataFrame:
    """What the layers and losses of a run say by themselves, of a run that ended as diverged or lost its loss."""
    losses = run.steps(columns=["step", "loss"])
    lost = losses[~np.isfinite(losses["loss"].astype(float))]
    if run.status != "diverged" and (lost.empty or losses["loss"].isna().all()):  # the latter: nobody wrote losses
        return pd.DataFrame(columns=EVENT)
    rows: list[dict[str, Any]] = []
    if len(lost):
        step, value = int(lost["step"].iloc[0]), float(lost["loss"].iloc[0])
        kind = "inf" if np.isinf(value) else "nan"
        note = f"in step {step}: the loss became {'infinite' if kind == 'inf' else 'NaN'}"
        rows.append({"step": step, "what": "loss", "layer": "", "kind": kind, "places": 1, "note": note})
    numbers = ["nonfinite", "output_std", "output_mean", "output_grad_norm"]
    layers = run.layers(columns=[*LAYER, *numbers], where=[("nonfinite", ">", 0)])
    after = -1
    if len(layers):
        recorded = run.layers(columns=["step"])["step"].unique()
        layers = _fresh(run, layers)
        step = int(layers["step"].min())
        after = int(max(recorded[recorded < step], default=-1))
        rows.append({"step": step, "after": after} | _place(layers[layers["step"] == step], step, after))
    whole = {"places": 1, "input": "", "after": after}
    return pd.DataFrame([whole | row for row in rows], columns=EVENT)


def _fresh(run: Run, layers: pd.DataFrame) -> pd.DataFrame:
    """Without the layers whose values were not finite from the first recorded step on, unless all were."""
    first = run.layers(columns=["step"])["step"].min()
    usual = set(layers[layers["step"] == first]["layer"])
    rest = layers[~layers["layer"].isin(usual)]
    return rest if len(rest) else layers


def _place(rows: pd.DataFrame, step: int, after: int) -> dict[str, Any]:
    """The first layer of a step whose output is not finite, else the last one whose gradient is not."""
    when = f"in step {step}" if after < 0 or after == step - 1 else f"between step {after} and step {step}"
    rows = rows.sort_values("depth", kind="stable")
    outputs = rows[~np.isfinite(rows["output_std"].astype(float))]
    if len(outputs):
        one, kind = outputs.iloc[0], "inf" if np.isinf(outputs["output_mean"].iloc[0]) else ""
        note = f"{when}: the output of {one['layer']} was not finite"
        return {"what": "output", "layer": one["layer"], "kind": kind, "places": len(outputs), "note": note}
    one = rows.iloc[-1]
    kind = "inf" if np.isinf(one["output_grad_norm"]) else "nan" if np.isnan(one["output_grad_norm"]) else ""
    note = f"{when}, on the way back: the gradient at the output of {one['layer']} was not finite"
    return {"what": "output gradient", "layer": one["layer"], "kind": kind, "places": len(rows), "note": note}
