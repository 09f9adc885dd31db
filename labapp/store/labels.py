"""What do people say of a run: its name, its tags, a note?

They stand in a small file of the run's folder that is not run.json, which its writer alone may change; so a run can be
labelled while it trains. Whoever labels a run changes nothing that was measured.
"""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from labapp.config import LabError, is_remote, require_writing, sentence, shown
from labapp.store.files import alone, sentences, write_whole

FILE = "labels.json"
LARGEST = 2**20  # bytes of the file
LONGEST = {"name": 80, "tag": 40, "note": 10_000}  # signs
MOST_TAGS = 50


class Labels(BaseModel):
    """What somebody said of a run; all empty where nobody did."""

    model_config = ConfigDict(frozen=True)

    name: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""

    @field_validator("name")
    @classmethod
    def _one_line(cls, given: str) -> str:
        return _line(given, "name")

    @field_validator("tags")
    @classmethod
    def _each_once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        tags = tuple(sorted({line for tag in given if (line := _line(tag, "tag"))}))
        if len(tags) > MOST_TAGS:
            raise LabError(f"a run has at most {MOST_TAGS} tags, and these are {len(tags)}")
        return tags

    @field_validator("note")
    @classmethod
    def _text(cls, given: str) -> str:
        if len(given) > LONGEST["note"]:
            raise LabError(f"a note has at most {LONGEST['note']:,} signs, and this one {len(given):,}")
        return given.strip()


NONE = Labels()


def _line(given: str, what: str) -> str:
    line = " ".join(given.split())
    if not line.isprintable():
        raise LabError(f"the {what} {line!r} holds signs that cannot be shown")
    if len(line) > LONGEST[what]:
        raise LabError(f"a {what} has at most {LONGEST[what]} signs, and this one {len(line)}: {line[:20]}…")
    return line


def read_labels(folder: Path) -> Labels:
    """What is said of the run in this folder.

    Raises:
        LabError: The file cannot be read, or holds something else.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            said = file.read(LARGEST + 1)
        if len(said) > LARGEST:
            raise ValueError
        return Labels(**json.loads(said))
    except FileNotFoundError:
        return NONE
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError):  # ValidationError and LabError are ValueErrors
        raise LabError(f"{path} is damaged; the next name, tag or note that is given replaces it") from None


def write_labels(
    folder: Path,
    *,
    name: str | None = None,
    note: str | None = None,
    tags: Sequence[str] | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> Labels:
    """Say something of a run; what is None stays as it is.

    Args:
        folder: The run's.
        name: What it is to be called; "" for the name that the lab gives.
        note: Free text; "" for none.
        tags: All tags, instead of those it has.
        add: Tags besides.
        remove: Tags that it is to lose.

    Raises:
        LabError: It may not be written here, or the words do not fit.
    """
    require_writing(f"labelling run '{folder.name}'")
    change = partial(_write, folder, name=name, note=note, tags=tags, add=[*add], remove=[*remove])
    if is_remote(folder):
        from labapp.store import remote

        return remote.agreed(folder / FILE, change)
    return change()


def _write(
    folder: Path,
    name: str | None,
    note: str | None,
    tags: Sequence[str] | None,
    add: Iterable[str],
    remove: Iterable[str],
) -> Labels:
    if not (folder / "run.json").is_file():
        raise LabError(f"there is no run at {shown(folder)}; `labapp runs list` shows the runs")
    with sentences(folder), alone(folder):  # two who tag at once both do
        try:
            before = read_labels(folder)
        except LabError:
            before = NONE
        now = set(before.tags if tags is None else tags) | set(add)
        gone = {_line(tag, "tag") for tag in remove}
        try:
            after = Labels(
                name=before.name if name is None else name,
                note=before.note if note is None else note,
                tags=tuple(tag for tag in now if _line(tag, "tag") not in gone),
            )
        except ValidationError as error:
            raise LabError(sentence(error)) from None
        text = json.dumps(after.model_dump(), ensure_ascii=False, indent=1).encode()
        write_whole(folder / FILE, lambda file: file.write(text))
    return after
