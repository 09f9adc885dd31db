"""`labapp explain` as it is typed, on real runs and on nets of other makers."""

import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from labapp.commands.cli import main
from labapp.probes import explanations
from labapp.store import list_runs


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3),"
        " nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))\n\n"
        "def rgba():\n"
        "    return nn.Sequential(nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))\n\n"
        "def half():\n"
        "    return make().half()\n\n"
        "def double():\n"
        "    return make().double()\n\n"
        "def one():\n"
        "    return nn.Sequential(make(), nn.Linear(10, 1))\n\n"
        "class Late(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.body, self.stem, self.f = nn.Conv2d(8, 8, 3), nn.Conv2d(3, 8, 3), nn.Linear(8, 5)\n"
        "    def forward(self, x):\n"
        "        return self.f(self.body(self.stem(x).relu()).mean((2, 3)))\n\n"
        "def fussy():\n"
        "    net = make()\n"
        "    net[1].forward = lambda x: {}['nothing']\n"
        "    return net\n\n"
        "class Dictionary(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.net = make()\n"
        "    def forward(self, x):\n"
        "        return {'out': self.net(x)}\n"
    )
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")


def explain(line, trained, capsys):
    assert main(["explain", *line.split(), "--root", str(trained)]) == 0
    out, err = capsys.readouterr()
    return out, err


def test_two_runs_two_methods_two_images(trained, tmp_path, capsys):
    out, err = explain(
        "residual-8 plain-8 --index 0 4 --methods gradcam saliency --targets true --out looks", trained, capsys
    )
    assert err == ""
    assert "residual-8, step 30, image 4, gradcam: asked about" in out
    folder = tmp_path / "looks"
    names = {path.name for path in folder.iterdir()}
    sheets = {f"image-{n}.{method}.png" for n in (0, 4) for method in ("gradcam", "saliency")}
    assert names == {*sheets, "maps", "maps.npz", "scores.csv"}
    assert all(str(folder.name + "/" + name) in out for name in sheets)

    scores = pd.read_csv(folder / "scores.csv")
    assert len(scores) == 2 * 2 * (3 + 1)  # three stages, and the image itself for saliency
    assert set(scores["net"]) == {"residual-8", "plain-8"}
    assert (scores["target"] == scores["true"]).all()
    for column in ("energy", "pointing", "deletion", "insertion", "mask_share"):
        assert scores[column].dropna().between(0, 1).all()
    assert (scores["infidelity"] >= 0).all()

    run = next(run for run in list_runs(trained) if run.name == "plain-8")
    found = explanations.look(explanations.of_run(run), explanations.from_set(run, 4), target="true")
    raw = np.load(folder / "maps.npz")
    assert len(raw) == len(scores)
    for layer in found.stages:
        np.testing.assert_array_equal(raw[f"plain-8-step-30/image-4/gradcam/{layer.path}"], layer.evidence)
    singles = list((folder / "maps").glob("*.png"))
    assert len(singles) == len(scores)
    with Image.open(singles[0]) as single:
        assert single.size == (224, 224)


@pytest.mark.long
def test_over_checkpoints_with_a_drift(trained, tmp_path, capsys):
    explain("residual-8 --index 0 --checkpoints all --no-faithfulness --out o", trained, capsys)
    steps = next(run for run in list_runs(trained) if run.name == "residual-8").checkpoints()
    drift = pd.read_csv(tmp_path / "o" / "drift.csv")
    assert drift[drift["measure"] == "formed"]["step"].tolist() == steps
    assert drift[drift["measure"] == "drift"]["step"].tolist() == steps[1:]
    scores = pd.read_csv(tmp_path / "o" / "scores.csv")
    assert set(scores["step"]) == set(steps)
    assert set(scores["target"]) == set(scores[scores["step"] == steps[-1]]["predicted"])  # one class for all


@pytest.mark.parametrize(
    ("layers", "paths"),
    [
        ("stem.conv stage2.block1", ["stem.conv", "stage2.block1"]),
        ("stage*.block1", ["stage1.block1", "stage2.block1", "stage3.block1"]),
        ("depths", ["stage1.block1", "stage2.block1", "stage3.block1"]),
        ("blocks", ["stage1.block1", "stage2.block1", "stage3.block1"]),
    ],
)
def test_layers_are_chosen_by_word_path_or_glob(trained, tmp_path, capsys, layers, paths):
    explain(f"residual-8 --index 1 --layers {layers} --no-faithfulness --out o", trained, capsys)
    assert pd.read_csv(tmp_path / "o" / "scores.csv")["layer"].tolist() == paths


