"""How long does something take on a page, by the browser's own clock, and what does it cost?

    with clocked(browser, address) as lab:
        measured(lab, "a page, first", lab.visit, wanted=1.5)

Each line of what is said names what was asked for as well, where something was.
"""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence

import psutil

from labapp.commands.app import SERVER
from tests.browser.lab import DRAWN, Lab, opened

STAYS = 0.2  # seconds that a page has to stay as it is to count as drawn
REST = 0.7  # seconds after a page is drawn, in which what it began comes to its end
# Since when the page has been drawn whole, and when somebody clicked or pressed a key last, in ms from its beginning.
# The end of a script begins it anew: of a quick one no frame may have seen the beginning.
CLOCK = f"""
window.labClock = {{acted: 0, since: null, runs: 0}};
for (const act of ['click', 'keydown'])
  addEventListener(act, () => {{ labClock.acted = performance.now(); labClock.since = null; }}, true);
const labTick = () => {{
  const whole = window.labRuns > 0 && ({DRAWN})();
  if (!whole || labClock.runs !== window.labRuns) labClock.since = null;
  if (whole) labClock.since ??= performance.now();
  labClock.runs = window.labRuns;
  requestAnimationFrame(labTick);
}};
requestAnimationFrame(labTick);
"""


def say(what: str, seconds: float, wanted: float | None = None, more: str = "") -> None:
    """One line of the table."""
    print(f"{what:58s} {seconds:7.2f} s{f'   (asked: {wanted:g} s)' if wanted else ''}{more}", flush=True)


def measured(lab: Lab, what: str, act: Callable[[], object], wanted: float | None = None) -> None:
    """Do something, and say how long it took until the page was drawn, and what that cost."""
    before = worked()
    seconds = timed(lab, act)
    lab.page.wait_for_timeout(1000 * REST)
    after = worked()
    costs = ", ".join(f"{name} {after[name] - before[name]:.2f}" for name in after)
    say(what, seconds, wanted, f"   processor: {costs}")


def repeated(lab: Lab, what: str, acts: Sequence[Callable[[], object]], wanted: float) -> None:
    """Do things of one kind, one after another, and say how long the median took, and what each cost."""
    before = worked()
    seconds = [timed(lab, act) for act in acts]
    lab.page.wait_for_timeout(1000 * REST)
    costs = ", ".join(f"{name} {(worked()[name] - before[name]) / len(acts):.2f}" for name in before)
    say(what, statistics.median(seconds), wanted, f"   processor, each: {costs}")


def timed(lab: Lab, act: Callable[[], object]) -> float:
    """Seconds from the click, or the beginning of the visit, until the page was drawn."""
    act()
    before = None
    while before != (since := lab.page.evaluate("labClock.since")) or since is None:  # a script may ask for another run
        before = since
        lab.page.wait_for_timeout(1000 * STAYS)
    return float(since - lab.page.evaluate("labClock.acted")) / 1000


@contextlib.contextmanager
def clocked(browser: object, address: str) -> Iterator[Lab]:
    """A tab that notes when it was drawn."""
    with opened(browser, address) as lab:
        lab.page.add_init_script(CLOCK)
        yield lab


def begun(word: str) -> Iterator[psutil.Process]:
    """The processes that this one began with such a word on their command line, and what those began."""
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # one that ends just now
            if any(word in part for part in each.cmdline()):
                yield each


def memory() -> str:
    """MiB of the server that this process began; and of what it began, where that still runs: a page that measures."""
    server = [each.memory_info().rss for each in begun(SERVER)]
    more = [one.memory_info().rss for each in begun(SERVER) for one in each.children(recursive=True)]
    return f"{sum(server) / 2**20:,.0f} MiB" + (f", and {sum(more) / 2**20:,.0f} of what it began" if more else "")


def worked() -> dict[str, float]:
    """Seconds of processor time that server and browser have taken."""
    found = {"server": 0.0, "browser": 0.0}
    for name, word in (("server", SERVER), ("browser", "chrom")):
        for each in begun(word):
            with contextlib.suppress(psutil.Error):
                found[name] += sum(each.cpu_times()[:2])
    return found
