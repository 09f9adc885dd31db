"""What is claimed of deep plain nets and of the shortcuts that cure them: training error, gradients, responses?

He et al. 2015 (arXiv 1512.03385). They say that with batch norm vanishing gradients are *not* the cause; lectures say
that they are. So the question is asked for each normalisation and initialisation, before training and after.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

from labapp.claims.claim import Claim, Criterion, Missing, Observed, Setup, no_dearer
from labapp.claims.numbers import LAST, accuracy, decades, multiply_adds, response, training_error
from labapp.config import Experiment
from labapp.store import Run

DEEPER = 1.5  # times as many layers, for two nets to be called a shallow and a deep one
DEEP = 50  # layers, from which on a plain net is called deep
POINT = 0.01  # a point of error: what is not to be told from no change
STARTS = (("batch", "he"), ("none", "he"), ("none", "default"), ("none", "glorot"))
_WORDS = {"batch": "with batch norm", "none": "without normalisation"}
_INITS = {
    "he": "He's initialisation",
    "default": "PyTorch's default initialisation",
    "glorot": "Glorot's initialisation",
}


def by_depth(experiment: Experiment) -> str:
    """plain-56, residual-20: the side of nets that may be compared over depth."""
    return f"{experiment.family}-{experiment.depth}" if experiment.family in ("plain", "residual") else ""


def _family(setup: Setup, family: str) -> tuple[str, str]:
    """The shallowest and the deepest side of a family."""
    depths = sorted(int(name.rpartition("-")[2]) for name in setup.sides if name.startswith(f"{family}-"))
    if not depths or depths[-1] < DEEPER * depths[0]:
        raise Missing(f"{family} net that is {DEEPER:g} times as deep as another one")
    return f"{family}-{depths[0]}", f"{family}-{depths[-1]}"


def deepest(setup: Setup) -> tuple[str, str]:
    """The plain and the residual side of the greatest depth that both have."""
    depths = [
        {int(name.rpartition("-")[2]) for name in setup.sides if name.startswith(f"{family}-")}
        for family in ("plain", "residual")
    ]
    if not depths[0] & depths[1]:
        raise Missing("plain and residual net of one depth")
    depth = max(depths[0] & depths[1])
    return f"plain-{depth}", f"residual-{depth}"


def _ids(runs: Iterable[Run]) -> tuple[str, ...]:
    return tuple(run.id for run in runs)


def _degradation(setup: Setup) -> Iterable[Observed]:
    for family in ("plain", "residual"):
        for seed, runs in setup.pairs(*_family(setup, family)):
            shallow, deep = (training_error(run) for run in runs)
            yield Observed(family, seed, deep - shallow, _ids(runs))


def _start(norm: str, init: str, experiment: Experiment) -> str:
    asked = experiment.family == "plain" and (experiment.norm, experiment.init) == (norm, init)
    return "plain" if asked and (experiment.depth or 0) >= DEEP else ""


def _vanishing(step: int, setup: Setup) -> Iterable[Observed]:
    for seed, run in setup.one("plain").items():
        value = decades(run, step)
        yield Observed("decades", seed, value, (run.id,), "a gradient is not finite" if value != value else "")


def _responses(setup: Setup) -> Iterable[Observed]:
    for seed, runs in setup.pairs(*deepest(setup)):
        plain, residual = (response(run) for run in runs)
        yield Observed("residual", seed, residual - plain, _ids(runs))
    for seed, runs in setup.pairs(*_family(setup, "residual")):
        shallow, deep = (response(run) for run in runs)
        yield Observed("deeper", seed, deep - shallow, _ids(runs))


def _block(experiment: Experiment) -> str:
    if experiment.family != "residual":
        return ""
    return f"{experiment.block}-{experiment.depth}, width {experiment.width}"


def _bottleneck(setup: Setup) -> Iterable[Observed]:
    for seed, runs in setup.pairs(*no_dearer(setup, "bottleneck", "basic", multiply_adds, "multiply-adds")):
        narrow, basic = runs
        yield Observed("accuracy", seed, accuracy(narrow) - accuracy(basic), _ids(runs))
        yield Observed("cost", seed, math.log10(multiply_adds(narrow) / multiply_adds(basic)), _ids(runs))


_about = partial(Claim, paper="resnet")


def _vanish(norm: str, init: str, step: int) -> Claim:
    when = "before training" if step == 0 else "after training"
    return _about(
        f"vanishing-{norm}-{init}-{'start' if step == 0 else 'end'}",
        where="§1 and §4.1, as lectures tell it",
        statement=f"In a deep plain net {_WORDS[norm]}, from {_INITS[init]}, gradients vanish towards the input, "
        f"{when}.",
        parts=(
            Criterion(
                "decades", "gradient's norm at the first convolution over that at the last", -1, False,
                "a tenth, or less, reaches the first layer", "decades",
            ),
        ),
        side=partial(_start, norm, init),
        measure=partial(_vanishing, step),
        sweep="vanishing",
        shown="Gradient flow",
        published="He et al. find healthy norms with batch norm" if norm == "batch" else "",
    )  # fmt: skip


CLAIMS = (
    _about(
        "degradation",
        where="§1, Fig. 1 and 6",
        statement="A deeper plain net has a higher training error than a shallower one; a deeper residual net has not.",
        parts=(
            Criterion("plain", "training error that the deeper plain net has more", 0, True, "no difference", "share"),
            Criterion(
                "residual", "training error that the deeper residual net has more", POINT, False, "a point", "share"
            ),
        ),
        side=by_depth,
        measure=_degradation,
        compares=("family", "depth"),
        sweep="degradation",
        shown="Overview",
        published="CIFAR-10, test error: ResNet-20 8.75 %, ResNet-110 6.43 %; plain-110 above 60 %",
    ),
    *(_vanish(norm, init, step) for norm, init in STARTS for step in (0, LAST)),
    _about(
        "responses",
        where="§4.2, Fig. 7",
        statement="Layers of a residual net respond less than those of a plain one, and less the deeper the net is.",
        parts=(
            Criterion("residual", "response of the median layer, residual over plain", 0, False, "as large", "decades"),
            Criterion("deeper", "response of the median layer, deeper over shallower", 0, False, "as large", "decades"),
        ),
        side=by_depth,
        measure=_responses,
        compares=("family", "depth"),
        sweep="degradation",
        shown="Signals",
    ),
    _about(
        "bottleneck",
        where="§4.1, Fig. 5",
        statement="Bottleneck blocks reach the accuracy of basic ones for fewer multiply-adds.",
        parts=(
            Criterion(
                "accuracy", "accuracy of bottlenecks minus that of basic blocks", -POINT, True, "a point less", "share"
            ),
            Criterion(
                "cost", "multiply-adds of bottlenecks over those of basic blocks", 0, False, "equal", "decades", True
            ),
        ),
        side=_block,
        measure=_bottleneck,
        compares=("block", "depth", "width", "shortcut"),
        probes=("architecture",),
        sweep="bottleneck",
        shown="Architecture",
        published="ImageNet, top-1 error: ResNet-34 25.03 %, ResNet-50 22.85 %, for about the same multiply-adds",
    ),
)
