"""How does a folder of somebody's get an export whole or not at all?

It is made beside its place under a hidden name and renamed, so that a full disk, a fault or Ctrl-C leaves nothing
half-written and what was there as it was.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import labapp
from labapp.config import LabError

MARK = "labapp-export.json"  # in a folder that an export made, which --force may replace


@contextlib.contextmanager
def out_folder(out: str | Path, force: bool, to: str, runs: Sequence[str]) -> Iterator[Path]:
    """A new folder that takes the place `out` when the block has ended well.

    Args:
        out: The place, of which the folder above is there; an empty folder may be.
        force: Replace an export that is there; anything else of somebody's stays whatever is forced.
        to: The target, as it is noted.
        runs: Their ids, as they are noted.

    Raises:
        LabError: It is taken, or cannot be written.
    """
    place = _free(out, force)
    token = secrets.token_hex(4)
    made, old = (place.with_name(f".{place.name}.{token}.{end}") for end in ("part", "old"))
    try:
        made.mkdir()
        yield made
        about = {"labapp": labapp.__version__, "to": to, "runs": list(runs)}
        (made / MARK).write_bytes(json.dumps(about, indent=1).encode() + b"\n")
        if place.exists():
            place.rename(old)
        try:
            made.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
    except OSError as error:
        raise _unwritable(place, error) from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)


def _free(out: str | Path, force: bool) -> Path:
    """The place, where an export may go.

    Raises:
        LabError: It may not.
    """
    if not str(out) or "://" in str(out):
        raise LabError(f"--out names a folder of this machine, not '{out}'")
    place = Path(out).absolute()
    try:
        if not place.parent.is_dir():
            raise LabError(f"there is no folder {place.parent}; make it, or choose another --out")
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise LabError(f"{place} is no folder; choose another --out")
        taken = place.is_dir() and any(place.iterdir())
        ours = taken and (place / MARK).is_file()
    except OSError as error:
        raise _unwritable(place, error) from None
    if taken and not ours:
        raise LabError(f"{place} is there and no export of the lab; choose another --out")
    if taken and not force:
        raise LabError(f"{place} is there; choose another --out, or --force to write it anew")
    return place


def _unwritable(place: Path, error: OSError) -> LabError:
    return LabError(f"cannot write {place}: {error.strerror or error}; choose another --out")
