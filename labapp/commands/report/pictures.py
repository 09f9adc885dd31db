"""Which figures show these runs: did they train, does the gradient reach the first layer, and how does that go on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from labapp import frames, palette
from labapp.commands.report.document import Chapter, Paragraph, Picture
from labapp.commands.report.scope import ReportScope
from labapp.figures import paper
from labapp.figures.sheets import error_curves, layer_heatmaps, layer_profiles
from labapp.store import Entry, Run

NETS, RUNS = 8, 24  # that are drawn at most: more lines are not told apart
POINTS = 40  # training error is a mean over so many stretches of steps: single batches are noisy
CELLS = 3000  # of a heatmap
ENDED = ("finished", "diverged")
GRADIENT = "output_grad_norm"


def figures_chapter(scope: ReportScope) -> Chapter:
    """The figures, and which runs are in them."""
    drawn, left = shown(scope)
    runs = [scope.listing.run(entry) for entry in drawn]
    named = frames.describe(runs)
    styles = _styles(named)
    blocks: list[Any] = []
    if left:
        words = (
            f"Drawn are {len(styles)} nets with {len(runs)} runs, those with the most finished seeds, of older ones "
            f"first; {left:,} run{'s' * (left != 1)} more are not, which `labapp report RUN …` draws."
        )
        blocks.append(Paragraph(words, muted=True))
    with paper():
        blocks += [_errors(runs, named, styles), *_gradients(runs, named, styles)]
    return Chapter("figures", "Figures", tuple(blocks))


def shown(scope: ReportScope) -> tuple[list[Entry], int]:
    """The runs that are drawn, in their order, and how many are not."""
    nets: dict[str, list[Entry]] = {}
    for entry in scope.entries:
        nets.setdefault(scope.called[entry.id].net, []).append(entry)
    if scope.whole:
        seeds = {
            net: len({one.experiment.seed for one in own if one.status == "finished"}) for net, own in nets.items()
        }
        nets = dict(sorted(nets.items(), key=lambda each: -seeds[each[0]]))
    kept: set[str] = set()
    for own in list(nets.values())[:NETS]:
        kept |= {entry.id for entry in own[: RUNS - len(kept)]}
    drawn = [entry for entry in scope.entries if entry.id in kept]
    return drawn, len(scope.entries) - len(drawn)


def _styles(named: pd.DataFrame) -> pd.DataFrame:
    """How each net is drawn, whatever its seeds: by family, then by depth."""
    order = [*palette.FAMILIES]
    nets = named.drop_duplicates("net")
    nets = nets.assign(order=nets["family"].map(order.index)).sort_values(
        ["order", "net_depth", "net"], ignore_index=True
    )
    return palette.styles(nets.assign(place=nets["net_place"])).assign(net=list(nets["net"]))


def _errors(runs: Sequence[Run], named: pd.DataFrame, styles: pd.DataFrame) -> Picture | Paragraph:
    table = frames.curves(runs, marks=POINTS * len(runs)).merge(named[["run", "net", "status"]], on="run")
    table, gone = frames.averaged(table)
    if table.dropna(subset="error").empty:
        return Paragraph("There are no curves: none of these runs holds a training or test accuracy.")
    caption = f"Training and test error over steps; means over seeds with their range.{_left_out(gone)}"
    ends = table[table["split"] == "test"].dropna(subset="error").sort_values("step").groupby("net").tail(1)
    numbers = zip(ends["net"], ends["error"].astype(float), ends["step"].astype(int), strict=True)
    told = [f"{net} {palette.percent(error)} at step {step:,}" for net, error, step in numbers]
    return Picture(error_curves(table, styles), caption, f"Last test errors: {'; '.join(told) or 'none'}")


def _gradients(runs: Sequence[Run], named: pd.DataFrame, styles: pd.DataFrame) -> list[Picture | Paragraph]:
    table = frames.layer_table(runs, GRADIENT)
    if table.empty:
        return [Paragraph("There is no gradient by depth: none of these runs recorded one of convolutions.")]
    table = table.merge(named[["run", "net", "status"]], on="run")
    theory = frames.expected(runs)
    moments, told = {}, []
    for title, last in (("Initialisation", False), ("End of training", True)):
        able = table[table["status"].isin(ENDED)] if last else table
        rows = frames.together(frames.moment(able, last))
        if rows.empty:
            told.append(f"no run has recorded its {title.lower()}")
            continue
        expected = frames.expected_gradient(rows, theory).merge(rows[["run", "net"]].drop_duplicates(), on="run")
        steps = sorted(rows["step"].unique())
        when = f"step {steps[0]:,}" if len(steps) == 1 else f"last recorded steps, {steps[0]:,} to {steps[-1]:,}"
        moments[f"{title} ({when})"] = rows, expected
        told += [_ends(title, rows)]
    caption = (
        "The gradient's norm at the output of every convolution, from the image (left) to the loss; geometric means "
        "over seeds with their range. Dots: what mean-field theory expects at step 0, counted from the last layer."
    )
    pictures: list[Picture | Paragraph] = []
    if moments:
        pictures.append(Picture(layer_profiles(moments, styles), caption, "; ".join(told)))
    firsts = table[["net", "run", "seed"]].drop_duplicates().sort_values("seed", kind="stable").drop_duplicates("net")
    cells = frames.gradient_heatmap(table[table["run"].isin(firsts["run"])], marks=CELLS)
    cells = cells.merge(firsts[["run", "net"]], on="run")
    nets = [name for name in styles["net"] if name in set(cells["net"])]
    words = "The same of every layer at every recorded step, of the first seed of each net, on one colour scale."
    finite = cells["value"].dropna()
    span = f"10^{finite.min():.1f} to 10^{finite.max():.1f}" if len(finite) else "no finite value"
    title = palette.quantity(GRADIENT).title
    pictures.append(Picture(layer_heatmaps(cells, nets, title), words, f"{title} of {', '.join(nets)}: {span}"))
    return pictures


def _ends(title: str, rows: pd.DataFrame) -> str:
    """First over last layer, of each net."""
    ratios = frames.gradient_ratio(rows).merge(rows[["run", "net"]].drop_duplicates(), on="run")
    told = [f"{net} {palette.number(own['ratio'].median())}" for net, own in ratios.groupby("net", sort=False)]
    return f"{title}, first over last layer: {', '.join(told)}"


def _left_out(names: Sequence[str]) -> str:
    return f" Left out of the means, because they did not finish: {', '.join(names)}." if names else ""
