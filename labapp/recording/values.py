"""Which tensors hold numbers that can be measured?"""

import torch
from torch import Tensor, nn

EXACT = (Tensor, nn.Parameter, nn.Buffer)


def measurable(tensor: Tensor) -> Tensor | None:
    """The tensor, as one of torch's own type; None where it only stands for numbers that lie elsewhere.

    Those are wrappers (a sharded DTensor, a quantised weight), tensors without storage (fake, meta) and those of a
    `torch.func` transform, which stand for a whole batch. A subclass that only adds methods is read like any tensor.
    """
    if type(tensor) in EXACT:
        if tensor.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            return None
        return tensor
    if type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return None
    with torch._C.DisableTorchFunctionSubclass():
        plain = tensor.detach().as_subclass(Tensor)
    return measurable(plain)


def real(tensor: Tensor) -> Tensor:
    """Real numbers of the same norm: the values of a sparse tensor, both parts of a complex one."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce().values() if tensor.is_cpu or tensor.is_coalesced() else _summed(tensor)
    elif tensor.layout is not torch.strided:
        tensor = tensor.values()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _summed(tensor: Tensor) -> Tensor:
    """The values of a sparse tensor in rows as many as it could have; how many it has a device would be asked for."""
    indices, values, rows = tensor._indices(), tensor._values(), tensor.shape[: tensor.sparse_dim()]
    at = torch.zeros_like(indices[0])
    for index, size in zip(indices, rows, strict=True):
        at = at * size + index
    return values.new_zeros(rows.numel(), *values.shape[1:]).index_add_(0, at, values)


def reason_against(tensor: Tensor) -> str:
    """Why a parameter cannot be measured; "" where it can."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return f"whole numbers ({tensor.dtype}) are not trained"
    if measurable(tensor) is None:
        return f"a {type(tensor).__name__} holds its numbers elsewhere"
    return ""
