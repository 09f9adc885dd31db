"""How often is a run read, when many claims ask for its numbers? Once for each number, until the run changes.

An archive is judged again and again, and claims share numbers: accuracy, parameters, gradients at both ends. What one
run says is therefore kept with the run's version, for all archives of a process; so is that it says nothing.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from labapp.claims.claim import Missing
from labapp.store import Run

Number = TypeVar("Number")
Options = ParamSpec("Options")
KEPT = 8192  # of each number, small tables and words at most: all that an archive of so many runs is asked for


class _Answer(NamedTuple):
    version: str
    value: object
    missing: str | None


def kept(
    measure: Callable[Concatenate[Run, Options], Number],
) -> Callable[Concatenate[Run, Options], Number]:
    """A number of a run, worked out once for each version of the run; what it returns is to be read only.

    Args:
        measure: A function of a run, and of options that can be compared; it may raise `Missing`, which is kept too.
    """
    known: dict[tuple[object, ...], _Answer] = {}
    keeping = threading.Lock()

    @wraps(measure)
    def number(run: Run, /, *args: Options.args, **options: Options.kwargs) -> Number:
        key, version = (run.path.absolute(), *args, *sorted(options.items())), run.version
        answer = known.get(key)
        if answer is None or answer.version != version:
            try:
                answer = _Answer(version, measure(run, *args, **options), None)
            except Missing as error:
                answer = _Answer(version, None, str(error))
            with keeping:
                _keep(known, key, answer)
        if answer.missing is not None:
            raise Missing(answer.missing)
        return answer.value  # type: ignore[return-value]

    return number


def _keep(known: dict[tuple[object, ...], _Answer], key: tuple[object, ...], answer: _Answer) -> None:
    """Keep to `KEPT`. Chance says which goes: with the oldest first, one run more than are kept reads all again."""
    if key not in known and len(known) >= KEPT:
        for gone in random.sample(list(known), KEPT // 8):
            del known[gone]
    known[key] = answer
