"""Tables whose folder is there and whose rows are not: a training that has just begun, a part that is damaged."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from labapp import frames
from labapp.config import Experiment
from labapp.frames.beyond import events
from labapp.recording import Recorder, every
from labapp.store import Run, RunWriter
from labapp.store.schema import FURTHER

READERS = {
    "totals": lambda run: [frames.whole_steps([run]), frames.dead_spans([run])],
    "lifetimes": lambda run: [frames.dead_spans([run])],
    "histograms": lambda run: [frames.magnitudes(run, "0", "output"), frames.layers_with(run, "histograms")],
    "spreads": lambda run: [frames.spread(run, "0", "output"), frames.layers_with(run, "spreads")],
    "divergence": lambda run: [events(run)],
}


@pytest.fixture
def run(tmp_path):
    """A run that wrote all its tables: channels that die, values that are lost."""
    writer = RunWriter.create(tmp_path, Experiment(family="plain", depth=8))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    options = {"when": every(1), "histograms": every(1), "spreads": every(1)}
    with Recorder(net, optimizer, sink=writer, **options) as recorder:
        for bias in (0.0, -1e3, np.nan):
            net[0].bias.detach().fill_(bias)
            with recorder.step():
                optimizer.zero_grad()
                net(torch.randn(16, 8)).square().sum().backward()
                optimizer.step()
    return writer.finish("finished")


def test_columns_are_known_as_they_are_written(run):
    assert set(run.tables()) >= set(FURTHER)
    for name, known in FURTHER.items():
        found = pa.unify_schemas(
            [pq.read_schema(path).remove_metadata() for path in (run.path / name).rglob("*.parquet")]
        )
        assert found == known, name


@pytest.mark.parametrize("state", ["begun", "damaged"])
@pytest.mark.parametrize("table", FURTHER)
def test_a_table_without_a_row_that_can_be_read_is_an_empty_one(run, table, state):
    for path in (run.path / table).rglob("*.parquet"):
        path.unlink() if state == "begun" else path.write_bytes(b"damaged")
    run = Run(run.path)
    assert table in run.tables()
    whole = run.table(table)
    assert list(whole) == FURTHER[table].names
    assert whole.empty
    READERS[table](run)
