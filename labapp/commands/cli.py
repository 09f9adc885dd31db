"""What can be asked of the laboratory from a command line?

    labapp app
    labapp train --family residual --depth 56 --width 8
    labapp resume RUN
    labapp starter
    labapp sweep SPEC.yaml
    labapp explain RUN --index 3
    labapp probe RUN
    labapp diagnose RUN
    labapp claims
    labapp report --archive
    labapp runs list | show RUN | compare A B | check [RUN] | export RUN
    labapp runs tag RUN TAG | note RUN | rename RUN | remove RUN
    labapp doctor [NET]
    labapp --version | --help | --print-completion SHELL

A command is a function, and `COMMANDS` says where it stands: only the one that is asked for is imported, and what is
slow to import (torch, tables, figures) only where it is used. A mistake is one sentence on stderr and exit code 2.
"""

import contextlib
import importlib
import shutil
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, NoReturn

import labapp
from labapp import palette
from labapp.config import LabError, extras, listed, nearest


class Command(NamedTuple):
    """A command of the line.

    Attributes:
        says: What it is for; the first line of the function's docstring.
        place: Where the function stands, as module:name below `labapp.commands`.
        needs: The modules of extras without which it could not do anything.
    """

    says: str
    place: str
    needs: tuple[str, ...] = ()

    def load(self) -> Callable[..., int]:
        """The function."""
        module, _, name = self.place.partition(":")
        found: Callable[..., int] = getattr(importlib.import_module(f"labapp.commands.{module}"), name)
        return found


COMMANDS = {
    "app": Command(
        "Open the app in the browser, on this machine alone unless --address says otherwise.",
        "app:app",
        extras.SCREEN,
    ),
    "train": Command("Train one net and record it into the archive.", "training:train", extras.TRAINING),
    "resume": Command(
        "Go on with a training that was interrupted, stopped or failed, from the last state of it that was kept.",
        "training:resume",
        extras.TRAINING,
    ),
    "starter": Command(
        "Record the starter comparison: plain, residual, dense and VGG nets side by side.",
        "starter:starter",
        (*extras.TRAINING, *extras.MEASURING),
    ),
    "sweep": Command(
        "Train the experiments of a file that the archive lacks, several at a time, and measure what it asks for.",
        "sweep:sweep",
        (*extras.TRAINING, *extras.MEASURING),
    ),
    "doctor": Command(
        "Say what will be recorded of a net, what cannot be and why, and at what cost; without one, of this machine.",
        "doctor:doctor",
    ),
    "explain": Command(
        "Show where nets look in an image, and score whether to believe it.",
        "explain:explain",
        (*extras.MEASURING, *extras.DRAWING),
    ),
    "probe": Command(
        "Measure what a run's checkpoints know: feature reuse, similarity, dimension, lesions, paths, architecture.",
        "probe:probe",
        extras.MEASURING,
    ),
    "diagnose": Command(
        "Say what is wrong with a run, from its records alone: ranked, each finding with its evidence.",
        "diagnose:diagnose",
    ),
    "claims": Command(
        "Say which claims of the papers hold in an archive: verdict, number, interval over seeds.", "claims:claims"
    ),
    "report": Command(
        "Write what came out of runs as one HTML file or PDF: claims, figures, settings, diagnoses, what is missing.",
        "report:report",
        extras.DRAWING,
    ),
    "runs list": Command("List the runs of the archive, newest first; all, or those that fit.", "runs:runs_list"),
    "runs show": Command("Show what a run was, where it ran, how it ended, and its layers.", "show:runs_show"),
    "runs compare": Command(
        "Say how B differs from A: settings, curves, layers; with --fail-on, whether that is too much.",
        "compare:runs_compare",
    ),
    "runs check": Command(
        "Read runs whole and say what is missing or damaged; with --repair, mend what can be.", "check:runs_check"
    ),
    "runs tag": Command("Give a run tags, or take them off it; also while it trains.", "runs:runs_tag"),
    "runs note": Command(
        "Write a note about a run, instead of the one that it has; without TEXT, print it.", "runs:runs_note"
    ),
    "runs rename": Command(
        "Call a run something else on pages and figures; its id, its folder and addresses stay as they are.",
        "runs:runs_rename",
    ),
    "runs remove": Command("Remove runs from the archive; one that is being written stays.", "runs:runs_remove"),
    "runs export": Command(
        "Write runs so that pandas, DuckDB, TensorBoard, Weights & Biases or MLflow read them.", "export:runs_export"
    ),
    "runs send": Command(
        "Send what was recorded here for an archive elsewhere and could not be sent; 1 where something stays.",
        "runs:runs_send",
    ),
}
OPTIONS = {  # instead of a command
    "--version": "Say which version this is.",
    "--print-completion": "Print what makes a shell complete commands and options: bash, zsh or fish.",
    "--help": "List the commands.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 2 for a mistake, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _termination_as_interrupt(), _short_warnings():
            return _run(words)
    except LabError as error:
        return _mistake(str(error))
    except ModuleNotFoundError as error:
        said = extras.explained(f"`labapp {_name(words)}`", error)
        if not said:
            raise
        return _mistake(said)
    except KeyboardInterrupt:
        print("labapp: stopped; what was recorded until now is in the archive", file=sys.stderr)
        return 130
    except SystemExit:  # a command's help was printed
        return 0


def _mistake(sentence: str) -> int:
    print(f"labapp: {palette.visible(sentence)}", file=sys.stderr)
    return 2


def _name(words: Sequence[str]) -> str:
    """The command that words begin with."""
    return " ".join(words[: 2 if words[:1] == ["runs"] else 1])


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(labapp.__version__)
        return 0
    if words[:1] == ["--print-completion"]:
        from labapp.commands.completion import completion

        print(completion(" ".join(words[1:]), {name: command.load() for name, command in COMMANDS.items()}))
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview(), end="")
        return 0
    if words[0] == "runs" and (len(words) == 1 or words[1].startswith("-")):
        words = ["runs", "list", *words[1:]]
    name = _name(words)
    if name not in COMMANDS:
        raise LabError(f"unknown command '{name}'; there are {listed(COMMANDS)}{nearest(name, COMMANDS)}")
    from labapp.commands.options import parse  # which takes longer than all of the above

    command = COMMANDS[name]
    begin = parse(command.load(), name, words[len(name.split()) :])
    extras.require(f"`labapp {name}`", command.needs)
    return begin()


def _overview() -> str:
    """The commands, each with what it is for."""
    about = {name: command.says for name, command in COMMANDS.items()} | OPTIONS
    room = max(map(len, about)) + 2
    width = max(room + 20, shutil.get_terminal_size((160, 24)).columns)
    lines = ["usage: labapp COMMAND [OPTIONS]    (labapp COMMAND --help lists its options)", ""]
    for name, says in about.items():
        lines += textwrap.wrap(f"{name:<{room}}{says}", width, subsequent_indent=" " * room, break_on_hyphens=False)
    return "".join(f"{line}\n" for line in lines)


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, so that a run that is asked to end closes its files as on Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Print a warning as one line, without the place in the code that gave it."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"labapp: {palette.visible(message)}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before
