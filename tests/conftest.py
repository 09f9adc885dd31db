"""Archives to test against: real runs, written by RunWriter, whose numbers have a closed form."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from labapp.commands.workers import cores
from labapp.config import Experiment
from labapp.store import Run, RunWriter

RecordRun = Callable[..., Run]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]
WAITING = {"browser", "test_sweep_ray.py"}


@pytest.hookimpl(optionalhook=True)  # without xdist there is no such question
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a test that waits for a server, a browser or a process leaves its core free."""
    return cores() + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for a browser or a cluster comes first: begun last, it would keep one process busy and no other."""
    items.sort(key=lambda item: not WAITING.intersection(item.path.parts))


settings.register_profile("labapp", deadline=None)  # how long an example takes is no property of the code
settings.load_profile("labapp")
os.environ["COLUMNS"] = "160"  # what a command prints is wrapped at the same place in every terminal, and in none
# The same kernels on a busy machine as on a quiet one: what the tests are must not hang on a timing.
os.environ.setdefault("LABAPP_KERNELS", "compiled")
os.environ.setdefault("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "false")  # as `labapp app` has it
os.environ.setdefault("LABAPP_WARM", "0")  # nets are asked by the tests that ask them, not behind every page


def record_run(
    root: Path,
    *,
    growth: float = 1.2,
    recorded: tuple[int, ...] = (0, 10, 20, 30),
    layers: int | None = None,
    accuracy: float = 0.9,
    nan_from: int | None = None,
    status: str | None = "finished",
    run_id: str | None = None,
    **experiment: object,
) -> Run:
    """A run whose gradient norm is exactly `growth` ** (layers − depth) / (1 + step) at the output of every layer.

    The loss falls as 2.3 / (1 + step), the test accuracy rises linearly to `accuracy`. From step `nan_from` on all
    numbers are NaN. `layers` is the number of convolutions, by default the depth without the classifier. With
    `status=None` the run is left unfinished, being written by this process.
    """
    chosen = Experiment(**{"family": "plain", "depth": 20, "steps": recorded[-1] + 1 if recorded else 30} | experiment)
    count = (chosen.depth or 0) - 1 if layers is None else layers
    places = [
        {
            "path": _path(chosen, i, count).replace("conv", kind),
            "kind": kind,
            "depth": i + 1,
            "relative_depth": i / count if count else 0.0,
            "stage": 1 + 3 * i // max(1, count),
            "block": "",
        }
        for i in range(count)
        for kind in ("conv", "norm")
    ]
    depth = np.array([place["depth"] for place in places])

    def broken(step: int) -> bool:
        return nan_from is not None and step >= nan_from

    writer = RunWriter.create(root, chosen, run_id=run_id)
    sizes = [{"shape": [8, 4, 4], "parameters": 8} for _ in places]
    if places:  # the first layer sees three colours and 24 pixels a side
        sizes[0] = {"shape": [chosen.width or 8, 24, 24], "parameters": 27 * (chosen.width or 8)}
    writer.describe([{"index": i} | sizes[i] | place for i, place in enumerate(places)], {"share": 0.03})
    for step in range(chosen.steps):
        loss = float("nan") if broken(step) else 2.3 / (1 + step)
        writer.write("steps", {"step": [step], "loss": [loss], "accuracy": [min(1.0, step / chosen.steps)]})
    for step in recorded if places else ():
        norm = np.full(len(places), np.nan) if broken(step) else growth ** (count - depth.astype(float)) / (1 + step)
        columns = {key: [place[key] for place in places] for key in places[0] if key != "path"}
        writer.write(
            "layers",
            {"step": step, "layer": [place["path"] for place in places]}
            | columns
            | {
                "output_grad_norm": norm,
                "weight_grad_norm": norm,
                "nonfinite": np.full(len(places), 8.0 if broken(step) else 0.0),
            },
        )
    for step in np.linspace(0, chosen.steps, 4).astype(int):
        value = float("nan") if broken(int(step)) else accuracy * step / chosen.steps
        loss = float("nan") if broken(int(step)) else 2.3 / (1 + step)
        writer.write("evals", {"step": [int(step)], "split": ["test"], "loss": [loss], "accuracy": [value]})
    if status is None:
        writer.flush()
        return writer.run
    return writer.finish(status)


def _path(chosen: Experiment, number: int, count: int) -> str:
    """The name of a convolution; that of the lab's own net in plain and residual ones of their usual depth."""
    if chosen.family not in ("plain", "residual") or count != (chosen.depth or 0) - 1:
        return f"stages.{3 * number // max(1, count)}.{number}.conv"
    if not number:
        return "stem.conv"
    block, layer = divmod(number - 1, 2)
    blocks = (count - 1) // 6
    return f"stage{block // blocks + 1}.block{block % blocks + 1}.branch.conv{layer + 1}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, one for all tests of a process: playwright bears no second one beside it."""
    from tests.browser.lab import chromium, why_none

    if reason := why_none():
        pytest.skip(reason)
    with chromium() as found:
        yield found


