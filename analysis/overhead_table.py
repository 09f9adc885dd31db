"""How do the timed pairs of `analysis.overhead` become a table, a figure and the Markdown of README.md?"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.peers import OURS
from analysis.publish import publish
from labapp import palette
from labapp.figures import WIDTH

CASE = ["net", "format", "threads", "tool"]
MACHINE = ["processor", "compiler", "torch"]
COLUMNS = [*CASE, "version", "pair", "bare", "recorded", "ratio", "cpu_ratio", *MACHINE]
RAW = "overhead-pairs.csv"
CPU_ROWS = (f"{OURS}, every step",)  # tools whose CPU time the Markdown tables show below their wall time


def summary(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a (net, format, threads, tool): median ratios, the middle half of them, milliseconds of a bare step."""
    groups = pairs.groupby(CASE, sort=False)
    ratio, cpu = groups["ratio"], groups["cpu_ratio"]
    return pd.DataFrame(
        {
            "version": groups["version"].first(),
            "pairs": groups.size(),
            "bare_ms": groups["bare"].median() * 1e3,
            "ratio": ratio.median(),
            "ratio_25": ratio.quantile(0.25),
            "ratio_75": ratio.quantile(0.75),
            "cpu_ratio": cpu.median(),
            "cpu_ratio_25": cpu.quantile(0.25),
            "cpu_ratio_75": cpu.quantile(0.75),
            **{name: groups[name].first() for name in MACHINE},
        }
    ).reset_index()


def machines(pairs: pd.DataFrame) -> str:
    """Where the pairs were measured: "AMD EPYC (AVX2); kernels: gcc 12.2.0, AVX2, 8 lanes; torch 2.14.1"."""
    known = pairs[MACHINE].drop_duplicates().itertuples(index=False)
    return " and ".join(f"{row.processor}; kernels: {row.compiler}; torch {row.torch}" for row in known)


def markdown(pairs: pd.DataFrame) -> str:
    """The median ratios as Markdown: a table for each memory format, in a cell one number for each number of threads.

    A dash stands for what was not measured or failed. The last line names the machine.
    """
    table = summary(pairs)
    nets, threads = list(table["net"].unique()), sorted(table["threads"].unique())
    counts = " / ".join(map(str, threads)) + (" threads" if threads != [1] else " thread")
    lines = []
    for form, part in table.groupby("format", sort=False):
        lines += [f"| {form}, {counts} | " + " | ".join(nets) + " |", "|---" * (len(nets) + 1) + "|"]
        by_case = part.set_index(["tool", "net", "threads"])
        for tool in part["tool"].unique():
            for column, label in (("ratio", tool), ("cpu_ratio", f"{tool}: CPU time")):
                if column == "ratio" or tool in CPU_ROWS:
                    found = by_case[column].to_dict()
                    cells = [" / ".join(_shown(found.get((tool, net, n))) for n in threads) for net in nets]
                    lines.append(f"| {label} | " + " | ".join(cells) + " |")
        lines.append("")
    least = " to ".join(str(n) for n in sorted({int(table["pairs"].min()), int(table["pairs"].max())}))
    return "\n".join([*lines, f"Medians of {least} pairs; {machines(pairs)}."]) + "\n"


def _shown(ratio: float | None) -> str:
    return "–" if ratio is None or np.isnan(ratio) else f"{ratio:.3f}" if ratio < 2 else f"{ratio:.1f}"


def draw(pairs: pd.DataFrame, out: Path) -> list[Path]:
    """Write overhead.{png,svg,pdf,csv}, the pairs behind it and the tables as Markdown."""
    table = summary(pairs)
    nets, tools = list(table["net"].unique()), list(table["tool"].unique())[::-1]
    columns = min(2, len(nets))
    down = -(-len(nets) // columns)
    size = (WIDTH, 0.9 + down * (0.35 + 0.24 * len(tools)))
    figure, axes = plt.subplots(
        down, columns, figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    cases = list(table[["format", "threads"]].drop_duplicates().itertuples(index=False, name=None))
    top = max(1.2, float(table["ratio_75"].max()) * 1.1)
    for ax, net in zip(axes.flat, nets, strict=False):
        _panel(ax, table[table["net"] == net], tools, cases)
        ax.set(title=net, xscale="log", xlim=(min(0.96, float(table["ratio_25"].min())), top))
        wide = (1, 2, 5, 10, 20, 50, 100, 200)  # on a logarithmic axis the fine ones would stand in each other
        ax.set_xticks([tick for tick in (wide if top > 8 else (1, 1.2, 1.5, 2, 3, 5)) if tick < top])
        ax.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    for ax in axes.flat[len(nets) :]:
        ax.set_visible(False)
    axes[0, 0].set_yticks(range(len(tools)), tools)
    caption = "step time over a bare step (median, middle half of the pairs)\n" + machines(pairs)
    figure.supxlabel(caption, fontsize="small")
    keys = [Line2D([], [], color="0.3", label=_case(*case), **_marker(cases, case)) for case in cases]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys))
    written = publish(figure, table, out, "overhead")
    raw, text = out / RAW, out / "overhead.md"
    pairs.to_csv(raw, index=False, float_format="%.5g")
    text.write_text(markdown(pd.read_csv(raw)))
    return [*written, raw, text]


def _case(form: str, threads: int) -> str:
    return f"{form}, {threads} thread{'s' * (threads > 1)}"


def _marker(cases: list[tuple[str, int]], case: tuple[str, int]) -> dict[str, object]:
    """A shape for each memory format, open for the smallest number of threads."""
    shapes = dict(zip(dict.fromkeys(form for form, _ in cases), "osD^", strict=False))
    least = min(threads for _, threads in cases)
    face = {"markerfacecolor": "white"} if case[1] == least and len({n for _, n in cases}) > 1 else {}
    return {"marker": shapes[case[0]], "ms": 3.5, "lw": 1, "ls": "", **face}


def _panel(ax: Axes, rows: pd.DataFrame, tools: list[str], cases: list[tuple[str, int]]) -> None:
    for at, case in enumerate(cases):
        part = rows[(rows["format"] == case[0]) & (rows["threads"] == case[1])].set_index("tool").reindex(tools)
        height = np.arange(len(tools)) - (at - (len(cases) - 1) / 2) * 0.7 / len(cases)
        spread = np.abs(part[["ratio_25", "ratio_75"]].to_numpy().T - part["ratio"].to_numpy())
        own = np.array([tool.startswith(OURS) for tool in tools])
        for mine, colour in ((own, palette.colour("residual")), (~own, palette.colour("foreign"))):
            if mine.any():
                ax.errorbar(
                    part["ratio"][mine], height[mine], xerr=spread[:, mine], color=colour, **_marker(cases, case)
                )
    ax.axvline(1, color="0.6", lw=0.8, zorder=0)
