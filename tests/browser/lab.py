"""The app as a user meets it: Streamlit's server as a process, and pages of it in Chromium.

    with served(root) as address, chromium() as browser, opened(browser, address) as lab:
        lab.go("Gradient flow")
        lab.keep("gradient-flow")        # a screenshot, where LABAPP_SCREENS names a folder

Whatever the console says as an error or a warning fails the test that opened the page, Vega's warnings too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

import labapp
from labapp.commands.app import opened as app

PROJECT = Path(labapp.__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, PHONE = (1280, 900), (390, 844)
WAIT = 120_000  # ms, for a machine that is busy with other tests
# Streamlit asks for these below the page's own path first, and again where they are.
KNOWN = re.compile(r"/_stcore/(health|host-config)")
# Counts how often the page's script has come to its end, however shortly it rests: one waits for the next time.
COUNTING = """
window.labRuns = 0;
new MutationObserver(changes => {
  for (const {target, oldValue} of changes)
    if (target.dataset.testScriptState === 'notRunning' && oldValue !== 'notRunning') window.labRuns += 1;
}).observe(document, {subtree: true, attributeFilter: ['data-test-script-state'], attributeOldValue: true});
"""
LOOK = 50  # ms between two looks at a count
CALM = 300  # ms
# Another page stands there: its script was seen to end, or it has another title or address already.
LEFT = """([runs, title, path]) => window.labRuns > runs
  || document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
     && (location.pathname !== path
         || (document.querySelector('[data-testid="stMain"] h1')?.innerText ?? title) !== title)"""
DRAWN = """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
  && [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')].every(
       chart => chart.querySelector('canvas, svg') || !chart.offsetParent)
  && !document.querySelector('[data-testid="stMain"] [data-testid="stSkeleton"]')
  && [...document.images].every(image => image.complete)
  && document.querySelector('[data-testid="stMain"] h1')"""

GROUND = "theme => getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).colorScheme === theme"


def why_none() -> str:
    """Why no browser can be opened here; "" where one can."""
    if not CHROMIUM:
        return "there is no Chromium (apt install chromium)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return ""


@contextlib.contextmanager
def served(root: Path, **environment: str) -> Iterator[str]:
    """The address of the app on an archive, as `labapp app` serves it."""
    port = free_port()
    command, settings = app((str(root),), port=port)
    with answering(command, port, settings | environment) as address:
        yield address


def free_port() -> int:
    """The number of a port at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def answering(command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """The address of a server of Streamlit that this command begins, once it answers."""
    command = [*command, "--server.headless", "true", "--server.fileWatcherType", "none"]
    own = {"PYTHONPATH": str(PROJECT), **environment}
    address = f"http://localhost:{port}"
    with tempfile.TemporaryFile() as said:  # a pipe that nobody reads would hold up a server that says much
        server = subprocess.Popen(command, env=os.environ | own, stdout=said, stderr=subprocess.STDOUT)

        def so_far() -> str:
            return os.pread(said.fileno(), os.fstat(said.fileno()).st_size, 0).decode(errors="replace")

        try:
            end = time.monotonic() + WAIT / 1000
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                    break
                if server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the app did not start: {so_far()}")
                time.sleep(0.1)
            yield address
        finally:
            server.terminate()
            try:
                server.wait(WAIT / 1000)
            finally:
                server.kill()
        assert "Traceback" not in so_far(), so_far()


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """The browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


class Lab:
    """A tab of a browser in which the app is open."""

    def __init__(self, page: Any, address: str, screens: str = "", archive: str = "") -> None:
        self.page, self.address, self.screens, self.archive = page, address, screens, archive
        self.said: list[str] = []
        page.set_default_timeout(WAIT)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        self.ended = 0  # runs of the script of which the server said that they ended
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning") and not KNOWN.search(str(message.location.get("url"))):
            self.said.append(f"{message.type} on {self.page.url}: {message.text} ({message.location.get('url')})")

    def _count(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            message = ForwardMsg()
            message.ParseFromString(frame)
            self.ended += message.WhichOneof("type") == "script_finished"

    def visit(self, path: str = "", **query: str) -> Lab:
        """Open an address of the app, by default on this tab's archive, and wait until it is drawn."""
        query = ({"archive": self.archive} if self.archive else {}) | query
        more = f"?{urllib.parse.urlencode(query)}" if query else ""
        self.page.goto(f"{self.address}/{path}{more}")
        self.page.wait_for_function("window.labRuns > 0", polling=LOOK)
        return self.settled()

    def go(self, title: str) -> Lab:
        """Choose a page in the sidebar, and wait until it is drawn."""
        link = self.page.locator('[data-testid="stSidebarNavLink"]').filter(has=self.page.locator(f'[label="{title}"]'))
        folded = self.page.locator('[data-testid="stSidebar"][data-collapsed="true"]').count()
        if folded:  # as it is on a phone, where it covers the page
            self.page.locator('[data-testid="stExpandSidebarButton"]').click()
        self._leave_for(link, title)
        if folded and self.page.locator('[data-testid="stSidebar"][data-collapsed="false"]').count():
            self.page.locator('[data-testid="stSidebar"]').hover()
            self.page.locator('[data-testid="stSidebarCollapseButton"] button').click()
            self.page.wait_for_selector('[data-testid="stSidebar"][data-collapsed="true"]', state="attached")
        return self

    def _leave_for(self, link: Any, title: str) -> None:
        """Click on a page's name, and wait until another page stands there: of a quick one no run may be seen."""
        before = [self.page.evaluate("window.labRuns"), self.title(), self.page.evaluate("location.pathname")]
        link.click()
        try:
            self.page.wait_for_function(LEFT, arg=before, polling=LOOK)
        except Exception as error:
            raise AssertionError(f"{title} did not come up after {before}: {self.text()[:500]}") from error
        self.page.wait_for_timeout(CALM)  # the address comes with the first of the new page's messages
        self.settled()

    def after(self, act: Callable[[], Any]) -> Lab:
        """Do something that has the page's script run, and wait until it has."""
        runs, ended, last = self.page.evaluate("window.labRuns"), self.ended, time.monotonic() + WAIT / 1000
        act()
        while self.page.evaluate("window.labRuns") <= runs:
            assert time.monotonic() < last, f"no run of the page's script was seen: {self.text()[:500]}"
            if self.ended > ended:  # so short a one that the page shows nothing of it between two frames
                self.page.wait_for_timeout(CALM)
                break
            self.page.wait_for_timeout(LOOK)
        return self.settled()

    def on_ground(self, theme: str) -> Lab:
        """Have the system ask for a light or a dark ground, and wait until the page is on it."""
        self.page.emulate_media(color_scheme=theme)
        self.page.wait_for_function(GROUND, arg=theme, polling=LOOK)
        return self.settled()

    def titles(self) -> list[str]:
        """What the sidebar calls the pages."""
        links = self.page.locator('[data-testid="stSidebarNavLink"] [label]')
        links.first.wait_for(state="attached")
        return [str(link.get_attribute("label")) for link in links.all()]

    def settled(self) -> Lab:
        """Wait until the script has run and its charts are drawn."""
        self.page.wait_for_function(DRAWN)  # at every frame: a live page rests for moments only
        return self

    def text(self) -> str:
        """What stands on the page, without its sidebar."""
        return str(self.page.locator('[data-testid="stMain"]').inner_text())

    def title(self) -> str:
        """The page's answer."""
        return str(self.page.locator('[data-testid="stMain"] h1').first.inner_text())

    def fits(self) -> bool:
        """Whether nothing is wider than the window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def keep(self, name: str) -> None:
        """Keep a picture of the whole page."""
        if folder := self.screens:
            Path(folder).mkdir(parents=True, exist_ok=True)
            size, inner = (
                self.page.viewport_size,
                self.page.locator('[data-testid="stMainBlockContainer"]').bounding_box(),
            )
            high = int(max(size["height"], inner["height"] + 40))
            self.page.set_viewport_size({"width": size["width"], "height": high})
            self.page.wait_for_timeout(300)
            self.page.screenshot(path=f"{folder}/{name}.png")
            self.page.set_viewport_size(size)

    def ask(self, name: str) -> Any:
        """The button of a name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def check(self) -> Lab:
        """Nothing went wrong on the page as it is now."""
        assert self.page.locator('[data-testid="stException"]').count() == 0, self.text()
        assert self.said == [], f"the console said {self.said}"
        return self


@contextlib.contextmanager
def opened(
    browser: Any, address: str, size: tuple[int, int] = WIDE, theme: str = "light", screens: str = "", archive: str = ""
) -> Iterator[Lab]:
    """A tab of its own, without a past; what its console said is checked in the end.

    Where an archive is named, its pages are of that, and not of the one that the server shows first.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=theme, accept_downloads=True, locale="en-GB"
    )
    context.add_init_script(COUNTING)
    try:
        lab = Lab(context.new_page(), address, screens or os.environ.get("LABAPP_SCREENS", ""), archive)
        yield lab
        lab.check()
    finally:
        context.close()
