"""Is everything that was written still there and whole, and what can be mended?

    for fault in check("runs/residual-56-…"): print(fault.what)
    for fault in mend("runs/residual-56-…"): print(fault.what, fault.mended)

Looking reads every file: tables against the checksum of each page, checkpoints and run.json against their digests.
Mending keeps what is whole and sets files that are not aside, in `_damaged/`; what is lost then stands in run.json.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from labapp.config import LabError, first_line, is_remote, place_of_run, sentence
from labapp.store import remote
from labapp.store.checkpoints import FOLDER, KEPT, checkpoint_damage, weights_name
from labapp.store.files import clear_temporary, current, files, sentences, sync_folder, write_whole
from labapp.store.lease import lease_on
from labapp.store.parquet import UNREADABLE, joined, verify, write_table
from labapp.store.publishing import publish
from labapp.store.record import COPY, Record, as_json, digest
from labapp.store.run import Run
from labapp.store.schema import NOTHING, TABLES
from labapp.store.table import Table

DAMAGED = "_damaged"


@dataclass(frozen=True)
class Fault:
    """Something about a run that is not as it was written, and what was done about it ("" for nothing)."""

    what: str
    mended: str = ""


def check(path: str | Path) -> list[Fault]:
    """What of a run is missing or damaged; its files are read whole, and left as they are."""
    path = place_of_run(path)
    current(path)
    if is_remote(path):
        remote.bring_whole(path)
    return _look(path, mending=False)


def mend(path: str | Path) -> list[Fault]:
    """What of a run is missing or damaged, and mends what can be.

    Raises:
        LabError: For a run that is being written, or a disk that cannot be.
    """
    path = place_of_run(path)
    current(path)
    lease = lease_on(path)
    with sentences(path):
        lease.take()
        try:
            found = _look(path, mending=True)
        finally:
            left = lease.release()
        if left:
            raise LabError(left)
        return found


def _look(path: Path, mending: bool) -> list[Fault]:
    found = [_record(path, mending)]
    try:
        run = Run(path)
    except LabError as error:
        return [fault for fault in found if fault] or [Fault(str(error))]
    if mending and run.status == "running":
        raise LabError(f"run '{run.id}' is being written; stop it first")
    if run.status != "running":
        found.append(_temporary(path, mending))
    lost: list[str] = []
    for name in sorted({*run.tables(), *run.record.parts}):
        found += _table(run, name, mending, lost)
    for folder in (path / FOLDER, path / KEPT):
        for weights in (folder / weights_name(step) for step in _steps(folder)):
            found.append(_file(weights, checkpoint_damage(weights), mending, lost, weights.with_suffix(".pt")))
    for name, steps in run.probes().items():
        for step in steps:
            table = path / "probes" / f"{name}.step-{step:08d}.parquet"
            found.append(_file(table, _unreadable(table), mending, []))
    faults = [fault for fault in found if fault]
    told = [fault.what for fault in faults]
    faults += [Fault(fault) for fault in run.record.faults if not any(fault in what for what in told)]
    if lost:
        _write_down(run, lost)
    return faults


def _record(path: Path, mending: bool) -> Fault | None:
    """What is wrong with run.json; mended from the copy made when the last attempt began or ended."""
    try:
        contents = json.loads((path / "run.json").read_bytes())
        Record(**contents)
        if contents.get("digest", told := digest(contents)) == told:
            return None
        what = "run.json is not as the lab wrote it: a number or word in it was changed"
    except OSError as error:
        what = f"run.json cannot be read ({error.strerror})"
    except ValidationError as error:
        what = f"run.json is damaged or of another version ({sentence(error)})"
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        what = f"run.json is damaged ({first_line(error)})"
    try:
        copy = json.loads((path / COPY).read_bytes())
        Record(**copy)
        if copy.get("digest") != digest(copy):
            return Fault(what)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Fault(what)
    if not mending:
        return Fault(f"{what}; its copy is whole")
    if (path / "run.json").is_file():
        _set_aside(path / "run.json")
    write_whole(path / "run.json", lambda file: file.write(json.dumps(copy, indent=1, ensure_ascii=False).encode()))
    return Fault(what, "restored from its copy, of when the last attempt began or ended")


def _temporary(path: Path, mending: bool) -> Fault | None:
    left = len(list(path.rglob(".*.tmp")))
    if not left:
        return None
    what = f"{_counted(left, 'temporary file')} of a process that was killed"
    if not mending:
        return Fault(what)
    clear_temporary(path)
    return Fault(what, "deleted")


def _table(run: Run, name: str, mending: bool, lost: list[str]) -> list[Fault]:
    """What is wrong with a table, and what waits in it to be published though nobody writes any more."""
    table = Table(run.path / name, TABLES.get(name, NOTHING), run.record.parts.get(name))
    table.look(whole=True)
    found = []
    for part, problem in sorted(table.problems.items()):
        path = table.folder / part
        if mending and path.is_file():
            saved = _salvaged(path, table.known)
            lost.append(f"{name}/{part} was damaged; {saved}")
            found.append(Fault(problem, saved))
        else:
            found.append(Fault(problem))
    waiting = [piece.part for piece in table.pieces() if piece.part.fresh]
    if waiting and run.status != "running":
        what = f"{name}: {_counted(len(waiting), 'file')} of rows not published yet, so other tools miss them"
        if mending:
            publish(table)
        found.append(Fault(what, "published" if mending else ""))
    return found


def _salvaged(path: Path, known: pa.Schema) -> str:
    """Writes a damaged part anew with what is whole of it; what that is, in words.

    A row group without its steps or names is no record and is left out; a quantity whose page is damaged, or that is
    not of the kind that the table's is, is missing in that group's rows.
    """
    kept: list[pa.Table] = []
    rows, gone = 0, set()
    try:
        verify(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            total = file.metadata.num_rows
            schema = pa.schema([_as_known(field, known) for field in file.schema_arrow])
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                columns = {field.name: _column(file, group, field) for field in schema}
                missing = {name for name, column in columns.items() if column is None}
                if any(_is_key(schema.field(name)) for name in missing):
                    continue
                gone |= missing
                filled = [pa.nulls(size, schema.field(n).type) if c is None else c for n, c in columns.items()]
                kept.append(pa.table(filled, schema=schema))
                rows += size
    except UNREADABLE:
        _set_aside(path)
        return "none of its rows could be read"
    _set_aside(path, copied=True)
    write_table(pa.concat_tables(kept) if kept else schema.empty_table(), path)
    without = f", without {', '.join(sorted(gone))} in some" if gone else ""
    return f"{rows:,} of its {total:,} rows were kept{without}"


def _as_known(field: pa.Field, known: pa.Schema) -> pa.Field:
    """A column as it is, if it fits the table; else as it should be."""
    try:
        joined(known, pa.schema([field]))
    except pa.ArrowInvalid:
        return known.field(field.name) if field.name in known.names else pa.field(field.name, pa.float32())
    return field


def _column(file: pq.ParquetFile, group: int, field: pa.Field) -> pa.ChunkedArray | None:
    """A column of a row group; None where it is damaged or of another kind."""
    try:
        column = file.read_row_group(group, [field.name])[field.name]
    except (*UNREADABLE, KeyError):
        return None
    return column if column.type == field.type else None


def _is_key(field: pa.Field) -> bool:
    return not pa.types.is_floating(field.type)


def _file(path: Path, problem: str, mending: bool, lost: list[str], *beside: Path) -> Fault | None:
    if not problem:
        return None
    if not mending:
        return Fault(problem)
    for each in (path, *beside):
        if each.is_file():
            _set_aside(each)
    lost.append(problem)
    return Fault(problem, f"set aside in {path.parent.name}/{DAMAGED}")


def _unreadable(path: Path) -> str:
    try:
        verify(path)
        pq.ParquetFile(path, page_checksum_verification=True).read()
    except UNREADABLE as error:
        return f"{path.parent.name}/{path.name} is damaged ({first_line(error)}); `labapp probe` makes it anew"
    return ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _steps(folder: Path) -> list[int]:
    return sorted(int(name[5:-12]) for name in files(folder) if name.startswith("step-") and name.endswith("ensors"))


def _set_aside(path: Path, copied: bool = False) -> None:
    """Moves a damaged file, or a copy of it, into `_damaged/` beside it, under a name of its own."""
    aside = path.parent / DAMAGED
    aside.mkdir(exist_ok=True)
    to = aside / f"{path.name}.{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    if copied:
        write_whole(to, lambda file: file.write(path.read_bytes()))
    else:
        path.replace(to)
        sync_folder(aside)
        sync_folder(path.parent)


def _write_down(run: Run, lost: list[str]) -> None:
    """Notes in run.json what was lost, so that mended is never taken for whole."""
    record = run.record.model_copy(deep=True)
    record.faults += [text for text in lost if text not in record.faults]
    if record.status == "finished":
        record.status = "incomplete"
    write_whole(run.path / "run.json", lambda file: file.write(as_json(record)))
