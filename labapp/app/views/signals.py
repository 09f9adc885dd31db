"""What do the layers do with the signal?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app.views import signals_more
from labapp.config import listed

ACROSS = 3  # small multiples in a row
MEANING = f"""
Each picture shows one quantity of every layer at one step, measured while the net trained on its batch. The answer
gives the range over the layers of two runs: of a residual and a plain net of one depth where both are chosen. He et al.
2015 (§4.2, Fig. 7) found that residual nets respond less than plain ones, and the less the deeper they are.

**Theory**, at step 0: what mean-field theory expects of this very net before training, see Gradient flow. It speaks of
responses, silenced values and the two paths of a residual block, not of dead channels and updates.

**Healthy updates**: ‖Δw‖/‖w‖ between {frames.UPDATES[0]:g} and {frames.UPDATES[1]:g}, a rule of thumb around 10⁻³
(Karpathy, *CS231n*), at the full learning rate. A schedule that lowers the rate lowers the updates with it, so the band
moves with the share of the full rate that is in force.
"""
ABSENT = {
    "output_std": "No layer of the chosen runs has recorded its response.",
    "zero_fraction": "None of the chosen nets has a rectifier, so none of its values is silenced.",
    "dead_share": "None of the chosen nets has a rectifier, so no channel can be dead.",
    "update_ratio": "The chosen runs have not recorded what their optimizer did.",
    "forward_ratio": "Only residual nets have a branch and a shortcut; none is chosen.",
    "backward_ratio": "Only residual nets have a branch and a shortcut; none is chosen.",
}


def answer(at: pd.DataFrame, step: int) -> str:
    """The page's question answered for `frames.at_step`: how strongly layers respond, and what is dead."""
    typical = frames.medians(at, "output_std").dropna(subset="median")
    if typical.empty:
        return f"At step {step:,} no layer of the chosen runs has a finite response."
    first, last = _pair(typical)
    words = f"At step {step:,} layers respond with a standard deviation {_range(first, step)}"
    words += f", {_range(last, step)}" if last.run != first.run else ""
    totals = frames.totals(at)
    none = "no channel is dead" if totals["channels"].sum() else ""
    return f"{words}{'; ' if (rest := _dead(totals) or _branch(at) or none) else ''}{rest}."


def _range(row: Any, step: int) -> str:
    low, high = palette.number(row.low), palette.number(row.high)
    return f"{f'of {low}' if low == high else f'from {low} to {high}'} in {app.of_step(row.run, row.step, step)}"


def _pair(typical: pd.DataFrame) -> tuple[Any, Any]:
    """A residual and a plain net of the same, greatest, depth; without such, the runs of the least and the largest.

    Behind a normalisation and at a convolution a response means different things: only the more usual place counts.
    """
    typical = typical[typical["kind"] == typical["kind"].mode().iloc[-1]]
    both = typical.merge(typical, on="net_depth", suffixes=("", "_other"))
    both = both[(both["family"] == "residual") & (both["family_other"] == "plain")]
    if len(both):
        best = app.rows(both.loc[[both["net_depth"].astype(float).idxmax()]])[0]
        typical = typical[typical["run"].isin([best.run, best.run_other])]
    rows = app.rows(typical.sort_values("high", kind="stable"))
    return rows[0], rows[-1]


def _dead(totals: pd.DataFrame) -> str:
    hurt = totals[totals["dead"] > 0]
    if hurt.empty:
        return ""
    worst, *others = app.rows(hurt.assign(share=hurt["dead"] / hurt["channels"]).sort_values("share", ascending=False))
    more = f", and some of {others[0].run if len(others) == 1 else f'{len(others)} other runs'}" if others else ""
    return f"{palette.percent(worst.share)} of the channels of {worst.run} are dead{more}"


def _branch(at: pd.DataFrame) -> str:
    """What the branches of the deepest residual net add."""
    split = frames.medians(at, "forward_ratio").dropna(subset="median")
    if split.empty:
        return ""
    deepest = app.rows(split.loc[[split["net_depth"].astype(float).fillna(0.0).idxmax()]])[0]
    return f"the median block of {deepest.run} adds {palette.number(deepest.median)}× what its shortcut carries"


def page() -> None:
    """Draw the page."""
    app.show(_body)


def _body(archive: app.OpenArchive) -> None:
    app.playable(_picture, "step", archive.chosen)(archive)
    signals_more.draw(archive)


