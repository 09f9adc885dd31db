"""What do layers represent, and when?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.app.views import representation_more
from labapp.config import LabError, listed
from labapp.store import Run

NAMES = ("similarity", "by_depth")
ITSELF = "itself"
SLIDER = 330  # pixels, so that it stands beside the choices where there is room and below them on a phone
MEANING = """
**CKA** (linear, unbiased; Kornblith et al. 2019, Nguyen et al. 2021): how alike two layers arrange the same images, 1
when one's features are a rotation and scaling of the other's, 0 when they have nothing in common. Few images for many
features make it uncertain: hovering tells the interval.

**Effective rank**: exp of the entropy of the covariance's eigenvalues (Roy & Vetterli 2007), of the channels' means.
**Intrinsic dimension**: TwoNN (Facco et al. 2017), from the distances to the two nearest neighbours. **Probe
accuracy**: a linear classifier on a layer's features, trained on one half of the images, scored on the other (Alain &
Bengio 2016).

Batch norms use the statistics that training has gathered; before training there are none, and those of the probe images
are taken, held fixed.
"""


def answer(depth: pd.DataFrame, cells: pd.DataFrame, run: str, other: str, step: int) -> str:
    """The page's question answered.

    Args:
        depth: From `frames.across_depth`.
        cells: From `frames.self_similarity`, or `frames.pair_similarity` where `other` is named.
        run: Name of the run whose layers are compared.
        other: Name of the one they are compared with; "" for itself.
        step: The step shown.
    """
    own = depth[(depth["quantity"] == "linear_probe") & (depth["run"] == run)].dropna(subset="value")
    words = []
    if len(own):
        first, last = app.rows(own.sort_values("depth", kind="stable").iloc[[0, -1]])
        words.append(
            f"a linear probe names the class of {palette.percent(last.value)} of the images from the last layer of "
            f"{run}, of {palette.percent(first.value)} from the first"
        )
    low, high = frames.ends(cells)
    if other and pd.notna(high):
        its = "its last layer" if words else f"the last layer of {run}"
        there = app.of_step(other, int(cells["other_step"].iloc[0]), step)
        words.append(f"{its} and that of {there} have a CKA of {palette.number(high)}")
    elif not other and pd.notna(low):
        two = "the two" if words else f"the first and the last layer of {run}"
        words.append(f"{two} have a CKA of {palette.number(low)}")
    if not words:
        return f"At step {step:,} nothing finite was measured of {run}."
    return f"At step {step:,} {'; '.join(words)}."


def page() -> None:
    """Draw the page."""
    app.show(_body)


def _body(archive: app.OpenArchive) -> None:
    what = "What the layers of {} represent"
    if app.show_probed(archive, archive.chosen, NAMES, what, app.playable(_picture, "probe-step")):
        representation_more.draw(archive)


def _picture(archive: app.OpenArchive, have: Sequence[Run]) -> None:
    app.look_again_if_gone(archive.chosen)
    top = st.container()
    names = dict(zip((run.id for run in have), frames.names(have), strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run = app.choice("Layers of", {names[run.id]: run for run in have}, "of", width=210)
        others = {names[other.id]: other for other in have if other != run and _same_images(run, other)}
        other = app.choice("compared with", {ITSELF: None, **others}, "with", width=210)
        with st.container(width=SLIDER):
            steps = run.probes()["by_depth"]
            step = app.step_slider(steps, "probe-step", "Checkpoint", begin=steps[-1])
    app.say_steps(frames.standing(app.measured_steps(have, "by_depth"), step), step)
    try:
        depth = frames.across_depth(have, step, app.probe)
        cells = _cells(run, other, step)
    except LabError as error:
        top.title("These tables cannot be read.", anchor=False)
        st.error(palette.sentence(error))
        return
    top.title(
        palette.sentence(answer(depth, cells, names[run.id], names[other.id] if other else "", step)),
        help=MEANING,
        anchor=False,
    )
    with top:
        app.names_on_phones(have)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _similarity(archive, cells, run, other, names)
    with right:
        _by_depth(depth, app.styles(have))


def _same_images(run: Run, other: Run) -> bool:
    fields = ("imageset", "image_size", "data")
    return all(getattr(run.experiment, name) == getattr(other.experiment, name) for name in fields)


def _cells(run: Run, other: Run | None, step: int) -> pd.DataFrame:
    if other is None:
        return frames.self_similarity(run, step, app.probe)
    return frames.pair_similarity(run, other, step, app.probe)


def _similarity(
    archive: app.OpenArchive, cells: pd.DataFrame, run: Run, other: Run | None, names: dict[str, str]
) -> None:
    whose = names[run.id]
    what = f"{whose} and {names[other.id]}" if other else f"{whose} with itself"
    with st.container(gap=None):
        st.markdown(
            f"**Similarity of layers: {palette.markdown(what)}**",
            help="Linear CKA, unbiased; 1 is the same up to rotation and scale.",
        )
        if len(cells):
            both = {f"{at:,}": None for name in ("step", "other_step") if name in cells for at in cells[name].iloc[:1]}
            steps = f"step {' and '.join(both)}"
            st.caption(palette.sentence(f"{steps}, {int(cells['images'].max()):,} test images" + _worry(cells)))
    if cells.empty and other is not None:
        if there := frames.pairs(run, other):
            at = listed(f"{mine:,} with {theirs:,}" for mine, theirs in there)
            st.caption(palette.sentence(f"Not compared at this step; choose one of those that were: {at}."))
        else:
            app.unpaired(archive, run, other)
        return
    if cells.empty:
        st.caption("The similarity of these layers was not measured at this step.")
        return
    bar = charts.linear_bar((0.0, 1.0))
    app.colour_bar(bar, "similarity-bar", "The colours of CKA, from 0 to 1")
    drawn = charts.similarity_chart(cells, f"layer of {whose}", f"layer of {names[other.id] if other else whose}")
    first, last = frames.ends(cells)
    ends = (
        f"the first and the last {palette.number(first)}" if other is None else f"the last ones {palette.number(last)}"
    )
    app.chart(drawn, "similarity", f"CKA of the layers of {what}: {ends}", cells, scale=bar)


def _worry(cells: pd.DataFrame) -> str:
    """A warning about pairs without a value and about too few images, to end a caption with; "" where there is none."""
    unknown = int(cells["cka"].isna().sum())
    few = int(cells["note"].str.contains("read the interval").sum())
    words = [f"{unknown:,} of {len(cells):,} pairs have no value (grey)"] if unknown else []
    words += ["fewer images than features, so look at the intervals"] if few else []
    return "".join(f"; {word}" for word in words)


def _by_depth(depth: pd.DataFrame, looks: pd.DataFrame) -> None:
    for quantity in frames.BY_DEPTH:
        about, rows = palette.quantity(quantity), depth[depth["quantity"] == quantity]
        with st.container(gap=None):
            st.markdown(f"**{palette.markdown(about.name.capitalize())}**", help=about.meaning)
            usable = rows["value"].dropna()
            lacking = rows[rows["value"].isna()]
            if len(lacking):
                said = [note for note in dict.fromkeys(lacking["note"]) if note]
                where = f" at {len(lacking)} of {len(rows)} layers" if len(usable) else ""
                st.caption(palette.sentence(f"No value{where}: {listed(said)}." if said else f"No value{where}."))
            if usable.empty:
                continue
            app.chart(
                charts.signal_chart(rows, looks, quantity, (0.0, float(usable.max())), interval=True, height=175),
                f"depth-{quantity}",
                f"{about.title} of every layer against relative depth, {below.from_to(rows)}",
                rows,
            )


if __name__ == "__main__":
    page()
