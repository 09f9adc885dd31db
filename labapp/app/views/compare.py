"""What differs between these two?"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import sides
from labapp.app.views import compare_layers
from labapp.config import listed
from labapp.frames import compare
from labapp.frames.compare import Side

GRADIENT = "output_grad_norm"  # of which the page's answer tells
MEANING = f"""
Two runs, or two groups of them, side by side: every ratio is B ÷ A, so that 1 is no difference.

**Layers** are matched by name where both nets have the same ones. Where not, by relative depth among layers of a kind:
a net is read between two of its own layers, on the straight line between their logarithms. **Steps** are compared where
both sides recorded one, or one within {100 * frames.TOLERANCE:g} % of it.

**The interval** is Welch's 95 % over the runs of each side, of ratios on the logarithm (Welch 1947, *Biometrika* 34;
of shares, which may be zero, the log response ratio of Hedges, Gurevitch & Curtis 1999, *Ecology* 80). It needs two
seeds a side: of one seed each, nobody can tell a difference from chance.

The same on the command line, with an exit code for a change to training code: `labapp runs compare A B --fail-on
'update_ratio>3x'`.
"""


def answer(a: Side, b: Side, differing: pd.DataFrame, first: Any) -> str:
    """The page's question answered: what was set otherwise, and what became of the gradient at the first layer.

    Args:
        a: One side.
        b: The other.
        differing: From `frames.compare.configuration`.
        first: The row of `frames.compare.by_depth` of the gradient at the first layer; None where there is none.
    """
    if set(a.runs) == set(b.runs):
        return f"A and B are both {a.name}: nothing differs."
    settings = compare.in_words(differing)
    said = f"{b.name} differs from {a.name} in {settings}"
    if a.name == b.name:
        said = f"A and B, both {a.name}, differ in {settings}"
    if first is None:
        return f"{said}; they recorded no gradient at a common step."
    if math.isnan(first.ratio):
        return f"{said}; the gradient at its first layer cannot be compared at step {first.step:,}: it is {first.note}."
    return f"{said}; {_received(first)} at step {first.step:,}. {_chance(a, b, first)}".rstrip()


def _received(first: Any) -> str:
    interval = f" ({_number(first.low)} to {_number(first.high)})" if not math.isnan(first.low) else ""
    return f"its first layer receives {_number(first.ratio)}×{interval} the gradient"


def _chance(a: Side, b: Side, first: Any) -> str:
    """Whether chance alone may have made the difference."""
    single = [each.name for each in (a, b) if len(each.runs) == 1]
    if single:
        whose = "one seed each" if len(single) == 2 else f"one seed of {single[0]}"
        return f"With {whose}, chance cannot be told from the difference."
    if math.isnan(first.low):
        return "Too few runs have a finite value for an interval."
    return "The difference is more than chance." if not first.low <= 1 <= first.high else "Chance may have made that."


def _number(value: float) -> str:
    return palette.number(value)


def page() -> None:
    """Draw the page."""
    archive = app.opened()
    if not archive.runs:
        app.empty(archive)
        return
    live = _live(archive)
    app.playable(_picture, "step", live)(archive, live)
    app.broken(archive)


def _live(archive: app.OpenArchive) -> bool:
    wanted = {name for ids in sides.wanted_sides(archive).values() for name in ids}
    there = archive.listing.by_id
    return any(archive.listing.run(there[name]).status == "running" for name in wanted if name in there)


def _picture(archive: app.OpenArchive, live: bool) -> None:
    heading = st.container()
    (one, other), sentences = sides.pick_sides(archive)
    if live != _live(archive):
        st.rerun()  # the whole page, because the pace is set where the fragment is called
    if sentences:
        st.warning("\n\n".join(map(palette.sentence, sentences)), icon=":material/broken_image:")
    if one and other:
        app.look_again_if_gone((*one, *other))
        _compared(heading, compare.side(one), compare.side(other))
    else:
        _say_too_few(heading, len(archive.runs))


def _say_too_few(heading: Any, runs: int) -> None:
    with heading:
        if runs < 2:
            st.title("A comparison needs a second run.", anchor=False)
            st.caption(
                "`labapp train` records one: with another setting, or with another seed, which shows what chance does."
            )
        else:
            st.title("Two runs are compared, and a side has none yet.", anchor=False)
            st.caption("Choose a run for A and one for B below.")


def _compared(heading: Any, a: Side, b: Side) -> None:
    differing = compare.configuration(a, b)
    steps = app.compared_steps(a.runs, b.runs)
    _configuration(differing, a, b)
    _curves(a, b)
    if steps.empty:
        with heading:
            st.title(palette.sentence(answer(a, b, differing, None)), help=MEANING, anchor=False)
            sides.say_left_out((a, b))
            app.say_divergence(list(dict.fromkeys((*a.runs, *b.runs))))
        st.caption("A and B recorded no layers at a common step; `labapp train --record every` records them.")
        return
    st.subheader("Layer by layer", anchor=False)
    every = [int(step) for step in steps["step"]]
    step = app.step_slider(every, "step", begin=every[-1])
    at = app.rows(steps[steps["step"] == step])[0]
    _say_steps(a, b, at)
    found = {quantity: app.by_depth(a, b, quantity, at) for quantity in compare.SHOWN}
    gradient = found[GRADIENT].sort_values("relative_depth", kind="stable")
    with heading:
        first = app.rows(gradient)[0] if len(gradient) else None
        st.title(palette.sentence(answer(a, b, differing, first)), help=MEANING, anchor=False)
        sides.say_left_out((a, b))
        app.say_divergence(list(dict.fromkeys((*a.runs, *b.runs))))
    compare_layers.draw(a, b, steps, at, {quantity: rows for quantity, rows in found.items() if len(rows)})


def _configuration(differing: pd.DataFrame, a: Side, b: Side) -> None:
    if differing.empty:
        st.caption("No setting that may change a result differs.")
        return
    st.dataframe(
        differing,
        hide_index=True,
        key="configuration",
        alt="The settings in which A and B differ",
        column_config={
            "setting": st.column_config.TextColumn("Setting"),
            "a": st.column_config.TextColumn(f"A: {palette.visible(a.name)}"),
            "b": st.column_config.TextColumn(f"B: {palette.visible(b.name)}"),
        },
    )


def _curves(a: Side, b: Side) -> None:
    runs = list(dict.fromkeys((*a.runs, *b.runs)))
    curves, looks = app.curves(runs, 100 * len(runs)), app.styles(runs)
    if curves.empty:
        st.caption("Nothing is recorded yet; the curves begin with the first steps.")
        return
    st.subheader("While they train", anchor=False)
    with st.container(gap=None):
        for quantity, draw in (("loss", charts.loss_chart), ("accuracy", charts.accuracy_chart)):
            name = palette.quantity(quantity).name
            app.chart(
                draw(curves, looks), quantity, f"{name.capitalize()} over steps of {listed(looks['run'])}", curves
            )
    for quantity, column in zip(("loss", "accuracy"), st.columns(2), strict=True):
        name, course = palette.quantity(quantity).name, app.course(a, b, quantity)
        with column:
            st.markdown(f"**{palette.markdown(name.capitalize())}, B − A**")
            if course.empty:
                st.caption(palette.sentence(f"A and B have no {name} at a common step."))
                continue
            app.chart(
                charts.difference_chart(course, compare_layers.colour_of(b), quantity),
                f"difference-{quantity}",
                f"{name.capitalize()} of B minus that of A over steps",
                course,
            )


def _say_steps(a: Side, b: Side, at: Any) -> None:
    """Say which runs stand at another step, and which do not count at this one."""
    runs = [(run, own) for side, steps in ((a, at.a), (b, at.b)) for run, own in zip(side.runs, steps, strict=True)]
    names = frames.names([run for run, _ in runs])
    told = dict(zip(names, (own for _, own in runs), strict=True))
    near = [f"{name} at step {own:,}" for name, own in told.items() if own not in (-1, at.step)]
    gone = [name for name, own in told.items() if own == -1]
    words = [f"Compared at their nearest recorded step: {listed(near)}."] if near else []
    words += [f"Left out, not recorded within {100 * frames.TOLERANCE:g} % of it: {listed(gone)}."] if gone else []
    if words:
        st.caption(palette.sentence(" ".join(words)))


if __name__ == "__main__":
    page()
