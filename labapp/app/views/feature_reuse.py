"""Which earlier features are used?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app.views import feature_reuse_more
from labapp.config import LabError, listed
from labapp.store import Run

NAMES = ("feature_reuse", "reuse_observations")
ACROSS = 3  # triangles in a row
ONE_SOURCE = ("plain", "vgg")
MEANING = """
**Dense nets.** Cell (s, l): the mean size of the weights by which layer l reads the channels of source s, as in Huang
et al. 2017, Fig. 5 (*weights*); the same with the batch norm in front folded in; times what arrives (*activation*);
times its gradient, in nats; or the change of the loss when l alone no longer sees s (*ablation*, in nats). Source *in*
is what comes into the block; **T** is the transition, **C** the classifier, framed. Compare inside a column: targets
differ in fan-in and scale.

**Nets that have learnt nothing** are not quite even either: a cell is a mean over finitely many random weights. Beside
each number stands what the same net has with new first weights, ten times, and nothing inside of that is a finding.

**Residual nets** add instead of concatenating, so weights belong to no single source. What remains is ablation: what
block l loses when the stream that it reads lacks what block s has added (Veit et al. 2016, the unravelled view).
"""


def answer(dense: pd.DataFrame, start: pd.DataFrame, residual: pd.DataFrame, who: tuple[str, str], step: int) -> str:
    """The page's question answered.

    Args:
        dense: `frames.reuse` of the dense net shown, on the raw scale; may be empty.
        start: The same at its first measured step.
        residual: That of the residual net by ablation; may be empty.
        who: The two nets' names.
        step: The step shown.
    """
    words = []
    strongest = frames.preference(dense)
    if pd.notna(strongest):
        words.append(
            f"a layer of {_at(who[0], dense, step)} reads its strongest source {palette.number(strongest)}× as "
            f"strongly as the mean one{_beside(dense, start)}"
        )
    elif len(dense):
        worst = frames.missed(dense).dropna(subset="loss")
        words += [_missing(worst, "layer", _at(who[0], dense, step))] if len(worst) else []
    worst = frames.missed(residual).dropna(subset="loss")
    if len(worst):
        words.append(_missing(worst, "block", _at(who[1], residual, step)))
    if not words:
        return f"At step {step:,} nothing finite was measured of {listed([name for name in who if name])}."
    return f"At step {step:,} {'; '.join(words)}."


def _at(name: str, cells: pd.DataFrame, step: int) -> str:
    return app.of_step(name, int(cells["step"].max()), step)


def _beside(dense: pd.DataFrame, start: pd.DataFrame) -> str:
    """What the same number is without training, in brackets: over untrained nets, else at the first measured step."""
    low, high = frames.preference_of_untrained(dense)
    if pd.notna(low):
        ends = f"{palette.number(low)}–{palette.number(high)}×"
        return (
            f" ({ends} in untrained nets)"
            if not low <= frames.preference(dense) <= high
            else f", as chance would ({ends})"
        )
    first = frames.preference(start)
    if pd.isna(first) or not start["step"].max() < dense["step"].max():
        return ""
    return f" ({palette.number(first)}× at step {start['step'].max():,})"


def _missing(worst: pd.DataFrame, what: str, who: str) -> str:
    row = app.rows(worst)[0]
    if row.loss <= 0:
        return f"no {what} of {who} is missed by those behind it"
    return f"{who} misses {row.source_layer} most (+{palette.number(row.loss)} nats)"


def page() -> None:
    """Draw the page."""
    app.show(_body)


def _body(archive: app.OpenArchive) -> None:
    many = [run for run in archive.chosen if run.experiment.family not in ONE_SOURCE]
    if many:
        draw = app.playable(_picture, "reuse-step")
        if not app.show_probed(archive, many, NAMES, "Which features {} reuses", draw):
            return
    else:
        _one_source(archive)
    feature_reuse_more.draw(archive)


def _one_source(archive: app.OpenArchive) -> None:
    counts = {
        name: sum(info.get("kind") in ("conv", "linear") for info in run.layers_info)
        for run, name in zip(archive.chosen, frames.names(archive.chosen), strict=True)
    }
    words = listed(f"all {count} layers of {name}" if count else name for name, count in counts.items())
    st.title(
        palette.sentence(f"{words[0].upper()}{words[1:]} read one source each, the layer before."),
        anchor=False,
        help=MEANING,
    )
    st.caption("Choose a dense net, which reads all layers before, or a residual one, which reads their sum.")


def _picture(archive: app.OpenArchive, have: Sequence[Run]) -> None:
    app.look_again_if_gone(archive.chosen)
    top = st.container()
    groups = _alike(have)
    dense = {name: runs for name, runs in groups.items() if all(map(_is_dense, runs))}
    summed = {name: runs for name, runs in groups.items() if name not in dense}
    with st.container(horizontal=True, vertical_alignment="top"):
        first, second = _choice("Dense net", dense, "dense"), _choice("Residual net", summed, "summed")
        weighting, scale = _controls(bool(dense))
    asked = [(own, each) for own, each in ((first, weighting), (second, "ablation")) if own]
    try:
        groups_of = [set(_measured(own, each)["step"]) for own, each in asked]
    except LabError as error:
        top.title("These tables cannot be read.", anchor=False)
        st.error(palette.sentence(error))
        return
    steps = sorted(int(step) for step in set().union(*groups_of))
    if not steps:
        top.title("Nothing is measured for this choice.", anchor=False)
        st.caption("`labapp probe` measures every weighting; the weights alone are measured while a net trains.")
        return
    shared = [step for step in steps if all(frames.near(own, step) is not None for own in groups_of)]
    step = app.step_slider(steps, "reuse-step", begin=(shared or steps)[-1])
    try:
        cells, start = (frames.reuse(first, weighting, at, app.probe) for at in (step, steps[0]))
        counterpart = frames.reuse(second, "ablation", step, app.probe)
    except LabError as error:
        top.title("These tables cannot be read.", anchor=False)
        st.error(palette.sentence(error))
        return
    who = (frames.names(first, seeds=False)[0] if first else "", frames.names(second, seeds=False)[0] if second else "")
    top.title(palette.sentence(answer(cells, start, counterpart, who, step)), help=MEANING, anchor=False)
    stands = [_standing(*each, step) for each in ((first, weighting, cells), (second, "ablation", counterpart))]
    app.say_steps(pd.concat(stands), step)
    left, right = st.columns([5, 2], gap="medium") if first and second else (st.container(), st.container())
    with left:
        _triangles(cells, who[0], weighting, scale)
    with right:
        _triangles(counterpart, who[1], "ablation", scale)
    if first:
        _observations(first, weighting, step)


def _alike(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs that agree in all but the seed, by the name that they share."""
    groups: dict[str, list[Run]] = {}
    for run, name in zip(runs, frames.describe(runs)["net"], strict=True):
        groups.setdefault(name, []).append(run)
    return groups


