"""What does a paper claim, by which number is it judged, and on which runs?

A claim is a record that is written before anything is measured: who says it, the sides that it compares, the number of
each run or pair of runs, and the threshold that this number has to pass. `judging` makes a verdict of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from labapp.config import Experiment
from labapp.store import Run

PAPERS = {  # in the order of the field's history
    "vgg": ("VGG", "Simonyan & Zisserman 2014", "arXiv:1409.1556"),
    "resnet": ("ResNet", "He et al. 2015", "arXiv:1512.03385"),
    "identity": ("Identity mappings", "He et al. 2016", "arXiv:1603.05027"),
    "paths": ("Paths", "Veit et al. 2016", "arXiv:1605.06431"),
    "densenet": ("DenseNet", "Huang et al. 2017", "arXiv:1608.06993"),
    "shattering": ("Shattered gradients", "Balduzzi et al. 2017", "arXiv:1702.08591"),
    "gradcam": ("Grad-CAM", "Selvaraju et al. 2017; Adebayo et al. 2018", "arXiv:1610.02391, arXiv:1810.03292"),
    "similarity": ("Similarity", "Kornblith et al. 2019", "arXiv:1905.00414"),
}


class Missing(Exception):  # noqa: N818 - it is an answer
    """Runs that a claim needs are not there, or hold no such number: what is missing, as words after "there is no"."""


class Observed(NamedTuple):
    """One number of one run, or of runs that belong together.

    Attributes:
        part: Of which part of the claim.
        seed: Of the runs; the numbers of a part are independent over seeds.
        value: NaN where it cannot be told; note says why.
        runs: Their ids.
        note: See value.
    """

    part: str
    seed: int
    value: float
    runs: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Criterion:
    """One number that a claim is about, and what it has to pass.

    Attributes:
        name: Of the number, within its claim.
        says: What the number is, for a reader.
        threshold: Fixed before measuring.
        above: Whether the claim says that the number is above the threshold; below otherwise.
        because: Why this threshold.
        unit: "" (a plain number), "share" (0 to 1, shown in per cent), "decades" (a power of ten) or "ratio" (a
            logarithm, shown as a factor).
        exact: It follows from the architecture, so one run tells it and no interval is needed.
        resolution: The number comes in steps of this size (an accuracy of 256 images in 1/256), so that equal
            numbers of several seeds may still differ by it.
    """

    name: str
    says: str
    threshold: float
    above: bool
    because: str
    unit: str = ""
    exact: bool = False
    resolution: float = 0.0


@dataclass(frozen=True)
class Setup:
    """Runs that differ in nothing but what a claim compares and the seed.

    Attributes:
        sides: Of each side, by its name, the run of every seed.
        settings: What all of them share, in a few words: "cluttered-digits, width 8, 300 steps".
    """

    sides: Mapping[str, Mapping[int, Run]]
    settings: str = ""

    def one(self, name: str) -> Mapping[int, Run]:
        """The runs of a side by seed; raises `Missing` where there is none."""
        if not self.sides.get(name):
            raise Missing(f"{name} net")
        return self.sides[name]

    def pairs(self, *names: str) -> Iterable[tuple[int, tuple[Run, ...]]]:
        """Of every seed that all these sides have: its runs; raises `Missing` where no seed is shared."""
        sides = [self.one(name) for name in names]
        shared = sorted(set.intersection(*(set(side) for side in sides)))
        if not shared:
            raise Missing(f"seed that {' and '.join(names)} share")
        return [(seed, tuple(side[seed] for side in sides)) for seed in shared]


def no_dearer(setup: Setup, kind: str, other: str, cost: Callable[[Run], float], unit: str) -> tuple[str, str]:
    """The dearest side of a kind that another kind has something dearer than, and the cheapest of these.

    Raises:
        Missing: Where there is no such pair.
    """
    costs = {
        name: cost(next(iter(side.values()))) for name, side in setup.sides.items() if name.startswith((kind, other))
    }
    for name in sorted((name for name in costs if name.startswith(kind)), key=costs.__getitem__, reverse=True):
        dearer = [rival for rival in costs if rival.startswith(other) and costs[rival] > costs[name]]
        if dearer:
            return name, min(dearer, key=costs.__getitem__)
    raise Missing(f"{kind} net beside a {other} one of more {unit}")


@dataclass(frozen=True, repr=False)
class Claim:
    """What somebody says of nets, and how it is put to the test.

    Attributes:
        name: For the command line.
        paper: Of `PAPERS`.
        where: In the paper.
        statement: As the lab tests it, one sentence.
        parts: All have to hold.
        side: Which side of the comparison a run would be on; "" for none.
        measure: The numbers of runs that may be compared; raises `Missing`.
        compares: Settings in which the sides differ; runs that differ in others are not compared.
        probes: Quantities that `labapp probe` has to have measured.
        sweep: The file of analysis/sweeps/quick (and paper) that makes the runs.
        shown: The page of the app on which it is seen.
        published: What the paper itself reports, marked as that.
    """

    name: str
    paper: str
    where: str
    statement: str
    parts: tuple[Criterion, ...]
    side: Callable[[Experiment], str]
    measure: Callable[[Setup], Iterable[Observed]]
    compares: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    sweep: str = ""
    shown: str = ""
    published: str = ""

    def part(self, name: str) -> Criterion:
        """The part of that name."""
        return next(part for part in self.parts if part.name == name)

    def __repr__(self) -> str:
        return f"Claim({self.name}: {self.statement})"
