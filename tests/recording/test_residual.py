"""Branch and shortcut of residual blocks, forward and backward, against autograd."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.nets import build
from tests.recording.nets import batch, record
from tests.recording.test_numbers import MODELS


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
