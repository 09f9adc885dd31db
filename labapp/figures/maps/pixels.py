"""How is a map laid over its image, pixel by pixel?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labapp.figures.maps.scale import Pixels

SIDE = 224  # pixels of an enlarged picture


def grey(picture: Pixels) -> Pixels:
    """A picture without its colours, (H, W, 3), so that those of the map over it can be read off the scale."""
    light = np.round(picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(light[..., None], 3, axis=2)


def blend(picture: Pixels, over: Pixels, opacity: float, side: int | None = None) -> Pixels:
    """A map's colours laid over the grey picture.

    With `side` both are enlarged to so many pixels: the picture keeps its pixels, the map becomes smooth.
    """
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


def enlarged(picture: Pixels, side: int) -> Pixels:
    """A picture at least `side` pixels high, its pixels kept square."""
    factor = max(1, round(side / picture.shape[0]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def at_most(picture: Pixels, side: int) -> Pixels:
    """A square picture shrunk to `side` pixels where it has more."""
    if picture.shape[0] <= side:
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
