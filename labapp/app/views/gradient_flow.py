"""Does the signal reach the first layer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.app.views import gradient_flow_more
from labapp.config import listed
from labapp.store import Run

GRADIENTS = {"outputs": "output_grad_norm", "weights": "weight_grad_norm"}
SCALES = {"absolute": False, "relative to last layer": True}
DRAWN = "_every-layer"  # where the page keeps of what its heatmaps are
SLOPES = 600  # steps at which lines are fitted, of all runs together
Asked = tuple[str, bool, str]  # quantity, whether it is divided by the last layer's, kind of layers
MEANING = """
**Gradient at a layer's output**, ‖∂L/∂h‖: the Euclidean norm, over the whole batch, of the mean loss's gradient with
respect to the layer's output h. **Slope**: least squares of log₁₀ of that norm over the layer's depth; 10^(−slope) is
the growth a layer on the way back to the image. In brackets its 95 % interval: over the seeds where three or more of
one net are chosen, else from how far the layers are from the line, which neighbours are together. The gradient *keeps
its size* where the interval holds 1×. Projections on shortcuts are left out of the line.

**Theory**, at step 0: what the gradient of this very net should be before training, from its family, channels,
strides, shortcuts, normalisation, activation, initialisation, padding and batch, counted from the last layer's measured
value (mean-field theory: Poole et al. 2016, Schoenholz et al. 2017, Yang et al. 2019). Inside a plain net with batch
norm and ReLU, for instance, it grows by √(π/(π−1)) ≈ 1.211 a layer towards the image where there is no border (Yang
2019, *A mean field theory of batch normalization*, Theorem 3.10); zeros around the image make that a little less.
It is of wide nets: with 8 channels seeds scatter around it, at the far end of 56 layers by a factor of two.
"""
CELLS = """A cell of several recorded steps has the colour of their mean; its right third has that of the value furthest
from the mean, where the two differ by more than a tenth of the scale. Hovering tells the steps, the least and the
greatest value."""


def answer(
    slopes: pd.DataFrame, runs: pd.DataFrame, step: int, theory: Mapping[str, float], what: str = "gradient"
) -> str:
    """The page's question answered for `frames.gradient_slope`, each run at its step that stands for `step`.

    `theory` is the growth that theory expects of each run at this step, of those about which it has something to say.

    Where there are both: the deepest plain net and the residual one of its depth. Else the steepest run and the
    flattest one.
    """
    known = slopes.dropna(subset="factor")
    lost = [run for run in slopes["run"] if run not in set(known["run"])]
    ends = [f"In {listed(lost)} it cannot be told: fewer than two layers have a finite one."] if lost else []
    if known.empty:
        return f"At step {step:,} no layer of the chosen runs has a finite {what}."
    order = known.assign(steepness=known["slope"].abs()).sort_values("steepness", kind="stable")
    pair = _pair(runs[runs["run"].isin(order["run"])])
    if pair:
        order = order.set_index("run").loc[[pair[1], pair[0]]].reset_index()
    steep, flat = app.rows(order.iloc[[-1]])[0], app.rows(order.iloc[[0]])[0]
    first_words = f"{_growth(steep, 'a layer towards the input')} in {app.of_step(steep.run, steep.step, step)}"
    first_words += _theory(steep.run, theory)
    if len(order) > 1:
        same = _verb(steep) == _verb(flat) == "grows"
        other = app.of_step(flat.run, flat.step, step)
        first_words += f"; in {other} {_factor(flat) if same else 'it ' + _growth(flat)}{_theory(flat.run, theory)}"
        ends += _besides(runs[runs["run"].isin([steep.run, flat.run])], step)
    return " ".join([f"At step {step:,} the {what} {first_words}.", *ends])


def _pair(runs: pd.DataFrame) -> tuple[str, str] | None:
    """The deepest plain net and the residual net of its depth, or the deepest."""
    plain, residual = (runs[runs["family"] == family].sort_values("net_depth") for family in ("plain", "residual"))
    if plain.empty or residual.empty:
        return None
    same = residual[residual["net_depth"] == plain["net_depth"].iloc[-1]]
    return plain["run"].iloc[-1], (residual if same.empty else same)["run"].iloc[-1]


def _besides(pair: pd.DataFrame, step: int) -> list[str]:
    others = frames.besides(*pair["comparable"], untrained=step == 0)
    return [f"They also differ in {listed(others)}."] if others else []


def _verb(row: Any) -> str:
    """What the gradient does on the way to the input, as far as the interval of the slope can tell."""
    if pd.isna(row.low):  # of two layers, which have a slope and no interval
        return "changes by"
    if row.low <= 0 <= row.high:
        return "keeps its size"
    return "grows" if row.factor > 1 else "shrinks to"


def _growth(row: Any, unit: str = "") -> str:
    verb = _verb(row)
    return f"{verb} from layer to layer" if "keeps" in verb else f"{verb} {_factor(row)} {unit}".rstrip()


def _factor(row: Any) -> str:
    """Growth per layer, with its interval where that shows at three digits."""
    low, high = (palette.number(10**-end) for end in (row.high, row.low))
    interval = "" if pd.isna(row.low) or low == high else f" ({low}–{high})"
    return f"{palette.number(row.factor)}×{interval}"


def _theory(run: str, theory: Mapping[str, float]) -> str:
    return f" (theory {palette.number(theory[run])}×)" if run in theory else ""


def page() -> None:
    """Draw the page."""
    app.show(_body)


def _body(archive: app.OpenArchive) -> None:
    st.session_state.pop(DRAWN, None)
    app.playable(_picture, "step", archive.chosen)(archive)
    if what := st.session_state.get(DRAWN):  # in a fragment of its own, because a step changes nothing of it
        app.live(_heatmaps, "heatmaps", archive.chosen, ("layers",))(archive, what)
    gradient_flow_more.draw(archive)


def _picture(archive: app.OpenArchive) -> None:
    """What depends on the step."""
    app.look_again_if_gone(archive.chosen)
    top = st.container()
    asked = quantity, relative, kind = _controls(archive)
    with app.reading(archive.chosen):
        panels = _panels(archive.chosen, asked)
    moments = frames.moments(panels)
    shown = None if moments.empty else asked
    if st.session_state.get(DRAWN, shown) != shown:
        st.rerun()  # the whole page, since the heatmaps are of something else now
    st.session_state[DRAWN] = shown
    runs, looks = app.described(archive.chosen), app.styles(archive.chosen)
    if moments.empty:
        top.title("Nothing is recorded for this choice.", anchor=False)
        st.caption(
            palette.sentence(
                f"None of the chosen runs has recorded the {palette.quantity(quantity).name} of {palette.KINDS[kind]}."
            )
        )
        return
    steps = sorted(int(step) for step in moments["step"].unique())
    controls = st.container()
    left, right = st.columns([3, 2], gap="medium")
    with controls:
        step = app.step_slider(steps, "step", live=archive.live)
        standing = frames.standing(moments, step)
        app.say_steps(standing, step)
    slopes = frames.sampled_slopes(panels, SLOPES, standing)
    profile = frames.gradient_profile(frames.rows_at(panels, standing), step)
    at = profile[["run", "step"]].drop_duplicates()
    what = "gradient" if quantity == "output_grad_norm" else "weights' gradient"
    expected = app.made_of(
        f"expected gradient of {asked}",
        archive.chosen,
        lambda runs: frames.expected_gradient(_begun(panels, moments), frames.expected(runs)),
    )
    theory = expected[:0] if step or quantity != "output_grad_norm" else expected
    with top:
        grown = frames.over_seeds(frames.gradient_slope(theory.assign(step=0)), runs)[0]
        words = answer(
            *frames.over_seeds(slopes.merge(at, on=["run", "step"]), runs),
            step,
            dict(zip(grown["run"], grown["factor"], strict=True)),
            what,
        )
        st.title(palette.sentence(words), help=MEANING, anchor=False)
        app.say_divergence(archive.chosen)
        app.names_on_phones(archive.chosen)
    # over all steps, so that the axis stands still while they play
    ends = frames.span(panels) or ()
    span = charts.log_span([*ends, *(expected["value"] if quantity == "output_grad_norm" else ())])
    with left:
        app.chart(
            charts.profile_chart(profile, looks, quantity, relative, theory, span),
            "profile",
            f"{charts.axis_title(quantity, relative)} against relative depth",
            profile,
            said=words,
        )
    with right:
        app.chart(
            charts.slope_chart(slopes, looks, step),
            "slope",
            "Slope of the gradient norm over depth while they train",
            slopes,
            said=_ends(slopes),
        )
    if step == 0:
        _theory_in_words(archive, profile, theory, quantity, kind)


def _ends(slopes: pd.DataFrame) -> str:
    """The growth a layer at each run's last recorded step, in words."""
    last = slopes[slopes["step"] == slopes.groupby("run")["step"].transform("max")]
    return below.of_runs(
        f"at step {row.step:,} {palette.number(row.factor)}× a layer in {row.run}" for row in app.rows(last)
    )


