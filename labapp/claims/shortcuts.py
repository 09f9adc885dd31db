"""What is claimed of the ways that shortcuts open: identity, bracket, lesions, short paths, shattered gradients?"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd

from labapp.claims.claim import Claim, Criterion, Missing, Observed, Setup
from labapp.claims.degradation import by_depth, deepest
from labapp.claims.kept import kept
from labapp.claims.numbers import accuracy, probe
from labapp.config import Experiment
from labapp.store import Run

WORST = 0.01  # of images and blocks: where the bracket is least
IMAGE = 1 / 256  # of the images of a lesion
HARDLY, MOSTLY = 0.1, 0.5  # of what a net is better than chance


def _preactivated(experiment: Experiment) -> str:
    return "pre-activation residual" if experiment.family == "residual" and experiment.preactivation else ""


def _residual(experiment: Experiment) -> str:
    return "residual" if experiment.family == "residual" else ""


def _scaled(experiment: Experiment) -> str:
    if experiment.family != "residual":
        return ""
    return "identity" if experiment.shortcut_scale == 1 else f"× {experiment.shortcut_scale:g}"


def brackets(run: Run) -> pd.DataFrame:
    """‖∂E/∂x_l‖ / ‖∂E/∂x_L‖ of every block and image at every checkpoint that was measured.

    It is the length of what the bracket 1 + ∂ΣF/∂x_l makes of the gradient at the stage's end.

    Returns:
        step, block, example, share (of the shortcut), bracket.
    """
    steps = run.probes().get("gradient_split", [])
    if not steps:
        probe(run, "gradient_split")
    table = pd.concat([probe(run, "gradient_split", step).assign(step=step) for step in steps], ignore_index=True)
    table = table.assign(
        bracket=1 / table["shortcut_norm"].where(table["shortcut_norm"] > 0), share=table["shortcut_share"]
    )
    return table[["step", "block", "example", "share", "bracket"]].dropna()


@kept
def _of_brackets(run: Run) -> dict[str, float]:
    """The numbers of both claims about it, by their parts: the table has a row an image, block and checkpoint."""
    table = brackets(run)
    size = np.log10(table["bracket"])
    last = table["step"] == table["step"].max()
    return {
        "least": float(size[last].groupby(table.loc[last, "block"]).mean().min()),
        "share": float(table[last].groupby("block")["share"].mean().mean()),
        "examples": float(size.quantile(WORST)),
        "batch": float(size.groupby([table["step"], table["block"]]).max().min()),
    }


def _bracket(parts: tuple[str, ...], setup: Setup) -> Iterable[Observed]:
    for seed, run in setup.one("pre-activation residual").items():
        found = _of_brackets(run)
        for part in parts:
            yield Observed(part, seed, found[part], (run.id,))


def _scale(setup: Setup) -> Iterable[Observed]:
    others = sorted(name for name in setup.sides if name != "identity")
    if not others:
        raise Missing("residual net with scaled shortcuts")
    for seed, runs in setup.pairs("identity", others[0]):
        identity, scaled = (accuracy(run) for run in runs)
        yield Observed("accuracy", seed, identity - scaled, tuple(run.id for run in runs))


@kept
def lost(run: Run) -> float:
    """What the median deletion of a block costs, as a share of what the net is better than chance."""
    table = probe(run, "lesions")
    whole = float(table.loc[table["lesion"] == "none", "accuracy"].iloc[0])
    chance = float(table["chance"].iloc[0])
    deleted = table.loc[(table["lesion"] == "delete") & (table["reason"] == ""), "accuracy"]
    if whole < chance + MOSTLY * (1 - chance) or deleted.empty:
        return float("nan")
    return float((whole - deleted).median() / (whole - chance))


def _lesions(setup: Setup) -> Iterable[Observed]:
    depths = sorted({name.rpartition("-")[2] for name in setup.sides}, key=int)
    there = [depth for depth in depths if {f"plain-{depth}", f"residual-{depth}"} <= set(setup.sides)]
    for depth in reversed(there):
        found = [
            Observed(family, seed, value, (run.id,), "" if value == value else "the net is hardly better than chance")
            for family in ("plain", "residual")
            for seed, run in setup.one(f"{family}-{depth}").items()
            for value in [lost(run)]
        ]
        if all(any(one.part == family and one.value == one.value for one in found) for family in ("plain", "residual")):
            return found
    raise Missing("plain and residual net of one depth, both better than chance, with lesions")


@kept
def _length(run: Run) -> tuple[float, str]:
    """Effective over mean length of the paths, and why it cannot be told."""
    table = probe(run, "path_gradients")
    mean = float((table["length"] * table["probability"]).sum())
    return float(table["effective_length"].iloc[0]) / mean, str(table["reason"].max() or "")


def _paths(setup: Setup) -> Iterable[Observed]:
    for seed, run in setup.one("residual").items():
        value, reason = _length(run)
        yield Observed("length", seed, value, (run.id,), reason)


@kept
def cosines(run: Run) -> tuple[float, float]:
    """Between the gradients of two images before training: at the first convolution, and at the last one."""
    table = probe(run, "shattering", 0)
    known = table[table["kind"] == "conv"].sort_values("depth")["cosine"].dropna()
    if len(known) < 2:
        raise Missing(f"shattering of two layers in {run.id}")
    return float(known.iloc[0]), float(known.iloc[-1])


def _shattering(setup: Setup) -> Iterable[Observed]:
    for seed, runs in setup.pairs(*deepest(setup)):
        (plain, end), (residual, _) = (cosines(run) for run in runs)
        yield Observed("plain", seed, plain - end, (runs[0].id,))
        yield Observed("residual", seed, residual - plain, tuple(run.id for run in runs))


CLAIMS = (
    Claim(
        "shortcut-share",
        "identity",
        "§2, eq. (5)",
        "Through the shortcuts ∂E/∂x_l keeps the size of ∂E/∂x_L: it does not vanish in any block.",
        (
            Criterion(
                "least", "‖∂E/∂x_l‖ over ‖∂E/∂x_L‖ in the block where it is least", -1, True, "a tenth", "decades"
            ),
            Criterion("share", "share of ∂E/∂x_l that comes along the shortcuts", 0.1, True, "a tenth", "share"),
        ),
        _preactivated,
        partial(_bracket, ("least", "share")),
        probes=("gradient_split",),
        sweep="shortcuts",
        shown="Gradient flow",
    ),
    Claim(
        "bracket",
        "identity",
        "§2, after eq. (5)",
        "The bracket 1 + ∂ΣF/∂x_l hardly ever takes the gradient away, neither of one image nor of a whole batch.",
        (
            Criterion(
                "examples",
                "‖∂E/∂x_l‖ over ‖∂E/∂x_L‖, the least 1 % of images and blocks",
                -1,
                True,
                "a tenth",
                "decades",
            ),
            Criterion(
                "batch", "the same in the worst block, of the image that keeps most", -1, True, "a tenth", "decades"
            ),
        ),
        _preactivated,
        partial(_bracket, ("examples", "batch")),
        probes=("gradient_split",),
        sweep="shortcuts",
        shown="Gradient flow",
    ),
    Claim(
        "scaled-shortcuts",
        "identity",
        "§3.1, Table 1",
        "Identity shortcuts train to a higher accuracy than scaled ones.",
        (
            Criterion(
                "accuracy", "accuracy with identity minus that with scaled shortcuts", 0, True, "as good", "share"
            ),
        ),
        _scaled,
        _scale,
        compares=("shortcut_scale",),
        sweep="shortcuts",
        shown="Overview",
        published="CIFAR-10, test error of ResNet-110: identity 6.61 %; both paths × 0.5 12.35 %; shortcuts alone "
        "× 0.5 fail",
    ),
    Claim(
        "lesions",
        "paths",
        "§4.1, Fig. 3",
        "Deleting a block of a residual net hardly matters; deleting a layer of a plain net does.",
        (
            Criterion(
                "residual",
                "accuracy above chance lost with the median block",
                HARDLY,
                False,
                "a tenth",
                "share",
                resolution=IMAGE,
            ),
            Criterion(
                "plain",
                "accuracy above chance lost with the median layer pair",
                MOSTLY,
                True,
                "half",
                "share",
                resolution=IMAGE,
            ),
        ),
        by_depth,
        _lesions,
        compares=("family", "depth"),
        probes=("lesions",),
        sweep="degradation",
        shown="Feature reuse",
    ),
    Claim(
        "short-paths",
        "paths",
        "§4.3, Fig. 6",
        "The gradient of a residual net comes along paths that are shorter than the average path.",
        (Criterion("length", "effective length over the mean length of all paths", 1, False, "no path is preferred"),),
        _residual,
        _paths,
        probes=("path_gradients",),
        sweep="degradation",
        shown="Gradient flow",
        published="ResNet-110: paths through 5 to 17 of 54 blocks; all paths have 27 on average",
    ),
    Claim(
        "shattering",
        "shattering",
        "§2, Fig. 1",
        "Before training, gradients of different images decorrelate with depth in plain nets, and far less in residual "
        "ones.",
        (
            Criterion("plain", "cosine at the first minus that at the last convolution, plain", 0, False, "no decay"),
            Criterion("residual", "cosine at the first convolution, residual minus plain", 0, True, "as shattered"),
        ),
        by_depth,
        _shattering,
        compares=("family", "depth"),
        probes=("shattering",),
        sweep="degradation",
        shown="Gradient flow",
    ),
)
