"""Which tensors are in whatever a module, a loader or a function has returned?"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from labapp.config import LabError


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of floating-point numbers in tuples, lists, dictionaries and dataclasses, in order."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from tensors_in(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from tensors_in(inner)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from tensors_in(getattr(value, name))


def first_tensor(value: Any) -> Tensor:
    """The first of them.

    Raises:
        LabError: If there is none.
    """
    found = next(tensors_in(value), None)
    if found is None:
        raise LabError(f"a {type(value).__name__} holds no tensor of floating-point numbers")
    return found
