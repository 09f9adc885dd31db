"""What can be measured on the checkpoints of a run, and where is it stored?

    todo, not_for_this_net = measure.tasks(run)
    for outcome in measure.measure(run, todo):
        …
    run.probe("lesions", 300)

Every quantity of `labapp.diagnostics` that is about a net becomes one table a checkpoint in the run's `probes/`, on
one fixed batch of probe images. `labapp.probes.catalogue` lists them with the functions that make them: of the
diagnostics themselves, or of this room where a table says more than a diagnostic. Those take a `Given` and return the
table. Nets and random numbers are afterwards as they were.
"""
