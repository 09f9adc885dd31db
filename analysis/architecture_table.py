"""What is each net: how large, how costly, how far does it see, and where do its parameters lie?

A bar a net with its parameters by part (the share of linear layers is what VGGNet's head is known for), beside it the
numbers: weight layers, parameters, multiply-adds of one image, receptive field of the last convolution or pooling. The
last column is not measured here: the error that the net's paper gives, with its images in brackets.

    labapp probe RUN … --quantities architecture
    python -m analysis.architecture_table --runs runs --out figures
"""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from analysis.plates import WHO, Plate, styles_of, who
from analysis.probed import probed
from analysis.publish import command
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
PART = ["part", "order", "part_parameters", "start", "end"]
OF_TRAINING = ("steps", "batch size", "learning rate", "test images", "train images", "seed", "recipe", "warmup")
PLACES = (0.6, 1.9, 3.05, 4.15, 5.1, 7.2)  # right ends of the columns


def measured(runs: list[Run]) -> pd.DataFrame:
    """One row a net and part: the part's share of the parameters, beside it the numbers of the whole net."""
    there = probed(runs, "architecture")
    about = who(there).assign(net=lambda own: [_architecture(name) for name in own["net"]])
    named = list(about["net"])
    firsts = [named.index(net) for net in styles_of(about)["net"]]  # what a net is does not depend on the seed
    parts = []
    for at in firsts:
        numbers = _published(there[at]) | frames.sizes(frames.architecture(there[at]))
        own = frames.parts([there[at]]).rename(columns={"parameters": "part_parameters"})
        parts.append(own[PART].assign(**about.loc[at, WHO], **numbers))
    table = pd.concat(parts, ignore_index=True)
    return table[[*WHO, *HEADINGS, "source", *PART]]


def drawn(table: pd.DataFrame) -> Figure:
    """A bar a net to the left, its numbers to the right."""
    sizes = table.drop_duplicates("net")
    figure, (bars, words) = plt.subplots(
        1, 2, figsize=(WIDTH, 1.3 + 0.28 * len(sizes)), layout="constrained", sharey=True, width_ratios=(1, 2.6)
    )
    names = list(dict.fromkeys(table.sort_values("order")["part"]))
    shares(data=table, y="net", hue="part", ax=bars, colours=_colours(names))
    bars.set(xlabel="share of the parameters")
    handles, labels = bars.get_legend_handles_labels()
    by_name = dict(zip(labels, handles, strict=True))
    figure.legend([by_name[name] for name in names], names, loc="outside upper left", ncols=len(names), handlelength=1)
    bars.set_yticks(range(len(sizes)), ["\n".join(textwrap.wrap(net, 22)) for net in sizes["net"]], fontsize=7)
    words.set_axis_off()
    words.set_xlim(0, PLACES[-1])
    for place_of, (key, heading) in zip(PLACES, HEADINGS.items(), strict=True):
        words.annotate(
            heading, (place_of, 1), xycoords=("data", "axes fraction"), ha="right", va="bottom", weight="bold",
            fontsize=7,
        )  # fmt: skip
        for place, value in enumerate(sizes[key]):
            words.annotate(_word(key, value), (place_of, place), ha="right", va="center", fontsize=7)
    return figure


def _architecture(net: str) -> str:
    """A net's name without what was said of its training, as "residual-20 (width 4)"."""
    name, _, inside = net.removesuffix(")").partition(" (")
    kept = [part for part in inside.split(", ") if part and not part.startswith(OF_TRAINING)]
    kept = [part for part in kept if not part.endswith(" init")]
    return f"{name} ({', '.join(kept)})" if kept else name


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


PLATES = (
    Plate(
        "architecture_table", measured, drawn, sweeps=("degradation", "parameters", "bottleneck", "vgg"),
        claims=("vgg-head", "vgg-stacks", "dense-weights", "dense-compressed"),
    ),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
