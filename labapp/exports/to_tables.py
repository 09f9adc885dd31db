"""How are runs written as plain tables, CSV or Parquet, for whatever reads those?

    OUT/runs.csv            one row a run: settings, status, tags, note
    OUT/layers.csv          the table of all runs, with the column `run` in front; so steps, evals and every other
    OUT/probes/NAME.csv     the same of what was measured at checkpoints

Nothing is thinned or rounded. In CSV a number that is not there and NaN are both "NaN", infinity is "inf".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from labapp.config import LabError
from labapp.exports.about import AboutRun
from labapp.exports.chosen import FURTHER, CurveChoice
from labapp.exports.reading import columns_of, pieces
from labapp.store import QUANTITIES, Run

ORDER = ("steps", "evals", "layers")
SINGLE = "settings."  # in front of the name of a setting, in the table of runs


def write_tables(
    folder: Path, form: str, runs: Sequence[tuple[Run, AboutRun]], wanted: CurveChoice, tell: Callable[[str], None]
) -> int:
    """Write the tables of runs into a folder; how many rows.

    Args:
        folder: Where they go.
        form: "csv" or "parquet".
        runs: The runs, and what is known of them.
        wanted: Quantities and layers; all where nobody asked.
        tell: Takes sentences about what was left out.
    """
    total = _write(folder / f"runs.{form}", form, pd.DataFrame([_row(about) for _, about in runs]).convert_dtypes())
    there = {name for run, _ in runs for name in run.tables()}
    names = [name for name in (*ORDER, *sorted(there - set(ORDER))) if name in there]
    for name in names:
        if wanted.quantities and name in FURTHER and not wanted.takes(name):
            continue
        having = [run for run, _ in runs if name in run.tables()]
        schema = _schema([columns_of(run, name) for run in having], name, wanted)
        total += _write_all(
            folder / f"{name}.{form}", form, schema, (p for run in having for p in _rows(run, name, wanted))
        )
    probes = {name for run, _ in runs for name in run.probes()}
    for name in sorted(probes):
        total += _probes(folder, form, name, [run for run, _ in runs], tell)
    return total


def _row(about: AboutRun) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": about.id,
        "name": about.name,
        "status": about.status,
        "message": about.message,
        "started": about.started,
        "step": about.step,
        "steps": about.steps,
        "seconds": about.seconds,
        "tags": ", ".join(about.tags),
        "note": about.note,
    }
    return row | {f"{SINGLE}{name}": value for name, value in about.settings.items()}


def _schema(frames: Sequence[pd.DataFrame], name: str = "", wanted: CurveChoice | None = None) -> pa.Schema:
    """All columns that a table has in any of the runs, numbers as wide as all need; `run` in front."""
    found = pa.schema([("run", pa.string())])
    for frame in frames:
        types = [(column, _type(frame[column])) for column in frame.columns if column != "run"]
        found = pa.unify_schemas([found, pa.schema(types)], promote_options="permissive")
    if name == "layers" and wanted is not None and wanted.quantities:
        found = pa.schema([field for field in found if field.name not in QUANTITIES or wanted.takes(field.name)])
    return found


def _type(values: pd.Series) -> pa.DataType:
    kind = getattr(values.dtype, "kind", "O")
    return pa.from_numpy_dtype(values.dtype) if kind in "fiub" and isinstance(values.dtype, np.dtype) else pa.string()


def _rows(run: Run, name: str, wanted: CurveChoice) -> Iterator[pd.DataFrame]:
    for part in pieces(run, name):
        if wanted.layers and "layer" in part:
            kinds = part["kind"] if "kind" in part else [_kinds(run).get(layer, "") for layer in part["layer"]]
            fits = [wanted.fits(layer, kind) for layer, kind in zip(part["layer"], kinds, strict=True)]
            part = part[fits]
        yield part.assign(run=run.id)


def _kinds(run: Run) -> dict[str, str]:
    return {layer["path"]: layer.get("kind", "") for layer in run.layers_info}


def _probes(folder: Path, form: str, name: str, runs: Sequence[Run], tell: Callable[[str], None]) -> int:
    frames = []
    for run in runs:
        for step in run.probes().get(name, ()):
            try:
                frames.append(run.probe(name, step).assign(run=run.id, step=step))
            except LabError as error:
                tell(str(error))
    if not frames:
        return 0
    (folder / "probes").mkdir(exist_ok=True)
    path = folder / "probes" / f"{name}.{form}"
    whole = pd.concat(frames, ignore_index=True)
    whole = whole[["step", *whole.columns.drop("step")]]
    return _write_all(path, form, _schema([whole]), [whole])


def _write(path: Path, form: str, frame: pd.DataFrame) -> int:
    """Write one frame, in which what is missing is empty."""
    path.write_bytes(_as_csv(frame) if form == "csv" else frame.to_parquet(index=False))
    return len(frame)


def _write_all(path: Path, form: str, schema: pa.Schema, frames: Iterable[pd.DataFrame]) -> int:
    """Write frames one below the other; a column that one lacks is empty there. In Parquet NaN stays NaN."""
    rows = 0
    if form == "csv":
        with path.open("wb") as file:
            file.write(_as_csv(pd.DataFrame(columns=schema.names)))
            for frame in frames:
                file.write(_as_csv(frame.reindex(columns=schema.names), header=False, na_rep="NaN"))
                rows += len(frame)
        return rows
    with path.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for frame in frames:
            columns = [_array(frame.get(field.name), len(frame), field.type) for field in schema]
            writer.write_table(pa.table(columns, schema=schema))
            rows += len(frame)
    return rows


def _as_csv(frame: pd.DataFrame, **options: Any) -> bytes:
    return str(frame.to_csv(index=False, **options)).encode()


def _array(values: pd.Series | None, rows: int, kind: pa.DataType) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    if kind == pa.string():
        return pa.array([word if isinstance(word, str) else None for word in values], kind)
    numbers = values.to_numpy()
    absent = np.isnan(numbers) if pa.types.is_integer(kind) and numbers.dtype.kind == "f" else None
    if absent is not None:
        numbers = np.where(absent, 0, numbers)
    return pa.array(numbers.astype(kind.to_pandas_dtype(), copy=False), kind, mask=absent)
