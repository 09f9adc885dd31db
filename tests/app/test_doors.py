"""Who comes in, and what can be done from a page? The app on real archives, and as a real server."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import OrderedDict

import psutil
import pytest

from labapp.app import background, launch, questions
from labapp.commands.app import opened
from labapp.store import Run, list_runs
from tests.app.pages import MAIN, settled, texts

WITHOUT_BUTTONS = ("gradient_flow", "signals", "compare", "method")  # that start something
PAGES = ("overview", *WITHOUT_BUTTONS, "gradcam", "feature_reuse", "representation", "architecture")
PROJECT = MAIN.parent.parent


@pytest.mark.parametrize(
    ("folder", "page"),
    [("/", None), ("..", "gradcam"), ("{root}/../outside", None), ("{root}/link", None), ("{root}/\0", "signals")],
)
def test_an_archive_outside_the_roots_is_one_sentence(archive, open_page, record, tmp_path, folder, page):
    outside = tmp_path / "outside"
    record(outside, family="residual", depth=32)
    (archive / "link").symlink_to(outside)
    app = open_page(archive, page, archive=folder.format(root=archive, outside=outside))
    assert app.title[0].value == "This archive is not opened here."
    assert len(app.error) == 1
    assert "\n" not in app.error[0].value
    assert not app.multiselect(key="runs").options
    assert not [button for button in app.button if button.key != "look"]
    app.button(key="look").click().run()  # nor the fragments that look again
    assert not app.exception
    app.text_input(key="archive").set_value(str(archive)).run()
    assert len(app.multiselect(key="runs").options) == 5


def test_a_run_that_leads_out_of_the_archive_is_left_alone(archive, open_page, record, tmp_path):
    outside = record(tmp_path / "outside", family="residual", depth=32)
    inner = list_runs(archive)[0]
    (archive / "linked").symlink_to(outside.path)
    (inner.path / "probes").mkdir()
    (inner.path / "probes" / "x.step-00000000.parquet").symlink_to(outside.path / "run.json")
    app = open_page(archive)
    assert "linked" not in app.multiselect(key="runs").options
    assert len(app.multiselect(key="runs").options) == 5
    said = app.warning[0].value
    assert said.count("is a link out of the folders that this app may open, so it is left alone") == 2
    assert inner.id not in app.dataframe[0].value["run_id"].tolist()


@pytest.mark.parametrize("page", PAGES)
def test_read_only_pages_start_nothing_and_say_why(trained, open_page, monkeypatch, page):
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    monkeypatch.setenv("LABAPP_STARTER", "1")
    app = open_page(trained, None if page == "overview" else page)
    app = settled(app) if page == "gradcam" else app
    starting = ("starter", "new", "probe-", "stop-", "form-start")
    assert not [button.key for button in app.button if str(button.key).startswith(starting)]
    if page not in (*WITHOUT_BUTTONS, "gradcam"):
        assert any("because this lab was opened with --read-only" in words for words in texts(app))
    assert not (trained / launch.FOLDER).exists()


def test_a_read_only_archive_without_runs_offers_nothing(open_page, tmp_path, monkeypatch):
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    monkeypatch.setenv("LABAPP_STARTER", "1")
    app = open_page(tmp_path)
    assert not [button for button in app.button if button.key != "look"]
    assert any("because this lab was opened with --read-only" in words for words in texts(app))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def hostile(trained, tmp_path, monkeypatch):
    """A run that says that its net is a module which, once imported, leaves a file behind."""
    mark = tmp_path / "imported"
    (tmp_path / "evil_module.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise RuntimeError('evil')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LABAPP_TRUST", "")
    monkeypatch.syspath_prepend(tmp_path)
    root = tmp_path / "runs"
    source = list_runs(trained)[0]
    said = json.loads((source.path / "run.json").read_text())
    kept = ("imageset", "steps", "batch_size", "train_images", "test_images", "checkpoints", "record", "eval_every")
    said["experiment"] = {name: said["experiment"][name] for name in kept} | {"net": "evil_module:make"}
    path = shutil.copytree(source.path, root / "hostile")
    (path / "run.json").write_text(json.dumps(said))
    yield Run(path)
    for job in launch.running(root):
        launch.stop(job, wait=60)
    assert not mark.exists(), "the code was executed"


def test_no_code_is_loaded_ahead_that_nobody_trusts(hostile, monkeypatch):
    monkeypatch.setenv(questions.WARM, "1")
    monkeypatch.setattr(questions, "AFTER", 0.0)
    monkeypatch.setattr(background, "_JOBS", OrderedDict())
    job = questions.warm([hostile])
    assert job is not None
    assert background.wait([job], 120)
    assert (job.fault, list(background._JOBS)) == ("", [("warm",)])


@pytest.mark.parametrize("page", PAGES)
def test_looking_at_a_run_never_imports_its_net(hostile, open_page, page):
    app = open_page(hostile.path.parent, None if page == "overview" else page)
    app = settled(app) if page == "gradcam" else app
    if page not in ("overview", *WITHOUT_BUTTONS):
        assert any("consent" in words and "--trust evil" in words for words in texts(app)), texts(app)
    assert launch.launches(hostile.path.parent) == []  # nor does a page begin what would
    assert "evil_module" not in sys.modules


def test_a_run_called_like_an_option_is_no_option(hostile, open_page):
    """Its id stands in the words of the command that measures it."""
    trusting = hostile.path.with_name("--trust=evil_module")
    plain = json.loads((hostile.path / "run.json").read_text())
    plain["experiment"]["net"] = "torchvision:resnet18"
    hostile.path.rename(trusting)
    (trusting / "run.json").write_text(json.dumps(plain))
    app = open_page(trusting.parent, "architecture")
    assert not app.exception
    (job,) = launch.launches(trusting.parent)
    assert "./--trust=evil_module" in job.arguments
    assert not [word for word in job.arguments if word.startswith("--trust")]


SETTINGS = ("server.address", "server.enableXsrfProtection", "server.enableCORS", "server.maxUploadSize",
            "client.showErrorDetails", "browser.gatherUsageStats")  # fmt: skip
SAFE = ["localhost", True, True, 20, "none", False]


@pytest.fixture
def careless(tmp_path):
    """A home and a working folder whose settings open every door."""
    for folder in ("home", "work"):
        (tmp_path / folder / ".streamlit").mkdir(parents=True)
        (tmp_path / folder / ".streamlit" / "config.toml").write_text(
            '[server]\naddress = "0.0.0.0"\nenableXsrfProtection = false\nenableCORS = false\nmaxUploadSize = 2000\n'
            '[client]\nshowErrorDetails = "full"\n[browser]\ngatherUsageStats = true\n'
        )
    return tmp_path / "work", os.environ | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(PROJECT)}


def test_the_settings_beside_the_entrypoint_go_before_those_of_the_user(careless):
    folder, environment = careless
    code = (
        "import json, sys; from streamlit import config; config._main_script_path = sys.argv[1]\n"
        "config.get_config_options(force_reparse=True)\n"
        "print(json.dumps([config.get_option(name) for name in sys.argv[2:]]))"
    )
    command = [sys.executable, "-c", code, str(MAIN), *SETTINGS]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == SAFE


@pytest.mark.parametrize("way", ["streamlit run", "labapp app"])
def test_the_server_listens_to_this_machine_alone_and_refuses_uploads_of_others(careless, tmp_path, way):
    folder, environment = careless
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if way == "labapp app":
        command, settings = opened((str(tmp_path / "runs"),), port=port)
    else:
        command, settings = [sys.executable, "-m", "streamlit", "run", str(MAIN), "--server.port", str(port)], {}
    command += ["--server.headless", "true", "--server.fileWatcherType", "none"]
    with subprocess.Popen(
        command, cwd=folder, env=environment | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            until = time.monotonic() + 60
            while answer(port, "GET", "/_stcore/health") != 200:
                assert time.monotonic() < until
                time.sleep(0.1)
            heard = {each.laddr.ip for each in psutil.Process(server.pid).net_connections() if each.status == "LISTEN"}
            assert heard <= {"127.0.0.1", "::1"}
            assert answer(port, "PUT", "/_stcore/upload_file/a/b", b"x") in (400, 403)  # without the page's token
        finally:
            server.kill()


def answer(port: int, method: str, path: str, body: bytes | None = None) -> int:
    connection = http.client.HTTPConnection("localhost", port, timeout=10)
    try:
        connection.request(method, path, body)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def test_an_error_of_a_page_shows_no_details(careless):
    """What a browser is sent of an exception, by Streamlit's own rules under the settings of this app."""
    folder, environment = careless
    code = (
        "import sys; from streamlit import config; config._main_script_path = sys.argv[1]\n"
        "config.get_config_options(force_reparse=True)\n"
        "from streamlit.elements import exception\n"
        "from streamlit.proto.Exception_pb2 import Exception as Proto\n"
        "made = Proto()\n"
        "try: raise RuntimeError('secret')\n"
        "except RuntimeError as error: exception.marshall(made, error, apply_show_error_details=True)\n"
        "print(made)"
    )
    command = [sys.executable, "-c", code, str(MAIN)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert "secret" not in done.stdout
    assert "RuntimeError" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("stack_trace")]
