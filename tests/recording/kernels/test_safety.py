"""Is a bare address ever read that should not be? What is not an ordinary tensor is left to torch or refused."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from labapp.recording.board import GRADIENT, PATHS, Board
from labapp.recording.kernels import Compiled, library, norms, readable
from labapp.recording.sums import joined


class Named(torch.Tensor):
    pass


def freed():
    x = torch.ones(100)
    x.untyped_storage().resize_(0)
    return x


def shortened():
    x = torch.ones(100)[50:]
    x.untyped_storage().resize_(4 * 60)
    return x


def fake():
    with FakeTensorMode():
        return torch.ones(3)


STRANGERS = {
    "subclass": lambda: torch.ones(3).as_subclass(Named),
    "fake": fake,
    "meta": lambda: torch.ones(3, device="meta"),
    "conjugate": lambda: torch.ones(3, dtype=torch.complex64).conj().imag,
    "sparse": lambda: torch.ones(3).to_sparse(),
    "freed": freed,
    "shortened": shortened,
    "zero tensor": lambda: torch._efficientzerotensor((3,), dtype=torch.float32),
    "half": lambda: torch.ones(3, dtype=torch.bfloat16),
}


def compiled():
    return Compiled(library()[0])


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_tensor_that_is_not_what_it_seems_is_not_read(kind):
    stranger, out = STRANGERS[kind](), torch.zeros(4, dtype=torch.float64)
    assert not Compiled.takes(stranger)
    for read in (
        lambda: compiled().energy(stranger, out),
        lambda: compiled().square(stranger, out),
        lambda: compiled().moments(stranger, 0, out, torch.zeros(3, dtype=torch.uint8)),
        lambda: compiled().inner(stranger, torch.ones(3), out),
        lambda: compiled().inner(torch.ones(3), stranger, out),
        lambda: compiled().norms([stranger]),
        lambda: compiled().norms([torch.ones(3)], [stranger]),
        lambda: compiled().exponents(stranger, torch.zeros(256, dtype=torch.int64)),
    ):
        with pytest.raises(ValueError, match="needed"):
            read()
    assert out.tolist() == [0] * 4


def test_nor_is_one_inside_a_transform():
    seen = []

    def function(x):
        seen.append(Compiled.takes(x))
        return x.sum()

    torch.func.grad(function)(torch.ones(3))
    torch.func.vmap(function)(torch.ones(2, 3))
    torch.func.functionalize(function)(torch.ones(3))
    assert seen == [False] * 3


def test_ordinary_tensors_are_read():
    assert Compiled.takes(torch.ones(3))
    assert Compiled.takes(nn.Parameter(torch.ones(3)))
    assert Compiled.takes(torch.ones(3, requires_grad=True) * 2)
    assert Compiled.takes(torch.ones(1).expand(5))
    assert Compiled.takes(torch.ones(0))
    with torch.inference_mode():
        assert Compiled.takes(torch.ones(3))
    assert readable(torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize(
    "buffer",
    [
        torch.zeros(3, dtype=torch.float64),
        torch.zeros(4),
        torch.zeros(8, dtype=torch.float64)[::2],
        torch.zeros(4, dtype=torch.float64, device="meta"),
    ],
)
def test_buffers_are_checked_in_each_call(buffer):
    x = torch.ones(2, 3)
    for write in (compiled().energy, compiled().square):
        with pytest.raises(ValueError, match="buffer"):
            write(x, buffer)
    with pytest.raises(ValueError, match="buffer"):
        compiled().inner(x, x, buffer)
    with pytest.raises(ValueError, match="buffer of 3"):
        compiled().moments(x, 1, torch.zeros(4, dtype=torch.float64), torch.zeros(2, dtype=torch.uint8))
    with pytest.raises(ValueError, match="buffer of 256"):
        compiled().exponents(x, torch.zeros(255, dtype=torch.int64))


def test_tensors_read_side_by_side_have_one_shape():
    out = torch.zeros(4, dtype=torch.float64)
    for pair in [(torch.ones(2, 3), torch.ones(3, 2)), (torch.ones(4), torch.ones(3))]:
        with pytest.raises(ValueError, match="one shape"):
            compiled().inner(*pair, out)
        with pytest.raises(ValueError, match="one shape"):
            norms([pair[0]], [pair[1]])
        with pytest.raises(ValueError, match="one shape"):
            norms([pair[0].double()], [pair[1].double()])
    with pytest.raises(ValueError, match="argument 2"):
        norms([torch.ones(3)], [])


def test_tensors_without_values_add_nothing():
    out = torch.zeros(4, dtype=torch.float64)
    for shape in [(0,), (0, 3), (2, 0, 4, 4), (2, 3, 0, 4)]:
        x = torch.ones(shape)
        compiled().energy(x, out)
        compiled().inner(x, x, out)
        compiled().moments(x, len(shape) > 1, out, torch.zeros(shape[len(shape) > 1], dtype=torch.uint8))
    assert out.tolist() == [0] * 4


@pytest.mark.parametrize("portable", [False, True])
def test_channels_that_change_within_a_step_are_not_marked(portable):
    board = Board(2)
    if portable:
        board.compiled = None
    for columns in (16, 4000, 16):
        board.moments(0, torch.ones(2, 4, columns), 2, host=True)
    board.moments(1, torch.ones(2, 4, 3), 2, host=True)
    sums = joined(0, [board], 2)
    sums.land()
    assert sums.outputs[0] == sums.table[0, 1] == 8 * (16 + 4000 + 16)
    assert list(sums.alive) == [1]
    board.clear()
    board.moments(0, torch.ones(2, 4, 4000), 2, host=True)
    sums = joined(1, [board], 2)
    sums.land()
    assert sums.alive[0].tolist() == [1] * 4000


def test_a_step_may_mix_both_implementations():
    board, x = Board(1), torch.randn(3, 5)
    for part in (x, x.double(), x.as_subclass(Named)):
        board.moments(0, part, 1, readable(part))
        board.energy(0, GRADIENT, part, readable(part))
        board.inner(0, part, part)
        board.exponents(0, "output", part)
    board.read_held()
    sums = joined(0, [board], 1)
    board.launches.buffers.land()
    sums.land()
    square = 3 * (x.double() ** 2).sum().item()
    assert sums.table[0, [1, GRADIENT + 1, PATHS]] == pytest.approx([square] * 3)
    assert sums.alive[0].tolist() == (x > 0).any(0).int().tolist()
    assert sums.exponents[0, "output"].sum() == 45
