"""How do the sums of recorded steps become rows of tables?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from labapp.recording.board import GRADIENT, INPUT, NONFINITE, OUTPUT, PATHS, POSITIVE, SQUARE, SUM, WIDTH
from labapp.recording.change import Change
from labapp.recording.row import Row
from labapp.recording.sums import Sums

FIVE = ("minimum", "lower", "median", "upper", "maximum")


def layer_table(landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int]) -> dict[str, Any]:
    """The `layers` table: one row a (step, layer).

    step, layer (the module's path; ``path#2`` for its second call in a forward), kind, depth, relative_depth, stage,
    block, then the quantities, NaN where one does not apply; what each means stands in `recording.quantities`.
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
    found = quantities(landed, rows, shown)
    return table | {name: _narrow(values).reshape(-1) for name, values in found.items()}


def _narrow(values: Any) -> np.ndarray:
    """As they are kept, in float32; what that cannot hold is infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float64).astype(np.float32)


def quantities(landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int]) -> dict[str, np.ndarray]:
    """(steps, shown rows) for each quantity, in float64."""
    chosen = [rows[i] for i in shown]
    tables = np.zeros((len(landed), len(rows), WIDTH))
    counts = np.zeros((3, len(landed), len(rows)))
    sound = np.ones((len(landed), len(rows)), dtype=bool)
    linked = np.zeros((len(landed), len(rows)), dtype=bool)
    for step, sums in enumerate(landed):  # a place may have been called for the first time since
        tables[step, : len(sums.table)] = sums.table
        for at, numbers in enumerate((sums.outputs, sums.gradients, sums.paths)):
            counts[at, step, : len(numbers)] = numbers
        sound[step, list(sums.void)] = False
        linked[step, list(sums.links)] = True
    order = list(shown)
    line = tables[:, order]  # (T, S, WIDTH)
    count, felt, split = counts[0][:, order], counts[1][:, order] > 0, counts[2][:, order] > 0
    sound, linked = sound[:, order], linked[:, order]
    scale = np.array([s.change.scale if s.change else 1.0 for s in landed])[:, None]  # (T, 1)
    heard, felt, split = count > 0, felt & sound, split & sound & linked
    rectified = np.array([row.rectified for row in chosen], dtype=bool)
    told = ~np.isnan(line[..., OUTPUT + SQUARE])  # NaN is neither above zero nor below

    def where(condition: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return np.where(condition, numbers, np.nan)

    with np.errstate(all="ignore"):  # NaN and Inf are data
        mean = line[..., OUTPUT + SUM] / count
        deviation = np.sqrt(np.maximum(line[..., OUTPUT + SQUARE] / count - mean**2, 0))
        branch_norm, shortcut_norm = _summands(landed, tables, shown)
        product, branch_square, shortcut_square = np.moveaxis(line[..., PATHS : PATHS + 3], -1, 0)
        weight_norm, change = _weights(landed, chosen)
        square, signal_to_noise = _gradients(landed, chosen)
        return {
            "weight_norm": weight_norm,
            "weight_grad_norm": np.sqrt(square),
            "update_ratio": change / weight_norm,
            "output_mean": where(heard, mean),
            "output_std": where(heard, deviation),
            "zero_fraction": where(heard & rectified & told, 1 - line[..., OUTPUT + POSITIVE] / count),
            "dead_channels": where(rectified & told, _dead(landed, shown, rectified)),
            "output_grad_norm": where(felt, np.sqrt(line[..., GRADIENT + SQUARE]) / scale),
            "nonfinite": where(heard, line[..., OUTPUT + NONFINITE] + line[..., GRADIENT + NONFINITE]),
            "branch_norm": where(linked, branch_norm),
            "shortcut_norm": where(linked, shortcut_norm),
            "branch_grad_norm": where(split, np.sqrt(branch_square) / scale),
            "shortcut_grad_norm": where(split, np.sqrt(shortcut_square) / scale),
            "branch_shortcut_grad_cosine": where(split, product / (np.sqrt(branch_square) * np.sqrt(shortcut_square))),
            "gradient_signal_to_noise": signal_to_noise,
        }


def _dead(landed: Sequence[Sums], shown: Sequence[int], rectified: np.ndarray) -> np.ndarray:
    """(T, S) channels without a positive value, NaN where they were not looked at."""
    found = np.full((len(landed), len(shown)), np.nan)
    for step, sums in enumerate(landed):
        for at in np.flatnonzero(rectified):
            alive = sums.alive.get(shown[int(at)])
            if alive is not None:
                found[step, at] = alive.numel() - int(alive.count_nonzero())
    return found


def _summands(landed: Sequence[Sums], tables: np.ndarray, shown: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(T, S) norms of the two summands of each block, read off the rows at which its paths end."""
    branches, shortcuts = (np.full((len(landed), len(shown)), np.nan) for _ in range(2))
    place = {index: at for at, index in enumerate(shown)}
    for step, sums in enumerate(landed):
        for index, (branch, shortcut) in sums.links.items():
            if index in place:
                if branch is not None:
                    branches[step, place[index]] = tables[step, branch, OUTPUT + SQUARE]
                end = (index, INPUT + SQUARE) if shortcut is None else (shortcut, OUTPUT + SQUARE)
                shortcuts[step, place[index]] = tables[step, *end]
    return np.sqrt(branches), np.sqrt(shortcuts)


def _gather(numbers: np.ndarray, positions: Sequence[tuple[int, ...]]) -> np.ndarray:
    """(T, S) sums of the columns of (T, P) at each row's positions; NaN for a row without any."""
    found = np.full((len(numbers), len(positions)), np.nan)
    for at, columns in enumerate(positions):
        if columns:
            found[:, at] = numbers[:, columns[0]] if len(columns) == 1 else numbers[:, list(columns)].sum(1)
    return found


def _positions(change: Change, chosen: Sequence[Row], which: int) -> list[tuple[int, ...]]:
    """Where the numbers of each row's weights (0) or of their gradients (1) stand; nowhere for a second call."""
    nothing: tuple[int, ...] = ()
    own = (change.of.get(row.path) if row.call == 1 else None for row in chosen)
    return [nothing if each is None else each.weights if which == 0 else each.gradients for each in own]


def _weights(landed: Sequence[Sums], chosen: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """(T, S) norms of the weights before the step, and of their change."""
    found = np.full((2, len(landed), len(chosen)), np.nan)
    for step, sums in enumerate(landed):
        if sums.change is not None:
            positions = _positions(sums.change, chosen, 0)
            for which in (0, 1):
                found[which, step] = np.sqrt(_gather(sums.change.weights[None, :, which] ** 2, positions)[0])
    return found[0], found[1]


def _gradients(landed: Sequence[Sums], chosen: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """(T, S) squared norms of the weights' gradients, and the signal-to-noise ratio of those of the micro-batches."""
    square, ratio = (np.full((len(landed), len(chosen)), np.nan) for _ in range(2))
    for step, sums in enumerate(landed):
        change = sums.change
        if change is None:
            continue
        positions = _positions(change, chosen, 1)
        square[step] = _gather((change.gradients[None] / change.scale) ** 2, positions)[0]
        if change.micro is not None and (k := change.passes) > 1:
            # Each micro-batch's loss is divided by their number K, so its own gradient is K times what it added.
            own = _gather(change.micro[None] / change.scale**2, positions)[0]
            ratio[step] = square[step] / (k / (k - 1) * (k * own - square[step]))
    return square, ratio


def totals_table(landed: Sequence[Sums]) -> dict[str, Any]:
    """The `totals` table: one row a recorded step.

    step; grad_norm, of the whole gradient when the backward pass has ended; grad_norm_used, as the optimizer saw it,
    NaN where nothing changed it in between (clipping does); loss_scale; skipped, 1 where the optimizer did not step.
    """
    found = [sums.change for sums in landed if sums.change is not None]
    return {
        "step": np.array([sums.step for sums in landed if sums.change is not None], dtype=np.int64),
        "grad_norm": _narrow([_total(c.gradients, c) / c.scale for c in found]),
        "grad_norm_used": _narrow([_total(c.used, c) / c.used_scale for c in found]),
        "loss_scale": _narrow([c.scale for c in found]),
        "skipped": np.array([c.skipped for c in found], dtype=np.int64),
    }


def _total(norms: np.ndarray | None, change: Change) -> float:
    """The norm over all parameters that have a gradient."""
    if norms is None or not change.whole:
        return np.nan
    there = norms[change.present | ~np.isnan(norms)]
    return float(np.sqrt((there**2).sum())) if len(there) else np.nan


class Lifetimes:
    """Which channels died or came back to life, and when? Every channel counts as alive before the first record.

    Attributes:
        alive: row -> (C,) bytes, which of its channels had a positive value when last recorded.
    """

    def __init__(self) -> None:
        self.alive: dict[int, np.ndarray] = {}

    def table(self, landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int]) -> dict[str, Any]:
        """The `lifetimes` table: step, layer, channel, event ("died" or "revived"); empty where nothing changed."""
        found: dict[str, list[Any]] = {"step": [], "layer": [], "channel": [], "event": []}
        for sums in landed:
            for index in shown:
                marks = sums.alive.get(index)
                if marks is None or not rows[index].rectified:
                    continue
                now = marks.numpy()
                before = self.alive.get(index, np.ones_like(now))
                if before.shape == now.shape and before.tobytes() != now.tobytes():
                    for channel in np.flatnonzero((before > 0) != (now > 0)):
                        found["step"].append(sums.step)
                        found["layer"].append(rows[index].layer)
                        found["channel"].append(int(channel))
                        found["event"].append("revived" if now[channel] else "died")
                self.alive[index] = now
        return found if found["step"] else {}


def histogram_table(landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int]) -> dict[str, Any]:
    """The `histograms` table: step, layer, of ("output" or "gradient"), exponent, count.

    `count` values have 2^exponent ≤ |x| < 2^(exponent+1): edges that never move, so no early data is lost. Exponent
    −127 holds zero and subnormal values, 128 holds NaN and infinite ones. The gradients are those that flow: times the
    loss scale, and under DDP those of each process's own mean loss.
    """
    found: dict[str, list[Any]] = {"step": [], "layer": [], "of": [], "exponent": [], "count": []}
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


def spread_table(landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int]) -> dict[str, Any]:
    """The `spreads` table: step, layer, of ("output" or "gradient"), minimum, lower, median, upper, maximum.

    Minimum and maximum are exact; the quartiles are those of a sample (see `labapp.recording.spread`). Gradients are
    divided by the loss scale.
    """
    found: dict[str, list[Any]] = {name: [] for name in ("step", "layer", "of", *FIVE)}
    for sums in landed:
        scale = sums.change.scale if sums.change is not None else 1.0
        for (index, what), sample in sums.samples.items():
            if index in shown and not (what == "gradient" and index in sums.void):
                found["step"].append(sums.step)
                found["layer"].append(rows[index].layer)
                found["of"].append(what)
                for name, value in zip(FIVE, sample.five() / (scale if what == "gradient" else 1.0), strict=True):
                    found[name].append(value)
    return found if found["step"] else {}