def _measured(runs: Sequence[Run], weighting: str) -> pd.DataFrame:
    """At which steps runs were measured by a weighting, as `frames.standing` takes it."""
    pairs = zip(runs, frames.names(runs), strict=True)
    rows = [(name, step) for run, name in pairs for step in frames.reuse_steps(run, weighting, app.probe)]
    return pd.DataFrame(rows, columns=["run", "step"])


def _standing(runs: Sequence[Run], weighting: str, cells: pd.DataFrame, step: int) -> pd.DataFrame:
    """As `frames.standing`, of runs whose mean is of one step: those that were not measured there are left out."""
    measured = _measured(runs, weighting)
    there = frames.standing(measured, step)
    at = cells["step"].max() if len(cells) else None
    held = set(measured.loc[measured["step"] == at, "run"])
    return there.assign(step=there["run"].map(lambda name: at if name in held else None).astype(float))


def _is_dense(run: Run) -> bool:
    """Whether a net concatenates its features, also one from another library: only such nets have observations."""
    return "reuse_observations" in run.probes()


def _choice(label: str, groups: dict[str, list[Run]], key: str) -> list[Run]:
    return app.choice(label, groups, key, width=190) if len(groups) > 1 else next(iter(groups.values()), [])


def _controls(dense: bool) -> tuple[str, str]:
    weighting = "ablation"
    if dense:
        weighting = st.segmented_control(
            "Weighting", list(palette.WEIGHTINGS), default="weights", key="weighting", bind="query-params",
            required=True,
            help="\n\n".join(f"**{name}**: {meaning}" for name, (_, meaning) in palette.WEIGHTINGS.items()),
        )  # fmt: skip
    scale = st.segmented_control(
        "Colour scale", list(frames.SCALES), default=frames.SCALES[0], key="reuse-scale", bind="query-params",
        required=True, help="Columns are scaled each for itself. *Column mean*: by how much a cell is above or below "
        "the mean of its column; colours reach as far as the values do, so small differences show. *Column maximum*: "
        "as in the paper. *Column min–max*: from the least to the largest value, which hides how unequal a column is. "
        "*Raw* compares columns too. What ablation costs is not shared out, so there *column mean* is the maximum.",
    )  # fmt: skip
    return weighting, scale


