import math

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.nets import Net, build
from labapp.nets.resnet import PadShortcut, ResidualBlock


class Nothing(nn.Module):
    """A shortcut that is not there."""

    def __init__(self, like: nn.Module) -> None:
        super().__init__()
        self.branch = [like]  # in a list, so that it is not a child

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(self.branch[0](x))


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 20},
        {"depth": 20, "preactivation": True},
        {"depth": 29, "block": "bottleneck"},
        {"form": "imagenet", "depth": 18, "width": 8},
        {"form": "imagenet", "depth": 50, "width": 8},
    ],
    ids=str,
)
def test_a_plain_net_is_the_residual_net_without_its_shortcuts(options: dict) -> None:
    x = torch.randn(4, 3, 32, 32)
    torch.manual_seed(0)
    residual = build("residual", shortcut="A", **options)
    torch.manual_seed(0)
    plain = build("plain", **options)
    assert list(plain.state_dict()) == list(residual.state_dict())
    assert all(torch.equal(here, there) for here, there in zip(plain.parameters(), residual.parameters(), strict=True))
    assert plain.places == residual.places
    assert not plain.residual_blocks()
    residual.eval(), plain.eval()
    assert not torch.allclose(plain(x), residual(x))
    for block in residual.residual_blocks():
        block.shortcut = Nothing(block.branch)
    assert torch.equal(plain(x), residual(x))


@pytest.mark.parametrize("options", [{}, {"shortcut": "B"}, {"shortcut": "C"}, {"preactivation": True}], ids=str)
def test_blocks_have_the_parts_that_the_recorder_listens_to(options: dict) -> None:
    net = build("residual", depth=14, **options)
    blocks = net.residual_blocks()
    assert len(blocks) == 6
    assert [path for path, module in net.named_modules() if module in blocks] == [
        place.path for place in net.places if place.kind == "block"
    ]
    heard: dict[tuple[int, str], Tensor] = {}
    for number, block in enumerate(blocks):
        assert isinstance(block, ResidualBlock)
        for part in ("branch", "shortcut", "add", "activation"):
            getattr(block, part).register_forward_hook(
                lambda _m, _i, output, key=(number, part): heard.__setitem__(key, output.clone())
            )
    net(torch.randn(2, 3, 16, 16))
    for number in range(6):
        branch, shortcut, total, after = (heard[number, part] for part in ("branch", "shortcut", "add", "activation"))
        assert torch.equal(branch + shortcut, total)
        assert torch.equal(after, total if options.get("preactivation") else total.relu())


@pytest.mark.parametrize(("shortcut", "projections", "pads"), [("A", 0, 2), ("B", 2, 0), ("C", 9, 0)])
def test_shortcuts(shortcut: str, projections: int, pads: int) -> None:
    for preactivation in (False, True):
        net = build("residual", depth=20, shortcut=shortcut, preactivation=preactivation)
        ways = [block.shortcut for block in net.residual_blocks()]
        assert sum(isinstance(way, nn.Sequential) for way in ways) == projections
        assert sum(isinstance(way, PadShortcut) for way in ways) == pads
        assert sum(isinstance(way, nn.Identity) for way in ways) == 9 - projections - pads
        norms = [m for way in ways for m in way.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(norms) == (0 if preactivation else projections)


def test_pad_shortcut() -> None:
    x = torch.randn(2, 3, 6, 6)
    padded = PadShortcut(2, stride=2)(x)
    assert padded.shape == (2, 5, 3, 3)
    assert torch.equal(padded[:, :3], F.max_pool2d(x, 1, stride=2))
    assert (padded[:, 3:] == 0).all()


def test_a_preactivation_stage_is_its_input_plus_all_branches() -> None:
    """He 2016, eq. (4)."""
    net = build("residual", depth=32, preactivation=True).double()
    kept: dict[str, Tensor] = {}
    for path, module in net.named_modules():
        if path in ("stem", "stage1") or (path.startswith("stage1") and path.endswith(".branch")):
            module.register_forward_hook(lambda _m, _i, output, path=path: kept.__setitem__(path, output))
    net(torch.randn(4, 3, 16, 16, dtype=torch.float64))
    branches = sum(output for path, output in kept.items() if path.endswith(".branch"))
    assert torch.allclose(kept["stage1"], kept["stem"] + branches, rtol=0, atol=1e-12)  # float64, order of 5 additions


def test_preactivation_of_projections_is_shared() -> None:
    net = build("residual", depth=14, shortcut="B", preactivation=True)
    kinds = [[type(m).__name__ for m in block.preactivation.children()] for block in net.residual_blocks()]
    assert kinds == [[], [], ["BatchNorm2d", "ReLU"], [], ["BatchNorm2d", "ReLU"], []]
    heads = [type(next(block.branch.children())).__name__ for block in net.residual_blocks()]
    assert heads == ["Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d"]


def test_preactivation_resnet50_agrees_with_timm() -> None:
    """timm pools before the first norm and ReLU, we after: the same as long as the norm's weights are positive."""
    torch.manual_seed(0)
    theirs = timm.create_model("resnetv2_50", num_classes=10).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
    ours = build("resnet50", preactivation=True, num_classes=10).eval()
    state = {}
    for path, value in theirs.state_dict().items():
        path = path.replace("downsample.conv", "shortcut.conv")
        if path.startswith("stages"):
            _, stage, _, block, *rest = path.split(".")
            rest = ["branch", *rest] if rest[0] != "shortcut" else rest
            if block == "0" and rest[1] == "norm1":
                rest = ["preactivation", "norm", rest[2]] if stage != "0" else ["stem", "norm", rest[2]]
            at = [] if rest[0] == "stem" else [f"stage{int(stage) + 2}", f"block{int(block) + 1}"]
            path = ".".join([*at, *rest])
        elif path.startswith("head.fc"):
            path, value = path.replace("head.fc", "head.classifier"), value.flatten(1) if value.ndim > 1 else value
        elif path.startswith("norm"):
            path = f"head.{path}"
        state[path] = value
    ours.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        here, there = ours(x), theirs(x)
    assert (here - there).abs().max() <= 1e-5 * there.abs().max()  # float32: the pool moved past the norm


def first_over_last(net: Net, images: Tensor, labels: Tensor) -> float:
    """Ratio of the gradient norms at the outputs of the first and the last convolution."""
    norms: dict[str, float] = {}
    paths = [place.path for place in net.places if place.kind == "conv"]
    for path in (paths[0], paths[-1]):

        def listen(_module: nn.Module, _inputs: object, output: Tensor, path: str = path) -> None:
            output.register_hook(lambda gradient: norms.__setitem__(path, gradient.norm().item()))

        net.get_submodule(path).register_forward_hook(listen)
    F.cross_entropy(net(images), labels).backward()
    return norms[paths[0]] / norms[paths[-1]]


@pytest.mark.parametrize(("family", "expected"), [("plain", 28), ("residual", 8.6)])
def test_gradients_at_initialisation(family: str, expected: float) -> None:
    """FACTS §2. Over seeds the logarithm scatters by 0.08, so the mean of four is known to 4 %; here 28.2 and 8.9."""
    logarithms = []
    for seed in range(4):
        torch.manual_seed(seed)
        net = build(family, depth=20, image_size=16)
        logarithms.append(math.log(first_over_last(net, torch.randn(64, 3, 16, 16), torch.randint(10, (64,)))))
    assert math.exp(sum(logarithms) / 4) == pytest.approx(expected, rel=0.15)
