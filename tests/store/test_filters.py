"""Does a reader get the rows asked for, and a sentence when the question does not fit?"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labapp.config import LabError
from labapp.store.filters import steps_condition
from labapp.store.parquet import write_table
from labapp.store.parts import part_name
from labapp.store.table import Table
from tests.store.examples import rows, steps

WHERES: list[tuple[Any, list[int]]] = [
    ([("step", ">=", 18)], [18, 19]),
    ([("step", ">", 3), ("step", "<=", 5)], [4, 5]),
    ([["step", "==", 7]], [7]),
    ([[("step", "=", 1)], [("step", ">", 18)]], [1, 19]),
    ([("step", "in", [3, 5, 99])], [3, 5]),
    ([("step", "not in", range(2, 20))], [0, 1]),
    ({"step": 4}, [4]),
    ({"step": [4, 6], "loss": 3.0}, [6]),
    ({"step": np.array([2])}, [2]),
    ([], list(range(20))),
    ({}, list(range(20))),
    ([("learning_rate", ">", 0)], []),  # known, and in no part: NaN
]


@pytest.mark.parametrize(("where", "expected"), WHERES)
def test_where(folder: Path, table: Table, where: Any, expected: list[int]) -> None:
    write_table(rows(0, 9), folder / part_name(1, 0))
    write_table(rows(10, 19), folder / part_name(1, 1))
    assert steps(table, where=where) == expected
    assert steps(table, where=where, also=steps_condition(slice(0, 1000))) == expected


@pytest.mark.parametrize(
    ("steps_asked", "expected"),
    [
        (3, [3]),
        (slice(0, 3), [0, 1, 2]),
        (slice(17, None), [17, 18, 19]),
        (slice(None, 2), [0, 1]),
        (range(4, 6), [4, 5]),
        ([1, 5, 77], [1, 5]),
        (np.array([2]), [2]),
        (np.int64(2), [2]),
        (None, list(range(20))),
    ],
)
def test_steps(folder: Path, table: Table, steps_asked: Any, expected: list[int]) -> None:
    write_table(rows(0, 19), folder / part_name(1, 0))
    assert steps(table, also=steps_condition(steps_asked)) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": ["lss"]}, "table 'steps' of run 'run' has no column 'lss' \\(did you mean 'loss'\\?\\)"),
        ({"where": {"split": "test"}}, "has no column 'split'; it has step and loss"),
        ({"columns": ["zzzz"]}, "has no column 'zzzz'; it has step and loss"),
        ({"where": {"lss": 1}}, "has no column 'lss'"),
        ({"where": [("step", "~", 1)]}, "does not fit"),
        ({"where": [("step", ">=", "early")]}, "does not fit"),
        ({"where": "step > 3"}, "does not fit"),
        ({"where": [("step", ">")]}, "does not fit"),
        ({"where": [("step", "in", 3)]}, "does not fit"),
        ({"where": 3}, "does not fit"),
    ],
)
def test_a_question_that_does_not_fit(folder: Path, table: Table, options: dict, words: str) -> None:
    write_table(rows(0, 1), folder / part_name(1, 0))
    with pytest.raises(LabError, match=words) as told:
        table.read(**options)
    assert "\n" not in str(told.value)
    assert table.problems == {}


def test_a_slice_with_a_stride_is_refused() -> None:
    with pytest.raises(LabError, match="without a stride"):
        steps_condition(slice(0, 10, 2))
