"""What does a run's record hold that a diagnosis can go by?

Read once, as numbers; what is not there is empty or NaN, and each rule says so of what it needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labapp.frames.channels import read_dead_spans
from labapp.frames.divergence import evidence
from labapp.frames.expected import expected, unexpected
from labapp.frames.gradients import layer_panels
from labapp.frames.grids import Grid, all_rows, read_grid
from labapp.frames.slopes import gradient_slope, on_shortcut
from labapp.store import Run

QUANTITIES = (
    *("update_ratio", "weight_norm", "weight_grad_norm", "output_std", "zero_fraction", "dead_channels"),
    *("output_grad_norm", "nonfinite", "branch_norm", "shortcut_norm", "branch_grad_norm", "shortcut_grad_norm"),
    "gradient_signal_to_noise",
)
STRETCH = 5  # steps over which a loss is taken together: its median, which one batch does not move
Numbers = NDArray[np.float64]
_PROFILE = ["step", "ratio", "low", "high", "layer", "layer_low", "layer_high", "layers", "zeros"]


@dataclass(frozen=True)
class Material:
    """A run, and what rules ask of it more than once."""

    run: Run

    @cached_property
    def grid(self) -> Grid:
        """All layers at all recorded steps."""
        return read_grid(self.run, QUANTITIES)

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """Recorded ones, ascending."""
        return self.grid.steps

    @cached_property
    def written(self) -> pd.DataFrame:
        """step, loss, learning_rate: one row a step, the last one written of it."""
        table = self.run.steps(columns=["step", "loss", "learning_rate"]).drop_duplicates("step", keep="last")
        return table.sort_values("step", ignore_index=True).astype({"loss": float, "learning_rate": float})

    @cached_property
    def losses(self) -> pd.DataFrame:
        """Step and loss, the finite ones, each the median of it and those before it (STRETCH)."""
        table = self.written[np.isfinite(self.written["loss"])][["step", "loss"]].reset_index(drop=True)
        return table.assign(loss=table["loss"].rolling(STRETCH, min_periods=1).median())

    @cached_property
    def rate(self) -> Numbers:
        """Share of the full learning rate in force at each recorded step; NaN where it was not written down."""
        rates = self.written.set_index("step")["learning_rate"] / self.run.experiment.learning_rate
        return rates.reindex(self.steps).to_numpy(float)

    @cached_property
    def full_rate(self) -> Numbers:
        """The same, 1 where it was not written down: to divide by."""
        return np.where(np.isnan(self.rate), 1.0, self.rate)

    @property
    def own_loop(self) -> bool:
        """Whether loss and settings are those of the experiment: in the lab's own loop, which writes its rate down."""
        return "loop" not in self.run.environment and bool(np.isfinite(self.written["learning_rate"]).any())

    @cached_property
    def classes(self) -> int:
        """Outputs of the last linear layer, 0 where there is none."""
        last = [info for info in self.run.layers_info if info.get("kind") == "linear" and info.get("shape")]
        return int(last[-1]["shape"][0]) if last else 0

    @property
    def chance(self) -> float:
        """The loss of a net that knows nothing, ln C; NaN where it is not known of how many classes."""
        return math.log(self.classes) if self.classes > 1 and self.own_loop else math.nan

    @cached_property
    def deep(self) -> NDArray[np.bool_]:
        """Which layers of the grid have weights and a direction: convolutions and linear layers."""
        return self.grid.layers["kind"].isin(["conv", "linear"]).to_numpy(bool)

    def profile(self, quantity: str) -> pd.DataFrame:
        """How much larger a quantity of convolutions is at the first than at the last one, by the fit over all.

        Returns:
            step, ratio, low, high, layer, layer_low, layer_high (the same from one layer to the next), layers, zeros
            (layers without any, while the last one has some).
        """
        kind = "conv" if (self.grid.layers["kind"] == "conv").any() else "linear"
        panel = layer_panels([self.run], quantity, [kind], read=lambda *_: self.grid)[0]
        table = all_rows([panel])
        table = table[~on_shortcut(table["layer"])] if len(table) else table
        if table.empty:
            return pd.DataFrame(columns=_PROFILE)
        span = float(table["depth"].max() - table["depth"].min())
        slopes = gradient_slope(table)
        last = table[table["depth"] == table["depth"].max()].groupby("step")["value"].max()
        zeros = (table["value"] == 0).groupby(table["step"]).sum()
        fitted = slopes[["slope", "high", "low"]].to_numpy(float)  # a rising slope is a shrinking ratio
        alive = slopes["step"].map(last).to_numpy(float) > 0
        with np.errstate(over="ignore"):  # the interval of a few layers that have little in common may be endless
            whole, layer = 10 ** (-span * fitted), 10**-fitted
        return pd.DataFrame(
            {
                "step": slopes["step"],
                **dict(zip(_PROFILE[1:4], whole.T, strict=True)),
                **dict(zip(_PROFILE[4:7], layer.T, strict=True)),
                "layers": slopes["layers"],
                "zeros": np.where(alive, slopes["step"].map(zeros), 0).astype(int),
            }
        )

    @cached_property
    def theory(self) -> pd.DataFrame:
        """What theory expects of the layers at step 0, see `expected`; empty where it has nothing to say."""
        return expected([self.run])

    @cached_property
    def silence(self) -> str:
        """Why theory has nothing to say; "" where it has."""
        return next(iter(unexpected([self.run]).values()), "")

    @cached_property
    def dead(self) -> pd.DataFrame:
        """Every time in which a channel was dead, see `read_dead_spans`."""
        return read_dead_spans(self.run)

    @cached_property
    def ill(self) -> dict[str, Any]:
        """Where values that are not finite began, see `evidence`; empty where all are."""
        return evidence(self.run)
