"""What a page shows, as the tests read it off, and what a user does with it."""

import functools
import json
import shutil
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner import script_cache
from streamlit.testing.v1 import AppTest, app_test, local_script_runner

import labapp
from labapp.app import launch
from labapp.store import Run, list_runs

MAIN = Path(labapp.__file__).resolve().parent / "main.py"
# For each app that a test opens Streamlit goes over the metadata of all packages, half a second where there are as many
# as development needs; no test installs one.
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
# A server compiles each page once; AppTest would do it each time that one is drawn.
COMPILED = script_cache.ScriptCache()
app_test.ScriptCache = local_script_runner.ScriptCache = lambda: COMPILED


def _wait(runner: local_script_runner.LocalScriptRunner, timeout: float = 3) -> None:
    """Until its script has run. AppTest looks a thousand times a second, each time at all that the page has sent."""
    runner._script_thread.join(timeout)
    if not runner.script_stopped():
        runner.request_stop()
        runner.join()
        raise RuntimeError(f"the page was not drawn within {timeout} s")


local_script_runner.require_widgets_deltas = _wait


def go(app: AppTest, page: str) -> AppTest:
    """Switch to another page."""
    app.switch_page(f"app/views/{page}.py").run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def choose(app: AppTest, *runs: Run) -> AppTest:
    """Choose runs in the sidebar."""
    app.multiselect(key="runs").set_value([run.id for run in runs]).run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def settled(app: AppTest) -> AppTest:
    """The Grad-CAM page when all questions are answered; in a browser it looks again by itself."""
    end = time.monotonic() + 150
    while not app.exception and time.monotonic() < end:
        if "_looking" not in app.session_state or not app.session_state["_looking"]:
            break
        time.sleep(0.05)
        app.run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def ended(job: launch.Launch) -> launch.Launch:
    """A launch when it no longer runs."""
    end = time.monotonic() + 150
    while launch.load(job.path).status in launch.UNENDED and time.monotonic() < end:
        time.sleep(0.1)
    return launch.load(job.path)


def count_charts(app: AppTest) -> int:
    """How many charts are on the page."""
    return len(app.get("vega_lite_chart"))


def drawn(app: AppTest, chart: int = 0) -> pd.DataFrame:
    """The rows of a chart's largest table of recorded steps; the charts in the order of the page."""
    held = app.get("vega_lite_chart")[chart].proto.datasets
    tables = [pa.ipc.open_stream(each.data.data).read_pandas() for each in held]
    return max((table for table in tables if {"step", "value"} <= set(table)), key=len)


def texts(app: AppTest) -> list[str]:
    """The captions and the running text."""
    return [element.value for element in (*app.caption, *app.markdown)]


def grid(app: AppTest) -> str:
    """The table of maps, as HTML."""
    return next(element.proto.body for element in app.get("html") if "<thead" in element.proto.body)


def rows(app: AppTest) -> int:
    """How many nets the table of maps has."""
    return grid(app).count("scope='row'")


def named(root: Path, name: str, seed: int = 0) -> Run:
    """The run of this name and seed."""
    return next(run for run in list_runs(root) if run.name == name and run.experiment.seed == seed)


def unprobe(root: Path, *names: str) -> None:
    """Remove the probes of these runs; of all, where none is named."""
    for run in list_runs(root):
        if run.name in names or not names:
            shutil.rmtree(run.path / "probes", ignore_errors=True)


def select(app: AppTest, chosen: list[int], key: str = "all") -> AppTest:
    """Choose rows of a table, as a click on each does in a browser."""
    states = app._tree.get_widget_states()
    element = next(each for each in app.dataframe if key in each.proto.id)
    state = states.widgets.add()
    state.id = element.proto.id
    state.string_value = json.dumps({"selection": {"rows": chosen, "columns": [], "cells": []}})
    app._run(states)
    assert not app.exception, app.exception[0].stack_trace
    return app
