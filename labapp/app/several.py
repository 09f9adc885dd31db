"""Which experiments does a filled-in form stand for? One for each family and seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from labapp.config import BELONGS_TO, Experiment, LabError, bounds, listed

MOST = 50  # experiments of one form


def seeds(words: str) -> list[int]:
    """The seeds that are written as "0-4" or "0, 2, 5-7"; none where nothing is.

    Raises:
        LabError: There is something else, or there are too many.
    """
    found: list[int] = []
    for part in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*[-–]\s*", "-", words.strip()))):
        ends = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part)
        if not ends:
            shown = part if len(part) < 20 else f"{part[:20]}…"
            raise LabError(f"'{shown}' is no seed; write a number from 0 on, 0-4 for five of them, or 0, 3, 7")
        first = int(ends[1])
        last = first if ends[2] is None else int(ends[2])
        if last < first:
            raise LabError(f"seeds {part} go backwards; write {last}-{first}")
        if last - first >= MOST or len({*found, *range(first, last + 1)}) > MOST:
            raise LabError(f"seeds {words.strip()[:20]} are more than {MOST} experiments, which is the most at once")
        found += [seed for seed in range(first, last + 1) if seed not in found]
    return found


def has(family: str, name: str) -> bool:
    """Whether nets of a family have a field."""
    return family in BELONGS_TO.get(name, (family,))


def given_for(family: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a net of this family."""
    said = {name: value for name, value in given.items() if value not in (None, "") and has(family, name)}
    return {"family": family} | said


def settled(given: Mapping[str, Any]) -> tuple[Experiment, str]:
    """The experiment that these values make, and ""; where they do not fit, one with as many as do, and the reason."""
    try:
        return Experiment(**given), ""
    except LabError as error:
        fault = str(error)
    kept = {"family": given["family"]}
    for name, value in given.items():
        try:
            Experiment(**kept | {name: value})
        except LabError:
            continue
        kept[name] = value
    return Experiment(**kept), fault


def experiments(
    families: Sequence[str], given: Mapping[str, Any], seed_words: str
) -> tuple[list[Experiment], list[Experiment], str]:
    """What will run, one of each family as it would be with what fits, and why nothing runs ("" where it does).

    Args:
        families: At least one.
        given: What was typed, by field, whatever the family.
        seed_words: As for `seeds`.
    """
    pairs = [settled(given_for(family, given)) for family in families]
    shown = [experiment for experiment, _ in pairs]
    said = {fault: family for (_, fault), family in zip(pairs, families, strict=True) if fault}
    faults = [fault if len(families) == 1 or len(said) < 2 else f"{said[fault]}: {fault}" for fault in said]
    if faults:
        return [], shown, "; ".join(faults)
    try:
        numbers = seeds(seed_words)
        wanted = [each.but(seed=seed) for each in shown for seed in numbers] if numbers else shown
    except LabError as error:
        return [], shown, str(error)
    if len(wanted) > MOST:
        return [], shown, f"these are {len(wanted)} experiments, and {MOST} is the most at once"
    return wanted, shown, ""


def named(experiment: Experiment) -> str:
    """What an experiment is called while it waits: "residual-20, seed 3"."""
    return f"{experiment.name}, seed {experiment.seed}" if experiment.seed else experiment.name


def in_words(wanted: Sequence[Experiment]) -> str:
    """What decides most of these trainings, for a last look: nets, images, steps, rate and seeds."""
    nets = dict.fromkeys(f"{each.name} of width {each.width}" for each in wanted)
    recipes = dict.fromkeys(map(_recipe, wanted))
    numbers = sorted({each.seed for each in wanted})
    told = f", each with seeds {listed(numbers)}" if len(numbers) > 1 else ""
    return f"{listed(nets)} on {listed(dict.fromkeys(each.imageset for each in wanted))}{told}: {'; '.join(recipes)}."


def _recipe(experiment: Experiment) -> str:
    rise = f", rising over {experiment.warmup_steps:,} steps" if experiment.warmup_steps else ""
    return (
        f"{experiment.steps:,} steps of {experiment.batch_size:,} images, learning rate {experiment.learning_rate:g} "
        f"({experiment.schedule}{rise})"
    )


def about(name: str) -> str:
    """What a field means, and between what it lies."""
    description = (Experiment.model_fields[name].description or "").strip()
    limits = str(bounds(name) or "")
    return f"{description[:1].upper()}{description[1:]}{f'. A number, {limits}' if limits else ''}."
