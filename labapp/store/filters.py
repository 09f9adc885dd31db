"""Which rows does a reader ask for? Conditions on columns and steps, as filters that pyarrow applies to its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from labapp.config import LabError, first_line

if TYPE_CHECKING:
    import pyarrow.dataset as ds

RowFilter: TypeAlias = Sequence[Any] | Mapping[str, Any] | None
Steps: TypeAlias = int | slice | range | Iterable[int] | None
_SIGNS = ("=", "==", "!=", "<", ">", "<=", ">=")


def where_condition(where: RowFilter, schema: pa.Schema, check: Callable[[str], None]) -> ds.Expression | None:
    """A filter on columns, as `Run.table` takes it; None when it asks for every row.

    Args:
        where: [(column, operator, value), …] which all hold, a list of such lists of which one holds, or
            {column: value or values}.
        schema: The columns there are, with their types.
        check: Called with each column's name; raises a LabError for one that is not there.
    """
    if not where:
        return None
    if isinstance(where, Mapping):
        where = [(name, "==" if _is_single(value) else "in", value) for name, value in where.items()]
    try:
        either = [where] if isinstance(where[0][0], str) else where
        for name in (name for terms in either for name, _, _ in terms):
            check(name)
        terms = [[(name, sign, value if sign in _SIGNS else list(value)) for name, sign, value in t] for t in either]
        condition = pq.filters_to_expression(terms)
        schema.empty_table().filter(condition)  # else a wrong type would look like damage
    except LabError:
        raise
    except (ValueError, TypeError, pa.ArrowException) as error:
        form = 'where is [("step", ">=", 100), …] or {"kind": "conv"}'
        raise LabError(f"{form}, which {where!r} does not fit ({first_line(error)})") from None
    return condition


def steps_condition(steps: Steps) -> ds.Expression | None:
    """A step, a slice of steps (its end excluded) or several steps, as a filter."""
    if steps is None:
        return None
    import pyarrow.compute as pc

    step = pc.field("step")
    if not isinstance(steps, slice | range):
        return step.isin([int(one) for one in (steps if isinstance(steps, Iterable) else [steps])])
    if steps.step not in (None, 1):
        raise LabError(f"steps is a slice without a stride, not one with a stride of {steps.step}")
    low = step >= (steps.start or 0)
    return low if steps.stop is None else low & (step < steps.stop)


def both(one: ds.Expression | None, other: ds.Expression | None) -> ds.Expression | None:
    """The rows that pass two filters, of which either may be None."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _is_single(value: object) -> bool:
    return isinstance(value, str | bytes) or not isinstance(value, Iterable)
