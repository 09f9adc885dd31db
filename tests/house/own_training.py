"""Somebody's own training, and what can be asked of its runs: what the light install has to do, run by `light.py`."""

import contextlib
import io
import json
from pathlib import Path

import torch
from torch import nn

from labapp.commands.cli import COMMANDS, main
from labapp.config import Experiment
from labapp.recording import Recorder, every, unwatch, watch
from labapp.store import RunWriter, list_runs


class Net(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores."""
        return self.second(torch.relu(self.first(x)))


def learn(net, optimizer, recorder=None):
    """Four steps on random numbers."""
    for _ in range(4):
        with recorder.step() if recorder else contextlib.nullcontext():
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(torch.randn(16, 8)), torch.randint(0, 3, (16,))).backward()
            optimizer.step()


def typed(*words):
    """What a command prints, with its exit code."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return code, out.getvalue() + err.getvalue()


torch.manual_seed(0)
watched = Net()
descent = torch.optim.SGD(watched.parameters(), lr=0.1)
watch(watched, descent, runs="runs", when=every(2))
learn(watched, descent)
unwatch(watched)

recorded = Net()
descent = torch.optim.AdamW(recorded.parameters())
about = Experiment(net="own:Net", imageset="folder", steps=4)
with (
    RunWriter.create("runs", about) as writer,
    Recorder(recorded, descent, when=every(1), sink=writer) as recorder,
):
    learn(recorded, descent, recorder)
last, first = list_runs("runs")
assert [len(run.layers()) for run in (last, first)] == [8, 4]  # steps × layers
assert (last.layers()["weight_norm"] > 0).all()

for words in (
    ("--help",),
    ("runs", "list"),
    ("runs", "list", "--json"),
    ("runs", "show", last.id),
    ("runs", "check"),
    ("runs", "compare", first.id, last.id),
    ("diagnose", last.id),
    ("claims",),
    ("train", "--help"),
):
    code, said = typed(*words)
    assert code == 0, (words, said)
    assert last.id in said or words[-1] != "list", said

code, said = typed("doctor", "--json")
found = json.loads(said)
assert (code, found["runs"]["runs"]) == (0, 2)
assert not found["extras"]["lab"]["installed"]
assert "streamlit" in found["extras"]["lab"]["missing"]
code, said = typed("doctor")
assert all(f"pip install 'labapp[{extra}]'" in " ".join(said.split()) for extra in ("lab", "cluster")), said

for name, command in COMMANDS.items():  # what needs more says so, before anything is begun
    if command.needs:
        words = [*name.split(), *{"sweep": ["sweep.yaml"], "explain": ["it"]}.get(name, [])]
        code, said = typed(*words)
        assert (code, said.count("\n")) == (2, 1), (name, said)
        assert said.startswith(f"labapp: `labapp {name}` needs "), said
        assert said.endswith("`pip install 'labapp[lab]'` installs them\n"), said

for source, extra in {"torchvision": "lab", "timm": "timm"}.items():
    code, said = typed("doctor", f"{source}:resnet18")
    needed = f"{source}:resnet18 needs {source}, which is not installed; `pip install 'labapp[{extra}]'` installs it\n"
    assert (code, said.partition("labapp: ")[2]) == (2, needed), said
Path("own_nets.py").write_text(
    "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    "        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))\n"
)
code, said = typed("doctor", "own_nets:Net", "--image-size", "8", "--batch-size", "2")
assert code == 0, said
code, said = typed("runs", "list", "--root", "s3://bucket/runs")
assert code == 2, said
assert said.endswith("needs s3fs, which is not installed; `pip install 'labapp[s3]'` installs it\n"), said
