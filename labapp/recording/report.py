"""What will be recorded of this net, what cannot be, and why?"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from labapp.recording.board import WIDTH
from labapp.recording.listener import Listener
from labapp.recording.weights import Weights


@dataclass(frozen=True)
class Finding:
    """Something about a net that decides what can be recorded.

    Attributes:
        what: in a word or two, such as "in place" or "never called".
        layers: the paths it concerns.
        consequence: what it means for the record.
    """

    what: str
    layers: tuple[str, ...]
    consequence: str


@dataclass(frozen=True)
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


def look(model: nn.Module, listener: Listener, weights: Weights, compiled: bool) -> Report:
    """Reads the report off a recorder's parts, after its first recorded step."""
    rows = [listener.rows[index] for index in listener.shown]
    chosen = {spot.path: spot.module for spot in listener.spots if spot.path in listener.chosen}
    seen = {row.path for row in listener.rows if row.shape}
    in_place = [path for path, module in model.named_modules() if getattr(module, "inplace", False)]
    repeated = [row.path for row in listener.rows if row.call == 2]
    frozen = [
        path
        for path, module in chosen.items()
        if any(True for _ in module.parameters()) and not any(p.requires_grad for p in module.parameters())
    ]
    silent = [] if compiled else [path for path in chosen if path not in seen]
    found = (
        ("compiled", list(chosen) if compiled else [], "no hook fires: only weights, their gradients and updates"),
        ("in place", in_place, "harmless: an output is read before it is overwritten, its gradient is that of before"),
        ("called several times", repeated, "a row for each call in a forward, named path#2 and so on"),
        ("never called", silent, "unused, or used without calling the module: at most its weights are recorded"),
        ("checkpointed", sorted(listener.checkpointed), "run twice, recorded once"),
        ("input by keyword", sorted(listener.keyword_only), "harmless: found among the keyword arguments"),
        ("frozen", frozen, "no weight gradient; an output gradient only where one passes through"),
        (
            "sum of paths",
            [row.path for row in rows if row.split == "sum"],
            "branch and shortcut of the block cannot be told apart, so their quantities are missing",
        ),
        ("hook failed", list(listener.faults), "what the hook should have taken is missing"),
    )
    buffers = listener.board.rows * WIDTH * 8 + sum(w.numel() * w.element_size() for w in weights.weights)
    return Report(
        layers=tuple({"index": at, **row.about()} for at, row in enumerate(rows)),
        findings=tuple(Finding(what, tuple(paths), meaning) for what, paths, meaning in found if paths),
        memory=buffers,
    )
