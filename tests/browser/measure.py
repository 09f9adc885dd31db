"""How long does a reader wait, and what does reading cost? Measured in a browser, on archives made for it.

    python -m tests.browser.measure                       # 1,000 runs, one of 110 layers × 10,000 steps: five minutes
    python -m tests.browser.measure --runs 10000          # more runs
    python -m tests.browser.measure --live                # what an open page costs a training: eight minutes
    python -m tests.browser.measure --maps                # how soon a map is there: two minutes

A time is from the click, or the beginning of a visit, to the page drawn whole, charts too, by the browser's own clock.
"First" is the first visit to a server that has just answered; "again" is the same page of the same tab later. Beside it
stand the seconds of processor time that server and browser took. Memory is the server's, with all its processes. What
Streamlit takes for a page of one title is measured first: no page here can be there before that.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from labapp.store import list_runs
from tests.browser.clock import clocked, measured, memory, repeated, say, timed, worked
from tests.browser.lab import PROJECT, Lab, answering, chromium, free_port, opened, served, why_none
from tests.large_run import large_run
from tests.many_runs import many_runs

PAGES = ("Gradient flow", "Signals", "Compare", "Grad-CAM", "Feature reuse", "Representation", "Architecture")
QUIET = {"LABAPP_WARM": "0"}  # torch is not loaded meanwhile, as it is in the first seconds of a server
WARMED = 20.0  # seconds
WINDOW = 20.0  # seconds of training with the page open, and without it, in turn
WATCHED = {"Overview": "", "Gradient flow": "gradient_flow", "Signals": "signals"}
ROUNDS = 3  # of all pages that are watched
STILL = 0.1  # seconds of processor time in two seconds that a server takes which does nothing
# When somebody clicks first from here on, and when a map is there.
FIRST_MAP = """map => {
  window.labMap = {clicked: null, there: null};
  addEventListener('click', () => { labMap.clicked ??= performance.now(); }, {capture: true});
  const look = () => {
    if (labMap.clicked !== null && document.querySelector(map)?.complete) labMap.there = performance.now();
    else requestAnimationFrame(look);
  };
  look();
}"""
MAP = '[data-testid="stMain"] .maps img'


def bare(folder: Path) -> None:
    """A page of Streamlit that holds its title alone, each time in a browser without a past."""
    script, port = folder / "bare.py", free_port()
    script.write_text("import streamlit\n\nstreamlit.title('Nothing')\n", encoding="utf-8")
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    with answering([*command, "--browser.gatherUsageStats", "false"], port, {}) as address, chromium() as browser:
        seconds = []
        for _ in range(ROUNDS):
            with clocked(browser, address) as lab:
                seconds.append(timed(lab, lab.visit))
        say("a title alone, as Streamlit draws it, first", statistics.median(seconds))


def overview(root: Path, count: int) -> None:
    """The archive as a whole: while the numbers of its runs are read behind the pages, and when they are known."""
    first, again, choosing = (1.5, 0.4, 0.5) if count <= 1000 else (3.0, 0.5, 0.5)
    about = f"Overview of {count:,} runs"
    for known in (False, True):
        when = ", numbers known" if known else ""
        with served(root, **QUIET) as address, chromium() as browser:
            with clocked(browser, address) as lab:
                measured(lab, f"{about}, first{when}", lab.visit, first)
                if known:
                    quiet(lab)
            with clocked(browser, address) as lab:
                measured(lab, f"{about}, another visitor{when}", lab.visit, first)
                for _ in range(2):
                    lab.go("Method")
                    measured(lab, f"{about}, again{when}", lambda lab=lab: lab.go("Overview"), again)
                measured(lab, f"search among them{when}", lambda lab=lab: search(lab, "residual depth=56"), choosing)
                measured(lab, f"choosing one of them{when}", lambda lab=lab: choose(lab, 0), choosing)
                more = [lambda lab=lab, row=row: choose(lab, row) for row in (1, 2, 0, 1, 2)]
                repeated(lab, f"choosing five more{when}", more, choosing)
                if not known:
                    wait_for_numbers(lab)
            print(f"memory of the server: {memory()}", flush=True)


def quiet(lab: Lab) -> None:
    """Wait until the server does nothing."""
    end, before = time.monotonic() + 300, -1.0
    while worked()["server"] - before >= STILL and time.monotonic() < end:
        before = worked()["server"]
        lab.page.wait_for_timeout(2000)


def wait_for_numbers(lab: Lab) -> None:
    """Wait until the numbers of all runs are read and written down, as the table of all runs says."""
    end = time.monotonic() + 900
    while "still being read" in lab.text() and time.monotonic() < end:
        lab.page.wait_for_timeout(2000)
    quiet(lab)


def choose(lab: Lab, row: int) -> None:
    """Choose a run that the search found, or take it back, by the mark of its row in the table of all runs."""
    table = lab.page.locator('[data-testid="stMain"] [data-testid="stDataFrame"]').last
    table.scroll_into_view_if_needed()
    lab.after(lambda: table.click(position={"x": 18, "y": 54 + 35 * row}))


def search(lab: Lab, words: str) -> None:
    """Type into the search of the table of all runs."""
    box = lab.page.get_by_role("textbox", name="Search", exact=True)
    box.fill(words)
    lab.after(lambda: box.press("Enter"))
    lab.page.get_by_text(" runs fit.").wait_for()


def large(root: Path, run_id: str) -> None:
    """Every page of one large run."""
    with served(root, **QUIET) as address, chromium() as browser, clocked(browser, address) as lab:
        lab.visit("method")  # the server has begun, and has read nothing
        lab.visit("", runs=run_id)
        for title in PAGES:
            measured(lab, f"{title} of the large run, first", lambda title=title: lab.go(title), 2.0)
            lab.go("Overview")
            measured(lab, f"{title} of the large run, again", lambda title=title: lab.go(title), 0.5)
            slider = lab.page.locator('[data-testid="stMain"] input[type="range"]')
            if slider.count():
                slider.first.focus()
                keys = ["ArrowRight", "ArrowLeft"] * 2
                if slider.first.evaluate("each => each.value === each.max"):
                    keys.reverse()
                steps = [lambda key=key: lab.after(lambda: lab.page.keyboard.press(key)) for key in keys]
                repeated(lab, f"{title} of the large run, another step", steps, 0.5)
            print(f"memory of the server after {title}: {memory()}", flush=True)


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
        with opened(browser, address) as lab:
            lab.visit("", runs=run.id)
            time.sleep(WARMED)  # torch is loaded behind the first page, once in a server's life
        ratios: dict[str, list[float]] = {title: [] for title in WATCHED}
        shares: dict[str, list[dict[str, float]]] = {title: [] for title in WATCHED}
        before, idle = window(run)
        print("unwatched: " + ", ".join(f"{name} {100 * share:.2f} % of one core" for name, share in idle.items()))
        for title in list(WATCHED) * ROUNDS:
            with opened(browser, address) as lab:
                lab.visit(WATCHED[title], runs=run.id)
                time.sleep(5.0)  # it has been drawn, and moves on from here
                watched, took = window(run)
            after, _ = window(run)
            alone = (before + after) / 2
            before = after
            ratios[title].append(watched / alone)
            shares[title].append(took)
            print(
                f"{title:15s} {watched:6.2f} steps a second watched, {alone:6.2f} not: {watched / alone:.3f}; "
                + ", ".join(f"{name} {100 * share:5.2f} % of one core" for name, share in took.items()),
                flush=True,
            )
        for title in WATCHED:
            both = statistics.median(sum(took.values()) for took in shares[title])
            speed = statistics.median(ratios[title])
            print(f"{title:15s} medians: {speed:.3f} of its speed (asked: 0.97), {100 * both:.2f} % of one core")


def window(run) -> tuple[float, dict[str, float]]:
    """Steps a second from those written down in a window, and the shares of one core that server and browser took."""
    time.sleep(2.0)
    begin, start, before = run.progress[0], time.monotonic(), worked()
    time.sleep(WINDOW)
    seconds, after = time.monotonic() - start, worked()
    return (run.progress[0] - begin) / seconds, {name: (after[name] - before[name]) / seconds for name in after}


def maps(root: Path) -> None:
    """From the click on Grad-CAM to the first map, in a server that somebody opened a while ago."""
    net = ["--family", "residual", "--depth", "20", "--steps", "20", "--checkpoints", "2", "--device", "cpu"]
    for seed in range(2):
        command = [sys.executable, "-m", "labapp", "train", *net, "--seed", str(seed), "--root", str(root)]
        subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=True)
    with served(root) as address, chromium() as browser, clocked(browser, address) as lab:
        lab.visit()
        time.sleep(WARMED)
        quiet(lab)
        for which in ("first", "again"):
            lab.page.evaluate(FIRST_MAP, MAP)
            lab.go("Grad-CAM")
            lab.page.wait_for_selector(MAP)
            say(f"Grad-CAM, the {which} map", float(lab.page.evaluate("labMap.there - labMap.clicked")) / 1000, 2.0)
            lab.go("Method")


def main() -> int:
    """Make the archives and measure."""
    parser = argparse.ArgumentParser(description="Measure how long a reader of the app waits.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10_000, help="recorded steps of the large run")
    parser.add_argument("--live", action="store_true", help="what an open page costs a training")
    parser.add_argument("--maps", action="store_true", help="how soon a map is there")
    asked = parser.parse_args()
    if reason := why_none():
        print(reason)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        if asked.live or asked.maps:
            (live if asked.live else maps)(root)
            return 0
        print(f"making {asked.runs:,} runs, and one of 110 layers × {asked.steps:,} steps …", flush=True)
        bare(Path(folder))
        many_runs(root, asked.runs)
        run = large_run(root, steps=asked.steps)
        overview(root, asked.runs)
        large(root, run.id)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
