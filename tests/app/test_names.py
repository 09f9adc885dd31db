"""Are names text, whatever they are, on every page?"""

import json
import re

import pytest

from tests.app import nasty
from tests.app.pages import settled

PAGES = ("overview", "gradient_flow", "signals", "feature_reuse", "representation", "architecture", "gradcam")


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