@pytest.fixture
def record() -> RecordRun:
    """Write one run; see `record_run`."""
    return record_run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """A folder of a name, filled by the first of the processes that test and left as it is by all tests."""
    own = tmp_path_factory.getbasetemp()
    common = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once"
    common.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = common / name, common / f"{name}.done"
        with FileLock(common / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what another process did not get done
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def _five_runs(made_once: MadeOnce) -> Path:
    def make(root: Path) -> None:
        small = {"recorded": (0, 10, 20)}
        record_run(root, family="plain", depth=20, width=8, growth=1.2, accuracy=0.93, **small)
        record_run(root, family="plain", depth=56, width=8, growth=1.2, accuracy=0.25, **small)
        record_run(root, family="residual", depth=20, width=8, growth=1.12, accuracy=0.96, **small)
        record_run(root, family="residual", depth=56, width=8, growth=1.06, accuracy=0.95, **small)
        record_run(root, family="dense", depth=40, growth=1.05, accuracy=0.96, **small)

    return made_once("five-runs", make)


@pytest.fixture
def archive(_five_runs: Path, tmp_path: Path) -> Path:
    """The starter comparison in small: five finished runs, to do with as the test likes."""
    return Path(shutil.copytree(_five_runs, tmp_path / "runs"))


@pytest.fixture(scope="session")
def trained(made_once: MadeOnce) -> Path:
    """An archive of four real nets, one a family, trained for a few seconds: they have checkpoints to look into."""
    from labapp.training.loop import train

    def make(root: Path) -> None:
        small = {
            "steps": 30,
            "batch_size": 32,
            "train_images": 640,
            "test_images": 120,
            "checkpoints": 4,
            "device": "cpu",
        }
        nets = (
            {"family": "plain"},
            {"family": "residual"},
            {"family": "dense", "depth": 10},
            {"family": "vgg", "depth": 11},
        )
        for net in nets:
            train(Experiment(**{"depth": 8, "width": 4, "record": "none", "eval_every": 30} | net | small), root)

    return made_once("trained", make)


SMALL_NETS: dict[str, dict[str, object]] = {  # a net a family, as small as they come
    "plain": {"family": "plain", "depth": 14, "width": 4},
    "residual": {"family": "residual", "depth": 14, "width": 4, "preactivation": True},
    "original": {"family": "residual", "depth": 14, "width": 4},
    "dense": {"family": "dense", "depth": 13, "growth_rate": 4},
    "vgg": {"family": "vgg", "depth": 11, "width": 4},
}


@pytest.fixture(scope="session")
def _digit_nets(made_once: MadeOnce) -> Path:
    """The nets of SMALL_NETS, trained for a moment on digits; the run's id is the net's name there."""
    from labapp.training.loop import train

    def make(root: Path) -> None:
        for name, net in SMALL_NETS.items():
            about = {
                "imageset": "digits",
                "steps": 12,
                "batch_size": 32,
                "checkpoints": 2,
                "eval_every": 12,
                "device": "cpu",
            }
            train(Experiment(**net | about, record_every=4, learning_rate=0.05, test_images=200), root, run_id=name)

    return made_once("digit-nets", make)


@pytest.fixture
def digit_nets(_digit_nets: Path, tmp_path: Path) -> Path:
    """Small trained nets of every family, to do with as the test likes."""
    return Path(shutil.copytree(_digit_nets, tmp_path / "nets"))


@pytest.fixture(scope="session")
def _probed_nets(_digit_nets: Path, made_once: MadeOnce) -> Path:
    """The same with all their probes, on 48 images."""
    from labapp.probes import measure
    from tests.probes.probing import few_points

    def make(root: Path) -> None:
        shutil.copytree(_digit_nets, root)
        for name in SMALL_NETS:
            run = Run(root / name)
            todo, _ = measure.tasks(run, checkpoints="ends")
            with few_points():
                for outcome in measure.measure(run, todo, images=48):
                    assert not outcome.reason, outcome

    return made_once("probed-nets", make)


@pytest.fixture
def probed_nets(_probed_nets: Path, tmp_path: Path) -> Path:
    """Small trained nets of every family with their probes, to do with as the test likes."""
    return Path(shutil.copytree(_probed_nets, tmp_path / "probed"))
