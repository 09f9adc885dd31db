"""Which quantities of which layers go into a dashboard?

A net of a hundred layers has a hundred curves of each quantity, and dashboards with thousands of curves take minutes to
open (tensorflow/tensorboard#4170, Lightning-AI/pytorch-lightning#1462). So by default four quantities are shown, of the
layers with weights that are no norms, at most MOST curves; `--quantities` and `--layers` ask for others, or for "all".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from labapp.config import LabError, listed, nearest
from labapp.store import QUANTITIES

ALL = "all"
FURTHER = ("histograms", "spreads")  # tables of their own, where they were recorded
USUAL = ("output_grad_norm", "weight_grad_norm", "update_ratio", "output_std", "histograms")
UNUSUAL = ("norm", "activation", "pool", "block")  # kinds of layers that are not shown by default
MOST = 400  # curves of layers, where nobody asked for layers


@dataclass(frozen=True)
class CurveChoice:
    """What somebody asked for.

    Attributes:
        quantities: Their names; empty for the usual ones.
        layers: Kinds of layers, their paths, or patterns as "stage1.*"; empty for the usual ones.
    """

    quantities: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = (*QUANTITIES, *FURTHER, ALL)
        for name in self.quantities:
            if name not in known:
                raise LabError(f"there is no quantity '{name}'{nearest(name, known) or f'; there are {listed(known)}'}")

    @classmethod
    def of(cls, quantities: str | Iterable[str] = (), layers: str | Iterable[str] = ()) -> CurveChoice:
        """From words, or one word with commas between them."""
        return cls(_words(quantities), _words(layers))

    @property
    def columns(self) -> tuple[str, ...]:
        """The quantities of the table of layers, in its order."""
        return tuple(name for name in QUANTITIES if self.takes(name))

    def takes(self, name: str) -> bool:
        """Whether a quantity, or a table of FURTHER, is wanted."""
        asked = self.quantities or USUAL
        return name in asked or ALL in asked

    def fits(self, layer: str, kind: str) -> bool:
        """Whether a layer is wanted."""
        if not self.layers:
            return kind not in UNUSUAL
        return any(word in (ALL, kind) or fnmatchcase(layer, word) for word in self.layers)

    def among(self, layers: Sequence[tuple[str, str, int]]) -> tuple[list[str], str]:
        """The layers that are shown of those of a net, and a sentence where they are fewer than were meant.

        Args:
            layers: Path, kind and depth of each.
        """
        found = sorted({(depth, layer) for layer, kind, depth in layers if self.fits(layer, kind)})
        chosen = [layer for _, layer in found]
        if layers and not chosen and self.layers:
            words = {word for layer, kind, _ in layers for word in (layer, kind)}
            near = (
                nearest(self.layers[0], words)
                or f"; its kinds of layers are {listed(sorted({k for _, k, _ in layers}))}"
            )
            return [], f"no layer is {listed(self.layers, 'or')}{near}"
        room = max(2, MOST // max(1, len(self.columns)))
        if self.layers or len(chosen) <= room:
            return chosen, ""
        places = np.unique(np.linspace(0, len(chosen) - 1, room).round().astype(int))
        said = f"{len(places)} of {len(chosen)} layers are shown, at even distances; --layers all shows every one"
        return [chosen[place] for place in places], said


def _words(given: str | Iterable[str]) -> tuple[str, ...]:
    parts = [given] if isinstance(given, str) else list(given)
    return tuple(word.strip() for part in parts for word in part.split(",") if word.strip())
