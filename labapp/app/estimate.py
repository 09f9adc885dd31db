"""How long will it take, and how much room?

By runs of the same net that this machine has finished; else by those of other nets, for which the multiply-adds of the
new one are counted; and where there are none, by timing a few steps. All in the background: the form does not wait.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from labapp import palette
from labapp.app import background, launch, questions
from labapp.app.archive import opened
from labapp.app.tables import token
from labapp.config import Experiment, LabError
from labapp.frames import costs
from labapp.store import Run

MOST = 40  # finished runs that are asked, the newest
PACE = 0.5  # seconds between looks at what is counted or timed
MADE = ("cluttered-digits", "digits")  # image sets that need no files


def draw(wanted: Sequence[Experiment]) -> None:
    """The estimate of these trainings; looked at again until it is there."""
    _, waiting = say(wanted, _finished())
    st.fragment(_sentence, run_every=PACE if waiting else None)(wanted)


def _finished() -> list[Run]:
    """The newest runs of the archive that have finished."""
    listing = opened().listing
    return [listing.run(entry) for entry in listing.entries if entry.status == "finished"][:MOST]


def _sentence(wanted: Sequence[Experiment]) -> None:
    words, _ = say(wanted, _finished())
    st.caption(palette.sentence(words), help="Measured, never sure: what else the machine does is not known")


def say(wanted: Sequence[Experiment], runs: Sequence[Run]) -> tuple[str, bool]:
    """The estimate in a sentence by finished runs, and whether a better one is on its way."""
    paces = [pace for run in runs if (pace := _pace(*token(run))) is not None]
    found: list[costs.Cost] = []
    for experiment in dict.fromkeys(each.but(seed=0) for each in wanted):
        cost, pending = _cost(experiment, runs, paces)
        if isinstance(cost, str):
            return cost, pending
        found += [cost] * sum(each.but(seed=0) == experiment for each in wanted)
    return costs.in_words(found, launch.at_once()), False


def _cost(experiment: Experiment, runs: Sequence[Run], paces: Sequence[costs.Pace]) -> tuple[costs.Cost | str, bool]:
    """What one training will take, or a sentence why that is not told (yet)."""
    if costs.are_enough(experiment, costs.witnesses(experiment, paces)):
        size = next((pace.size for pace in paces if costs.same_net(pace.experiment, experiment)), None)
        if size is None:
            job = questions.size(experiment, _images(experiment, runs))
            background.wait([job], PACE / 2)
            if not job.done:
                return "Estimating the time: counting the net's multiply-adds …", True
            if job.fault:
                return f"How long it takes cannot be told: {job.fault}.", False
            size = costs.Size(*job.value)
        cost = costs.expected(experiment, size, paces)
        if cost is not None and cost.high <= costs.WIDEST * cost.low:
            return cost, False
    if experiment.imageset not in MADE and _images(experiment, runs) is None:
        return f"How long it takes can be told once the images of {experiment.imageset} are there.", False
    trial = questions.trial(experiment)
    background.wait([trial], PACE / 2)
    if not trial.done:
        return f"Estimating the time: {trial.message} …", True
    if trial.fault or trial.value is None:
        return f"How long it takes cannot be told: {trial.fault or 'its steps are too short to be timed'}.", False
    return costs.timed(experiment, trial.value), False


def _images(experiment: Experiment, runs: Sequence[Run]) -> tuple[int, int, int] | None:
    """Pixels, channels and classes of an image set by a run that was trained on it; None where none was."""
    for run in runs:
        about = run.environment.get("images") or {}
        alike = all(getattr(run.experiment, name) == getattr(experiment, name) for name in ("imageset", "image_size"))
        if alike and {"image_size", "channels", "classes"} <= set(about):
            return int(about["image_size"]), int(about["channels"]), len(about["classes"])
    return None


@st.cache_data(max_entries=512, show_spinner=False)
def _pace(path: str, version: str) -> costs.Pace | None:
    try:
        return costs.pace(Run(path))
    except (LabError, OSError):  # damaged, or gone meanwhile
        return None
