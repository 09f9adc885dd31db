"""Names that anybody may have chosen, as text: against a parser of CommonMark and one of JSON strings."""

import html
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from labapp import palette

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
SIGNS = st.text(st.sampled_from("ab1 \\`*_[]()<>$~|&#+-=.!:/@{}^\"'é😀\u202e\u2066\x1b\n"), max_size=24)
NASTY = [
    *("a*b*", "**b**", "_a_", "__a__", "a_b_c", "[x](http://e)", "![x](http://e)", "<script>alert(1)</script>", "<b>"),
    *(
        "$x$",
        "$$x$$",
        "~~s~~",
        "`code`",
        "``c``",
        "\\",
        "\\*",
        "&lt;",
        "# h",
        "- x",
        "+ x",
        "1. x",
        "12) x",
        "> q",
        "==",
    ),
    *(
        "a|b",
        "'\"]",
        "x\ny",
        "\ud800",
        "\u202eabc",
        "\x1b[31m",
        "😀",
        "👩\u200d💻",
        "שלום",
        "https://e.com",
        "<https://e.com>",
    ),
]


def shown(text: str) -> str:
    """What a parser of CommonMark makes of one paragraph: its words, without tags of its own."""
    made = PARSER.render(f"word {text} word")
    assert re.fullmatch(r"<p>[^<]*</p>\n", made), made
    return html.unescape(made.removeprefix("<p>word ").removesuffix(" word</p>\n"))


def bare(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\u2060", "")).strip()


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_text_in_a_page(name):
    assert bare(shown(palette.markdown(name))) == bare(palette.visible(name))


@settings(max_examples=1500, deadline=None)
@given(SIGNS)
def test_any_name_is_text_in_a_page(name):
    assert bare(shown(palette.markdown(name))) == bare(palette.visible(name))


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_text_at_the_beginning_of_a_page(name):
    made = PARSER.render(palette.markdown(name))
    assert re.fullmatch(r"<p>[^<]*</p>\n", made), made


@settings(max_examples=500, deadline=None)
@given(SIGNS)
def test_a_sentence_has_code_and_text_and_nothing_else(words):
    made = PARSER.render(f"word {palette.sentence(words)} word")
    assert re.fullmatch(r"<p>([^<]|</?code>)*</p>\n", made), made


def test_a_sentence_keeps_the_commands_of_the_lab():
    assert (
        palette.sentence("no run 'a*b'; `labapp runs list` shows them")
        == r"no run 'a\*b'; `labapp runs list` shows them"
    )


@pytest.mark.parametrize("name", ["residual-56 (no norm, seed 1)", "stage1.block2.conv_1_x", "plain-20, 3:4, 5 × 10⁻³"])
def test_usual_names_stay_as_they_are(name):
    assert palette.markdown(name) == palette.sentence(name) == palette.visible(name) == name


@pytest.mark.parametrize(
    "name", [":red[x]", ":material/home:", ":smile:", ":red-badge[x]", "https://e.com", "www.e.com", "a@b.c"]
)
def test_what_streamlit_reads_behind_the_escapes_is_parted(name):
    """A word joiner stands in it, which nobody sees; without it the name would be an icon, a colour or a link."""
    made = palette.markdown(name)
    assert "\u2060" in made
    assert bare(shown(made)) == name


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=20))
def test_any_name_is_one_string_in_an_expression(name):
    made = palette.expression(name)
    assert json.loads(made) == palette.visible(name)


def test_what_steers_is_named():
    assert palette.visible("a\x1b[2J\u202eb\x07") == "a‹U+001B›[2J‹U+202E›b‹U+0007›"
    assert palette.visible("two\n  lines") == "two lines"
    assert palette.visible("👩\u200d💻 שלום") == "👩\u200d💻 שלום"
