"""Where does a run lie on disk, and how is it written and read?

    runs/<id>/run.json        what was run, where, and how it ended                       `record.Record`
    runs/<id>/layers/         one row a (step, layer), one column a quantity              `schema`, `parts`
    runs/<id>/steps/          loss, accuracy, learning rate, total gradient norm, time
    runs/<id>/evals/          held-out loss and accuracy after so many steps
    runs/<id>/probes/         <quantity>.step-00000300.parquet, one table a checkpoint and quantity
    runs/<id>/checkpoints/    step-00000300.safetensors, and the training state beside it (.pt)
    runs/<id>/_resume/        the same two files, of a moment ago: from there an interrupted training goes on

    with RunWriter.create("runs", experiment) as writer:
        writer.write("steps", {"step": [0], "loss": [2.3]})
    Run("runs/<id>").steps(columns=["loss"], where=[("step", "<", 100)])

Crash-safe, readable while written. Any tool that reads Parquet can read it, and finds each row once.
"""

from labapp.store.archive import broken_runs, find_run, list_runs, remove_run
from labapp.store.files import alone
from labapp.store.machine import process_identity
from labapp.store.mending import Fault, check, mend
from labapp.store.record import STATUSES, Record
from labapp.store.resuming import ResumePoint, resume_points, why_not_resumed
from labapp.store.run import Run
from labapp.store.schema import QUANTITIES, TABLES
from labapp.store.space import disk_use
from labapp.store.writer import RunWriter

__all__ = [
    "QUANTITIES",
    "STATUSES",
    "TABLES",
    "Fault",
    "Record",
    "ResumePoint",
    "Run",
    "RunWriter",
    "alone",
    "broken_runs",
    "check",
    "disk_use",
    "find_run",
    "list_runs",
    "mend",
    "process_identity",
    "remove_run",
    "resume_points",
    "why_not_resumed",
]
