"""How is a map laid over its image, so that maps of different nets compare?

    limit = scale_limit(maps, "even")
    colours(scaled(values, "even"), limit, signed=False)     # uint8 (H, W, 3)

One colour means one value in every picture of a page. On the scale "even" a map is divided by the mean of its absolute
values: 1 is what each place would have if the evidence were spread evenly, whatever the units of the net's scores, and
the scale's end is the same for all images. On the scale "score" values keep the units of the class score, so that the
size of the evidence compares as well; its end is the greatest value shown.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labapp import palette

SCALES = {"even": "times an evenly spread map", "score": "units of the class score"}
SIDE = 224  # pixels of an enlarged picture
EVEN_LIMIT = 5.0  # times an even map; what is beyond has the last colour
Values = NDArray[np.floating]
Pixels = NDArray[np.uint8]


def scaled(values: Values, scale: str) -> Values:
    """A map on one of the scales; a map of zeros stays so."""
    if scale == "score":
        return values
    mean = float(np.abs(values).mean())
    return values / mean if mean > 0 and np.isfinite(mean) else values


def scale_limit(maps: Iterable[Values], scale: str) -> float:
    """Where the colours end."""
    if scale == "even":
        return EVEN_LIMIT
    greatest = max((float(np.abs(values[np.isfinite(values)]).max(initial=0)) for values in maps), default=0.0)
    return greatest or 1.0


def colours(values: Values, limit: float, signed: bool) -> Pixels:
    """Values (H, W) as colours (H, W, 3); what is not finite is alarming."""
    span = (-limit, limit) if signed else (0.0, limit)
    known = np.isfinite(values)
    place = np.clip((np.where(known, values, 0) - span[0]) / (span[1] - span[0]), 0, 1)
    table = scale_colours(signed, 256)
    shown = table[np.round(255 * place).astype(int)]
    shown[~known] = _rgb(palette.ALARM)
    return shown


def scale_colours(signed: bool, count: int) -> Pixels:
    """The colour scale in so many steps, (count, 3)."""
    stops = np.array([_rgb(colour) for colour in (palette.DIVERGING if signed else palette.SEQUENTIAL)], float)
    at = np.linspace(0, len(stops) - 1, count)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, 1)).astype(np.uint8)


def grey(picture: Pixels) -> Pixels:
    """A picture without its colours, (H, W, 3), so that those over it can be read off the scale."""
    light = np.round(picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(light[..., None], 3, axis=2)


def blend(picture: Pixels, over: Pixels, opacity: float, side: int | None = None) -> Pixels:
    """Colours laid over the grey picture; enlarged to `side` pixels, the picture with its pixels, the map smoothly."""
    size = side or max(picture.shape[0], over.shape[0])
    below = Image.fromarray(grey(picture)).resize((size, size), Image.Resampling.NEAREST)
    above = Image.fromarray(over).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(Image.blend(below, above, opacity))


def outline(mask: NDArray[np.bool_]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The border of a mask (H, W) as segments ((x, y), (x, y)) between pixels' corners, joined along lines."""
    padded = np.pad(mask, 1)
    segments = []
    across = padded[1:, 1:-1] != padded[:-1, 1:-1]  # (H + 1, W): an edge above pixel (y, x)
    down = padded[1:-1, 1:] != padded[1:-1, :-1]  # (H, W + 1): an edge left of it
    for y, row in enumerate(across):
        segments += [((start, y), (end, y)) for start, end in _runs(row)]
    for x, column in enumerate(down.T):
        segments += [((x, start), (x, end)) for start, end in _runs(column)]
    return segments


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where a line of booleans is true, as (start, end)."""
    steps = np.diff(np.concatenate([[0], line.astype(np.int8), [0]]))
    return [(int(a), int(b)) for a, b in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True)]


def png(pixels: Pixels) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def enlarged(picture: Pixels, side: int) -> Pixels:
    """A picture at least `side` pixels high, its pixels kept square."""
    factor = max(1, round(side / picture.shape[0]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def at_most(picture: Pixels, side: int) -> Pixels:
    """A square picture shrunk to `side` pixels where it has more."""
    if picture.shape[0] <= side:
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def raw(maps: dict[str, Values]) -> bytes:
    """Maps by name as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **maps)  # type: ignore[arg-type]
    return buffer.getvalue()


def address(pixels: Pixels) -> str:
    """A picture as the address of itself, for a page."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


@dataclass(frozen=True, eq=False)
class Cell:
    """One map: its values over the image (H, W), signed; what stands above it and below it."""

    values: NDArray[np.floating]
    above: str = ""
    below: str = ""


@dataclass(frozen=True, eq=False)
class Row:
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

    picture: NDArray[np.uint8]
    rows: Sequence[Row]
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

    def shown(self, cell: Cell) -> NDArray[np.uint8]:
        """A cell's colours (H, W, 3)."""
        values = cell.values if self.signed else np.where(np.isnan(cell.values), np.nan, np.maximum(cell.values, 0))
        return colours(scaled(values, self.scale), self.limit, self.signed)


def scale_title(scale: str, signed: bool) -> str:
    """What the colour bar says."""
    what = "evidence for (red) and against (blue) the class" if signed else "evidence for the class"
    return f"{what}, {SCALES[scale]}"


def energy_words(values: NDArray[np.floating], energy: float) -> str:
    """What stands under a map: its energy inside the mask, that there is none, or nothing where no mask is known."""
    if not np.isfinite(values).all():
        return "not finite"
    if not (values > 0).any():
        return "no evidence"
    return "" if np.isnan(energy) else f"{palette.percent(energy)} inside"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
