"""Do pandas, DuckDB and Polars read from an export what the archive holds, bit for bit?"""

import duckdb
import numpy as np
import pandas as pd
import polars
import pytest

from labapp.exports import export, reading
from labapp.store import QUANTITIES, Run
from tests.exports.runs import full_run


def same(found, expected):
    """Whether two arrays of float32 have the same values, NaN at the same places."""
    np.testing.assert_array_equal(np.asarray(found, dtype=np.float32), np.asarray(expected, dtype=np.float32))


@pytest.fixture(autouse=True)
def _in_several_pieces(monkeypatch):
    monkeypatch.setattr(reading, "ROWS", 7)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    first = full_run(root, "one")
    second = full_run(root, "two", depth=56, width=8)
    second.write_probe("rank", 21, pd.DataFrame({"layer": ["a", "b"], "rank": [1.5, np.nan]}))
    return [first, second]


def by_pandas(path):
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def by_duckdb(path):
    return duckdb.sql(f"SELECT * FROM '{path}'").df()


def by_polars(path):
    read = polars.read_csv if path.suffix == ".csv" else polars.read_parquet
    return read(path, **({"infer_schema_length": None} if path.suffix == ".csv" else {})).to_pandas()


@pytest.mark.parametrize("read", [by_pandas, by_duckdb, by_polars])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_every_row_of_every_table_comes_back(runs, tmp_path, form, read):
    made = export(runs, form, tmp_path / "out")
    out = tmp_path / "out"
    assert {path.stem for path in out.glob(f"*.{form}")} == {"runs", *runs[0].tables()}
    rows = 2
    for name in runs[0].tables():
        found = read(out / f"{name}.{form}")
        rows += len(found)
        for run in runs:
            own, there = found[found["run"] == run.id], run.table(name).sort_values("step", kind="stable")
            assert len(own) == len(there) > 0
            for column in there:
                if not pd.api.types.is_numeric_dtype(there[column]):
                    assert own[column].tolist() == there[column].tolist()
                else:
                    same(own[column], there[column])
    probe = read(out / "probes" / f"rank.{form}")
    assert probe["run"].tolist() == ["two", "two"]
    same(probe["rank"], [1.5, np.nan])
    assert made.numbers == rows + 2
    assert made.whole
    about = read(out / f"runs.{form}").set_index("run")
    assert about["tags"].tolist() == ["good, with words"] * 2
    assert about["settings.depth"].tolist() == [20, 56]
    assert about.loc["two", "note"] == "as in | the *paper*"


def test_parquet_tells_nan_from_what_is_not_there(runs, tmp_path):
    export(runs, "parquet", tmp_path / "out")
    frame = polars.read_parquet(tmp_path / "out" / "layers.parquet")
    assert frame["output_grad_norm"].is_nan().sum() == 2
    assert frame["output_grad_norm"].null_count() == 0


def test_quantities_and_layers_are_chosen(runs, tmp_path):
    export(runs[0], "csv", tmp_path / "out", quantities="output_grad_norm", layers="linear,stage1.*")
    frame = pd.read_csv(tmp_path / "out" / "layers.csv")
    assert sorted(set(frame["layer"])) == ["head", "stage1.0.conv", "stage1.0.conv#2"]
    assert [name for name in frame if name in QUANTITIES] == ["output_grad_norm"]
    assert not (tmp_path / "out" / "histograms.csv").exists()


def test_layers_are_a_data_frame(runs):
    frame = Run(runs[0].path).layers(columns=["step", "layer", "output_grad_norm"], where={"kind": "conv"})
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 9
