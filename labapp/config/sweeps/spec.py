"""How does a file become a list of experiments, and a mistake in it a sentence with its line?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from labapp.config.choices import CHOICES
from labapp.config.errors import LabError, nearest
from labapp.config.experiment import Experiment
from labapp.config.ranges import bounds
from labapp.config.sweeps.marks import Marked, marked
from labapp.config.sweeps.wishes import ProbeWish, wishes_of

MOST = 10_000  # experiments of a sweep
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,32}")  # a tag has 40 signs
BLOCK = ("about", "base", "runs", "grid", "seeds", "probes")
TOP = ("name", *BLOCK, "blocks")
FIELDS = tuple(Experiment.model_fields)
OF_THE_LAB = Path(__file__).parent / "of_the_lab"  # a link to analysis/sweeps; where the lab is installed, the files


@dataclass(frozen=True)
class Planned:
    """One experiment of a sweep: what tells it from the others in words, where it stands, what it is probed for."""

    experiment: Experiment
    label: str
    at: str
    probes: tuple[ProbeWish, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """What a file asks for, each experiment once; `repeated` of them stood there again."""

    name: str
    about: str
    planned: tuple[Planned, ...]
    repeated: int

    @property
    def tag(self) -> str:
        """By which its runs are found in an archive."""
        return f"sweep:{self.name}"


def read(path: str | Path) -> Sweep:
    """The sweep that a file describes.

    Raises:
        LabError: It cannot be read, or what is wrong with it, with the line.
    """
    path = _found(Path(path))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"the sweep {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise LabError(f"the sweep {path} is no text in UTF-8") from None
    return parse(text, path.name)


def _found(path: Path) -> Path:
    """The file of that name; where there is none, the lab's own: commands that it proposes work in any folder."""
    own = OF_THE_LAB.joinpath(*path.parts[2:])
    return own if path.parts[:2] == ("analysis", "sweeps") and not path.exists() and own.is_file() else path


def parse(text: str, where: str = "sweep.yaml") -> Sweep:
    """The sweep that a text describes; `where` is what it is called in messages.

    Raises:
        LabError: What is wrong with it, with the line.
    """
    root = marked(text, where)
    top = root.mapping("a sweep")
    root.known(TOP, "a sweep")
    name = _word(top.get("name"), "name") or Path(where).stem
    if not NAME.fullmatch(name):
        top.get("name", root).wrong(
            f"'{name}' cannot name a sweep; at most 33 letters, digits, '.', '_', '+' and '-' can"
        )
    found: dict[Experiment, _Draft] = {}
    count = 0
    for draft in itertools.chain.from_iterable(map(_drafts, _blocks(root, top))):
        count += 1
        if count > MOST:
            root.wrong(f"these are more than {MOST:,} experiments, too many for one sweep")
        before = found.setdefault(draft.experiment, draft)
        found[draft.experiment] = replace(before, probes=tuple(dict.fromkeys((*before.probes, *draft.probes))))
    return Sweep(name, _word(top.get("about"), "about") or "", _labelled([*found.values()]), count - len(found))


@dataclass(frozen=True)
class _Draft:
    """An experiment with the values that were given, as words."""

    experiment: Experiment
    given: dict[str, str | None]
    at: str
    probes: tuple[ProbeWish, ...]


@dataclass(frozen=True)
class _Block:
    """What stands in a block, with what it has from above."""

    mark: Marked
    base: dict[str, Marked]
    runs: tuple[dict[str, Marked], ...]
    grid: dict[str, tuple[Marked, ...]]
    seeds: tuple[int, ...]
    probes: tuple[ProbeWish, ...]


def _blocks(root: Marked, top: dict[str, Marked]) -> list[_Block]:
    whole = _block(root, top, {}, (0,), {})
    if "blocks" not in top:
        return [whole]
    for key in ("runs", "grid"):
        if key in top:
            root.wrong(f"where there are blocks, {key} stands in one of them", key)
    blocks = []
    probes = {wish.quantity: wish for wish in whole.probes}
    for each in top["blocks"].list("blocks"):
        values = each.mapping("a block")
        each.known(BLOCK, "a block")
        blocks.append(_block(each, values, whole.base, whole.seeds, probes))
    if not blocks:
        root.wrong("blocks is an empty list, so there is nothing to train", "blocks")
    return blocks


