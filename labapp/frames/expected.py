"""What does theory expect of each layer before training, to be drawn beside what was measured?

Theory speaks of step 0 alone. It follows each run's own net: family, channels, normalisation, activation,
initialisation, padding and batch; see `frames.theory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from labapp.config import Experiment, LabError
from labapp.frames import theory
from labapp.frames.grids import LAYER
from labapp.frames.runs import IDENTITY, identities
from labapp.frames.signals import response_kind
from labapp.frames.thinning import joined
from labapp.store import Run

EXPECTED = ("output_grad_norm", "output_std", "zero_fraction", "forward_ratio", "backward_ratio")
LARGEST = 1024  # pixels a side that theory follows; nets of the CIFAR form see far fewer
_PLACE = [name for name in LAYER if name != "step"]


def expected(runs: Sequence[Run]) -> pd.DataFrame:
    """What theory says of the layers of each run at step 0; nothing of runs that `unexpected` names.

    Returns:
        The columns of `IDENTITY`, then layer, kind, depth, relative_depth, stage, block, quantity (of `EXPECTED`) and
        value. Of output_grad_norm only the ratios between layers of a run mean something. Shortcuts are left out.
    """
    parts = []
    for run, who in zip(runs, identities(runs), strict=True):
        if not _reason(run):
            parts.append(_of(run).assign(**who))
    return joined(parts, [*IDENTITY, *_PLACE, "quantity", "value"])


def unexpected(runs: Sequence[Run]) -> dict[str, str]:
    """Runs about which theory has nothing to say, each with the reason, which ends a sentence."""
    reasons = {str(who["run"]): _reason(run) for run, who in zip(runs, identities(runs), strict=True)}
    return {run: reason for run, reason in reasons.items() if reason}


def expected_gradient(profile: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The gradient that theory expects at the layers of a profile, counted from the last one's measured value.

    Args:
        profile: From `gradient_profile`; runs that do not stand at step 0 are left out.
        table: From `expected`.

    Returns:
        The columns of `table`, with value in the unit of the profile.
    """
    rows = table[table["quantity"] == "output_grad_norm"]
    measured = profile.loc[profile["step"] == 0, ["run", "layer", "value"]]
    rows = rows.merge(measured.rename(columns={"value": "measured"}), on=["run", "layer"])
    parts = []
    for _, own in rows.groupby("run", sort=False):
        last = own.sort_values("depth", kind="stable").tail(1)
        unit = float(last["measured"].iloc[0]) / float(last["value"].iloc[0])
        if np.isfinite(unit) and unit > 0:
            parts.append(own.assign(value=own["value"] * unit))
    return joined(parts, list(table.columns))


def _of(run: Run) -> pd.DataFrame:
    states = _states(*_given(run))
    at = response_kind(run)
    rows = []
    for info in run.layers_info:
        state = states.get(info["path"])
        if state is None or ".shortcut" in info["path"]:
            continue
        place = [info["path"], *(info.get(name) for name in _PLACE[1:])]
        known = {
            "output_grad_norm": state.gradient,
            "output_std": state.output_std if state.kind == at else np.nan,
            "zero_fraction": state.zero_fraction,
            "forward_ratio": state.forward_ratio,
            "backward_ratio": state.backward_ratio,
        }
        rows += [(*place, quantity, value) for quantity, value in known.items() if np.isfinite(value)]
    return pd.DataFrame(rows, columns=[*_PLACE, "quantity", "value"])


def _reason(run: Run) -> str:
    reason = theory.unknown(run.experiment)
    if reason:
        return reason
    first = _first(run)
    if first is None:
        return "it needs the size of the first layer, which this run has not recorded"
    try:
        states = _states(*_given(run))
    except LabError as error:
        return str(error)
    if not any(info["path"] in states for info in run.layers_info):
        return "its layers are not called as the lab's nets call them, so none can be told"
    return ""


def _first(run: Run) -> dict[str, Any] | None:
    """The net's first convolution, as it was recorded."""
    convolutions = (info for info in run.layers_info if info.get("kind") == "conv" and info.get("shape"))
    first = next(convolutions, None)
    if first is None or len(first["shape"]) != 3 or not first.get("parameters") or not 0 < first["shape"][1] <= LARGEST:
        return None
    return first


def _given(run: Run) -> tuple[Experiment, int, int, int]:
    """What a prediction depends on: the net, the images' size and channels, and how many are in a forward pass."""
    what, first = run.experiment, _first(run) or {}
    outputs, size, _ = first["shape"]  # no net of the CIFAR form halves the image in its first layer
    biased = what.norm == "none" or what.family == "vgg"
    channels = max(1, round((first["parameters"] - biased * outputs) / (9 * outputs)))
    batch = min(what.batch_size, what.train_images or what.batch_size) // what.accumulate
    batch //= 1 if what.sync_batchnorm else what.devices * what.num_nodes
    return what, size, channels, batch


def _states(experiment: Experiment, size: int, channels: int, batch: int) -> dict[str, theory.LayerState]:
    return _cached(Experiment(**experiment.net_options()), size, channels, batch)


@lru_cache(maxsize=64)
def _cached(net: Experiment, size: int, channels: int, batch: int) -> dict[str, theory.LayerState]:
    return theory.initial_state(net, size, channels, batch)
