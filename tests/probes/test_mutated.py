"""Whatever became of a picture or a checkpoint: an answer or one sentence, never a traceback.

Real files, mutated by a seed: bits turned, pieces cut out, doubled or filled with noise. Each count is that of
a test run; `LABAPP_FUZZ=20` takes twenty times as many.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from labapp.config import LabError
from labapp.probes.pictures import read_picture
from labapp.probes.weights import state_of

MORE = int(os.environ.get("LABAPP_FUZZ", "1"))
FORMATS = {"PNG": "RGB", "JPEG": "RGB", "GIF": "P", "WEBP": "RGBA", "TIFF": "RGB", "BMP": "RGB", "PPM": "RGB"}


def mutated(whole: bytes, rng: np.random.Generator) -> bytes:
    """A file after an accident."""
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 5))):
        at, size = int(rng.integers(0, max(1, len(data)))), int(rng.integers(1, 1 + max(8, len(data) // 4)))
        kind = rng.integers(0, 5)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size]
        else:
            data[at : at + min(size, 64)] = rng.integers(0, 256, min(size, 64), np.uint8).tobytes()
    return bytes(data)


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """What is raised is a LabError of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders' remarks; none may become an error
            yield
    except LabError as error:
        assert "\n" not in str(error)  # noqa: PT017 - also where nothing is raised


def picture(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 4), np.uint8)
    image, buffer = Image.fromarray(pixels).convert(FORMATS[kind]), io.BytesIO()
    more = {"save_all": True, "append_images": [image, image]} if kind in ("GIF", "WEBP", "TIFF") else {}
    image.save(buffer, kind, **more)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_any_picture_gives_pixels_or_a_sentence(kind: str) -> None:
    whole, rng = picture(kind), np.random.default_rng(len(kind))
    assert read_picture(io.BytesIO(whole)).shape == (40, 48, 3)
    for _ in range(40 * MORE):
        with one_sentence():
            found = read_picture(io.BytesIO(mutated(whole, rng)))
            assert (found.dtype, found.shape[2]) == (np.uint8, 3)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_any_checkpoint_gives_weights_or_a_sentence(tmp_path: Path, suffix: str) -> None:
    state, buffer = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3)}, io.BytesIO()
    torch.save(state, buffer)
    whole, rng = save(state) if suffix == ".safetensors" else buffer.getvalue(), np.random.default_rng(1)
    path = tmp_path / f"weights{suffix}"
    for _ in range(60 * MORE):
        path.write_bytes(mutated(whole, rng))
        with one_sentence():
            assert all(isinstance(value, torch.Tensor) for value in state_of(path).values())
