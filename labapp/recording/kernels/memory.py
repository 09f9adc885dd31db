"""Whose memory may be read through a bare address?

A compiled kernel sees an address and a size. It is given only tensors that are what they seem: exactly `torch.Tensor`
or `nn.Parameter`, strided, on the CPU, with storage that holds every value. Subclasses, tensors inside `torch.func`
transforms, fake, conjugate and freed ones have another dispatch key or no memory, and are left to torch.
"""

import torch
from torch import Tensor, nn

EXACT = (Tensor, nn.Parameter)
_dispatch_keys = torch._C._dispatch_keys


def _keys(tensor: Tensor) -> int:
    return _dispatch_keys(tensor).raw_repr()


def _ordinary() -> frozenset[int]:
    """The sets of dispatch keys of ordinary tensors on the CPU, made with and without autograd."""
    try:
        with torch.inference_mode():
            inference = _keys(torch.empty(0, device="cpu"))
        with torch.inference_mode(False):
            return frozenset({inference, _keys(torch.empty(0, device="cpu"))})
    except (AttributeError, RuntimeError):  # a torch that does not say: nothing is known to be safe
        return frozenset()


ORDINARY = _ordinary()


def readable(tensor: Tensor) -> bool:
    """Whether the tensor's values lie in the machine's memory as its shape and strides say, none beyond its storage."""
    # The body of a hook finds nothing in the processor's cache: each call left out here is felt.
    if type(tensor) not in EXACT or _dispatch_keys(tensor).raw_repr() not in ORDINARY:
        return False
    numel = last = tensor.numel()
    if not tensor.is_contiguous() and numel:
        last = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    if (tensor.storage_offset() + last) * tensor.element_size() > tensor.untyped_storage().nbytes():
        return False
    return not numel or tensor.data_ptr() != 0


def dense(tensor: Tensor) -> Tensor:
    """The values as a tensor without gaps or overlaps, in whatever order they lie; a copy only where needed.

    A norm needs no order, so a channels-last gradient is read where it is; an expanded one (stride 0) is written out.
    """
    if tensor.is_contiguous() or (tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)):
        return tensor
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if stride != expected:
            return tensor.detach().contiguous()
        expected *= size
    return tensor


def same_shape(a: Tensor, b: Tensor) -> None:
    """Raises ValueError where two tensors that are read side by side differ in shape."""
    if a.shape != b.shape:
        raise ValueError(f"two tensors of one shape are needed, not {tuple(a.shape)} and {tuple(b.shape)}")


def beside(a: Tensor, b: Tensor) -> Tensor:
    """The values of `b` in the order in which those of the dense tensor `a` lie; a copy only where that differs."""
    if a.is_contiguous() and b.is_contiguous():
        return b
    same = all(s == t for s, t, n in zip(a.stride(), b.stride(), a.shape, strict=True) if n != 1)
    return b if same else torch.empty_like(a).copy_(b)


def matrix(tensor: Tensor, axis: int) -> tuple[Tensor, int]:
    """(rows, columns) contiguous values, and 1 where each row belongs to one channel, 0 where each column does.

    An (N, C, …) tensor becomes (N·C, …) where it lies so, a row for each image and channel; else channels come last.
    """
    axis %= max(tensor.dim(), 1)
    channels = tensor.shape[axis] if tensor.dim() else 1
    if axis == 1 and tensor.dim() > 2:
        if tensor.is_contiguous():
            return tensor.view(tensor.shape[0] * channels, -1), 1
        tensor = tensor.movedim(1, -1)
    elif tensor.dim() and axis != tensor.dim() - 1:
        tensor = tensor.movedim(axis, -1)
    return tensor.contiguous().view(-1, channels), 0
