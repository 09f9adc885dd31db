"""What is claimed of concatenation: features that are used again, fewer weights, gradient that comes directly?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

from labapp.claims.claim import Claim, Criterion, Missing, Observed, Setup, no_dearer
from labapp.claims.kept import kept
from labapp.claims.numbers import accuracy, decades, multiply_adds, parameters, probe
from labapp.config import Experiment
from labapp.store import Run

POINT = 0.01  # of accuracy
AS_DEEP = 1.25  # nets whose depths differ by less than this factor
_OBSERVED = {  # number of the observation: name, what the paper says, its number, threshold of `reuse_observations`
    1: ("layers", "All layers spread their weights over many inputs of their block.", "sources a layer uses", 0.5),
    2: ("transitions", "Transitions spread their weights over all layers of their block.", "sources they use", 0.5),
    3: ("redundant", "Layers of later blocks give the transition's output the least weight.", "layers that do", 0.75),
    4: ("final", "The classifier leans on the last feature maps.", "rank correlation with the place", 0.5),
}


def _dense(experiment: Experiment) -> str:
    return "dense" if experiment.family == "dense" else ""


@kept
def _observations(run: Run) -> dict[int, dict[str, Any]]:
    """What was observed by weights, by the number of the observation."""
    table = probe(run, "reuse_observations")
    rows: list[Any] = table[table["weighting"] == "weights"].to_dict("records")
    return {int(row["observation"]): row for row in reversed(rows)}


def _observed(number: int, setup: Setup) -> Iterable[Observed]:
    for seed, run in setup.one("dense").items():
        row = _observations(run)[number]
        half = (row["null_high"] - row["null_low"]) / 2
        apart = abs(row["number"] - row["null"]) / half if half > 0 else math.nan
        note = str(row["reason"]) or "there is no null of untrained nets"
        yield Observed("number", seed, float(row["number"]), (run.id,), note)
        yield Observed("null", seed, float(apart), (run.id,), note)


def _net(experiment: Experiment) -> str:
    known = experiment.family in ("plain", "residual", "dense")
    return f"{experiment.family}-{experiment.depth}, width {experiment.width}" if known else ""


def _family(setup: Setup, family: str) -> list[str]:
    found = [name for name in setup.sides if name.startswith(family)]
    if not found:
        raise Missing(f"{family} net")
    return found


def _efficient(setup: Setup) -> Iterable[Observed]:
    for seed, runs in setup.pairs(*no_dearer(setup, "dense", "residual", parameters, "weights")):
        one, other = runs
        ids = tuple(run.id for run in runs)
        yield Observed("accuracy", seed, accuracy(one) - accuracy(other), ids)
        yield Observed("weights", seed, math.log10(parameters(one) / parameters(other)), ids)


def _compressed(experiment: Experiment) -> str:
    if experiment.family != "dense":
        return ""
    squeezed = (experiment.compression or 1) < 1
    return {(True, True): "BC", (False, False): "basic"}.get((bool(experiment.bottleneck), squeezed), "")


def _halved(setup: Setup) -> Iterable[Observed]:
    for seed, runs in setup.pairs("BC", "basic"):
        squeezed, basic = runs
        ids = tuple(run.id for run in runs)
        yield Observed("weights", seed, parameters(squeezed) / parameters(basic), ids)
        yield Observed("cost", seed, multiply_adds(squeezed) / multiply_adds(basic), ids)


def _direct(setup: Setup) -> Iterable[Observed]:
    """The deepest dense net beside the plain net whose depth is nearest to its own."""

    def depth(name: str) -> int:
        return int(name.partition(",")[0].rpartition("-")[2])

    dense = max(_family(setup, "dense"), key=depth)
    plain = min(_family(setup, "plain"), key=lambda name: abs(depth(name) - depth(dense)))
    if not 1 / AS_DEEP < depth(plain) / depth(dense) < AS_DEEP:
        raise Missing(f"plain net about as deep as {dense}")
    for seed, runs in setup.pairs(dense, plain):
        one, other = (abs(decades(run)) for run in runs)
        yield Observed("size", seed, one, (runs[0].id,))
        yield Observed("plain", seed, one - other, tuple(run.id for run in runs))


def _observation(number: int) -> Claim:
    name, statement, says, threshold = _OBSERVED[number]
    return Claim(
        f"reuse-{name}",
        "densenet",
        "§5, Fig. 5",
        f"{statement[:-1]}, otherwise than in a net that has learnt nothing.",
        (
            Criterion(
                "number", says, threshold, True, "the lab's; the paper gives none", "" if number == 4 else "share"
            ),
            Criterion("null", "distance from untrained nets, over half of their 95 % interval", 1, True, "its end"),
        ),
        _dense,
        partial(_observed, number),
        probes=("reuse_observations",),
        sweep="parameters",
        shown="Feature reuse",
    )


CLAIMS = (
    *map(_observation, _OBSERVED),
    Claim(
        "dense-weights",
        "densenet",
        "§4.3, Fig. 4",
        "A dense net reaches the accuracy of a residual one with fewer weights.",
        (
            Criterion(
                "accuracy", "accuracy of the dense minus that of the residual net", -POINT, True, "a point", "share"
            ),
            Criterion(
                "weights", "weights of the dense over those of the residual net", 0, False, "as many", "decades", True
            ),
        ),
        _net,
        _efficient,
        compares=("family", "depth", "width"),
        probes=("architecture",),
        sweep="parameters",
        shown="Architecture",
        published="a third of the weights of a pre-activation ResNet (Fig. 4)",
    ),
    Claim(
        "dense-compressed",
        "densenet",
        "§3, §4.3",
        "Bottlenecks and compression at least halve what a dense net of one depth and growth rate costs.",
        (
            Criterion("weights", "weights with both over weights without", 0.5, False, "half", "share", True),
            Criterion("cost", "multiply-adds with both over those without", 0.5, False, "half", "share", True),
        ),
        _compressed,
        _halved,
        compares=("bottleneck", "compression", "width"),
        probes=("architecture",),
        sweep="parameters",
        shown="Architecture",
        published="L = 100, k = 12: 0.8 million weights with both, 7.0 without",
    ),
    Claim(
        "dense-gradient",
        "densenet",
        "§3, implicit deep supervision",
        "Concatenation passes gradient to the first layers directly: before training its norm there is near that of "
        "the last layers, and nearer than in a plain net.",
        (
            Criterion(
                "size", "decades between first and last convolution, dense", 1, False, "a factor of ten", "decades"
            ),
            Criterion("plain", "decades between them, dense minus plain", 0, False, "as many", "decades"),
        ),
        _net,
        _direct,
        compares=("family", "depth", "width"),
        sweep="parameters",
        shown="Gradient flow",
    ),
)
