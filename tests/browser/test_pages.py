"""Is each page drawn, in each state of an archive, in a window and on a phone, on a light and on a dark ground?"""

import pytest

from tests.browser.lab import PHONE, WIDE
from tests.browser.test_visits import until

STATES = ["no run", "one run", "live", "diverged", "broken", "foreign", "thirty runs"]


@pytest.mark.parametrize("state", STATES, indirect=True)
def test_every_page_in_every_state(state, open_lab, request):
    lab = open_lab(state).visit()
    titles = lab.titles()
    assert len(titles) >= 7
    for title in (*titles[1:], titles[0]):  # the first stands there already
        if title == "Method" and "one run" not in request.node.name:
            continue  # it reads the lab's own docstrings, and nothing of an archive
        lab.go(title).check()
        assert lab.title(), title
        lab.keep(f"{request.node.callspec.id.replace(' ', '-')}-{name(title)}")


@pytest.mark.parametrize("size", [pytest.param(WIDE, marks=pytest.mark.long), PHONE])
def test_every_page_at_every_size(size, open_lab, probed_nets):
    """On a dark ground; on a phone on a light one too, which windows have in every state above."""
    lab = open_lab(probed_nets, size=size, theme="dark").visit()
    folded = lab.page.locator('[data-testid="stSidebar"]').get_attribute("data-collapsed")
    assert folded == ("true" if size == PHONE else "false")  # on a phone it would cover the page
    titles = lab.titles()
    for title in (*titles[1:], titles[0]):
        lab.go(title)
        for theme in ("light", "dark") if size == PHONE else ("dark",):
            lab.on_ground(theme).check()
            assert lab.fits(), f"{title} is wider than {size[0]} pixels"
            assert lab.page.evaluate(CUT) == [], title
            assert lab.page.evaluate(UNNAMED) == [], title
            until(lab, lambda: lab.page.evaluate(ASTRAY) == [])  # a strip of pictures moves as they come
            lab.keep(f"{size[0]}-{theme}-{name(title)}")


# Charts of which a part lies beyond their place: a legend or labels that are cut.
CUT = """() => [...document.querySelectorAll('[data-testid="stMain"] [data-testid="stVegaLiteChart"]')]
.flatMap(chart => {
  const drawn = chart.querySelector('canvas, svg.marks');
  if (!drawn || !chart.offsetParent) return [];
  const inner = drawn.getBoundingClientRect().right, outer = chart.getBoundingClientRect().right;
  return inner > outer + 1 ? [`${chart.getAttribute('aria-label')}: ${inner} > ${outer}`] : [];
})"""
# Charts, pictures and buttons of which nobody who does not see them can tell what they are.
UNNAMED = """() => [
  ...[...document.querySelectorAll('[data-testid="stMain"] [data-testid="stVegaLiteChart"]')]
    .filter(chart => !chart.getAttribute('aria-label')),
  ...[...document.querySelectorAll('[data-testid="stMain"] img')].filter(image => image.alt === null),
  ...[...document.querySelectorAll('[data-testid="stMain"] button')]
    .filter(button => !(button.innerText || button.getAttribute('aria-label') || button.title).trim()),
].map(found => found.outerHTML.slice(0, 200))"""

# Buttons that lie beside the column of text and pictures: a rule of style took them away from their place.
ASTRAY = """() => {
  const column = document.querySelector('[data-testid="stMainBlockContainer"]').getBoundingClientRect();
  const inside = getComputedStyle(document.querySelector('[data-testid="stMainBlockContainer"]'));
  const [left, right] = [column.left + parseFloat(inside.paddingLeft), column.right - parseFloat(inside.paddingRight)];
  const scrolled = each => each && (/auto|scroll/.test(getComputedStyle(each).overflowX)
    && each.scrollWidth > each.clientWidth && each.closest('[data-testid="stMainBlockContainer"]')
    || scrolled(each.parentElement));
  return [...document.querySelectorAll('[data-testid="stMainBlockContainer"] button')]
    .filter(button => !scrolled(button.parentElement))
    .map(button => [button, button.getBoundingClientRect()])
    .filter(([, {width, left: from, right: to}]) => width && (from < left - 8 || to > right + 8))
    .map(([button, {left: from, right: to}]) => `${button.innerText || button.outerHTML.slice(0, 150)}: ${from}–${to}`);
}"""


def name(title):
    return title.lower().replace(" ", "-")


def test_every_control_is_reached_by_keyboard(open_lab, probed_nets):
    """With the tabulator alone: the pages, every control of the page and the menus of its charts, and out again."""
    lab = open_lab(probed_nets).visit("gradient_flow")
    wanted = lab.page.evaluate(
        """() => { const found = [...document.querySelectorAll(
             '[data-testid="stMain"] :is(button, input, select, a[href])')]
               .filter(each => each.offsetParent && !each.disabled && each.tabIndex >= 0
                               && !each.closest('[data-testid="stElementToolbar"]'));
             found.forEach((each, at) => each.dataset.labAt = at); return found.length; }"""
    )
    assert wanted > 8
    seen = set()
    for _ in range(6 * wanted + 60):
        lab.page.keyboard.press("Tab")
        seen.add(lab.page.evaluate("document.activeElement?.dataset.labAt ?? ''"))
    groups = lab.page.evaluate(  # of a group of choices one is reached, and the arrows lead to the others
        """() => [...document.querySelectorAll('[data-lab-at]')]
             .filter(each => each.closest('[role="radiogroup"], [data-testid="stButtonGroup"]'))
             .map(each => each.dataset.labAt)"""
    )
    assert {str(at) for at in range(wanted)} - seen - set(groups) == set()


def test_the_menu_of_a_chart_opens_by_keyboard_and_downloads(open_lab, probed_nets):
    lab = open_lab(probed_nets).visit("gradient_flow")
    menu = lab.page.locator('[class*="st-key-menu-profile"] button')
    menu.focus()
    lab.after(lambda: lab.page.keyboard.press("Enter"))
    for form, magic in {"PNG": b"\x89PNG", "SVG": b"<svg", "PDF": b"%PDF", "CSV": b"run,run_id"}.items():
        with lab.page.expect_download() as download:
            lab.ask(form).press("Enter")
        assert download.value.suggested_filename == f"profile.{form.lower()}"
        assert download.value.path().read_bytes().startswith(magic)
