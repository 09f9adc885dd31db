"""Which colour and which line stands for what, on screen and on paper alike?

Colour means family. The four hues keep a contrast of 3:1 on the light and on the dark page, and stay apart (CIE76
distance above 15) for the three kinds of colour blindness, simulated as in Machado 2009; `tests/test_palette.py`
computes both. Line style and marker tell the runs of a family apart, so that nothing is told by colour alone: the
oldest run of a family in its archive is solid with circles, the next one dashed with squares, and so on, whatever is
chosen.

`labapp/.streamlit/config.toml` repeats these colours for the widgets; a test keeps them equal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = {  # hue by family; "foreign" is a model of the user's own
    "plain": "#D55E00",
    "residual": "#2A78CF",
    "dense": "#00A36C",
    "vgg": "#B070B4",
    "foreign": "#6B6B6B",
}
ACCENT = {"light": "#475569", "dark": "#64769A"}  # buttons and sliders: a slate, because a hue would mean a family
MUTED = "#808080"  # rules, theory and annotations, readable on either page

# viridis and RdBu (reversed), ten samples each: the number that Streamlit's theme takes
SEQUENTIAL = (
    "#440154", "#482878", "#3E4989", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6ECE58", "#B5DE2B", "#FDE725",
)  # fmt: skip
DIVERGING = (
    "#053061", "#246AAE", "#529DC8", "#A7D0E4", "#E1EDF3", "#FAE7DC", "#F7B799", "#DC6E57", "#B61F2E", "#67001F",
)  # fmt: skip


DASHES = (  # on, off, … in pixels; () is solid
    (), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4), (8, 3, 2, 3, 2, 3),
    (6, 3, 6, 3, 2, 3), (3, 6), (14, 3, 5, 3), (2, 5), (14, 3, 2, 3, 2, 3, 2, 3), (10, 8),
)  # fmt: skip
MARKERS = (  # Vega's, matplotlib's; their number has no divisor in common with that of DASHES, so 84 pairs are distinct
    ("circle", "o"), ("square", "s"), ("triangle-up", "^"), ("diamond", "D"), ("triangle-down", "v"), ("cross", "P"),
    ("triangle-right", ">"),
)  # fmt: skip


def colour(family: str) -> str:
    """The hue of a family; any that the lab does not know is foreign."""
    return FAMILIES.get(family, FAMILIES["foreign"])


def styles(runs: pd.DataFrame, by: str = "run") -> pd.DataFrame:
    """How each run is drawn, on every page, chart and figure alike.

    Args:
        runs: One row a run or, of any tidy table, more, of which the first counts. The columns family, place (among the
            runs of its family, the oldest at 0) and run_id are told off the table where they are missing: the family
            from the beginning of the name ("residual-56"), the place from the order. Where nothing tells a family no
            colour can mean one, and the colours only tell the lines apart.
        by: The column whose values are drawn: run, or net where seeds are taken together.

    Returns:
        Columns run, run_id, colour, dash, shape, marker, and `by`; one row a run, in the order of the table.
    """
    import pandas as pd  # here, since commands want the words alone

    rows = runs.drop_duplicates(by)
    names = [str(name) for name in rows[by]]
    families = [str(one) for one in rows["family"]] if "family" in rows else [_family_of(name) for name in names]
    told = "family" in rows or any(families)
    places = (
        [int(place) for place in rows["place"]]
        if "place" in rows
        else [families[:at].count(family) for at, family in enumerate(families)]
    )
    hues = [*FAMILIES.values()]
    table = pd.DataFrame(
        {
            "run": names,
            "run_id": list(rows["run_id"]) if "run_id" in rows else names,
            "colour": [colour(one) if told else hues[at % len(hues)] for at, one in enumerate(families)],
            "dash": [list(DASHES[place % len(DASHES)]) for place in places],
            "shape": [MARKERS[place % len(MARKERS)][0] for place in places],
            "marker": [MARKERS[place % len(MARKERS)][1] for place in places],
        }
    )
    return table.assign(**{by: names})


def _family_of(name: str) -> str:
    """The family that a name begins with, "" where it begins with none: "residual" of "residual-56 (seed 1)"."""
    first = re.split(r"[^a-z]", name.casefold(), maxsplit=1)[0]
    return first if first in FAMILIES else ""
