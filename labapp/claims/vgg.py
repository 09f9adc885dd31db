"""What is claimed of VGG: stacks of small convolutions, and three fully connected layers on top of them?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

from labapp.claims.claim import Claim, Criterion, Missing, Observed, Setup
from labapp.claims.numbers import probe
from labapp.config import Experiment
from labapp.probes.catalogue import PLAN
from labapp.store import Run

_STACKS = {"two": ("2 × 3×3", "1 × 5×5"), "three": ("3 × 3×3", "1 × 7×7")}
_HEADS = ("fc", "gap")
LEAST = 1e-9  # of a change: what float32 cannot tell from none


def _vgg(experiment: Experiment) -> str:
    return "VGG" if experiment.family == "vgg" else ""


def _fc(experiment: Experiment) -> str:
    """In the form of the paper: three layers, two of 4,096 units."""
    asked = experiment.family == "vgg" and experiment.head == "fc" and experiment.form == "imagenet"
    return "VGG with FC head" if asked else ""


def _head(experiment: Experiment) -> str:
    return str(experiment.head) if experiment.family == "vgg" else ""


def _stacks(setup: Setup) -> Iterable[Observed]:
    for seed, run in setup.one("VGG").items():
        rows: dict[str, dict[str, float]] = probe(run, "stacks", PLAN).set_index("stack").to_dict("index")  # type: ignore[assignment]
        for name, (stack, single) in _STACKS.items():
            if not {stack, single} <= set(rows):
                raise Missing(f"stack {stack} in {run.id}")
            small, large = rows[stack], rows[single]
            yield Observed(f"weights-{name}", seed, math.log10(small["weights"] / large["weights"]), (run.id,))
            yield Observed(f"rectifiers-{name}", seed, small["activations"] - large["activations"], (run.id,))


def _share(setup: Setup) -> Iterable[Observed]:
    for seed, run in setup.one("VGG with FC head").items():
        table = probe(run, "architecture", PLAN)
        linear = table.loc[table["kind"] == "linear", "parameters"].sum()
        yield Observed("share", seed, float(linear / table["parameters"].sum()), (run.id,))


def _both_heads(setup: Setup, quantity: str, step: int) -> Iterable[tuple[str, int, Run]]:
    for head in _HEADS:
        for seed, run in setup.one(head).items():
            probe(run, quantity, step)
            yield head, seed, run


def _order(setup: Setup) -> Iterable[Observed]:
    for head, seed, run in _both_heads(setup, "spatial_order", -1):
        row = probe(run, "spatial_order").iloc[0]
        value = row["decisions_changed"] if head == "fc" else math.log10(max(row["output_change"], LEAST))
        yield Observed(head, seed, float(value), (run.id,), str(row["note"]))


def _sizes(setup: Setup) -> Iterable[Observed]:
    for head, seed, run in _both_heads(setup, "accepted_sizes", PLAN):
        table = probe(run, "accepted_sizes", PLAN)
        yield Observed(head, seed, float(table.loc[table["accepted"], "positions"].nunique()), (run.id,))


_about = partial(Claim, paper="vgg", sweep="vgg", shown="Architecture")
CLAIMS = (
    _about(
        "vgg-stacks",
        where="§2.3",
        statement="A stack of 3×3 convolutions costs fewer weights than one large kernel of the same receptive field, "
        "and has more non-linearities.",
        parts=(
            Criterion("weights-two", "weights of two 3×3 over one 5×5", 0, False, "as many", "ratio", True),
            Criterion("weights-three", "weights of three 3×3 over one 7×7", 0, False, "as many", "ratio", True),
            Criterion("rectifiers-two", "rectifiers two 3×3 have more than one 5×5", 0, True, "as many", "", True),
            Criterion("rectifiers-three", "rectifiers three 3×3 have more than one 7×7", 0, True, "as many", "", True),
        ),
        side=_vgg,
        measure=_stacks,
        probes=("stacks",),
        published="81 % more weights for one 7×7 than for three 3×3",
    ),
    _about(
        "vgg-head",
        where="§2.2, Table 2",
        statement="The fully connected head holds most of a VGG's weights.",
        parts=(Criterion("share", "share of the weights in linear layers", 0.5, True, "over half", "share", True),),
        side=_fc,
        measure=_share,
        probes=("architecture",),
        published="89.4 % of VGG-16's 138 million for images of 224 pixels",
    ),
    _about(
        "vgg-order",
        where="the head, against Lin et al. 2014, §3.2",
        statement="With a fully connected head it matters where things stand in the last map; with global average "
        "pooling it does not.",
        parts=(
            Criterion(
                "fc", "decisions that change when positions are shuffled, FC head", 0.05, True,
                "one image in twenty", "share",
            ),
            Criterion(
                "gap", "change of the output when they are, global pooling", -3, False,
                "rounding of a sum in another order", "decades",
            ),
        ),
        side=_head,
        measure=_order,
        compares=("head",),
        probes=("spatial_order",),
    ),
    _about(
        "vgg-size",
        where="§3.2",
        statement="A fully connected head fixes the size of the image, up to the net's stride; global average pooling "
        "leaves it free.",
        parts=(
            Criterion("fc", "sizes of the last map that are taken, FC head", 1.5, False, "no other", "", True),
            Criterion("gap", "sizes of the last map that are taken, pooling", 1.5, True, "more than its own", "", True),
        ),
        side=_head,
        measure=_sizes,
        compares=("head",),
        probes=("accepted_sizes",),
    ),
)  # fmt: skip
