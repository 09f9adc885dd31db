"""Every recorded number against a slow float64 oracle, on the lab's nets and on other people's."""

import warnings

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from labapp.nets import build
from labapp.recording import Recorder, every
from tests.recording.oracle import first, oracle_step

MODELS = {
    "residual-8": (lambda: build("residual", depth=8, width=4, image_size=16), 16),
    "pre-activation": (
        lambda: build("residual", depth=14, width=4, preactivation=True, shortcut="B", image_size=16),
        16,
    ),
    "plain-8": (lambda: build("plain", depth=8, width=4, image_size=16), 16),
    "dense-10-bc": (
        lambda: build("dense", depth=10, growth_rate=4, bottleneck=True, compression=0.5, image_size=16),
        16,
    ),
    "vgg11-gap": (lambda: build("vgg", configuration="A", width=4, head="gap", image_size=32), 32),
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=10), 64),
    "torchvision densenet": (
        lambda: torchvision.models.DenseNet(8, (2, 2), 8, num_classes=10, memory_efficient=False),
        32,
    ),
    "torchvision densenet, memory efficient": (
        lambda: torchvision.models.DenseNet(8, (2, 2), 8, num_classes=10, memory_efficient=True),
        32,
    ),
    "torchvision vgg, in place": (lambda: torchvision.models.VGG(vgg_features(), num_classes=10, dropout=0.0), 32),
    "torchvision mobilenet_v3_small": (lambda: torchvision.models.mobilenet_v3_small(num_classes=10, dropout=0.0), 64),
    "torchvision vit": (
        lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=10),
        32,
    ),
    "torchvision swin": (
        lambda: torchvision.models.SwinTransformer(
            [4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=10, stochastic_depth_prob=0.0
        ),
        32,
    ),
    "timm resnet10t": (lambda: timm.create_model("resnet10t", num_classes=10, zero_init_last=False), 64),
}


def vgg_features():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 512, 3, padding=1), nn.BatchNorm2d(512), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
    )


def optimizer_of(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4)


def batch(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 3, size, size, generator=generator), torch.randint(0, 10, (4,), generator=generator)


def record(model, x, y, steps=1, **options):
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1), **options) as recorder:
        for _ in range(steps):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(first(model(x)), y).backward()
                optimizer.step()
    return recorder


# Attention uses its linear layers by their weights, which the recorder says in a warning.
@pytest.mark.filterwarnings("ignore:.*gave no output in the first recorded step")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_number_equals_the_oracle(name, dtype):
    make, size = MODELS[name]
    torch.manual_seed(0)
    model = make().train()
    x, y = batch(size)
    probe = record(make().train(), x, y)  # only to learn which layers there are
    paths = list(dict.fromkeys(layer["path"].split("#")[0] for layer in probe.layers))
    expected = oracle_step(model, optimizer_of, x, y, paths)
    recorder = record(model.to(dtype), x.to(dtype), y)
    table = recorder.table().set_index("layer")
    assert recorder.cost["missing_steps"] == []
    assert len(table) >= 5
    assert len(set(table.index) - set(expected)) <= 4  # those of attention, whose outputs no hook sees
    # float64: the table is float32 (2^-24). float32: the rounding of the net itself, up to 30 layers deep.
    tolerance = 1e-6 if dtype is torch.float64 else 2e-3
    for layer, row in table.iterrows():
        for quantity, value in expected.get(layer, {}).items():
            if quantity == "share_not_positive":
                if row.zero_fraction == row.zero_fraction:
                    assert row.zero_fraction == pytest.approx(value, abs=1e-6 if dtype is torch.float64 else 2e-3)
            elif quantity == "output_mean":
                assert row.output_mean == pytest.approx(value, abs=tolerance * max(1e-3, expected[layer]["output_std"]))
            else:
                # Gradients that cancel (a scale in front of a norm) are known to the rounding of what cancels.
                assert getattr(row, quantity) == pytest.approx(value, rel=tolerance, abs=1e-7), (layer, quantity)


def parts_of(name, block, x):
    """F(x) and shortcut(x) of a block, written down once more from the definitions."""
    if name.startswith("torchvision"):
        branch = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
        return branch, block.downsample(x) if block.downsample is not None else x
    if name.startswith("timm"):
        branch = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
        return branch, block.downsample(x) if block.downsample is not None else x
    return block.branch(x), block.shortcut(x)


