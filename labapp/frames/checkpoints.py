"""What was measured on checkpoints that stands below the first screen of a page?

Paths and shattering of gradients, shortcuts, lesions, collapse: each of runs at the checkpoint that stands for a step,
or over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labapp.frames.beyond import states_of
from labapp.frames.runs import IDENTITY, identities
from labapp.frames.steps import Read, near_step
from labapp.frames.thinning import joined
from labapp.store import Run

PLACE = ["layer", "kind", "depth", "relative_depth", "stage", "step"]
NC = ("nc1", "nc2_norms", "nc2_angles", "nc3", "nc4")
TEST = "_test"  # behind the name of a number of test images
PERCENTILES = (0.025, 0.975)  # of examples


def at_checkpoint(runs: Sequence[Run], name: str, step: int, read: Read | None = None) -> pd.DataFrame:
    """A probe's table of each run at its measured step that stands for `step`: `IDENTITY`, step, then its columns."""
    parts = []
    for run, who in zip(runs, identities(runs), strict=True):
        at = near_step(run, name, step)
        if at is not None:
            parts.append((read or Run.probe)(run, name, at).assign(step=at, **who))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=[*IDENTITY, "step"])


def _placed(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """With the columns of `PLACE` and state, the value's of `STATES`."""
    given = rows.assign(**{name: "" if name in ("kind", "stage") else np.nan for name in PLACE if name not in rows})
    found = joined([given], [*IDENTITY, *PLACE, *columns])
    return found.assign(state=states_of(found["value"].astype(float), log=False))


def shattering(runs: Sequence[Run], step: int, read: Read | None = None) -> pd.DataFrame:
    """Cosine between the gradients of two images at each layer, the image first (depth 0).

    Returns:
        The columns of `IDENTITY` and `PLACE`, then value, low, high (a deviation between pairs to either side), part
        (images with a gradient), note, state.
    """
    rows = at_checkpoint(runs, "shattering", step, read)
    columns = ["value", "low", "high", "examples", "note"]
    if rows.empty:
        return _placed(rows, columns)
    rows = rows.assign(
        value=rows["cosine"],
        low=rows["cosine"] - rows["deviation"],
        high=rows["cosine"] + rows["deviation"],
        note=rows["reason"],
    )
    return _placed(rows, columns)


def along_line(runs: Sequence[Run], step: int, share: float, read: Read | None = None) -> pd.DataFrame:
    """Autocorrelation of the gradient along a line of images, at the layer nearest to a share of the depth.

    Returns:
        The columns of `IDENTITY`, then step, layer, depth, lag, distance (a share of the line, 0 to 1), value, points,
        note.
    """
    rows = at_checkpoint(runs, "autocorrelation", step, read)
    if rows.empty:
        return pd.DataFrame(columns=[*IDENTITY, "step", "layer", "depth", "lag", "distance", "value", "points", "note"])
    parts = []
    for _, own in rows.groupby("run", sort=False):
        layers = own.drop_duplicates("layer")
        chosen = layers.iloc[int((layers["relative_depth"] - share).abs().to_numpy().argmin())]["layer"]
        parts.append(own[own["layer"] == chosen])
    found = pd.concat(parts, ignore_index=True).assign(value=lambda own: own["autocorrelation"])
    return found.assign(note=found["reason"])[
        [*IDENTITY, "step", "layer", "depth", "lag", "distance", "value", "points", "note"]
    ]


def paths(runs: Sequence[Run], step: int, read: Read | None = None) -> pd.DataFrame:
    """The gradient by the length of the path that it comes along.

    Returns:
        The columns of `IDENTITY`, then step, length (branches gone through), quantity, value, beside, paths, deviation,
        effective_length, decay, note. Of path_share: the share of the gradient that paths of a length carry together,
        and beside it the share of the paths that have it. Of path_norm: the mean norm of the gradient along one path,
        and beside it that of the exact sum over all paths of the length.
    """
    rows = at_checkpoint(runs, "path_gradients", step, read)
    columns = [*IDENTITY, "step", "length", "quantity", "value", "beside", "paths", "deviation"]
    columns += ["effective_length", "decay", "note"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    pairs = {"path_share": ("weight", "probability"), "path_norm": ("gradient_norm", "sum_norm")}
    parts = [
        rows.assign(quantity=name, value=rows[column], beside=bool(beside), note=rows["reason"])
        for name, both in pairs.items()
        for beside, column in enumerate(both)
    ]
    return joined(parts, columns)


def shortcut_shares(runs: Sequence[Run], step: int, read: Read | None = None) -> pd.DataFrame:
    """How much of the gradient at each block's input comes along the shortcuts, over the images.

    Returns:
        The columns of `IDENTITY` and `PLACE` (layer is the block, relative_depth its place among the blocks), then
        value, low, high (mean and percentiles of the images), shortcut_norm, branch_norm (over the whole gradient's),
        cosine (between the two parts), forward_error, backward_error (the greatest: what equations 4 and 5 leave over),
        examples, note, state.
    """
    rows = at_checkpoint(runs, "gradient_split", step, read)
    means = ["shortcut_norm", "branch_norm", "cosine"]
    errors = ["forward_error", "backward_error"]
    columns = ["value", "low", "high", *means, *errors, "examples", "note"]
    if rows.empty:
        return _placed(rows, columns)
    own = rows.groupby([*IDENTITY, "step", "block", "position", "stage"], sort=False, dropna=False)
    share = own["shortcut_share"]
    found = pd.DataFrame(
        {"value": share.mean(), "low": share.quantile(PERCENTILES[0]), "high": share.quantile(PERCENTILES[1])}
        | {name: own[name].mean() for name in means}
        | {name: own[name].max() for name in errors}
        | {"examples": share.count(), "note": own["reason"].max()}
    ).reset_index()
    return _placed(_in_order(found), columns)


def singular_values(runs: Sequence[Run], step: int, span: str, read: Read | None = None) -> pd.DataFrame:
    """Extreme singular values of the Jacobians of blocks (`span` block) or from each block to its stage's end (stage).

    Returns:
        The columns of `IDENTITY` and `PLACE`, then quantity (smallest_singular_value, largest_singular_value), value
        (over the images the least, or the greatest), error (of that one: some singular value lies so near), blocks
        (that the Jacobian spans), examples, state.
    """
    rows = at_checkpoint(runs, "singular_values", step, read)
    columns = ["quantity", "value", "error", "blocks", "examples"]
    if rows.empty:
        return _placed(rows, columns)
    rows = rows[rows["span"] == span]
    keys = [*IDENTITY, "step", "block", "position"]
    count = rows.groupby(keys, sort=False, dropna=False)["example"].transform("size")
    parts = []
    for quantity, column, rising in (
        ("smallest_singular_value", "smallest", True),
        ("largest_singular_value", "largest", False),
    ):
        order = rows.assign(examples=count).sort_values(column, ascending=rising, kind="stable")
        one = order.drop_duplicates(["run", "step", "block"]).sort_values(["run", "position"], kind="stable")
        parts.append(one.assign(quantity=quantity, value=one[column], error=one[f"{column}_error"], stage=""))
    found = _in_order(pd.concat(parts, ignore_index=True))
    return _placed(found, columns)


def lesions(runs: Sequence[Run], step: int, read: Read | None = None) -> pd.DataFrame:
    """What each deletion of a block, and each exchange of two neighbours, costs.

    Returns:
        The columns of `IDENTITY` and `PLACE` (layer is the block), then lesion (delete, swap), other (the neighbour),
        value (change of the loss, nats), accuracy, accuracy_change, images, chance, whole (accuracy of the whole
        net), note, state.
    """
    rows = at_checkpoint(runs, "lesions", step, read)
    columns = ["lesion", "other", "value", "accuracy", "accuracy_change", "images", "chance", "whole", "note"]
    if rows.empty:
        return _placed(rows, columns)
    whole = rows[rows["lesion"] == "none"].drop_duplicates("run").set_index("run")["accuracy"]
    rows = rows[rows["lesion"] != "none"]
    rows = rows.assign(value=rows["loss_change"], whole=rows["run"].map(whole), note=rows["reason"], stage="")
    return _placed(_in_order(rows), columns)


def reordered(runs: Sequence[Run], step: int, read: Read | None = None) -> pd.DataFrame:
    """What other orders of the blocks cost, by how far they are from the trained one; means over equal distances.

    Returns:
        The columns of `IDENTITY`, then step, kendall_tau, value (mean change of the loss, nats), low, high (least and
        greatest), accuracy (mean), accuracy_change, orders, swaps (the most that led there), chance, note.
    """
    rows = at_checkpoint(runs, "permutations", step, read)
    columns = [*IDENTITY, "step", "kendall_tau", "value", "low", "high", "accuracy", "accuracy_change", "orders"]
    columns += ["swaps", "chance", "note"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    own = rows.groupby([*IDENTITY, "step", "kendall_tau"], dropna=False)
    loss = own["loss_change"]
    found = pd.DataFrame(
        {
            "value": loss.mean(),
            "low": loss.min(),
            "high": loss.max(),
            "accuracy": own["accuracy"].mean(),
            "accuracy_change": own["accuracy_change"].mean(),
            "orders": own.size(),
            "swaps": own["swaps"].max(),
            "chance": own["chance"].first(),
            "note": own["reason"].max(),
        }
    )
    return found.reset_index()[columns]


def collapse(runs: Sequence[Run], read: Read | None = None) -> pd.DataFrame:
    """Neural collapse at every checkpoint that was measured.

    Returns:
        The columns of `IDENTITY`, then step, quantity (of `NC`), value, low, high, beside (whether of test images),
        split, images, note.
    """
    parts = []
    for run, who in zip(runs, identities(runs), strict=True):
        for step in run.probes().get("neural_collapse", []):
            parts.append((read or Run.probe)(run, "neural_collapse", step).assign(step=step, **who))
    columns = [*IDENTITY, "step", "quantity", "value", "low", "high", "beside", "split", "images", "note"]
    if not parts:
        return pd.DataFrame(columns=columns)
    found = pd.concat(parts, ignore_index=True)
    beside = found["quantity"].str.endswith(TEST)
    return found.assign(beside=beside, quantity=found["quantity"].str.removesuffix(TEST))[columns]


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Blocks as places: layer is the block, depth its number, relative_depth its place from 0 to 1."""
    last = rows.groupby("run")["position"].transform("max")
    return rows.assign(
        layer=rows["block"], kind="block", depth=rows["position"],
        relative_depth=(rows["position"] - 1) / (last - 1).where(last > 1, 1),
    )  # fmt: skip