def _theory_in_words(
    archive: app.OpenArchive, profile: pd.DataFrame, theory: pd.DataFrame, quantity: str, kind: str
) -> None:
    """What the dots are, and where there are none, why."""
    if quantity != "output_grad_norm":
        st.caption("Theory is drawn for the gradient at outputs; that of weights depends on how alike images are.")
        return
    if kind not in ("conv", "norm"):
        st.caption("Theory is drawn at convolutions and normalisations; choose one of them under Layers.")
        return
    app.say_theory(archive.chosen, profile, theory, ", counted from the last layer's value")


def _controls(archive: app.OpenArchive) -> Asked:
    with st.container(horizontal=True, vertical_alignment="top"):
        gradient = st.segmented_control(
            "Gradient of", list(GRADIENTS), default="outputs", key="gradient", bind="query-params", required=True
        )
        scale = st.segmented_control(
            "Scale", list(SCALES), default="absolute", key="scale", bind="query-params", required=True
        )
        present = {info.get("kind") for run in archive.chosen for info in run.layers_info}
        kinds = [kind for kind in palette.KINDS if kind in present] or ["conv"]
        kind = st.selectbox(
            "Layers", kinds, key="layers", bind="query-params", width=190, format_func=lambda name: palette.KINDS[name]
        )
    return GRADIENTS[gradient], SCALES[scale], kind


