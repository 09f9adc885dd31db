"""How are weights read from a file, and refused where they are of another net?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from labapp.config import LabError


def state_of(path: Path) -> dict[str, Tensor]:
    """A file of weights as tensors by name; no pickled code is ever run."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise LabError(gone(path)) from None
    except SafetensorError as error:
        raise LabError(f"{path} is damaged and cannot be read ({error})") from None
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception:  # pickled code that is refused, and whatever a damaged file makes of the reader
        raise LabError(
            f"{path} holds no plain state dict; save one with torch.save(net.state_dict(), …) or as safetensors"
        ) from None
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise LabError(f"{path} holds no state dict: weights by name, as torch.save(net.state_dict(), …) writes them")
    wrapped = all(str(name).startswith("module.") for name in found)  # of a net trained by several processes
    return {str(name).removeprefix("module.") if wrapped else str(name): value for name, value in found.items()}


def load_into(net: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Gives a net weights; refused, with `what` as their name, where they are of another net."""
    own = net.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    extra = [name for name in state if name not in own]
    if wrong or extra:
        first = wrong[0] if wrong else extra[0]
        there = tuple(state[first].shape) if first in state else "nothing"
        here = tuple(own[first].shape) if first in own else "nothing"
        raise LabError(f"{what} holds weights of another net: {there} for '{first}', where this net has {here}")
    net.load_state_dict(state)


def gone(path: Path) -> str:
    """What to say of a file that is not there."""
    return f"there is no weights file {path}; it may have been removed meanwhile"
