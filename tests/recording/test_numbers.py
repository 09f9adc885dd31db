"""Every recorded number against a slow float64 oracle, on the lab's nets and on other people's."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn

from labapp.nets import build
from tests.recording.nets import batch, optimizer_of, record
from tests.recording.oracle import oracle_step

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
    "torchvision vgg, in place": (lambda: narrow_vgg(), 32),
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


def narrow_vgg():
    """torchvision's VGG with 64 instead of 4,096 units in its classifier, and one pixel instead of 49."""
    model = torchvision.models.VGG(vgg_features(), num_classes=10, init_weights=False, dropout=0.0)
    model.avgpool = nn.AdaptiveAvgPool2d(1)
    model.classifier[0], model.classifier[3] = nn.Linear(512, 64), nn.Linear(64, 64)
    model.classifier[6] = nn.Linear(64, 10)
    return model


def vgg_features():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 512, 3, padding=1), nn.BatchNorm2d(512), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
    )


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


@pytest.mark.filterwarnings("ignore:.*gave no output in the first recorded step")
@pytest.mark.parametrize("name", MODELS)
def test_the_default_path_is_right_to_the_rounding_of_float32(name):
    """Sums over the very values of the step, as a hook of a user sees them, taken in float64."""
    make, size = MODELS[name]
    torch.manual_seed(0)
    model = make().train()
    seen = {}

    def look(path, module, args, output):
        if torch.is_tensor(output) and torch.is_grad_enabled():
            values = output.detach().double()
            calls = sum(layer.split("#")[0] == path for layer in seen) + 1
            silent = (values <= 0).double().mean().item()
            spread = values.std(correction=0).item()
            seen[path if calls == 1 else f"{path}#{calls}"] = values.mean().item(), spread, silent

    for path, module in model.named_modules():
        module.register_forward_hook(partial(look, path))
    table = record(model, *batch(size)).table().set_index("layer")
    compared = table[table.output_std.notna() & table.index.isin(list(seen))]
    assert len(compared) >= 5
    for layer, row in compared.iterrows():
        mean, spread, silent = seen[layer]
        # the table is float32 (6e-8), the sums are right to 1e-6
        assert row.output_mean == pytest.approx(mean, abs=3e-6 * max(spread, abs(mean))), layer
        assert row.output_std == pytest.approx(spread, rel=3e-6, abs=3e-9 * abs(mean)), layer
        if row.zero_fraction == row.zero_fraction:
            assert row.zero_fraction == pytest.approx(silent, abs=1e-7), layer
