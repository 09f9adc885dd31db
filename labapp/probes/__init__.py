"""What can be learnt from the checkpoints of a run, and where is it kept?

    todo, not_for_this_net = tasks(run)
    for outcome in measure(run, todo):
        …
    run.probe("lesions", 300)

Every quantity of `labapp.diagnostics` that speaks of a net becomes one table a checkpoint in the run's `probes/`, on
one fixed batch of probe images. `labapp.catalogue` lists them; each function here takes a `Given` and returns the
table. Nets and random numbers are afterwards as they were.
"""

from labapp.probes.given import Batch, Given, probe_images
from labapp.probes.measure import MEASURES, Outcome, Task, against, measure, steps_of, tasks

__all__ = ["MEASURES", "Batch", "Given", "Outcome", "Task", "against", "measure", "probe_images", "steps_of", "tasks"]
