"""How do the channels of a dense net grow, layer by layer, and what do its transitions keep?

Layer l of a block reads k₀ + k (l − 1) channels and adds k, the growth rate; a transition keeps ⌊θ m⌋ of m, the
compression θ (Huang 2017, arXiv 1608.06993, §3). Read off the convolutions of
the net itself, not off its options.
"""

import math
from typing import Any

import pandas as pd
from torch import nn

from labapp.config import LabError


def growth(net: nn.Module) -> pd.DataFrame:
    r"""The channels of the lab's, torchvision's or timm's dense nets, part by part.

    Columns: step (from 0), part (stem, layer or transition), block (from 1; a transition belongs to the block before
    it), layer (path), channels_in, channels_new (what a layer adds, what stem and transition make), channels (behind
    it), compression (the share a transition keeps, else NaN).

    Raises:
        LabError: If there is no dense block.

    Method:
        Meaning: How many channels each layer of a dense net reads and adds, and what transitions keep.
        Formula: Layer l reads $k_0 + k (l - 1)$ channels and adds k; a transition keeps $\lfloor \theta m \rfloor$ of
            m.
        Source: Huang, Liu, van der Maaten & Weinberger 2017 (arXiv 1608.06993), §3.
        Batch norm: None is read: only the architecture is asked.
        Sampling: None: read off the convolutions.
        Fails: Only dense nets grow in this way.
    """
    blocks = [path for path, module in net.named_modules() if type(module).__name__.lstrip("_") == "DenseBlock"]
    if not blocks:
        raise LabError("this net has no dense block; growth is a matter of dense nets")
    parts: dict[tuple[str, str], list[nn.Conv2d]] = {}  # (block or "", layer) -> its convolutions
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            block = next((block for block in blocks if path.startswith(f"{block}.")), "")
            layer = ".".join(path.split(".")[: block.count(".") + 2]) if block else path
            parts.setdefault((block, layer), []).append(module)
    rows: list[dict[str, Any]] = []
    number = 0
    for (block, layer), convolutions in parts.items():
        read, made = convolutions[0].in_channels, convolutions[-1].out_channels
        number = blocks.index(block) + 1 if block else number
        part = "layer" if block else "transition" if number else "stem"
        rows.append(
            {
                "step": len(rows),
                "part": part,
                "block": max(number, 1),
                "layer": layer,
                "channels_in": read,
                "channels_new": made,
                "channels": read + made if block else made,
                "compression": made / read if part == "transition" else math.nan,
            }
        )
    return pd.DataFrame(rows)


def channel_path(net: nn.Module) -> list[int]:
    """A dense net's channels before and behind each block: BC-100-12 has 24, 216, 108, 300, 150, 342."""
    table = growth(net)
    layers = table[table.part == "layer"].groupby("block")
    pairs = zip(layers.channels_in.first(), layers.channels.last(), strict=True)
    return [int(channels) for pair in pairs for channels in pair]
