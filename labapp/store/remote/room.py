"""How much room may the copies of what lies elsewhere take on this machine?

As much as `LABAPP_CACHE_GB` says. Runs that were read longest ago give up their files first; run.json and labels stay,
because a list needs them, and so does everything that the store does not have yet.
"""

import contextlib
import os
import shutil
import threading
from pathlib import Path

from labapp.config import LabError, kept_folder
from labapp.store.files import alone
from labapp.store.remote.known import FOLDER, UNSENT, Known

LIMIT = "LABAPP_CACHE_GB"
USUAL = 20.0  # GB
LOOK = 0.05  # of the limit, after which the folder is measured again
_STAY = ("run.json", "labels.json", FOLDER)
_came = {"bytes": float("inf")}  # since the folder was measured; a process measures it once at least
_measuring = threading.Lock()


def limit() -> float:
    """The bytes that copies may take.

    Raises:
        LabError: The environment names no number.
    """
    said = os.environ.get(LIMIT, "")
    try:
        gigabytes = float(said) if said else USUAL
    except ValueError:
        gigabytes = -1.0
    if not gigabytes > 0:
        raise LabError(f"{LIMIT} is how many gigabytes copies of remote runs may take, so it cannot be '{said}'")
    return gigabytes * 1e9


def keep_bounded(came: int, to: Path) -> None:
    """Throw out what was read longest ago where copies take too much, after so many bytes more came to a run."""
    with _measuring:
        _came["bytes"] += came
        if _came["bytes"] < LOOK * limit():
            return
        _came["bytes"] = 0.0
        runs = [run for archive in _below(kept_folder()) for run in _below(archive) if not (run / UNSENT).exists()]
        sizes = {run: _size(run) for run in runs}
        over = sum(sizes.values()) - limit()
        for run in sorted(runs, key=_read_at):
            if over <= 0:
                return
            if run != to:  # which is about to be read
                over -= sizes[run] - _thrown_out(run)


def _thrown_out(run: Path) -> int:
    """Deletes the copies of a run's files; the bytes that are left."""
    with contextlib.suppress(OSError), alone(run / FOLDER):
        sure = Known(run)
        if not (run / UNSENT).exists() and not any(map(sure.is_newer, sure.files)):
            sure.files.clear()
            sure.save()  # first: what is known to be here is here
            for path in run.iterdir():
                if path.name not in _STAY:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return _size(run)


def _below(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"]
    return []


def _read_at(run: Path) -> float:
    try:
        return (run / FOLDER).stat().st_mtime
    except OSError:
        return 0.0


def _size(run: Path) -> int:
    found = 0
    for folder, _, names in os.walk(run):
        for name in names:
            with contextlib.suppress(OSError):
                found += (Path(folder) / name).stat().st_size
    return found
