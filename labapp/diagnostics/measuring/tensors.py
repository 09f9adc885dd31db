"""Which tensor comes first in what a module, a loader or a function has returned, and in which precision is it read?"""

from typing import Any

import torch
from torch import Tensor

from labapp.config import LabError
from labapp.recording.hooks import tensors_in


def first_tensor(value: Any) -> Tensor:
    """The first floating-point tensor in it.

    Raises:
        LabError: If there is none.
    """
    found = next(tensors_in(value), None)
    if found is None:
        raise LabError(f"a {type(value).__name__} holds no tensor of floating-point numbers")
    return found


def wide(dtype: torch.dtype) -> torch.dtype:
    """The precision in which numbers of a dtype are added and multiplied: float32 at least."""
    return torch.promote_types(dtype, torch.float32)
