"""Which layers do not move: never at all, or only as weight decay pulls them?

Too slow and too fast is asked of the whole net in `losses`, because one rate is for all layers.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labapp.frames.diagnosis.findings import STRONGEST, Symptom, decades, percent
from labapp.frames.diagnosis.limits import LIMITS
from labapp.frames.diagnosis.material import Material

LEARNING = 0.5  # of its first loss: where less is left, small gradients are what learning comes to
MAJORITY = 0.5  # of the steps in which a layer must stand


def frozen(material: Material) -> list[Symptom] | str:
    """Layers whose update is exactly zero in every step in which another layer moved."""
    grid = material.grid
    moved = grid.columns["update_ratio"].astype(float)
    if not np.isfinite(moved).any():
        return "it holds no updates of weights"
    going = (moved > 0).any(1) & (material.full_rate > 0)
    seen = np.isfinite(moved[going])
    if not going.any():
        every = np.isfinite(moved).any(1) & (material.full_rate > 0)
        return [_nothing_moves(material, every)] if every.any() else "the rate is zero in every recorded step"
    still = seen.any(0) & ~(seen & (moved[going] != LIMITS["frozen"].value)).any(0)
    if not still.any():
        return []
    own = grid.layers[still]
    pull = grid.columns["weight_grad_norm"].astype(float)[going][:, still]
    arrives = np.nan_to_num(pull).max()
    if np.isnan(pull).all():
        why = "no gradient was computed for them: they do not require one, or nothing of the loss reaches them"
    elif arrives == 0:
        why = "their gradient is exactly zero"
    else:
        why = (
            f"a gradient arrives (norm up to {arrives:.2g}), but the optimizer does not take it: they are not its "
            "parameters, or have a rate of zero"
        )
    steps = grid.steps[going]
    names = tuple(map(str, own["layer"]))
    weights = _share_of_parameters(material, names)
    return [
        Symptom(
            rule="frozen",
            title="Layers do not move at all",
            words=f"In all {going.sum()} recorded steps the weights of {len(names)} layers{weights} stay as they are "
            f"while others move; {why}. If they were frozen on purpose, this is as it should be.",
            quantity="update_ratio",
            value=0.0,
            limit="frozen",
            first=int(steps[0]),
            last=int(steps[-1]),
            share=1.0,
            strength=STRONGEST,
            layers=names,
            expected="Theory says nothing of it.",
            confirm=(
                "in the training code: requires_grad of their parameters, and whether the optimizer was given them",
            ),
        )
    ]


def _nothing_moves(material: Material, every: np.ndarray) -> Symptom:
    steps = material.steps[every]
    return Symptom(
        rule="frozen",
        title="No layer moves at all",
        words=f"In all {every.sum()} recorded steps no weight of the net changes.",
        quantity="update_ratio",
        value=0.0,
        limit="frozen",
        first=int(steps[0]),
        last=int(steps[-1]),
        share=1.0,
        strength=STRONGEST,
        expected="Theory says nothing of it.",
        confirm=("in the training code: whether the optimizer steps, has these parameters, and has a rate above zero",),
    )


def _share_of_parameters(material: Material, names: tuple[str, ...]) -> str:
    sizes = {str(info["path"]): int(info.get("parameters") or 0) for info in material.run.layers_info}
    whole = sum(sizes.values())
    return f" ({percent(sum(sizes.get(name, 0) for name in names) / whole)} of the parameters)" if whole else ""


def stalled(material: Material) -> list[Symptom] | str:
    """Layers at which the loss pulls less than weight decay, or whose updates are lost in rounding."""
    grid = material.grid
    deep = np.flatnonzero(material.deep)
    moved = grid.columns["update_ratio"].astype(float)[:, deep]
    if not np.isfinite(moved).any():
        return "it holds no updates of weights"
    decay = material.run.experiment.weight_decay if material.own_loop else 0.0
    limit = "stalled" if decay else "unmoved"
    with np.errstate(divide="ignore", invalid="ignore"):
        if decay:
            columns = (grid.columns[name].astype(float)[:, deep] for name in ("weight_grad_norm", "weight_norm"))
            pull, size = columns
            value = pull / (decay * size)
        else:
            value = moved / material.full_rate[:, None]
    judged = np.isfinite(value) & (moved > 0) & _unlearnt(material)[:, None] & (material.full_rate > 0)[:, None]
    if not judged.any():
        return "in no recorded step was there both something left to learn and an update to judge"
    low = judged & (value < LIMITS[limit].value)
    share = low.sum(0) / np.maximum(1, judged.sum(0))
    standing = (share >= MAJORITY) & judged.any(0)
    if not standing.any():
        return []
    middle = np.array(
        [np.median(column[good]) if good.any() else np.nan for column, good in zip(value.T, judged.T, strict=True)]
    )
    names = tuple(map(str, grid.layers["layer"].iloc[deep[standing]]))
    where = low[:, standing].any(1)
    worst = float(np.nanmin(middle[standing]))
    least = str(grid.layers["layer"].iloc[deep[standing][int(np.nanargmin(middle[standing]))]])
    part = float(standing.sum() / len(deep))
    by = (
        f"the loss pulls at their weights with less than weight decay does, at {least} with {worst:.2g} of it"
        if decay
        else f"their updates are lost in rounding, at {least} {worst:.2g} of the weights at the full rate"
    )
    return [
        Symptom(
            rule="stalled",
            title="Layers stopped learning",
            words=f"{len(names)} of {len(deep)} layers with weights do not learn: {by} (median over steps). It is so "
            f"in {percent(share[standing].mean())} of the recorded steps in which the loss was still above half of its "
            "first value.",
            quantity="weight_grad_norm" if decay else "update_ratio",
            value=worst,
            limit=limit,
            first=int(grid.steps[where][0]),
            last=int(grid.steps[where][-1]),
            share=float(share[standing].mean()),
            strength=decades(worst, LIMITS[limit].value) * float(share[standing].mean()) * max(part, 1 / 3),
            layers=names,
            expected="Theory says nothing of it.",
            confirm=(
                f"the page Gradient flow, or run.layers(columns=['weight_grad_norm']) of {material.run.id}",
                "a run with --weight-decay 0: their updates then show the gradient alone",
            ),
        )
    ]


def _unlearnt(material: Material) -> NDArray[np.bool_]:
    """At each recorded step whether the loss is still above a share of its first value; true where none is known."""
    losses = material.losses
    if losses.empty:
        return np.ones(len(material.steps), bool)
    known = pd.Series(losses["loss"].to_numpy(), index=losses["step"])
    recorded = pd.Index(material.steps)
    at = known.reindex(known.index.union(recorded)).ffill().bfill().reindex(recorded)
    return (at > LEARNING * known.iloc[0]).to_numpy(bool)
