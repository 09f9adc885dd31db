"""A user's own picture on the Grad-CAM page."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.app.pages import grid, rows, settled


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def bomb():
    content = bytearray(png(Image.new("RGB", (8, 8))))
    content[16:24] = (50_000).to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    return bytes(content)


def test_an_upload_takes_the_place_of_the_test_image(trained, open_gradcam):
    app = open_gradcam(trained)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    settled(app.file_uploader(key="upload").set_value(("cat.png", png(Image.fromarray(noise)), "image/png")).run())
    assert rows(app) == 4
    assert "true" not in app.selectbox(key="class").options  # nobody knows it
    assert " inside" not in grid(app)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.txt", b"no picture", "is no picture"),
        ("dot.png", png(Image.new("RGB", (1, 1))), "has only 1×1 pixels"),
        ("bomb.png", bomb(), "pixels; the lab reads at most 50 million"),
        ("torn.png", png(Image.new("RGB", (64, 64)))[:60], "is broken"),
    ],
)
def test_an_upload_that_is_no_picture_is_one_sentence(trained, open_gradcam, name, content, sentence):
    app = open_gradcam(trained)
    settled(app.file_uploader(key="upload").set_value((name, content, "image/png")).run())
    assert sentence in app.error[0].value
    settled(app.file_uploader(key="upload").set_value(None).run())
    assert not app.error
    assert rows(app) == 4
