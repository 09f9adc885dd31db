"""How is one net trained from a terminal, and how does a training go on that was interrupted?"""

import os
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from labapp.commands.accuracies import final_accuracy
from labapp.commands.options import Root, RunName, Trust
from labapp.commands.probe import probe as probe_runs
from labapp.commands.progress import TrainingProgress, console, percent
from labapp.commands.settings import Options, experiment
from labapp.config import Experiment, LabError, module_of, permissions, require_trust
from labapp.store import Run, RunWriter, find_run, resume_points, why_not_resumed
from labapp.training.logbook import Moment

ProbeOption = Annotated[
    Literal["cheap", "all", "none"],
    arg(help="what to measure at the end: what costs nothing (architecture, reuse by weights), all, or none"),
]
KeepOption = Annotated[
    float,
    arg(metavar="SECONDS", help="seconds between two states kept for `labapp resume`; inf: at checkpoints alone"),
]
MirrorOption = UseAppendAction[
    Annotated[
        tuple[str, ...],
        arg(
            metavar="TOOL:WHERE",
            help="a dashboard that follows: tensorboard:DIR, wandb:DIR (offline) or mlflow:URI; also several times",
        ),
    ]
]
StartOption = Annotated[bool, arg(help="begin again at step 0; what was recorded is set aside")]
DevicesOption = Annotated[int | None, arg(metavar="N", help="processes on each host from here on (default: as before)")]
HostsOption = Annotated[int | None, arg(metavar="M", help="hosts from here on (default: as before)")]


def train(
    options: Options,
    probe: ProbeOption = "cheap",
    keep_every: KeepOption = 60.0,
    mirror: MirrorOption = (),
    root: Root = "runs",
) -> int:
    """Train one net and record it into the archive.

    What is left out is settled by the recipe, the family or the form.
    """
    chosen, follow = experiment(options), _following(mirror)
    if (module := module_of(chosen.net)) is not None:
        permissions.trust([module])  # named by who typed this
    if _speaks(chosen):
        console().print(f"{chosen.name} on {chosen.imageset}, {chosen.steps} steps; loading torch …")
    from labapp.training.loop import train as train_one

    return _trained(
        chosen,
        lambda tell: train_one(chosen, root, progress=tell, keep_every=keep_every, follow=follow),
        probe,
        root,
    )


def resume(
    run: Positional[RunName] = "",
    probe: ProbeOption = "cheap",
    keep_every: KeepOption = 60.0,
    from_start: StartOption = False,
    devices: DevicesOption = None,
    num_nodes: HostsOption = None,
    mirror: MirrorOption = (),
    trust: Trust = (),
    root: Root = "runs",
) -> int:
    """Go on with a training that was interrupted, stopped or failed, from the last state of it that was kept.

    On one machine its tables and weights end as those of a run that was never interrupted, bit for bit; on another
    number of processes last bits may differ, and batch norms see parts of another size.
    """
    if not run:
        raise LabError("which run? `labapp runs list` shows them, `labapp resume RUN` goes on with one")
    permissions.trust(trust)
    follow = _following(mirror)
    broken = find_run(run, root)
    if reason := why_not_resumed(broken):
        raise LabError(reason)
    require_trust(broken.experiment.net, f"run '{broken.id}'")
    asked = {name: count for name, count in (("devices", devices), ("num_nodes", num_nodes)) if count is not None}
    chosen = broken.experiment.model_copy(update=asked)
    points = [] if from_start else resume_points(broken.path)
    done = next((point.step for point in points if not point.problem), 0)
    if _speaks(chosen):
        console().print(f"{broken.id} goes on at step {done} of {chosen.steps}; loading torch …")
    from labapp.training.loop import resume as resume_one

    return _trained(
        chosen,
        lambda tell: resume_one(
            broken, progress=tell, keep_every=keep_every, from_start=from_start, follow=follow, **asked
        ),
        probe,
        root,
    )


def _following(mirrors: tuple[str, ...]) -> Callable[[RunWriter], None] | None:
    """What makes the mirrors of a run, which have been checked; None without any."""
    if not mirrors:
        return None
    from labapp.exports import check_mirrors, mirror_all

    check_mirrors(mirrors)
    return partial(mirror_all, words=mirrors)


def _trained(chosen: Experiment, work: Callable[[Callable[[Moment], None]], Run], probe: str, root: str) -> int:
    """Show a training while it goes on, say how it ended, and measure what was asked for."""
    screen = console()
    with TrainingProgress([chosen]) as display:
        run = work(display.next())
    if not _speaks(chosen):
        return 0  # the first process tells how it ended, and measures
    screen.print(
        f"{run.status} in {run.seconds:.0f} s, test accuracy {percent(final_accuracy(run, 'test'))}: {run.path}"
    )
    if run.message:
        screen.print(run.message)
    if probe == "cheap":
        from labapp.commands.cheap import measure_cheaply

        for sentence in measure_cheaply(run):
            screen.print(sentence)
    elif probe == "all" and run.checkpoints():
        return probe_runs((str(run.path),), root=root)
    return 0


def _speaks(chosen: Experiment) -> bool:
    """Whether this process speaks for its training: the first one of several, wherever they were begun."""
    places = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
    return chosen.devices * chosen.num_nodes == 1 or all(os.environ.get(name, "0") == "0" for name in places)
