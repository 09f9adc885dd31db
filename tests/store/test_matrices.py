"""Does a table say the same as matrices and as rows, whatever lies in its files?"""

import numpy as np
import pandas as pd
import pytest

from labapp.config import Experiment
from labapp.store import UNKNOWN, Run, RunWriter
from labapp.store.parquet import ROW_GROUP

NAMES = ["output_std", "weight_norm"]


def experiment():
    return Experiment(family="plain", depth=8, steps=1000)


def same(run, since=None):
    """Asserts that the matrices hold each row once, and nothing else."""
    found = run.matrices(NAMES, since)
    rows = run.layers(columns=["step", "layer", "depth", *NAMES])
    rows = rows[rows["step"] >= (since or 0)]
    assert found.there.sum() == len(rows)
    assert list(found.steps) == sorted(set(rows["step"]))
    row = {step: at for at, step in enumerate(found.steps)}
    column = {place: at for at, place in enumerate(found.places)}
    assert list(column) == list(dict.fromkeys(zip(rows["layer"].fillna(""), rows["depth"].fillna(-1), strict=True)))
    for name in NAMES:
        ours = [
            found.columns[name][row[step], column[layer, depth]]
            for step, layer, depth in zip(rows["step"], rows["layer"].fillna(""), rows["depth"].fillna(-1), strict=True)
        ]
        assert np.array_equal(np.array(ours, np.float32), rows[name].to_numpy(np.float32), equal_nan=True)
        assert np.isnan(found.columns[name][~found.there]).all()
    return found


def test_layers_that_come_and_go(tmp_path):
    random = np.random.default_rng(0)
    with RunWriter.create(tmp_path, experiment()) as writer:
        for step in range(200):
            there = np.flatnonzero(random.random(12) < 0.7)
            value = random.choice([np.nan, np.inf, -np.inf, 0.0, 1.5, 1e-30], len(there))
            layers = [f"l{at}" for at in there]
            # of odd steps one quantity alone; a layer that was replaced stands elsewhere in the second half
            own = {"output_std": value} | ({"weight_norm": 2 * value} if step % 2 else {})
            depth = there + (there == 3) * (step > 100)
            writer.write("layers", {"step": step, "layer": layers, "depth": depth, **own})
            if step % 17 == 0:
                writer.flush()
    found = same(writer.run)
    assert ("l3", 3) in found.places
    assert ("l3", 4) in found.places
    assert found.rows == len(writer.run.layers())
    assert same(writer.run, since=190).rows == found.rows
    assert len(same(writer.run, since=5000).steps) == 0


@pytest.mark.parametrize(
    ("steps", "layers"),
    [
        ([0, 0, 1, 1, 2, 2], "ababab"),  # nothing but whole steps
        ([0, 0, 1, 1, 2, 2], "ababba"),  # in another order
        ([0, 0, 1, 1, 2, 2], "ababaa"),  # one layer twice
        ([1, 1, 0, 0, 2, 2], "ababab"),  # steps that do not ascend
        ([0, 0, 1, 0, 2, 2], "ababab"),
        ([0, 0, 1, 2, 2, 2], "ababab"),  # as many rows, of other steps
        ([0, 1, 1, 2, 2, 2], "ababab"),
        ([0, 1, 2], "aaa"),
        ([0, 0, 0], "abc"),
    ],
)
def test_rows_that_fill_the_matrices_in_order_and_rows_that_nearly_do(tmp_path, steps, layers):
    depth = [ord(layer) for layer in layers]
    rows = {"step": steps, "layer": list(layers), "depth": depth, "output_std": np.arange(1.0, len(steps) + 1)}
    with RunWriter.create(tmp_path, experiment()) as writer:
        writer.write("layers", rows)
    found = writer.run.matrices(["output_std"])
    last = {key: value for *key, value in zip(steps, layers, rows["output_std"], strict=True) for key in [tuple(key)]}
    assert (list(found.steps), found.places) == (
        sorted(set(steps)),
        [(each, ord(each)) for each in sorted(set(layers))],
    )
    held = {
        (step, layer): value
        for step, own in zip(found.steps, found.columns["output_std"], strict=True)
        for (layer, _), value in zip(found.places, own, strict=True)
        if not np.isnan(value)
    }
    assert held == last
    assert found.there.sum() == len(last)


def test_row_groups_before_the_step_are_not_read(tmp_path, monkeypatch):
    with RunWriter.create(tmp_path, experiment()) as writer:
        layers = [f"l{at}" for at in range(700)]
        for step in range(400):
            writer.write("layers", {"step": step, "layer": layers, "depth": range(700), "output_std": float(step)})
    read, group = [], __import__("pyarrow.parquet").parquet.ParquetFile.read_row_groups
    monkeypatch.setattr(
        "pyarrow.parquet.ParquetFile.read_row_groups",
        lambda file, groups, **options: read.append(len(groups)) or group(file, groups, **options),
    )
    found = writer.run.matrices(["output_std"], since=399)
    assert found.there.shape == (1, 700)
    assert 1 <= sum(read) <= 2 < 400 * 700 // ROW_GROUP  # two, where a flush meanwhile has a group begin within a step


def test_a_table_of_nothing(tmp_path):
    with RunWriter.create(tmp_path, experiment()) as writer:
        found = writer.run.matrices(NAMES)
    assert found.there.shape == found.columns["output_std"].shape == (0, 0)


def test_tables_of_others_may_lack_depths(tmp_path):
    with RunWriter.create(tmp_path, experiment()) as writer:
        writer.write("layers", {"step": [0, 0, 1], "layer": ["a", "b", "a"], "output_std": [1.0, 2.0, 3.0]})
        writer.flush()
        writer.write("layers", {"step": [2], "layer": ["a"], "depth": [1], "output_std": [4.0]})
    same(writer.run)


def test_a_damaged_file_is_left_out_and_named(tmp_path):
    with RunWriter.create(tmp_path, experiment()) as writer:
        for step in (0, 1):
            writer.write("layers", {"step": step, "layer": ["a"], "depth": [1], "output_std": [1.0]})
            writer.flush()
    run = Run(writer.run.path)
    part = sorted(run.path.glob("layers/**/*.parquet"))[-1]
    bytes_ = bytearray(part.read_bytes())
    bytes_[20] ^= 255
    part.write_bytes(bytes_)
    found = run.matrices(["output_std"])
    assert any(part.name in problem for problem in run.damage)
    assert found.there.sum() == len(run.layers())


def test_rows_that_a_later_attempt_replaced_do_not_count(tmp_path):
    with RunWriter.create(tmp_path, experiment()) as writer:
        for step in range(10):
            writer.write("layers", {"step": step, "layer": ["a"], "depth": [1], "output_std": [1.0]})
    with RunWriter(writer.run.path, from_step=6) as writer:
        writer.write("layers", {"step": [6], "layer": ["a"], "depth": [1], "output_std": [2.0]})
    found = same(writer.run)
    assert list(found.columns["output_std"][:, 0]) == [1.0] * 6 + [2.0]
    assert found.rows in (7, UNKNOWN)


@pytest.mark.parametrize("rows", [1, 3])
def test_of_two_rows_of_a_layer_and_step_the_later_one_counts(tmp_path, rows):
    with RunWriter.create(tmp_path, experiment()) as writer:
        for value in range(rows):
            writer.write("layers", {"step": [0], "layer": ["a"], "depth": [1], "output_std": [float(value)]})
            writer.flush()
    assert writer.run.matrices(["output_std"]).columns["output_std"].tolist() == [[rows - 1.0]]
    assert isinstance(writer.run.layers(), pd.DataFrame)
