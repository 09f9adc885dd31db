"""How do words on a command line become a call, and a mistake one sentence?"""

import contextlib
import functools
import inspect
import io
import itertools
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import tyro
from tyro.conf import arg

from labapp.config import LabError, nearest

Root = Annotated[
    str, arg(aliases=["--runs"], metavar="DIR", help="the archive: a folder of runs, or an address as s3://bucket/runs")
]
RunName = Annotated[str, arg(metavar="RUN", help="its name in the archive, or its folder")]
Trust = Annotated[
    tuple[str, ...],
    arg(metavar="MODULE", help="modules of somebody's own whose nets may be built because a run says so"),
]
MARKS = (tyro.conf.OmitArgPrefixes,)  # how tyro reads every command


def parse(command: Callable[..., int], name: str, words: Sequence[str]) -> Callable[[], int]:
    """Bind a command to the words that follow its name.

    Raises:
        LabError: What is wrong with the words.
        SystemExit: After its help was printed.
    """

    @functools.wraps(command)
    def later(*arguments: Any, **options: Any) -> Callable[[], int]:
        # bound now and called by the caller, so that what the command itself writes to stderr is not taken for tyro's
        return functools.partial(command, *arguments, **options)

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            bound, unknown = tyro.cli(later, prog=f"labapp {name}", args=words, config=MARKS, return_unknown_args=True)
    except SystemExit as end:
        if not end.code:
            raise
        raise LabError(_sentence(complaint.getvalue(), name)) from None
    if unknown:
        raise LabError(_unknown(unknown[0].split("=")[0], name, command))
    return bound


def options_of(command: Callable[..., int]) -> list[str]:
    """The options of a command as they are typed, "--root", "--runs", …, in the order of its parameters."""
    hints = typing.get_type_hints(command, include_extras=True)
    return [*_words({name: hints[name] for name in inspect.signature(command).parameters}), "--help"]


def takes_runs(command: Callable[..., int]) -> bool:
    """Whether words without an option before them name runs."""
    hints = typing.get_type_hints(command, include_extras=True).values()
    return any("RUN" in _metavars(hint) for hint in hints if tyro.conf.Positional in getattr(hint, "__metadata__", ()))


def _metavars(hint: Any) -> set[str]:
    """What the values of a parameter, or of parts of it, are called."""
    own = {str(mark.metavar) for mark in getattr(hint, "__metadata__", ()) if getattr(mark, "metavar", None)}
    return own.union(*map(_metavars, typing.get_args(hint)))


def _words(hints: Mapping[str, Any]) -> Iterator[str]:
    for name, hint in hints.items():
        kind, *about = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
        if typing.is_typeddict(kind):  # a group
            yield from _words(typing.get_type_hints(kind, include_extras=True))
        elif not any(mark is tyro.conf.Positional for mark in about):
            yield f"--{name.replace('_', '-')}"
            for mark in about:
                yield from getattr(mark, "aliases", None) or ()


def _unknown(word: str, name: str, command: Callable[..., int]) -> str:
    """The sentence about a word that belongs to no option, with the option that may have been meant."""
    if not word.startswith("-"):
        return f"'{word}' is one word too many for `labapp {name}`; its options begin with --"
    near = nearest(word, options_of(command)) or f"; `labapp {name} --help` lists them"
    return f"`labapp {name}` has no option {word}{near}"


def _sentence(complaint: str, name: str) -> str:
    """What tyro says in a box about a value that is missing or does not fit, as one sentence.

    Read off the box, because tyro offers these complaints in no other public way: `tyro._errors`, which has a hook for
    them, says of itself that any release may change it.
    """
    _title, *lines = (line.strip("│╭╮╰╯ ") for line in complaint.splitlines())
    ruled = [line if line.strip("─-") else "" for line in lines]  # rules, of either sort, become empty
    said = " ".join(itertools.takewhile(bool, itertools.dropwhile(lambda line: not line, ruled))).rstrip(".")
    if missing := re.match(r"Missing value for argument '([^']+)'", said):
        return f"{missing[1]} needs a value; `labapp {name} --help` says which"
    return f"{said[:1].lower()}{said[1:]}; `labapp {name} --help` lists what there is"