def _panels(runs: Sequence[Run], what: Asked) -> list[frames.Panel]:
    quantity, relative, kind = what
    return app.layers(runs, quantity, (kind,), relative)


def _begun(panels: Sequence[frames.Panel], moments: pd.DataFrame) -> pd.DataFrame:
    """The profile at step 0 of the runs that recorded it."""
    return frames.gradient_profile(frames.rows_at(panels, frames.standing(moments, 0)), 0)


class _Heatmap(NamedTuple):
    """One of the page's, as it is drawn until its run changes."""

    run: str
    drawn: charts.Unchecked
    cells: pd.DataFrame
    said: str


def _heatmaps(archive: app.OpenArchive, what: Asked) -> None:
    app.look_again_if_gone(archive.chosen)
    quantity, relative, _ = what
    bar, maps = app.made_of(f"heatmaps of {what}", archive.chosen, partial(_mapped, what))
    st.subheader("Every layer at every step", anchor=False, help=CELLS)
    app.colour_bar(bar, "scale-bar", "The colour scale of the heatmaps")
    across = min(3, len(maps))
    for at in range(0, len(maps), across):
        for each, column in zip(maps[at : at + across], st.columns(across), strict=False):
            with column:
                app.chart(
                    each.drawn,
                    f"heatmap-{each.run}",
                    f"{charts.axis_title(quantity, relative)} of {each.run}, layer by layer and step by step",
                    each.cells,
                    scale=bar,
                    said=each.said,
                )


def _mapped(what: Asked, runs: Sequence[Run]) -> tuple[charts.Chart, list[_Heatmap]]:
    """The bar of colours, and the heatmap of each run that has recorded what is asked for."""
    quantity, relative, _ = what
    cells = frames.gradient_heatmap(_panels(runs, what))
    domain = charts.colour_domain([*cells["value"], *cells["extreme"]], relative)
    maps = []
    for run in app.described(runs)["run"]:
        own = cells[cells["run"] == run]
        if len(own):
            drawn = charts.Unchecked(charts.heatmap_chart(own, quantity, domain, relative))
            maps.append(_Heatmap(run, drawn, own, _span(own)))
    return charts.scale_chart(quantity, domain, relative), maps


def _span(cells: pd.DataFrame) -> str:
    """The least and the greatest value of a heatmap, and how many cells hold one that is not finite, in words."""
    low, high = (palette.number(10 ** float(end)) for end in (cells["low"].min(), cells["high"].max()))
    ill = int((~cells["state"].isin(["finite", "zero"])).sum())
    return f"from {low} to {high}{f', not finite in {ill:,} of {len(cells):,} cells' if ill else ''}"


if __name__ == "__main__":
    page()
