"""Does a report hold what it should, in one file that asks nobody for anything and believes no name?"""

import re
import subprocess
import sys
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from labapp.commands.cli import main
from labapp.commands.report import diagnoses, lacking, pictures, runs
from labapp.commands.report.command import _may_be_written
from labapp.commands.report.contents import gathered
from labapp.commands.report.html import as_html
from labapp.commands.report.pdf import as_pdf
from labapp.commands.report.scope import scope_of
from labapp.store import label_run
from tests.conftest import record_run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NASTY = "<script>alert(1)</script> \"quoted\" 'single' & <b>bold</b> {{ 7 * 7 }} `code` \u202etxt.exe"
ATTRIBUTES = {"src", "href", "action", "data", "poster", "srcset", "background", "formaction", "xlink:href"}


class Page(HTMLParser):
    """What a browser would make of a page: elements with attributes, words, and what it would ask others for."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.asked, self.words, self.styles = [], [], "", ""
        self.inside = []
        self.feed(text)
        self.tags = {tag for tag, _ in self.elements}

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.asked += [
            value for name, value in attributes if name in ATTRIBUTES and not value.startswith(("data:", "#"))
        ]
        if tag not in ("meta", "img"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, words):
        if self.inside and self.inside[-1] == "style":
            self.styles += words
        else:
            self.words += words


def flat(text):
    return " ".join(text.replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Identity shortcuts at 0.9 and scaled ones at 0.8, three seeds; one that diverged, one whose table is damaged."""
    root = tmp_path_factory.mktemp("report") / "runs"
    about = {"family": "residual", "depth": 8, "recorded": (0, 2), "steps": 3}
    for seed in range(3):
        record_run(root, accuracy=0.9 + 0.001 * seed, seed=seed, run_id=f"identity{seed}", **about)
        record_run(root, accuracy=0.8 + 0.001 * seed, seed=seed, run_id=f"scaled{seed}", shortcut_scale=0.5, **about)
    record_run(root, family="plain", depth=8, recorded=(0, 2), steps=3, nan_from=1, status="diverged", run_id="ill")
    hurt = record_run(root, family="plain", depth=8, recorded=(0, 2), steps=3, seed=1, run_id="hurt")
    next((hurt.path / "steps").glob("*.parquet")).write_bytes(b"PAR1 no more")
    label_run(root, "identity0", name="<i>x</i>", tags=["good"], note=NASTY)
    (root / "broken").mkdir()
    return root


@pytest.fixture(scope="module")
def document(root):
    return gathered(scope_of((), str(root), True), NOW)


@pytest.fixture(scope="module")
def page(document):
    return as_html(document).decode()


