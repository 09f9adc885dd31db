"""Drives a shared object of the kernels over shapes, strides, axes and threads, against torch in float64.

Run by `test_sanitized.py` in a process in which AddressSanitizer watches every block of memory that torch allocates:
`python sanitized.py LIBRARY [overflow]`. With `overflow` it reads one value too many, to show that this is noticed.
"""

import sys
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labapp.recording.kernels import Compiled
from labapp.recording.kernels.build import load

COMPILED = Compiled(load(Path(sys.argv[1])))
EDGES = sorted({n + d for n in (0, 4, 8, 16, 32, 64, 512, 1024, 2048, 8192, 16384) for d in (-1, 0, 1) if n + d >= 0})
lengths = st.one_of(st.integers(0, 70), st.sampled_from(EDGES))
small = st.integers(0, 20)
shapes = st.one_of(
    st.tuples(lengths),
    st.tuples(small, lengths),
    st.tuples(lengths, small),
    st.tuples(st.integers(0, 3), small, st.integers(0, 70)),
    st.tuples(st.integers(0, 3), st.integers(0, 40), small, small),
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(20, 50), st.integers(20, 50)),
)


@st.composite
def tensors(draw, shape=None):
    """A float32 tensor of any stride, at any magnitude, whose memory ends where its last value does."""
    shape = draw(shapes) if shape is None else shape
    how = draw(st.sampled_from(["contiguous", "last", "permuted", "sliced", "offset", "expanded"]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    x = torch.randn(shape, generator=generator) * draw(st.sampled_from([1.0, 1e-25, 1e25]))
    if draw(st.booleans()) and x.numel():
        x.view(-1)[draw(st.integers(0, x.numel() - 1))] = draw(st.sampled_from([torch.nan, torch.inf, 1e4]))
    if how == "last" and x.dim() == 4:
        x = x.to(memory_format=torch.channels_last)
    elif how == "permuted":
        order = draw(st.permutations(range(x.dim())))
        x = x.permute(order).contiguous().permute([order.index(d) for d in range(x.dim())])
    elif how == "sliced":
        x = torch.stack([x, x], -1)[..., 0]
    elif how == "offset":
        x = torch.cat([torch.zeros(3), x.reshape(-1)])[3:].view(shape)
    elif how == "expanded" and shape[0]:
        x = x[:1].expand(shape)
    return x


def close(found, values, scale=None):
    """The sum of the values to 2e-6 of the sum of their magnitudes; the same NaN or infinity."""
    expected, scale = values.sum().item(), values.abs().sum().item() if scale is None else scale
    assert (found == expected) or (found != found and expected != expected) or abs(found - expected) <= 2e-6 * scale


def check(out, x):
    values = x.double()
    close(out[0], values)
    close(out[1], values**2)
    assert out[2] == (values > 0).sum().item()
    assert out[3] == (~torch.isfinite(values)).sum().item()


@given(st.data(), st.sampled_from([1, 2, 5]))
@settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
def drive(data, threads):
    COMPILED.threads = threads
    x = data.draw(tensors())
    y = data.draw(tensors(shape=tuple(x.shape)))
    u, v = x.double(), y.double()
    buffers = [torch.zeros(4, dtype=torch.float64) for _ in range(4)]
    COMPILED.energy(x, buffers[0])
    check(buffers[0].tolist(), x)
    COMPILED.square(x, buffers[1])
    close(buffers[1][1].item(), u**2)
    assert buffers[1].tolist()[::2] == [0, 0]
    assert buffers[1][3] == buffers[0][3]
    axis = data.draw(st.integers(0, x.dim() - 1))
    alive = torch.zeros(x.shape[axis], dtype=torch.uint8)
    COMPILED.moments(x, axis, buffers[2], alive)
    check(buffers[2].tolist(), x)
    assert alive.tolist() == [int((part > 0).any()) for part in x.unbind(axis)]
    COMPILED.inner(x, y, buffers[3])
    product, xx, yy, bad = buffers[3].tolist()
    close(xx, u**2)
    close(yy, v**2)
    assert bad == (~torch.isfinite(v)).sum().item()
    close(product, u * v, (u.norm() * v.norm()).item())
    norms, changes = COMPILED.norms([x, y], [y, x])
    for norm, t in zip([*norms.tolist(), *changes.tolist()], [v, u, u - v, v - u], strict=True):
        close(norm**2, t**2)
    counts = torch.zeros(256, dtype=torch.int64)
    COMPILED.exponents(x, counts)
    assert counts.sum() == x.numel()


if __name__ == "__main__":
    if sys.argv[2:] == ["overflow"]:
        x = torch.ones(1000)
        COMPILED._flat(x.data_ptr(), 1001, 1, torch.zeros(4, dtype=torch.float64).data_ptr(), 1)
    drive()
    print("nothing found")  # noqa: T201
