"""How does a picture or a map stand in a cell of a table? As its numbers, with a slash between rows.

Maps have three digits, more than any colour scale shows; pictures have all of theirs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def words_of(values: NDArray[np.floating]) -> str:
    """(h, w) as text, three digits a number."""
    return "/".join(" ".join(f"{value:.3g}" for value in row) for row in values)


def grid_of(words: str) -> NDArray[np.float32]:
    """The (h, w) of `words_of`."""
    return np.array([[float(word) for word in row.split()] for row in words.split("/")], np.float32)


def picture_words(picture: NDArray[np.uint8]) -> str:
    """(H, W, 3) as text, six hexadecimal digits a pixel."""
    return "/".join(" ".join(bytes(pixel).hex() for pixel in row) for row in picture)


def picture_of(words: str) -> NDArray[np.uint8]:
    """The (H, W, 3) of `picture_words`."""
    return np.array([[list(bytes.fromhex(word)) for word in row.split()] for row in words.split("/")], np.uint8)


def enlarged(values: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """A map over its image (H, W), bilinear, as `labapp.diagnostics.measuring.upsample` does it with torch."""
    if values.shape == tuple(size):
        return values
    return np.asarray(Image.fromarray(values, "F").resize((size[1], size[0]), Image.Resampling.BILINEAR))
