"""A device made of Python, where each wait for it and each copy from it is seen.

Its tensors are on "far:0" or "far:1" as far as torch knows, and no address of theirs is one; their values lie in a CPU
tensor that only the device's own operations reach. What makes a GPU's host wait (a value read, a shape that depends on
values) is counted here, or raises. To be used in a process of its own: torch knows one such device for good.
"""

import contextlib
from collections import Counter
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "far"

# Operations that give the host a value, or a shape that depends on values.
WAITING = {
    "_local_scalar_dense", "item", "is_nonzero", "equal", "allclose", "nonzero", "nonzero_numpy", "argwhere",
    "masked_select", "bincount", "unique_dim", "_unique", "_unique2", "unique_consecutive", "repeat_interleave",
    "histc", "histogram", "_coalesce", "masked_scatter",
}  # fmt: skip
VIEWS = {
    "alias", "detach", "view", "_unsafe_view", "slice", "select", "as_strided", "expand", "permute", "transpose", "t",
    "unsqueeze", "squeeze", "split", "split_with_sizes", "unbind", "diagonal", "narrow", "view_as_real", "unfold",
    "_reshape_alias", "lift_fresh", "_indices", "_values", "indices", "values",
}  # fmt: skip


class Seen:
    """What happened on the device.

    Attributes:
        waits: by operation, how often the host had to wait for a value.
        home: copies from the device to the host; `away` those the other way.
        launches: by operation; views are none, nor is memory that is given out.
    """

    def __init__(self) -> None:
        self.waits: Counter[str] = Counter()
        self.launches: Counter[str] = Counter()
        self.home: list[tuple[str, int]] = []
        self.away = 0


LOG: list[Seen] = []


@contextlib.contextmanager
def looking():
    """Gives a `Seen` of what happens meanwhile."""
    seen = Seen()
    LOG.append(seen)
    try:
        yield seen
    finally:
        LOG.remove(seen)


class Far(torch.Tensor):
    """A tensor on the device; `near` holds its values."""

    near: torch.Tensor

    @staticmethod
    def __new__(cls, near: torch.Tensor, device: torch.device) -> "Far":
        made = torch.Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype,
            device=device, requires_grad=False,
        )  # fmt: skip
        made.near = near
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def data_ptr(self) -> int:
        return self.near.data_ptr() + (1 << 60)  # tells memory apart, and is none of the machine's

    def __repr__(self, **_: Any) -> str:
        return f"Far({self.near!r})"

    def __deepcopy__(self, memo: dict) -> "Far":
        copy = Far(self.near.clone(), self.device).requires_grad_(self.requires_grad)
        copy._is_param = getattr(self, "_is_param", False)
        return copy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return run(func, args, kwargs or {})


def _masks(args: Any) -> bool:
    return any(isinstance(a, torch.Tensor) and a.dtype in (torch.bool, torch.uint8) for a in pytree.tree_leaves(args))


def run(func: Any, args: tuple, kwargs: dict) -> Any:
    name = func.__name__.split(".")[0]
    tensors = [a for a in pytree.tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
    device = next(t.device for t in tensors if isinstance(t, Far))
    waits = name in WAITING or (name in ("index", "index_put", "index_put_") and _masks(args[1]))
    target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else device
    home = target.type == "cpu"
    if name == "copy_":
        home = not isinstance(args[0], Far)
        for seen in LOG:
            seen.away += not isinstance(args[1], Far)
    for seen in LOG:
        if waits:
            seen.waits[name] += 1
        elif home:
            seen.home.append((name, tensors[-1].numel() * tensors[-1].element_size()))
        elif name not in VIEWS and not name.startswith("empty") and not name.startswith("new_empty"):
            seen.launches[name] += 1
    if name == "_to_copy" and kwargs.get("device") is not None:
        kwargs = kwargs | {"device": "cpu"}
    elif "device" in kwargs:
        kwargs = kwargs | {"device": torch.device("cpu")}
    near = {id(t): t for t in tensors}
    inside, options = pytree.tree_map_only(Far, lambda t: t.near, (args, kwargs))
    found = func(*inside, **options)
    given = {id(t.near): t for t in near.values() if isinstance(t, Far)}  # an operation in place gives what it got

    def wrapped(result: torch.Tensor) -> torch.Tensor:
        if id(result) in given:
            return given[id(result)]
        plain = any(result is t for t in near.values())
        return (
            result if plain or (home and name in ("_to_copy", "copy_")) else Far(result, target if not home else device)
        )

    return pytree.tree_map_only(torch.Tensor, wrapped, found)


def install() -> None:
    """Makes the device known to torch, and its tensors to the recorder as what a device's tensors are to it."""
    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("aten", "IMPL")
    LOG_LIBRARIES.append(library)

    def device_of(device: Any) -> torch.device:
        found = torch.device(device)
        return torch.device(found.type, found.index or 0)

    def empty(
        size: Any,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: Any = None,
        memory_format: Any = None,
    ) -> Far:
        return Far(
            torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format, device="cpu"),
            device_of(device),
        )

    def empty_strided(
        size: Any, stride: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None
    ) -> Far:
        return Far(torch.empty_strided(size, stride, dtype=dtype, device="cpu"), device_of(device))

    library.impl("empty.memory_format", empty, "PrivateUse1")
    library.impl("empty_strided", empty_strided, "PrivateUse1")
    from labapp.recording import values

    values.EXACT = (*values.EXACT, Far)


LOG_LIBRARIES: list[Any] = []


def to_far(model: torch.nn.Module, index: int = 0) -> torch.nn.Module:
    """The model with its parameters and buffers on the device."""
    return model.to(f"{NAME}:{index}")
