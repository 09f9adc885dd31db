"""What does a process of a cluster do with a task? It makes sure that it is the same lab there, then works as at home.

This file travels by itself, function by function, because there may be another version of the lab on a node, or none.
So it imports nothing of the lab but inside `work`, once that is known.
"""

import contextlib
import importlib
import importlib.metadata
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

PACE = 1.0  # seconds between two words of one task: there may be a thousand of them


class Terms(NamedTuple):
    """What a process has to have.

    Attributes:
        versions: Of labapp and torch.
        folder: The working folder, to which relative paths of images refer; where it is there.
        root: The archive.
        mark: A file in it that the command made; "" where an address names the same archive everywhere.
    """

    versions: Mapping[str, str]
    folder: str
    root: str
    mark: str


class Bulletin:
    """Where tasks write how far they are, for the command to read."""

    def __init__(self) -> None:
        self.said: dict[int, tuple[float, str]] = {}

    def tell(self, number: int, share: float, words: str) -> None:
        """How far a task is."""
        self.said[number] = (share, words)

    def read(self) -> dict[int, tuple[float, str]]:
        """What was said since it was read last."""
        said, self.said = self.said, {}
        return said


def versions() -> dict[str, str]:
    """Those that have to be equal; "" of what is missing. Builds of one version (+cpu, +cu130) are one."""
    found = {"labapp": "", "torch": ""}
    with contextlib.suppress(ImportError):
        found["labapp"] = importlib.import_module("labapp").__version__
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found["torch"] = importlib.metadata.version("torch").partition("+")[0]
    return found


def why_not(terms: Terms) -> str:
    """Why this process cannot work under these terms, in a sentence; "" where it can."""
    host = socket.gethostname()
    for name, found in versions().items():
        if found != (wanted := terms.versions[name]):
            return (
                f"a worker on {host} has {f'{name} {found}' if found else f'no {name}'}, the sweep was begun with "
                f"{name} {wanted}; install the same version on all nodes"
            )
    if terms.mark and not Path(terms.mark).exists():
        return (
            f"a worker on {host} does not see the archive {terms.root} of the machine on which the sweep was begun; "
            "give --root a folder that all nodes share, or the address of a remote archive"
        )
    return ""


def work(terms: tuple[Any, ...], parcel: list[Any], board: Any, number: int) -> tuple[str, Any]:
    """Work on a task, as `labapp.commands.workers.answer` does.

    Args:
        terms: `Terms`.
        parcel: A reference to function and arguments, in a list, so that it is not opened before the terms are met.
        board: The `Bulletin`, elsewhere.
        number: Of the task.
    """
    if reason := why_not(Terms(*terms)):
        return "mistake", reason
    import ray

    from labapp.commands.workers import answer

    with contextlib.suppress(OSError):
        os.chdir(Terms(*terms).folder)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # `ray start … &` in a script; and nothing would be stopped
        signal.signal(signal.SIGINT, signal.default_int_handler)
    board.tell.remote(number, 0.0, "")
    function, arguments = ray.get(parcel[0])
    return answer(function, arguments, lambda *said: board.tell.remote(number, *said), PACE)
