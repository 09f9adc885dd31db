"""Does the reader that Weights & Biases brings find in an export what the archive holds?"""

import json
import subprocess
import sys

import numpy as np
import pytest

from labapp.exports import export
from tests.exports.runs import STEPS, full_run

WHY = "the extra `export` is not installed: pip install 'labapp[export]'"
pytest.importorskip("wandb", reason=WHY)


def records(folder):
    """What `wandb leet inspect` reads in the log of an offline run."""
    (log,) = folder.glob("wandb/offline-run-*-full/run-full.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in said.splitlines()]


def test_a_run_is_read_back(tmp_path):
    run = full_run(tmp_path / "runs")
    made = export(run, "wandb", tmp_path / "out")
    found = records(tmp_path / "out")
    curves = {}
    for record in found:
        item = record.get("history", {}).get("item", {})
        for name, value in item.items():
            if not name.startswith("_") and name != "step":
                curves.setdefault(name, {})[item["step"]] = value
    histogram = "histograms/output/001.stem.conv"
    parts = [curves.pop(f"{histogram}.{part}") for part in ("_type", "bins", "values")]
    assert [part[10] for part in parts] == ["histogram", [-3, -2, -1, 0], [1, 0, 5]]
    assert len(curves) == made.curves - 1

    steps = run.steps()
    assert {step: np.float32(loss) for step, loss in curves["train/loss"].items()} == dict(
        zip(steps["step"], steps["loss"], strict=True)
    )
    first = {0: float(np.float32(0.1)), 10: "Infinity", 20: "NaN"}  # as W&B writes them in JSON
    assert curves["gradients/output_grad_norm/001.stem.conv"] == first
    assert sorted(curves["gradients/output_grad_norm/003.stage1.0.conv:2"]) == list(STEPS)

    about = next(record["run"] for record in found if record["type"] == "run")
    assert (about["run_id"], about["display_name"], about["notes"]) == ("full", "the full one", "as in | the *paper*")
    assert about["tags"] == ["good", "with words"]
    assert about["config"]["update"]["depth"] == 20
    assert about["config"]["update"]["labapp"]["status"] == "finished"
    axes = [record["metric"] for record in found if record["type"] == "metric"]
    assert {"glob_name": "*", "step_metric": "step"}.items() <= axes[1].items()
    assert next(record["exit"] for record in found if record["type"] == "exit")["exit_code"] == 0
