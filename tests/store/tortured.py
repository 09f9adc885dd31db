"""A short run as it is tortured: by a process that may die, on a disk that may fail; and what must be left."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter
from tests.store.faulty import FaultyDisk, Harm, Operation

TOTAL = 24  # steps
ASKED = os.environ.get("LABAPP_TORTURE", "9")
TABLES = ("steps", "layers", "evals")
TOLD = ("cannot write to", "table '")  # faults that cost nothing: it was tried again, or left in parts


def gradients(step: int) -> np.ndarray:
    return np.random.default_rng(step).standard_normal(5).astype(np.float32)


def record(root: Path, say: Callable[[str], None] = lambda _: None) -> Run:
    """Begin a run or take it up, and write it to its end; `say` hears what has been promised."""
    try:
        begin = max(Run(root / "run").checkpoints(), default=0)
        writer = RunWriter(root / "run", from_step=begin)
    except LabError:
        begin, writer = 0, RunWriter.create(root, Experiment(steps=TOTAL), run_id="run")
    say(f"begun {begin}")
    for step in range(begin, TOTAL):
        writer.write("layers", {"step": step, "layer": list("abcde"), "output_grad_norm": gradients(step)})
        writer.write("steps", {"step": step, "loss": 1 / (step + 1)})
        if step % 5 == 0:
            writer.write("evals", {"step": step, "split": "test", "accuracy": step / TOTAL})
        if step % 2:
            writer.flush()
            say(f"flushed {step}")
        if step % 8 == 7:
            writer.checkpoint(step + 1, {"w": np.full(50, step, np.float32)}, b"state" * step)
            say(f"kept {step + 1}")
    return writer.finish()


def contents(run: Run) -> dict[str, list]:
    """All rows of all tables, and the weights."""
    found = {f"{name}.{column}": run.table(name)[column].tolist() for name in TABLES for column in run.table(name)}
    for step in run.checkpoints():
        found[f"weights {step}"] = list(run.checkpoint_path(step).read_bytes())
        state = run.state_path(step)
        assert state
        found[f"state {step}"] = list(state.read_bytes())
    return {name: ["nan" if value != value else value for value in values] for name, values in found.items()}


def each_once(run: Run, at_least: int = -1) -> None:
    """Steps from 0 on without a gap, each once, for this reader and for any other; up to `at_least`, if not further."""
    assert not [problem for problem in run.problems if not problem.startswith(TOLD)]
    steps = run.steps()["step"].tolist()
    assert steps == list(range(len(steps)))
    assert len(steps) > at_least
    layers = run.layers()
    assert layers["step"].tolist() == [step for step in range(len(layers) // 5) for _ in range(5)]
    assert len(layers) // 5 > at_least
    assert layers["output_grad_norm"].tolist() == [x for step in range(len(layers) // 5) for x in gradients(step)]
    if (run.path / "steps").is_dir() and list((run.path / "steps").glob("*.parquet")):
        published = pd.read_parquet(run.path / "steps")["step"].tolist()
        assert sorted(published) == list(range(len(published)))


def sample(operations: list[Operation], seed: int) -> list[int]:
    """The numbers of the operations to be tried: all, or some of every kind."""
    if ASKED == "all":
        return list(range(len(operations)))
    draw = random.Random(seed)
    by_kind: dict[tuple[str, str], list[int]] = {}
    for number, operation in enumerate(operations):
        by_kind.setdefault((operation.name, Path(operation.path).parent.name), []).append(number)
    chosen = [draw.choice(numbers) for numbers in by_kind.values()]
    rest = [number for number in range(len(operations)) if number not in chosen]
    many = int(ASKED)
    if many <= len(chosen):
        return sorted(draw.sample(chosen, many))
    return sorted(chosen + draw.sample(rest, min(many - len(chosen), len(rest))))


def killed(root: Path, at: int, harm: Harm) -> list[str]:
    """Record in a process of its own that dies at an operation; what it had promised until then."""
    said = root.parent / f"{root.name}.said"
    pid = os.fork()
    if pid == 0:
        with said.open("a", buffering=1) as file, FaultyDisk(root, at, harm):
            record(root, lambda word: file.write(word + "\n"))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    return said.read_text().splitlines() if said.exists() else []


def persistently(root: Path) -> Iterator[LabError]:
    """Record as one who tries again after each error, as training does; the errors."""
    writer = None
    while writer is None:
        try:
            writer = RunWriter.create(root, Experiment(steps=TOTAL), run_id="run")
        except LabError as error:
            yield error
            if (root / "run").is_dir():
                writer = RunWriter(root / "run", from_step=0)
    for step in range(TOTAL):
        writer.write("layers", {"step": step, "layer": list("abcde"), "output_grad_norm": gradients(step)})
        writer.write("steps", {"step": step, "loss": 1 / (step + 1)})
        try:
            if step % 2:
                writer.flush()
            if step % 8 == 7:
                writer.checkpoint(step + 1, {"w": np.full(50, step, np.float32)}, b"state" * step)
        except LabError as error:
            yield error
    try:
        writer.finish()
    except LabError as error:
        yield error
