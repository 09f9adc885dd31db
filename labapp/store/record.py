"""What stands in a run's run.json?"""

import hashlib
import json
import math
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

import labapp
from labapp.config import Experiment, LabError

FORMAT: Literal[1] = 1
Status = Literal["running", "finished", "incomplete", "diverged", "failed", "stopped"]
STATUSES: tuple[str, ...] = get_args(Status)  # and "interrupted", which nobody was left to write down
_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$", re.IGNORECASE)
COPY = ".run.json.copy"  # of when the latest attempt began or ended, should run.json itself be damaged
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # of a run or a probe; also a file's, on any system
LARGEST = 64 * 2**20  # bytes of a run.json; a net of ten thousand layers needs four million
_HALVES = re.compile(rb"\\u[dD][89a-fA-F]")
LAYER = {  # what a layer of a record is, as far as it says so
    **dict.fromkeys(("path", "kind", "block"), "a word"),
    **dict.fromkeys(("index", "depth", "relative_depth", "stage", "parameters"), "a number"),
    "shape": "sizes",
}
IMAGES = {"image_size": "a number", "channels": "a number", "mean": "numbers", "std": "numbers", "classes": "a list"}


class Record(BaseModel):
    """What stands in run.json."""

    model_config = ConfigDict(validate_assignment=True)

    labapp: str = labapp.__version__
    format: Literal[1] = FORMAT
    id: str
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
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

    @field_validator("created", mode="before")
    @classmethod
    def _in_some_zone(cls, given: Any) -> Any:
        """A time without a zone, as another program may have written it, is taken for UTC."""
        if isinstance(given, str) and given and not _ZONE.search(given):
            return f"{given}+00:00"
        return given


def as_name(words: str) -> str:
    """Words as a name that a run can have: each sign that none can hold becomes "-"."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", words).lstrip("._+-") or "run"


def as_json(record: Record) -> bytes:
    """The contents of run.json, with a digest by which a changed bit is noticed."""
    contents = json.loads(record.model_dump_json())
    return json.dumps(contents | {"digest": digest(contents)}, indent=1, ensure_ascii=False).encode()


def digest(contents: Mapping[str, Any]) -> str:
    """SHA-256 of the contents of a run.json without their digest, whatever the order and layout of the file."""
    rest = {name: value for name, value in contents.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


KNOWN = 16 * 2**20  # bytes of run.json whose records are kept: some hundred runs of deep nets
_known: dict[Path, tuple[tuple[int, ...], Record]] = {}  # the latest of each run: a live one has many
_paths: list[Path] = []  # their keys, to take any of them
_size: Counter[str] = Counter()
_keeping = threading.Lock()


def read_record(path: Path, seen: tuple[int, ...]) -> Record:
    """What a run.json says; kept with `seen`, its inode, time and size, as an archive is read more than it changes.

    Raises:
        LabError: Of a newer version of the lab.
        ValueError: It is no record: too large, no JSON, nested too deeply, or with half a character.
    """
    kept = _known.get(path)
    if kept is None or kept[0] != seen:
        kept = seen, _read(path, seen)
        with _keeping:
            _keep(path, kept)
    return kept[1]


def _keep(path: Path, kept: tuple[tuple[int, ...], Record]) -> None:
    """Keep to what may be kept. Any of them goes: were it the oldest, going through one more would read all again."""
    if path in _known:
        _paths.remove(path)
        _size["held"] -= _known.pop(path)[0][-1]
    while _paths and _size["held"] + kept[0][-1] > KNOWN:
        place = random.randrange(len(_paths))
        _paths[place], _paths[-1] = _paths[-1], _paths[place]
        _size["held"] -= _known.pop(_paths.pop())[0][-1]
    _paths.append(path)
    _known[path] = kept
    _size["held"] += kept[0][-1]


def _read(path: Path, seen: tuple[int, ...]) -> Record:
    if seen[-1] > LARGEST:
        raise ValueError(f"{seen[-1]} bytes")
    said = path.read_bytes()
    try:
        contents = json.loads(said)
        if _HALVES.search(said):  # as an escape: no text can be shown or stored with it
            json.dumps(contents, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(written := contents.get("format"), int) and written > FORMAT:
        newer = f"by a newer version of the lab ({contents.get('labapp')}, format {written})"
        raise LabError(f"{path} was written {newer}; this one reads format {FORMAT}, so update labapp")
    layers = contents.get("layers") or []
    require_kinds(layers, LAYER)
    if any(layer.get("path") is None for layer in layers):
        raise ValueError("a layer without a path")
    require_kinds([contents.get("progress") or {}], {"step": "a count", "steps": "a count"})
    require_kinds([(contents.get("environment") or {}).get("images") or {}], IMAGES)
    return Record(**contents)


def require_kinds(said: list[dict[str, Any]], kinds: Mapping[str, str]) -> None:
    """Asks whether what readers take for granted is so, in parts of a record that hold other things besides.

    Raises:
        ValueError: A value is of another kind.
    """
    for each in said:
        for name, kind in kinds.items():
            value = each.get(name)
            if value is not None and not _IS[kind](value):
                raise ValueError(f"{name} is {kind}, not {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


_IS: dict[str, Callable[[Any], bool]] = {
    "a word": lambda value: isinstance(value, str),
    "a number": _is_number,
    "a count": lambda value: isinstance(value, int) and 0 <= value < 2**53,
    "sizes": lambda value: isinstance(value, list) and all(isinstance(size, int) and size >= 0 for size in value),
    "numbers": lambda value: isinstance(value, list) and all(map(_is_number, value)),
    "a list": lambda value: isinstance(value, list),
}


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
