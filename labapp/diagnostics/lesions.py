"""How much does a net lose when one of its blocks is deleted, or two are exchanged?

    lesions(model, images, labels)                     # delete every block, swap every two neighbours
    permutations(model, images, labels, seed=0)        # reorder more and more blocks at once

Veit, Wilber, Belongie 2016, *Residual Networks Behave Like Ensembles of Relatively Shallow Networks* (arXiv
1605.06431, §4, Fig. 3 and 5): in a trained residual net hardly any deletion matters and disorder costs little by
little; in a VGG each deletion leaves chance. As in the paper, a residual block loses its branch and keeps its shortcut,
also one with a projection. A plain block or a layer of a VGG (with its norm and activation) is left out; one that
changes the shape cannot be, which is a NaN with a reason. A layer of a dense net gives zeros. Only units of the same
kind that take and make the same shape are exchanged.

The net itself is not changed: its units are run in another order (`labapp.diagnostics.measuring.chains`).

Unit: loss in nats, accuracy a share. Invariances: a residual block whose branch is zero can be deleted without effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.measuring.chains import Chain, Unit, dense_layers, taken_apart
from labapp.diagnostics.measuring.conditions import labelled_batches, require_classes, require_labelled
from labapp.diagnostics.measuring.splits import through

COLUMNS = ("lesion", "block", "other", "loss", "accuracy", "loss_change", "accuracy_change", "reason")
Step = Callable[[Tensor], Tensor]
ONE_ORDER = "so many exchanges of the only two blocks of one shape lead back to the trained order"
REDRAWS = 20  # orders drawn before it is believed that only the trained one can come out


class Site(NamedTuple):
    """A unit that can be lesioned."""

    path: str
    at: int  # number of the unit in the chain
    layer: int | None = None  # of a dense block
    shape: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())  # in and out, without the batch


def lesions(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 128,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    r"""The net whole, without each block, and with each two neighbours of the same shape exchanged.

    Args:
        model: A residual, plain, dense or VGG net, the lab's, torchvision's or timm's.
        images: (N, C, H, W), normalised.
        labels: (N,).
        batch_size: Images at a time.
        progress: Told the share that is done.

    Returns:
        One row a lesion: lesion (none, delete, swap), block (its path), other (of a swap), loss, accuracy, loss_change,
        accuracy_change, reason (why there is no number, else ""). Dense layers are deleted, not swapped.

    Method:
        Meaning: How much the net loses when a block is deleted, or two neighbours are exchanged.
        Formula: $L_{\text{without}} - L$ in nats, and the change of the accuracy; a residual block keeps its shortcut.
        Source: Veit, Wilber & Belongie 2016 (arXiv 1605.06431), §4, Fig. 3 and 5.
        Batch norm: Running statistics of the whole net, which are not made anew for the net with the lesion.
        Sampling: At most 256 test images, the same for every lesion.
        Fails: Blocks that change the shape cannot be left out of a plain net: NaN with the reason. Part of the damage
            may be that running statistics no longer fit.
    """
    images, labels = require_labelled(images, labels)
    with taken_apart(model, images) as chain, torch.no_grad():
        sites = _sites(chain, images)
        planned: list[tuple[str, str, str, list[Step] | str]] = [("none", "", "", _steps(chain.units))]
        planned += [("delete", site.path, "", _deleted(chain, site)) for site in sites]
        for site, other in pairwise(sites):
            if _alike(chain, site, other):
                planned.append(("swap", site.path, other.path, _swapped(chain, site, other)))
        rows = []
        for number, (lesion, block, other_path, steps) in enumerate(planned, start=1):
            reason = steps if isinstance(steps, str) else ""
            loss, accuracy = (
                (math.nan, math.nan) if isinstance(steps, str) else _score(steps, images, labels, batch_size)
            )
            rows.append([lesion, block, other_path, loss, accuracy, math.nan, math.nan, reason])
            if progress:
                progress(number / len(planned))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for quantity in ("loss", "accuracy"):
        table[f"{quantity}_change"] = table[quantity] - table[quantity].iloc[0]
    return table


def permutations(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    swaps: Sequence[int] = (1, 2, 4, 8, 16),
    repeats: int = 3,
    seed: int = 0,
    batch_size: int = 128,
) -> pd.DataFrame:
    r"""The net after random exchanges of blocks, by how far the order is from the trained one (Veit 2016, Fig. 5b).

    Args:
        model: A residual, plain or VGG net.
        images: (N, C, H, W), normalised.
        labels: (N,).
        swaps: Exchanges of two random blocks of one shape, one after the other.
        repeats: Random orders for each number of swaps.
        seed: Of these orders; torch's and numpy's own random numbers are not used.
        batch_size: Images at a time.

    Returns:
        swaps, repeat, kendall_tau (rank correlation of the order with the trained one: 1 unchanged, −1 reversed), loss,
        accuracy, loss_change, accuracy_change, reason (why there is no number, else ""). The first row is the net as it
        is. NaN where so many exchanges can only lead back to the trained order, which would look like a net that does
        not mind.

    Raises:
        LabError: If no two blocks of the net have the same shape.

    Method:
        Meaning: How the net takes another order of its blocks, the more of them are exchanged.
        Formula: Loss and accuracy against Kendall's $\tau$ of the order with the trained one.
        Source: Veit, Wilber & Belongie 2016 (arXiv 1605.06431), §4, Fig. 5b; Kendall 1938, *Biometrika* 30, 81.
        Batch norm: Running statistics of the trained order.
        Sampling: At most 256 test images; three random orders for each number of exchanges, of one seed.
        Fails: Only blocks of one shape change places, so a net with few of them has few orders.
    """
    images, labels = require_labelled(images, labels)
    random = np.random.default_rng(seed)
    with taken_apart(model, images) as chain, torch.no_grad():
        sites = [] if chain.family == "dense" else _sites(chain, images)
        pairs = [(a, b) for a in sites for b in sites if a.at < b.at and _alike(chain, a, b)]
        if not pairs:
            raise LabError(
                f"no two blocks of this {chain.family} net take and make the same shape, so none can be exchanged"
            )
        rows: list[list[float | str]] = [[0, 0, 1.0, *_score(_steps(chain.units), images, labels, batch_size), ""]]
        for count in swaps:
            for repeat in range(repeats):
                order = _exchanged(len(chain.units), pairs, count, random)
                tau = kendall_tau([order[site.at] for site in sites])
                if order == sorted(order):  # a single pair, exchanged an even number of times: no other order exists
                    rows.append([count, repeat, tau, math.nan, math.nan, ONE_ORDER])
                    continue
                steps = _steps([chain.units[at] for at in order])
                rows.append([count, repeat, tau, *_score(steps, images, labels, batch_size), ""])
    table = pd.DataFrame(rows, columns=["swaps", "repeat", "kendall_tau", "loss", "accuracy", "reason"])
    for quantity in ("loss", "accuracy"):
        table[f"{quantity}_change"] = table[quantity] - table[quantity].iloc[0]
    return table.astype({"swaps": int, "repeat": int})


def _exchanged(units: int, pairs: list[tuple[Site, Site]], count: int, random: np.random.Generator) -> list[int]:
    """An order after `count` random exchanges; drawn again, a few times, if they lead back to the trained order."""
    order = list(range(units))
    for _ in range(REDRAWS):
        order = list(range(units))
        pair = -1
        for _ in range(count):
            # never the same pair twice in a row, which would undo the exchange
            choices = [number for number in range(len(pairs)) if number != pair or len(pairs) == 1]
            pair = int(random.choice(choices))
            a, b = pairs[pair]
            order[a.at], order[b.at] = order[b.at], order[a.at]
        if order != sorted(order):
            break
    return order


def kendall_tau(order: Sequence[int]) -> float:
    """Share of pairs in order minus share of pairs out of order (Kendall 1938); NaN for fewer than two."""
    if len(order) < 2:
        return math.nan
    # without ties all variants are equal; only this one is exactly 1 for the trained order, whatever its length
    return float(stats.kendalltau(range(len(order)), order, variant="c").statistic)


def _sites(chain: Chain, images: Tensor) -> list[Site]:
    """The units that can be lesioned, with the shapes that they take and make."""
    x = images[:2]
    found = []
    for at, unit in enumerate(chain.units):
        after = unit.run(x)
        if at in chain.blocks and unit.kind != "dense":
            found.append(Site(unit.path, at, None, (tuple(x.shape[1:]), tuple(after.shape[1:]))))
        elif at in chain.blocks:
            names = [name for name, _ in unit.modules[0].named_children()]
            layers = range(len(dense_layers(unit.modules[0])))
            found += [Site(f"{unit.path}.{names[layer]}", at, layer) for layer in layers]
        x = after
    if not found:
        raise LabError("this net has no blocks or layers that could be lesioned")
    return found


def _alike(chain: Chain, site: Site, other: Site) -> bool:
    """Whether two units can change places: same kind, and one shape in and out."""
    units = chain.units[site.at], chain.units[other.at]
    return (
        site.layer is None
        and site.shape == other.shape
        and site.shape[0] == site.shape[1]
        and {type(module) for module in units[0].modules} == {type(module) for module in units[1].modules}
    )


def _steps(units: Sequence[Unit]) -> list[Step]:
    return [unit.run for unit in units]


def _deleted(chain: Chain, site: Site) -> list[Step] | str:
    """The net without a unit, or why it cannot be left out."""
    unit = chain.units[site.at]
    steps = _steps(chain.units)
    if site.layer is not None:
        steps[site.at] = lambda x: _dense_without(unit.modules[0], site.layer, x)
    elif unit.parts:
        parts = unit.parts
        steps[site.at] = lambda x: parts.join(through(parts.shared, x))
    elif site.shape[0] == site.shape[1]:
        del steps[site.at]
    else:
        taken, made = ("×".join(map(str, shape)) for shape in site.shape)
        return f"it makes {made} of {taken}, so it cannot be left out"
    return steps


def _dense_without(block: nn.Module, missing: int | None, x: Tensor) -> Tensor:
    features = [x]
    for number, layer in enumerate(dense_layers(block)):
        made = layer(features)
        features.append(torch.zeros_like(made) if number == missing else made)
    return torch.cat(features, 1)


def _swapped(chain: Chain, site: Site, other: Site) -> list[Step]:
    units = list(chain.units)
    units[site.at], units[other.at] = units[other.at], units[site.at]
    return _steps(units)


def _score(steps: list[Step], images: Tensor, labels: Tensor, batch_size: int) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    loss = right = 0.0
    for x, y in labelled_batches(images, labels, batch_size):
        for step in steps:
            x = step(x)
        require_classes(x, y)
        loss += F.cross_entropy(x.double(), y, reduction="sum").item()
        right += (x.argmax(1) == y).sum().item()
    return loss / len(images), right / len(images)