def _block(
    mark: Marked,
    values: dict[str, Marked],
    base: dict[str, Marked],
    seeds: tuple[int, ...],
    probes: dict[str, ProbeWish],
) -> _Block:
    _word(values.get("about"), "about")
    own = _settings(values["base"], "base") if "base" in values else {}
    runs: tuple[dict[str, Marked], ...] = ({},)
    if "runs" in values:
        runs = tuple(_settings(item, "a run") for item in values["runs"].list("runs"))
        if not runs:
            mark.wrong("runs is an empty list, so there is nothing to train", "runs")
    grid: dict[str, tuple[Marked, ...]] = {}
    if "grid" in values:
        for name in _settings(values["grid"], "grid", several=True):
            given = (values["grid"].values or {})[name]
            grid[name] = given.list(f"{name} in a grid")
            if not grid[name]:
                given.wrong(f"{name} is an empty list, so there is nothing to train")
    seeds = tuple(_seed(item) for item in values["seeds"].list("seeds")) if "seeds" in values else seeds
    if not seeds:
        mark.wrong("seeds is an empty list, so there is nothing to train", "seeds")
    wishes = probes | wishes_of(values["probes"]) if "probes" in values else probes
    return _Block(mark, base | own, runs, grid, seeds, tuple(wishes.values()))


def _settings(mark: Marked, what: str, several: bool = False) -> dict[str, Marked]:
    """Options of an experiment; each checked by itself, where it stands."""
    for name, value in mark.mapping(what).items():
        if name == "seed":
            mark.wrong("seeds stand in their own list, `seeds: [0, 1, 2]`", name)
        if name not in FIELDS:
            near = nearest(name, FIELDS) or "; `labapp train --help` lists them all"
            mark.wrong(f"experiments have no option '{name}'{near}", name)
        for each in value.list(f"{name} in a grid") if several else (value,):
            _check(name, each)
    return mark.values or {}


def _check(name: str, value: Marked) -> None:
    """Whether a value fits its option, whatever the others are."""
    word = value.scalar(name)
    if word is None or _fits(name, word):
        return
    try:
        Experiment(**{name: word})
    except LabError as error:
        allowed = bounds(name)
        kind = "a whole number, " if allowed and allowed.whole else ""
        value.wrong(f"{error}{f' (allowed: {kind}{allowed})' if allowed and str(allowed) else ''}")
    value.wrong(f"{name} cannot be '{word}'")


def _fits(name: str, word: str) -> bool:
    if name in CHOICES:
        return word in CHOICES[name]
    try:
        _kind(name).validate_python(word)
    except ValidationError:
        return False
    return True


@cache
def _kind(name: str) -> TypeAdapter[Any]:
    about = Experiment.model_fields[name]
    kind: Any = about.annotation
    for bound in about.metadata:
        kind = Annotated[kind, bound]
    return TypeAdapter(kind, config={"allow_inf_nan": False})


def _seed(mark: Marked) -> int:
    _check("seed", mark)
    if mark.word is None:
        mark.wrong("a seed is a whole number, not nothing")
    return int(mark.word)


def _word(mark: Marked | None, what: str) -> str | None:
    return mark.scalar(what) if mark else None


def _drafts(block: _Block) -> Iterator[_Draft]:
    """The experiments of a block, seeds last."""
    names = list(block.grid)
    for run, chosen in itertools.product(block.runs, itertools.product(*block.grid.values())):
        given = block.base | run | dict(zip(names, chosen, strict=True))
        words = {name: mark.word for name, mark in given.items()}
        try:
            first = Experiment(**words)
        except LabError as error:
            _blame(block, given, (*run, *names), str(error))
        line = min((mark.line for mark in run.values()), default=block.mark.line)
        at = f"{block.mark.where}, line {line}"
        for seed in block.seeds:
            yield _Draft(first.but(seed=seed), words, at, block.probes)


def _blame(block: _Block, given: dict[str, Marked], varied: Sequence[str], sentence: str) -> NoReturn:
    """Raise that values do not fit together, with the line of the one that the sentence names, or quotes."""
    named = {name: re.search(rf"\b{name}\b", sentence) for name in given}
    quoted = {name: re.search(rf"\b{re.escape(mark.word or '–')}\b", sentence) for name, mark in given.items()}
    at = {name: match.start() for name, match in named.items() if match}
    at = at or {name: match.start() for name, match in quoted.items() if match and name != "family"}
    blamed = given[min(at, key=at.__getitem__)] if at else block.mark
    others = ", ".join(f"{name} {given[name].word}" for name in varied)
    blamed.wrong(f"{sentence}{f' (with {others})' if others else ''}")


def _labelled(drafts: Sequence[_Draft]) -> tuple[Planned, ...]:
    """Experiments by the name of their net, what differs among those that are given, and their seed."""
    names = dict.fromkeys(name for draft in drafts for name in draft.given if name not in ("family", "depth", "net"))
    differing = [name for name in names if len({draft.experiment.__dict__[name] for draft in drafts}) > 1]
    planned = []
    for draft in drafts:
        words = [f"{name}={draft.experiment.__dict__[name]}" for name in differing if name in draft.given]
        label = " ".join([draft.experiment.name, *words, f"seed {draft.experiment.seed}"])
        planned.append(Planned(draft.experiment, label, draft.at, draft.probes))
    return tuple(planned)
