"""How much quicker is a sweep with two workers, and does it matter whether they are Ray's?

Whole commands, one after the other: `labapp sweep` of 16 runs by two processes of this machine, by Ray with two workers
and by Ray with one, each into an archive of its own; the next round has them in another order. A ratio is of the
wall times of one round, so that what is slow for a while is so for all; the medians are reported. What a command
needs to begin is included: its own start, Ray's, and torch's in each worker.

    python -m analysis.engines                         # three rounds: some 20 minutes of a quiet machine of two cores
    python -m analysis.engines --rounds 1 --steps 40   # does it work?
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from labapp.store import list_runs

RUNS = 16
WAYS = {  # options of `labapp sweep`
    "two local processes": ("--engine", "local", "--jobs", "2"),
    "Ray, two workers": ("--engine", "ray", "--jobs", "2"),
    "Ray, one worker": ("--engine", "ray", "--jobs", "1"),
}
RATIOS = {  # which time is divided by which, and what it has to be
    "two workers of Ray are so many times as quick as one": ("Ray, one worker", "Ray, two workers", "at least 1.8"),
    "and take so many times as long as two local processes": ("Ray, two workers", "two local processes", "at most 1.1"),
}


def spec(steps: int) -> str:
    """The sweep: residual nets that take some ten seconds each."""
    seeds = ", ".join(map(str, range(RUNS)))
    return (
        f"base: {{depth: 20, width: 8, steps: {steps}, record_every: 10, eval_every: {steps}, device: cpu}}\n"
        f"seeds: [{seeds}]\n"
    )


def seconds(way: str, file: Path, root: Path) -> float:
    """What a whole command takes."""
    command = [sys.executable, "-m", "labapp", "sweep", str(file), "--threads", "1", "--root", str(root), *WAYS[way]]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    took = time.perf_counter() - began
    finished = sum(run.status == "finished" for run in list_runs(root))
    if finished != RUNS:
        raise RuntimeError(f"{way}: {finished} of {RUNS} runs are finished")
    return took


def measure(rounds: int, steps: int) -> list[dict[str, float]]:
    """The seconds of each way, a dictionary a round; each is printed when it is known."""
    found = []
    for number in range(rounds):
        times = {}
        for way in [*WAYS][number % len(WAYS) :] + [*WAYS][: number % len(WAYS)]:
            with tempfile.TemporaryDirectory(prefix="labapp-engines-") as folder:
                file = Path(folder) / "engines.yaml"
                file.write_text(spec(steps))
                times[way] = seconds(way, file, Path(folder) / "runs")
            print(f"round {number + 1}, {way}: {times[way]:.1f} s", flush=True)  # noqa: T201
        found.append(times)
    return found


def summary(found: list[dict[str, float]]) -> str:
    """The medians of the ratios with the smallest and the largest."""
    lines = []
    for words, (above, below, goal) in RATIOS.items():
        ratios = sorted(times[above] / times[below] for times in found)
        lines.append(f"{words}: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}; {goal})")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and say the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of all three ways (3)")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="of each run (300)")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.steps < 1:
        parser.error("--rounds and --steps take 1 or more")
    print(summary(measure(options.rounds, options.steps)))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
