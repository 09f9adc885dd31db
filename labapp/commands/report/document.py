"""What is a report made of? Blocks that each format shows in its own way, and no words of either format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Paragraph:
    """A sentence or several; what is between `backticks` is code."""

    kind: ClassVar[str] = "paragraph"
    text: str
    muted: bool = False


@dataclass(frozen=True)
class FactList:
    """Names and what belongs to them."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RowTable:
    """Rows of words; `verdicts` says of which column a verdict's sign and colour are."""

    kind: ClassVar[str] = "table"
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdicts: int = -1


@dataclass(frozen=True)
class CommandLine:
    """What somebody types to get this."""

    kind: ClassVar[str] = "command"
    text: str


@dataclass(frozen=True)
class Picture:
    """A figure of `labapp.figures`, what stands below it, and what it shows for those who do not see it."""

    kind: ClassVar[str] = "picture"
    figure: Any
    caption: str
    alt: str


@dataclass(frozen=True)
class Fold:
    """What is shown when it is asked for; on paper always."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: tuple[Any, ...]


@dataclass(frozen=True)
class VerdictCard:
    """One claim."""

    kind: ClassVar[str] = "card"
    verdict: str
    title: str
    blocks: tuple[Any, ...]


@dataclass(frozen=True)
class Subheading:
    """A heading inside a chapter."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Chapter:
    """A part of the report; `name` is where a link leads."""

    name: str
    title: str
    blocks: tuple[Any, ...]


@dataclass(frozen=True)
class Document:
    """The whole; `made` says by what and when, and is all in it that a second report of the same runs has otherwise."""

    title: str
    about: tuple[tuple[str, str], ...]
    made: str
    chapters: tuple[Chapter, ...]
