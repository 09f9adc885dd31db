"""Does MLflow's client find in an export what the archive holds?"""

import math

import numpy as np
import pytest

from labapp.exports import export
from tests.exports.runs import STEPS, full_run

WHY = "the extra `export` is not installed: pip install 'labapp[export]'"
mlflow = pytest.importorskip("mlflow", reason=WHY)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SQLAlchemy, about MLflow


def test_a_run_is_read_back(tmp_path):
    run = full_run(tmp_path / "runs")
    made = export([run, full_run(tmp_path / "runs", "other", status="failed")], "mlflow", tmp_path / "out")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/out/mlflow.db")
    about = client.get_experiment_by_name("labapp")
    assert about.artifact_location == (tmp_path / "out" / "artifacts").as_uri()
    other, found = client.search_runs([about.experiment_id], order_by=["attributes.start_time DESC"])
    assert (found.info.status, other.info.status) == ("FINISHED", "FAILED")
    assert found.info.run_name == "the full one"
    assert found.data.params["depth"] == "20"
    tags = found.data.tags
    assert (tags["labapp.run"], tags["labapp.status"], tags["labapp.tag.good"]) == ("full", "finished", "true")
    assert tags["mlflow.note.content"] == "as in | the *paper*"

    def history(name):
        return {metric.step: metric.value for metric in client.get_metric_history(found.info.run_id, name)}

    steps = run.steps()
    assert history("train/loss") == {step: float(loss) for step, loss in zip(steps["step"], steps["loss"], strict=True)}
    values = history("gradients/output_grad_norm/001.stem.conv")
    assert sorted(values) == [0, 20]  # that of step 10 is infinite
    assert values[0] == float(np.float32(0.1))
    assert math.isnan(values[20])
    assert sorted(history("gradients/output_grad_norm/003.stage1.0.conv:2")) == list(STEPS)
    lost = "1 infinite values left out, which MLflow cannot keep"
    assert f"full: {lost}" in made.notes
    assert "full: 3 histograms left out, which MLflow cannot keep" in made.notes
