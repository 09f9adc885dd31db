"""What is claimed of maps of where a net looks: do they depend on its weights, and do they lie on the object?

Selvaraju et al. 2017 (arXiv 1610.02391); Adebayo et al. 2018, *Sanity Checks for Saliency Maps* (arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from labapp.claims.claim import Claim, Criterion, Missing, Observed, Setup
from labapp.claims.kept import kept
from labapp.claims.numbers import probe
from labapp.config import Experiment
from labapp.store import Run

SANE = 0.5  # of Spearman's ρ, see `labapp.diagnostics.sanity`
GUIDED = ("guided-gradcam", "guided-backprop")


def _net(experiment: Experiment) -> str:
    return "net" if experiment.family in ("plain", "residual", "dense", "vgg") else ""


@kept
def _means(run: Run) -> dict[tuple[str, str, str], tuple[float, str]]:
    """Mean and note by measure, method and net."""
    table = probe(run, "map_scores").drop_duplicates(["measure", "method", "net"])
    keys = zip(table["measure"], table["method"], table["net"], strict=True)
    return dict(zip(keys, zip(table["mean"].astype(float), table["note"].astype(str), strict=True), strict=True))


def _scores(measure: str, which: dict[str, tuple[str, str]], setup: Setup) -> Iterable[Observed]:
    """Of each part (method, net) of a measure of `map_scores`."""
    for seed, run in setup.one("net").items():
        scores = _means(run)
        for part, (method, net) in which.items():
            if (measure, method, net) not in scores:
                raise Missing(f"{measure} of {method} in {run.id}")
            mean, note = scores[measure, method, net]
            yield Observed(part, seed, mean, (run.id,), note)


_about = partial(Claim, paper="gradcam", probes=("map_scores",), sweep="degradation", shown="Grad-CAM")
CLAIMS = (
    _about(
        "gradcam-sane",
        where="Adebayo et al. 2018, §4",
        statement="Grad-CAM's maps change when the net's weights are replaced by random ones.",
        parts=(Criterion("gradcam", "rank correlation with the trained net's maps", SANE, False, "a convention", ""),),
        side=_net,
        measure=partial(_scores, "sanity", {"gradcam": ("gradcam", "trained")}),
    ),
    _about(
        "guided-insane",
        where="Adebayo et al. 2018, §4",
        statement="Maps of guided backpropagation, and Guided Grad-CAM with them, hardly change.",
        parts=tuple(
            Criterion(method, f"rank correlation with the trained net's maps, {method}", SANE, True, "a convention", "")
            for method in GUIDED
        ),
        side=_net,
        measure=partial(_scores, "sanity", {method: (method, "trained") for method in GUIDED}),
    ),
    _about(
        "gradcam-object",
        where="§4",
        statement="Maps of a trained net lie on the object more than those of the same net before training.",
        parts=(Criterion("energy", "energy inside the mask, trained minus untrained", 0, True, "as much", "share"),),
        side=_net,
        measure=partial(_scores, "energy", {"energy": ("gradcam", "difference")}),
    ),
)
