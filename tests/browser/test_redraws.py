"""What is sent to a browser when a step changes? What depends on it, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.browser.test_visits import until
from tests.conftest import record_run


class Heard:
    """The messages that a tab got from the server, by the places on the page that they fill."""

    def __init__(self, page: Any) -> None:
        self.messages: list[ForwardMsg] = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._hear))

    def _hear(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            message = ForwardMsg()
            message.ParseFromString(frame)
            self.messages.append(message)

    def places(self) -> set[tuple[int, ...]]:
        """Where elements were drawn, also those whose content the browser had."""
        return {tuple(each.metadata.delta_path) for each in self.messages if each.metadata.delta_path}

    def charts(self, key: str) -> set[tuple[int, ...]]:
        """Where charts were drawn whose key begins like this."""
        return {tuple(each.metadata.delta_path) for each in self.messages if f"chart-{key}" in each.delta.add_block.id}


def test_a_step_draws_no_heatmap_and_a_control_does(open_lab, tmp_path: Path):
    run = record_run(tmp_path, recorded=tuple(range(0, 400)), steps=400, layers=4)
    lab = open_lab(tmp_path)
    lab.visit("method")
    heard = Heard(lab.page)
    lab.visit("gradient_flow", runs=run.id)
    heatmaps, profile = heard.charts("heatmap-"), heard.charts("profile")
    assert heatmaps
    assert profile
    slider = lab.page.locator('[data-testid="stMain"] input[type="range"]')
    slider.focus()
    heard.messages.clear()
    for step in (1, 2, 3):  # each recorded step, though not all are offered at once
        lab.after(lambda: lab.page.keyboard.press("ArrowRight"))
        assert f"At step {step} " in lab.title()
    assert profile <= heard.places()
    assert not heatmaps & heard.places()
    heard.messages.clear()
    lab.after(lambda: lab.page.get_by_text("weights", exact=True).first.click())
    until(lab, lambda: heatmaps <= heard.places())  # the whole page, which begins where the part of it ends
    assert "weights" in lab.title()


PLOTS = '[data-testid="stMain"] [data-testid="stVegaLiteChart"] :is(canvas, svg)'


@pytest.mark.parametrize(("page", "charts"), [("gradient_flow", 2), pytest.param("signals", 4, marks=pytest.mark.long)])
def test_a_step_gives_charts_new_rows_and_begins_none_anew(open_lab, digit_nets, page, charts):
    lab = open_lab(digit_nets).visit(page)
    slider = lab.page.locator('[data-testid="stMain"] input[type="range"]').first
    slider.focus()
    lab.after(lambda: lab.page.keyboard.press("End"))  # away from step 0, beside which theory is drawn
    lab.page.evaluate("all => document.querySelectorAll(all).forEach(each => each.before = true)", PLOTS)
    count, title = lab.page.locator(PLOTS).count(), lab.title()
    assert count >= charts
    lab.after(lambda: lab.page.keyboard.press("ArrowLeft"))
    assert lab.title() != title
    assert (
        lab.page.evaluate("all => [...document.querySelectorAll(all)].filter(each => each.before).length", PLOTS)
        == count
    )
