"""Are names text, whatever they are, on every page?"""

import json
import re
import shutil

import pytest

from labapp.store import list_runs
from tests.app import nasty
from tests.app.pages import settled

PAGES = (
    "overview",
    "gradient_flow",
    "signals",
    "compare",
    "feature_reuse",
    "representation",
    "architecture",
    "gradcam",
)


@pytest.fixture(scope="module")
def named(_probed, tmp_path_factory):
    return nasty.nastied(_probed, tmp_path_factory.mktemp("named") / f"runs {nasty.NAME}")


@pytest.mark.parametrize("page", PAGES)
def test_every_name_is_text_on_every_page(named, open_page, page):
    app = open_page(named, None if page == "overview" else page)
    if page == "gradcam":
        app = settled(app)
    found = nasty.markdowns(app)
    wrong = {words: left for words in found if (left := nasty.left(words))}
    assert not wrong, "\n".join(f"{left} in {words!r}" for words, left in wrong.items())
    assert any("\\*b\\*" in words for words in found), "no name was shown"
    for element in app.get("html"):
        assert "<img src=x" not in element.proto.body
    for element in app.get("vega_lite_chart"):
        for expression in nasty.expressions(json.loads(element.proto.spec)):
            bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
            assert not re.search(r"[<>\\]img|onerror|:smile|\$x", bare), expression


def test_one_hostile_record_spoils_no_page_for_the_runs_beside_it(archive, open_page):
    """Values of a kind that nobody expects, in each part of a run.json that pages read."""
    good, bad = list_runs(archive)[:2]
    said = json.loads((bad.path / "run.json").read_text())
    changes = [
        {"recorder": {"share": "x", "cpu_share": [1]}},
        {"layers": [{"path": "a"}]},
        {"layers": [{"path": "a", "kind": "conv", "shape": [10**9] * 3, "parameters": 1}]},
        {"layers": [layer | {"shape": [], "stage": None, "depth": None} for layer in said["layers"]]},
        {"layers": [layer | {"shape": "x"} for layer in said["layers"]]},
        {"environment": {"images": [1]}},
        {"attempts": [{"pid": "x", "host": [1], "process": {}}], "status": "running"},
        {"progress": {"step": -(10**30), "steps": 0}},
        {"seconds": float("nan"), "message": "x" * 100_000},
    ]
    for number, change in enumerate(changes):
        path = bad.path.with_name(f"bad{number}")
        shutil.copytree(bad.path, path)
        (path / "run.json").write_text(json.dumps(said | change))
    app = open_page(archive)
    ids = [run.id for run in list_runs(archive)]
    app.multiselect(key="runs").set_value(ids).run()
    for page in ("overview", *PAGES[1:5], "architecture", "gradcam"):
        app.switch_page(f"app/views/{page}.py").run()
        assert not app.exception, (page, app.exception[0].stack_trace)
    assert good.id in ids
