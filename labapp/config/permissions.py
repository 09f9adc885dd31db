"""What may this process do to the archives it was given, and with what others wrote into them?

    LABAPP_RUNS=runs                    the archive that the app shows first, a folder or an address
    LABAPP_ROOTS=/data/runs:/mnt/runs   folders under which it may open others
    LABAPP_READ_ONLY=1                  nothing is started, stopped or removed
    LABAPP_TRUST=mynets,other.nets      modules whose code a run may ask for
    LABAPP_DATA=/data                   folders in which the app may look for a run's images, besides the working folder

They stand in the environment, so that a process has the permissions of the one that started it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from labapp.config.addresses import place, shown
from labapp.config.errors import LabError, listed

ROOTS, READ_ONLY, TRUST, DATA = "LABAPP_ROOTS", "LABAPP_READ_ONLY", "LABAPP_TRUST", "LABAPP_DATA"
RUNS = "LABAPP_RUNS"  # the archive that the app shows first
LIBRARIES = ("torchvision", "timm")  # sources of nets that a name cannot lead out of


def roots() -> tuple[Path, ...]:
    """The folders under which the app may open archives; the first is shown first."""
    named = [os.environ.get(RUNS, ""), *os.environ.get(ROOTS, "").split(os.pathsep)]
    return tuple(place(name).expanduser().resolve() for name in filter(None, named)) or (Path("runs").resolve(),)


def under_roots(folder: str | Path) -> Path:
    """A folder as it lies on disk, links followed.

    Raises:
        LabError: It lies under none of the roots.
    """
    return _under(folder, roots(), "archives", f"`labapp app --root DIR` or {ROOTS}")


def under_data(folder: str | Path) -> Path:
    """A folder of images that a run names; anywhere, except where `LABAPP_DATA` says which folders are looked into.

    Raises:
        LabError: It lies under none of them.
    """
    if DATA not in os.environ:
        return Path(folder).resolve()
    allowed = [Path(name).expanduser().resolve() for name in os.environ[DATA].split(os.pathsep) if name]
    return _under(folder, [Path.cwd(), *allowed], "images", f"`labapp app --data DIR` or {DATA}")


def _under(folder: str | Path, allowed: Iterable[Path], what: str, how: str) -> Path:
    try:
        found = place(folder).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, no such user, a NUL
        raise LabError(f"'{folder}' names no folder ({error})") from None
    if not any(found.is_relative_to(root) for root in allowed):
        where = listed(map(shown, allowed), "and")
        raise LabError(f"{shown(found)} lies outside {where}, where this app may open {what}; {how} allows it")
    return found


def is_read_only() -> bool:
    """Whether nothing may be started, stopped or removed."""
    return os.environ.get(READ_ONLY, "").lower() not in ("", "0", "no", "false")


READING = "this lab was opened with --read-only"


def require_writing(what: str) -> None:
    """Refuse what changes an archive where it may only be read; `what` begins the sentence: "starting a training".

    Raises:
        LabError: Where it may not.
    """
    if is_read_only():
        raise LabError(f"{what} is not allowed, because {READING}; open it without")


def module_of(net: str | None) -> str | None:
    """The module of somebody's own code that a net's name asks for; None for a library's net or the lab's own."""
    module, colon, _ = (net or "").partition(":")
    return module if colon and module not in LIBRARIES else None


def trust(modules: Iterable[str]) -> None:
    """Let the code of these modules run where a run asks for it, here and in processes that are started from here."""
    os.environ[TRUST] = ",".join(dict.fromkeys([*_trusted(), *modules]))


def is_trusted(net: str | None) -> bool:
    """Whether a net can be built without code that nobody consented to."""
    module = module_of(net)
    return module is None or module in _trusted()


def require_trust(net: str | None, whose: str) -> None:
    """Refuse to import somebody's code because a record names it.

    Args:
        net: As in `Experiment.net`.
        whose: Begins the sentence: "run 'make-20260101'".

    Raises:
        LabError: Where nobody consented.
    """
    if not is_trusted(net):
        module = module_of(net)
        raise LabError(
            f"{whose} asks for the code of module '{module}', which reading a run does not execute; if you know it, "
            f"`--trust {module}` (of `labapp app`, `resume`, `probe` and `explain`) or {TRUST}={module} gives consent"
        )


def _trusted() -> list[str]:
    return [name for name in os.environ.get(TRUST, "").replace(" ", "").split(",") if name]
