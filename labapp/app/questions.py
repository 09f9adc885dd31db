"""What do the pages ask about nets and images?

Each function asks in the background and returns a job; the same question again returns the same job.
`probes.explanations`, and torch with it, is imported by the thread that answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from labapp import frames
from labapp.app import background, launch
from labapp.app.launch.trial import trained
from labapp.config import Experiment, LabError, is_trusted
from labapp.frames import costs
from labapp.store import Run

if TYPE_CHECKING:
    from labapp.probes.explanations import LayerMap, Look, Sample, Survey

IMAGES = 128  # of the test set, for a mean with an interval
WARM = "LABAPP_WARM"  # 0: torch is loaded when the first question is asked
STRIP = 12  # images to choose from
CALM = 1.5  # seconds for which a form stays as it is before a few steps are timed
IDLE = 5.0  # seconds after which a timing that no form asks for is given up
PATIENCE = 60.0  # seconds for one of the first answers
AFTER = 2.0  # seconds after the first page, whose charts come through the same process


def warm(runs: Sequence[Run]) -> background.Job | None:
    """Load what every question needs: torch, the images and nets of some runs; once, after the first page is there.

    Questions that are asked meanwhile go first. It writes nothing and asks for nobody's code.
    """
    if os.environ.get(WARM) == "0":
        return None

    def work(tell: Any) -> None:
        time.sleep(AFTER)
        from labapp.probes import explanations  # noqa: F401 - for whoever asks next

        for run in runs:
            tell(0.5, "loading the nets")
            if is_trusted(run.experiment.net) and run.checkpoints():
                with contextlib.suppress(LabError):  # whoever asks is told
                    _first_question(run)

    return background.ask(("warm",), work, quick=False, patience=math.inf)


def _first_question(run: Run) -> None:
    """What the Grad-CAM page asks about a run when nobody has chosen anything yet."""
    images = strip(run, 0, STRIP)
    if background.wait([images], PATIENCE) and images.value:
        sample = images.value[0]
        target = "predicted" if sample.label is None else "true"
        background.wait([look(run, run.checkpoints()[-1], sample, "gradcam", target)], PATIENCE)


def size(experiment: Experiment, images: tuple[int, int, int] | None) -> background.Job:
    """Multiply-adds of one image, parameters and recorded places of the net of an experiment, three numbers."""

    def work(tell: Any) -> tuple[int, int, int]:
        from labapp.probes.sizes import size_of  # it counts by torch's formulae, which bring a compiler of 70 MB

        return size_of(experiment, images)

    return background.ask(("size", costs.net_key(experiment), images), work)


def trial(experiment: Experiment) -> background.Job:
    """What a few steps of an experiment take, a `costs.Pace`; in a process of its own."""
    short = costs.trial_of(experiment)

    def work(tell: Any) -> costs.Pace | None:
        until = time.monotonic() + CALM
        while time.monotonic() < until:  # somebody may be typing
            tell(0.0, f"timing {short.steps} steps of {short.name}")
            time.sleep(0.1)
        with trained(short, launch.arguments_for(short), launch.environment(), tell) as run:
            return costs.pace(run, least=1)

    return background.ask(("trial", short), work, quick=False, patience=IDLE)


def image_set(run: Run) -> tuple[Any, ...]:
    """The settings that decide which test images a run has; two runs with equal ones share their images."""
    what = run.experiment
    return what.imageset, what.image_size, what.data, what.test_images


def upload(file: Any) -> background.Job:
    """A picture that the user uploaded, as a `Sample`."""

    def work(tell: Any) -> Sample:
        from labapp.probes import explanations

        return explanations.from_file(file)

    return background.ask(("upload", file.name, hashlib.sha256(file.getvalue()).hexdigest()), work)


def strip(run: Run, first: int, count: int) -> background.Job:
    """`count` test images from `first` on, as a list of `Sample`."""

    def work(tell: Any) -> list[Sample]:
        from labapp.probes import explanations

        return explanations.strip(run, list(range(first, first + count)))

    return background.ask(("strip", image_set(run), first, count), work)


def image(run: Run, index: int) -> background.Job:
    """One test image, a `Sample`."""

    def work(tell: Any) -> Sample:
        from labapp.probes import explanations

        return explanations.from_set(run, index)

    return background.ask(("image", image_set(run), index), work)


Numbers = tuple[float, ...]


def look(
    run: Run, step: int, sample: Sample, method: str, target: str, mean: Numbers = (), std: Numbers = ()
) -> background.Job:
    """One net's maps of one image, a `Look`; the image is normalised as in training where no mean and std are given."""

    def work(tell: Any) -> Look:
        from labapp.probes import explanations

        tell(0.0, f"{frames.names([run])[0]}, step {step}")
        return explanations.look(explanations.of_run(run, step).otherwise(mean, std), sample, method, target)

    return background.ask(("look", *_stamp(run, step), *_of(sample), method, target, mean, std), work)


