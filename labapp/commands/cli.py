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

A command is a function in `COMMANDS`. A mistake is one sentence on stderr and exit code 2. What is slow to import is
imported where it is used: `labapp runs list` does without torch.
"""

import contextlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, NoReturn

from rich.table import Table
from tyro.conf import Positional, arg

import labapp
from labapp import palette
from labapp.commands.app import app
from labapp.commands.check import runs_check
from labapp.commands.claims import claims
from labapp.commands.compare import runs_compare
from labapp.commands.diagnose import diagnose
from labapp.commands.doctor import doctor
from labapp.commands.explain import explain
from labapp.commands.export import runs_export
from labapp.commands.options import Root, parse
from labapp.commands.probe import probe as probe_runs
from labapp.commands.progress import console
from labapp.commands.report import report
from labapp.commands.runs import runs_list, runs_note, runs_rename, runs_send, runs_tag
from labapp.commands.starter import degradation, record, summary
from labapp.commands.sweep import sweep
from labapp.commands.training import RunName, resume, train
from labapp.config import LabError, listed, nearest
from labapp.store import find_run, remove_run, resume_points, why_not_resumed
from labapp.training.starter import STARTER

JobsOption = Annotated[int | None, arg(metavar="N", help="nets at a time (default: one a core, at most 4)")]


def starter(root: Root = "runs", jobs: JobsOption = None) -> int:
    """Record the starter comparison: plain, residual, dense and VGG nets side by side.

    Trains plain-20, residual-20, plain-56, residual-56, a DenseNet-BC of 40 layers and a VGG of 11 on the same images
    in the same order with the same recipe, several at a time, and measures their checkpoints. What is in the archive
    already is not done again, so a starter that was interrupted goes on.
    """
    screen = console()
    if jobs is not None and jobs < 1:
        raise LabError(f"--jobs is the number of nets at a time, so it cannot be {jobs}")
    results = record(STARTER, root, screen, jobs)
    screen.print(summary(results))
    screen.print(degradation(results))
    return 1 if any(result.run is None for result in results) else 0


def runs_show(run: Positional[RunName] = "", root: Root = "runs") -> int:
    """Show what a run was, where it ran, how it ended, and its layers."""
    if not run:
        raise LabError("which run? `labapp runs list` shows them, `labapp runs show RUN` tells about one")
    shown, screen = find_run(run, root), console()
    done, steps = shown.progress
    screen.print(f"{shown.id}: {shown.status}, step {done} of {steps}, {shown.seconds:.0f} s", style="bold")
    if shown.message:
        screen.print(shown.message)
    if not why_not_resumed(shown):
        kept = next((point.step for point in resume_points(shown.path) if not point.problem), 0)
        screen.print(f"`labapp resume {shown.id}` goes on at step {kept}")
    if "divergence" in shown.tables():
        rows = shown.table("divergence").sort_values("step", kind="stable")
        ill = Table("step", "what", "layer", "kind", "layers", title="first not finite", title_justify="left")
        for row in rows.itertuples():
            ill.add_row(*map(str, (row.step, row.what, row.layer, row.kind, row.places)))
        screen.print(ill)

    facts = Table("what", "value", show_header=False)
    for section in (shown.experiment.model_dump(exclude_none=True), shown.environment, shown.recorder):
        for name, value in section.items():
            facts.add_row(name, str(value))
        facts.add_section()
    facts.add_row("attempts", str(len(shown.attempts)))
    facts.add_row("checkpoints", ", ".join(map(str, shown.checkpoints())) or "none")
    screen.print(facts)

    names = ("depth", "path", "kind", "stage", "shape", "parameters")
    layers = Table(*names, title=f"{len(shown.layers_info)} recorded layers", title_justify="left")
    for layer in shown.layers_info:
        words = layer | {
            "shape": "×".join(map(str, layer.get("shape") or ())),
            "kind": palette.kind(layer.get("kind", "")),
        }
        layers.add_row(*(str(words.get(name, "")) for name in names))
    screen.print(layers)
    for problem in shown.problems:
        screen.print(problem)
    return 0


def runs_remove(runs: Positional[tuple[RunName, ...]] = (), root: Root = "runs") -> int:
    """Remove runs from the archive; one that is being written stays."""
    if not runs:
        raise LabError("which run? `labapp runs list` shows them, `labapp runs remove RUN` removes one")
    for run in runs:
        remove_run(root, run)
        console().print(f"removed {run}")
    return 0


COMMANDS: dict[str, Callable[..., int]] = {
    "app": app,
    "train": train,
    "resume": resume,
    "starter": starter,
    "sweep": sweep,
    "doctor": doctor,
    "explain": explain,
    "probe": probe_runs,
    "diagnose": diagnose,
    "claims": claims,
    "report": report,
    "runs list": runs_list,
    "runs show": runs_show,
    "runs compare": runs_compare,
    "runs check": runs_check,
    "runs tag": runs_tag,
    "runs note": runs_note,
    "runs rename": runs_rename,
    "runs remove": runs_remove,
    "runs export": runs_export,
    "runs send": runs_send,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 2 for a mistake, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _termination_as_interrupt(), _short_warnings():
            return _run(words)
    except LabError as error:
        print(f"labapp: {palette.visible(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("labapp: stopped; what was recorded until now is in the archive", file=sys.stderr)
        return 130
    except SystemExit:  # a command's help was printed
        return 0


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        console().print(labapp.__version__)
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        return _overview()
    if words[0] == "runs" and (len(words) == 1 or words[1].startswith("-")):
        words = ["runs", "list", *words[1:]]
    length = 2 if words[0] == "runs" else 1
    name = " ".join(words[:length])
    if name not in COMMANDS:
        raise LabError(f"unknown command '{name}'; there are {listed(COMMANDS)}{nearest(name, COMMANDS)}")
    return parse(COMMANDS[name], name, words[length:])()


def _overview() -> int:
    screen = console()
    screen.print("usage: labapp COMMAND [OPTIONS]    (labapp COMMAND --help lists its options)\n")
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, command in COMMANDS.items():
        table.add_row(name, (command.__doc__ or "").splitlines()[0])
    table.add_row("--version", "Say which version this is.")
    screen.print(table)
    return 0


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
