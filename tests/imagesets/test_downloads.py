"""torchvision's sets, read by torchvision's code from small files in the real formats; and nothing there, offline."""

import gzip
import hashlib
import http.server
import pickle
import struct
import tarfile
import threading
from functools import partial

import numpy as np
import pytest
import scipy.io
from torchvision import datasets

from labapp.config import LabError
from labapp.imagesets import load
from labapp.imagesets.downloads import SOURCES

rng = np.random.default_rng(0)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(data, dataset, key, names, monkeypatch):
    """The python version of CIFAR: pickled dictionaries of rows of 3,072 bytes, red, green, blue planes."""
    folder = data / dataset.base_folder
    folder.mkdir()
    rows = {}
    for attribute in ("train_list", "test_list"):
        files = []
        for name, _ in getattr(dataset, attribute):
            rows[name] = rng.integers(0, 256, (6, 3072), dtype=np.uint8)
            content = {"data": rows[name], key: [0, 1, 2, 3, 4, len(names) - 1], "filenames": ["x.png"] * 6}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
            files.append([name, md5(folder / name)])
        # The checksums are the real files'; these files are made here and bring theirs. The reading is torchvision's.
        monkeypatch.setattr(dataset, attribute, files)
    meta = folder / dataset.meta["filename"]
    meta.write_bytes(pickle.dumps({dataset.meta["key"]: names}, protocol=2))
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"md5": md5(meta)})
    return rows


def test_cifar10_is_read_from_its_batches(tmp_path, monkeypatch):
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    rows = write_cifar(tmp_path, datasets.CIFAR10, "labels", names, monkeypatch)
    train, test = (load("cifar10", split=split, data=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test)) == (30, 6)
    assert train.classes == tuple(names)
    assert train.tensors()[1].tolist()[:6] == [0, 1, 2, 3, 4, 9]
    np.testing.assert_array_equal(test.raw(2), rows["test_batch"][2].reshape(3, 32, 32).transpose(1, 2, 0))
    everything = np.concatenate([rows[f"data_batch_{n}"] for n in range(1, 6)]).reshape(-1, 3, 1024) / 255
    np.testing.assert_allclose(test.mean, everything.mean((0, 2)), rtol=1e-12)
    np.testing.assert_allclose(test.std, everything.std((0, 2)), rtol=1e-12)


def test_cifar100_has_its_fine_labels(tmp_path, monkeypatch):
    write_cifar(tmp_path, datasets.CIFAR100, "fine_labels", [f"class {n}" for n in range(100)], monkeypatch)
    images = load("cifar100", data=tmp_path)
    assert images.num_classes == 100
    assert images.tensors()[1].tolist() == [0, 1, 2, 3, 4, 99]


def test_cifar10_is_unpacked_from_an_archive_that_lies_there_without_a_network(tmp_path, monkeypatch, offline):
    source = tmp_path / "source"
    source.mkdir()
    write_cifar(source, datasets.CIFAR10, "labels", [str(n) for n in range(10)], monkeypatch)
    data = tmp_path / "data"
    data.mkdir()
    with tarfile.open(data / datasets.CIFAR10.filename, "w:gz") as archive:
        archive.add(source / datasets.CIFAR10.base_folder, datasets.CIFAR10.base_folder)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(data / datasets.CIFAR10.filename))
    assert len(load("cifar10", data=data)) == 30


