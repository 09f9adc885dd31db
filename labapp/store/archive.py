"""Which runs lie in an archive, and how is one found or removed?"""

import secrets
import shutil
from pathlib import Path
from typing import Any

from labapp.config import LabError, is_remote, listed, nearest, place, place_of_run, require_writing
from labapp.store import remote
from labapp.store.display import Runs
from labapp.store.files import current, sentences
from labapp.store.index import forget, look, run_folders
from labapp.store.labels import Labels, write_labels
from labapp.store.run import Run
from labapp.store.schema import TABLES

SAID = 20  # ids that a sentence names


def list_runs(root: str | Path) -> Runs:
    """The readable runs of an archive, newest first: a list, which a notebook shows as a table."""
    return Runs(look(root).runs)


def find_run(word: str | Path, root: str | Path) -> Run:
    """A run by its id, its folder, or the name of its net or that it was given, where only one run has it.

    Raises:
        LabError: If there is none, or more than one of that name.
    """
    if (path := folder_of(word, root)) is not None:
        return Run(path)
    there = look(root)
    same = [entry for entry in there.entries if word in (entry.name, entry.labels.name)]
    if len(same) > SAID:
        few = [*(entry.id for entry in same[:SAID]), f"{len(same) - SAID} others"]
        raise LabError(f"{len(same)} runs are a {word}; give one of {listed(few, 'or')}")
    if len(same) > 1:
        raise LabError(f"{len(same)} runs are a {word}; give one of {listed((entry.id for entry in same), 'or')}")
    if not same:
        known = {name for entry in there.entries for name in (entry.id, entry.name, entry.labels.name) if name}
        near = nearest(word, known) or "; `labapp runs list` shows them"
        raise LabError(f"there is no run '{word}' in {root}{near}")
    return there.run(same[0])


def folder_of(word: str | Path, root: str | Path) -> Path | None:
    """The folder that a run's id, or its path or address, names; None where there is none."""
    for path in (place(root) / place_of_run(word), place_of_run(word)):
        current(path)
        if path.is_dir():
            return path
    return None


def broken_runs(root: str | Path) -> list[tuple[Path, str]]:
    """The folders of an archive that cannot be read as runs, each with the reason."""
    return list(look(root).broken)


def remove_run(root: str | Path, run_id: str) -> None:
    """Delete a run, readable or not; one that is being written is refused."""
    require_writing(f"removing run '{run_id}'")
    names = _run_folders(root)
    if run_id not in names:
        raise LabError(
            f"{root} holds no run '{run_id}'{nearest(run_id, names) or '; `labapp runs list` shows the runs'}"
        )
    path = place(root) / run_id
    found = _opened(path)
    if isinstance(found, Run) and found.status == "running":
        raise LabError(f"run '{run_id}' is being written; stop it first")
    ours = {"run.json", "checkpoints", "probes", *TABLES}
    with sentences(path):
        if isinstance(found, str) and not ours & {entry.name for entry in path.iterdir()}:
            raise LabError(f"{path} holds nothing that the lab wrote, so it is left alone")
        if is_remote(path):
            remote.remove(path)
        gone = path.with_name(f".removed-{run_id}-{secrets.token_hex(4)}")
        path.rename(gone)  # for every reader at once
        forget(root)
        gone.unlink() if gone.is_symlink() else shutil.rmtree(gone)


def label_run(root: str | Path, run_id: str, **words: Any) -> Labels:
    """Give a run a name, tags or a note: `words` are those of `labels.write_labels`; also one that is being written."""
    names = _run_folders(root)
    if run_id not in names:
        near = nearest(run_id, names) or "; `labapp runs list` shows the runs"
        raise LabError(f"{root} holds no run '{run_id}'{near}")
    after = write_labels(place(root) / run_id, **words)
    forget(root)
    return after


def send_left(root: str | Path) -> tuple[list[str], list[str]]:
    """Send what this machine recorded for an archive elsewhere and could not send.

    Returns:
        Ids of runs that were sent, and sentences about those that were not.
    """
    require_writing("sending runs")
    if not is_remote(folder := place(root)):
        raise LabError(f"{root} is a folder of this machine, so there is nothing to send; --root names an address")
    return remote.send_left(folder)


def _run_folders(root: str | Path) -> dict[str, bool]:
    if is_remote(folder := place(root)):
        remote.refresh(folder, 0.0)
    return run_folders(folder)


def _opened(path: Path) -> Run | str:
    try:
        return Run(path)
    except LabError as error:
        return str(error)
