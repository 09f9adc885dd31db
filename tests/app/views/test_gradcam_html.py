"""The table of maps, by itself."""

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.app.pages import grid

PAGE = """
import numpy as np
from labapp.app.views.gradcam_html import map_grid
from labapp.figures import maps
columns = [f"stage {at + 1}, 24×24" for at in range(COUNT)]
values = np.random.default_rng(0).random((24, 24))
cells = [maps.Cell(values, f"stage{at}.conv1", "63.4 % inside") for at in range(COUNT)]
rows = [maps.MapRow("plain-8 (no norm)", cells, "3: 90 % (says 5)"), maps.MapRow("vgg-11", [*cells[:-1], None])]
sheet = maps.Sheet(np.zeros((24, 24, 3), np.uint8), rows, None, columns=tuple(columns))
map_grid(sheet, columns, [("data:,", "a run")] * 2)
"""


def table(count):
    opened = AppTest.from_string(PAGE.replace("COUNT", str(count)), default_timeout=30).run()
    assert not opened.exception
    return grid(opened)


def test_each_cell_says_of_which_column_it_is():
    cells = re.findall(r"<td role='cell' data-column='([^']*)'", table(4))
    assert cells == ["image", *(f"stage {at}, 24×24" for at in (1, 2, 3, 4))] * 2


@pytest.mark.parametrize("count", [1, 4, 12])
def test_rows_fold_on_a_phone_and_stand_in_line_elsewhere(count, browser):
    with browser.new_page(viewport={"width": 390, "height": 844}) as page:
        page.set_content(f"<body style='margin:16px'>{table(count)}</body>")
        maps = page.locator(".maps")
        assert maps.evaluate("each => each.scrollWidth <= each.clientWidth")
        assert page.get_by_role("table").get_by_role("row").count() == 3
        tops = page.locator(".maps tbody tr:first-child td").evaluate_all(
            "each => each.map(one => one.getBoundingClientRect().top)"
        )
        assert len(set(tops)) == int(np.ceil((count + 1) / 3))
        page.set_viewport_size({"width": 1280, "height": 900})
        assert page.locator(".maps thead").bounding_box()["height"] > 10
        tops = page.locator(".maps tbody tr:first-child td").evaluate_all(
            "each => each.map(one => one.getBoundingClientRect().top)"
        )
        assert len(set(tops)) == 1
