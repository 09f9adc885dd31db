"""Where does a run lie on disk, and how is it written and read?

    runs/<id>/run.json        what was run, where, and how it ended                       `record.Record`
    runs/<id>/layers/         one row a (step, layer), one column a quantity              `schema`, `parts`
    runs/<id>/steps/          loss, accuracy, learning rate, total gradient norm, time
    runs/<id>/evals/          held-out loss and accuracy after so many steps
    runs/<id>/probes/         <quantity>.step-00000300.parquet, one table a checkpoint and quantity
    runs/<id>/checkpoints/    step-00000300.safetensors, and the training state beside it (.pt)
    runs/<id>/labels.json     the name, the tags and the note that somebody gave it           `labels`
    runs/<id>/_resume/        the same two files, of a moment ago: from there an interrupted training goes on

    runs/.index.parquet       what a list of runs needs, a cache that may be deleted          `index`

    with RunWriter.create("runs", experiment) as writer:
        writer.write("steps", {"step": [0], "loss": [2.3]})
    Run("runs/<id>").steps(columns=["loss"], where=[("step", "<", 100)])

Crash-safe, readable while written. Any tool that reads Parquet can read it, and finds each row once.
"""

from labapp.store.archive import broken_runs, find_run, folder_of, label_run, list_runs, remove_run, send_left
from labapp.store.display import Runs
from labapp.store.endings import last_number
from labapp.store.entries import Entry
from labapp.store.files import alone
from labapp.store.finding import FIELDS, SETTINGS, Condition, Question, question, value_of
from labapp.store.index import AGE, Listing, forget, is_there, look
from labapp.store.labels import Labels
from labapp.store.machine import process_identity
from labapp.store.matrices import UNKNOWN, Matrices
from labapp.store.mending import Fault, check, mend
from labapp.store.numbers import NUMBERS, KeptNumbers
from labapp.store.record import STATUSES, Record
from labapp.store.remote.objects import UnreachableError
from labapp.store.resuming import ResumePoint, resume_points, why_not_resumed
from labapp.store.run import Run
from labapp.store.schema import QUANTITIES, TABLES
from labapp.store.space import disk_use
from labapp.store.writer import RunWriter

__all__ = [
    "AGE",
    "FIELDS",
    "NUMBERS",
    "QUANTITIES",
    "SETTINGS",
    "STATUSES",
    "TABLES",
    "UNKNOWN",
    "Condition",
    "Entry",
    "Fault",
    "KeptNumbers",
    "Labels",
    "Listing",
    "Matrices",
    "Question",
    "Record",
    "ResumePoint",
    "Run",
    "RunWriter",
    "Runs",
    "UnreachableError",
    "alone",
    "broken_runs",
    "check",
    "disk_use",
    "find_run",
    "folder_of",
    "forget",
    "is_there",
    "label_run",
    "last_number",
    "list_runs",
    "look",
    "mend",
    "process_identity",
    "question",
    "remove_run",
    "resume_points",
    "send_left",
    "value_of",
    "why_not_resumed",
]
