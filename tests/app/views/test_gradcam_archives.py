"""The Grad-CAM page on archives as people have them."""

import shutil
from pathlib import Path

from labapp.store import list_runs
from tests.app.pages import rows, settled


def test_runs_without_a_checkpoint(archive, open_gradcam):
    app = open_gradcam(archive)
    assert app.title[0].value == "None of the chosen runs kept a checkpoint."
    assert "--checkpoints" in app.caption[-1].value or any("--checkpoints" in each.value for each in app.caption)


def test_a_run_without_a_checkpoint_is_named(trained, open_gradcam, tmp_path, record):
    root = Path(shutil.copytree(trained, tmp_path / "runs"))
    record(root, family="residual", depth=20)
    app = open_gradcam(root)
    assert any("Left out, because no checkpoint was kept: residual-20." in caption.value for caption in app.caption)
    assert rows(app) == 4


def test_an_empty_archive(tmp_path, open_gradcam):
    assert open_gradcam(tmp_path / "nothing").title[0].value == "Nothing is recorded here yet."


def test_no_run_chosen(trained, open_gradcam):
    app = open_gradcam(trained)
    settled(app.multiselect(key="runs").set_value([]).run())
    assert app.title[0].value == "No run is chosen."


def test_a_checkpoint_of_another_net_is_one_sentence_and_the_others_are_shown(trained, open_gradcam, tmp_path):
    root = Path(shutil.copytree(trained, tmp_path / "runs"))
    by_name = {run.name: run for run in list_runs(root)}
    by_name["vgg-11"].checkpoint_path().write_bytes(by_name["plain-8"].checkpoint_path().read_bytes())
    app = open_gradcam(root)
    assert any("holds weights of another net" in error.value for error in app.error)
    assert rows(app) == 3


def test_runs_on_other_images_are_named(trained, open_gradcam, tmp_path, record):
    from labapp.config import Experiment
    from labapp.training.loop import train

    root = Path(shutil.copytree(trained, tmp_path / "runs"))
    train(
        Experiment(
            family="vgg", depth=11, width=2, imageset="digits", steps=1, batch_size=8, record="none", device="cpu"
        ),
        root,
    )
    app = open_gradcam(root)
    assert any("saw other images" in caption.value for caption in app.caption)
