"""Do lines of a PDF fit their column, and are odd numbers of claims drawn?"""

import io
import math
import re

import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from labapp.figures import paper
from labapp.figures.pages import ACROSS, Pages, broken, known, wide
from labapp.figures.sheets import as_png, as_svg, claim_strips

WORDS = "A deeper plain net has a higher training error than a shallower one; a deeper residual net has not. " * 3


@pytest.mark.parametrize("width", [0.3, 1.0, 2.5, ACROSS])
def test_lines_fit_and_lose_nothing(width):
    text = WORDS + "a-run-with-a-name-that-is-longer-than-any-line-of-a-narrow-column-would-ever-be " * 2
    lines = broken(text, width, 8.5)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(wide(line, 8.5) <= width + 1e-9 for line in lines)
    assert all(lines)


@pytest.mark.parametrize(("bold", "code"), [(False, False), (True, False), (False, True)])
def test_widths_are_those_of_what_is_drawn(bold, code):
    font = FontProperties(family="DejaVu Sans Mono" if code else "DejaVu Sans", weight="bold" if bold else "normal")
    drawn = TextPath((0, 0), WORDS.strip(), size=100, prop=font).get_extents().width / 72
    # kerning and the first letter's bearing are not counted: some thousandths of a long line
    assert wide(WORDS.strip(), 100, bold, code) == pytest.approx(drawn, rel=5e-3)


def test_a_sign_that_the_font_lacks_is_named():
    assert known("plain 中 é") == "plain ‹U+4E2D› é"
    assert broken("", 1.0, 8.5) == [""]


def test_pages_are_turned_and_a_table_has_its_head_on_each():
    held = io.BytesIO()
    with paper(), Pages(held, "many", "labapp report") as pages:
        pages.table(["run", "what"], [[f"run {number}", WORDS] for number in range(50)])
    assert len(re.findall(rb"/Type /Page\b", held.getvalue())) == pages._count
    assert pages._count > 1
    empty = io.BytesIO()
    with Pages(empty, "none", "labapp report"):
        pass
    assert len(re.findall(rb"/Type /Page\b", empty.getvalue())) == 1


def test_a_claim_is_drawn_whatever_its_numbers():
    usual = {"says": "x", "log": False, "values": [1.0, 2.0], "mean": 1.5, "low": 0.5, "high": 2.5, "threshold": 1.0,
             "above": True, "colour": "#2E7D32"}  # fmt: skip
    odd = [
        {"low": math.nan, "high": math.nan, "values": [1.0], "mean": 1.0},
        {"values": [0.0], "mean": 0.0, "low": 0.0, "high": 0.0, "threshold": 0.0},
        {"log": True, "values": [1e-45], "mean": 1e-45, "low": 0.0, "high": 1e-40, "threshold": 0.1},
        {"log": True, "values": [1.0, 9.0], "mean": 3.0, "low": 0.0, "high": math.inf, "threshold": 1.0},
        {"log": True, "values": [1.0], "mean": 1.0, "low": math.nan, "high": math.nan, "threshold": 1.0},
    ]
    with paper():
        figure = claim_strips([usual, *(usual | each for each in odd)])
        for ax in figure.axes:
            low, high = ax.get_xlim()
            assert math.isfinite(low)
            assert low < high
        assert as_svg(figure) == as_svg(figure)
        assert as_png(figure, 50).startswith(b"\x89PNG")
