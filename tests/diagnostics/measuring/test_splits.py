"""A block's parts are what its forward does, or nothing is said about them."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from labapp.config import LabError
from labapp.diagnostics.block_ablation import block_ablation
from labapp.diagnostics.lesions import lesions
from labapp.diagnostics.measuring.chains import chain_of, taken_apart
from labapp.diagnostics.path_lengths import decay, effective_path_length, path_gradients


class Scaled(BasicBlock):
    """A branch times a learnt number, as in SkipInit and ReZero."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.alpha = nn.Parameter(torch.tensor(0.1))

    def branch(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))

    def forward(self, x: Tensor) -> Tensor:
        return self.relu((x if self.downsample is None else self.downsample(x)) + self.alpha * self.branch(x))


class Overwritten(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x) * self.alpha
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class WithMethod(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        out = self.alpha * self.branch(x)
        out.add_(x if self.downsample is None else self.downsample(x))
        return self.relu(out)


class ScaledShortcut(Scaled):
    """Not the shortcut plus something: the shortcut itself is scaled."""

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(0.9 * shortcut + self.branch(x))


class Behind(Scaled):
    """Something follows the activation."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x)


def resnet(block: type[BasicBlock]) -> ResNet:
    torch.manual_seed(0)
    return ResNet(block, [1, 2, 1, 1], 5).eval()


def folded(net: ResNet) -> ResNet:
    """The same function with the numbers on the branches written into their last norm."""
    twin = resnet(BasicBlock)
    twin.load_state_dict({name: value for name, value in net.state_dict().items() if "alpha" not in name})
    for module in twin.modules():
        if isinstance(module, BasicBlock):
            module.bn2.weight.data *= 0.1
            module.bn2.bias.data *= 0.1
    return twin


@pytest.fixture(scope="module")
def batch():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(4)


@pytest.mark.parametrize("block", [Scaled, Overwritten, WithMethod])
def test_equal_functions_have_equal_tables(block, batch):
    net = resnet(block)
    twin = folded(net)
    # two float32 nets that differ by the place of one factor
    torch.testing.assert_close(net(batch[0]), twin(batch[0]), rtol=1e-5, atol=1e-6)
    tables = [path_gradients(each, *batch, samples=2) for each in (net, twin)]
    for number in (effective_path_length, decay):
        assert number(tables[0]) == pytest.approx(number(tables[1]), rel=1e-4)
    assert tables[0]["sum_norm"].to_numpy() == pytest.approx(tables[1]["sum_norm"].to_numpy(), rel=1e-3)
    for measure in (block_ablation, lesions):
        mine, its = (measure(each, *batch).select_dtypes("number").to_numpy() for each in (net, twin))
        assert mine == pytest.approx(its, rel=1e-4, abs=1e-5, nan_ok=True)


def test_a_branch_of_zero_is_none(batch):
    net = resnet(Scaled)
    for module in net.modules():
        if isinstance(module, Scaled):
            nn.init.zeros_(module.alpha)
    table = lesions(net, *batch)
    assert table.loss_change[table.lesion == "delete"].abs().max() == 0
    assert effective_path_length(path_gradients(net, *batch, samples=1)) == 0


@pytest.mark.parametrize("block", [ScaledShortcut, Behind])
@pytest.mark.parametrize("measure", [path_gradients, block_ablation, lesions])
def test_what_is_no_shortcut_plus_branch_is_refused(block, measure, batch):
    with pytest.raises(LabError, match=r"the parts of 'layer1.0' do not make what the block gives"):
        measure(resnet(block), *batch)


def test_parts_that_only_nearly_make_the_block_are_not_taken(batch):
    net = resnet(Scaled)
    for module in net.modules():
        if isinstance(module, Scaled):
            nn.init.constant_(module.alpha, 0.9999)  # a ten-thousandth is no rounding
    with taken_apart(net, batch[0]) as chain:
        assert all(type(unit.parts.branch[0]).__name__ == "_Added" for unit in chain.units if unit.parts)


class ReversedDense(models.densenet._DenseBlock):
    def forward(self, init_features: Tensor) -> Tensor:
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features[::-1], 1)


def test_a_dense_block_of_another_order_is_refused(batch):
    torch.manual_seed(0)
    net = models.DenseNet(4, (2, 2), 8, num_classes=5).eval()
    assert len(lesions(net, *batch)) > 1
    ReversedDense.__name__ = "_DenseBlock"  # a class of a known name is not yet its forward
    net.features.denseblock1.__class__ = ReversedDense
    with pytest.raises(LabError, match=r"the parts of 'features.denseblock1' do not make"):
        lesions(net, *batch)


def test_the_net_is_as_it_was(batch):
    net = resnet(Scaled).train()
    state = copy.deepcopy(net.state_dict())
    with taken_apart(net, batch[0]):
        pass
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert net.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert len(list(net.modules())) == len(list(resnet(Scaled).modules()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.efficientnet_b0(num_classes=5),
        lambda: models.mobilenet_v2(num_classes=5),
        lambda: models.squeezenet1_1(num_classes=5),
        lambda: models.convnext_tiny(num_classes=5),
        lambda: models.vit_b_16(num_classes=5),
        lambda: models.mnasnet0_5(num_classes=5),
    ],
)
def test_a_net_with_unknown_units_has_no_family(make):
    with torch.device("meta"):
        net = make()
    with pytest.raises(LabError, match="is no chain of blocks that can be taken apart here"):
        chain_of(net)


def test_the_families_of_other_makers_are_still_known():
    import timm

    with torch.device("meta"):
        nets = {
            "residual": [ResNet(Bottleneck, [1, 1, 1, 1]), timm.create_model("seresnet18"), models.wide_resnet50_2()],
            "dense": [models.densenet121(), timm.create_model("densenet121")],
            "vgg": [models.vgg11_bn(), timm.create_model("vgg11"), models.alexnet()],
        }
    for family, made in nets.items():
        assert [chain_of(net).family for net in made] == [family] * len(made)
