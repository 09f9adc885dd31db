"""Are the sums right where float32 loses them: squares that vanish or overflow, variances that cancel, NaN, infinity?

Both implementations, and the calls that the portable one makes on other devices, against numpy in float64, from 1e-30
to 1e30 and for means of 10,000 standard deviations.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.recording.kernels import Compiled, Launches, Portable, library

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
formats = st.sampled_from(["contiguous", "channels last", "permuted", "gaps", "expanded"])
shapes = st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
magnitudes = st.floats(-30, 30).map(lambda e: 10.0**e)


def laid(x, how):
    """The tensor in another memory format; with gaps and expanded, other values."""
    if how == "channels last":
        return x.to(memory_format=torch.channels_last)
    if how == "permuted":
        return x.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    if how == "gaps":
        return torch.cat([x, x], 3)[..., ::2]
    return x[:, :1].expand_as(x) if how == "expanded" else x


def gaussian(shape, seed, scale=1.0, mean=0.0, dtype=torch.float32):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return ((x + mean) * scale).to(dtype)


def sums(which, name, *tensors):
    """The four sums of `energy`, `square` or `inner`."""
    if which == "device":
        launches = Launches()
        written = launches.squares(tensors)[0] if name == "square" else getattr(launches, name)(*tensors)
        launches.buffers.land()
        return written.numbers()
    if which == "portable" or any(t.dtype is not torch.float32 for t in tensors):
        return getattr(Portable(), name)(*tensors).numpy()
    out = torch.zeros(4, dtype=torch.float64)
    getattr(Compiled(library()[0]), name)(*tensors, out)
    return out.numpy()


def numbers(of, *found):
    """What an implementation gave, as arrays."""
    if not isinstance(of, Launches):
        return [one.numpy() for one in found]
    of.buffers.land()
    return [slot.numbers() for slot in found]


def implementations(function):
    return pytest.mark.parametrize("which", ["compiled", "portable", "device"])(function)


@implementations
@given(shape=shapes, how=formats, scale=magnitudes, dtype=st.sampled_from(DTYPES[:3]), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_norms_keep_six_digits_from_1e_minus_30_to_1e30(which, shape, how, scale, dtype, seed):
    x = laid(gaussian(shape, seed, scale, dtype=dtype), how)
    values = x.double().numpy()
    norm = np.sqrt((values**2).sum())
    assert np.sqrt(sums(which, "square", x)[1]) == pytest.approx(norm, rel=1e-6, abs=0)
    total, square, positive, bad = sums(which, "energy", x)
    assert total == pytest.approx(values.sum(), rel=0, abs=1e-6 * np.abs(values).sum())
    assert np.sqrt(square) == pytest.approx(norm, rel=1e-6, abs=0)
    assert (positive, bad) == ((values > 0).sum(), 0)


@implementations
@given(n=st.integers(1, 70_000), ratio=st.floats(0, 1e4), scale=magnitudes, seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_standard_deviation_survives_a_mean_of_ten_thousand_times_its_size(which, n, ratio, scale, seed):
    x = gaussian((max(n, 16),), seed, scale * 1e-4, ratio)
    values = x.double().numpy() / scale
    total, square, _, _ = sums(which, "energy", x)
    mean, deviation = total / x.numel(), np.sqrt(square / x.numel() - (total / x.numel()) ** 2)
    magnitude = np.sqrt((values**2).mean())
    assert mean / scale == pytest.approx(values.mean(), rel=0, abs=1e-6 * magnitude)
    assert deviation / scale == pytest.approx(values.std(), rel=2e-6, abs=0)


@implementations
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_dtypes_are_summed_without_loss(which, dtype):
    x = gaussian((64, 33, 9), 0, 100, dtype=dtype)  # squares above float16's largest, 65,504
    values = x.double().numpy()
    assert sums(which, "energy", x)[:3] == pytest.approx(
        [values.sum(), (values**2).sum(), (values > 0).sum()], rel=2e-6
    )


@implementations
@given(a=formats, b=formats, shape=shapes, one=magnitudes, two=magnitudes, seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_inner_products_in_any_two_memory_formats(which, a, b, shape, one, two, seed):
    x, y = laid(gaussian(shape, seed, one), a), laid(gaussian(shape, seed + 1, two), b)
    u, v = x.double().numpy(), y.double().numpy()
    product, uu, vv, bad = sums(which, "inner", x, y)
    assert np.sqrt([uu, vv]) == pytest.approx(np.sqrt([(u**2).sum(), (v**2).sum()]), rel=1e-6, abs=0)
    assert product == pytest.approx((u * v).sum(), rel=0, abs=1e-6 * np.sqrt((u**2).sum() * (v**2).sum()))
    assert bad == 0


@implementations
@pytest.mark.parametrize("shape", [(2, 16, 32, 32), (3, 70, 5, 7), (2, 9, 23, 24), (1, 4, 40, 60)])
def test_inner_products_count_what_is_not_finite_in_the_second(which, shape):
    x, y = gaussian(shape, 0), gaussian(shape, 1)
    x[0, 0, 0, 0] = torch.nan
    y[0, 1, 2, 3], y[0, 3, 0, 1] = torch.inf, torch.nan
    last = torch.channels_last
    for u, v in [(x, y), (x.to(memory_format=last), y), (x, y.to(memory_format=last))]:
        assert sums(which, "inner", u, v)[3] == 2
        assert sums(which, "inner", v, u)[3] == 1


@implementations
@given(size=st.integers(1, 5000), scale=magnitudes, change=st.floats(-7, 3), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_change_is_measured_whatever_its_size(which, size, scale, change, seed):
    before = [gaussian((size,), seed, scale), torch.zeros(3), gaussian((2, 3, 4, 5), seed, scale)]
    now = [b + gaussian(b.shape, seed + 1, scale * 10.0**change) for b in before]
    now[2] = now[2].to(memory_format=torch.channels_last)
    both = {"compiled": lambda: Compiled(library()[0]), "portable": Portable, "device": Launches}[which]()
    norms, changes = numbers(both, *both.norms(now, before))
    wide = [(b.double(), n.double()) for n, b in zip(now, before, strict=True)]
    expected = [(b.norm().item(), (n - b).norm().item()) for b, n in wide]
    assert norms == pytest.approx([norm for norm, _ in expected], rel=1e-6, abs=0)
    assert changes == pytest.approx([change for _, change in expected], rel=1e-6, abs=0)
    assert numbers(both, both.norms(now)[0])[0] == pytest.approx(
        [n.double().norm().item() for n in now], rel=1e-6, abs=0
    )


@implementations
@given(n=st.integers(1, 9000), where=st.lists(st.integers(0, 8999), max_size=5), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_values_that_are_not_finite_are_counted_and_leave_the_positive_ones_alone(which, n, where, seed):
    x = gaussian((n,), seed)
    for i, at in enumerate(where):
        x[at % n] = [torch.nan, torch.inf, -torch.inf][i % 3]
    values = x.numpy()
    _, square, positive, bad = sums(which, "energy", x)
    assert (positive, bad) == ((values > 0).sum(), (~np.isfinite(values)).sum())
    assert sums(which, "square", x)[3] == bad
    assert np.isfinite(square) == (bad == 0)


@pytest.mark.parametrize("value", [0.0, 1e-45, 3e38, -1e-30, 7.0])
def test_blocks_of_one_value(value):
    x = torch.full((5000,), value)
    exact = 5000 * float(x[0]) ** 2
    for which in ("compiled", "portable", "device"):
        total, square, positive, bad = sums(which, "energy", x)
        assert square == pytest.approx(exact, rel=1e-12, abs=0)
        assert total == pytest.approx(5000 * float(x[0]), rel=1e-12, abs=0)
        assert (positive, bad) == (5000 * (value > 0), 0)
