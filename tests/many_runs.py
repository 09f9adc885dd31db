"""How does the app behave with ten thousand runs? An archive of so many, made in moments from a few real ones.

    python -m tests.many_runs FOLDER 10000

A few runs are written by RunWriter; the others share their tables and have a run.json of their own: another id, time,
seed and setting. Every twentieth diverged, and every fortieth was interrupted, as its process is gone.
"""

import argparse
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labapp.store import Run
from labapp.store.record import COPY, Record, as_json
from tests.conftest import record_run

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
NETS = (
    {"family": "plain", "depth": 20, "growth": 1.2, "accuracy": 0.91},
    {"family": "plain", "depth": 56, "growth": 1.2, "accuracy": 0.27},
    {"family": "residual", "depth": 20, "growth": 1.12, "accuracy": 0.95},
    {"family": "residual", "depth": 56, "growth": 1.06, "accuracy": 0.94},
)
RATES = (0.1, 0.05, 0.2, 0.02)
WIDTHS = (16, 8, 32)
SEEDS = 5


def many_runs(root: Path, count: int) -> list[str]:
    """Make `count` runs, the oldest first; gives their ids."""
    made = root.parent / f".{root.name}-made"
    shutil.rmtree(made, ignore_errors=True)
    real = [record_run(made, recorded=(0, 10, 20), run_id=f"real-{number}", **net) for number, net in enumerate(NETS)]
    root.mkdir(parents=True, exist_ok=True)
    ids = [_copied(real, root, number) for number in range(count)]
    shutil.rmtree(made)
    return ids


def _copied(real: list[Run], root: Path, number: int) -> str:
    """One more run: its tables are those of a real one, linked."""
    group, seed = divmod(number, SEEDS)
    source = real[group % len(real)]
    rate, width = RATES[group // len(real) % len(RATES)], WIDTHS[group // len(real) // len(RATES) % len(WIDTHS)]
    given = {"seed": seed, "learning_rate": rate, "width": width, "weight_decay": round(1e-4 * (1 + group // 48), 6)}
    old = source.record
    begun = BEGUN + timedelta(minutes=10 * number)
    run_id = f"{source.name}-{begun:%Y%m%d-%H%M%S}-{number:05x}"
    status = "running" if number % 40 == 39 else "diverged" if number % 20 == 19 else "finished"
    attempt = old.attempts[-1] | {"started": begun.isoformat(), "pid": 2**22 + 7, "process": "gone"}
    record = old.model_copy(
        update={
            "id": run_id,
            "created": begun,
            "experiment": source.experiment.but(**given),
            "seeds": {"seed": seed},
            "status": status,
            "attempts": [attempt],
        }
    )
    path = root / run_id
    path.mkdir()
    text = as_json(Record.model_validate(json.loads(record.model_dump_json())))
    (path / "run.json").write_bytes(text)
    (path / COPY).write_bytes(text)
    for folder in ("steps", "layers", "evals"):
        (path / folder).mkdir()
        for part in (source.path / folder).glob("*.parquet"):
            os.link(part, path / folder / part.name)
    return run_id


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make an archive of many runs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    asked = parser.parse_args()
    many_runs(asked.folder, asked.count)
    print(f"{asked.count} runs in {asked.folder}")  # noqa: T201 - its answer
