"""The whole app: it opens without torch, from any folder."""

import subprocess
import sys

import pandas as pd
import pytest

from labapp import app
from labapp.app import launch
from tests.app.pages import MAIN


def heavy_modules(root, pages):
    """Which modules of the laboratory a process has loaded after these pages were opened."""
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(MAIN)!r}, default_timeout=60).run()
for page in {pages!r}:
    app.switch_page(f"app/views/{{page}}.py").run()
    assert not app.exception, app.exception[0].stack_trace
    print(app.title[0].value)
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("torch", "torchvision", "captum", "sklearn")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"LABAPP_RUNS": str(root), "PATH": "", "LABAPP_WARM": "0"},  # nothing but the pages
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_the_app_never_imports_torch(archive):
    title, modules = heavy_modules(archive, ("gradient_flow",))
    assert "1.20×" in title
    assert modules == "[]"


def test_a_page_has_its_process_keep_strings_as_pythons(open_page, archive):
    with pd.option_context("mode.string_storage", "pyarrow"):
        open_page(archive)
        assert pd.get_option("mode.string_storage") == "python"


@pytest.mark.long
def test_pages_about_probes_never_import_torch(probed):
    *_, modules = heavy_modules(
        probed, ("signals", "compare", "method", "feature_reuse", "representation", "architecture", "others")
    )
    assert modules == "[]"


def test_the_entrypoint_puts_the_project_on_the_path_instead_of_its_own_folder(archive, open_page):
    sys.path.insert(0, str(MAIN.parent))
    open_page(archive)
    assert str(MAIN.parent.parent) in sys.path
    assert str(MAIN.parent) not in sys.path


def test_the_starter_begins_when_the_page_is_opened_where_asked_for(open_page, archive, tmp_path, monkeypatch):
    open_page(tmp_path / "empty")
    assert launch.launches(tmp_path / "empty") == []
    monkeypatch.setenv("LABAPP_STARTER", "1")
    for _ in range(2):  # two who open it
        page = open_page(tmp_path / "empty")
        assert page.title[0].value == "The first run is about to begin."
    (job,) = launch.launches(tmp_path / "empty")
    assert job.arguments == ("starter",)
    launch.stop(job, wait=60)
    open_page(archive)
    assert launch.launches(archive) == []
    (tmp_path / "file").write_text("")
    assert open_page(tmp_path / "file").title[0].value == "Nothing is recorded here yet."


def test_pages_can_be_imported_without_drawing():
    from labapp.app.views import gradient_flow, overview

    assert callable(overview.page)
    assert callable(gradient_flow.page)
    assert app.PICTURE.startswith("<svg")
