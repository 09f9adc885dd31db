import io
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labapp.config import LabError
from labapp.probes.pictures import FORMATS, MOST_PIXELS, read_picture, square

RED, BLUE = (200, 30, 60), (10, 40, 220)


@pytest.fixture
def picture() -> Image.Image:
    """Red above, blue below; 16 wide, 12 high."""
    image = Image.new("RGB", (16, 12), RED)
    image.paste(BLUE, (0, 6, 16, 12))
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> io.BytesIO:
    """A PNG by hand: what Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )


def colours(found: np.ndarray) -> tuple[list[int], list[int]]:
    assert found.dtype == np.uint8
    assert found.shape == (12, 16, 3)
    return found[2, 8].tolist(), found[9, 8].tolist()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format(picture: Image.Image, kind: str):
    top, bottom = colours(read_picture(saved(picture, kind)))
    near = 12 if kind in ("JPEG", "WEBP", "GIF") else 0  # lossy, or a palette
    assert np.abs(np.subtract(top, RED)).max() <= near
    assert np.abs(np.subtract(bottom, BLUE)).max() <= near


def test_a_path_as_text_or_path(picture: Image.Image, tmp_path: Path):
    file = tmp_path / "mine.png"
    picture.save(file)
    assert np.array_equal(read_picture(file), np.array(picture))
    assert np.array_equal(read_picture(str(file)), np.array(picture))


def test_grey_one_bit_and_palette(picture: Image.Image):
    for mode in ("L", "1", "P"):
        converted = picture.convert(mode)
        assert np.array_equal(read_picture(saved(converted)), np.array(converted.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(picture: Image.Image, kind: str):
    top, bottom = colours(read_picture(saved(picture.convert("CMYK"), kind)))
    assert np.abs(np.subtract(top, RED)).max() <= 15
    assert np.abs(np.subtract(bottom, BLUE)).max() <= 15


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_grey_of_16_bits_is_scaled_not_cut(kind: str):
    values = np.linspace(0, 65535, 12 * 16).reshape(12, 16).astype(np.uint16)
    found = read_picture(saved(Image.fromarray(values), kind))
    expected = np.rint(values / 257)
    assert np.array_equal(found[..., 0], expected)
    assert np.array_equal(found[..., 0], found[..., 2])
    assert found.max() == 255


def test_colour_of_16_bits():
    row = b"\0" + np.tile(np.array([51400, 7710, 15420], ">u2"), 16).tobytes()  # RED times 257
    found = read_picture(png(16, 12, 16, 2, row * 12))
    assert (found == RED).all()


def test_transparency_lies_on_white(picture: Image.Image):
    picture.putalpha(Image.linear_gradient("L").resize((16, 12)).point(lambda a: 255 if a > 128 else 0))
    top, bottom = colours(read_picture(saved(picture)))
    assert top == [255, 255, 255]
    assert tuple(bottom) == BLUE
    palette = Image.new("P", (16, 12), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert (read_picture(saved(palette, "GIF", transparency=1)) == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_picture(picture: Image.Image, kind: str):
    others = [Image.new("RGB", picture.size, (0, 255, 0))] * 2
    top, bottom = colours(read_picture(saved(picture, kind, save_all=True, append_images=others)))
    assert np.abs(np.subtract(top, RED)).max() <= 12
    assert np.abs(np.subtract(bottom, BLUE)).max() <= 12


def test_a_camera_held_sideways(picture: Image.Image):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise
    sideways = picture.transpose(Image.Transpose.ROTATE_90)
    assert np.array_equal(read_picture(saved(sideways, exif=exif)), np.array(picture))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no picture"),
        (b"%PDF-1.7 hello", "is no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n", "is no picture"),  # no program is run
        (b"\x89PNG\r\n\x1a\n" + b"nonsense" * 20, "is no picture|is broken"),
        (b"GIF89a\x10\x00\x0c\x00\x00\x00\x00", "is no picture|is broken"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no picture"),
    ],
)
def test_what_is_no_picture(content: bytes, sentence: str):
    with pytest.raises(LabError, match=sentence) as caught:
        read_picture(io.BytesIO(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_file_cut_short(kind: str):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = saved(noise, kind).getvalue()
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(LabError, match=r"is no picture|is broken"):
            read_picture(io.BytesIO(whole[: int(share * len(whole))]))


@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes_never_raise_anything_else(kind: str):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
    whole = np.frombuffer(saved(noise, kind).getvalue(), np.uint8)
    sentences = []
    for _ in range(150):
        broken = whole.copy()
        at = rng.integers(0, min(len(broken), 400), 3)
        broken[at] = rng.integers(0, 256, 3)
        try:
            assert read_picture(io.BytesIO(broken.tobytes())).shape[2] == 3
        except LabError as error:
            sentences.append(str(error))
    assert not any("\n" in sentence for sentence in sentences)


@pytest.mark.parametrize("side", [8_000, 10_000, 50_000])  # 64 million; where Pillow warns; where it refuses
def test_a_bomb_is_refused_before_it_is_unpacked(side: int):
    file = png(side, side, 8, 2, bytes(1000))
    tracemalloc.start()
    with pytest.raises(LabError, match="pixels; the lab reads at most 50 million, so make it smaller first"):
        read_picture(file)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert Image.MAX_IMAGE_PIXELS != MOST_PIXELS  # nobody else's limit was moved


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 7)])
def test_too_small(size: tuple[int, int]):
    with pytest.raises(LabError, match=f"has only {size[0]}×{size[1]} pixels.*at least 8×8"):
        read_picture(saved(Image.new("RGB", size)))
    assert read_picture(saved(Image.new("L", (8, 8)))).shape == (8, 8, 3)


def test_numbers_without_a_white(tmp_path: Path):
    for values in (np.ones((9, 9), np.float32), np.full((9, 9), 70000, np.int32)):
        file = tmp_path / "map.tif"
        Image.fromarray(values).save(file)
        with pytest.raises(LabError, match=r"map\.tif' holds .*save it with 8 or 16 bits"):
            read_picture(file)


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(LabError, match=r"there is no file '.*nothing\.png'"):
        read_picture(tmp_path / "nothing.png")
    with pytest.raises(LabError, match="cannot be opened: Is a directory"):
        read_picture(tmp_path)


def test_an_upload_is_called_by_its_name():
    upload = io.BytesIO(b"text")
    upload.name = "holiday.txt"
    with pytest.raises(LabError, match=r"^'holiday.txt' is no picture that the lab can read; give a PNG, JPEG, "):
        read_picture(upload)


def test_square_takes_the_middle():
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = 200
    assert (square(picture, 10) == 200).all()
    assert square(picture, 224).shape == (224, 224, 3)
    assert (square(picture.transpose(1, 0, 2), 5) == 200).all()


def test_square_averages_when_it_shrinks():
    checks = np.zeros((64, 64, 3), np.uint8)
    checks[::2, ::2] = checks[1::2, 1::2] = 200
    assert np.abs(square(checks, 8).astype(int) - 100).max() <= 3


def test_no_torch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "labapp.probes.pictures")
    import labapp.probes.pictures  # noqa: F401
