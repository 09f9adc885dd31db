"""How do weights lie in a run's folder `checkpoints/`, and which of the files are whole?"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from labapp.config import first_line, is_remote
from labapp.store.files import files, here, sync_folder, write_whole

FOLDER, KEPT = "checkpoints", "_resume"  # for good, and of a moment ago
_NAME = re.compile(r"step-(\d{8,})\.safetensors")


def weights_name(step: int) -> str:
    """The name of the file with the weights after `step` steps."""
    return f"step-{step:08d}.safetensors"


def checkpoint_problems(folder: Path) -> dict[int, str]:
    """What is wrong with each checkpoint in a folder, by its step in ascending order; "" for one that can be read."""
    found = {}
    for match in filter(None, map(_NAME.fullmatch, files(folder))):
        if is_remote(folder) and not (folder / match[0]).exists():
            found[int(match[1])] = ""  # a store has objects whole; it comes when it is opened
            continue
        try:
            with safetensors.safe_open(folder / match[0], framework="numpy"):
                found[int(match[1])] = ""  # opening checks that the file is as long as its header says
        except (safetensors.SafetensorError, OSError) as error:
            found[int(match[1])] = f"{folder.name}/{match[0]} is damaged ({first_line(error)})"
    return dict(sorted(found.items()))


def write_checkpoint(path: Path, run_id: str, step: int, tensors: Mapping[str, Any], state: bytes | None) -> None:
    """Write weights, and before them the state beside them, so that whoever sees the weights finds it.

    The header of the weights has SHA-256 digests of both, for `checkpoint_damage`.
    """
    if not path.parent.is_dir():
        path.parent.mkdir()
        sync_folder(path.parent.parent)
    about = {"run": run_id, "step": str(step)}
    if state is not None:
        about["state_sha256"] = hashlib.sha256(state).hexdigest()
        write_whole(path.with_suffix(".pt"), lambda file: file.write(state))
    weights = as_safetensors(tensors, about)
    write_whole(path, lambda file: file.write(weights))


def checkpoint_damage(path: Path) -> str:
    """What is wrong with a checkpoint or the state beside it, after reading both whole; "" for nothing."""
    name = f"{path.parent.name}/{path.name}"
    try:
        contents = here(path).read_bytes()
        with safetensors.safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
        if about.get("sha256", told := _digest(contents, about)) != told:
            return f"{name} is damaged (its contents are not those that were written)"
        state = here(path.with_suffix(".pt"))
        if "state_sha256" in about and not state.is_file():
            return f"{name} has lost the training state beside it"
        if "state_sha256" in about and hashlib.sha256(state.read_bytes()).hexdigest() != about["state_sha256"]:
            return f"{state.parent.name}/{state.name} is damaged (its contents are not those that were written)"
    except (safetensors.SafetensorError, OSError) as error:
        return f"{name} is damaged ({first_line(error)})"
    return ""


def as_safetensors(tensors: Mapping[str, Any], about: dict[str, str]) -> bytes:
    """Arrays or torch tensors by name, and some words about them, as the bytes of a safetensors file."""
    kinds = [str(getattr(value, "dtype", "")) for value in tensors.values()]
    if any("float8" in kind or "bfloat16" in kind for kind in kinds):
        from safetensors.torch import (
            save as save_torch,  # numpy has no such type; the tensors show that torch is loaded
        )

        kept = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        contents = save_torch(kept, about)
    else:
        given = {n: v.detach().cpu().numpy() if hasattr(v, "detach") else np.asarray(v) for n, v in tensors.items()}
        contents = safetensors.numpy.save({name: array.copy(order="C") for name, array in given.items()}, about)
    header = json.loads(contents[8 : _end_of_header(contents)])
    header["__metadata__"] = about | {"sha256": _digest(contents, about)}
    words = json.dumps(header, ensure_ascii=False).encode()
    words += b" " * (-len(words) % 8)  # tensors lie at multiples of eight bytes
    return len(words).to_bytes(8, "little") + words + contents[_end_of_header(contents) :]


def _end_of_header(contents: bytes) -> int:
    """Where a safetensors file's header ends: after eight bytes that hold its length, and the header."""
    return 8 + int.from_bytes(contents[:8], "little")


def _digest(contents: bytes, about: Mapping[str, str]) -> str:
    """SHA-256 of the tensors in a safetensors file, and of all that its header says."""
    end = _end_of_header(contents)
    header = json.loads(contents[8:end]) | {"__metadata__": {name: about[name] for name in about if name != "sha256"}}
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode() + contents[end:]).hexdigest()
