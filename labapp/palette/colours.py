"""Which colour and which line stands for what, on screen and on paper alike?

Colour means family. The four hues keep a contrast of 3:1 on the light and on the dark page, and stay apart (CIE76
distance above 15) for the three kinds of colour blindness, simulated as in Machado 2009; `tests/test_palette.py`
computes both. Line style and marker mean depth, or seed where depths are equal; so nothing is told by colour alone.

`labapp/.streamlit/config.toml` repeats these colours for the widgets; a test keeps them equal.
"""

from __future__ import annotations

from dataclasses import dataclass

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
ALARM = "#C2185B"  # values that are not finite; in no heatmap's scale

# viridis and RdBu (reversed), ten samples each: the number that Streamlit's theme takes
SEQUENTIAL = (
    "#440154", "#482878", "#3E4989", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6ECE58", "#B5DE2B", "#FDE725",
)  # fmt: skip
DIVERGING = (
    "#053061", "#246AAE", "#529DC8", "#A7D0E4", "#E1EDF3", "#FAE7DC", "#F7B799", "#DC6E57", "#B61F2E", "#67001F",
)  # fmt: skip


@dataclass(frozen=True)
class LineStyle:
    """One way to draw a line, in the words of both libraries."""

    name: str
    dash: tuple[int, ...]  # on, off, … in pixels; () is solid
    shape: str  # Vega's marker
    marker: str  # matplotlib's marker


LINES = (
    LineStyle("solid", (), "circle", "o"),
    LineStyle("dashed", (6, 3), "square", "s"),
    LineStyle("dotted", (2, 2), "triangle-up", "^"),
    LineStyle("dash-dotted", (8, 3, 2, 3), "diamond", "D"),
    LineStyle("long-dashed", (12, 4), "triangle-down", "v"),
    LineStyle("dash-dot-dotted", (8, 3, 2, 3, 2, 3), "cross", "P"),
)


def colour(family: str) -> str:
    """The hue of a family; any that the lab does not know is foreign."""
    return FAMILIES.get(family, FAMILIES["foreign"])


def styles(runs: pd.DataFrame) -> pd.DataFrame:
    """How each run is drawn.

    Args:
        runs: columns run, family, net_depth, seed; one row a run.

    Returns:
        Columns run, colour, dash, shape, marker; one row a run, in the same order. Within a family the deepest net is
        solid, and the next depth or seed takes the next style.
    """
    order = runs.assign(place=range(len(runs))).sort_values(
        ["family", "net_depth", "seed", "place"], ascending=[True, False, True, True]
    )
    rank = order.groupby("family").cumcount().reindex(runs.index)
    lines = [LINES[int(r) % len(LINES)] for r in rank]
    return pd.DataFrame(
        {
            "run": list(runs["run"]),
            "colour": [colour(family) for family in runs["family"]],
            "dash": [list(line.dash) for line in lines],
            "shape": [line.shape for line in lines],
            "marker": [line.marker for line in lines],
        }
    )
