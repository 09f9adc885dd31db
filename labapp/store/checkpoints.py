"""How do weights lie in a run's folder `checkpoints/`, and which of the files are whole?"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from labapp.config import first_line
from labapp.store.files import files, sync_folder, write_whole

_NAME = re.compile(r"step-(\d{8,})\.safetensors")


def weights_name(step: int) -> str:
    """The name of the file with the weights after `step` steps."""
    return f"step-{step:08d}.safetensors"


def checkpoint_problems(folder: Path) -> dict[int, str]:
    """What is wrong with each checkpoint in a folder, by its step in ascending order; "" for one that can be read."""
    found = {}
    for match in filter(None, map(_NAME.fullmatch, files(folder))):
        try:
            with safetensors.safe_open(folder / match[0], framework="numpy"):
                found[int(match[1])] = ""  # opening checks that the file is as long as its header says
        except (safetensors.SafetensorError, OSError) as error:
            found[int(match[1])] = f"{folder.name}/{match[0]} is damaged ({first_line(error)})"
    return dict(sorted(found.items()))


def write_checkpoint(path: Path, run_id: str, step: int, tensors: Mapping[str, Any], state: bytes | None) -> None:
    """Write weights, and before them the state beside them, so that whoever sees the weights finds it."""
    if not path.parent.is_dir():
        path.parent.mkdir()
        sync_folder(path.parent.parent)
    if state is not None:
        write_whole(path.with_suffix(".pt"), lambda file: file.write(state))
    weights = as_safetensors(tensors, {"run": run_id, "step": str(step)})
    write_whole(path, lambda file: file.write(weights))


def as_safetensors(tensors: Mapping[str, Any], about: dict[str, str]) -> bytes:
    """Arrays or torch tensors by name, and some words about them, as the bytes of a safetensors file."""
    if any("float8" in str(value.dtype) or "bfloat16" in str(value.dtype) for value in tensors.values()):
        from safetensors.torch import save  # numpy has no such type; the tensors show that torch is loaded

        return save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, about)
    arrays = {n: v.detach().cpu().numpy() if hasattr(v, "detach") else np.asarray(v) for n, v in tensors.items()}
    return safetensors.numpy.save({name: array.copy(order="C") for name, array in arrays.items()}, about)
