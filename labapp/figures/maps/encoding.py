"""How do pictures and maps become bytes?"""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from labapp.figures.maps.scale import Pixels, Values


def png(pixels: Pixels) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def raw(maps: dict[str, Values]) -> bytes:
    """Maps by name as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **maps)  # type: ignore[arg-type]
    return buffer.getvalue()


def address(pixels: Pixels) -> str:
    """A picture as a `data:` address, for `<img src>`."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
