"""Where does a run lie on disk, and how is it written and read?

    runs/<id>/run.json        what was run, where, and how it ended                       `run.Record`
    runs/<id>/layers/         one row a (step, layer), one column a quantity              `tables`, `parts`
    runs/<id>/steps/          loss, accuracy, learning rate, total gradient norm, time
    runs/<id>/evals/          held-out loss and accuracy after so many steps
    runs/<id>/probes/         <quantity>.step-00000300.parquet, one table a checkpoint and quantity
    runs/<id>/checkpoints/    step-00000300.safetensors, and the training state beside it (.pt)

    with RunWriter.create("runs", experiment) as writer:
        writer.write("steps", {"step": [0], "loss": [2.3]})
    Run("runs/<id>").steps(columns=["loss"], where=[("step", "<", 100)])

Append-only, crash-safe, readable while written. Any tool that reads Parquet can read it.
"""

from labapp.store.machine import process_identity
from labapp.store.run import STATUSES, Record, Run, broken_runs, find_run, list_runs, remove_run
from labapp.store.tables import QUANTITIES, TABLES
from labapp.store.writer import RunWriter

__all__ = [
    "QUANTITIES",
    "STATUSES",
    "TABLES",
    "Record",
    "Run",
    "RunWriter",
    "broken_runs",
    "find_run",
    "list_runs",
    "process_identity",
    "remove_run",
]
