"""A browser and a server for all tests, and archives in each state that a page can meet."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from labapp.config import Experiment
from labapp.store import list_runs
from tests.browser.lab import Lab, opened, served, why_none
from tests.conftest import MadeOnce, record_run
from tests.training.small import small


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser its tests are skipped, and say why; with one, each may take as long as a busy machine needs."""
    here, reason = Path(__file__).parent, why_none()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one server for the archives of all tests; an import of torch each would be most of their time."""
    with served(tmp_path_factory.mktemp("empty"), LABAPP_ROOTS=str(tmp_path_factory.getbasetemp())) as address:
        yield address


OpenLab = Callable[..., Lab]


@pytest.fixture
def open_lab(browser: Any, server: str) -> Iterator[OpenLab]:
    """Open the app on an archive in a tab of its own."""
    with ExitStack() as stack:
        yield lambda root, **options: stack.enter_context(opened(browser, server, archive=str(root), **options))


@pytest.fixture(scope="session")
def diverged_run(made_once: MadeOnce) -> Path:
    from labapp.training.loop import train

    return made_once("diverged", lambda root: train(small(norm="none", learning_rate=1e4, steps=20), root))


@pytest.fixture(scope="session")
def foreign_run(made_once: MadeOnce) -> Path:
    from labapp.training.loop import train

    about = {"steps": 2, "batch_size": 8, "train_images": 32, "test_images": 20, "device": "cpu"}
    net = Experiment(net="torchvision:shufflenet_v2_x0_5", record_every=1, eval_every=2, checkpoints=2, **about)
    return made_once("foreign", lambda root: train(net, root))


def broken(root: Path) -> Path:
    """Three runs: one whose record is damaged, one of whose tables has a damaged file, and a whole one."""
    for seed in range(3):
        record_run(root, seed=seed, recorded=(0, 10), run_id=f"plain-20-{seed}")
    (root / "plain-20-0" / "run.json").write_text("{")
    part = next((root / "plain-20-1" / "layers").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-40])
    return root


@pytest.fixture
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive in the state that the test's parameter names."""
    root = tmp_path / "runs"
    if request.param == "no run":
        root.mkdir()
    elif request.param == "one run":
        shutil.copytree(request.getfixturevalue("_digit_nets") / "residual", root / "residual")
    elif request.param == "live":
        record_run(root, status=None)
    elif request.param == "broken":
        broken(root)
    elif request.param == "thirty runs":
        for number in range(30):
            record_run(root, seed=number % 3, depth=20 + 6 * (number // 3), recorded=(0, 10), steps=11)
    else:
        shutil.copytree(request.getfixturevalue(f"{request.param}_run"), root)
    assert request.param in ("no run", "broken") or list_runs(root)
    return root