def faithfulness(
    run: Run,
    step: int,
    sample: Sample,
    shown: Look,
    layers: Sequence[LayerMap],
    mean: Numbers = (),
    std: Numbers = (),
) -> background.Job:
    """Deletion, insertion, infidelity and sensitivity of some maps of a look, as a list of rows."""

    def work(tell: Any) -> list[dict[str, Any]]:
        from labapp.probes import explanations

        net = explanations.of_run(run, step).otherwise(mean, std)
        return explanations.faithfulness(net, sample, shown, layers, tell)

    asked = tuple(layer.path for layer in layers)
    return background.ask(
        ("faithful", *_stamp(run, step), *_of(sample), shown.method, shown.target, asked, mean, std), work, quick=False
    )


def survey(run: Run, name: str, method: str) -> background.Job:
    """Maps of many test images beside those of random weights, and the sanity check.

    The answer is a dictionary with survey, energy (a table), verdict and cascade (a table).
    """

    def work(tell: Any) -> dict[str, Any]:
        from labapp.probes import explanations

        net = explanations.of_run(run)
        trained = explanations.survey(net, run, method, IMAGES, _part(tell, 0.0, 0.4)).named(name)
        random = explanations.untrained_of(net, run)
        untrained = explanations.survey(random, run, method, IMAGES, _part(tell, 0.4, 0.8))
        verdict, cascade, _ = explanations.check_sanity(net, run, method, tell=_part(tell, 0.8, 1.0))
        energy = pd.DataFrame(explanations.energy_table(trained, untrained))
        return {"survey": trained, "energy": energy, "verdict": verdict, "cascade": pd.DataFrame(cascade)}

    return background.ask(("survey", *_stamp(run, run.checkpoints()[-1]), name, method, IMAGES), work, quick=False)


def agreement(surveys: Sequence[Survey], stage: int | None) -> background.Job:
    """Rank correlation and overlap of the maps of every pair of nets, a table."""

    def work(tell: Any) -> pd.DataFrame:
        from labapp.probes import explanations

        return pd.DataFrame(explanations.agreement_of(surveys, stage))

    return background.ask(("agreement", stage, *((each.name, each.method, id(each)) for each in surveys)), work)


def drift(looks: dict[str, Sequence[Look]], stage: int | None) -> background.Job:
    """How each net's map forms over its checkpoints, a table with the column run."""

    def work(tell: Any) -> pd.DataFrame:
        from labapp.probes import explanations

        return pd.concat(
            [pd.DataFrame(explanations.drift_of(each, stage)).assign(run=name) for name, each in looks.items()]
        )

    return background.ask(("drift", stage, *((name, id(one)) for name, each in looks.items() for one in each)), work)


def _stamp(run: Run, step: int) -> tuple[str, int, int]:
    """A checkpoint, and what changes with it."""
    try:
        path = run.checkpoint_path(step)
        about = path.stat()
    except (LabError, OSError):  # gone meanwhile, which the answer says in a sentence
        return f"{run.path.absolute()}, step {step}", 0, 0
    return str(path.absolute()), about.st_mtime_ns, about.st_size


def _of(sample: Sample) -> tuple[str, int | None]:
    return hashlib.sha256(sample.picture.tobytes()).hexdigest(), sample.label


def _part(tell: Any, low: float, high: float) -> Any:
    return lambda share, what: tell(low + (high - low) * share, what)
