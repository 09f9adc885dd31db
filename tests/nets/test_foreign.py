import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from labapp.config import LabError
from labapp.nets import build, names
from labapp.nets.foreign import foreign, load_torchvision, torchvision_keys

TORCHVISION = [name for name in names() if name in models.list_models()]
# the same code with other counts, and up to 144 million weights to draw twice
ALIKE = {"vgg13", "vgg13_bn", "vgg19", "vgg19_bn", "resnet101", "densenet161", "densenet169"}
FEW = {"vgg11_bn", "resnet18", "resnet50", "densenet121"}  # with and without bottlenecks


def drawn(net: nn.Module, seed: int) -> nn.Module:
    """A net from the meta device with weights and running statistics that keep a signal's size."""
    net = net.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if value.ndim > 1:
            bound = (6 / value[0].numel()) ** 0.5
            value.uniform_(-bound, bound, generator=generator)
        elif name.endswith("num_batches_tracked"):
            value.zero_()
        elif name.endswith(("running_var", "weight")):
            value.uniform_(0.4, 0.8, generator=generator)
        else:
            value.uniform_(-0.1, 0.1, generator=generator)
    return net


def outputs(net: nn.Module, paths: list[str], x: torch.Tensor) -> list[torch.Tensor]:
    kept: dict[str, torch.Tensor] = {}
    for path in paths:  # copies, because torchvision's ReLUs overwrite what a norm gave
        net.get_submodule(path).register_forward_hook(
            lambda _m, _i, output, path=path: kept.__setitem__(path, output.clone())
        )
    with torch.no_grad():
        kept["logits"] = net(x)
    return [kept[path] for path in [*paths, "logits"]]


@pytest.mark.parametrize("name", sorted(ALIKE))
def test_weights_have_their_places_in_the_others_too(name: str) -> None:
    with torch.device("meta"):
        theirs, ours = models.get_model(name), build(name)
    keys = torchvision_keys(ours, theirs.state_dict())
    assert sorted(keys.values()) == sorted(theirs.state_dict())
    load_torchvision(ours, theirs.state_dict())


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in FEW else [pytest.mark.long]) for name in TORCHVISION if name not in ALIKE],
)
def test_same_weights_in_same_outputs_out_layer_by_layer(name: str) -> None:
    with torch.device("meta"):
        theirs, ours = models.get_model(name, num_classes=10), build(name, num_classes=10)
    theirs, ours = drawn(theirs, 0), drawn(ours, 1)
    keys = torchvision_keys(ours, theirs.state_dict())
    load_torchvision(ours, theirs.state_dict())
    places = [place.path for place in ours.places if place.kind in ("conv", "norm", "linear")]
    their_paths = [keys[f"{path}.weight"].removesuffix(".weight") for path in places]
    assert len(set(their_paths)) == len(their_paths) > 10
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    both = zip(outputs(ours, places, x), outputs(theirs, their_paths, x), strict=True)
    for path, (here, there) in zip([*places, "logits"], both, strict=True):
        # the same operations in the same order; room for float32 kernels that are chosen by a tensor's place in memory
        assert (here - there).abs().max() <= 1e-5 * there.abs().max(), path
        assert there.abs().max() > 0, path


def test_all_of_torchvisions_nets_of_our_families_are_compared() -> None:
    families = ("resnet", "densenet", "vgg")
    theirs = {name for name in models.list_models() if name.startswith(families)}
    assert theirs == set(TORCHVISION)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("resnet18", "resnet34"), ("resnet34", "resnet18"), ("vgg11", "vgg11_bn")]
)
def test_weights_of_another_net_are_refused(ours: str, theirs: str) -> None:
    with torch.device("meta"):
        net, state = build(ours), models.get_model(theirs).state_dict()
        with pytest.raises(LabError, match="these weights are of another net"):
            load_torchvision(net, state)


def test_torchvision_and_timm_by_name() -> None:
    assert isinstance(foreign("torchvision:resnet18", num_classes=7), models.ResNet)
    assert foreign("torchvision:resnet18", num_classes=7).fc.out_features == 7
    assert foreign("timm:resnet10t", num_classes=7)(torch.randn(2, 3, 32, 32)).shape == (2, 7)


