"""Where does every number of every claim lie, seed by seed, beside what it had to pass?

One small panel a number, by paper: a dot a seed, the mean with its interval of 95 %, the threshold as a dashed line and
the claim's side of it shaded. Colour and sign are its own verdict; a claim of several numbers holds where all
of them do. Numbers that every seed shares because the architecture alone tells them have a single dot.

    labapp sweep analysis/sweeps/quick/degradation.yaml
    python -m analysis.claims_by_seed --runs runs --out figures
"""

from __future__ import annotations

import math
import sys
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from analysis.claims_at_a_glance import SIGNS, measured
from analysis.plates import Plate
from analysis.publish import command
from labapp import palette
from labapp.claims import CLAIMS, PAPERS
from labapp.claims.wording import FACTORS, MOST, SHARE
from labapp.claims.wording import SIGNS as WORDS
from labapp.figures import WIDTH

COLUMNS = 4
HEAD, ROW, PANEL, ABOVE = 0.24, 0.98, 0.34, 0.4  # inches: a paper's title, a row, its panel and the words above that
BESIDE = 0.12  # inches between panels
LETTERS = 38  # of a line above a panel
SIZE = 5.3  # points


def drawn(table: pd.DataFrame) -> Figure:
    """A panel a number, by paper; numbers without runs are left out, and counted behind the paper's name."""
    papers = {paper: own for paper, own in table.groupby("paper", sort=False) if (own["seeds"] > 0).any()}
    rows = {paper: math.ceil((own["seeds"] > 0).sum() / COLUMNS) for paper, own in papers.items()}
    height = sum(HEAD + ROW * count for count in rows.values())
    figure = plt.figure(figsize=(WIDTH, height))
    width = WIDTH / COLUMNS
    legend = "     ".join(f"{sign} {word}" for word, sign in WORDS.items() if word in SIGNS)
    right = 1 - BESIDE / WIDTH
    figure.text(right, 1 - 0.06 / height, f"{legend}     – – threshold", fontsize=SIZE, ha="right", va="top")
    top = height
    for paper, own in papers.items():
        shown = own[own["seeds"] > 0]
        name, authors, _ = PAPERS[paper]
        without = f" ({len(own) - len(shown)} numbers without runs)" if len(shown) < len(own) else ""
        title = f"{name}: {authors}{without}"
        figure.text(BESIDE / WIDTH, (top - 0.06) / height, title, weight="bold", fontsize=SIZE + 1.5, va="top")
        for place, (_, number) in enumerate(shown.iterrows()):
            row, column = divmod(place, COLUMNS)
            below = top - HEAD - row * ROW - ABOVE - PANEL
            left, across = column * width + BESIDE, width - 2 * BESIDE
            ax = figure.add_axes((left / WIDTH, below / height, across / WIDTH, PANEL / height))
            _panel(ax, number)
        top -= HEAD + rows[paper] * ROW
    return figure


def _panel(ax: Axes, number: pd.Series) -> None:
    """One number: its seeds, its interval and what it had to pass."""
    factor = number["unit"] in FACTORS
    seeds = _as_shown(np.array(str(number["seed_values"]).split(), float), number["unit"])
    mean, low, high, threshold = _as_shown(
        number[["value", "low", "high", "threshold"]].to_numpy(float), number["unit"]
    )
    sign, colour = SIGNS.get(number["part_verdict"], ("_", palette.MUTED))
    known = np.concatenate([seeds, [mean, low, high, threshold]])
    known = known[np.isfinite(known) & ((known > 0) | (not factor))]
    if factor and known.max() > 10 * known.min():
        ax.set_xscale("log")
        reach = max(known.max() / known.min(), 1.5) ** 0.08
        limits = known.min() / reach, known.max() * reach
        ax.xaxis.set_major_locator(LogLocator(numticks=4))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        reach = 0.08 * (np.ptp(known) or abs(threshold) or 1.0)
        limits = known.min() - reach, known.max() + reach
        ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.axvspan(threshold, limits[1] if number["above"] else limits[0], color=colour, alpha=0.12, lw=0)
    ax.axvline(threshold, color=palette.MUTED, ls="--", lw=0.8)
    if math.isfinite(low) and math.isfinite(high) and low < high:
        ax.plot([low, high], [0, 0], color=colour, lw=2.5, alpha=0.5, solid_capstyle="butt")
    places = np.linspace(-0.45, 0.45, len(seeds)) if low < high else np.zeros(len(seeds))  # apart, where they differ
    ax.plot(seeds, places, sign, color=colour, ms=2.8, mew=0)
    ax.plot(mean, 0, "|", color=colour, ms=8, mew=1.2)
    ax.set(xlim=limits, ylim=(-1, 1), yticks=[])
    ax.tick_params(axis="x", labelsize=SIZE, pad=1.5, length=2)
    unit = {SHARE: "%"}.get(number["unit"], "×" if factor else "")
    ax.xaxis.set_major_formatter(lambda at, _: f"{at:.0e}{unit}" if factor and at >= 1e4 else f"{at:.4g}{unit}")
    words = textwrap.wrap(str(number["says"]), LETTERS)
    says = "\n".join(words[:2]) + " …" * (len(words) > 2)
    ax.annotate(
        f"{WORDS[number['part_verdict']]} {number['claim']}", (0, 1), (0, 17), "axes fraction", "offset points",
        fontsize=SIZE, color=colour, weight="bold", va="bottom",
    )  # fmt: skip
    ax.annotate(says, (0, 1), (0, 16), "axes fraction", "offset points", fontsize=SIZE - 0.6, va="top")
    for side in ("left", "top", "right"):
        ax.spines[side].set_visible(False)


def _as_shown(values: np.ndarray, unit: str) -> np.ndarray:
    """Numbers in the unit in which they are read; see `labapp.claims.wording`."""
    if unit == SHARE:
        return 100 * values
    return 10.0 ** np.minimum(values, MOST) if unit in FACTORS else values


PLATES = (Plate("claims_by_seed", measured, drawn, claims=tuple(CLAIMS)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