def _picture(archive: app.OpenArchive) -> None:
    app.look_again_if_gone(archive.chosen)
    top = st.container()
    with app.reading(archive.chosen):
        panels = app.signals(archive.chosen)
    moments = frames.moments(panel for own in panels.values() for panel in own)
    if moments.empty:
        top.title("Nothing is recorded for this choice.", anchor=False)
        st.caption("The chosen runs have recorded no layers; `labapp train --record every` does.")
        return
    steps = sorted(int(step) for step in moments["step"].unique())
    step = app.step_slider(
        steps, "step", begin=frames.middle_step(moments), live=archive.live
    )  # at the end a rate may have annealed to zero
    standing = frames.standing(moments, step)
    app.say_steps(standing, step)
    at = frames.at_step(frames.signal_rows(panels, standing), step)
    with top:
        st.title(palette.sentence(answer(at, step)), help=MEANING, anchor=False)
        app.say_divergence(archive.chosen)
        app.names_on_phones(archive.chosen)
    looks, totals = app.styles(archive.chosen), frames.totals(at)
    # over all steps, so that the axes stand still while they play
    edges = [share * edge for share in _rates(panels) for edge in frames.UPDATES]
    spans = {
        name: charts.log_span([*(frames.span(own) or ()), *(edges if name == "update_ratio" else ())])
        for name, own in panels.items()
        if any(panel.measured.any() for panel in own)
    }
    begun = set(at.loc[at["step"] == 0, "run"])
    names = frames.names(archive.chosen)
    theory = frames.expected([run for run, name in zip(archive.chosen, names, strict=True) if name in begun])
    app.say_theory(archive.chosen, at, theory, "; of dead channels and updates it says nothing")
    for start in range(0, len(frames.SIGNALS), ACROSS):
        for quantity, column in zip(frames.SIGNALS[start : start + ACROSS], st.columns(ACROSS), strict=False):
            with column:
                _multiple(at[at["quantity"] == quantity], looks, quantity, spans.get(quantity), totals, theory)


def _rates(panels: Mapping[str, Sequence[frames.Panel]]) -> list[float]:
    """The least and the greatest share of the full learning rate that was ever in force; 1 where none is known."""
    known = [panel.also["rate"] for own in panels.values() for panel in own]
    rates = np.nan_to_num(np.concatenate(known), nan=1.0)
    return [float(end) for end in (rates[rates > 0].min(initial=np.inf), rates.max()) if np.isfinite(end)]


def _multiple(
    rows: pd.DataFrame,
    looks: pd.DataFrame,
    quantity: str,
    span: tuple[float, float] | None,
    totals: pd.DataFrame,
    theory: pd.DataFrame,
) -> None:
    about = palette.quantity(quantity)
    with st.container(gap=None):
        st.markdown(f"**{palette.markdown(about.name.capitalize())}**", help=about.meaning)
        words = ABSENT[quantity] if rows.empty else _below(rows, quantity, totals)
        st.caption(palette.sentence(words))
    if rows.empty or span is None:
        return
    band = frames.healthy_band(totals) if quantity == "update_ratio" else None
    even = 1.0 if quantity.endswith("_ratio") and quantity != "update_ratio" else None
    app.chart(
        charts.signal_chart(rows, looks, quantity, span, band, even, theory[theory["quantity"] == quantity]),
        f"signal-{quantity}",
        f"{about.title} of every layer against relative depth, for {listed(rows['run'].unique())}",
        rows,
        said=words,
        seen=True,
    )


def _below(rows: pd.DataFrame, quantity: str, totals: pd.DataFrame) -> str:
    """A picture in one line, for below its title."""
    if quantity == "dead_share":
        return f"{int(totals['dead'].sum()):,} of {int(totals['channels'].sum()):,} channels, all runs together"
    if quantity == "update_ratio":
        return _healthy(totals)
    typical = frames.medians(rows, quantity)["median"].dropna()
    if typical.empty:
        return "no finite value"
    scale = 100 if quantity in frames.FROM_ZERO else 1
    ends = [palette.number(scale * value) for value in (typical.min(), typical.max())]
    unit = " %" if quantity in frames.FROM_ZERO else ""
    return f"median layer {ends[0] if ends[0] == ends[1] else f'{ends[0]} to {ends[1]}'}{unit}"


def _healthy(totals: pd.DataFrame) -> str:
    """How many layers move at a healthy pace, and for which learning rate that is judged."""
    judged = totals[totals["layers"] > 0]
    if judged.empty:
        return "the learning rate is zero at this step, so no update can be judged"
    said = f"{judged['healthy'].sum():,} of {judged['layers'].sum():,} layers at a healthy pace"
    rates = sorted({palette.percent(rate) for rate in judged["rate"].dropna()})
    if not rates:
        return f"{said} (shaded), as at the full learning rate, since none was written down"
    which = f"at {rates[0]} of the full learning rate" if len(rates) == 1 else "each run by its learning rate in force"
    return f"{said}{' (shaded)' if frames.healthy_band(totals) else ''}, {which}"


if __name__ == "__main__":
    page()
