"""What is claimed of the layers' representations: the same in two seeds, and repeated in very deep plain nets?

Kornblith et al. 2019 (arXiv 1905.00414), with linear CKA.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from labapp.claims.claim import Claim, Criterion, Missing, Observed, Setup
from labapp.claims.kept import kept
from labapp.claims.numbers import probe
from labapp.config import Experiment
from labapp.probes.catalogue import against_of
from labapp.store import Run

ALIKE = 0.9  # CKA from which on two layers are called alike
SHALLOW, VERY_DEEP = 20, 50  # layers


def _shallow_plain(experiment: Experiment) -> str:
    """A net like theirs: one that cannot be trained has no layers to correspond."""
    return "plain" if experiment.family == "plain" and (experiment.depth or 0) <= SHALLOW else ""


def _deep_plain(experiment: Experiment) -> str:
    return "plain" if experiment.family == "plain" and (experiment.depth or 0) >= VERY_DEEP else ""


@kept
def matched(one: Run, other: str) -> float:
    """Share of the layers of a net whose most similar layer in another one, a run's id, is the same layer.

    Kornblith et al. 2019, §6.1, Table 2.
    """
    for name, steps in one.probes().items():
        if (against_of(name) or ("",))[0] == other:
            table = probe(one, name, steps[-1]).dropna(subset="cka")
            grid = table.pivot_table(index="depth", columns="other_depth", values="cka", sort=True)
            best = grid.columns.to_numpy()[grid.to_numpy().argmax(1)]
            return float(np.mean(best == grid.index.to_numpy()))
    raise Missing(f"similarity of {one.id} with {other}; `labapp probe {one.id} --against {other}` measures it")


def _seeds(setup: Setup) -> Iterable[Observed]:
    """Seeds in pairs that share no run, so that their numbers are independent."""
    runs = sorted(setup.one("plain").items())
    if len(runs) < 2:
        raise Missing("second seed")
    found, lacking = [], None
    for (seed, one), (_, other) in zip(runs[::2], runs[1::2], strict=False):
        try:
            found.append(Observed("match", seed, matched(one, other.id), (one.id, other.id)))
        except Missing as error:
            lacking = lacking or error
    if not found and lacking:
        raise lacking
    return found


@kept
def _alike(run: Run) -> tuple[float, str]:
    """Share of the layers that resemble the last one, and why it cannot be told."""
    table = probe(run, "similarity")
    table = table[table["other_depth"] == table["depth"].max()]
    others = table[table["depth"] < table["depth"].max()]["cka"]
    return float((others.dropna() > ALIKE).mean()), "" if others.notna().any() else "no similarity could be told"


def _repeated(setup: Setup) -> Iterable[Observed]:
    for seed, run in setup.one("plain").items():
        share, note = _alike(run)
        yield Observed("share", seed, share, (run.id,), note)


CLAIMS = (
    Claim(
        "seeds-correspond",
        "similarity",
        "§6.1, Table 2",
        "Two seeds of a plain net of at most 20 layers correspond layer by layer.",
        (
            Criterion(
                "match", "layers whose most similar layer in the other net is the same one", 0.5, True, "half", "share"
            ),
        ),
        _shallow_plain,
        _seeds,
        probes=("similarity",),
        sweep="degradation",
        shown="Representation",
        published="99.3 % of the layers, ten seeds of a plain net of 10 layers",
    ),
    Claim(
        "layers-repeat",
        "similarity",
        "§6.2, Fig. 3",
        "In very deep plain nets more than half of the layers resemble the last.",
        (Criterion("share", "layers whose CKA with the last one is above 0.9", 0.5, True, "half", "share"),),
        _deep_plain,
        _repeated,
        probes=("similarity",),
        sweep="degradation",
        shown="Representation",
        published="more than half of the layers of a net eight times as deep",
    ),
)
