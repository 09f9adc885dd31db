"""Which runs lie in an archive, and how is one found or removed?"""

import os
import secrets
import shutil
from pathlib import Path

from labapp.config import LabError, listed, nearest, require_writing
from labapp.store.files import folders, sentences
from labapp.store.run import Run
from labapp.store.schema import TABLES


def list_runs(root: str | Path) -> list[Run]:
    """The readable runs of an archive, newest first."""
    runs = [found for path in _run_folders(root) if isinstance(found := _opened(path), Run)]
    return sorted(runs, key=lambda run: (run.started, run.id), reverse=True)


def find_run(word: str | Path, root: str | Path) -> Run:
    """A run by its id, its folder, or its net's name where only one run has it.

    Raises:
        LabError: If there is none, or more than one of that name.
    """
    for path in (Path(root) / word, Path(word)):
        if path.is_dir():
            return Run(path)
    there = list_runs(root)
    same = [run for run in there if run.name == word]
    if len(same) > 1:
        raise LabError(f"{len(same)} runs are a {word}; give one of {listed((run.id for run in same), 'or')}")
    if not same:
        known = [name for run in there for name in (run.id, run.name)]
        near = nearest(word, known) or "; `labapp runs list` shows them"
        raise LabError(f"there is no run '{word}' in {root}{near}")
    return same[0]


def broken_runs(root: str | Path) -> list[tuple[Path, str]]:
    """The folders of an archive that cannot be read as runs, each with the reason."""
    return [(path, found) for path in _run_folders(root) if isinstance(found := _opened(path), str)]


def remove_run(root: str | Path, run_id: str) -> None:
    """Delete a run, readable or not; one that is being written is refused."""
    require_writing(f"removing run '{run_id}'")
    names = [folder.name for folder in _run_folders(root)]
    if run_id not in names:
        raise LabError(
            f"{root} holds no run '{run_id}'{nearest(run_id, names) or '; `labapp runs list` shows the runs'}"
        )
    path = Path(root) / run_id
    found = _opened(path)
    if isinstance(found, Run) and found.status == "running":
        raise LabError(f"run '{run_id}' is being written; stop it first")
    ours = {"run.json", "checkpoints", "probes", *TABLES}
    with sentences(path):
        if isinstance(found, str) and not ours & {entry.name for entry in path.iterdir()}:
            raise LabError(f"{path} holds nothing that the lab wrote, so it is left alone")
        gone = path.with_name(f".removed-{run_id}-{secrets.token_hex(4)}")
        path.rename(gone)  # for every reader at once
        gone.unlink() if gone.is_symlink() else shutil.rmtree(gone)


def _opened(path: Path) -> Run | str:
    try:
        return Run(path)
    except LabError as error:
        return str(error)


def _run_folders(root: str | Path) -> list[Path]:
    root = Path(root)
    try:
        os.scandir(root).close()
    except FileNotFoundError:
        raise LabError(f"there is no archive at {root}; `labapp starter` makes one, --root names another") from None
    except NotADirectoryError:
        raise LabError(f"{root} is a file, not an archive; --root names a folder of runs") from None
    except OSError as error:
        raise LabError(f"the archive {root} cannot be read: {error.strerror}") from None
    return [root / name for name in folders(root)]
