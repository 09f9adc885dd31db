"""Kill real trainings again and again, resume them, and compare; or train for long under readers and watch the memory.

    python -m tests.training.torture --kills 50
    python -m tests.training.torture --soak 1800

Kills: four small trainings in turn, each killed with SIGKILL at random moments and at random file operations (half-way
through a write, after a rename, between a copy and its deletions) until it ends, and compared with one that never was
killed. Soak: one training that records every step and keeps its state every second. Readers look at the archive all the
while, as pages and as other tools do. Exit code 1 at the first thing that is not as it should be.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import torch

from labapp.config import LabError
from labapp.store import appending, check, list_runs, why_not_resumed
from labapp.store import writer as store_writer
from labapp.training.loop import resume, train
from tests.store.faulty import FaultyDisk, die_half_way
from tests.training.interrupted import assert_equal
from tests.training.small import small

NETS = (
    {"family": "residual", "augment": True, "clip_norm": 1.0},
    {"family": "dense", "depth": 10, "dropout": 0.3},
    {"family": "plain", "learning_rate": 3.0, "warmup_steps": 0, "record_every": 1},  # its channels die
    {"family": "vgg", "depth": 11, "width": 2, "accumulate": 2},
)
COMMON = {"imageset": "digits", "steps": 40, "record_every": 2, "eval_every": 8, "checkpoints": 4}
KEEP = 0.03  # seconds between two points to resume from
MOST = 2000  # file operations of one training, about


def busy() -> None:
    """Something is written all the time."""
    store_writer.FLUSH_SECONDS = 0.01
    appending.GATHER, appending.SHARE = 3, 2


def apart(work: Callable[[], None], quiet: bool = True) -> int:
    """A process that does some work; its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with contextlib.ExitStack() as stack:
            if quiet:
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
                stack.enter_context(contextlib.redirect_stderr(nowhere))
            work()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.__stderr__, flush=True)
    finally:
        os._exit(code)


def attempt(root: Path, changes: dict, harm_at: int | None) -> None:
    """Begin the training or go on with it; dies at a file operation, if one is given."""
    busy()
    runs = list_runs(root) if root.is_dir() else []
    if runs and not why_not_resumed(runs[0]):
        work: Callable[[], object] = lambda: resume(runs[0], keep_every=KEEP)  # noqa: E731
    elif not runs:
        work = lambda: train(small(**changes), root, run_id="run", keep_every=KEEP)  # noqa: E731
    else:
        return  # it is over
    with FaultyDisk(root, harm_at, die_half_way) if harm_at is not None else contextlib.nullcontext():
        work()


def read(root: Path, over: str) -> None:
    """What a page and other tools read, until a file appears; whatever fails ends this process with an error."""
    reads = 0
    while not Path(over).exists():
        latest = max(root.glob("killed-*"), default=root)  # one that is over stays where it is
        for run in list_runs(latest) if latest != root else []:
            steps = run.steps(columns=["step", "loss"])["step"].tolist()
            assert steps == list(range(len(steps))), f"{run.path}: steps are {steps}"
            layers = run.layers(columns=["step", "layer", "output_grad_norm"])
            assert not layers.duplicated(["step", "layer"]).any(), f"{run.path}: layers are doubled"
            run.evals(), run.checkpoints(), run.probes(), run.progress, run.version, run.status
            assert run.problems == [], f"{run.path}: {run.problems}"
            if list((run.path / "steps").glob("*.parquet")):
                published = pd.read_parquet(run.path / "steps", columns=["step"])["step"]
                assert not published.duplicated().any(), f"{run.path}: other tools see steps twice"
            reads += 1
        time.sleep(0.005)
    print(f"a reader read {reads} times", flush=True)


