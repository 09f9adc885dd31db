"""Beyond which values is something wrong, and who says so?

Each limit was fixed from theory or literature before any run was looked at. What was set by the lab's own runs says so
in its source.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Limit(NamedTuple):
    """One threshold.

    Attributes:
        value: The number.
        words: What it is of, as a sentence has it.
        source: Paper or rule of thumb, and how the number follows from it.
    """

    value: float
    words: str
    source: str


_SCALES = (
    "Schoenholz et al. 2017 (arXiv 1611.01232): nets train up to about six depth scales, over which a signal "
    "changes by a factor of e⁶ = 403"
)
_CHANCE = (
    "a net that gives each of C classes the same probability has a loss of ln C (Goodfellow, Bengio & Courville 2016, "
    "§6.2.2); twice that is worse than having learnt nothing"
)
LIMITS = {
    "vanishing": Limit(math.exp(-6), "first ÷ last layer's gradient norm", _SCALES),
    "exploding": Limit(math.exp(6), "first ÷ last layer's gradient norm", _SCALES),
    "fading": Limit(math.exp(-6), "last ÷ first layer's response", _SCALES),
    "swelling": Limit(math.exp(6), "last ÷ first layer's response", _SCALES),
    "trust": Limit(
        1.0,
        "Π(1 + ‖Δw‖/‖w‖) − 1 over layers",
        "Bernstein, Vahdat, Yue & Liu 2020 (arXiv 2002.03432), deep relative trust: it bounds by how much a step may "
        "change the gradient, as a share of it; at 1 the gradient that the step followed need not hold any longer",
    ),
    "slow": Limit(
        1e-4,
        "the median layer's update ‖Δw‖/‖w‖ at the full rate",
        "a rule of thumb around 10⁻³ a step (Karpathy, CS231n, “Ratio of weights:updates”); a tenth of it",
    ),
    "stalled": Limit(
        1.0,
        "‖∂L/∂w‖ over what weight decay pulls with, λ‖w‖",
        "Krogh & Hertz 1991: below 1 the decay, not the loss, decides where the weights go",
    ),
    "unmoved": Limit(
        2.0**-24,
        "a layer's update ‖Δw‖/‖w‖ at the full rate",
        "IEEE 754 float32: a change below half a unit in the last place, 2⁻²⁴, is lost in rounding",
    ),
    "frozen": Limit(0.0, "a layer's update ‖Δw‖/‖w‖", "exactly zero: nothing was added to the weights"),
    "dead": Limit(
        0.4,
        "share of a layer's channels that died and never came back",
        "Karpathy, CS231n: with too high a rate “as much as 40 % of your network can be dead”; Lu et al. 2019 (arXiv "
        "1903.06733)",
    ),
    "drowned": Limit(
        0.1,
        "branch ÷ shortcut, times √(number of the block)",
        "De & Smith 2020 (arXiv 2002.10444): in block number l a normalised branch is about 1/√l of its shortcut; "
        "a tenth of that",
    ),
    "drowning": Limit(
        10.0,
        "branch ÷ shortcut",
        "He et al. 2016 (arXiv 1603.05027), §3: a shortcut that keeps less than a tenth keeps a thousandth after "
        "three blocks; De & Smith 2020 (arXiv 2002.10444) expect at most about 1",
    ),
    "burst": Limit(2.0, "training loss over the larger of ln C and its first value", _CHANCE),
    "flat": Limit(0.9, "training loss at the end over the smaller of ln C and its first value", _CHANCE),
    "noise": Limit(
        0.1,
        "signal over noise of a step's own gradient, K · SNR − 1 of K micro-batches",
        "McCandlish et al. 2018 (arXiv 1812.06162), §2: at a batch of a share s of the noise scale a step gains "
        "s/(1 + s) of what the true gradient would; here an eleventh",
    ),
    "finite": Limit(0.0, "values that are NaN or infinite", "IEEE 754-2019"),
    "once": Limit(
        10.0,
        "times beyond its limit at which it counts that it was so once: too high a rate, an exploding loss",
        "one such step shut every rectifier of a net; set by the lab, on seeds 100 to 102 of `analysis.calibration`",
    ),
    "lasting": Limit(
        0.1,
        "share of the recorded steps in which it is so",
        "so that one unlucky batch is no finding; set by the lab, on seeds 0 to 2 of `analysis.calibration`",
    ),
}
