"""What can be measured on a run's checkpoints, on which nets, and when?

    CATALOGUE["lesions"].title            # the lab's own: what is stored as run.probe("lesions", step)
    spec_of("density").question           # also of a package that is installed beside the lab
    why_not("growth", experiment)         # "" or one sentence

So the command line and the app can read this list without torch. Other packages are looked for when somebody asks for
one, or for all there are: a command that knows what it wants does without.
"""

from __future__ import annotations

from collections.abc import Iterable

from labapp.config import FOREIGN, Experiment, LabError, listed, nearest
from labapp.probes.entries import LISTED
from labapp.probes.others import GROUP, Others, others
from labapp.probes.spec import ADDED, ASKED, WHEN, ProbeSpec, wrong

__all__ = [
    "ADDED",
    "ASKED",
    "CATALOGUE",
    "CHEAP",
    "GROUP",
    "IMAGES",
    "PLAN",
    "WHEN",
    "Others",
    "ProbeSpec",
    "against_name",
    "against_of",
    "chosen",
    "command",
    "every",
    "is_cheap",
    "others",
    "shown",
    "spec_of",
    "unfit",
    "why_not",
    "wrong",
]

CHEAP = ("weights",)  # weightings into which no image goes, not even by running statistics, which untrained norms lack
PLAN = 0  # the step under which tables are kept that ask for the architecture alone
CATALOGUE: dict[str, ProbeSpec] = {spec.name: spec for spec in LISTED}
IMAGES = max(spec.images for spec in LISTED)
_AGAINST = "similarity+"


def every() -> dict[str, ProbeSpec]:
    """The lab's own diagnostics, and behind them those of packages that are installed."""
    return CATALOGUE | others().specs


def spec_of(name: str) -> ProbeSpec:
    """The diagnostic of this name, the lab's own or another package's.

    Raises:
        LabError: For a name that is not known; with what is wrong with packages that offer diagnostics.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    there = every()
    if name not in there:
        ill = "".join(f"; {problem}" for problem in others().problems)
        raise LabError(f"unknown quantity '{name}'; there are {listed(there)}{nearest(name, there)}{ill}")
    return there[name]


def chosen(names: Iterable[str]) -> list[str]:
    """The quantities of these names, all if there is none, in the order of the catalogue.

    Raises:
        LabError: For a name that is not known.
    """
    wanted = list(names)
    known = {name: spec_of(name) for name in wanted}
    there = CATALOGUE if wanted and set(known) <= set(CATALOGUE) else every()
    return [name for name in there if name in known or not wanted]


def why_not(name: str, experiment: Experiment) -> str:
    """Why a quantity does not apply to the net of an experiment, in one sentence; "" if it does or may."""
    return unfit(spec_of(name), experiment)


def unfit(spec: ProbeSpec, experiment: Experiment) -> str:
    """`why_not` of a diagnostic that need not be registered."""
    family = experiment.family
    if family == FOREIGN:  # what it is shows when it is taken apart
        return ""
    if family not in spec.families:
        return f"{spec.otherwise}; this one is {family}"
    if spec.name == "gradient_split" and not experiment.preactivation:
        return f"{spec.otherwise}; this one was built without"
    return ""


def is_cheap(name: str, experiment: Experiment) -> bool:
    """Whether it is made in moments for the net of an experiment; of a net of another maker it may be."""
    cheap = spec_of(name).cheap
    return bool(cheap) and experiment.family in (*cheap, FOREIGN) and not why_not(name, experiment)


def shown() -> list[str]:
    """The lab's own quantities that the pages of the app show without being asked to."""
    return [name for name, spec in CATALOGUE.items() if spec.page and not spec.asked]


def command(names: Iterable[str], run_id: str) -> list[str]:
    """What comes after `labapp` to measure these quantities on a run."""
    return ["probe", run_id, "--quantities", *names]


def against_name(run_id: str, step: int) -> str:
    """The table of similarity with another run at a step of its own."""
    return f"{_AGAINST}{run_id}+{step}"


def against_of(name: str) -> tuple[str, int] | None:
    """The other run's id and step of such a table; None for any other."""
    run_id, _, step = name.removeprefix(_AGAINST).rpartition("+")
    return (run_id, int(step)) if name.startswith(_AGAINST) and run_id and step.isdecimal() else None
