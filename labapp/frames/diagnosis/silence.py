"""Which channels died and never came back?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from labapp.frames.channels import judged_steps
from labapp.frames.diagnosis.findings import STRONGEST, Symptom
from labapp.frames.diagnosis.limits import LIMITS
from labapp.frames.diagnosis.material import Material


def channels(material: Material) -> list[Symptom] | str:
    """Layers of which too large a share of channels is dead to the end."""
    grid = material.grid
    judged = np.isfinite(grid.columns["dead_channels"].astype(float))
    if not judged.any():
        return "it holds no count of dead channels: no layer feeds a rectifier, or its channels could not be told"
    table = _to_the_end(material)
    table = table[table["share"] >= LIMITS["dead"].value]
    if table.empty:
        return []
    begin, end = judged_steps(material.run)
    worst = table.iloc[int(table["share"].to_numpy().argmax())]
    names = tuple(map(str, table["layer"]))
    first = int(table["step"].min())
    lasted = float((material.steps >= first).sum() / max(1, len(material.steps)))
    if lasted < LIMITS["lasting"].value:
        return []
    since = "from the first recorded step" if first <= begin else f"from step {first}"
    value = float(worst["share"])
    return [
        Symptom(
            rule="dead_channels",
            title="Channels are dead",
            words=f"In {len(names)} {'layer' if len(names) == 1 else 'layers'} before a rectifier, {since} to the end "
            f"(step {end}), channels have no positive value in any image; most in {worst['layer']}: "
            f"{int(worst['dead'])} of {int(worst['channels'])}. No gradient comes back through them.",
            quantity="dead_channels",
            value=value,
            limit="dead",
            first=first,
            last=end,
            share=lasted,
            strength=float(STRONGEST * value * lasted),
            layers=names,
            expected=_expected(material, str(worst["layer"]), first <= begin),
            confirm=(
                "the page Signals, Lifetimes: which channels, and when",
                "a run with a smaller rate, or with --activation leaky_relu, in which no channel can die",
            ),
        )
    ]


def _to_the_end(material: Material) -> pd.DataFrame:
    """layer, dead, channels, share, step: of each layer the channels that are dead to the end, and since when."""
    spans = material.dead
    if len(spans):
        last = judged_steps(material.run)[1]
        spans = spans[~spans["back"].astype(bool) & (spans["end"] == last)]
        kinds = spans["layer"].map(material.grid.layers.drop_duplicates("layer").set_index("layer")["kind"])
        own = spans["depth"][kinds != "block"]  # a block and its last layer may feed the same rectifier
        spans = spans[(kinds != "block") | ~spans["depth"].isin(own)]
        groups = spans.groupby("layer", sort=False)
        table = groups.agg(dead=("channel", "nunique"), channels=("channels", "max"), step=("step", "median"))
        table = table.reset_index()
    elif "lifetimes" in material.run.tables():
        table = pd.DataFrame(columns=["layer", "dead", "channels", "step"])
    else:  # an older recorder: how many, not which
        table = _by_count(material)
    return table.assign(share=(table["dead"] / table["channels"]).astype(float))


def _by_count(material: Material) -> pd.DataFrame:
    """The same from counts: so many were dead in every one of the last recorded steps."""
    grid = material.grid
    count = grid.columns["dead_channels"].astype(float)
    sizes = {str(info["path"]): info["shape"][0] for info in material.run.layers_info if info.get("shape")}
    rows = []
    for at, name in enumerate(grid.layers["layer"]):
        own, size = count[:, at], sizes.get(str(name), 0)
        if size and np.isfinite(own[-1]) and own[-1] / size >= LIMITS["dead"].value:
            below = np.flatnonzero(~(own / size >= LIMITS["dead"].value))
            since = int(below[-1]) + 1 if len(below) else 0
            rows.append((name, own[since:].min(), size, grid.steps[since]))
    return pd.DataFrame(rows, columns=["layer", "dead", "channels", "step"])


def _expected(material: Material, layer: str, at_start: bool) -> str:
    theory = material.theory
    theory = theory[(theory["quantity"] == "zero_fraction") & (theory["layer"] == layer)]
    if theory.empty:
        return f"Theory has no expectation: {material.silence or 'it says nothing of this layer'}."
    words = f"Theory expects {theory['value'].iloc[0]:.2g} of the values of {layer} at or below zero before training"
    return f"{words}{'; its channels were dead at the first step already' if at_start else ''}."
