"""The app's pages, opened from its entrypoint on real small runs that were probed."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from labapp.app import questions
from labapp.commands import cli
from labapp.config import Experiment
from labapp.store import index, list_runs
from tests.app.pages import MAIN, go, settled
from tests.conftest import MadeOnce

OpenPage = Callable[..., AppTest]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenPage]:
    """Open a page of the app (by default the first) on an archive, with an address."""
    path, strings = list(sys.path), pd.get_option("mode.string_storage")
    monkeypatch.setattr(questions, "CALM", 600.0)  # no training is timed behind a form that is only looked at

    def opened(root: Path, page: str | None = None, **address: str) -> AppTest:
        monkeypatch.setenv("LABAPP_RUNS", str(root))
        for rest in ("SHARE", "REST"):  # a page looks at once, also on a busy machine
            monkeypatch.setattr(index, rest, 0)
        monkeypatch.setenv("LABAPP_DATA", "")  # as the entrypoint sets it, for this test alone
        app = AppTest.from_file(str(MAIN), default_timeout=150)
        for name, value in address.items():
            app.query_params[name] = value
        if page:  # as whoever follows a link to it, and not by Overview
            return go(app, page)
        app.run()
        assert not app.exception, app.exception[0].stack_trace
        return app

    yield opened
    sys.path[:] = path
    pd.set_option("mode.string_storage", strings)  # that is the app's process's alone


@pytest.fixture
def open_gradcam(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> OpenPage:
    """Open the Grad-CAM page, where scores are over a few images, and wait for its answers."""
    monkeypatch.setattr(questions, "IMAGES", 24)
    return lambda root, **address: settled(open_page(root, "gradcam", **address))


@pytest.fixture(scope="session")
def _probed(made_once: MadeOnce) -> Path:
    from labapp.training.loop import train

    def make(root: Path) -> None:
        nets = (
            {"family": "plain", "depth": 8},
            {"family": "residual", "depth": 8},
            {"family": "residual", "depth": 8, "seed": 1},
            {"family": "dense", "depth": 10, "growth_rate": 4},
        )
        small = {
            "steps": 6,
            "batch_size": 16,
            "train_images": 160,
            "test_images": 60,
            "checkpoints": 2,
            "device": "cpu",
        }
        for net in nets:
            train(Experiment(**{"width": 4, "record_every": 2, "eval_every": 6} | net | small), root)
        ids = [run.id for run in list_runs(root)]
        names = "architecture stages stacks growth feature_reuse reuse_observations similarity by_depth level_gradients"
        assert cli.main(["probe", *ids, "--quantities", *names.split(), "--root", str(root)]) == 0

    return made_once("probed-of-the-app", make)


@pytest.fixture
def probed(_probed: Path, tmp_path: Path) -> Path:
    """A plain, two residual (seeds 0 and 1) and a dense net, trained for six steps and probed."""
    return Path(shutil.copytree(_probed, tmp_path / "runs"))
