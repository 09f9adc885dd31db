"""Which colour stands for which value of a map, so that the maps of different nets compare?

    limit = scale_limit(maps, "even")
    colours(scaled(values, "even"), limit, signed=False)     # uint8 (H, W, 3)

One colour means one value in every picture of a page. On the scale "even" a map is divided by the mean of its absolute
values: 1 is what each place would have if the evidence were spread evenly, whatever the units of the net's scores, and
the scale ends at the same value for all images. On the scale "score" values keep the units of the class score, so that
the size of the evidence compares as well; the scale ends at the greatest value shown.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from labapp import palette
from labapp.figures.paper import colormap

SCALES = {"even": "times an evenly spread map", "score": "units of the class score"}
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
    """Values (H, W) as colours (H, W, 3); `palette.ALARM` where they are not finite."""
    span = (-limit, limit) if signed else (0.0, limit)
    known = np.isfinite(values)
    place = np.clip((np.where(known, values, 0) - span[0]) / (span[1] - span[0]), 0, 1)
    shown = scale_colours(signed, 256)[np.round(255 * place).astype(int)]
    shown[~known] = np.round(255 * np.array(to_rgb(palette.ALARM)))
    return shown


def scale_colours(signed: bool, count: int) -> Pixels:
    """The colour scale in so many steps, (count, 3)."""
    # rounded here: with bytes=True matplotlib cuts off, which makes colours darker by one
    shades = colormap(signed).resampled(count)(np.arange(count))[:, :3]
    return np.round(255 * shades).astype(np.uint8)


def scale_title(scale: str, signed: bool) -> str:
    """What the colour bar says."""
    what = "evidence for (red) and against (blue) the class" if signed else "evidence for the class"
    return f"{what}, {SCALES[scale]}"
