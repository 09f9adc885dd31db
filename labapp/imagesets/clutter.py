"""How are images made in which a net has to find a handwritten digit among clutter?

The digits are real: 1,797 handwritten ones of 8×8 pixels (Alpaydin & Kaynak 1998, the UCI set that ships inside
scikit-learn). Each canvas shows one, enlarged, coloured and placed at random, in front of dimmer clutter: pieces cut
from other digits and straight strokes, neither of which tells the class. Where the digit's ink lies is known, so a map
that claims to show *where a net looks* can be scored.

Training and test canvases are made from disjoint digits. Everything is integer arithmetic on integer draws, so one seed
gives the same bits on every machine.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labapp.config import LabError
from labapp.config.extras import command

TEST_SHARE = 5  # every fifth digit of a class is a test digit
# The difficulty, chosen so that a net of width 8 that trains gets some 95 % of the test canvases right in 300 steps:
PIECES, STROKES = 4, 1  # of clutter on a canvas
DIGIT_SIDE = (12, 16)  # pixels on a canvas of 24
PIECE_SIDE = 5
GROUND, CLUTTER, DIGIT = (0, 80), (40, 110), (90, 256)  # the ranges of their colour channels
BRIGHT = (200, 256)  # of one channel of a digit, so that it stands out from the ground
NOISE = 8  # grey levels, either way
INK = 96  # of 255: a pixel belongs to the digit from this much ink on
# cos and sin of eight directions over a half circle, times 64, as integers
DIRECTIONS = np.array([(64, 0), (59, 24), (45, 45), (24, 59), (0, 64), (-24, 59), (-45, 45), (-59, 24)])

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Ink = NDArray[np.int32]  # 0 … 255, or a colour channel on its way to a byte: half the memory of int64


class Canvases(NamedTuple):
    """Images, their labels, and where the digit is."""

    images: Bytes  # (N, size, size, 3)
    labels: Integers  # (N,)
    masks: NDArray[np.bool_]  # (N, size, size)


def digits(split: str) -> tuple[Bytes, Integers]:
    """The digits of one split as ink, (n, 8, 8) from 0 to 255, and labels; a fifth of each class is for testing."""
    rows = np.loadtxt(_file(), delimiter=",").astype(np.int64)  # (n, 65): the ink of 8 × 8 places, then the label
    images, labels = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    rank = np.zeros_like(labels)  # its place among the digits of its class, from 0
    for label in range(10):
        rank[labels == label] = np.arange((labels == label).sum())
    chosen = (rank % TEST_SHARE == TEST_SHARE - 1) == (split == "test")
    return (images[chosen] * 255 // 16).astype(np.uint8), labels[chosen]


def _file() -> Path:
    """The digits as scikit-learn brings them; `load_digits` reads the same, after an import of a second and 60 MB."""
    found = find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise LabError(f"the digits come with scikit-learn, which is not installed; `{command('lab')}` installs it")
    return Path(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")


def enlarge(images: NDArray[np.integer], size: int) -> Ink:
    """Bilinear enlargement of (N, h, h) integers to (N, size, size), exact in integers.

    Output pixel i has its centre at (2i + 1)·h / (2·size) of the source, so positions are counted in units of
    1/(2·size) source pixels; the two linear weights along an axis sum to 2·size; one division ends it.
    """
    source, unit = images.shape[-1], 2 * size
    centre = np.clip((2 * np.arange(size) + 1) * source - size, 0, (source - 1) * unit)
    low = centre // unit
    high = np.minimum(low + 1, source - 1)
    weight = (centre - low * unit).astype(np.int32)
    images = images.astype(np.int32)
    rows = images[:, low] * (unit - weight)[:, None] + images[:, high] * weight[:, None]  # (N, size, h)
    both = rows[:, :, low] * (unit - weight) + rows[:, :, high] * weight  # (N, size, size)
    return (both + unit * unit // 2) // (unit * unit)


def canvases(split: str, count: int, *, size: int = 24, seed: int = 0) -> Canvases:
    """`count` canvases of size×size pixels with digits of one split."""
    ink, labels = digits(split)
    rng = np.random.default_rng([seed, int(split == "test")])
    images = background(ink, count, size, rng)
    smallest, largest = (side * size // 24 for side in DIGIT_SIDE)
    chosen = rng.integers(0, len(ink), size=count)
    sides = rng.integers(smallest, largest + 1, size=count)
    masks = np.zeros((count, size, size), bool)
    for side in range(smallest, largest + 1):
        here = np.flatnonzero(sides == side)
        digit, canvas = enlarge(ink[chosen[here]], side), images[here]
        colours = rng.integers(*DIGIT, size=(len(here), 3))
        colours[np.arange(len(here)), rng.integers(0, 3, size=len(here))] = rng.integers(*BRIGHT, size=len(here))
        rows, columns = _paint(canvas, digit, colours, rng)
        images[here] = canvas
        masks[here[:, None, None], rows, columns] = digit >= INK
    images += rng.integers(-NOISE, NOISE + 1, size=images.shape, dtype=np.int8)
    return Canvases(np.clip(images, 0, 255).astype(np.uint8), labels[chosen], masks)


def background(ink: Bytes, count: int, size: int, rng: np.random.Generator) -> Ink:
    """Images (N, size, size, 3) of ground and clutter, made of pieces of the digits `ink`, (n, 8, 8), of any class."""
    images = np.empty((count, size, size, 3), np.int32)
    images[:] = rng.integers(*GROUND, size=(count, 1, 1, 3))
    side = PIECE_SIDE * size // 24
    enlarged = enlarge(ink, sum(DIGIT_SIDE) // 2 * size // 24)  # (n, h, h)
    for _ in range(PIECES):
        which = rng.integers(0, len(ink), size=(count, 1, 1))
        rows, columns = _window(rng, count, enlarged.shape[1], side)
        _paint(images, enlarged[which, rows, columns], rng.integers(*CLUTTER, size=(count, 3)), rng)
    for _ in range(STROKES):
        _paint(images, _strokes(rng, count, side + 2), rng.integers(*CLUTTER, size=(count, 3)), rng)
    return images


def _window(rng: np.random.Generator, count: int, size: int, side: int) -> tuple[Integers, Integers]:
    """A window at a random place in each of `count` squares: its rows (N, side, 1) and its columns (N, 1, side)."""
    top, left = rng.integers(0, size - side + 1, size=(2, count, 1, 1))
    return top + np.arange(side)[:, None], left + np.arange(side)


def _strokes(rng: np.random.Generator, count: int, side: int) -> Ink:
    """`count` squares of ink, (N, side, side), each with one straight stroke through its middle."""
    grid = 2 * np.arange(side) - (side - 1)  # half pixels from the middle
    across, down = DIRECTIONS[rng.integers(0, len(DIRECTIONS), size=count)].T[:, :, None, None]  # (N, 1, 1)
    distance = np.abs(across * grid[:, None] - down * grid)  # from the line, in 1/128 pixels
    return np.clip(320 - 2 * distance, 0, 255).astype(np.int32)


def _paint(images: Ink, ink: Ink, colours: Integers, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Paint ink (N, h, h) in colours (N, 3) at random places of images (N, size, size, 3); returns rows and columns."""
    rows, columns = _window(rng, len(images), images.shape[1], ink.shape[1])
    which, alpha = np.arange(len(images))[:, None, None], ink[..., None]
    under, over = images[which, rows, columns], colours[:, None, None].astype(np.int32)
    images[which, rows, columns] = (under * (255 - alpha) + over * alpha + 127) // 255
    return rows, columns
