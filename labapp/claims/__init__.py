"""Which claims of the papers hold in an archive of runs?

    for claim in chosen(paper="resnet"):
        best, *others = verdicts(claim, listing)     # one a setup: runs that differ in what is compared and the seed
        best.verdict, best.parts[0].value            # supported | contradicted | undecided | no data

A claim is written before it is measured: sides, number, threshold (`claim.py`); `judging.py` makes the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable

from labapp.claims import degradation, densenet, gradcam, representation, shortcuts, vgg
from labapp.claims.claim import PAPERS, Claim, Criterion, Missing, Observed, Setup
from labapp.claims.judging import (
    CONTRADICTED,
    NO_DATA,
    SEEDS,
    SUPPORTED,
    UNDECIDED,
    VERDICTS,
    Judged,
    Judgement,
    judge,
)
from labapp.claims.setups import verdicts
from labapp.config import LabError, listed, nearest

CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for room in (vgg, degradation, shortcuts, densenet, gradcam, representation)
    for claim in room.CLAIMS
}


def chosen(names: Iterable[str] = (), paper: str = "") -> list[Claim]:
    """The claims of these names, or all, of one paper, or all.

    Raises:
        LabError: For a name or paper that is not known.
    """
    wanted = list(names) or list(CLAIMS)
    for name in wanted:
        if name not in CLAIMS:
            raise LabError(f"unknown claim '{name}'; there are {listed(CLAIMS)}{nearest(name, CLAIMS)}")
    if paper and paper not in PAPERS:
        raise LabError(f"unknown paper '{paper}'; there are {listed(PAPERS)}{nearest(paper, PAPERS)}")
    return [claim for name, claim in CLAIMS.items() if name in wanted and paper in ("", claim.paper)]


__all__ = [
    "CLAIMS",
    "CONTRADICTED",
    "NO_DATA",
    "PAPERS",
    "SEEDS",
    "SUPPORTED",
    "UNDECIDED",
    "VERDICTS",
    "Claim",
    "Criterion",
    "Judged",
    "Judgement",
    "Missing",
    "Observed",
    "Setup",
    "chosen",
    "judge",
    "verdicts",
]  # fmt: skip
