"""Where does the gradient, or the signal, vanish or explode, and from which step on?

By the fit over all layers (`gradient_slope`): how much larger it is at one end than at the other, with the interval of
the slope. A step counts where that interval leaves out that nothing changes, so one layer alone makes no finding.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from labapp.frames.diagnosis.findings import STRONGEST, Symptom, decades, percent
from labapp.frames.diagnosis.limits import LIMITS
from labapp.frames.diagnosis.material import Material
from labapp.frames.signals import response_kind
from labapp.frames.slopes import gradient_slope, on_shortcut

_EACH = ("layer", "layer_low", "layer_high")
LEAST = 4  # layers: with three the interval of a slope has one degree of freedom
GRADIENT, SIGNAL = "output_grad_norm", "output_std"


def gradients(material: Material) -> list[Symptom] | str:
    """On the way back: vanishing_gradient, exploding_gradient."""
    table = material.profile(GRADIENT)
    reason = _too_little(table, "gradient norms")
    return reason or [
        found
        for found in (
            _finding(material, table, GRADIENT, "vanishing", "vanishing_gradient", "The gradient vanishes"),
            _finding(material, table, GRADIENT, "exploding", "exploding_gradient", "The gradient explodes"),
        )
        if found
    ]


def signals(material: Material) -> list[Symptom] | str:
    """On the way there: vanishing_signal, exploding_signal."""
    if response_kind(material.run) == "norm":
        return "behind a normalisation every response has a size of its own making, so none can fade or swell"
    table = material.profile(SIGNAL)
    reason = _too_little(table, "responses")
    turned = table.assign(
        **{
            f"{of}{name}": 1 / table[f"{of}{other}"]
            for of in ("", "layer_")
            for name, other in (("low", "high"), ("high", "low"))
        },
        ratio=1 / table["ratio"],
        layer=1 / table["layer"],
    )
    return reason or [
        found
        for found in (
            _finding(material, turned, SIGNAL, "fading", "vanishing_signal", "The signal vanishes"),
            _finding(material, turned, SIGNAL, "swelling", "exploding_signal", "The signal explodes"),
        )
        if found
    ]


def _too_little(table: pd.DataFrame, what: str) -> str:
    if table.empty:
        return f"it holds no {what} of convolutions or linear layers"
    if table["layers"].max() + table["zeros"].max() < LEAST:
        return f"{what} of at least {LEAST} layers are needed for a slope with an interval, and it has fewer"
    return ""


def _finding(
    material: Material, table: pd.DataFrame, quantity: str, limit: str, rule: str, title: str
) -> Symptom | None:
    """The finding of one direction; None where there is none."""
    least, above = LIMITS[limit].value, LIMITS[limit].value > 1
    ratio, low, high = (table[name].to_numpy(float) for name in ("ratio", "low", "high"))
    gone = (table["zeros"].to_numpy() > 0) & (quantity == GRADIENT)
    beyond = ((ratio > least) & (low > 1)) if above else ((ratio < least) & (high < 1)) | gone
    judged = np.isfinite(ratio) | gone
    share = beyond.sum() / max(1, judged.sum())
    if not beyond.any() or (share < LIMITS["lasting"].value and not beyond[0]):  # what a net begins with counts
        return None
    ratio = np.where(gone & (not above), 0.0, ratio)
    steps = table["step"].to_numpy()[beyond]
    worst = int(np.flatnonzero(beyond)[(ratio[beyond].argmax() if above else ratio[beyond].argmin())])
    value = float(ratio[worst])
    far = decades(value, least) if value > 0 else STRONGEST
    way = (
        ("back to the input", "last to the first") if quantity == GRADIENT else ("through the net", "first to the last")
    )
    change = "grows" if above else "shrinks"
    words = (
        f"On its way {way[0]} the {'gradient' if quantity == GRADIENT else 'signal'} {change}: from the {way[1]} layer "
        f"by a factor of {value:.2g} at step {int(table['step'].iloc[worst])}"
    )
    if math.isfinite(low[worst]) and value > 0:
        each, least_each, most_each = (float(table[name].iloc[worst]) for name in _EACH)
        words += (
            f" (95 % interval {low[worst]:.2g} to {high[worst]:.2g}), which is {each:.3g} a layer ({least_each:.3g} "
        )
        words += f"to {most_each:.3g})"
    if gone[worst]:
        words += f"; at {int(table['zeros'].iloc[worst])} layers it is exactly zero"
    words += (
        f". It is so from step {int(steps[0])} to step {int(steps[-1])}, in {percent(share)} of the recorded steps."
    )
    return Symptom(
        rule=rule,
        title=title,
        words=words,
        quantity=quantity,
        value=value,
        low=float(low[worst]) if value > 0 else math.nan,
        high=float(high[worst]) if value > 0 else math.nan,
        limit=limit,
        first=int(steps[0]),
        last=int(steps[-1]),
        share=float(share),
        strength=far * max(float(share), LIMITS["lasting"].value),
        layers=_ends(material),
        expected=_expected(material, table, quantity, above),
        confirm=_confirm(material, quantity),
    )


def _ends(material: Material) -> tuple[str, ...]:
    names = material.grid.layers["layer"][material.grid.layers["kind"].isin(["conv", "linear"])]
    return (str(names.iloc[0]), str(names.iloc[-1])) if len(names) else ()


def expected_ratio(material: Material, quantity: str) -> float:
    """Of theory at step 0, as `Material.profile` has it; NaN where theory is silent."""
    table = material.theory
    table = table[(table["quantity"] == quantity) & (table["kind"] == "conv")]
    table = table[~on_shortcut(table["layer"])] if len(table) else table
    if len(table) < LEAST:
        return math.nan
    slope = gradient_slope(table.assign(step=0))["slope"].iloc[0]
    ratio = 10 ** (-float(slope) * float(table["depth"].max() - table["depth"].min()))
    return ratio if quantity == GRADIENT else 1 / ratio


def _expected(material: Material, table: pd.DataFrame, quantity: str, above: bool) -> str:
    theory = expected_ratio(material, quantity)
    if math.isnan(theory):
        reason = material.silence or "it says nothing of this quantity at these layers"
        return f"Theory has no expectation: {reason}."
    words = f"Mean-field theory expects a factor of {theory:.2g} of this net before training"
    start = table[table["step"] == 0]["ratio"]
    if start.empty or not np.isfinite(start.iloc[0]):
        return f"{words}; step 0 is not in the record."
    measured = float(start.iloc[0])
    words += f", and {measured:.2g} was measured at step 0"
    least = LIMITS["exploding" if above else "vanishing"].value
    if (theory > least and measured > least) if above else (theory < least and measured < least):
        return f"{words}: the net's depth, normalisation and initialisation make it so, not the training."
    if (measured > least) if above else (measured < least):
        return f"{words}: the initialisation alone does not explain it."
    return f"{words}: it began in training, not with the initialisation."


def _confirm(material: Material, quantity: str) -> tuple[str, ...]:
    what, run = material.run.experiment, material.run.id
    commands = []
    if what.net is None and what.norm == "none":
        commands.append(f"labapp train with the options of `labapp runs show {run}`, but --norm batch")
        if what.init == "default":
            commands.append("the same, but --init he")
    elif what.family == "plain":
        commands.append(f"labapp train with the options of `labapp runs show {run}`, but --family residual")
    if quantity == GRADIENT:
        commands.append(f"labapp probe {run} --quantities shattering")
    return tuple(commands or [f"a run that differs in depth alone: labapp runs compare {run} OTHER"])
