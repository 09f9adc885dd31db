"""Do rows lie on disk as what they are, NaN and infinity included?"""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.config import LabError
from labapp.store.schema import NOTHING, QUANTITIES, TABLES, as_table, chunk


def test_types_on_disk() -> None:
    table = as_table(
        [
            chunk(
                "layers",
                {"step": [3], "layer": ["conv"], "depth": [1], "output_grad_norm": [1.5], "stage": np.int32([2])},
            )
        ],
        TABLES["layers"],
    )
    assert table.schema == pa.schema(
        [
            ("step", pa.int64()),
            ("layer", pa.string()),
            ("depth", pa.int64()),
            ("stage", pa.int64()),
            ("output_grad_norm", pa.float32()),
        ]
    )
    assert set(QUANTITIES) <= set(TABLES["layers"].names)


@settings(deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_quantities_are_kept_bit_for_bit(values: list[float]) -> None:
    table = as_table([chunk("layers", {"update_ratio": np.array(values, np.float32)})], TABLES["layers"])
    assert table["update_ratio"].to_numpy().tobytes() == np.array(values, np.float32).tobytes()
    assert table["update_ratio"].null_count == 0  # NaN is a value, null is none


def test_what_float32_cannot_hold_is_infinite_without_a_warning() -> None:
    loss = as_table([chunk("steps", {"loss": [1e300, -1e300, float("nan")]})], TABLES["steps"])["loss"].to_pylist()
    assert loss[:2] == [np.inf, -np.inf]
    assert np.isnan(loss[2])


def test_a_single_value_stands_for_all_rows() -> None:
    rows = chunk("layers", {"step": 5, "kind": "conv", "weight_norm": np.arange(3.0), "stage": np.int64(2)})
    assert rows.rows == 3
    assert as_table([rows], TABLES["layers"]).to_pydict() == {
        "step": [5, 5, 5],
        "kind": ["conv"] * 3,
        "stage": [2, 2, 2],
        "weight_norm": [0.0, 1.0, 2.0],
    }
    assert chunk("evals", {"step": 1, "loss": 0.5}).rows == 1
    assert chunk("evals", {}).rows == 0


def test_what_is_handed_over_is_copied() -> None:
    buffer, words = np.ones(2), ["a", "b"]
    rows = chunk("mine", {"x": buffer, "word": words})
    buffer[:], words[0] = 7, "z"
    assert as_table([rows], NOTHING).to_pydict() == {"x": [1.0, 1.0], "word": ["a", "b"]}


def test_columns_may_come_and_go() -> None:
    chunks = [
        chunk("layers", {"step": [0], "weight_norm": [1.0]}),
        chunk("layers", {"step": [1], "stage": [2], "block": ["b"]}),
    ]
    table = as_table(chunks, TABLES["layers"])
    assert table.column_names == ["step", "stage", "block", "weight_norm"]
    assert table["stage"].to_pylist() == [None, 2]
    assert table["stage"].type == pa.int64()
    assert table["block"].to_pylist() == [None, "b"]
    assert np.isnan(table["weight_norm"].to_numpy()[1])


def test_tables_of_ones_own_take_their_types_from_the_values() -> None:
    rows = chunk("histograms", {"count": [3], "edge": [0.5], "of": ["output"], "sure": [True], "gap": [None]})
    assert as_table([rows], NOTHING).schema == pa.schema(
        [
            ("count", pa.int64()),
            ("edge", pa.float32()),
            ("of", pa.string()),
            ("sure", pa.bool_()),
            ("gap", pa.float32()),
        ]
    )


def test_tensors_are_taken() -> None:
    rows = chunk("layers", {"step": torch.tensor([1, 2]), "weight_norm": torch.ones(2, requires_grad=True), "depth": 1})
    assert as_table([rows], TABLES["layers"])["weight_norm"].to_pylist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"step": [1, 2], "loss": [0.5]}, "column 'loss' of table 'steps' has 1 rows where the others have 2"),
        ({"loss": [object()]}, "neither number nor word"),
        ({"loss": np.ones((2, 2))}, "is not one number or word a row"),
        ({"loss": [[1, 2], [3, 4]]}, "is not one number or word a row"),
        ({"loss": [1j]}, "is not one number or word a row"),
    ],
)
def test_what_is_no_table_is_told_at_once(columns: dict, words: str) -> None:
    with pytest.raises(LabError, match=words):
        chunk("steps", columns)
