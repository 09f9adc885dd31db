"""What is on a sheet of maps: which nets, which layers, what image?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labapp import palette
from labapp.figures.maps.scale import Pixels, Values, colours, scale_limit, scaled


@dataclass(frozen=True, eq=False)
class Cell:
    """One map: its values over the image (H, W), signed; what stands above it and below it."""

    values: Values
    above: str = ""
    below: str = ""


@dataclass(frozen=True, eq=False)
class MapRow:
    """The maps of one net; None where it has none."""

    title: str
    cells: Sequence[Cell | None]
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A grid of maps of one image.

    Attributes:
        picture: (H, W, 3).
        rows: One a net.
        mask: (H, W), outlined in every picture; None where it is not known.
        scale: One of `SCALES`.
        signed: Whether evidence against the class is shown too.
        opacity: Of the maps.
        title: What the image is.
        columns: What stands above each column; else each map's own words do.
    """

    picture: Pixels
    rows: Sequence[MapRow]
    mask: NDArray[np.bool_] | None = None
    scale: str = "even"
    signed: bool = False
    opacity: float = 0.65
    title: str = ""
    columns: tuple[str, ...] = ()

    @property
    def limit(self) -> float:
        """Where the one colour scale ends."""
        return scale_limit((cell.values for row in self.rows for cell in row.cells if cell), self.scale)

    def shown(self, cell: Cell) -> Pixels:
        """A cell's colours (H, W, 3)."""
        values = cell.values if self.signed else np.where(np.isnan(cell.values), np.nan, np.maximum(cell.values, 0))
        return colours(scaled(values, self.scale), self.limit, self.signed)


def energy_words(values: Values, energy: float) -> str:
    """What stands under a map: its energy inside the mask, that there is none, or nothing where no mask is known."""
    if not np.isfinite(values).all():
        return "not finite"
    if not (values > 0).any():
        return "no evidence"
    return "" if np.isnan(energy) else f"{palette.percent(energy)} inside"
