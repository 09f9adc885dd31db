"""A model copied, saved or pickled within a recorded step, and then used: as if it had never been recorded."""

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from labapp.recording import Recorder, every
from tests.recording.nets import hooks_of, state_of
from tests.recording.scenarios import data, mlp
from tests.recording.witness import Residual


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), Residual(mlp(8, 8, 8)), Residual(mlp(8, 8, 8)), nn.Linear(8, 3))


def saved(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "torch.save": saved,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "AveragedModel": lambda model: AveragedModel(model).module,
    "deepcopy with its optimizer's list": lambda model: copy.deepcopy([model, {"of": model}])[0],
}


def train(model, number, recorder=None, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), 0.1)
    optimizer.zero_grad()
    model(data(number, 4, 6)).pow(2).mean().backward()
    optimizer.step()


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("when", ["before forward", "between forward and backward", "after the step"])
def test_a_copy_within_a_step_behaves_as_never_recorded(how, when):
    model, optimizer = net(), None
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    other = net()
    with Recorder(model, optimizer, when=every(1)) as recorder, recorder.step():
        if when == "before forward":
            twin = COPIES[how](model)
        loss = model(data(0, 4, 6)).pow(2).mean()
        if when.startswith("between"):
            twin = COPIES[how](model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if when == "after the step":
            twin = COPIES[how](model)
            train(other, 0)
        twin.zero_grad()
        other.zero_grad()
        train(twin, 5)  # within the recorded step of the other
    train(other, 5)
    assert recorder.cost["missing_steps"] == []
    assert len(recorder.table()) == len({row["path"] for row in recorder.layers})
    right = Recorder(net(), when=every(1))
    with right, right.step():
        train(right.model, 0)
    for name in ("output_mean", "output_grad_norm", "weight_grad_norm", "update_ratio"):
        assert recorder.table()[name].to_numpy() == pytest.approx(right.table()[name].to_numpy(), nan_ok=True), name
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), other.parameters(), strict=True))
    assert hooks_of(model) == 0
    # Stand-ins of our hooks may be left on the copy: they do nothing, and it can be recorded itself.
    with Recorder(twin, when=every(1)) as own, own.step():
        train(twin, 6)
    with Recorder(other, when=every(1)) as expected, expected.step():
        train(other, 6)
    assert own.table().equals(expected.table())
    assert all(torch.equal(a, b) for a, b in zip(state_of(twin), state_of(other), strict=True))
    twin = COPIES[how](twin)  # and copied again
    train(twin, 7)


def test_a_model_saved_within_a_step_loads_without_labapp(tmp_path):
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with Recorder(model, when=every(1)) as recorder, recorder.step():
        model(data(0, 4, 6)).sum().backward()
        torch.save(model, tmp_path / "model.pt")
    program = (
        "import sys; sys.modules['labapp'] = None; import torch; "
        f"m = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False); m(torch.zeros(2, 6)).sum().backward()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
