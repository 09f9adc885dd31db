"""What will be recorded of this net, what cannot be, and why?"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from labapp.config import cards
from labapp.recording.board import WIDTH
from labapp.recording.step import Step

SHOWN = 4  # names, or patterns of names, of each finding


@dataclass(frozen=True)
class Finding:
    """Something about a net that decides what can be recorded.

    Attributes:
        what: in a word or two, such as "in place" or "never called".
        layers: the paths it concerns; of what has no row, the names of parameters.
        consequence: what it means for the record.
    """

    what: str
    layers: tuple[str, ...]
    consequence: str

    @property
    def where(self) -> str:
        """The names, those that differ in numbers alone as one: "relu, layer*.*.relu (8) and 3 more"."""
        names: Iterable[str] = self.layers
        if self.what == "no row":  # names of parameters: those of one module stand together
            modules: dict[str, list[str]] = {}
            for name in names:
                path, _, parameter = name.rpartition(".")
                modules.setdefault(path, []).append(parameter)
            names = [f"{path}.{'/'.join(own)}".lstrip(".") for path, own in modules.items()]
        alike: dict[
            str, list[list[str]]
        ] = {}  # name with its numbers cut out -> the name in pieces, numbers at odd places
        for name in names:
            pieces = re.split(r"(\d+)", name)
            alike.setdefault("*".join(pieces[::2]), []).append(pieces)
        patterns = [
            "".join(column[0] if len(set(column)) == 1 else "*" for column in zip(*group, strict=True))
            + (f" ({len(group)})" if len(group) > 1 else "")
            for group in alike.values()
        ]
        hidden = sum(len(group) for group in list(alike.values())[SHOWN:])
        return ", ".join(patterns[:SHOWN]) + (f" and {hidden} more" if hidden else "")


@dataclass(frozen=True, repr=False)
class Report:
    """What a recorder finds in a net.

    Attributes:
        layers: the places that are recorded, as in run.json.
        findings: what is special about the net; empty where nothing is.
        memory: bytes that recording holds while it goes on: the buffers, and one copy of the weights.
    """

    layers: tuple[dict[str, Any], ...]
    findings: tuple[Finding, ...]
    memory: int

    @property
    def kinds(self) -> dict[str, int]:
        """How many places of each kind."""
        found: dict[str, int] = {}
        for layer in self.layers:
            found[layer["kind"]] = found.get(layer["kind"], 0) + 1
        return found

    @property
    def places(self) -> str:
        """How many places of each kind, in words: "conv 9, norm 9, linear 1"."""
        return ", ".join(f"{kind} {count}" for kind, count in self.kinds.items()) or "none"

    def __repr__(self) -> str:
        found = "".join(f"; {each.what}: {each.where}" for each in self.findings)
        return f"Report({len(self.layers)} places: {self.places}{found})"

    def _repr_html_(self) -> str:
        return cards.card(f"{len(self.layers)} places are recorded", self.parts)

    @property
    def parts(self) -> list[str]:
        """What a notebook shows of it."""
        held = f"{self.memory / 2**20:.1f} MiB, for the buffers and one copy of the weights"
        split = sum(layer.get("split") == "branch+shortcut" for layer in self.layers)
        blocks = self.kinds.get("block", 0)
        apart = f"{split} of {blocks} blocks into branch and shortcut" if blocks else ""
        told = cards.facts({"kinds": self.places, "taken apart": apart, "memory": held})
        rows = [(each.what, each.where, each.consequence) for each in self.findings]
        return [told, cards.grid(["what", "where", "so"], rows) if rows else cards.note("nothing stands in the way")]


def uncovered(step: Step) -> dict[str, list[str]]:
    """The names of all parameters that no row shows, by reason; complete after the first recorded step."""
    left_out = step.weights.left_out
    found: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        found.setdefault(reason, []).append(name)
    if not step.listener.shown:
        return found
    shown = {row.path for row in step.shown_rows()}
    owners = {id(p): spot.path for spot in step.spots if spot.kind != "block" for p in _own(spot.module)}
    covered = {id(p) for spot in step.spots if spot.path in shown for p in _own(spot.module)}
    for name, parameter in step.model.named_parameters():
        if id(parameter) in covered or name in left_out:
            continue
        owner = owners.get(id(parameter))
        if owner is not None and owner in step.listener.study.idle:
            reason = "a norm that feeds no activation and ends no branch, which only layers='norm' shows"
        elif owner is not None and owner not in step.chosen:
            reason = "not among the layers asked for"
        else:
            reason = "its module gave no output and holds no weight"
        found.setdefault(reason, []).append(name)
    return found


def _own(module: Any) -> list[Any]:
    made = getattr(module, "parametrizations", None)
    return [*module.parameters(recurse=False), *(made.parameters() if made is not None else ())]


def look(step: Step) -> Report:
    """Reads the report off a recorder's parts, after its first recorded step."""
    listener, rows = step.listener, step.shown_rows()
    chosen = {spot.path: spot.module for spot in step.spots if spot.path in step.chosen}
    heard = [row for row in listener.rows if row.heard]
    seen = {row.path for row in heard}
    in_place = [path for path, module in step.model.named_modules() if getattr(module, "inplace", False)]
    frozen = [
        path
        for path, module in chosen.items()
        if any(True for _ in module.parameters()) and not any(p.requires_grad for p in module.parameters())
    ]
    silent = [] if step.compiled else step.silent()
    functional = [] if step.compiled else [path for path in chosen if path not in seen and path not in silent]
    unfelt = [row.path for row in rows if row.heard and row.path not in listener.felt and row.path not in frozen]
    computed = [spot.path for spot in step.spots if step.weights.is_computed(spot.path)]
    found = [
        ("compiled", list(chosen) if step.compiled else [], "no hook fires: only weights, their gradients and updates"),
        ("in place", in_place, "harmless: an output is read before it is overwritten, its gradient is that of before"),
        (
            "called several times",
            [row.path for row in heard if row.call == 2],
            "a row for each call in a forward, named path#2 and so on",
        ),
        ("never called", silent, "unused, or used without calling the module: at most its weights are recorded"),
        ("used without a call", functional, "inside attention or a compiled part: its weights are recorded"),
        ("compiled part", sorted(listener.study.closed), "left whole: its output is recorded where it can be seen"),
        ("no gradient came", unfelt, "the output took no part in a loss, so output_grad_norm is missing"),
        ("checkpointed", sorted(listener.calls.checkpointed), "run twice, recorded once"),
        (
            "checkpoint not matched",
            sorted(listener.calls.unmatched),
            "which of its calls was run anew cannot be told, so their outputs are missing",
        ),
        ("input by keyword", sorted(listener.blocks.keyword_only), "harmless: found among the keyword arguments"),
        ("frozen", frozen, "no weight gradient; an output gradient only where one passes through"),
        (
            "computed weight",
            computed,
            "weight_norm and update_ratio are of the weight in use, weight_grad_norm of what it is computed from",
        ),
        (
            "sum of paths",
            [row.path for row in rows if row.split == "sum"],
            "branch and shortcut of the block cannot be told apart, so their quantities are missing",
        ),
        ("hook failed", list(step.faults), "the step has no record"),
    ]
    found += [("no row", names, reason) for reason, names in uncovered(step).items()]
    buffers = sum(board.rows for board in listener.passes.boards) or 64
    return Report(
        layers=tuple({"index": at, **row.about()} for at, row in enumerate(rows)),
        findings=tuple(Finding(what, tuple(dict.fromkeys(paths)), meaning) for what, paths, meaning in found if paths),
        memory=buffers * WIDTH * 8 + step.launches.buffers.memory + step.weights.memory,
    )
