"""Does a recorder that was interrupted write the rows of one that never was, in anybody's loop?"""

import copy
import io
import math

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from labapp.config import Experiment, LabError
from labapp.nets import build
from labapp.recording import Recorder, every, unwatch, watch
from labapp.recording.guard import RecorderWarning
from labapp.store import Run, RunWriter

TABLES = ("layers", "totals", "lifetimes", "histograms", "spreads")
STEPS = 12


class Skipping(nn.Module):
    """A net whose second layer is left out in every other step, as with stochastic depth."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12)
        self.last = nn.Linear(12, 10)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.calls += 1
        h = torch.relu(self.first(x.flatten(1)))
        if self.calls % 4 == 1:
            h = torch.relu(self.second(h))
        return self.last(h)


NETS = {
    "residual": (lambda: build("residual", depth=8, width=4), (3, 16, 16)),
    "dense": (lambda: build("dense", depth=10, growth_rate=4, dropout=0.2), (3, 16, 16)),
    "skipping": (Skipping, (3, 2, 2)),
}


def made(name):
    torch.manual_seed(0)
    net = NETS[name][0]()
    return net, torch.optim.SGD(net.parameters(), lr=3.0, momentum=0.9)


def trained(name, net, optimizer, recorder, steps):
    for step in steps:
        torch.manual_seed(step)
        x, y = torch.randn(8, *NETS[name][1]), torch.arange(8)
        with recorder.step():
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()


def recorder_of(net, optimizer, **options):
    return Recorder(net, optimizer, when=every(2), histograms=every(4), spreads=every(4), **options)


@pytest.mark.parametrize("name", ["residual", "dense", "skipping"])
@pytest.mark.parametrize("at", [1, 5, 6])
def test_the_rows_of_two_parts_are_those_of_one(name, at):
    net, optimizer = made(name)
    with recorder_of(net, optimizer) as recorder:
        trained(name, net, optimizer, recorder, range(STEPS))
    whole = {table: recorder.table(table) for table in TABLES}
    report, cost = recorder.report(), recorder.cost

    net, optimizer = made(name)
    with recorder_of(net, optimizer) as first:
        trained(name, net, optimizer, first, range(at))
        buffer = io.BytesIO()
        torch.save(first.state_dict(), buffer)
        kept = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
        trained(name, net, optimizer, first, range(at, at + 2))  # what comes after the state is not in it
    before = {table: first.table(table) for table in TABLES}

    net, optimizer = made(name)
    net.load_state_dict(kept[0])
    optimizer.load_state_dict(kept[1])
    buffer.seek(0)
    with recorder_of(net, optimizer) as second:
        second.load_state_dict(torch.load(buffer, weights_only=True))
        assert second.steps_done == at
        trained(name, net, optimizer, second, range(at, STEPS))
    for table in TABLES:
        old = before[table]
        joined = pd.concat([old[old["step"] < at] if len(old) else old, second.table(table)], ignore_index=True)
        assert whole[table].equals(joined), table
    assert second.layers == recorder.layers
    assert second.report() == report
    assert second.cost["recorded_steps"] == cost["recorded_steps"] == STEPS // 2
    assert second.cost["notes"] == cost["notes"]


def test_what_is_recorded_before_the_state_is_handed_on_first(monkeypatch):
    monkeypatch.setattr("labapp.recording.recorder.FLUSH_SECONDS", math.inf)
    rows = []

    class Sink:
        def write(self, table, columns):
            rows.extend(columns["step"] if table == "totals" else [])

        def describe(self, layers, recorder):
            pass

    net, optimizer = made("residual")
    with recorder_of(net, optimizer, sink=Sink()) as recorder:
        trained("residual", net, optimizer, recorder, range(5))
        assert rows == []
        recorder.state_dict()
        assert rows == [0, 2, 4]


def test_a_state_of_another_net_or_after_the_first_step_is_refused():
    net, optimizer = made("residual")
    with recorder_of(net, optimizer) as recorder:
        trained("residual", net, optimizer, recorder, range(1))
        state = recorder.state_dict()
        with pytest.raises(LabError, match="takes a state before its first step; make a new one"):
            recorder.load_state_dict(state)
    for other in (
        recorder_of(*made("dense")),
        recorder_of(*made("residual"), layers="conv"),
        recorder_of(build("residual", depth=8, width=6), None),
    ):
        with pytest.raises(LabError, match="is of another net, or of other layers of it"):
            other.load_state_dict(state)
    for nonsense in ({}, {"net": 3}, {**state, "study": {}}, {**state, "accounts": None}):
        with pytest.raises(LabError, match=r"another net|no state of a recorder"):
            recorder_of(*made("residual")).load_state_dict(nonsense)


def test_other_kernels_are_told():
    net, optimizer = made("residual")
    with recorder_of(net, optimizer) as recorder:
        trained("residual", net, optimizer, recorder, range(3))
        state = recorder.state_dict()
    state["kernels"] = "by hand"
    other = recorder_of(*made("residual"))
    with pytest.warns(RecorderWarning, match=r"sums were taken otherwise before step 3 \(by hand\) than from there on"):
        other.load_state_dict(state)
    assert len(other.notes) == 1


def test_a_loop_of_my_own_goes_on_in_its_run(tmp_path):
    """As README has it: the recorder's state beside the net's and the optimizer's, in a checkpoint of the run."""

    def begun(writer, at, state=None):
        net, optimizer = made("dense")
        if state is not None:
            net.load_state_dict(load_file(Run(writer.path).checkpoint_path(at)))
            optimizer.load_state_dict(state["optimizer"])
        recorder = recorder_of(net, optimizer, sink=writer)
        if state is not None:
            recorder.load_state_dict(state["recorder"])
        return net, optimizer, recorder

    runs = []
    for name, parts in {"whole": [(0, STEPS, STEPS)], "cut": [(0, 5, 8), (5, STEPS, STEPS)]}.items():
        state = None
        for first, kept, last in parts:
            path = tmp_path / name
            writer = (
                RunWriter(path, from_step=first)
                if first
                else RunWriter.create(tmp_path, Experiment(steps=STEPS), run_id=name)
            )
            net, optimizer, recorder = begun(writer, first, state)
            with writer, recorder:
                trained("dense", net, optimizer, recorder, range(first, kept))
                buffer = io.BytesIO()
                torch.save({"optimizer": optimizer.state_dict(), "recorder": recorder.state_dict()}, buffer)
                writer.checkpoint(kept, net.state_dict(), buffer.getvalue())
                trained("dense", net, optimizer, recorder, range(kept, last))
            state = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
        runs.append((Run(tmp_path / name), state))
    (whole, one), (cut, two) = runs
    for table in TABLES:
        assert whole.table(table).reset_index(drop=True).equals(cut.table(table).reset_index(drop=True)), table
    assert all(
        torch.equal(one["optimizer"]["state"][n]["momentum_buffer"], m["momentum_buffer"])
        for n, m in two["optimizer"]["state"].items()
    )


@pytest.mark.parametrize("at", [1, 5, 6])
def test_a_watched_model_goes_on(at):
    def stepped(net, optimizer, steps):
        for step in steps:
            torch.manual_seed(step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(torch.randn(8, *NETS["dense"][1])), torch.arange(8)).backward()
            optimizer.step()

    net, optimizer = made("dense")
    watched = watch(net, optimizer, runs=None, when=every(2))
    stepped(net, optimizer, range(STEPS))
    whole = {table: watched.recorder.table(table) for table in TABLES}
    unwatch(net)

    net, optimizer = made("dense")
    watched = watch(net, optimizer, runs=None, when=every(2))
    stepped(net, optimizer, range(at))
    state = watched.recorder.state_dict()
    before = {table: watched.recorder.table(table) for table in TABLES}
    unwatch(net)
    watched = watch(net, optimizer, runs=None, when=every(2), state=state)
    stepped(net, optimizer, range(at, STEPS))
    for table in TABLES:
        joined = pd.concat([before[table], watched.recorder.table(table)], ignore_index=True)
        assert whole[table].equals(joined), table
    unwatch(net)
