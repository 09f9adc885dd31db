"""What is each net: how large, how costly, how far does it see, and where do its parameters lie?

A bar a net with its parameters by part (the share of linear layers is what VGGNet's head is known for), beside it the
numbers: weight layers, parameters, multiply-adds of one image, receptive field of the last convolution or pooling. The
last column is not measured here: the error that the net's paper gives, with its images in brackets.

    labapp probe RUN … --quantities architecture
    python -m analysis.architecture_table --runs runs --out figures
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_hex

from analysis.probed import probed
from analysis.publish import command, looks, publish
from labapp import frames, palette
from labapp.figures import WIDTH, colormap, shares
from labapp.store import Run

HEADINGS = {
    "weight_layers": "layers",
    "parameters": "parameters",
    "multiply_adds": "multiply-\nadds",
    "receptive_field": "receptive\nfield (px)",
    "linear_share": "linear\nshare",
    "published": "error,\npublished, not\nmeasured here",
}
PLACES = (0.6, 2.0, 3.05, 4.2, 5.2, 7.2)  # right ends of the columns


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write architecture_table.{png,svg,pdf,csv}."""
    there = probed(runs, "architecture")
    named = list(frames.describe(there)["net"])
    firsts = {net: there[named.index(net)] for net in looks(there)["net"]}
    parts = pd.concat([frames.parts([run]).assign(net=net) for net, run in firsts.items()], ignore_index=True)
    sizes = pd.DataFrame(
        [{"net": net} | _published(run) | frames.sizes(frames.architecture(run)) for net, run in firsts.items()]
    )
    figure, (bars, words) = plt.subplots(
        1, 2, figsize=(WIDTH, 1.3 + 0.28 * len(firsts)), layout="constrained", sharey=True, width_ratios=(1, 1.9)
    )
    names = list(dict.fromkeys(parts.sort_values("order")["part"]))
    shares(data=parts, y="net", hue="part", ax=bars, colours=_colours(names))
    bars.set(xlabel="share of the parameters")
    handles, labels = bars.get_legend_handles_labels()
    by_name = dict(zip(labels, handles, strict=True))
    figure.legend([by_name[name] for name in names], names, loc="outside upper left", ncols=len(names), handlelength=1)
    words.set_axis_off()
    words.set_xlim(0, PLACES[-1])
    for place_of, (key, heading) in zip(PLACES, HEADINGS.items(), strict=True):
        words.annotate(
            heading, (place_of, 1), xycoords=("data", "axes fraction"), ha="right", va="bottom", weight="bold",
            fontsize=7.5,
        )  # fmt: skip
        for place, value in enumerate(sizes[key]):
            words.annotate(_word(key, value), (place_of, place), ha="right", va="center", fontsize=7.5)
    table = sizes.merge(parts.pivot_table(index="net", columns="part", values="parameters"), on="net")
    return publish(figure, table, out, "architecture_table")


def _colours(names: list[str]) -> dict[str, str]:
    """Stages along the colour scale, what is no convolution in greys and, for linear layers, the alarming end."""
    stages = [name for name in names if name.startswith("stage")]
    scale = colormap()
    found = {name: to_hex(scale(0.15 + 0.75 * at / max(1, len(stages) - 1))) for at, name in enumerate(stages)}
    return found | {"normalisation": "#BBBBBB", "other": palette.MUTED, "linear": palette.ALARM}


def _published(run: Run) -> dict[str, str]:
    """The first error that is published of this very net, and where; nothing of a net that is only alike."""
    rows = frames.published(run.experiment)
    rows = rows[(rows["quantity"] == "error") & (rows["differs"] == "")]
    if rows.empty:
        return {"published": "–", "source": ""}
    row = next(iter(rows.itertuples()))
    return {"published": f"{frames.published_words(row)} ({row.images})", "source": f"{row.source}, {row.address}"}


def _word(key: str, value: Any) -> str:
    if key == "published":
        return str(value)
    if key == "linear_share":
        return palette.percent(value)
    if key in ("parameters", "multiply_adds"):
        return mpl.ticker.EngFormatter(places=2, sep=" ")(value)
    return f"{value:,.0f}" if value == round(value) else palette.number(value)


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