def _triangles(cells: pd.DataFrame, who: str, weighting: str, scale: str) -> None:
    """The triangles of one net under their colour bar."""
    if cells.empty:
        return
    unit = palette.WEIGHTINGS[weighting][0]
    signed = weighting == "ablation"
    scale = "column maximum" if signed and scale == "column mean" else scale
    shown = frames.scaled(cells, scale)
    domain = charts.linear_domain(shown["value"], signed, scale)
    seeds = int(cells["seeds"].max())
    name = {"raw": unit, "column mean": f"{unit}, above or below the column's mean"}.get(scale, f"{unit}, {scale}")
    chance = frames.spread_of_untrained(cells)
    with st.container(gap=None):
        st.markdown(f"**{palette.markdown(who)}**" + (f", mean of {seeds} seeds" if seeds > 1 else ""))
        st.caption(
            palette.sentence(
                name if pd.isna(chance) else f"{name}; chance alone: ±{palette.percent(chance)} from net to net"
            )
        )
        bar = charts.linear_bar(domain)
        app.colour_bar(bar, f"bar-{who}-{weighting}", f"Colours of {name}")
    blocks = sorted(cells["block"].unique())
    for at in range(0, len(blocks), ACROSS):
        row = blocks[at : at + ACROSS]
        for block, column in zip(row, st.columns(min(ACROSS, len(blocks))), strict=False):
            own = shown[shown["block"] == block]
            most = feature_reuse_more.most(own, unit)
            with column:
                title = f"block {block}" if len(blocks) > 1 else "all blocks"
                app.chart(
                    charts.reuse_chart(own, domain, unit, title=title),
                    f"reuse-{who}-{block}",
                    f"{name} of each source for each target in block {block} of {who}, {most}",
                    own,
                    scale=bar,
                )


def _observations(runs: Sequence[Run], weighting: str, step: int) -> None:
    """What Huang et al. read off their Fig. 5, and whether it shows here."""
    used = "weights" if weighting == "ablation" else weighting
    table = frames.observations(runs, used, step, app.probe)
    st.subheader(
        "The paper's four observations", anchor=False,
        help="Huang et al. 2017, §5 *Feature Reuse*, of DenseNet-40 with k = 12 on CIFAR-10. The paper gives no "
        "thresholds; these are the lab's. An observation counts as seen if its number passes the threshold and lies "
        "outside of where ten nets with new first weights would put an eleventh (95 %). What Fig. 5 shows is disputed "
        "(DenseNet issue 53), so look at several seeds.",
    )  # fmt: skip
    if used != weighting:
        st.caption("Read off the weights, because ablation has no shares.")
    for (_, rows), column in zip(table.groupby("observation"), st.columns(4), strict=False):
        with column, st.container(border=True, height="stretch"):
            st.markdown(verdict(rows))
            st.markdown(palette.sentence(f"{rows['claim'].iloc[0].capitalize()}."))
            for row in app.rows(rows):
                st.caption(palette.sentence(f"{row.run}: {words_of(row)}"))


def words_of(row: Any) -> str:
    """The number of an observation, its threshold, and the same number in nets that have learnt nothing."""
    if pd.isna(row.number):
        return str(row.reason)
    said = f"{palette.number(row.number)}, seen from {palette.number(row.threshold)}"
    if pd.notna(row.null_low):
        ends = f"{palette.number(row.null_low)} to {palette.number(row.null_high)}"
        return f"{said}; untrained nets {ends}" + (", so this tells nothing" if row.reason else "")
    return said if pd.isna(row.untrained) else f"{said}; equal weights {palette.number(row.untrained)}"


def verdict(rows: pd.DataFrame) -> str:
    """Seen, not seen, or in how many of the runs."""
    told = [bool(seen) for seen in rows["seen"] if seen is not None and not pd.isna(seen)]
    if not told:
        return ":material/help: **cannot be told**"
    if len(told) > 1 and 0 < sum(told) < len(told):
        return f":material/contrast: **seen in {sum(told)} of {len(told)}**"
    return ":material/check_circle: **seen**" if told[0] else ":material/cancel: **not seen**"


if __name__ == "__main__":
    page()
