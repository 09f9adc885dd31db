"""The published record: complete, with sources, of nets that the lab can build, and shipped with the package."""

import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch

import labapp
from labapp import frames
from labapp.config import Experiment
from labapp.frames.published import experiment_of
from labapp.nets import build

HE, IDENTITY, DENSE = "He et al. 2015", "He et al. 2016", "Huang et al. 2017"


def test_every_number_has_its_source() -> None:
    table = frames.record()
    assert len(table) >= 50
    assert table[["net", "imageset", "quantity", "value", "source", "address"]].notna().all(axis=None)
    assert table["address"].str.match(r"arXiv:\d{4}\.\d{4,5}").all()
    assert not table.duplicated(["net", "quantity", "conditions", "source", "value"]).any()
    assert set(table["bound"]) == {"", "above"}


@pytest.mark.parametrize(
    ("net", "source", "errors"),
    [
        ({"family": "plain", "depth": 34, "form": "imagenet"}, HE, [28.54]),
        ({"family": "residual", "depth": 34, "form": "imagenet"}, HE, [25.03, 24.52, 24.19]),
        ({"family": "residual", "depth": 56}, HE, [6.97]),
        ({"family": "residual", "depth": 110}, HE, [6.61, 6.43]),
        ({"family": "residual", "depth": 1202}, HE, [7.93]),
        ({"family": "residual", "depth": 110, "preactivation": True}, IDENTITY, [6.37]),
        ({"family": "residual", "depth": 110}, IDENTITY, []),  # with halved shortcuts, which is another net
        ({"family": "residual", "depth": 1001, "block": "bottleneck", "preactivation": True}, IDENTITY, [4.92]),
        ({"family": "dense", "depth": 100, "growth_rate": 24}, DENSE, [3.74]),
        ({"family": "dense", "depth": 100, "bottleneck": True, "compression": 0.5}, DENSE, [4.51]),
        ({"family": "dense", "depth": 100, "bottleneck": True, "compression": 1.0}, DENSE, []),
        ({"family": "vgg", "form": "imagenet", "configuration": "C"}, "Simonyan & Zisserman 2014", [28.1]),
        ({"family": "vgg", "form": "imagenet", "depth": 19}, "Simonyan & Zisserman 2014", [27.3, 25.5]),
        ({"family": "plain", "depth": 20}, HE, []),
        ({"net": "torchvision:resnet50"}, HE, []),
    ],
)
def test_a_net_finds_its_own_numbers(net: dict, source: str, errors: list[float]) -> None:
    rows = frames.published(Experiment(**net))
    own = rows[(rows["quantity"] == "error") & rows["source"].str.startswith(source)]
    assert list(own["value"]) == errors


def test_what_differs_is_told() -> None:
    same, narrow = (frames.published(Experiment(family="residual", depth=20, width=width)) for width in (16, 8))
    assert set(same["differs"]) == {""}
    assert set(narrow["differs"]) == {"width 8, 16 there"}
    vgg = frames.published(Experiment(family="vgg", form="imagenet", depth=16))
    assert set(vgg["differs"]) == {"norm batch, none there"}


def test_numbers_read_as_in_the_paper() -> None:
    rows = frames.published(Experiment(family="residual", depth=110))
    words = [frames.published_words(row) for row in rows.itertuples()]
    assert words[:3] == ["6.61 ± 0.16 %", "6.43 %", "1.7 M"]
    (plain,) = frames.published(Experiment(family="plain", depth=110)).itertuples()
    assert frames.published_words(plain) == "above 60 %"


def test_the_lab_s_own_number_stands_beside_only_where_it_is_the_same_quantity() -> None:
    net = {"family": "residual", "depth": 20}
    there = frames.beside(Experiment(imageset="cifar10", **net), 269_722, 0.9)
    assert list(there["own"]) == pytest.approx([10.0, 269_722])
    assert list(there["what"]) == ["CIFAR-10 error", "parameters, rounded"]
    assert np.isnan(frames.beside(Experiment(**net), 269_722, 0.9)["own"].iloc[0])  # cluttered digits are other images


def test_published_sizes_are_those_of_the_lab_s_nets() -> None:
    table = frames.record()
    sizes = [row for row in table[table["quantity"] == "parameters"].to_dict("records") if row["depth"] < 1202]
    assert len(sizes) == 11
    for row in sizes:
        with torch.device("meta"):
            net = build(**experiment_of(row).net_options(), image_size=32)
        ours = sum(parameter.numel() for parameter in net.parameters())
        # He's Table 6 rounds to two digits, Huang's Table 2 to a tenth of a million
        assert (round(ours, -5) if row["family"] == "dense" else float(f"{ours:.2g}")) == row["value"]


def test_every_data_file_of_the_package_is_shipped() -> None:
    root = Path(labapp.__file__).parent
    patterns = tomllib.loads((root.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "labapp"
    ]
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    data = [name for name in files if not name.endswith((".py", "py.typed")) and not (root / name).is_symlink()]
    assert "frames/published.csv" in data
    assert [name for name in data if not any(fnmatch(name, pattern) for pattern in patterns)] == []
