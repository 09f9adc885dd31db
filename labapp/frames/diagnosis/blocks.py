"""Which residual block has a path that the other one drowns?

Judged at the end: a branch that starts at zero on purpose (Goyal et al. 2017; Zhang, Dauphin & Ma 2019) has grown by
then.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labapp.frames.diagnosis.findings import Symptom, decades, percent
from labapp.frames.diagnosis.limits import LIMITS
from labapp.frames.diagnosis.material import Material, Numbers

TAIL = 10  # the end is the last one of so many parts of the recorded steps


def residual(material: Material) -> list[Symptom] | str:
    """Blocks at the end: drowned_branch, drowned_shortcut."""
    grid = material.grid
    at = np.flatnonzero((~np.isnan(grid.columns["shortcut_norm"])).any(0))
    if not len(at):
        return "it has no residual block of which branch and shortcut were recorded apart"
    parts = (grid.columns[name].astype(float)[:, at] for name in ("branch_norm", "shortcut_norm"))
    branch, shortcut = parts
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = branch / shortcut
    if not np.isfinite(branch + shortcut).any():
        return "the norms of branches and shortcuts are not finite in any recorded step"
    number = np.sqrt(np.arange(1, len(at) + 1))
    names = grid.layers["layer"].iloc[at].astype(str).to_numpy()
    sides = (
        ("drowned", "drowned_branch", "Branches are drowned by their shortcuts", ratio * number, False),
        ("drowning", "drowned_shortcut", "Shortcuts carry next to nothing", ratio, True),
    )
    found = (_of(material, names, ratio, *side) for side in sides)
    return [one for one in found if one]


def _of(
    material: Material,
    names: NDArray[Any],
    ratio: Numbers,
    limit: str,
    rule: str,
    title: str,
    judged: Numbers,
    above: bool,
) -> Symptom | None:
    least = LIMITS[limit].value
    beyond = (judged > least) if above else (judged < least)
    known = ~np.isnan(judged)
    tail = max(1, len(judged) // TAIL)
    ill = (beyond[-tail:] & known[-tail:]).sum(0) > 0.5 * known[-tail:].sum(0)
    if not ill.any():
        return None
    end = np.array([_median(column[-tail:]) for column in judged.T])
    seen = np.array([_median(column[-tail:]) for column in ratio.T])
    place = np.flatnonzero(ill)[int(end[ill].argmax() if above else end[ill].argmin())]
    steps = material.steps[beyond[:, ill].any(1)]
    share = float(beyond[:, ill].sum() / max(1, known[:, ill].sum()))
    part = max(1 / 3, ill.mean())
    what = "branch is {} times as large as its shortcut" if above else "branch is {} of its shortcut"
    words = (
        f"In {int(ill.sum())} of {len(names)} residual blocks one path drowns the other at the end; most in "
        f"{names[place]}, whose {what.format(f'{seen[place]:.2g}')}"
        f"{_backward(material, names[place])}. It is so from step {int(steps[0])} on, in {percent(share)} of "
        "the recorded steps."
    )
    way = "nothing is carried past the blocks, which are then a plain net" if above else "these blocks change nothing"
    return Symptom(
        rule=rule,
        title=title,
        words=f"{words} So {way}.",
        quantity="forward_ratio",
        value=float(end[place]),
        limit=limit,
        first=int(steps[0]),
        last=int(steps[-1]),
        share=share,
        strength=float(decades(float(end[place]), least) * share * part),
        layers=tuple(map(str, names[ill])),
        expected=_expected(material, names[place]),
        confirm=(
            f"labapp probe {material.run.id} --quantities lesions,gradient_split",
            "in the net's code: what the addition of the block adds, and by what each side is scaled",
        ),
    )


def _median(values: Numbers) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan


def _backward(material: Material, name: str) -> str:
    grid = material.grid
    at = int(np.flatnonzero(grid.layers["layer"].astype(str) == name)[0])
    parts = (grid.columns[f"{side}_grad_norm"].astype(float)[:, at] for side in ("branch", "shortcut"))
    branch, shortcut = parts
    good = np.flatnonzero(np.isfinite(branch) & np.isfinite(shortcut) & (shortcut > 0))
    return f" (of the gradient: {branch[good[-1]] / shortcut[good[-1]]:.2g})" if len(good) else ""


def _expected(material: Material, name: str) -> str:
    theory = material.theory
    theory = theory[(theory["quantity"] == "forward_ratio") & (theory["layer"] == name)]
    if theory.empty:
        return f"Theory has no expectation: {material.silence or 'it says nothing of this block'}."
    value = theory["value"].iloc[0]
    return f"Mean-field theory expects a branch of {value:.2g} of the shortcut at {name} before training."