def idx(array):
    """Yann LeCun's format: a magic number with type and dimensions, the sizes, the bytes, big endian."""
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize(("name", "dataset"), [("mnist", datasets.MNIST), ("fashion-mnist", datasets.FashionMNIST)])
def test_mnist_is_unpacked_and_read(tmp_path, monkeypatch, offline, name, dataset):
    raw = tmp_path / dataset.__name__ / "raw"
    raw.mkdir(parents=True)
    files = {
        "train-images-idx3-ubyte.gz": rng.integers(0, 256, (12, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte.gz": (np.arange(12) % 10).astype(np.uint8),
        "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (5, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte.gz": np.arange(5, dtype=np.uint8),
    }
    for file, array in files.items():
        (raw / file).write_bytes(gzip.compress(idx(array)))
    monkeypatch.setattr(dataset, "resources", [(file, md5(raw / file)) for file in files])
    train, test = (load(name, split=split, data=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test), train.channels, train.image_size) == (12, 5, 1, 28)
    assert train.tensors()[1].tolist() == [*range(10), 0, 1]
    assert train.classes[9] == {"mnist": "9", "fashion-mnist": "Ankle boot"}[name]
    np.testing.assert_array_equal(test.raw(1)[..., 2], files["t10k-images-idx3-ubyte.gz"][1])


def test_svhn_is_read_from_matlab_files_with_ten_for_zero(tmp_path, monkeypatch):
    pixels = rng.integers(0, 256, (32, 32, 3, 7), dtype=np.uint8)
    files = {}
    for split in ("train", "test"):
        path = tmp_path / f"{split}_32x32.mat"
        scipy.io.savemat(path, {"X": pixels, "y": np.array([[1], [2], [3], [10], [9], [5], [10]], np.uint8)})
        files[split] = [*datasets.SVHN.split_list[split][:2], md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", files)
    images = load("svhn", data=tmp_path)
    assert images.tensors()[1].tolist() == [1, 2, 3, 0, 9, 5, 0]
    np.testing.assert_array_equal(images.raw(3), pixels[..., 3])


def test_stl10_is_read_from_its_column_wise_binaries(tmp_path, monkeypatch):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    pixels = rng.integers(0, 256, (4, 96, 96, 3), dtype=np.uint8)
    column_wise = pixels.transpose(0, 3, 2, 1).tobytes()
    contents = {
        "train_X.bin": column_wise,
        "train_y.bin": bytes([1, 2, 3, 10]),
        "unlabeled_X.bin": column_wise,
        "test_X.bin": column_wise,
        "test_y.bin": bytes([4, 5, 6, 7]),
    }
    names = "airplane bird car cat deer dog horse monkey ship truck"
    (folder / "class_names.txt").write_text(names.replace(" ", "\n"))
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    for attribute in ("train_list", "test_list"):
        listed = [[file, md5(folder / file)] for file, _ in getattr(datasets.STL10, attribute)]
        monkeypatch.setattr(datasets.STL10, attribute, listed)
    train, test = (load("stl10", split=split, data=tmp_path) for split in ("train", "test"))
    assert train.classes == tuple(names.split())
    assert train.tensors()[1].tolist() == [0, 1, 2, 9]
    assert test.tensors()[1].tolist() == [3, 4, 5, 6]
    np.testing.assert_array_equal(test.raw(3), pixels[3])
    half = load("stl10", data=tmp_path, image_size=48)
    assert half.raw(0).shape == (48, 48, 3)
    assert abs(half.raw(0).mean() - pixels[0].mean()) < 1  # an average over 2 × 2 pixels keeps the mean


@pytest.mark.parametrize("name", SOURCES)
def test_missing_and_offline_is_one_sentence_with_the_folder_and_two_ways_out(tmp_path, offline, capsys, name):
    with pytest.raises(LabError) as caught:
        load(name, data=tmp_path / "here")
    sentence = str(caught.value)
    assert str(tmp_path / "here") in sentence
    assert "connect to the internet" in sentence
    assert SOURCES[name].files in sentence
    assert "\n" not in sentence
    assert not capsys.readouterr().out  # torchvision prints; stdout belongs to the caller


def test_a_file_with_a_wrong_checksum_is_not_trusted(tmp_path, offline):
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list:
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(pickle.dumps({"data": [], "labels": []}))
    with pytest.raises(LabError, match="cifar10 is not complete in"):
        load("cifar10", data=tmp_path)


def test_a_download_is_tried_and_used(tmp_path, monkeypatch):
    """The whole road of a first use: ask the server, check the checksum, unpack, read."""
    source = tmp_path / "source"
    source.mkdir()
    write_cifar(source, datasets.CIFAR10, "labels", [str(n) for n in range(10)], monkeypatch)
    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / "cifar.tar.gz", "w:gz") as archive:
        archive.add(source / datasets.CIFAR10.base_folder, datasets.CIFAR10.base_folder)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(served / "cifar.tar.gz"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(served))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/cifar.tar.gz")
            assert len(load("cifar10", data=tmp_path / "new" / "data")) == 30
        finally:
            server.shutdown()
            thread.join()
    assert (tmp_path / "new" / "data" / "cifar-10-batches-py" / "data_batch_1").exists()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""
