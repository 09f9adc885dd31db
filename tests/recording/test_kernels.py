"""The two implementations of the reductions against numpy in float64, on every memory format a net produces."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.recording.kernels import Compiled, Portable, dense, library

SHAPES = [(64, 16, 32, 32), (3, 5, 7, 7), (2, 12, 9, 9), (4, 36, 1, 1), (5, 10), (1, 1, 1, 1), (3, 17, 24), (2, 1000)]


def compiled() -> Compiled:
    found, reason = library()
    assert found is not None, reason
    return Compiled(found)


def layouts(x):
    yield x
    if x.dim() == 4:
        yield x.to(memory_format=torch.channels_last)
        yield x.transpose(2, 3)
        yield x[:, :, ::2]  # with gaps
        yield x[:, :1].expand_as(x)  # every channel the same memory


def oracle(x, axis):
    values = x.double().numpy()
    others = tuple(d for d in range(values.ndim) if d != axis % values.ndim)
    finite = np.isfinite(values)
    sums = [values.sum(), (values**2).sum(), (values > 0).sum(), (~finite).sum()]
    return np.array(sums), (values > 0).any(axis=others)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("which", ["compiled", "portable"])
def test_moments_equal_numpy(shape, which):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0)) + 0.1
    x[:, -1] = -x[:, -1].abs()  # a dead channel
    for tensor in layouts(x):
        for axis in (1, x.dim() - 1) if x.dim() in (2, 3) else (1,):
            expected, living = oracle(tensor, axis)
            if which == "compiled":
                out = torch.zeros(4, dtype=torch.float64)
                alive = torch.zeros(shape[axis], dtype=torch.uint8)
                compiled().moments(tensor, axis, out, alive)
            else:
                out, alive = Portable().moments(tensor, axis)
            # The sum of n values of either sign may cancel: its error is measured against the sum of magnitudes.
            assert out[0].item() == pytest.approx(expected[0], abs=1e-6 * tensor.abs().double().sum().item())
            assert out[1].item() == pytest.approx(expected[1], rel=2e-6 if which == "compiled" else 1e-12)
            assert out[2].item() == expected[2]
            assert out[3].item() == 0
            assert (alive.numpy() > 0).tolist() == living.tolist()


@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_energy_is_exact_in_count_and_close_in_sum(n, seed):
    x = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    out = torch.zeros(4, dtype=torch.float64)
    compiled().energy(x, out)
    expected, _ = oracle(x, 0)
    assert out[1].item() == pytest.approx(expected[1], rel=2e-6)
    assert out[2].item() == expected[2]


def test_sums_add_up_over_calls():
    x = torch.randn(8, 16, 8, 8)
    out, alive = torch.zeros(4, dtype=torch.float64), torch.zeros(16, dtype=torch.uint8)
    for part in x.chunk(4):
        compiled().moments(part.contiguous(), 1, out, alive)
    expected, _ = oracle(x, 1)
    assert out[1].item() == pytest.approx(expected[1], rel=2e-6)
    assert out[2].item() == expected[2]


@pytest.mark.parametrize("which", ["compiled", "portable"])
def test_nan_and_infinity_are_counted(which):
    x = torch.randn(4, 8, 5, 5)
    x[0, 0, 0, 0], x[1, 3, 2, 2], x[2, 7, 4, 4] = torch.nan, torch.inf, -torch.inf
    for tensor in (x, x.to(memory_format=torch.channels_last)):
        if which == "compiled":
            out, alive = torch.zeros(4, dtype=torch.float64), torch.zeros(8, dtype=torch.uint8)
            compiled().moments(tensor, 1, out, alive)
        else:
            out, _ = Portable().moments(tensor, 1)
        assert out[3].item() == 3
        assert out[2].item() == (x > 0).sum().item()
        assert not np.isfinite(out[1].item())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_do_not_overflow(dtype):
    x = torch.full((1000, 100), 300.0, dtype=dtype)  # one square is 9e4, above float16's largest 65,504
    sums = Portable().energy(x)
    assert sums[1].item() == pytest.approx(1e5 * float(x[0, 0]) ** 2, rel=1e-12)


def test_inner_products_whatever_the_memory_format():
    a, b = torch.randn(4, 6, 8, 8), torch.randn(4, 6, 8, 8)
    expected = [(a.double() * b).sum().item(), (a.double() ** 2).sum().item(), (b.double() ** 2).sum().item(), 0]
    for u in layouts(a):
        if u.shape != a.shape or not torch.equal(u, a):
            continue
        for v in (b, b.to(memory_format=torch.channels_last)):
            out = torch.zeros(4, dtype=torch.float64)
            compiled().inner(u, v, out)
            assert out.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-3)
            assert Portable().inner(u, v).tolist() == pytest.approx(expected, rel=1e-5, abs=1e-3)
    b[1, 2, 3, 4:7] = torch.nan
    out = torch.zeros(4, dtype=torch.float64)
    compiled().inner(a, b, out)
    assert out[3].item() == Portable().inner(a, b)[3].item() == 3


def test_exponents_equal_frexp():
    x = torch.randn(40_000, generator=torch.Generator().manual_seed(0)) * 10.0 ** torch.randint(-20, 20, (40_000,))
    x[:3] = torch.tensor([0.0, torch.nan, torch.inf])
    values = x.numpy()
    field = np.zeros(256, dtype=int)
    for value in values:
        if not np.isfinite(value):
            field[255] += 1
        elif value == 0 or abs(value) < 2.0**-126:
            field[0] += 1
        else:
            field[np.frexp(value)[1] - 1 + 127] += 1
    out = torch.zeros(256, dtype=torch.int64)
    compiled().exponents(x, out)
    assert out.tolist() == field.tolist()
    assert Portable().exponents(x).tolist() == field.tolist()


def test_a_dense_tensor_is_not_copied():
    x = torch.randn(2, 3, 4, 5)
    for view in (x, x.to(memory_format=torch.channels_last), x.permute(3, 1, 0, 2)):
        assert dense(view).data_ptr() == view.data_ptr()
    gaps = x[:, :, ::2]
    assert dense(gaps).data_ptr() != gaps.data_ptr()


def test_results_do_not_change_from_call_to_call():
    x = torch.randn(64, 16, 32, 32)
    outs = []
    for _ in range(3):
        out, alive = torch.zeros(4, dtype=torch.float64), torch.zeros(16, dtype=torch.uint8)
        compiled().moments(x, 1, out, alive)
        outs.append(out.tolist())
    assert outs[0] == outs[1] == outs[2]


def test_without_a_compiler_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "/bin/false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.cache_clear()
    try:
        found, reason = library()
        assert found is None
        assert "/bin/false" in reason
        monkeypatch.setenv("LABAPP_KERNELS", "portable")
        library.cache_clear()
        assert library() == (None, "switched off by LABAPP_KERNELS")
    finally:
        library.cache_clear()
