"""What does somebody do with the app, from the first look to a picture in a paper?"""

import io
import re
import time
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from labapp.store import list_runs

POLL = 0.1  # seconds


def until(lab, holds, seconds=120):
    """Wait for something that the app does behind its page."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, lab.text()
        lab.page.wait_for_timeout(1000 * POLL)
    return lab.settled()


def test_from_the_first_visit_to_maps_of_ones_own_picture(open_lab, digit_nets):
    lab = open_lab(digit_nets).visit()
    assert lab.title()
    lab.go("Grad-CAM")
    picture = io.BytesIO()
    Image.fromarray((np.random.default_rng(0).random((60, 60, 3)) * 255).astype("uint8")).save(picture, "PNG")
    lab.page.get_by_text("Your own picture").first.click()
    mine = {"name": "mine.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    lab.after(lambda: lab.page.locator('input[type="file"]').set_input_files(mine))
    lab.page.keyboard.press("Escape")
    save = lab.page.locator('[class*="st-key-download-pdf"] button')
    until(lab, lambda: save.count() and save.is_enabled())
    with lab.page.expect_download() as download:
        save.click()
    assert download.value.path().read_bytes().startswith(b"%PDF")
    lab.keep("visit-gradcam-upload")


def test_an_address_shows_the_same_in_a_second_browser(open_lab, digit_nets):
    first = open_lab(digit_nets).visit("gradient_flow")
    first.after(lambda: first.page.get_by_text("weights", exact=True).first.click())
    slider = first.page.locator('[data-testid="stMain"] input[type="range"]').first
    slider.focus()
    first.after(lambda: first.page.keyboard.press("ArrowRight"))
    seen = first.title()
    first.page.wait_for_timeout(500)
    address = urllib.parse.urlparse(first.page.url)
    second = open_lab(digit_nets)
    second.page.goto(f"{second.address}{address.path}?{address.query}")
    second.page.wait_for_function("window.labRuns > 0")
    second.settled()
    assert second.title() == seen
    assert "weights' gradient" in seen
    ids = {run.id for run in list_runs(digit_nets)}
    runs = urllib.parse.parse_qs(address.query).get("runs", [])
    assert all(part in ids for word in runs for part in word.split(","))


def test_nonsense_in_an_address_is_a_sentence(open_lab, digit_nets):
    lab = open_lab(digit_nets)
    lab.visit("gradient_flow", runs="nobody", step="99999999", gradient="sideways", archive="/nowhere/at/all")
    assert "Traceback" not in lab.text()
    assert lab.title()
    lab.visit("signals", runs="residual,nobody", step="-3")
    assert "nobody" in str(lab.page.locator("body").inner_text())


@pytest.mark.long
def test_a_run_that_is_removed_while_it_is_shown(open_lab, digit_nets):
    import shutil

    lab = open_lab(digit_nets).visit()
    shutil.rmtree(digit_nets / "plain")
    for title in lab.titles():
        lab.go(title).check()


@pytest.mark.timeout(540)
def test_a_training_from_the_form_is_watched_stopped_and_resumed(open_lab, digit_nets):
    lab = open_lab(digit_nets).visit()
    before = {run.id for run in list_runs(digit_nets)}
    lab.after(lab.ask("Start an experiment").click)
    form = lab.page.locator('[role="dialog"]')
    for name, value in {"Depth": "8", "Width": "4", "Steps": "20000"}.items():
        field = form.get_by_label(name, exact=True)
        field.fill(value)
        field.press("Enter")  # the estimate below the form has the page's script run as well, so its end tells nothing
        words = f"--{name.lower()} {value}"
        until(lab, lambda words=words: words in form.inner_text())
    lab.after(lab.page.locator('[class*="st-key-form-start"] button').click)
    until(lab, lambda: {run.id for run in list_runs(digit_nets)} - before)
    run = next(run for run in list_runs(digit_nets) if run.id not in before)
    until(lab, lambda: run.progress[0] > 5)

    watching = open_lab(digit_nets).visit("gradient_flow", runs=run.id)
    first = watching.title()
    # The slider follows, and so does the answer; on a busy machine minutes later, so that it costs a training little.
    until(watching, lambda: watching.title() != first, 300)
    watching.keep("visit-live")

    lab.visit("", runs=run.id)
    stop = lab.page.locator('[class*="st-key-stop-"] button').first
    stop.wait_for()
    stop.click()
    until(lab, lambda: run.status == "stopped")
    at = run.progress[0]
    assert 0 < at < 20_000

    resume = lab.page.get_by_role("button", name=re.compile("^Resume"))
    resume.first.wait_for()
    resume.first.click()
    until(lab, lambda: run.status == "running" and run.progress[0] > at)
    lab.page.locator('[class*="st-key-stop-"] button').first.click()
    until(lab, lambda: run.status == "stopped")
    assert list(run.steps()["step"]) == list(range(run.progress[0]))
