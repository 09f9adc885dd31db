"""How long does a reader wait, and what does reading cost? Measured in a browser, on archives made for it.

    python -m tests.browser.measure                       # 1,000 runs and one of 110 layers × 10,000 steps: two minutes
    python -m tests.browser.measure --runs 10000          # more runs
    python -m tests.browser.measure --live                # what an open page costs a training: five minutes

A time is from the click to the page drawn whole, charts too. "First" is the first visit to a server that has just
answered; "again" is the same page of the same tab later. Memory is the server's, with all its processes.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from labapp.commands.app import SERVER
from labapp.store import list_runs
from tests.browser.lab import PROJECT, Lab, chromium, opened, served, why_none
from tests.large_run import large_run
from tests.many_runs import many_runs

PAGES = ("Gradient flow", "Signals", "Compare", "Grad-CAM", "Feature reuse", "Representation", "Architecture")
QUIET = {"LABAPP_WARM": "0"}  # torch is not loaded meanwhile, as it is in the first seconds of a server
WINDOW = 20.0  # seconds of training with the page open, and without it, in turn
WATCHED = {"Overview": "", "Gradient flow": "gradient_flow", "Signals": "signals"}


def timed(act: Callable[[], object]) -> float:
    """Seconds until it is done."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def say(what: str, seconds: float, wanted: float | None = None) -> None:
    """One line of the table."""
    print(f"{what:58s} {seconds:7.2f} s" + (f"   (asked: {wanted:g} s)" if wanted else ""), flush=True)


def begun(word: str) -> Iterator[psutil.Process]:
    """The processes that this one began with such a word on their command line, and what those began."""
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # one that ends just now
            if any(word in part for part in each.cmdline()):
                yield each


def memory() -> float:
    """MiB of the server that this process began, and of what it began."""
    return (
        sum(one.memory_info().rss for each in begun(SERVER) for one in (each, *each.children(recursive=True))) / 2**20
    )


def worked() -> dict[str, float]:
    """Seconds of processor time that server and browser have taken."""
    found = {"server": 0.0, "browser": 0.0}
    for name, word in (("server", SERVER), ("browser", "chrom")):
        for each in begun(word):
            with contextlib.suppress(psutil.Error):
                found[name] += sum(each.cpu_times()[:2])
    return found


def overview(root: Path, count: int) -> None:
    """The archive as a whole."""
    first, again, choosing = (1.5, 0.4, 0.5) if count <= 1000 else (3.0, 0.5, 0.5)
    with served(root, **QUIET) as address, chromium() as browser:
        with opened(browser, address) as lab:
            say(f"Overview of {count:,} runs, first", timed(lab.visit), first)
        with opened(browser, address) as lab:
            say(f"Overview of {count:,} runs, another visitor", timed(lab.visit), first)
            lab.go("Method")
            say(f"Overview of {count:,} runs, again", timed(lambda: lab.go("Overview")), again)
            say("search among them", timed(lambda: search(lab, "residual depth=56")), choosing)
        print(f"memory of the server: {memory():,.0f} MiB", flush=True)


def search(lab: Lab, words: str) -> None:
    """Type into the search of the table of all runs."""
    box = lab.page.locator('[data-testid="stMain"] [data-testid="stTextInput"] input').first
    box.fill(words)
    lab.after(lambda: box.press("Enter"))


def large(root: Path, run_id: str) -> None:
    """Every page of one large run."""
    with served(root, **QUIET) as address, chromium() as browser, opened(browser, address) as lab:
        lab.visit("method")  # the server has begun, and has read nothing
        lab.visit("", runs=run_id)
        for title in PAGES:
            say(f"{title} of the large run, first", timed(lambda title=title: lab.go(title)), 2.0)
            lab.go("Overview")
            say(f"{title} of the large run, again", timed(lambda title=title: lab.go(title)), 0.5)
            slider = lab.page.locator('[data-testid="stMain"] input[type="range"]')
            if slider.count():
                slider.first.focus()
                keys = ["ArrowRight", "ArrowLeft"] * 2
                if slider.first.evaluate("each => each.value === each.max"):
                    keys.reverse()
                moves = [timed(lambda key=key: lab.after(lambda: lab.page.keyboard.press(key))) for key in keys]
                say(f"{title} of the large run, another step", statistics.median(moves), 0.5)
        print(f"memory of the server: {memory():,.0f} MiB", flush=True)


@contextlib.contextmanager
def training(root: Path) -> Iterator[None]:
    """A training that goes on for as long as is wanted."""
    command = [sys.executable, "-m", "labapp", "train", "--family", "residual", "--depth", "20", "--steps", "100000"]
    command += ["--record-every", "10", "--root", str(root), "--device", "cpu", "--checkpoints", "0"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def live(root: Path) -> None:
    """Steps a second with a page open and without it, in turn, and the processor time of server and browser."""
    root.mkdir()
    with served(root) as address, chromium() as browser, training(root):
        while not list_runs(root) or list_runs(root)[0].progress[0] < 20:
            time.sleep(0.5)
        run = list_runs(root)[0]
        ratios = []
        for title in (*WATCHED, *WATCHED):
            before, _ = window(run)
            with opened(browser, address) as lab:
                lab.visit(WATCHED[title], runs=run.id)
                time.sleep(5.0)  # it has been drawn, and moves on from here
                watched, shares = window(run)
            after, _ = window(run)
            alone = (before + after) / 2
            ratios.append(watched / alone)
            print(
                f"{title:15s} {watched:6.2f} steps a second watched, {alone:6.2f} not: {ratios[-1]:.3f}; "
                + ", ".join(f"{name} {100 * share:5.2f} % of one core" for name, share in shares.items()),
                flush=True,
            )
    print(f"a training that is watched runs at {statistics.median(ratios):.3f} of its speed, as the median")


def window(run) -> tuple[float, dict[str, float]]:
    """Steps a second from those written down in a window, and the shares of one core that server and browser took."""
    time.sleep(2.0)
    begin, start, before = run.progress[0], time.monotonic(), worked()
    time.sleep(WINDOW)
    seconds, after = time.monotonic() - start, worked()
    return (run.progress[0] - begin) / seconds, {name: (after[name] - before[name]) / seconds for name in after}


def main() -> int:
    """Make the archives and measure."""
    parser = argparse.ArgumentParser(description="Measure how long a reader of the app waits.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10_000, help="recorded steps of the large run")
    parser.add_argument("--live", action="store_true", help="what an open page costs a training")
    asked = parser.parse_args()
    if reason := why_none():
        print(reason)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        if asked.live:
            live(root)
            return 0
        print(f"making {asked.runs:,} runs, and one of 110 layers × {asked.steps:,} steps …", flush=True)
        many_runs(root, asked.runs)
        run = large_run(root, steps=asked.steps)
        overview(root, asked.runs)
        large(root, run.id)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
