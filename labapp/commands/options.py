"""How do words on a command line become a call, and a mistake one sentence?

The options of `labapp train` are the fields of `Experiment`, each defined there and nowhere else. They reach it as
words: `Experiment` makes numbers of them and checks them, so a wrong value is told in the same sentence as from Python.
"""

import contextlib
import functools
import io
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

import tyro
from tyro.conf import arg

from labapp.config import RECIPES, Experiment, LabError, nearest

GROUPS = {  # in the help of `train`, and the field that each begins with
    "net": "family",
    "images": "imageset",
    "training": "recipe",
    "recording": "record",
    "machine": "device",
}
Root = Annotated[
    str, arg(aliases=["--runs"], metavar="DIR", help="the archive: a folder of runs, or an address as s3://bucket/runs")
]
Trust = Annotated[
    tuple[str, ...],
    arg(metavar="MODULE", help="modules of somebody's own whose nets may be built because a run says so"),
]


def _options() -> Any:
    """The fields of `Experiment`, in groups, none of them required."""
    firsts = {first: title for title, first in GROUPS.items()}
    groups: dict[str, dict[str, Any]] = {}
    title = ""
    for name, field in Experiment.model_fields.items():
        title = firsts.get(name, title)
        kind = str(field.annotation)
        about: dict[str, Any] = {"help": field.description, "help_behavior_hint": default_in_words(name)}
        if "bool" not in kind:
            about["metavar"] = "INT" if "int" in kind else "FLOAT" if "float" in kind else "WORD"
        groups.setdefault(title, {})[name] = Annotated[bool if "bool" in kind else str, arg(**about)]
    # made at run time, which is more than mypy wants to know about
    return TypedDict("Options", {title: TypedDict(title, fields, total=False) for title, fields in groups.items()})  # type: ignore[operator]


def default_in_words(name: str) -> str:
    """What a field is where it is left out: "(default: 300; recipe he: 64000; recipe densenet: 234375)"."""
    if Experiment.model_fields[name].default is None:
        return ""
    usual, *others = {recipe: getattr(Experiment(recipe=recipe), name) for recipe in RECIPES}.items()
    differing = [f"recipe {recipe}: {value}" for recipe, value in others if value != usual[1] and name != "recipe"]
    return f"(default: {'; '.join([str(usual[1]), *differing])})"


Options: Any = Annotated[_options(), arg(name="")]


def experiment(options: Any) -> Experiment:
    """The experiment that the options of the command line describe."""
    return Experiment(**{name: value for group in options.values() for name, value in group.items()})


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
            marks = (tyro.conf.OmitArgPrefixes,)
            bound, unknown = tyro.cli(later, prog=f"labapp {name}", args=words, config=marks, return_unknown_args=True)
    except SystemExit as end:
        if not end.code:
            raise
        raise LabError(_sentence(complaint.getvalue(), name)) from None
    if unknown:
        raise LabError(_unknown(unknown[0].split("=")[0], name))
    return bound


def _unknown(word: str, name: str) -> str:
    """The sentence about a word that belongs to no option, with the option that may have been meant."""
    if not word.startswith("-"):
        return f"'{word}' is one word too many for `labapp {name}`; its options begin with --"
    known = ["--root", "--runs", "--help"]
    known += ["--fail-on", "--step", "--json"] * (name == "runs compare")
    known += ["--json", "--markdown"] * (name == "diagnose")
    known += ["--archive", "--out", "--pdf", "--force"] * (name == "report")
    known += ["--filter", "--tag", "--json"] * (name == "runs list") + ["--remove"] * (name == "runs tag")
    exported = ["--to", "--out", "--filter", "--tag", "--quantities", "--layers", "--force"]
    known += exported * (name == "runs export") + ["--mirror"] * (name in ("train", "resume"))
    if name == "sweep":
        known += ["--dry-run", "--jobs", "--threads", "--retry-failed", "--engine", "--json", "--trust"]
        known += ["--address", "--cpus-per-run", "--gpus-per-run", "--retries"]
    if name in ("train", "resume"):
        known += [
            "--probe",
            "--keep-every",
            *["--from-start", "--trust", "--devices", "--num-nodes"] * (name == "resume"),
        ]
    if name == "train":
        known += [f"--{field.replace('_', '-')}" for field in Experiment.model_fields]
    near = nearest(word, known) or f"; `labapp {name} --help` lists them"
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
