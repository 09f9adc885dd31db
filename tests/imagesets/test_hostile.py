"""What can the files of an image set do to who reads them? Nothing but be refused in one sentence."""

import io
import pickle
import struct
import tarfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from labapp.config import Experiment, LabError
from labapp.imagesets import load, load_for


class Evil:
    """Leaves a file behind where somebody unpickles it."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_pickle_in_the_place_of_cifar_is_never_opened(tmp_path, offline, name):
    """torchvision unpickles files whose checksum is the published one, and no others."""
    dataset = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    folder = tmp_path / "data" / dataset.base_folder
    folder.mkdir(parents=True)
    for file in [*(file for file, _ in dataset.train_list + dataset.test_list), dataset.meta["filename"]]:
        (folder / file).write_bytes(pickle.dumps(Evil(tmp_path / "executed")))
    with pytest.raises(LabError, match=f"{name} is not complete in .* and could not be downloaded"):
        load(name, data=tmp_path / "data")
    assert not (tmp_path / "executed").exists()


def test_a_pickle_in_the_place_of_mnist_is_never_executed(tmp_path, offline):
    """An older torchvision kept MNIST as .pt files, which it still reads, as plain tensors alone."""
    folder = tmp_path / "data" / "MNIST" / "processed"
    folder.mkdir(parents=True)
    for file in ("training.pt", "test.pt"):
        torch.save(Evil(tmp_path / "executed"), folder / file)
    with pytest.raises(LabError) as refused:
        load("mnist", data=tmp_path / "data")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["cifar10", "stl10"])
def test_an_archive_that_is_not_the_published_one_is_never_unpacked(tmp_path, offline, name):
    source = {"cifar10": datasets.CIFAR10, "stl10": datasets.STL10}[name]
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / source.filename, "w:gz") as archive:
        about = tarfile.TarInfo("../outside")
        about.size = 1
        archive.addfile(about, io.BytesIO(b"x"))
    with pytest.raises(LabError):
        load(name, data=tmp_path / "data")
    assert not (tmp_path / "outside").exists()


def folder_of(tmp_path, **files):
    for split in ("train", "test"):
        place = tmp_path / "data" / split / "cat"
        place.mkdir(parents=True)
        for name, content in files.items():
            (place / name.replace("_", ".")).write_bytes(content)
    return tmp_path / "data"


def png(width, height, pixels=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (png(9000, 9000), "has more than 50 million pixels"),
        (png(60000, 60000), "has more than 50 million pixels"),
        (png(64, 64, b"x"), "is no image that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no image that can be read"),
        (b"<html><script>alert(1)</script>", "is no image that can be read"),
        (b"", "is no image that can be read"),
    ],
    ids=["bomb", "large bomb", "torn", "eps", "svg", "html", "empty"],
)
@pytest.mark.filterwarnings("ignore:Image size")  # Pillow's own remark on the same
def test_a_file_that_is_no_picture_is_one_sentence(tmp_path, content, says):
    images = load("folder", data=folder_of(tmp_path, x_png=content), normalise=False)
    with pytest.raises(LabError, match=says):
        images.raw(0)


def picture():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_no_link_leads_out_of_an_image_folder(tmp_path):
    data = folder_of(tmp_path, x_png=picture())
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "private.png").write_bytes(picture())
    place = data / "train" / "cat"
    (place / "inside.png").symlink_to(place / "x.png")
    (tmp_path / "linked").symlink_to(data)  # a set as a whole may be a link
    assert len(load("folder", data=tmp_path / "linked", normalise=False)) == 2
    (place / "out.png").symlink_to(tmp_path / "secret" / "private.png")
    with pytest.raises(LabError, match=r"out\.png is a link to .*private\.png, out of the image folder"):
        load("folder", data=data)
    (place / "out.png").unlink()
    (data / "train" / "dog").symlink_to(tmp_path / "secret")
    with pytest.raises(LabError, match=r"dog is a link to .*secret, out of the image folder"):
        load("folder", data=data)


@pytest.mark.parametrize("name", ["folder", "cifar10", "mnist"])
def test_the_app_looks_for_images_that_a_run_names_in_its_own_folders_alone(tmp_path, monkeypatch, offline, name):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("LABAPP_DATA", "")
    folder_of(tmp_path, x_png=picture())
    for data in (tmp_path / "data", "../data", "~"):
        with pytest.raises(LabError, match="where this app may open images"):
            load_for(Experiment(imageset=name, data=str(data)), "train")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "work"]
    if name == "folder":
        monkeypatch.setenv("LABAPP_DATA", str(tmp_path / "data"))
        assert len(load_for(Experiment(imageset="folder", data=str(tmp_path / "data")), "train")) == 1


def test_nothing_is_fetched_where_nothing_may_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    with pytest.raises(LabError, match="this lab was opened with --read-only, so it is not fetched"):
        load("mnist", data=tmp_path / "data")
    assert not (tmp_path / "data").exists()
