"""Which pages are there for people, and which blocks stand on them?"""

import itertools
import re
import shlex
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(PROJECT)) for page in PAGES]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTING = re.compile(r"[A-Z_]+=.*")
BEGINNERS = ("srun", "torchrun", "exec")  # what a command may be given to


class Block(NamedTuple):
    """What stands between fences on a page: its kind, its words, and the line on which they begin."""

    kind: str
    body: str
    line: int


def blocks(page, *kinds):
    """The blocks of a page, of some kinds or all."""
    text = (PROJECT / page).read_text()
    found = [Block(at[1], at[2], text.count("\n", 0, at.start()) + 2) for at in BLOCK.finditer(text)]
    return [block for block in found if not kinds or block.kind in kinds]


def commands(body):
    """The words of each command of a block, without settings in front of it."""
    split = (shlex.split(line, comments=True) for line in body.replace("\\\n", " ").splitlines())
    return [words for line in split if (words := [*itertools.dropwhile(SETTING.fullmatch, line)])]


def ours(words):
    """The words behind `labapp` where a line runs it, by itself, in another's hands, or as a module."""
    if "labapp" not in words or not (words[0] == "labapp" or words[0] in BEGINNERS or "python" in words[0]):
        return None
    return words[words.index("labapp") + 1 :]
