import torch
from torch import nn

from labapp.diagnostics.attributions import saliency
from labapp.diagnostics.gradcam import gradcam
from labapp.diagnostics.sensitivity import max_sensitivity
from labapp.nets import build

IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 1, 2])


def test_the_gradient_of_a_linear_net_does_not_change():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    found = max_sensitivity(lambda x, y: saliency(net, x, y, signed=True), IMAGES, CLASSES)
    assert found.tolist() == [0, 0, 0]


def test_an_explanation_that_is_the_image_changes_with_it():
    found = max_sensitivity(lambda x, y: x, IMAGES, CLASSES, radius=0.1)
    size = IMAGES.flatten(1).norm(dim=1)
    most = 0.1 * (3 * 8 * 8) ** 0.5 / size  # every pixel at the edge of the cube
    assert (found <= most).all()
    assert (found > 0.5 * most).all()
    torch.testing.assert_close(found, max_sensitivity(lambda x, y: 7 * x, IMAGES, CLASSES, radius=0.1))


def test_each_image_keeps_its_class():
    seen = []

    def explain(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append((len(x), y.tolist()))
        return x

    max_sensitivity(explain, IMAGES, CLASSES, samples=2)
    assert seen[0] == (3, [0, 1, 2])
    assert seen[1] == (6, [0, 0, 1, 1, 2, 2])


def test_gradcam_can_be_asked_and_random_numbers_stay():
    net = build("residual", depth=8, width=4, image_size=8)
    before = torch.get_rng_state()
    asked = [max_sensitivity(lambda x, y: gradcam(net, x, y)["stage2.block1"], IMAGES, CLASSES) for _ in range(2)]
    assert torch.equal(*asked)
    assert (asked[0] > 0).all()
    assert torch.equal(torch.get_rng_state(), before)
