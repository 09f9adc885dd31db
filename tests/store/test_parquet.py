"""Does a file say of itself whether its footer is whole, and does every tool still read it?"""

from pathlib import Path

import duckdb
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labapp.store import parquet
from labapp.store.parquet import verify, write_table
from tests.store.examples import rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_table(rows(0, 99), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_every_tool_reads_a_sealed_file(path: Path) -> None:
    expected = rows(0, 99)
    assert parquet.SEAL in path.read_bytes()
    assert pq.read_table(path).equals(expected)
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected.to_pandas())
    assert polars.read_parquet(path)["loss"].to_list() == expected["loss"].to_pylist()
    assert polars.scan_parquet(path).filter(polars.col("step") > 90).collect()["step"].to_list() == [*range(91, 100)]
    assert duckdb.sql(f"SELECT sum(step) FROM '{path}' WHERE step > 90").fetchall() == [(sum(range(91, 100)),)]
    verify(path)


def test_every_wrong_bit_of_the_footer_is_noticed_before_it_is_read(path: Path) -> None:
    """Some of them end the process that reads on: nothing but `verify` may look."""
    whole = path.read_bytes()
    start = whole.index(parquet.SEAL)
    for at in range(start, len(whole)):
        for bit in (1, 16, 128):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            if at < start + len(parquet.SEAL):
                continue  # a footer without a seal is read as those of earlier versions; it is whole
            with pytest.raises(pa.ArrowInvalid):
                verify(path)


@pytest.mark.parametrize("cut", [0, 1, 3, 8, 50, 400])
def test_a_file_without_its_end_is_noticed(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:cut] if cut < 9 else path.read_bytes()[:-cut])
    with pytest.raises(pa.ArrowInvalid):
        verify(path)


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    pq.write_table(rows(0, 9), tmp_path / "a.parquet")
    verify(tmp_path / "a.parquet")
