"""What does each quantity mean, where does it come from, and where does it fail?

    cards()["lesions"].formula

A card is read off the docstring of the function or module that computes the quantity, from its source, so that nothing
of the laboratory is imported. There it stands at the end, in this form:

    Method:
        Meaning: How much the net loses when a block is deleted.
        Formula: …
        Source: …
        Batch norm: …
        Sampling: …
        Fails: …
        Processes: Reduced | Local: … (of what is recorded while a net trains)

Where a docstring speaks of several quantities their names stand in the place of *Method*, and *Everywhere* has what
holds of all of them.
"""

from labapp.frames.method.cards import PARTS, Card, cards, find
from labapp.frames.method.docstrings import blocks, docstring

__all__ = ["PARTS", "Card", "blocks", "cards", "docstring", "find"]
