"""What is to be measured on a sweep's runs, and how much of it?"""

from __future__ import annotations

from dataclasses import dataclass

from labapp.config.errors import listed
from labapp.config.sweeps.marks import Marked

OPTIONS = ("checkpoints", "images", "against")
CHECKPOINTS = ("all", "few", "ends", "last")


@dataclass(frozen=True)
class ProbeWish:
    """A quantity that is to be measured on a run.

    Attributes:
        quantity: Its name in the catalogue of probes.
        checkpoints: all, few, ends, last, or steps; the quantity's own choice when empty.
        images: Test images at most; as many as the quantity asks for when None.
        against: "seeds" for a comparison also with the run of the next seed, else "".
        at: Where it stands in the file: "sweep.yaml, line 7".
    """

    quantity: str
    checkpoints: str | tuple[int, ...] = ""
    images: int | None = None
    against: str = ""
    at: str = ""


def wishes_of(mark: Marked) -> dict[str, ProbeWish]:
    """Quantities with their options; a list of them is without."""
    if mark.items is not None:
        words = [(item, item.scalar("a quantity")) for item in mark.items]
        return {word: ProbeWish(word, at=f"{item.where}, line {item.line}") for item, word in words if word}
    wishes = {}
    for name, options in mark.mapping("probes").items():
        values = options.mapping(name)
        options.known(OPTIONS, f"the probe {name}")
        wishes[name] = ProbeWish(
            name,
            _checkpoints(values.get("checkpoints")),
            _count(values.get("images")),
            _against(values.get("against")),
            f"{mark.where}, line {mark.keys[name]}",
        )
    return wishes


def _checkpoints(mark: Marked | None) -> str | tuple[int, ...]:
    if mark is None or mark.is_empty:
        return ""
    if mark.items is None:
        if (word := mark.scalar("checkpoints")) not in CHECKPOINTS:
            mark.wrong(f"checkpoints are {listed(CHECKPOINTS, 'or')}, or a list of steps, not '{word}'")
        return str(word)
    for item in mark.items:
        if not (item.scalar("a step") or "").isdecimal():
            item.wrong(f"a step is a whole number, not {item.kind}")
    return tuple(int(item.word or 0) for item in mark.items)


def _count(mark: Marked | None) -> int | None:
    if mark is None or (word := mark.scalar("images")) is None:
        return None
    if not word.isdecimal() or not int(word):
        mark.wrong(f"images is a whole number, 1 or more, not '{word}'")
    return int(word)


def _against(mark: Marked | None) -> str:
    word = (mark.scalar("against") if mark else None) or ""
    if mark and word not in ("", "seeds"):
        mark.wrong(f"against is `seeds`, for the run of the next seed, not '{word}'")
    return word
