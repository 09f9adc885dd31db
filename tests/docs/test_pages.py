"""Does what the pages say really run? Every page from top to bottom, its blocks in order, in one folder and one Python.

Blocks of Python and SQL run as they stand; one that begins with `# NAME.py` is that file. Commands of the lab run in
this process, made small as `shrunk.py` says.
"""

import os
import re
import shutil
import sys
import types
from pathlib import Path

import duckdb
import matplotlib.pyplot as plt
import pytest
from torch import nn

from labapp.commands.cli import main
from labapp.commands.sweep import estimating
from labapp.config import Experiment
from labapp.frames import costs
from labapp.recording import unwatch
from labapp.training.loop import train
from tests.docs.pages import NAMES, PROJECT, blocks, commands, ours
from tests.docs.shrunk import allowed, shrunk, why_read

FILE = re.compile(r"# (\w+\.py)$", re.MULTILINE)
BEFORE = {  # what a page takes as given: on the README everybody's own model and loop
    "README.md": """
import torch
from torch import nn

model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = [(torch.randn(4, 3, 8, 8), torch.randint(0, 10, (4,))) for _ in range(3)]
loss_function = nn.functional.cross_entropy
""",
}


@pytest.fixture(scope="module")
def small_runs(tmp_path_factory):
    """An archive with the runs that pages speak of, by id: small nets, one of them interrupted."""
    root = tmp_path_factory.mktemp("documents") / "runs"
    about = {"imageset": "digits", "depth": 20, "width": 4, "steps": 4, "batch_size": 16, "train_images": 64}
    about |= {"test_images": 48, "checkpoints": 2, "eval_every": 2, "record_every": 2, "device": "cpu"}

    def stop(moment):
        if moment.step == 3:
            raise KeyboardInterrupt

    train(Experiment(family="plain", **about), root, run_id="plain-56")
    with pytest.raises(KeyboardInterrupt):
        train(Experiment(family="residual", **about), root, run_id="residual-56", progress=stop, keep_every=0)
    return root


class ServedError(Exception):
    """The process would have become the server of the app here."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which a page is tried."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    (tmp_path / "analysis").symlink_to(PROJECT / "analysis")
    known = set(sys.modules)

    def become(*_):
        raise ServedError

    monkeypatch.setattr(os, "execve", become)
    # how long a sweep would take is timed by tests/commands/test_sweep.py, in processes that cost fifteen seconds
    monkeypatch.setattr(estimating, "_timed", lambda all, *_: dict.fromkeys(map(costs.net_key, all), "not timed here"))
    yield tmp_path
    plt.close("all")
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize("page", [name for name in NAMES if blocks(name, "python", "console", "bash", "sql")])
@pytest.mark.filterwarnings("default")  # what is left out of a record, what other libraries say: a reader is told too
def test_a_page_runs_from_top_to_bottom(page, folder, small_runs):
    said = [words for block in blocks(page, "console", "bash") for words in commands(block.body) if ours(words)]
    if page == "README.md" or any(name in words for words in said for name in ("plain-56", "residual-56")):
        prepare(folder, small_runs)
    python = types.ModuleType("page")
    exec(BEFORE.get(page, ""), vars(python))
    try:
        for block in blocks(page):
            if block.kind == "python":
                run(block, page, vars(python), folder)
            elif block.kind == "sql":
                duckdb.sql(block.body).fetchall()
            elif block.kind in ("console", "bash"):
                for words in commands(block.body):
                    command(words)
    finally:
        for thing in list(vars(python).values()):
            if isinstance(thing, nn.Module):
                unwatch(thing)


def run(block, page, names, folder):
    """Run a block of Python, or write the file that it is."""
    if name := FILE.match(block.body):
        (folder / name[1]).write_text(block.body)
        return
    code = compile("\n" * (block.line - 1) + block.body, str(PROJECT / page), "exec")
    exec(code, names)


def command(words):
    """Run a command of the lab; one that would open the app, up to there."""
    given = ours(words)
    if given is None or words[0] != "labapp" or why_read(given):
        return

    expanded = [found for word in given for found in (sorted(map(str, _matches(word))) or [word])]
    try:
        code = main(shrunk(expanded))
    except ServedError:
        assert given[0] == "app"
        return
    assert code in allowed(given), f"`labapp {' '.join(given)}` ended with {code}"


def _matches(word):
    """What a shell would put in the place of a word such as main/*."""
    return Path().glob(word) if "*" in word and "/" in word and not word.startswith("/") else ()


def prepare(folder, small_runs):
    """The archive that a page speaks of."""
    shutil.copytree(small_runs, folder / "runs")
    shutil.copytree(small_runs / "plain-56", folder / "runs" / "residual-56-…")
