"""Does every recipe of docs/recipes.md run, and say what is in the archive?"""

import re
from pathlib import Path

import pytest

from labapp.store import list_runs

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "recipes.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_recipes_run_in_a_folder_with_an_archive(archive, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(archive.parent)
    names: dict = {}
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) > 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    runs = {run.id: run for run in list_runs("runs")}
    growth = {"plain-20": 1.2, "plain-56": 1.2, "residual-20": 1.12, "residual-56": 1.06, "dense-40": 1.05}

    first = next(iter(runs.values()))
    rows = first.experiment.depth - 2  # from the first convolution to the last
    assert names["vanishing"].to_numpy() == pytest.approx(growth[first.name] ** rows, rel=1e-4)  # of float32
    assert names["best"]["residual-20"] == pytest.approx(0.96)
    by_run = names["growth"].set_index(["run", "depth"])["norm"]
    for name, run in runs.items():
        factor = growth[run.name]
        assert by_run[name, 1] / by_run[name, 2] == pytest.approx(factor, rel=1e-5)
        depth = run.experiment.depth - 1
        own = names["norms"].filter(run=name, step=0)
        assert own["largest"].item() / own["smallest"].item() == pytest.approx(factor ** (depth - 1), rel=1e-4)
    assert set(names["last"]["step"]) == {20}
    assert names["last"]["loss"].to_numpy() == pytest.approx(2.3 / 21)
    assert len(names["table"]) == sum(len(run.layers()) for run in runs.values())
    assert names["settings"]["settings.depth"].to_dict() == {name: run.experiment.depth for name, run in runs.items()}
    assert [path.name for path in Path("logs").iterdir()]
