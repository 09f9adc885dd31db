import pytest
import torch
from torch import nn

from labapp.diagnostics.measuring.undisturbed import undisturbed


def a_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5))


def modes(net: nn.Module) -> list[bool]:
    return [module.training for module in net.modules()]


def test_inside_the_net_is_evaluated():
    net = a_net()
    with undisturbed(net):
        assert not any(modes(net))
        assert net[2].inplace
    with undisturbed(net, in_place=False):
        assert not net[2].inplace
    assert net[2].inplace


def test_modes_come_back_one_by_one_also_after_an_exception():
    net = a_net()
    net[1].eval()  # a frozen normalisation in a net that trains
    before = modes(net)
    with pytest.raises(ZeroDivisionError), undisturbed(net, in_place=False):
        raise ZeroDivisionError
    assert modes(net) == before == [True, True, False, True, True]
    assert net[2].inplace


def test_a_nets_own_train_method_is_not_called():
    class Merging(nn.Linear):
        def train(self, mode: bool = True) -> "Merging":
            raise AssertionError("this net does more than set a mode")

    with undisturbed(Merging(2, 2)):
        pass


def test_random_numbers_are_not_used_up():
    net = a_net()
    before = torch.get_rng_state()
    with undisturbed(net):
        torch.rand(100)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_gradients_can_be_taken_where_they_are_off(around):
    net = a_net()
    with around():
        images = torch.randn(2, 3, 8, 8)
        with undisturbed(net):
            assert net(images.clone()).requires_grad
        assert not torch.is_grad_enabled()