def tortured(kills: int, readers: int, seed: int) -> None:
    """Kill trainings so often, and say how it went."""
    draw = random.Random(seed)
    done, trial, started = 0, 0, time.monotonic()
    by_operation = attempts = 0
    with tempfile.TemporaryDirectory(prefix="labapp-torture-") as folder:
        root, over = Path(folder), Path(folder) / "over"
        wholes = [root / f"whole-{number}" for number in range(len(NETS))]
        watching = [apart(lambda: read(root, str(over)), quiet=False) for _ in range(readers)]
        while done < kills:
            net = trial % len(NETS)
            changes = COMMON | NETS[net]
            if not wholes[net].exists():
                ended(apart(lambda net=net, changes=changes: attempt(wholes[net], changes, None)), 0)
            trial += 1
            at = root / f"killed-{trial:03d}"
            while True:
                harm_at = draw.randrange(MOST // 2) if draw.random() < 0.5 else None
                pid = apart(lambda at=at, changes=changes, harm_at=harm_at: attempt(at, changes, harm_at))
                attempts += 1
                if harm_at is None and done < kills:
                    time.sleep(draw.uniform(0.05, 1.5))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                if os.WIFSIGNALED(status):
                    done += 1
                    by_operation += harm_at is not None
                    continue
                if status != 0:
                    raise SystemExit(f"an attempt failed with status {status}")
                break
            (run,), (whole,) = list_runs(at), list_runs(wholes[net])
            assert_equal(whole, run)
            assert check(run.path) == [], check(run.path)
            how = f"{done} kills, {by_operation} of them at file operations"
            print(f"{how}; {run.name} after {len(run.attempts)} attempts: equal", flush=True)
        over.touch()
        for pid in watching:
            ended(pid, 0)
    seconds = time.monotonic() - started
    print(json.dumps({"kills": done, "attempts": attempts, "trainings": trial, "seconds": round(seconds)}))


def ended(pid: int, expected: int) -> None:
    """Wait for a process, which has to end well."""
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) != expected:
        raise SystemExit(f"process {pid} ended with {os.waitstatus_to_exitcode(status)}")


def soak(seconds: float, readers: int) -> None:
    """Train for long under readers; memory has to stay as it is after the first fifth."""
    with tempfile.TemporaryDirectory(prefix="labapp-soak-") as folder:
        root, over = Path(folder) / "runs", Path(folder) / "over"
        changes = COMMON | {"steps": 10**7, "record_every": 1, "eval_every": 200, "checkpoints": 40}
        trainer = apart(lambda: _long(root, changes))
        watching = [apart(lambda: read_slowly(root, str(over)), quiet=False) for _ in range(readers)]
        sizes: dict[int, list[float]] = {pid: [] for pid in (trainer, *watching)}
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(min(5.0, seconds / 20))
            for pid, found in sizes.items():
                found.append(psutil.Process(pid).memory_info().rss / 2**20)
        os.kill(trainer, signal.SIGINT)
        os.waitpid(trainer, 0)
        over.touch()
        for pid in watching:
            ended(pid, 0)
        (run,) = list_runs(root)
        assert run.status == "stopped", run.status
        assert check(run.path) == [], check(run.path)
        steps = len(run.steps(columns=["step"]))
        files = len(list((run.path / "steps").glob("*.parquet")))
        print(f"{steps:,} steps recorded, {files} files of steps")
        for pid, found in sizes.items():
            fifth = found[len(found) // 5 :]
            half = len(fifth) // 2
            early, late = max(fifth[:half]), max(fifth[half:])
            who = "training" if pid == trainer else "reader"
            print(f"{who}: {found[0]:.0f} MiB at first, up to {early:.0f} before and {late:.0f} after half-time")


def _long(root: Path, changes: dict) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        train(small(**changes), root, run_id="run", keep_every=1.0)


def read_slowly(root: Path, over: str) -> None:
    """What a live page reads: every second, the last thousand steps."""
    while not Path(over).exists():
        with contextlib.suppress(LabError):
            for run in list_runs(root):
                done, _ = run.progress
                run.table("steps", ["step", "loss"], steps=slice(max(0, done - 1000), done))
                run.layers(["step", "layer", "output_grad_norm"], steps=slice(max(0, done - 100), done))
                assert run.problems == [], run.problems
        time.sleep(1.0)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--soak", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    if options.soak:
        soak(options.soak, options.readers)
    else:
        tortured(options.kills, options.readers, options.seed)


if __name__ == "__main__":
    main()
