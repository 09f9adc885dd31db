"""Which quantities have a card, and what does it say?"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from labapp.frames.method.docstrings import blocks, docstring
from labapp.probes.catalogue import CATALOGUE, WHEN, ProbeSpec, others

PARTS = {  # of a card, and what a docstring calls them
    "meaning": "Meaning",
    "formula": "Formula",
    "source": "Source",
    "batch_norm": "Batch norm",
    "sampling": "Sampling",
    "fails": "Fails",
}
RECORDED, MADE, PROBED, EXPLAINED = "Recorded while it trains", "Made of it", "Measured on checkpoints", "Of maps"
OTHERS = "Of other packages"
RECORD = "labapp train --record every"
_ROOMS = {  # module: the group of the quantities that its docstring tells of, by their names
    "recording.quantities": RECORDED,
    "training.logbook": RECORDED,
}
_OF = {  # quantity: group, module and function, of docstrings that tell of one
    "recording_cost": (RECORDED, "recording.processor", ""),
    "slope": (MADE, "frames.slopes", "gradient_slope"),
    "ratio": (MADE, "frames.gradients", "gradient_ratio"),
    "theory": (MADE, "frames.theory.__init__", ""),
    "healthy_updates": (MADE, "frames.signals", "totals"),
    "comparison": (MADE, "frames.compare.contrast", ""),
    "effective_rank": (PROBED, "diagnostics.effective_rank", "effective_rank"),
    "participation_ratio": (PROBED, "diagnostics.participation_ratio", "participation_ratio"),
    "intrinsic_dimension": (PROBED, "diagnostics.intrinsic_dimension", "intrinsic_dimension"),
    "linear_probe": (PROBED, "diagnostics.linear_probe", "linear_probe"),
    "gradcam": (EXPLAINED, "diagnostics.gradcam", ""),
    "mask_energy": (EXPLAINED, "diagnostics.mask_energy", ""),
    "pointing_game": (EXPLAINED, "diagnostics.pointing_game", ""),
    "deletion": (EXPLAINED, "diagnostics.deletion", ""),
    "infidelity": (EXPLAINED, "diagnostics.infidelity", ""),
    "sensitivity": (EXPLAINED, "diagnostics.sensitivity", ""),
    "sanity": (EXPLAINED, "diagnostics.sanity", ""),
    "map_agreement": (EXPLAINED, "diagnostics.map_agreement", ""),
    "intersection_over_union": (EXPLAINED, "diagnostics.intersection_over_union", ""),
}
_PROBES = {  # where the docstring of a probe is not diagnostics.NAME's function NAME
    "stages": ("probes.plan", "stages"),
    "map_scores": ("probes.map_scores", "map_scores"),
    "accepted_sizes": ("diagnostics.spatial_order", "accepted_sizes"),
    "reuse_observations": ("diagnostics.reuse_observations", "observations"),
    "shattering": ("diagnostics.shattering", "gradient_cosine"),
    "autocorrelation": ("diagnostics.shattering", "gradient_autocorrelation"),
    "path_gradients": ("diagnostics.path_lengths", "path_gradients"),
    "permutations": ("diagnostics.lesions", "permutations"),
    "gradient_split": ("diagnostics.identity_mapping", "gradient_split"),
    "singular_values": ("diagnostics.identity_mapping", "block_singular_values"),
}


class Card(NamedTuple):
    """What there is to know about a quantity, or about several that have one explanation.

    Attributes:
        name: For addresses: the first of names.
        names: Of the quantities, as tables and rules have them.
        group: Where it comes from.
        title: Of a probe; "" where the quantity's caption is its title.
        question: What it answers; "" where nothing says.
        meaning, formula, source, batch_norm, sampling, fails: Parts of the docstring.
        command: That measures it.
        measured: Of a probe, at which checkpoints and from how many images; "" for others.
        page: Of the app, which shows it; "" where no list says.
        package: That brings it, and its version; "" of the lab's own.
        processes: Of what is recorded, whether it is reduced over the processes of a training or local to one of them.
    """

    name: str
    names: tuple[str, ...]
    group: str
    title: str
    question: str
    meaning: str
    formula: str
    source: str
    batch_norm: str
    sampling: str
    fails: str
    command: str
    measured: str = ""
    page: str = ""
    processes: str = ""
    package: str = ""


def cards() -> dict[str, Card]:
    """All cards by their names, in the order of the page; those of other packages at its end."""
    silent = dict.fromkeys(PARTS.values(), "Its package does not say.")
    found = [
        _probed(spec, OTHERS, silent | blocks(spec.docstring).get("Method", {}))
        for name, spec in others().specs.items()
        if name not in _own()
    ]
    return _own() | {card.name: card for card in found}


@lru_cache(maxsize=1)
def _own() -> dict[str, Card]:
    """Those of the lab itself."""
    found = [
        _card(tuple(heading.split(", ")), group, parts)
        for module, group in _ROOMS.items()
        for heading, parts in blocks(docstring(module)).items()
    ]
    for name, (group, module, function) in _OF.items():
        found.append(_card((name,), group, _method(module, function), _question(module, function)))
    for name, spec in CATALOGUE.items():
        module, function = _PROBES.get(name, (f"diagnostics.{name}", name))
        found.append(_probed(spec, PROBED, _method(module, function)))
    order = [RECORDED, MADE, PROBED, EXPLAINED]
    return {card.name: card for card in sorted(found, key=lambda card: order.index(card.group))}


def _probed(spec: ProbeSpec, group: str, parts: dict[str, str]) -> Card:
    """The card of what is measured on checkpoints."""
    measured = f"At {WHEN[spec.when]}" if spec.when != "plan" else "Of the architecture alone"
    return _card((spec.name,), group, parts, spec.question)._replace(
        title=spec.title,
        command=f"labapp probe RUN --quantities {spec.name}",
        measured=measured + (f", on at most {spec.images} images" if spec.images else ""),
        page=spec.page,
        package=spec.package,
    )


def find(name: str) -> Card | None:
    """The card that tells of a quantity, by any of its names."""
    for there in (_own, cards):  # packages are looked for where none of the lab's own has the name
        found = next((card for card in there().values() if name in card.names), None)
        if found:
            return found
    return None


def _method(module: str, function: str) -> dict[str, str]:
    return blocks(docstring(module, function)).get("Method", {})


def _question(module: str, function: str) -> str:
    """The first line of the docstring, where it is a question."""
    first = next(iter(docstring(module, function).splitlines()), "")
    return first if first.endswith("?") else ""


def _card(names: Iterable[str], group: str, parts: dict[str, str], question: str = "") -> Card:
    names = tuple(names)
    words = {part: parts.get(label, "") for part, label in PARTS.items()}
    return Card(
        names[0],
        names,
        group,
        "",
        question,
        **words,
        command=parts.get("Command", RECORD),
        processes=parts.get("Processes", ""),
    )
