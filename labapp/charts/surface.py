"""How does the loss change around a net, in a plane of weight space?"""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.charts.beyond import cells as beyond_cells
from labapp.charts.colours import Domain, colour_scale, scale_legend, tiles
from labapp.charts.encodings import NUMBER, Chart, log_span, of_run, of_step, ticks_along
from labapp.charts.layers import layered

QUANTITY = "surface_loss"


def surface_chart(rows: pd.DataFrame, domain: Domain | None = None, height: int = 380) -> Chart:
    """The loss over the plane of one run; a point whose loss is zero or not finite has a colour of its own.

    Args:
        rows: From `frames.loss_surface`, of one run.
        domain: log₁₀ of the losses at the ends of the colours: those of all planes on the page, so that they compare.
            Of this one, and explained by a legend, when left out.
        height: In pixels.

    Example:
        charts.surface_chart(frames.loss_surface(runs[:1], runs[0].probes()["loss_surface"][-1]))
    """
    title = palette.quantity(QUANTITY).title
    good = rows["state"] == "finite"
    legend = scale_legend(title, powers=True) if domain is None else None
    if domain is None:
        least, most = log_span(rows["value"].astype(float))
        domain = math.log10(least), math.log10(most)
    shown = rows.assign(shown=np.log10(rows["value"].astype(float).where(good)), mark=rows["state"])
    ends = [float(shown["alpha_low"].min()), float(shown["alpha_high"].max())]
    scale = alt.Scale(domain=ends, nice=False)
    x = alt.X("alpha_low:Q", title="α, lengths of filters", scale=scale, axis=ticks_along(5, grid=False))
    y = alt.Y("beta_low:Q", title="β, lengths of filters", scale=scale, axis=alt.Axis(tickCount=5, grid=False))
    sides = {"x": x, "x2": alt.X2("alpha_high:Q"), "y": y, "y2": alt.Y2("beta_high:Q")}
    place = [
        *of_run(),
        of_step(),
        alt.Tooltip("alpha:Q", title="α", format=NUMBER),
        alt.Tooltip("beta:Q", title="β", format=NUMBER),
    ]
    told = [
        *place,
        alt.Tooltip("value:Q", title=title, format=NUMBER),
        alt.Tooltip("accuracy:Q", title="accuracy", format=".1%"),
        alt.Tooltip("images:Q", title="images"),
    ]
    squares = tiles(shown[good], sides, "shown", colour_scale(domain), legend=legend).encode(tooltip=told)
    middle = alt.Chart(pd.DataFrame({"alpha": [0.0], "beta": [0.0]}))
    cross = middle.mark_point(shape="cross", size=70, filled=True, color="white", stroke="black", strokeWidth=0.8)
    beyond = beyond_cells(shown[~good], sides, [*place, alt.Tooltip("mark:N", title=title)], strokeWidth=1, clip=True)
    drawn = [squares, cross.encode(x=alt.X("alpha:Q"), y=alt.Y("beta:Q"))]
    return layered(drawn, beyond, "color", "stroke", height=height, title=str(rows["run"].iloc[0]))
