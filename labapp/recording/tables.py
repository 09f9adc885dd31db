"""How do the sums of recorded steps become rows of tables?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from labapp.recording.board import GRADIENT, INPUT, NONFINITE, OUTPUT, PATHS, POSITIVE, SQUARE, SUM, Row, Sums

QUANTITIES = (
    *("weight_norm", "weight_grad_norm", "update_ratio", "output_mean", "output_std", "zero_fraction", "dead_channels"),
    *("output_grad_norm", "nonfinite", "branch_norm", "shortcut_norm", "branch_grad_norm", "shortcut_grad_norm"),
    *("branch_shortcut_grad_cosine", "gradient_signal_to_noise"),
)


def layer_table(landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int]) -> dict[str, Any]:
    """The `layers` table: one row a (step, layer).

    step, layer (the module's path; ``path#2`` for its second call in a forward), kind, depth, relative_depth, stage,
    block, then `QUANTITIES`, NaN where one does not apply:

    ============================  ==============================================================================
    weight_norm                   ‖w‖₂ of the layer's weights before the step
    weight_grad_norm              ‖∂L/∂w‖₂ when the backward pass has ended, before any clipping, unscaled
    update_ratio                  ‖Δw‖₂ / ‖w‖₂: what the optimizer did, over the weights before it
    output_mean, output_std       over all values of the output h of the batch (population standard deviation)
    zero_fraction                 share of h ≤ 0 at a place that feeds a rectifier or is one
    dead_channels                 channels at such a place with no h > 0 in the whole batch
    output_grad_norm              ‖∂L/∂h‖₂ over the whole batch, L the loss given to ``backward``
    nonfinite                     NaN and infinite values among h and ∂L/∂h
    branch_norm, shortcut_norm    ‖F(x)‖₂ and ‖shortcut(x)‖₂, the two summands of a residual block
    branch_grad_norm, …           norms of the two parts of ∂L/∂x, one through each path, and the cosine between
                                  them: ∂L/∂x = ∂L/∂y·(1 + ∂F/∂x) taken apart (He et al. 2016, eq. 5)
    gradient_signal_to_noise      ‖ḡ‖² over the summed variance of the micro-batches' weight gradients
    ============================  ==============================================================================
    """
    chosen = [rows[i] for i in shown]
    steps = len(landed)
    table: dict[str, Any] = {
        "step": np.repeat(np.array([s.step for s in landed], dtype=np.int64), len(chosen)),
        "layer": [row.layer for row in chosen] * steps,
        "kind": [row.kind for row in chosen] * steps,
        "depth": np.tile(np.array([row.depth for row in chosen], dtype=np.int64), steps),
        "relative_depth": np.tile(np.array([row.relative_depth for row in chosen], dtype=np.float64), steps),
        "stage": np.tile(np.array([row.stage for row in chosen], dtype=np.int64), steps),
        "block": [row.block for row in chosen] * steps,
    }
    parts = [quantities(sums, rows, shown) for sums in landed]
    table |= {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in QUANTITIES}
    return table


def quantities(sums: Sums, rows: Sequence[Row], shown: Sequence[int]) -> dict[str, np.ndarray]:
    """One step's quantities, one value a shown row."""
    table, values = sums.table, sums.values
    scale = float(sums.scale) if sums.scale is not None else 1.0
    result = {name: np.full(len(shown), np.nan) for name in QUANTITIES}
    weight_norms, updates = (t.double().cpu().numpy() for t in sums.weights) if sums.weights else (None, None)
    gradients = sums.gradients.double().cpu().numpy() / scale if sums.gradients is not None else None
    micro = sums.micro.double().cpu().numpy() / scale**2 if sums.micro is not None else None
    with np.errstate(all="ignore"):  # NaN and Inf are data
        for at, index in enumerate(shown):
            row, line = rows[index], table[index]
            one = {}
            if count := values[index, 0]:
                mean = line[OUTPUT + SUM] / count
                one["output_mean"] = mean
                one["output_std"] = np.sqrt(np.maximum(line[OUTPUT + SQUARE] / count - mean**2, 0))
                one["nonfinite"] = line[OUTPUT + NONFINITE] + line[GRADIENT + NONFINITE]
                if row.rectified:
                    one["zero_fraction"] = 1 - line[OUTPUT + POSITIVE] / count
                    if index in sums.alive:
                        one["dead_channels"] = (sums.alive[index] == 0).sum()
            if values[index, 1]:
                one["output_grad_norm"] = np.sqrt(line[GRADIENT + SQUARE]) / scale
            if index in sums.links and row.split == "branch+shortcut":
                branch, shortcut = sums.links[index]
                if branch is not None:
                    one["branch_norm"] = np.sqrt(table[branch, OUTPUT + SQUARE])
                square = line[INPUT + SQUARE] if shortcut is None else table[shortcut, OUTPUT + SQUARE]
                one["shortcut_norm"] = np.sqrt(square)
                if values[index, 1]:
                    product, branch_square, shortcut_square = line[PATHS : PATHS + 3]
                    one["branch_grad_norm"] = np.sqrt(branch_square) / scale
                    one["shortcut_grad_norm"] = np.sqrt(shortcut_square) / scale
                    one["branch_shortcut_grad_cosine"] = product / np.sqrt(branch_square * shortcut_square)
            if row.weights and weight_norms is not None and updates is not None:
                norm = np.sqrt((weight_norms[list(row.weights)] ** 2).sum())
                one["weight_norm"] = norm
                one["update_ratio"] = np.sqrt((updates[list(row.weights)] ** 2).sum()) / norm
            if row.gradients and gradients is not None:
                square = (gradients[list(row.gradients)] ** 2).sum()
                one["weight_grad_norm"] = np.sqrt(square)
                if micro is not None and sums.backwards > 1:
                    # Each micro-batch's loss is divided by their number K, so its own gradient is K times what it
                    # added.
                    k = sums.backwards
                    variance = k / (k - 1) * (k * micro[list(row.gradients)].sum() - square)
                    one["gradient_signal_to_noise"] = square / variance
            for name, value in one.items():
                result[name][at] = value
    return result


def totals_table(landed: Sequence[Sums]) -> dict[str, Any]:
    """The `totals` table: one row a recorded step.

    step; grad_norm, of the whole gradient when the backward pass has ended; grad_norm_used, as the optimizer saw it,
    NaN where nothing changed it in between (clipping does); loss_scale; skipped, 1 where the optimizer did not step.
    """

    def total(norms: Any, present: np.ndarray | None) -> float:
        return float(np.sqrt((norms.double().cpu().numpy()[present] ** 2).sum())) if norms is not None else np.nan

    scales = [float(s.scale) if s.scale is not None else 1.0 for s in landed]
    return {
        "step": np.array([s.step for s in landed], dtype=np.int64),
        "grad_norm": (np.array([total(s.gradients, s.present) for s in landed]) / scales).astype(np.float32),
        "grad_norm_used": np.array([total(s.used, s.present) for s in landed], dtype=np.float32),
        "loss_scale": np.array(scales, dtype=np.float32),
        "skipped": np.array([s.skipped for s in landed], dtype=np.int64),
    }


class Lifetimes:
    """Which channels died or came back to life, and when? Every channel counts as alive before the first record."""

    def __init__(self) -> None:
        self._before: dict[int, np.ndarray] = {}

    def table(self, landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int]) -> dict[str, Any]:
        """The `lifetimes` table: step, layer, channel, event ("died" or "revived"); empty where nothing changed."""
        found: dict[str, list] = {"step": [], "layer": [], "channel": [], "event": []}
        for sums in landed:
            for index in shown:
                now = sums.alive.get(index)
                if now is None or not rows[index].rectified:
                    continue
                before = self._before.get(index, np.ones_like(now))
                if before.shape == now.shape:
                    for channel in np.flatnonzero((before > 0) != (now > 0)):
                        found["step"].append(sums.step)
                        found["layer"].append(rows[index].layer)
                        found["channel"].append(int(channel))
                        found["event"].append("revived" if now[channel] else "died")
                self._before[index] = now
        return found if found["step"] else {}


def histogram_table(landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int]) -> dict[str, Any]:
    """The `histograms` table: step, layer, of ("output" or "gradient"), exponent, count.

    `count` values have 2^exponent ≤ |x| < 2^(exponent+1): edges that never move, so no early data is lost. Exponent
    −127 holds zero and subnormal values, 128 holds NaN and infinite ones. The gradients are those that flow: times the
    loss scale, and under DDP those of each process's own mean loss.
    """
    found: dict[str, list] = {"step": [], "layer": [], "of": [], "exponent": [], "count": []}
    for sums in landed:
        for (index, what), counts in sums.exponents.items():
            if index not in shown:
                continue
            for field in np.flatnonzero(counts):
                found["step"].append(sums.step)
                found["layer"].append(rows[index].layer)
                found["of"].append(what)
                found["exponent"].append(int(field) - 127)
                found["count"].append(int(counts[field]))
    return found if found["step"] else {}
