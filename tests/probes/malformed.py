"""Ways in which files of an archive and pictures may be wrong: cut, flipped, swapped, of another kind, or hostile."""

import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
import torch
from PIL import Image

Harm = Callable[[Path, random.Random], None]
VALUES = (
    None,
    True,
    -1,
    10**400,
    1e308,
    float("nan"),
    "",
    "x" * 10_000,
    [],
    {},
    [None],
    {"a": {"b": []}},
    "<b>\x00\n'\"",
)


class Evil:
    """What no reader may run when it unpickles."""

    def __reduce__(self) -> tuple:
        return (os.mkdir, ("/tmp/labapp-was-here",))


def cut(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 3, 50])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def noise(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.choice([0, 1, 100, 5000])))


def inserted(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    at = draw.randrange(len(data))
    path.write_bytes(data[:at] + draw.randbytes(draw.choice([1, 8, 64])) + data[at:])


def gone(path: Path, draw: random.Random) -> None:
    path.unlink()


def folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def swapped(path: Path, draw: random.Random) -> None:
    others = [other for other in path.parents[1].rglob("*") if other.is_file() and other != path]
    shutil.copyfile(draw.choice(others), path)


def pickled(path: Path, draw: random.Random) -> None:
    with path.open("wb") as file:
        torch.save({"optimizer": Evil()}, file)


def other_table(path: Path, draw: random.Random) -> None:
    columns = draw.choice(
        [
            {"step": ["a", "b"]},
            {"step": [1.5, float("nan")]},
            {"loss": [[1], [2]]},
            {"step": [None, None], "layer": [1, 2]},
            {"step": [2**62, -(2**62)], "loss": ["x", "y"]},
        ]
    )
    pq.write_table(pa.table(columns), path)


def other_weights(path: Path, draw: random.Random) -> None:
    shape = draw.choice([(0,), (3,), (2, 3, 4, 5, 6)])
    path.write_bytes(safetensors.numpy.save({draw.choice(["w", "stem.conv.weight"]): np.zeros(shape, np.float32)}))


def words(path: Path, draw: random.Random) -> None:
    """A value somewhere in a JSON file is another, or gone, or there is one more."""
    try:
        whole = json.loads(path.read_bytes())
    except ValueError:  # something else was done to it before
        return
    at = whole
    while isinstance(at, dict) and at and draw.random() < 0.7:
        key = draw.choice(list(at))
        if not isinstance(at[key], dict) or not at[key] or draw.random() < 0.3:
            if draw.random() < 0.2:
                del at[key]
            else:
                at[key] = draw.choice(VALUES)
            break
        at = at[key]
    else:
        if isinstance(at, dict):
            at["more"] = draw.choice(VALUES)
    path.write_text(json.dumps(whole))


def nested(path: Path, draw: random.Random) -> None:
    path.write_text('{"id":' + "[" * 100_000)


ANY: tuple[Harm, ...] = (cut, flip, noise, inserted, gone, folder, loop, swapped)
HARMS: dict[str, tuple[Harm, ...]] = {
    ".json": (*ANY, words, words, words, words, words, nested),
    ".parquet": (*ANY, other_table, other_table),
    ".safetensors": (*ANY, other_weights, other_weights),
    ".pt": (*ANY, pickled),
}


def harm(root: Path, draw: random.Random) -> str:
    """Do something to one to three files of an archive; what was done, in words."""
    said = []
    for _ in range(draw.choice([1, 1, 2, 3])):
        files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix in HARMS]
        kind = draw.choice(sorted({path.suffix for path in files}))
        path = draw.choice([path for path in files if path.suffix == kind])
        if path.stat().st_size == 0:
            continue
        what = draw.choice(HARMS[kind])
        what(path, draw)
        said.append(f"{what.__name__} of {path.relative_to(root)}")
    return " and ".join(said)


def picture(draw: random.Random) -> bytes:
    """The bytes of a picture of any format, mode, size and content, most of them damaged."""
    mode = draw.choice(["RGB", "L", "RGBA", "P", "CMYK", "1", "I", "F", "LA", "I;16", "YCbCr", "HSV", "LAB"])
    size = draw.choice([(1, 1), (1, 300), (300, 1), (17, 23), (64, 64)])
    image = Image.new("RGB", size, tuple(draw.randrange(256) for _ in range(3))).convert(
        "L" if mode == "I;16" else mode
    )
    if mode == "I;16":
        image = Image.fromarray(np.full(size[::-1], draw.randrange(65536), np.uint16))
    kinds = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO"]
    draw.shuffle(kinds)
    data = b""
    for kind in kinds:
        buffer = io.BytesIO()
        try:
            frames = draw.choice([{}, {}, {"save_all": True, "append_images": [image] * 3}])
            image.save(buffer, kind, **(frames if kind in ("GIF", "TIFF", "WEBP") else {}))
        except (OSError, ValueError, KeyError):
            continue
        data = buffer.getvalue()
        break
    how = draw.randrange(8)
    if how in (0, 6, 7):
        return data
    if how == 1:
        return data[: draw.randrange(len(data) + 1)]
    if how == 2:
        return draw.randbytes(draw.choice([0, 1, 10, 3000]))
    if how == 3:
        return draw.choice(
            [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html><script>", b"%PDF-1.7", b"PK\x03\x04"]
        )
    changed = bytearray(data)
    for _ in range(draw.choice([1, 2, 20])):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)
