"""How does a tidy table look on paper, and in a notebook?

Axes-level functions with one vocabulary, `data, x, y, hue, ax`: they draw a table from `frames` on axes, return these
axes, and know nothing of files. Rows that share x and hue (seeds) become a line with a band.

In a notebook the table is enough. Columns have the names that `frames` gives them, the axes are pyplot's present ones,
and looks and colours are chosen and explained on the axes:

    from labapp import figures, frames
    from labapp.store import list_runs

    table = frames.layer_table(list_runs("runs"))
    figures.profile(frames.gradient_profile(table, step=0))

Whoever draws a whole figure gives axes and looks, so that all panels agree, and explains them once:

    with figures.paper():
        figure, axes = plt.subplots(1, 2, layout="constrained")
        styles = palette.styles(table)
        figures.profile(frames.gradient_profile(table, step=0), ax=axes[0], styles=styles)
        figures.trace(frames.gradient_slope(table), x="step", y="slope", ax=axes[1], styles=styles)
        figures.legend(figure, "run", styles, markers=True)
"""

from labapp.config.extras import needed

with needed(__name__):
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
