"""Is the wheel whole, and does it work outside the checkout?"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

import labapp

PROJECT = Path(labapp.__file__).resolve().parents[1]
LINK = "labapp/config/sweeps/of_the_lab"
WAIT = 120  # seconds, for a machine that is busy with other tests
USE = """
import sys
from pathlib import Path
import torch
from torch import nn
import labapp
from labapp.commands.cli import main
from labapp.config.sweeps import read
from labapp.recording import kernels, unwatch, watch

site, checkout = sys.argv[1:]
assert labapp.__file__.startswith(site), labapp.__file__
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
descent = torch.optim.SGD(net.parameters(), lr=0.1)
watch(net, descent, runs="runs")
for _ in range(3):
    descent.zero_grad()
    net(torch.randn(8, 4)).square().mean().backward()
    descent.step()
unwatch(net)
assert main(["runs", "show", next(Path("runs").glob("[!.]*")).name]) == 0
assert kernels.compiler() is None or kernels.library()[0], kernels.library()
for name in ("degradation", "vgg"):
    assert read(f"analysis/sweeps/quick/{name}.yaml").planned and read(f"analysis/sweeps/paper/{name}.yaml").planned

from streamlit.testing.v1 import AppTest
before = [entry for entry in sys.path if entry == site]
page = AppTest.from_file(f"{site}/labapp/main.py", default_timeout=100).run()
assert not page.exception, page.exception[0].stack_trace
assert page.title and page.sidebar
assert [entry for entry in sys.path if entry == site] == before
page.switch_page("app/views/method.py").run()
assert not page.exception, page.exception[0].stack_trace
here = [one.__file__ for one in sys.modules.values() if str(getattr(one, "__file__", None)).startswith(checkout)]
assert not [file for file in here if "/.venv/" not in file], here
"""


def tracked():
    """The files of the checkout that git knows."""
    command = ["git", "-C", str(PROJECT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [name for name in said.split("\0") if name and os.path.lexists(PROJECT / name)]


def pip(*words):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of a copy of what git knows, so that nothing else gets in, nor anything into the checkout."""
    source, out = (tmp_path_factory.mktemp(name) for name in ("source", "dist"))
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, source / name, follow_symlinks=False)
    pip("wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", out)
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder with nothing but what the wheel installs."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", wheel, "--no-deps", "--no-compile", "--target", folder)
    return folder


def test_it_holds_what_the_package_has_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    own = {name for name in tracked() if name.startswith("labapp/") and name != LINK}
    sweeps = {name.replace("analysis/sweeps", LINK) for name in tracked() if name.startswith("analysis/sweeps/")}
    assert names - about == own | (sweeps - {f"{LINK}/diagnosis/ill.yaml"})


def outside(site, folder):
    """The environment of somebody who installed it: no checkout, a cache of their own."""
    own = {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    return {name: value for name, value in os.environ.items() if not name.startswith("LABAPP_")} | own


def test_it_records_shows_and_draws_and_writes_nothing_where_it_is_installed(site, tmp_path):
    before = sorted(site.rglob("*"))
    environment = outside(site, tmp_path) | {"LABAPP_KERNELS": "compiled", "LABAPP_WARM": "0"}
    command = [sys.executable, "-c", USE, str(site), f"{PROJECT}/"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shutil.which("cc") is None or list((tmp_path / "cache" / "labapp").glob("kernels-*.so"))
    assert sorted(site.rglob("*")) == before
    for words in ([site / "bin" / "labapp"], [sys.executable, "-m", "labapp"]):
        said = subprocess.run([*words, "runs", "list"], cwd=tmp_path, env=environment, capture_output=True, check=True)
        assert b"1 runs in runs" in said.stdout


def test_its_app_opens(site, tmp_path):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen(
            [site / "bin" / "labapp", "app", "--port", str(port)],
            cwd=tmp_path,
            env=outside(site, tmp_path) | {"LABAPP_WARM": "0", "STREAMLIT_SERVER_HEADLESS": "true"},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        end, answer = time.monotonic() + WAIT, b""
        while answer != b"ok" and server.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
            with contextlib.suppress(OSError):
                answer = urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=5).read()
        assert answer == b"ok", (tmp_path / "said").read_text()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(WAIT)