def test_the_page_asks_nobody_for_anything(page):
    read = Page(page)
    assert read.inside == []
    assert read.asked == []
    assert not read.tags & {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio"}
    assert not re.search(r"url\(|@import", read.styles)
    assert not re.search(r"\bon\w+$", " ".join(name for _, own in read.elements for name in own), re.MULTILINE)
    policy = next(own["content"] for tag, own in read.elements if own.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_every_part_is_there(page):
    read, words = Page(page), flat(Page(page).words)
    assert [own["id"] for tag, own in read.elements if tag == "section"] == [
        "claims", "figures", "runs", "diagnoses", "missing", "versions",
    ]  # fmt: skip
    links = [own["href"] for tag, own in read.elements if tag == "a"]
    assert links == ["#claims", "#figures", "#runs", "#diagnoses", "#missing", "#versions"]
    for part in (
        "8 of 3 nets: 7 finished and 1 diverged",
        "Identity shortcuts train to a higher accuracy than scaled ones.",
        "✓ supported",
        "10 % [10 %, 10 %], to be above 0 %",
        "3 seeds",
        "Published, not measured here: CIFAR-10, test error of ResNet-110",
        "labapp sweep analysis/sweeps/quick/shortcuts.yaml",
        "shortcut scale 0.5",
        "What all runs share",
        "Runs that did not finish",
        "no claim counts them",
        "hurt: steps/",
        "broken holds no run.json",
        "kept no weights",
        "Claims without data",
        "labapp sweep analysis/sweeps/quick/vgg.yaml",
        "python",
        "torch",
        "Made by labapp",
    ):
        assert part.strip() in words, part
    pictures = [own for tag, own in read.elements if tag == "img"]
    assert len(pictures) == 4  # a claim, errors, gradients by depth, layers over steps
    assert all(own["src"].startswith("data:image/svg+xml;base64,") and own["alt"] for own in pictures)


def test_whatever_a_run_is_called_is_text(page):
    read = Page(page)
    assert "i" not in read.tags
    assert "b" not in read.tags
    words = flat(read.words)
    assert "<script>alert(1)</script> \"quoted\" 'single' & <b>bold</b> {{ 7 * 7 }} code ‹U+202E›txt.exe" in words
    assert "<i>x</i>" in words
    assert "\u202e" not in page


def test_the_same_archive_gives_the_same_page_but_for_one_line(root, page):
    again = as_html(gathered(scope_of((), str(root), True), NOW.replace(hour=13))).decode()
    differing = [(one, other) for one, other in zip(page.splitlines(), again.splitlines(), strict=True) if one != other]
    assert len(differing) == 1
    assert "Made by labapp" in differing[0][0]


def test_named_runs_answer_their_own_claims_alone(root, tmp_path, capsys):
    names = [f"{kind}{seed}" for kind in ("identity", "scaled") for seed in range(3)]
    assert main(["report", *names, "--root", str(root), "--out", str(tmp_path / "some.html")]) == 0
    assert "some.html" in capsys.readouterr().out
    words = flat(Page((tmp_path / "some.html").read_text()).words)
    assert "Of the 33 claims that the lab knows 1 is supported" in words
    assert "32 claims are about other runs: vgg-stacks" in words
    assert "Report of 6 runs" in words
    assert "broken" not in words
    assert "Every run finished." in words


def text_of(pdf):
    """The words of a PDF whose fonts are embedded as they are, each line by itself."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    found = []
    for stream in streams:
        try:
            drawn = zlib.decompress(stream)
        except zlib.error:
            continue
        for line in re.findall(rb"\bBT\s(.*?)\sET\b", drawn, re.DOTALL):
            parts = re.findall(rb"\(((?:[^()\\]|\\.)*)\)", line, re.DOTALL)
            found.append(re.sub(rb"\\(.)", rb"\1", b"".join(parts)).replace(b"\0", b"").decode("latin-1"))
    return found


@pytest.mark.long
def test_the_pdf_holds_the_same(document):
    pdf = as_pdf(document)
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", pdf)) >= 4
    lines = text_of(pdf)
    words = " ".join(lines)
    for chapter in document.chapters:
        assert chapter.title.replace("fi", "") in lines  # which is one sign, of another font
    for part in (
        "Identity shortcuts train to a higher accuracy",
        "supported",
        "<script>alert(1)</script>",
        "10 % [10 %",
    ):
        assert part in words
    last = replace(document, chapters=document.chapters[-1:])
    assert as_pdf(last) == as_pdf(last)


def test_what_is_left_out_is_said(root, monkeypatch):
    for room, name in ((pictures, "NETS"), (runs, "LISTED"), (diagnoses, "DIAGNOSED"), (lacking, "SAID")):
        monkeypatch.setattr(room, name, 1)
    words = flat(Page(as_html(gathered(scope_of((), str(root), True), NOW)).decode()).words)
    assert "Drawn are 1 nets with 3 runs" in words
    assert "5 runs more are not" in words
    assert "The first 1 of 8 runs; 7 more are not listed." in words
    assert "7 more were not, which labapp diagnose RUN looks at" in words
    assert "1 more, which labapp runs check names" in words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which runs?"),
        (["identity0", "--archive"], "give one of them"),
        (["identety0"], "did you mean 'identity0'"),
        (["broken"], "holds no run.json"),
        (["--archive", "--out", "HERE/report.docx"], "has to end in"),
        (["--archive", "--out", "HERE/none/report.html"], "there is no folder"),
        (["--archive", "--out", "HERE/folder.html"], "is a folder"),
        (["--archive", "--out", "HERE/thesis.html"], "no report of the lab"),
        (["--archive", "--out", "HERE/new.html", "--pdf"], "new.pdf is there and no report of the lab"),
        (["--archive", "--out", "/proc/report.html"], "choose another --out"),
        (["--archve"], "did you mean '--archive'"),
        (["--archive", "--root", "HERE/empty"], "holds no run that can be read"),
        (["--archive", "--root", "HERE/nowhere"], "there is no archive"),
        (["identity0", "HERE/other/plain"], "lie in 2 archives"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_nothing_is_written(root, tmp_path, words, said, capsys):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("thesis.html", "new.pdf"):
        (tmp_path / name).write_text("somebody's own")
    record_run(tmp_path / "other", recorded=(0,), steps=1, run_id="plain")
    before = sorted(tmp_path.rglob("*"))
    words = [word.replace("HERE", str(tmp_path)) for word in words]
    words += [] if "--root" in words else ["--root", str(root)]
    assert main(["report", *words]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert said in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "thesis.html").read_text() == "somebody's own"


def test_a_report_is_written_anew_and_another_file_with_force_alone(root, tmp_path):
    out = tmp_path / "report.html"
    asked = ["report", "ill", "--root", str(root), "--out", str(out)]
    assert main([*asked, "--pdf"]) == 0
    for path in (out, out.with_suffix(".pdf")):
        _may_be_written(path, force=False)
    out.write_text("somebody's own")
    assert main(asked) == 2
    assert main([*asked, "--force"]) == 0
    assert "What is missing" in out.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.pdf"]


def test_it_needs_no_torch():
    code = "import sys, labapp.commands.report.contents, labapp.commands.report.pdf; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
