import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models.swin_transformer import SwinTransformer

from labapp.diagnostics.receptive_field import Field, Fields
from labapp.nets import build


def fields_of(net: nn.Module, paths: list[str], size: int) -> list[Field | None]:
    found: dict[str, Field | None] = {}
    images = torch.ones(1, 3, size, size)
    handles = [
        net.get_submodule(path).register_forward_hook(lambda m, a, o, path=path: found.update({path: fields.of(o)}))
        for path in paths
    ]
    with torch.no_grad(), Fields(images) as fields:
        net.eval()(images)
    for handle in handles:
        handle.remove()
    return [found[path] for path in paths]


def seen_by_gradient(net: nn.Module, size: int) -> int:
    """How many pixels a side move the middle position of a net's output, when no weight can cancel another."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_().clamp_min_(0.1)
    images = torch.rand(1, 3, size, size, dtype=torch.float64).requires_grad_()
    output = net.double().eval()(images)
    output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum().backward()
    touched = (images.grad[0].sum(0) != 0).nonzero()
    return int((touched.max(0).values - touched.min(0).values + 1).max())


@pytest.mark.parametrize(
    ("name", "path", "field"),
    [  # Araujo 2019, Table 1, before the last pooling; ResNet-50 with its stride in the 3×3 has 427
        ("resnet18", "layer4", Field(435, 32)),
        ("resnet50", "layer4", Field(427, 32)),
        ("alexnet", "features.12", Field(195, 32)),
        ("vgg16", "features.30", Field(212, 32)),
        ("mobilenet_v2", "features", Field(491, 32)),
    ],
)
def test_published_receptive_fields(name: str, path: str, field: Field):
    with torch.device("meta"):
        net = models.get_model(name).eval()
        images = torch.ones(1, 3, 224, 224)
    found = []
    net.get_submodule(path).register_forward_hook(lambda module, args, output: found.append(fields.of(output)))
    with torch.no_grad(), Fields(images) as fields:
        net(images)
    assert found == [field]


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(3, 2, 5), nn.Conv2d(2, 2, 3, stride=2), nn.Conv2d(2, 2, 3)),
        nn.Sequential(nn.Conv2d(3, 2, 3, dilation=3), nn.AvgPool2d(3, stride=2), nn.Conv2d(2, 2, 1)),
        nn.Sequential(nn.Conv2d(3, 4, (3, 5), padding=1), nn.Conv2d(4, 4, 3, stride=3, groups=2)),
        nn.Sequential(nn.CircularPad2d(2), nn.Conv2d(3, 2, 5), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3)),
        build("residual", depth=8, width=2, image_size=64, norm="none", shortcut="A")[:-1],
        build("residual", depth=8, width=2, image_size=64, norm="none", shortcut="B", preactivation=True)[:-1],
        build("dense", depth=10, growth_rate=2, image_size=64, norm="none")[:-1],
        build("vgg", depth=11, width=2, image_size=128, norm="none", head="gap")[:3],
    ],
    ids=["stride", "dilation", "oblong", "padded", "residual", "preactivation", "dense", "vgg"],
)
def test_the_field_is_what_a_gradient_reaches(net: nn.Module):
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.MaxPool2d):
            module.forward = lambda x, k=module.kernel_size: F.avg_pool2d(x, k)  # sees the same, and lets all through
    images = torch.ones(1, 3, 128, 128)
    with torch.no_grad(), Fields(images) as fields:
        output = net.eval()(images)
    assert fields.of(output).size == seen_by_gradient(net, 128)


def test_what_joins_all_positions_sees_the_image():
    net = build("residual", depth=8, width=4)
    last, pool, classifier = fields_of(net, ["stage3", "head.pool", "head.classifier"], 32)
    assert last == Field(25, 4)
    assert pool == classifier == Field(25 + 7 * 4, 32)
    flat = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2))
    assert fields_of(flat, ["0", "2"], 8) == [Field(3, 1), Field(8, 6)]
    halves = nn.Sequential(nn.AdaptiveAvgPool2d(2))
    assert fields_of(halves, ["0"], 8) == [Field(4, 4)]


def test_upsampling_brings_positions_nearer():
    images = torch.ones(1, 3, 16, 16)
    with Fields(images) as fields:
        output = F.interpolate(F.max_pool2d(images, 4), scale_factor=2)
    assert fields.of(output) == Field(4, 2)


def test_what_does_not_come_from_the_images_has_no_field():
    images = torch.ones(1, 3, 8, 8)
    with Fields(images) as fields:
        other = torch.ones(3) + 1
    assert fields.of(other) is None
    assert fields.of(images) == Field(1, 1)


class Of(nn.Module):
    """A step of a net that is a function."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x):
        return self.function(x, *self.parts)


def conv(inputs, outputs, kernel=3, stride=1, **options):
    padding = options.pop("padding", kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel))
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, **options)


