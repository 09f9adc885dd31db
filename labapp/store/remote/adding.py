"""How does what others than its writer add to a run get into the store: a probe, labels, or what was never sent?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from labapp.config import LabError, address_of, first_line, shown
from labapp.store.files import write_whole
from labapp.store.remote.known import FOLDER, UNSENT, Known, known, look
from labapp.store.remote.mirror import AGAIN, MARKS, mirror_of
from labapp.store.remote.objects import ANY, NOTHING_THERE, OutdatedError
from labapp.store.remote.sending import RemoteLease

Result = TypeVar("Result")


def send(path: Path) -> None:
    """Send one file of a run that was written just now by somebody who is not its writer.

    Raises:
        LabError: It could not be sent; the file stays.
    """
    mirror = mirror_of(path)
    name, _, key = address_of(path)[1].partition("/")
    if not mirror.is_own(name):  # else its writer sends it
        with known(mirror.root / name) as sure:
            sure.files[key] = sure.files.get(key, ("", -1, -1))  # newer here than there, until it is sent
        try:
            tag = mirror.objects.put(f"{name}/{key}", path)
        except LabError as error:
            how = f"`labapp runs send --root {mirror.address}` sends it"
            raise LabError(f"{path} was written, but not sent ({first_line(error)}); {how}") from None
        with known(mirror.root / name) as sure:
            sure.add(key, tag)
        mirror.objects_of(name, anew=True)


def agreed(path: Path, change: Callable[[], Result]) -> Result:
    """Change a run's labels and send them: of two who do so at once, the second changes what the first has left.

    Raises:
        LabError: They could not be sent; then they are here as they were, unless only the copy in the run's folder
            failed there: the archive goes by the mark.
    """
    mirror = mirror_of(path)
    name, mark = path.parent.name, f"{MARKS}/{path.parent.name}/{path.name}"
    key = f"{name}/{path.name}"
    for _ in range(AGAIN):
        mirror.refresh()
        if mirror.is_own(name):
            return change()
        before = Known(mirror.root).tag(key)
        said = path.read_bytes() if path.exists() else None
        result = change()
        try:
            tag = mirror.objects.put(mark, path, before or NOTHING_THERE)
        except OutdatedError:
            with known(mirror.root) as sure:
                sure.files[key] = ("", *look(path))  # the other's is fetched
            continue
        except LabError as error:
            with known(mirror.root) as sure:
                _put_back(path, said)
                if before:
                    sure.add(key, before)
            raise LabError(f"the labels of {shown(path.parent)} stay as they were: {first_line(error)}") from None
        with known(mirror.root) as sure:
            sure.add(key, tag)
        mirror.objects.put(key, path, ANY)  # for whoever reads the store without labapp; the mark is what counts
        return result
    raise LabError(f"the labels of {shown(path.parent)} are changed by others all the time; try again")


def _put_back(path: Path, said: bytes | None) -> None:
    """A file as it was before it was changed."""
    if said is None:
        path.unlink(missing_ok=True)
    else:
        write_whole(path, lambda file: file.write(said))


def send_left(root: Path) -> tuple[list[str], list[str]]:
    """Send what lies here of an archive's runs and never got there; the runs, and why others were not sent."""
    sent, left = [], []
    for folder in sorted(path.parent for path in root.glob(f"[!._]*/{FOLDER}")):
        sure = Known(folder)
        own, newer = (folder / UNSENT).exists(), [key for key in sure.files if sure.is_newer(key)]
        try:
            if own:
                _send_run(folder)
            for key in [] if own else newer:
                send(folder / key)
        except LabError as error:
            left.append(str(error))
        else:
            sent += [folder.name] if own or newer else []
    return sent, left


def _send_run(folder: Path) -> None:
    lease = RemoteLease(folder)
    lease.take()
    if sentence := lease.release():
        raise LabError(sentence)
