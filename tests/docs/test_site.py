"""Is the site whole? Built once, strictly; nothing missing in it, nothing fetched from elsewhere."""

import html
import importlib
import re
import subprocess
import sys

import pytest

from labapp.app.views.method import PARTS, title
from labapp.commands.cli import COMMANDS
from labapp.frames.method import cards
from tests.docs.pages import PROJECT

ROOMS = ("recording", "callbacks", "store", "exports", "nets", "frames", "figures", "charts", "claims", "config")
LOADED = re.compile(r"<(?:script|img|iframe|source|audio|video|link)\b[^>]*?\b(?:src|href)=\"([^\"]*)\"[^>]*>")
IN_STYLES = re.compile(r"(?:url\(|@import\s+)['\"]?([^'\")\s;]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning (a link that leads nowhere, a formula that is none) is an error."""
    pytest.importorskip("sphinx", reason="the extra docs is not installed here")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(out)]
    built = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return out


def plain(page):
    """The words of a page, formulas left out."""
    text = re.sub(r"<math\b.*?</math>", " ", page, flags=re.DOTALL)
    return squeezed(html.unescape(re.sub(r"<[^>]+>", "", text)))


def squeezed(words):
    return re.sub(r"[\s*`\\’'“”\"]+", "", words)


def test_each_card_stands_on_the_site_with_every_part(site):
    page = (site / "explanation/quantities.html").read_text()
    said = plain(page)
    formulas = 0
    for card in cards().values():
        assert f'id="quantity-{card.name.replace("_", "-")}"' in page
        assert squeezed(title(card)) in said
        for part in ("meaning", "formula", *(part for part, _ in PARTS)):
            words = re.split(r"\$[^$]+\$", getattr(card, part))
            formulas += len(words) - 1
            for piece in words:
                assert squeezed(piece) in said, (card.name, part)
        assert squeezed(card.command) in said
    assert page.count("<math") >= formulas > 40


def test_each_public_name_and_each_command_stands_in_the_reference(site):
    for room in ROOMS:
        page = (site / f"reference/{room}.html").read_text()
        for name in importlib.import_module(f"labapp.{room}").__all__:
            assert f'id="labapp.{room}.{name}"' in page, name
    said = (site / "reference/command-line.html").read_text()
    for name in COMMANDS:
        assert f"usage: labapp {name}" in said
    assert "\x1b" not in said


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        for address in LOADED.findall(page.read_text()):
            assert not re.match(r"(https?:)?//", address), f"{page.name} fetches {address}"
    for file in [*site.rglob("*.css"), *site.rglob("*.js")]:
        for address in IN_STYLES.findall(file.read_text()):
            assert not re.match(r"(https?:)?//", address), f"{file.name} fetches {address}"


def test_pictures_say_what_they_show(site):
    for page in site.rglob("*.html"):
        for picture in re.findall(r"<img\b[^>]*>", page.read_text()):
            assert re.search(r'alt="[^"]{12,}"', picture), (page.name, picture)