def shuffled_by_hand(x, groups):
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def to_space(x, r):
    n, c, h, w = x.shape
    return x.view(n, c // r**2, r, r, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, h * r, w * r)


def to_depth(x, r):
    n, c, h, w = x.shape
    return x.view(n, c, h // r, r, w // r, r).permute(0, 1, 3, 5, 2, 4).reshape(n, c * r**2, h // r, w // r)


def windows(x, inner):
    n, c, h, w = x.shape
    cut = x.permute(0, 2, 3, 1).view(n, h // 4, 4, w // 4, 4, c).transpose(2, 3).reshape(-1, 16, c)
    cut = F.scaled_dot_product_attention(cut, cut, inner(cut))
    back = cut.view(n, h // 4, w // 4, 4, 4, c).transpose(2, 3).reshape(n, h, w, c)
    return back.permute(0, 3, 1, 2)


KINDS = {
    "1x7 then 7x1": [conv(3, 4, (1, 7)), conv(4, 4, (7, 1))],
    "1x5 alone": [conv(3, 4, (1, 5))],
    "strides of two sizes": [conv(3, 4, 3, (1, 2)), conv(4, 4, 3, (2, 1))],
    "transposed, overlapping": [conv(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 4, 2, 1)],
    "transposed, side by side": [conv(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 2, 2), conv(4, 4)],
    "transposed, dilated": [conv(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 3, 2, 3, 1, dilation=3)],
    "nearest": [conv(3, 4, 3, 4), nn.Upsample(scale_factor=4), conv(4, 4)],
    "nearest, odd": [conv(3, 4, 3, 2), nn.Upsample(size=(48, 48)), conv(4, 4)],
    "bilinear": [conv(3, 4, 3, 4), nn.Upsample(scale_factor=4, mode="bilinear"), conv(4, 4, 1)],
    "bilinear, aligned": [conv(3, 4, 3, 4), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)],
    "bilinear, smaller": [conv(3, 4), Of(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear"))],
    "area": [conv(3, 4), Of(lambda x: F.interpolate(x, size=(16, 16), mode="area"))],
    "adaptive": [conv(3, 4), nn.AdaptiveAvgPool2d(24)],
    "pixel shuffle": [conv(3, 16, 3, 2), nn.PixelShuffle(2), conv(4, 4)],
    "pixel shuffle by hand": [conv(3, 16, 3, 2), Of(lambda x: to_space(x, 2)), conv(4, 4)],
    "unshuffle": [nn.PixelUnshuffle(2), conv(12, 4)],
    "unshuffle by hand": [Of(lambda x: to_depth(x, 2)), conv(12, 4)],
    "unshuffle by slices": [Of(lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, 1::2]], 1)), conv(6, 4)],
    "crop": [conv(3, 4, padding=0), Of(lambda x: x[:, :, 8:-8, 8:-8]), conv(4, 4, padding=0)],
    "crop by padding": [conv(3, 4, padding=0), nn.ZeroPad2d(-4), conv(4, 4, padding=0)],
    "reflected": [nn.ReflectionPad2d(2), conv(3, 4, 5, padding=0)],
    "same": [conv(3, 4, 4, padding="same", dilation=2)],
    "narrow and select": [conv(3, 4), Of(lambda x: x.narrow(2, 4, 32).narrow(3, 4, 32)), conv(4, 4)],
    "branches of two sizes": [Of(lambda x, a, b: torch.cat([a(x), b(x)], 1), conv(3, 4, 3), conv(3, 4, 7)), conv(8, 4)],
    "branches askew": [Of(lambda x, a: a(x) + F.pad(a(x), (3, 0, 3, 0))[:, :, :-3, :-3], conv(3, 4)), conv(4, 4)],
    "chunks": [conv(3, 4), Of(lambda x, a: torch.cat([x.chunk(2, 1)[0], a(x.chunk(2, 1)[1])], 1), conv(2, 2))],
    "chunks of rows": [conv(3, 4), Of(lambda x: x.chunk(2, 2)[1]), conv(4, 4)],
    "channel shuffle": [conv(3, 4), Of(lambda x: shuffled_by_hand(x, 2)), conv(4, 4, groups=2)],
    "channel shuffle of torch": [conv(3, 4), nn.ChannelShuffle(2), conv(4, 4, groups=2)],
    "channels last": [Of(lambda x, a: a(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(3, 4)), conv(4, 4)],
    "windows": [conv(3, 4, 3), Of(windows, nn.Linear(4, 4))],
    "unbound": [conv(3, 4), Of(lambda x: torch.stack(x.unbind(1), 1)), conv(4, 4)],
    "inverted residual": [Of(lambda x, a, b: x + b(a(x)), conv(3, 6, 5, groups=3), conv(6, 3, 1)), conv(3, 4)],
    "repeated": [conv(3, 4, 3, 2), Of(lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3)), conv(4, 4)],
    "encoder and decoder": [
        Of(lambda x, a, b: torch.cat([x, b(a(x))], 1), conv(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 2, 2)),
        conv(7, 4),
    ],
}  # fmt: skip


def reached(net: nn.Module, side: int, axis: int) -> tuple[int, float]:
    """The most rows (axis 2) or columns (3) that an output's position answers to, and how far these lie apart."""
    images = torch.zeros(side + 1, 3, side, side, dtype=torch.float64)  # one line lit in each, and none in the last
    for line in range(side):
        images.select(axis, line)[line] = 1
    with torch.no_grad():
        outputs = net(images)
    moved = (outputs[:-1] - outputs[-1]).abs().sum(1).sum(5 - axis - 1) > 1e-12  # (line, position)
    sizes, first = [], []
    for answers in moved.T:
        lines = answers.nonzero().flatten()
        if len(lines) and lines[0] > 0 and lines[-1] < side - 1:  # the border cuts off what lies beyond
            sizes.append(int(lines[-1] - lines[0]) + 1)
            first.append((len(first), int(lines[0])))
    return max(sizes), (first[-1][1] - first[0][1]) / (first[-1][0] - first[0][0])


@pytest.mark.parametrize("name", KINDS)
def test_a_position_sees_what_it_answers_to(name: str):
    torch.manual_seed(0)
    net = nn.Sequential(*KINDS[name]).double().eval()
    for parameter in net.parameters():
        parameter.data.abs_().clamp_min_(0.1)  # nothing cancels
    side = 64
    images = torch.ones(1, 3, side, side, dtype=torch.float64)
    with torch.no_grad(), Fields(images) as fields:
        output = net(images)
    sizes, jumps = zip(*(reached(net, side, axis) for axis in (2, 3)), strict=True)
    assert fields.of(output).size == max(sizes)
    # over some sixty positions, of which a period may be cut at both ends
    assert fields.of(output).jump == pytest.approx(max(jumps), rel=0.12)


@pytest.mark.parametrize(
    ("name", "path", "size", "expected"),
    [
        ("inception_v3", "Mixed_7c", 299, Field(1311, 32)),  # Araujo 2019
        ("shufflenet_v2_x0_5", "conv5.0", 224, Field(527, 32)),
    ],
)
def test_receptive_fields_of_nets_with_branches(name: str, path: str, size: int, expected: Field):
    with torch.device("meta"):
        extra = {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
        net, images = models.get_model(name, weights=None, **extra).eval(), torch.ones(1, 3, size, size)
    found = []
    net.get_submodule(path).register_forward_hook(lambda module, args, output: found.append(fields.of(output)))
    with torch.no_grad(), Fields(images) as fields:
        net(images)
    assert found == [expected]


@pytest.mark.parametrize(
    ("name", "path"),
    [("efficientnet_b0", "features.8"), ("mobilenet_v3_small", "features.12"), ("regnet_y_400mf", "trunk_output")],
)
def test_what_a_gate_of_the_whole_image_touches_sees_it_and_keeps_its_jump(name: str, path: str):
    net = models.get_model(name, weights=None).eval()
    images = torch.ones(1, 3, 224, 224)
    found = []
    net.get_submodule(path).register_forward_hook(
        lambda module, args, output: found.append((output, fields.of(output)))
    )
    with torch.no_grad(), Fields(images) as fields:
        net(images)
    output, field = found[0]
    assert field.jump == 224 / output.shape[-1] == 32
    assert 224 <= field.size < 224 * 12  # the whole, and what lies beyond its border; not a product of strides


def test_the_first_gate_sees_exactly_the_whole():
    net = nn.Sequential(
        conv(3, 4, 3, padding=0), Of(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()), conv(4, 4, 3, 2)
    )
    images = torch.ones(1, 3, 34, 34)
    with Fields(images) as fields:
        gated = net[1](net[0](images))
        output = net[2](gated)
    assert fields.of(gated) == Field(34, 1)
    assert fields.of(output) == Field(35, 2)  # the first position looks a pixel beyond, and to the gate's last


def test_attention_and_mixing_by_frequency_see_the_whole_image():
    images = torch.ones(1, 3, 32, 32)
    with Fields(images) as fields:
        maps = F.avg_pool2d(images, 4)
        tokens = maps.flatten(2).transpose(1, 2)
        mixed = torch.fft.ifft2(torch.fft.fft2(maps)).real
        attended = F.scaled_dot_product_attention(tokens, tokens, tokens)
        back = attended.transpose(1, 2).view(1, 3, 8, 8)
        product = (tokens @ tokens.mT).softmax(-1) @ tokens
    assert fields.of(tokens) == Field(4, 4)
    assert [fields.of(each).size for each in (mixed, attended, back, product)] == [32] * 4


def test_windows_that_are_shifted_see_their_neighbours_alone():
    net = SwinTransformer([4, 4], 12, [2, 2], [1, 1], [7, 7], num_classes=5).eval()
    images = torch.ones(1, 3, 224, 224)
    found: dict[str, Field | None] = {}
    for path in ("features.1.0", "features.1.1", "features.3.0"):
        net.get_submodule(path).register_forward_hook(
            lambda module, args, output, path=path: found.update({path: fields.of(output)})
        )
    with torch.no_grad(), Fields(images) as fields:
        net(images)
    # seven patches of 4 pixels; a window of them that is shifted lies over two; seven pairs of two such
    assert found == {"features.1.0": Field(28, 4), "features.1.1": Field(56, 4), "features.3.0": Field(112, 8)}
