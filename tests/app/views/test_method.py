"""The Method page: every card with every part, found by words and by its address."""

import pytest

from labapp.app.views import method
from labapp.frames.method import PARTS, cards
from tests.app import nasty
from tests.app.pages import texts


def shown(app):
    """The words of the page, as they are before Markdown is drawn."""
    return "\n".join(words for element in (*app.subheader, *app.markdown, *app.caption) for words in [element.value])


def plain(words):
    """Words without the signs by which Markdown is kept from reading them."""
    return words.replace("\\", "").replace("*", "").replace("\u2060", "")


@pytest.fixture(scope="module")
def bare():
    return {name: {part: plain(getattr(card, part)) for part in PARTS} for name, card in cards().items()}


def test_the_page_shows_every_part_of_every_card(open_page, tmp_path, bare):
    app = open_page(tmp_path / "nothing", "method")
    said = plain(shown(app))
    assert app.title[0].value.startswith(f"The lab measures what {len(cards())} cards explain")
    for name, card in cards().items():
        assert plain(method.title(card)) in said, name
        assert f"{card.command}" in said
        for part, words in bare[name].items():
            assert words in said, (name, part)
    anchors = [element.proto.anchor for element in app.subheader if element.proto.anchor]
    assert len(anchors) == len(set(anchors)) == len(cards())


def test_a_card_has_an_address(open_page, tmp_path):
    app = open_page(tmp_path / "nothing", "method", quantity="shortcut_norm")
    assert app.title[0].value.startswith(
        "What the branch adds, what the shortcut carries and branch ÷ shortcut, forward: what"
    )
    assert len([element for element in app.subheader if element.proto.anchor]) == 1
    app.button(key="all").click().run()
    assert len([element for element in app.subheader if element.proto.anchor]) == len(cards())
    assert "quantity" not in app.query_params


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("veit deleted", {"lesions"}),
        ("VEIT", {"lesions", "permutations", "path_gradients", "branch_norm"}),
        ("gradient_split", {"gradient_split"}),
        ("nothing like this", set()),
        ("", set(cards())),
    ],
)
def test_cards_are_found_by_words(words, names):
    assert {card.name for card in method.found(words)} == names


def test_a_search_is_part_of_the_address(open_page, tmp_path):
    app = open_page(tmp_path / "nothing", "method", search="lesions")
    assert app.title[0].value.endswith("of that.")
    assert "Lesions" in shown(app)
    app.text_input(key="search").set_value("no such words").run()
    assert app.title[0].value == f"None of the {len(cards())} cards speaks of that."


def test_nonsense_in_the_address_is_a_sentence(open_page, tmp_path):
    app = open_page(tmp_path / "nothing", "method", quantity=f"lesion {nasty.NAME}")
    (warning,) = app.warning
    assert "There is no card of" in warning.value
    assert not nasty.left(warning.value)
    assert "did you mean 'lesions'" in open_page(tmp_path / "none", "method", quantity="lesion").warning[0].value


def test_a_formula_is_a_formula_and_all_else_is_text(open_page, tmp_path):
    app = open_page(tmp_path / "nothing", "method", quantity="effective_rank")
    (line,) = [text for text in texts(app) if text.startswith("$")]
    assert line.startswith("$e^{H(p)}$ with $p_i = ")