@pytest.mark.parametrize("name", ["residual-8", "residual-8 B", "torchvision resnet18", "timm resnet10t"])
def test_the_residual_split_equals_autograd(name):
    torch.manual_seed(0)
    makes = {**MODELS, "residual-8 B": (lambda: build("residual", depth=8, width=4, shortcut="B", image_size=16), 16)}
    make, size = makes[name]
    model = make().double().train()
    x, y = batch(size)
    x = x.double()
    inputs, outputs = {}, {}
    blocks = {
        layer["path"]: layer for layer in record(make().double().train(), x, y).layers if layer["kind"] == "block"
    }
    assert blocks
    assert {layer["split"] for layer in blocks.values()} == {"branch+shortcut"}
    modules = dict(model.named_modules())
    handles = []
    for path in blocks:
        handles.append(modules[path].register_forward_hook(lambda m, a, o, p=path: inputs.update({p: a[0]})))
        handles.append(modules[path].register_forward_hook(lambda m, a, o, p=path: outputs.update({p: o})))
    loss = F.cross_entropy(model(x), y)
    gradients = dict(zip(outputs, torch.autograd.grad(loss, list(outputs.values())), strict=True))
    for handle in handles:
        handle.remove()
    expected = {}
    for path in blocks:
        given = inputs[path].detach().requires_grad_()
        branch, shortcut = parts_of(name, modules[path], given)
        total = branch + shortcut
        through = torch.autograd.grad(F.relu(total), total, gradients[path])[0]
        to_branch = torch.autograd.grad(branch, given, through, retain_graph=True)[0]
        to_shortcut = torch.autograd.grad(shortcut, given, through)[0] if shortcut is not given else through
        expected[path] = {
            "branch_norm": branch.norm().item(),
            "shortcut_norm": shortcut.norm().item(),
            "branch_grad_norm": to_branch.norm().item(),
            "shortcut_grad_norm": to_shortcut.norm().item(),
            "branch_shortcut_grad_cosine": F.cosine_similarity(
                to_branch.flatten(), to_shortcut.flatten(), dim=0
            ).item(),
        }
    table = record(model, x, y).table().set_index("layer")
    for path, quantities in expected.items():
        for quantity, value in quantities.items():
            assert table.loc[path, quantity] == pytest.approx(value, rel=2e-6, abs=1e-7), (path, quantity)


def test_both_parts_add_up_to_the_gradient_of_the_blocks_input():
    """∂E/∂x_l = ∂E/∂x_{l+1}·(1 + ∂F/∂x_l): |g|² = |b|² + |s|² + 2·cos·|b||s| at each block input (He 2016, eq. 5)."""
    torch.manual_seed(0)
    model = build("residual", depth=20, width=8, preactivation=True, image_size=16).double()
    x, y = batch(16)
    table = record(model, x.double(), y).table()
    blocks = table[table.kind == "block"].reset_index(drop=True)
    for before, block in zip(blocks.itertuples(), blocks.iloc[1:].itertuples(), strict=False):
        if before.stage != block.stage:
            continue  # the first block of a stage shares its pre-activation, so its paths part behind its input
        b, s, cosine = block.branch_grad_norm, block.shortcut_grad_norm, block.branch_shortcut_grad_cosine
        assert (b**2 + s**2 + 2 * cosine * b * s) ** 0.5 == pytest.approx(before.output_grad_norm, rel=1e-5)


def test_a_block_that_cannot_be_taken_apart_is_named_sum():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.one(x) + self.two(x) * x  # the second path leaves x twice

    model = nn.Sequential(nn.Linear(8, 8), Gate(), Gate(), nn.Linear(8, 10))
    recorder = record(model, torch.randn(4, 8), torch.randint(0, 10, (4,)))
    blocks = [layer for layer in recorder.layers if layer["kind"] == "block"]
    assert [layer["split"] for layer in blocks] == ["sum", "sum"]
    assert recorder.table().branch_grad_norm.isna().all()