def test_a_picture_of_ones_own_through_runs_of_all_families(trained, tmp_path, capsys):
    explain("plain-8 residual-8 dense-10 vgg-11 --image cat.png --no-faithfulness --out o", trained, capsys)
    scores = pd.read_csv(tmp_path / "o" / "scores.csv")
    assert scores["energy"].isna().all()
    assert scores["true"].isna().all()
    assert set(scores["net"]) == {"plain-8", "residual-8", "dense-10", "vgg-11"}


def test_a_net_of_ones_own_with_a_state_dict(trained, tmp_path, capsys):
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        import mynet

        torch.manual_seed(0)
        torch.save(mynet.make().state_dict(), tmp_path / "net.pt")
        line = "mynet:make --weights net.pt --imageset cluttered-digits --index 3 --layers conv --out o"
        _, err = explain(line, trained, capsys)
        assert err == ""
        scores = pd.read_csv(tmp_path / "o" / "scores.csv")
        assert scores["layer"].astype(str).tolist() == ["0", "3"]
        assert scores["height"].tolist() == [24, 10]
        assert scores["mask_share"].between(0, 1).all()
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["mynet"]


def test_torchvision_by_name(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there: as without a network
    line = "torchvision:squeezenet1_1 --image-size 64 --image cat.png --layers features.12 --no-faithfulness --out o"
    with pytest.warns(UserWarning, match="is shown with random weights"):
        explain(line, trained, capsys)
    scores = pd.read_csv(tmp_path / "o" / "scores.csv")
    assert scores["layer"].tolist() == ["features.12"]
    assert not scores["target"].str.isdecimal().any()  # ImageNet's names


def test_scores_over_many_images_with_intervals(trained, tmp_path, capsys):
    out, _ = explain("residual-8 plain-8 --score 100 --out o", trained, capsys)
    assert "of the energy inside the mask, random weights" in out
    energy = pd.read_csv(tmp_path / "o" / "energy.csv")
    assert set(energy["net"]) == {"trained", "untrained", "difference", "uniform"}
    known = energy.dropna(subset="mean")
    assert ((known["low"] <= known["mean"]) & (known["mean"] <= known["high"])).all()
    assert energy[energy["net"] == "uniform"]["images"].eq(100).all()
    assert len(pd.read_csv(tmp_path / "o" / "agreement.csv")) == 2
    sanity = pd.read_csv(tmp_path / "o" / "sanity.csv")
    assert sanity["verdict"].notna().all()
    assert not (tmp_path / "o" / "maps.npz").exists()


def bad_picture(kind, tmp_path):
    path = tmp_path / "bad.png"
    if kind == "text":
        path.write_text("no picture")
    elif kind == "dot":
        Image.new("RGB", (1, 1)).save(path)
    elif kind == "bomb":
        Image.new("RGB", (8, 8)).save(path)
        content = bytearray(path.read_bytes())
        content[16:24] = (50_000).to_bytes(4) * 2  # the header's width and height
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("text", "is no picture"),
        ("dot", "has only 1×1 pixels"),
        ("bomb", "pixels; the lab reads at most 50 million"),
        ("missing", "there is no file"),
    ],
)
def test_a_file_that_cannot_be_looked_at(trained, tmp_path, capsys, kind, sentence):
    path = bad_picture(kind, tmp_path)
    assert main(["explain", "residual-8", "--image", str(path), "--root", str(trained)]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "which net?"),
        ("residual-8", "which image?"),
        ("residul-8 --index 0", "did you mean 'residual-8'?"),
        ("residual-8 --index 999", "there is no image 999: the test set of cluttered-digits has 120"),
        ("residual-8 --index 0 --targets 10", "class 10 is out of range"),
        ("residual-8 --index 0 --targets 1 2", "2 targets do not fit 1 images"),
        ("residual-8 --image cat.png --targets true", "the true class of cat.png is not known"),
        ("residual-8 --index 0 --layers head.classifier", "has no map to show"),
        ("residual-8 --index 0 --layers stage9", "has no layer 'stage9'"),
        ("residual-8 --index 0 --methods gradkam", "did you mean 'gradcam'?"),
        ("residual-8 --index 0 --checkpoints 7", "has no checkpoint at step 7"),
        ("residual-8 --index 0 --checkpoints last", "takes all or steps, not 'last'"),
        ("residual-8 --index 0 --weights x.pt", "--weights belongs to one net"),
        ("residual-8 --index x", "index"),
        ("residual-8 --score -3", "cannot be -3"),
        ("mynet:make --index 0", "has no test set of its own"),
        ("mynet:make --weights gone.pt --image cat.png", "there is no weights file gone.pt"),
        ("mynet:maek --image cat.png", "did you mean 'make'?"),
        ("torchvision:resnet19 --image cat.png", "did you mean 'resnet1"),
        ("residual-8 --index 0 --out cat.png", "cannot write into cat.png"),
        ("residual-8 --index 0 --imageset mnits", "did you mean 'mnist'?"),
        ("residual-8 --index 0 --mean 0.5", "a run knows its images"),
        ("mynet:rgba --image cat.png --image-size 16", "mynet:rgba reads images of 4 channels (its '0' does)"),
        ("mynet:make --image cat.png --image-size 16 --mean 0.1 0.2", "mean has 2 values for 3 channels"),
        ("mynet:make --image cat.png --image-size 16 --std 0", "std divides the images"),
        ("mynet:make --image cat.png --image-size 16 --mean half", "half"),
        ("mynet:fussy --image cat.png --image-size 16", "the net fails on images of 3×16×16 in float32 (KeyError: "),
    ],
)
@pytest.mark.filterwarnings("ignore:.*as its factory made it")
def test_a_mistake_is_one_sentence(trained, capsys, line, sentence):
    assert main(["explain", *line.split(), "--root", str(trained)]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.filterwarnings("ignore:.*as its factory made it")
@pytest.mark.parametrize("name", ["half", "double", "Late"])
def test_nets_of_any_precision_and_order(trained, tmp_path, capsys, name):
    out, _ = explain(
        f"mynet:{name} --image cat.png --image-size 16 --methods gradcam saliency --out o", trained, capsys
    )
    assert (
        f"mynet:{name} reads 16×16 pixels, mean 0.485/0.456/0.406, deviation 0.229/0.224/0.225, assumed, since" in out
    )
    scores = pd.read_csv(tmp_path / "o" / "scores.csv")
    assert scores[["deletion", "insertion"]].notna().all(axis=None)
    assert all(values.dtype == np.float32 for values in np.load(tmp_path / "o" / "maps.npz").values())


@pytest.mark.filterwarnings("ignore:.*as its factory made it")
def test_how_pixels_are_read_can_be_said(trained, tmp_path, capsys):
    line = "mynet:make --image cat.png --image-size 16 --no-faithfulness --mean 0.5 --std 0.1 0.2 0.3 --out o"
    out, _ = explain(line, trained, capsys)
    assert "mynet:make reads 16×16 pixels, mean 0.5/0.5/0.5, deviation 0.1/0.2/0.3, as you say" in out


@pytest.mark.filterwarnings("ignore:.*as its factory made it")
def test_one_output_has_scores_that_cannot_be_told_and_says_why(trained, tmp_path, capsys):
    explain("mynet:one --image cat.png --image-size 16 --out o", trained, capsys)
    scores = pd.read_csv(tmp_path / "o" / "scores.csv")
    assert scores[["deletion", "insertion", "probability"]].isna().all(axis=None)
    assert scores["note"].str.contains("one output, of which softmax makes 1").all()


def test_a_net_that_returns_a_dictionary(trained, capsys):
    with pytest.warns(UserWarning, match="as its factory made it"):
        assert main(["explain", "mynet:Dictionary", "--image", "cat.png", "--image-size", "16"]) == 2
    assert "returns a dict" in capsys.readouterr().err


def test_two_runs_of_one_net_are_told_apart(trained, tmp_path, capsys):
    import shutil

    run = next(run for run in list_runs(trained) if run.name == "plain-8")
    for name in ("one", "two"):
        shutil.copytree(run.path, tmp_path / "runs" / name)
    assert main(["explain", "plain-8", "--index", "0"]) == 2
    assert "2 runs are a plain-8; give one of" in capsys.readouterr().err
    assert main(["explain", "one", "two", "--index", "0", "--no-faithfulness", "--out", "o"]) == 0
    assert set(pd.read_csv(tmp_path / "o" / "scores.csv")["net"]) == {"one", "two"}
