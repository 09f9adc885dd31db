"""What stands in a YAML file, and on which line?

Scalars stay words, as they do on a command line: whoever makes an experiment of them makes numbers of them. So `1e-4`
is a number, which YAML 1.1 takes for a word, and `norm: none` no `null`. Nothing is executed, whatever tags it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from labapp.config.errors import LabError, first_line, nearest

LARGEST = 2**20  # signs of a file
DEEPEST = 20  # one in the other; a sweep has five


@dataclass(frozen=True)
class Marked:
    """A value and where it stands.

    Attributes:
        where: The file, for messages.
        line: Its first, from 1.
        word: Of a scalar; None where it is empty.
        items: Of a list.
        values: Of a mapping, by key.
        keys: The lines on which those stand.
    """

    where: str
    line: int
    word: str | None = None
    items: tuple[Marked, ...] | None = None
    values: dict[str, Marked] | None = None
    keys: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if self.values is not None:
            return "a mapping of keys to values"
        return "a list" if self.items is not None else "nothing" if self.word is None else f"'{self.word}'"

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands there."""
        return self.word is None and self.items is None and self.values is None

    def wrong(self, what: str, key: str | None = None) -> NoReturn:
        """Raise a mistake that names the line, of the value or of one of its keys."""
        line = self.line if key is None else self.keys.get(key, self.line)
        raise LabError(f"{self.where}, line {line}: {what}")

    def mapping(self, what: str) -> dict[str, Marked]:
        """Its values by key; none where it is empty."""
        if self.values is None and not self.is_empty:
            self.wrong(f"{what} is a mapping of keys to values, not {self.kind}")
        return self.values or {}

    def list(self, what: str) -> tuple[Marked, ...]:
        """Its items."""
        if self.items is None:
            self.wrong(f"{what} is a list, such as [a, b], not {self.kind}")
        return self.items

    def scalar(self, what: str) -> str | None:
        """Its word."""
        if self.items is not None or self.values is not None:
            self.wrong(f"{what} is one value, not {self.kind}")
        return self.word

    def known(self, keys: tuple[str, ...], what: str) -> None:
        """Require that there are no keys but these."""
        for key in self.values or ():
            if key not in keys:
                near = nearest(key, keys) or f"; there are {', '.join(keys)}"
                self.wrong(f"{what} has no key '{key}'{near}", key)


def marked(text: str, where: str) -> Marked:
    """What a YAML file holds.

    Args:
        text: The file's.
        where: What it is called in messages.

    Raises:
        LabError: It is no YAML, says a key twice, or is too large.
    """
    if len(text) > LARGEST:
        raise LabError(f"{where} has more than {LARGEST:,} signs, which no sweep needs")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise LabError(f"{where}{line}: this is no YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise LabError(f"{where}: this is no YAML: {first_line(error)}") from None
    if root is None:
        raise LabError(f"{where} is empty; `labapp sweep --help` says what a sweep looks like")
    return _marked(root, where, {}, 0)


def _marked(node: yaml.Node, where: str, known: dict[int, Marked], depth: int) -> Marked:
    """A node and what is in it; `known` are those that an alias may mean once more."""
    line = node.start_mark.line + 1
    if depth > DEEPEST:  # also of an alias that leads into itself
        raise LabError(f"{where}, line {line}: this is nested more than {DEEPEST} deep, which no sweep is")
    if id(node) not in known:
        known[id(node)] = _read(node, where, known, depth)
    return known[id(node)]


def _read(node: yaml.Node, where: str, known: dict[int, Marked], depth: int) -> Marked:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        empty = node.style is None and node.tag.endswith(":null")
        return Marked(where, line, None if empty else node.value)
    if isinstance(node, yaml.SequenceNode):
        return Marked(where, line, items=tuple(_marked(item, where, known, depth + 1) for item in node.value))
    values: dict[str, Marked] = {}
    keys: dict[str, int] = {}
    for key, value in node.value:
        at = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise LabError(f"{where}, line {at}: a key is a word")
        if key.value in values:
            raise LabError(f"{where}, line {at}: '{key.value}' stands there twice, first on line {keys[key.value]}")
        values[key.value], keys[key.value] = _marked(value, where, known, depth + 1), at
    return Marked(where, line, values=values, keys=keys)