OWN = """
import torch
def net(classes=3):
    import lab_test_neighbour
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, classes))
def number():
    return 3
def unreadable():
    open("nowhere/at/all")
def broken():
    raise RuntimeError("no weights here\\nreally")
constant = 5
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab_test_nets.py").write_text(OWN)
    (tmp_path / "lab_test_neighbour.py").write_text("")
    (tmp_path / "lab_test_needy.py").write_text("import lab_test_absent")
    (tmp_path / "lab_test_faulty.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for module in set(sys.modules) - before:
        if module.startswith("lab_test"):
            del sys.modules[module]


def test_a_net_of_ones_own(own: None) -> None:
    path = sys.path.copy()
    assert foreign("lab_test_nets:net")(torch.randn(2, 3, 2, 2)).shape == (2, 3)
    assert foreign("lab_test_nets:net", classes=4)(torch.randn(2, 3, 2, 2)).shape == (2, 4)
    with pytest.raises(LabError):
        foreign("lab_test_nets:broken")
    assert sys.path == path


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("resnet18", "'resnet18' names no net; write torchvision:resnet18"),
        ("torchvision:", "names no net"),
        (":resnet18", "names no net"),
        ("torchvision:resnet19", r"torchvision has no net 'resnet19' \(did you mean 'resnet1"),
        ("timm:resnet19", r"timm has no net 'resnet19' \(did you mean 'resnet"),
        ("torchvison:resnet18", r"'torchvison' is not found .*did you mean 'torchvision'"),
        ("lab_test_nets:nett", r"has no callable 'nett' \(did you mean 'net'\?\)"),
        ("lab_test_nets:constant", "has no callable 'constant'"),
        ("lab_test_nets:number", "lab_test_nets:number made a thing of type int, not a torch.nn.Module"),
        ("lab_test_nets:broken", "making lab_test_nets:broken failed: RuntimeError: no weights here$"),
        ("lab_test_nets:unreadable", "making lab_test_nets:unreadable failed: FileNotFoundError: .*'nowhere/at/all'$"),
        ("lab_test_needy:net", "No module named 'lab_test_absent'"),
        ("lab_test_faulty:net", "importing 'lab_test_faulty' failed: ZeroDivisionError"),
    ],
)
def test_mistakes_are_one_sentence(own: None, spec: str, says: str) -> None:
    with pytest.raises(LabError, match=says) as caught:
        foreign(spec)
    assert "\n" not in str(caught.value)


def test_mistaken_options(own: None) -> None:
    with pytest.raises(LabError, match=r"weights are None or 'default', not 'defualt'.*did you mean 'default'"):
        foreign("torchvision:resnet18", weights="defualt")
    with pytest.raises(LabError, match="brings its own weights"):
        foreign("lab_test_nets:net", weights="default")
    with pytest.raises(LabError, match=r"making torchvision:resnet18 failed: TypeError: .*classes"):
        foreign("torchvision:resnet18", classes=3)


def test_trained_weights_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens at the discard port
    with pytest.raises(LabError, match=r"the weights of torchvision:resnet18 could not be fetched .*go online once"):
        foreign("torchvision:resnet18", weights="default")


@pytest.mark.parametrize("name", ["fcn_resnet50", "fasterrcnn_mobilenet_v3_large_fpn", "resnet18"])
def test_a_net_with_first_weights_fetches_none(name, monkeypatch):
    """torchvision would fetch those of a detector's backbone; what a run names is built without asking anybody."""

    def fetched(*arguments, **options):
        pytest.fail(f"fetched {arguments}")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", fetched)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetched)
    assert isinstance(foreign(f"torchvision:{name}"), nn.Module)


@pytest.mark.parametrize("name", ["hf_hub:timm/resnet18", "hf-hub:timm/resnet18", "local-dir:/tmp/net", "../x", "a/b"])
def test_a_name_that_leads_out_of_timms_list_is_refused(name, monkeypatch):
    monkeypatch.setattr("socket.create_connection", lambda *_: pytest.fail("went online"))
    with pytest.raises(LabError, match="timm has no net"):
        foreign(f"timm:{name}")
