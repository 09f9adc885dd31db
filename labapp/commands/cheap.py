"""What is measured on a run right after its training, because it costs nothing?"""

from collections.abc import Sequence

from labapp.config import LabError
from labapp.probes import measure
from labapp.store import Run


def measure_cheaply(run: Run, names: Sequence[str] = ()) -> list[str]:
    """Make the tables of a run that are made in moments and are not there yet; one sentence for each that cannot be."""
    if not run.checkpoints():
        return []
    try:
        outcomes = list(measure.measure(run, measure.cheap_tasks(run, names), images=1))
    except LabError as error:  # its images are gone, or its checkpoint cannot be read
        return [str(error)]
    return [f"{outcome.task.name}: {outcome.reason}" for outcome in outcomes if outcome.reason]
