"""Which tensor comes first in whatever a module, a loader or a function has returned?"""

from typing import Any

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
