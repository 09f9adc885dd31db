"""Which columns does a table have, and of which types are they on disk?

Words are strings (dictionary-encoded by Parquet), counts of steps and places are int64, quantities float32. NaN and
infinity are values; null stands for a column that a part lacks, and reads as NaN.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from labapp.config import LabError

QUANTITIES = (
    "weight_norm",
    "weight_grad_norm",
    "update_ratio",
    "output_mean",
    "output_std",
    "zero_fraction",
    "dead_channels",
    "output_grad_norm",
    "nonfinite",
    "branch_norm",
    "shortcut_norm",
    "branch_grad_norm",
    "shortcut_grad_norm",
    "branch_shortcut_grad_cosine",
    "gradient_signal_to_noise",
)
_OF_STEPS = ("loss", "accuracy", "learning_rate", "grad_norm", "seconds", "images_per_second")
_WORD, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float32()
TABLES: dict[str, pa.Schema] = {  # of every run; any other name makes a table of its own, with the columns it is given
    "layers": pa.schema(
        [
            ("step", _WHOLE),
            ("layer", _WORD),
            ("kind", _WORD),
            ("depth", _WHOLE),
            ("relative_depth", _REAL),
            ("stage", _WHOLE),
            ("block", _WORD),
            *((quantity, _REAL) for quantity in QUANTITIES),
        ]
    ),
    "steps": pa.schema([("step", _WHOLE), *((name, _REAL) for name in _OF_STEPS)]),
    "evals": pa.schema([("step", _WHOLE), ("split", _WORD), ("loss", _REAL), ("accuracy", _REAL)]),
}
NOTHING = pa.schema([])
_OF_WHAT = [("step", _WHOLE), ("layer", _WORD), ("of", _WORD)]
FURTHER: dict[str, pa.Schema] = {  # tables that a recorder makes where it is asked, or has something to say
    "totals": pa.schema(
        [
            ("step", _WHOLE),
            *((name, _REAL) for name in ("grad_norm", "grad_norm_used", "loss_scale")),
            ("skipped", _WHOLE),
        ]
    ),
    "lifetimes": pa.schema([("step", _WHOLE), ("layer", _WORD), ("channel", _WHOLE), ("event", _WORD)]),
    "histograms": pa.schema([*_OF_WHAT, ("exponent", _WHOLE), ("count", _WHOLE)]),
    "spreads": pa.schema([*_OF_WHAT, *((name, _REAL) for name in ("minimum", "lower", "median", "upper", "maximum"))]),
    "divergence": pa.schema(
        [
            ("step", _WHOLE),
            *((name, _WORD) for name in ("what", "layer", "kind")),
            ("places", _WHOLE),
            ("input", _WORD),
            ("after", _WHOLE),
            ("note", _WORD),
        ]
    ),
}

Words: TypeAlias = list[Any]


def known_columns(table: str) -> pa.Schema:
    """The columns that a table has even where none of its parts is there yet, or can be read; none of another's own."""
    return TABLES.get(table) or FURTHER.get(table) or NOTHING


class Chunk(NamedTuple):
    """Rows as they wait in memory: arrays of numbers, lists of words."""

    rows: int
    columns: dict[str, np.ndarray | Words]


def chunk(table: str, columns: Mapping[str, Any]) -> Chunk:
    """Columns checked and copied, so that the caller may reuse its arrays; a single value stands for all rows."""
    kept: dict[str, np.ndarray | Words] = {}
    single: list[str] = []
    rows: int | None = None
    for name, values in columns.items():
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        if isinstance(values, str) or not hasattr(values, "__len__") or getattr(values, "shape", None) == ():
            single.append(name)
            kept[name] = _column(table, name, [values])
            continue
        if rows is None:
            rows = len(values)
        elif len(values) != rows:
            raise LabError(f"column '{name}' of table '{table}' has {len(values)} rows where the others have {rows}")
        kept[name] = _column(table, name, values)
    if rows is None:
        rows = 1 if columns else 0
    for name in single:
        value = kept[name]
        kept[name] = value * rows if isinstance(value, list) else np.repeat(value, rows)
    return Chunk(rows, kept)


def _column(table: str, name: str, values: Any) -> np.ndarray | Words:
    if not isinstance(values, np.ndarray):
        if len(values) and isinstance(values[0], str):
            return list(values)
        array = np.array(values)
    else:
        array = values.copy()
    if array.dtype.kind in "OUST" and array.ndim == 1:
        words: list[Any] = array.tolist()
        if any(isinstance(word, str) for word in words):
            return words
        try:
            array = array.astype(np.float64)  # None is NaN
        except (TypeError, ValueError):
            raise LabError(f"column '{name}' of table '{table}' holds {words[0]!r}, neither number nor word") from None
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise LabError(f"column '{name}' of table '{table}' is not one number or word a row")
    return array


def as_table(chunks: Sequence[Chunk], known: pa.Schema) -> pa.Table:
    """Chunks joined into one table; a column that a chunk lacks is null in its rows."""
    given = dict.fromkeys(name for chunk in chunks for name in chunk.columns)
    names = [name for name in known.names if name in given] + [name for name in given if name not in known.names]
    return pa.table([_as_array(name, chunks, known) for name in names], names=names)


def _as_array(name: str, chunks: Sequence[Chunk], known: pa.Schema) -> pa.Array:
    parts = [(rows, columns.get(name)) for rows, columns in chunks]
    wanted = known.field(name).type if name in known.names else None
    if wanted == _WORD or (wanted is None and any(isinstance(values, list) for _, values in parts)):
        words = (word for rows, values in parts for word in (values if values is not None else [None] * rows))
        return pa.array([None if word is None else str(word) for word in words], _WORD)
    numbers = np.concatenate([_numbers(name, rows, values) for rows, values in parts])
    if wanted is None:
        wanted = {"f": _REAL, "b": pa.bool_()}.get(numbers.dtype.kind, _WHOLE)
    absent = None
    if wanted == _WHOLE and numbers.dtype.kind == "f":  # whole numbers with a gap
        absent = ~np.isfinite(numbers)
        numbers = np.where(absent, 0, numbers)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and recorded so
        return pa.array(numbers.astype(wanted.to_pandas_dtype(), copy=False), mask=absent)


def _numbers(name: str, rows: int, values: np.ndarray | Words | None) -> np.ndarray:
    if isinstance(values, list):
        raise LabError(f"column '{name}' holds numbers, not words such as {values[0]!r}")
    return np.full(rows, np.nan) if values is None else values
