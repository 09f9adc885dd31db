"""What stands in a run's run.json?"""

import functools
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

import labapp
from labapp.config import Experiment

Status = Literal["running", "finished", "incomplete", "diverged", "failed", "stopped"]
STATUSES: tuple[str, ...] = get_args(Status)  # and "interrupted", which nobody was left to write down
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # of a run or a probe; also a file's, on any system
LARGEST = 64 * 2**20  # bytes of a run.json; a net of ten thousand layers needs four million
_HALVES = re.compile(rb"\\u[dD][89a-fA-F]")


class Record(BaseModel):
    """What stands in run.json."""

    model_config = ConfigDict(validate_assignment=True)

    labapp: str = labapp.__version__
    format: Literal[1] = 1
    id: str
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    experiment: Experiment
    seeds: dict[str, Any] = {}
    status: Status = "running"
    message: str = ""
    faults: list[str] = []  # what went wrong on the way to the disk, each once
    parts: dict[str, tuple[int, int]] = {}  # the last part of each table: attempt and number
    progress: dict[str, int] = {}
    seconds: float = 0.0
    attempts: list[dict[str, Any]] = []
    environment: dict[str, Any] = {}
    recorder: dict[str, Any] = {}
    layers: list[dict[str, Any]] = []


@functools.lru_cache(maxsize=1000)
def read_record(path: Path, seen: tuple[int, ...]) -> Record:
    """What a run.json says; cached by `seen`, its inode, time and size, as an archive is read more than it changes.

    Raises:
        ValueError: It is too large, no JSON, nested too deeply, or holds half a character.
    """
    if seen[-1] > LARGEST:
        raise ValueError(f"{seen[-1]} bytes")
    said = path.read_bytes()
    try:
        found = json.loads(said)
        if _HALVES.search(said):  # as an escape: no text can be shown or stored with it
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return Record(**found)


def plain(value: Any) -> Any:
    """A value in the types of JSON: arrays as lists, NaN and infinities as None, unknown objects as words."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
