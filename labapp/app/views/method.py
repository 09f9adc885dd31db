"""What does each quantity mean, where does it come from, and where does it fail?"""

from __future__ import annotations

import streamlit as st

from labapp import palette
from labapp.config import listed, nearest
from labapp.frames.method import Card, cards, find
from labapp.probes.catalogue import others

ADDRESS = "quantity"  # in the page's address, the card that is shown alone
PARTS = (("source", "Source"), ("batch_norm", "Batch norm"), ("sampling", "Sampling"), ("fails", "Where it fails"))
NAMES = {  # of what is no column of a table
    "theory": "Theory before training",
    "healthy_updates": "Layers at a healthy pace",
    "comparison": "Difference between two runs",
    "recording_cost": "Cost of recording",
    "ratio": "First over last layer",
    "gradcam": "Grad-CAM",
    "slope": "Slope of the gradient",
    "deletion": "Deletion and insertion",
    "sanity": "Sanity check of explanations",
    "pointing_game": "Pointing game",
    "lifetimes": "Lifetimes of channels",
    "divergence": "Where a training diverged",
}
MEANING = """
Every card is read off the docstring of the function that computes the quantity, so the two cannot differ. *Batch norm*
says which statistics it uses while the quantity is measured, *sampling* of which images or values it is.
"""


def title(card: Card) -> str:
    """The heading of a card."""
    if card.title or card.name in NAMES:
        return card.title or NAMES[card.name]
    said = listed(dict.fromkeys(palette.quantity(name).name for name in card.names))
    return f"{said[:1].upper()}{said[1:]}"


def found(words: str) -> list[Card]:
    """The cards in which every word stands, in any part."""
    sought = words.casefold().split()
    return [card for card in cards().values() if all(word in _text(card) for word in sought)]


def _text(card: Card) -> str:
    return " ".join((title(card), *map(str, card), *card.names)).casefold()


def page() -> None:
    """Draw the page."""
    asked = str(st.query_params.get(ADDRESS, ""))
    one = find(asked)
    shown = [one] if one else []
    heading = st.container()
    if one:
        st.button("All quantities", icon=":material/arrow_back:", key="all", on_click=_forget)
    else:
        words = st.text_input(
            "Search",
            key="search",
            bind="query-params",
            icon=":material/search:",
            placeholder="lesions, Veit, batch norm",
        )
        shown = found(str(words or ""))
    with heading:
        st.title(palette.sentence(answer(shown, one)), help=MEANING, anchor=False)
        if asked and not one:
            names = [name for card in cards().values() for name in card.names]
            st.warning(palette.sentence(f"There is no card of '{asked[:60]}'{nearest(asked, names)}; below are all."))
    for problem in others().problems:
        st.warning(palette.sentence(problem), icon=":material/extension_off:")
    group = ""
    for card in shown:
        if card.group != group:
            group = card.group
            st.subheader(palette.markdown(group), anchor=False)
        _draw(card, bool(one))


def answer(shown: list[Card], one: Card | None) -> str:
    """The page's question answered: of which quantities there are cards here."""
    every = len(cards())
    if one:
        return f"{title(one)}: {one.meaning[:1].lower()}{one.meaning[1:]}"
    if not shown:
        return f"None of the {every} cards speaks of that."
    if len(shown) < every:
        return f"{len(shown)} of {every} cards speak{'s' * (len(shown) == 1)} of that."
    return f"The lab measures what {every} cards explain, each with its formula, its source and where it fails."


def _draw(card: Card, alone: bool) -> None:
    with st.container(border=True):
        st.subheader(palette.markdown(title(card)), anchor=card.name.replace("_", "-"))
        if card.question:
            st.caption(palette.sentence(card.question))
        if not alone:
            st.markdown(palette.sentence(card.meaning))
        st.markdown(palette.sentence(card.formula, formulas=True))
        with st.expander("Source, batch norm, sampling, where it fails", expanded=alone):
            st.markdown("\n\n".join(f"**{label}.** {palette.sentence(words)}" for label, words in _lines(card)))


def _lines(card: Card) -> list[tuple[str, str]]:
    """What stands below the formula, each with its label."""
    lines = [(label, getattr(card, part).replace("*", "")) for part, label in PARTS]  # no titles in italics
    measured = f"{card.measured}, by" if card.measured else "By"
    lines.append(("Measured", f"{measured} `{card.command}`."))
    if card.processes:
        lines.insert(-1, ("Several processes", card.processes))
    if card.page:
        lines.append(("Shown", f"On the page {card.page}."))
    if card.package:
        lines.append(("Package", f"{card.package}, which is installed beside the lab."))
    columns = ", ".join(f"`{name}`" for name in card.names)
    return [*lines, ("Called", f"{columns}; `?{ADDRESS}={card.name}` is its address here.")]


def _forget() -> None:
    del st.query_params[ADDRESS]


if __name__ == "__main__":
    page()