def test_in_place_twin_gives_the_same_numbers():
    """Rule 3: conv–BN–ReLU in place against the same net out of place, every number equal to the bit."""

    def net(inplace):
        torch.manual_seed(0)
        layers = []
        for width in (3, 8, 8):
            layers += [nn.Conv2d(width, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=inplace)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))

    x, y = batch(8)
    one, two = (record(net(inplace), x, y, steps=3).table() for inplace in (True, False))
    assert one.equals(two)


def test_dead_channels_and_zero_fraction_are_those_of_the_rectifier():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    with torch.no_grad():
        model[0].bias[2:5] = -100.0
    x, y = batch(8)
    table = record(model, x, y).table().set_index("layer")
    assert table.loc["0", "dead_channels"] == 3
    assert table.loc["0", "zero_fraction"] == pytest.approx((model[0](x) <= 0).float().mean().item(), abs=0.02)
    assert table.loc["3"].isna()[["dead_channels", "zero_fraction"]].all()  # nothing rectifies the classifier


def test_a_functional_rectifier_is_found_too():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10)

        def forward(self, x):
            return self.head(F.relu_(self.norm(self.conv(x))).mean((2, 3)))

    x, y = batch(8)
    recorder = record(Net(), x, y)
    assert {layer["path"]: layer["rectified"] for layer in recorder.layers} == {
        "conv": False,
        "norm": True,
        "head": False,
    }


def test_lifetimes_say_when_a_channel_died_and_came_back():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 10))
    x, y = batch(8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for bias in (0.0, -1e3, -1e3, 1e3):
            with recorder.step():
                with torch.no_grad():
                    model[0].bias[1] = bias
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    events = recorder.table("lifetimes")
    assert events[["step", "layer", "channel", "event"]].values.tolist() == [
        [1, "0", 1, "died"],
        [3, "0", 1, "revived"],
    ]


def test_histograms_count_every_value_in_fixed_bins():
    torch.manual_seed(0)
    model = build("residual", depth=8, width=4, image_size=16)
    x, y = batch(16)
    recorder = record(model, x, y, steps=4, histograms=every(2))
    table = recorder.table("histograms")
    assert sorted(table.step.unique()) == [0, 2]
    shapes = {layer["path"]: layer["shape"] for layer in recorder.layers}
    for (layer, _, _), part in table.groupby(["layer", "of", "step"]):
        assert part["count"].sum() == 4 * torch.Size(shapes[layer]).numel()
        assert part.exponent.between(-127, 128).all()


def test_gradient_signal_to_noise_equals_its_definition():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 16), nn.ReLU(), nn.Linear(16, 10)).double()
    x, y = torch.randn(32, 3, 8, 8).double(), torch.randint(0, 10, (32,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parts = list(zip(x.chunk(4), y.chunk(4), strict=True))
    own = [torch.autograd.grad(F.cross_entropy(model(a), b), model[1].weight)[0] for a, b in parts]
    mean = torch.stack(own).mean(0)
    expected = (mean**2).sum() / torch.stack(own).var(0, correction=1).sum()
    with Recorder(model, optimizer, when=every(1), gradient_noise=True) as recorder, recorder.step():
        optimizer.zero_grad()
        for a, b in parts:
            (F.cross_entropy(model(a), b) / 4).backward()
        optimizer.step()
    table = recorder.table().set_index("layer")
    assert table.loc["1", "gradient_signal_to_noise"] == pytest.approx(expected.item(), rel=1e-4)


def test_the_portable_reductions_record_the_same(monkeypatch):
    torch.manual_seed(0)
    model = build("residual", depth=8, width=4, image_size=16)
    x, y = batch(16)
    import copy

    compiled = record(copy.deepcopy(model), x, y, steps=2)
    monkeypatch.setattr("labapp.recording.board.library", lambda: (None, "none here"))
    portable = record(model, x, y, steps=2)
    assert portable.cost["kernels"] == "none here"
    one, two = compiled.table(), portable.table()
    numbers = one.select_dtypes("float32").columns
    for name in numbers:
        assert one[name].to_numpy() == pytest.approx(two[name].to_numpy(), rel=2e-4, abs=2e-5, nan_ok=True), name


def test_warnings_are_not_swallowed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(build("plain", depth=8, width=4, image_size=16), *batch(16))
