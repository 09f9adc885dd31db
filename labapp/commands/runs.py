"""Which runs are in an archive, and what do people say of them? Listed, named, tagged, noted.

labapp runs list --filter 'residual depth>=56 accuracy>0.9' --tag good
labapp runs tag RUN good another
labapp runs rename RUN 'the baseline'
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

from rich import box
from rich.table import Table
from tyro.conf import Positional, UseAppendAction, arg

from labapp.commands.accuracies import Accuracies
from labapp.commands.options import Root, RunName
from labapp.commands.progress import console, percent
from labapp.config import LabError, shown
from labapp.store import Entry, Labels, Listing, find_run, label_run, look, question, remove_run, send_left

FilterOption = Annotated[
    str,
    arg(metavar="WORDS", help="words of a name, id, tag or note; conditions as depth>=56, accuracy>0.9"),
]
TagOption = UseAppendAction[Annotated[tuple[str, ...], arg(metavar="TAG", help="only runs with this tag; also twice")]]
JsonList = Annotated[bool, arg(help="print JSON instead of a table, with the settings of each run")]
TagWords = Positional[Annotated[tuple[str, ...], arg(metavar="TAG")]]
RemoveOption = Annotated[bool, arg(help="take these tags off the run")]
Words = Positional[Annotated[tuple[str, ...], arg(metavar="TEXT", help="'' for none")]]


def runs_list(filter: FilterOption = "", tag: TagOption = (), json: JsonList = False, root: Root = "runs") -> int:
    """List the runs of the archive, newest first; all, or those that fit."""
    listing = look(root)
    accuracy = Accuracies(listing)
    found = fitting(listing, filter, tag, accuracy)
    if json:
        _print_json(found, accuracy)
    else:
        _print_table(listing, found, accuracy, bool(filter.strip() or tag))
    return 0


def fitting(listing: Listing, filter: str, tag: tuple[str, ...], accuracy: Accuracies) -> list[Entry]:
    """The runs of an archive that fit words and conditions, and have all of these tags."""
    sought = question(filter, ["accuracy"])
    tags = {word.casefold() for word in tag}
    return [
        entry
        for entry in listing.entries
        if tags <= {own.casefold() for own in entry.labels.tags} and sought.fits(entry, entry.labels.name, accuracy)
    ]


def _print_table(listing: Listing, found: list[Entry], accuracy: Accuracies, some: bool) -> None:
    screen = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    named = any(entry.labels.name for entry in found)
    tagged = any(entry.labels.tags for entry in found)
    for column in ("run", *["name"] * named, "steps", "test", "time", "status", "images", *["tags"] * tagged):
        # What has no room is folded, but never a run's name: it is there to be typed or copied.
        right = column in ("steps", "test", "time")
        folded = column in ("images", "name", "tags")
        table.add_column(column, overflow="fold", no_wrap=not folded, justify="right" if right else "left")
    for entry in found:
        cells = [entry.id, *[entry.labels.name] * named, f"{entry.step}/{entry.steps}", percent(accuracy(entry))]
        cells += [f"{entry.seconds:.0f} s", entry.status, entry.experiment.imageset]
        table.add_row(*cells, *[", ".join(entry.labels.tags)] * tagged)
    count = f"{len(found)} of {len(listing.entries)}" if some else f"{len(found)}"
    screen.print(f"{count} runs in {shown(listing.root)}\n")
    screen.print(table)
    for path, sentence in listing.broken:
        screen.print(f"{path.name}: {sentence}")


def _print_json(found: list[Entry], accuracy: Accuracies) -> None:
    told = [
        {
            "id": entry.id,
            "name": entry.labels.name,
            "net": entry.name,
            "status": entry.status,
            "started": entry.created.isoformat(),
            "step": entry.step,
            "steps": entry.steps,
            "seconds": _finite(entry.seconds),
            "accuracy": _finite(accuracy(entry)),
            "tags": list(entry.labels.tags),
            "note": entry.labels.note,
            "experiment": entry.experiment.model_dump(exclude_none=True),
        }
        for entry in found
    ]
    sys.stdout.write(json.dumps(told, indent=1) + "\n")  # ASCII: no name steers the terminal


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def runs_tag(
    run: Positional[RunName] = "", tags: TagWords = (), remove: RemoveOption = False, root: Root = "runs"
) -> int:
    """Give a run tags, or take them off it; also while it trains."""
    if not run or not tags:
        raise LabError("which run, and which tags? `labapp runs tag RUN TAG …` adds some, --remove takes them off")
    words: dict[str, Any] = {"remove" if remove else "add": tags}
    after = _labelled(run, root, **words)
    console().print(f"tags: {', '.join(after.tags) or 'none'}")
    return 0


def runs_note(run: Positional[RunName] = "", text: Words = (), root: Root = "runs") -> int:
    """Write a note about a run, instead of the one that it has; without TEXT, print it."""
    if not run:
        raise LabError("which run? `labapp runs note RUN TEXT` writes a note about one")
    after = _labelled(run, root, note=" ".join(text) if text else None)
    console().print(after.note or "no note")
    return 0


def runs_rename(run: Positional[RunName] = "", text: Words = (), root: Root = "runs") -> int:
    """Call a run something else on pages and figures; its id, its folder and addresses stay as they are."""
    if not run or not text:
        raise LabError("which run, and what is it to be called? `labapp runs rename RUN NAME`; '' takes a name back")
    after = _labelled(run, root, name=" ".join(text))
    console().print(f"name: {after.name or 'its own'}")
    return 0


def runs_send(root: Root = "runs") -> int:
    """Send what was recorded here for an archive elsewhere and could not be sent; 1 where something stays."""
    sent, left = send_left(root)
    for sentence in left:
        console().print(sentence)
    console().print(f"sent: {', '.join(sent) or 'nothing'}")
    return 1 if left else 0


def _labelled(word: str, root: str, **words: Any) -> Labels:
    path = find_run(word, root).path
    return label_run(path.parent if path.parent != Path() else Path(), path.name, **words)


def runs_remove(runs: Positional[tuple[RunName, ...]] = (), root: Root = "runs") -> int:
    """Remove runs from the archive; one that is being written stays."""
    if not runs:
        raise LabError("which run? `labapp runs list` shows them, `labapp runs remove RUN` removes one")
    for run in runs:
        remove_run(root, run)
        console().print(f"removed {run}")
    return 0
