import pytest
import torch

from labapp.config import LabError
from labapp.diagnostics.level_gradients import level_gradients
from labapp.nets import build
from labapp.nets.pyramid import Pyramid, pyramid


@pytest.fixture(scope="module")
def small() -> Pyramid:
    torch.manual_seed(0)
    return pyramid(build("residual", depth=8, width=2, image_size=8), channels=3).double()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_norms_are_those_of_the_whole_jacobian(small: Pyramid, images: torch.Tensor):
    """Against every entry of ∂level/∂map, the maps cut off from each other."""
    small.eval()
    one = images[:1]
    maps = small.body(one)
    names = list(maps)

    def levels(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(small.of(type(maps)(zip(names, given, strict=True))).values())

    jacobians = torch.autograd.functional.jacobian(levels, tuple(m.detach() for m in maps.values()))
    table = level_gradients(small, one, directions=600).set_index(["level", "stage"])
    for level, row in zip(("p2", "p3", "p4"), jacobians, strict=True):
        entries = row[0].shape[: one.dim()].numel()
        for stage, jacobian in zip(names, row, strict=True):
            expected = float((jacobian.square().sum() / entries).sqrt())
            assert table.through_lateral[level, stage] == pytest.approx(
                expected, rel=0.1
            )  # √(2/600) of the square, and a margin
    small.train()


def test_which_level_reaches_which_stage(small: Pyramid, images: torch.Tensor):
    table = level_gradients(small, images)
    lateral = table.pivot_table(index="level", columns="stage", values="through_lateral").to_numpy()
    assert ((lateral > 0) == [[True, True, True], [False, True, True], [False, False, True]]).all()
    whole = table.pivot_table(index="level", columns="stage", values="gradient_norm").to_numpy()
    assert (whole > 0).all()  # the deeper maps are made from the finer ones
    assert (abs(whole[:, 2] - lateral[:, 2]) < 1e-6).all()  # from the deepest map nothing follows


@pytest.mark.long
def test_two_images_count_as_one(small: Pyramid, images: torch.Tensor):
    both = level_gradients(small, images[:1].repeat(2, 1, 1, 1), directions=400)
    one = level_gradients(small, images[:1], directions=400)
    assert both.gradient_norm.to_numpy() == pytest.approx(one.gradient_norm.to_numpy(), rel=0.1)


def test_nothing_is_left_behind(small: Pyramid, images: torch.Tensor):
    noise = torch.get_rng_state()
    level_gradients(small, images)
    assert not images.requires_grad
    assert all(p.grad is None for p in small.parameters())
    assert small.training
    assert torch.equal(torch.get_rng_state(), noise)


def test_users_mistakes_are_one_sentence(small: Pyramid, images: torch.Tensor):
    with pytest.raises(LabError, match="directions"):
        level_gradients(small, images, directions=0)
    with pytest.raises(LabError, match=r"give \(N, C, H, W\)"):
        level_gradients(small, images[0])


def test_nan_weights_are_one_sentence_not_zeros():
    torch.manual_seed(0)
    net = build("residual", depth=8, width=4, image_size=16)
    with torch.no_grad():
        net.stem.conv.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(LabError, match="NaN or infinity"):
        level_gradients(pyramid(net, channels=4), torch.randn(1, 3, 16, 16))
