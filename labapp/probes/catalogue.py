"""What can be measured on a run's checkpoints, on which nets, and when?

    CATALOGUE["lesions"].title            # what is stored as run.probe("lesions", step)
    why_not("growth", experiment)         # "" or one sentence

One entry registers a diagnostic and says where its function is; `labapp.probes.measure` imports that when it measures.
So the command line and the app can read this list without torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from labapp.config import FAMILIES, FOREIGN, Experiment, LabError, listed, nearest

CHEAP = ("weights",)  # weightings into which no image goes, not even by running statistics, which untrained norms lack
PLAN = 0  # the step under which tables are kept that ask for the architecture alone
WHEN = {
    "all": "every checkpoint",
    "few": "the first and the last checkpoint and at most two between",
    "ends": "the first and the last checkpoint",
    "last": "the last checkpoint",
    "plan": "the architecture alone",
}


@dataclass(frozen=True)
class ProbeSpec:
    """One table of a run's probes.

    Attributes:
        name: Of the table, and of the function that makes it.
        title: For a heading.
        question: What it answers.
        module: Where that function is, in labapp; diagnostics.NAME when left out. What it can ask for stands in
            `labapp.probes.measure.offered`.
        when: At which checkpoints it is measured unless others are asked for, see WHEN.
        images: From how many images at most; 0 for the plan.
        families: Whose nets it applies to.
        otherwise: Why it does not apply to the other families.
        cheap: For the nets of which families it, or the part of it that asks for weights alone, is made in moments:
            `labapp train` does it at every checkpoint, and the app by itself.
        page: Of the app, which shows it.
        asked: Whether that page measures it only when it is asked to; the starter measures what it shows at once.
    """

    name: str
    title: str
    question: str
    module: str = ""
    when: str = "ends"
    images: int = 0
    families: tuple[str, ...] = FAMILIES
    otherwise: str = ""
    cheap: tuple[str, ...] = ()
    page: str = ""
    asked: bool = False


_PLANNED: dict[str, Any] = {"when": "plan", "cheap": FAMILIES, "page": "Architecture"}
_FLOW: dict[str, Any] = {"page": "Gradient flow", "asked": True}
_LISTED = (
    ProbeSpec("architecture", "Architecture", "What does each layer hold, make and see?", "probes.plan", **_PLANNED),
    ProbeSpec("stages", "Stages", "What does the net hand on at each resolution?", "probes.plan", **_PLANNED),
    ProbeSpec(
        "growth",
        "Growth and compression",
        "How do the channels of a dense net grow?",
        when="plan",
        families=("dense",),
        otherwise="growth and compression are a matter of dense nets",
        cheap=FAMILIES,
        page="Architecture",
    ),
    ProbeSpec("stacks", "Stacks of 3×3", "Why small kernels in a stack and not a large one?", **_PLANNED),
    ProbeSpec("accepted_sizes", "Image sizes", "Which image sizes does the net take?", "probes.plan", **_PLANNED),
    ProbeSpec(
        "feature_reuse",
        "Feature reuse",
        "Which earlier features does a layer really use?",
        "probes.reuse",
        "ends",
        64,
        cheap=("plain", "dense", "vgg"),  # in a residual net no weight belongs to one source
        page="Feature reuse",
    ),
    ProbeSpec(
        "reuse_observations",
        "Observations",
        "Are the four observations of DenseNet's Fig. 5 seen?",
        "probes.reuse",
        "ends",
        128,
        ("dense",),
        otherwise="the four observations of DenseNet's Fig. 5 speak of layers with several sources, which "
        "only dense nets have",
        cheap=("dense",),
        page="Feature reuse",
    ),
    ProbeSpec(
        "similarity",
        "Similarity",
        "Which layers resemble each other?",
        "probes.representation",
        "few",
        512,
        page="Representation",
    ),
    ProbeSpec(
        "by_depth",
        "Dimension and separability",
        "What becomes of dimension and class?",
        "probes.representation",
        "few",
        512,
        page="Representation",
    ),
    ProbeSpec(
        "neural_collapse",
        "Neural collapse",
        "Are features one point a class?",
        "probes.representation",
        "few",
        512,
        page="Representation",
        asked=True,
    ),
    ProbeSpec(
        "shattering",
        "Shattered gradients",
        "Do the gradients of two images agree?",
        "probes.gradients",
        "ends",
        32,
        **_FLOW,
    ),
    ProbeSpec(
        "autocorrelation",
        "Gradient along a line",
        "How fast does the gradient change between images?",
        "probes.gradients",
        "ends",
        2,
        **_FLOW,
    ),
    ProbeSpec(
        "path_gradients",
        "Path lengths",
        "Through how many blocks does the gradient come?",
        "probes.gradients",
        "ends",
        16,
        ("residual",),
        otherwise="path lengths speak of sums of paths, which only residual nets have",
        **_FLOW,
    ),
    ProbeSpec(
        "loss_surface",
        "Loss surface",
        "How does the loss change around the trained weights?",
        "probes.gradients",
        "last",
        64,
        **_FLOW,
    ),
    ProbeSpec(
        "lesions",
        "Lesions",
        "How badly does the net take the loss of a block?",
        "probes.gradients",
        "last",
        256,
        page="Feature reuse",
        asked=True,
    ),
    ProbeSpec(
        "permutations",
        "Reordered blocks",
        "How badly does the net take another order of its blocks?",
        "probes.gradients",
        "last",
        256,
        ("plain", "residual", "vgg"),
        otherwise="layers of a dense net read different numbers of channels, so none can change places",
        page="Feature reuse",
        asked=True,
    ),
    ProbeSpec(
        "gradient_split",
        "Identity mappings",
        "How much of the gradient comes through the shortcuts?",
        "probes.gradients",
        "few",
        32,
        ("residual",),
        otherwise="equations (4) and (5) of He 2016 speak of residual nets with preactivation",
        **_FLOW,
    ),
    ProbeSpec(
        "singular_values",
        "Block Jacobians",
        "How near does a block's Jacobian come to losing a direction?",
        "probes.gradients",
        "ends",
        2,
        ("plain", "residual"),
        otherwise="only blocks of residual and plain nets have a square Jacobian",
        **_FLOW,
    ),
    ProbeSpec(
        "level_gradients",
        "Feature pyramid",
        "Which level sends gradient into which stage?",
        "probes.gradients",
        "ends",
        2,
        page="Architecture",
    ),
    ProbeSpec(
        "map_scores",
        "Scores of maps",
        "Do maps lie on the object, and do they depend on the weights?",
        "probes.map_scores",
        "last",
        128,
        page="Grad-CAM",
        asked=True,
    ),
    ProbeSpec(
        "spatial_order",
        "Order of positions",
        "Does it matter where things stand?",
        "probes.plan",
        "last",
        256,
        page="Architecture",
    ),
)
CATALOGUE: dict[str, ProbeSpec] = {spec.name: spec for spec in _LISTED}
IMAGES = max(spec.images for spec in _LISTED)
_AGAINST = "similarity+"


def chosen(names: Iterable[str]) -> list[str]:
    """The quantities of these names, all if there is none, in the order of the catalogue.

    Raises:
        LabError: For a name that is not known.
    """
    wanted = list(names) or list(CATALOGUE)
    for name in wanted:
        if name not in CATALOGUE:
            raise LabError(f"unknown quantity '{name}'; there are {listed(CATALOGUE)}{nearest(name, CATALOGUE)}")
    return [name for name in CATALOGUE if name in wanted]


def why_not(name: str, experiment: Experiment) -> str:
    """Why a quantity does not apply to the net of an experiment, in one sentence; "" if it does or may."""
    spec = CATALOGUE[name]
    family = experiment.family
    if family == FOREIGN:  # what it is shows when it is taken apart
        return ""
    if family not in spec.families:
        return f"{spec.otherwise}; this one is {family}"
    if name == "gradient_split" and not experiment.preactivation:
        return f"{spec.otherwise}; this one was built without"
    return ""


def is_cheap(name: str, experiment: Experiment) -> bool:
    """Whether it is made in moments for the net of an experiment; of a net of another maker it may be."""
    cheap = CATALOGUE[name].cheap
    return bool(cheap) and experiment.family in (*cheap, FOREIGN) and not why_not(name, experiment)


def shown() -> list[str]:
    """The quantities that the pages of the app show without being asked to."""
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
