"""Is this file a picture, and what does it look like as a net reads it?

    picture = read_picture("cat.jpg")        # uint8 (H, W, 3), upright, on white
    square(picture, 224)                     # its middle, at the size of the net's images

A user's file is not to be trusted: it may be no picture, a broken one, or a small file that unpacks to gigabytes.
Whatever it is, the answer is an array or a `LabError` of one sentence. Sizes are read from the header before a pixel
is unpacked.
"""

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from labapp.config import LabError, listed
from labapp.config.extras import needed

with needed(__name__):
    from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # not those that run a program (EPS) or hold a scene
MOST_PIXELS = 50_000_000  # 150 MB in memory
SMALLEST_SIDE = 8  # pixels; the smallest real images of the lab, scikit-learn's digits, have 8
WHITE = (255, 255, 255, 255)

Picture = NDArray[np.uint8]  # (H, W, 3)


def read_picture(source: str | Path | BinaryIO) -> Picture:
    """A user's picture as uint8 (H, W, 3), from a path or an open file (an upload).

    Of an animation or a file of several pages the first is taken. Colours of all kinds become RGB: CMYK and palettes
    are converted, 16 bits are scaled to 8, transparency is laid on white, and a camera's note on which side is up is
    applied.

    Raises:
        LabError: If there is no such file, it is no picture, it is broken, or too small or too large.
    """
    name = _name(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on doubtful files; what matters is said below
        try:
            with Image.open(source, formats=FORMATS) as image:
                _check_size(name, *image.size)
                return _upright_rgb(name, image)
        except LabError:
            raise
        except FileNotFoundError:
            raise LabError(f"there is no file {name}") from None
        except (IsADirectoryError, PermissionError) as error:
            raise LabError(f"{name} cannot be opened: {error.strerror}") from None
        except UnidentifiedImageError:
            raise LabError(f"{name} is no picture that the lab can read; give a {listed(FORMATS, 'or')} file") from None
        except Image.DecompressionBombError:
            raise LabError(_too_large(name)) from None
        except MemoryError:
            raise LabError(f"{name} does not fit into memory; make it smaller first") from None
        except Exception as error:  # whatever a decoder of broken files meets: OSError, SyntaxError, struct.error …
            raise LabError(f"{name} is broken and cannot be read ({_first_line(error)})") from None


def square(picture: Picture, size: int) -> Picture:
    """The middle of a picture (H, W, 3) as a square of `size` pixels a side; bicubic, averaging when it shrinks."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = Image.fromarray(np.ascontiguousarray(picture[top : top + side, left : left + side]))
    return np.array(middle.resize((size, size), Image.Resampling.BICUBIC))


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise LabError(_too_large(name, f"{width:,}×{height:,} "))
    if min(width, height) < SMALLEST_SIDE:
        raise LabError(
            f"{name} has only {width}×{height} pixels, too few to show where a net looks; "
            f"give one of at least {SMALLEST_SIDE}×{SMALLEST_SIDE}"
        )


def _too_large(name: str, size: str = "too many ") -> str:
    return f"{name} has {size}pixels; the lab reads at most {MOST_PIXELS // 10**6} million, so make it smaller first"


def _upright_rgb(name: str, image: Image.Image) -> Picture:
    """The first picture of an open file, whatever its colours are."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # grey in 16 bits, also as 32-bit integers
        grey = np.asarray(upright).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise LabError(
                f"{name} holds integers from {grey.min()} to {grey.max()}; save it with 8 or 16 bits a colour"
            )
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if upright.mode == "F":
        raise LabError(f"{name} holds real numbers, of which none is white; save it with 8 or 16 bits a colour")
    if upright.has_transparency_data:
        colours = upright.convert("RGBA")
        return np.array(Image.alpha_composite(Image.new("RGBA", colours.size, WHITE), colours).convert("RGB"))
    return np.array(upright.convert("RGB"))


def _name(source: str | Path | BinaryIO) -> str:
    given: Any = source if isinstance(source, str | Path) else getattr(source, "name", None)
    return f"'{given}'" if isinstance(given, str | Path) and str(given) else "the picture"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
