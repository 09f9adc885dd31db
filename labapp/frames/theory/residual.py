"""How large are gradients at the convolutions of a whole residual net, before training?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from labapp.config import LabError
from labapp.frames.theory.gains import KAPPA, Array
from labapp.frames.theory.walk import Walk

T = TypeVar("T")
FIRST_VARIANCE = 0.375  # of the first convolution's output: He's fan-out form, 3 colours, 16 channels: 27 · 2/144


def residual_profile(
    stages: Sequence[int],
    *,
    preactivation: bool = False,
    first_variance: float = FIRST_VARIANCE,
) -> Array:
    """Gradient norms at the convolutions' outputs of a CIFAR residual net with batch norm, over the last one's.

    He's initialisation, shortcut A, circular padding: zero padding takes some 30 % off the far end after 20 layers and
    more after 110, because signals at the border are smaller. Batch norm makes a branch's signal standard normal and
    independent between examples. The original form adds that to the stream, the pre-activation form what a convolution
    makes of its ReLU; `original_squares` and `preactivation_squares` say what follows. At a new stage half of the
    channels start anew from zero and a quarter of the positions is kept.

    Args:
        stages: Blocks in each stage: (3, 3, 3) is ResNet-20.
        preactivation: Which of the two forms.
        first_variance: Variance of the first convolution's output.

    Returns:
        1 + 2·blocks numbers, in the order of execution: the stem's, then two a block.
    """
    if not stages or min(stages) < 1:
        raise LabError(f"every stage needs at least one block, not {tuple(stages)}")
    blocks = _blocks(stages)
    squares = preactivation_squares(blocks) if preactivation else original_squares(blocks)
    squares[0] /= first_variance
    profile = np.sqrt(np.array(squares))
    return profile / profile[-1]


class BlockScale(NamedTuple):
    """What follows from a block's place in the net."""

    opens: bool  # a stage: half of the channels are new, a quarter of the positions stays
    entering: float  # elements of the stream before and behind, relative to the first stage
    leaving: float
    fan: float  # fan-in × Var(w) of the first convolution: 2, with half the inputs 1


def original_squares(blocks: Sequence[BlockScale]) -> list[float]:
    """Squared gradients at the convolutions' outputs where the activation follows the addition (He 2015).

    With a standard normal z from every branch, a unit of the stream does a random walk that zero reflects,
    x ← max(0, x + z): Lindley's recursion, Var(x) ≈ (1 − 2/π) l. The squared gradient at a unit is a function of where
    the walk stands, g(x) = E[1(x + z > 0) g′(x + z)] + κ E[1 g′] / Var(x): the shortcut's part, which lasts as long as
    the walk stays above zero, and the branch's. Channels that joined the stream at the same stage share a density.
    (Derived here; compare Yang & Schoenholz 2017.)
    """
    walk = Walk(len(blocks))
    ages = [(1.0, walk.start())]  # share of the channels, and where their units stand
    before = []
    for block in blocks:
        before.append(ages)
        ages = [(share, walk.step(density)) for share, density in _joined(block, ages, walk.at_zero())]
    gradient, squares = np.ones_like(walk.x), []
    for block, ages in zip(reversed(blocks), reversed(before), strict=True):
        at_sum = walk.expected(gradient)
        mean = sum(share * float(density @ at_sum) for share, density in _joined(block, ages, walk.at_zero()))
        variance = sum(share * walk.variance(density) for share, density in ages)
        branch = block.leaving * mean * KAPPA  # behind its last norm, and so at its second convolution
        squares += [branch, branch / (variance * block.fan)]
        gradient = at_sum * (0.25 if block.opens else 1.0) + branch / variance / block.entering
    active = walk.start()
    active[0] -= 0.5  # the half that the stem's ReLU set to zero passes nothing back
    return [*squares, float(active @ gradient)][::-1]


def preactivation_squares(blocks: Sequence[BlockScale]) -> list[float]:
    """Squared gradients at the convolutions' outputs where nothing follows the addition (He 2016).

    Each branch adds 1/κ = 1 − 1/π to the variance v of the stream, and what it sends back to a channel is divided by
    that channel's v: g = g′ + κ ḡ′/v, as in `preactivation_profile`. Channels that joined the stream at the same stage
    share a variance; the last norm makes the gradient at the end proportional to 1/v.
    """
    ages = [(1.0, 0.5 / KAPPA)]  # share of the channels and variance; the stem's ReLU leaves half of 1/κ
    before = []
    for block in blocks:
        before.append(ages)
        ages = [(share, v + 1 / KAPPA) for share, v in _joined(block, ages, 0.0)]
    gradient = [1 / v for _, v in ages]  # squared, at one unit of each age
    squares: list[float] = []
    for number in range(len(blocks) - 1, -1, -1):
        block = blocks[number]
        total = block.leaving * sum(share * g for (share, _), g in zip(ages, gradient, strict=True))
        squares += [total, 2 * KAPPA * total / block.fan]
        ages = before[number]
        along = [g * (0.25 if block.opens else 1.0) for g in gradient[: len(ages)]]
        # the first block reads the stem's ReLU itself: no norm to divide by the variance, no ReLU to take a half
        sent = [KAPPA * total / block.entering / v if number else 2 * KAPPA * total for _, v in ages]
        gradient = [a + b for a, b in zip(along, sent, strict=True)]
    return [*squares, gradient[0] / 2][::-1]


def _blocks(stages: Sequence[int]) -> list[BlockScale]:
    found: list[BlockScale] = []
    elements = 1.0
    for stage, count in enumerate(stages):
        for number in range(count):
            opens = stage > 0 and number == 0
            entering, elements = elements, 2.0**-stage  # twice the channels, a quarter of the positions
            found.append(BlockScale(opens, entering, elements, 1.0 if opens else 2.0))
    return found


def _joined(block: BlockScale, ages: list[tuple[float, T]], newborn: T) -> list[tuple[float, T]]:
    """The stream's channels where the block adds to them."""
    return [*((share / 2, state) for share, state in ages), (0.5, newborn)] if block.opens else ages
