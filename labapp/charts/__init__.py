"""How does a tidy table look on the screen, and in a notebook?

Each function takes a table from `frames` and returns an Altair chart that follows the page's light or dark theme.
Hovering names the run and the layer; clicking a run in a legend leaves the others pale.

In a notebook the table is enough: the last line of a cell shows the chart, in Jupyter, Colab and VS Code.

    from labapp import charts, frames
    from labapp.store import list_runs

    table = frames.layer_table(list_runs("runs"))
    charts.profile_chart(frames.gradient_profile(table, step=0))

Altair has the notebook fetch the script that draws it. Where there is no network, the same is a picture:

    from IPython.display import SVG
    from labapp import figures

    chart = charts.profile_chart(frames.gradient_profile(table, step=0))
    SVG(figures.drawn(charts.alone(chart, "Gradient at step 0"), "svg").decode())

A page gives `palette.styles` and the spans of colours and axes as well, so that its charts agree, and explains them
once.
"""

from labapp.config.extras import needed

with needed(__name__):
    from labapp.charts.architecture import growth_chart, parts_chart, pyramid_chart
    from labapp.charts.claims import claim_chart
    from labapp.charts.compare import difference_chart, ratio_chart, ratio_span
    from labapp.charts.curves import curve_chart
    from labapp.charts.encodings import Chart, axis_title, log_axis, log_span
    from labapp.charts.files import Unchecked, alone, as_csv, unchecked
    from labapp.charts.gradients import profile_chart, slope_chart
    from labapp.charts.heads import order_chart, sizes_chart
    from labapp.charts.heatmap import colour_domain, heatmap_chart, scale_chart
    from labapp.charts.lifetimes import lifetimes_chart
    from labapp.charts.magnitudes import histogram_chart, spread_chart, symmetric_axis
    from labapp.charts.maps import agreement_chart, drift_chart, scores_chart
    from labapp.charts.reuse import linear_bar, linear_domain, reuse_chart
    from labapp.charts.signals import signal_chart
    from labapp.charts.similarity import similarity_chart
    from labapp.charts.surface import surface_chart
    from labapp.charts.training import accuracy_chart, loss_chart

__all__ = [
    "Chart", "Unchecked", "accuracy_chart", "agreement_chart", "alone", "as_csv", "axis_title", "claim_chart",
    "colour_domain", "curve_chart", "difference_chart", "drift_chart", "growth_chart", "heatmap_chart",
    "histogram_chart", "lifetimes_chart", "linear_bar", "linear_domain", "log_axis", "log_span", "loss_chart",
    "order_chart", "parts_chart", "profile_chart", "pyramid_chart", "ratio_chart", "ratio_span", "reuse_chart",
    "scale_chart", "scores_chart", "signal_chart", "similarity_chart", "sizes_chart", "slope_chart", "spread_chart",
    "surface_chart", "symmetric_axis", "unchecked",
]  # fmt: skip
