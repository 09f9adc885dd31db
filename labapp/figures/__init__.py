"""How does a tidy table look on paper?

Axes-level functions with one vocabulary, `data, x, y, hue, ax`: they draw a table from `frames` on axes that the caller
made, return these axes, and know nothing of files. Rows that share x and hue (seeds) become a line with their range.

    with paper():
        figure, axes = plt.subplots(...)
        curve(data=table, x="step", y="error", hue="net", ax=axes[0], styles=styles)
"""

from labapp.figures.cells import frame_columns, heatmap, matrix
from labapp.figures.lines import curve, dots, profile, trace
from labapp.figures.paper import STYLE, UNDATED, WIDTH, colormap, colour_bar, legend, paper
from labapp.figures.shares import shares
from labapp.figures.surface import plane
from labapp.figures.vega import drawn

__all__ = [
    "STYLE", "UNDATED", "WIDTH", "colormap", "colour_bar", "curve", "dots", "drawn", "frame_columns", "heatmap",
    "legend", "matrix", "paper", "plane", "profile", "shares", "trace",
]  # fmt: skip
