"""Over how many of its channels does a layer spread its response to an image?"""

import pandas as pd
from torch import Tensor, nn

from labapp.diagnostics.measuring.features import collect
from labapp.probes.catalogue import ProbeSpec

SPEC = ProbeSpec(
    name="density",
    title="Density of responses",
    question="Over how many of its channels does a layer spread its response to an image?",
    images=64,
    columns=("layer", "kind", "depth", "relative_depth", "stage", "value", "reason"),
    value="value",
)


def density(net: nn.Module, images: Tensor) -> pd.DataFrame:
    r"""Density of each layer's response to images (N, C, H, W), a mean over the images; one row a layer.

    Method:
        Meaning: The share of a layer's channels that carry its response: 1/C where one of C does, 1 where all do.
        Formula: $a = \left(\frac{1}{C}\sum_c |r_c|\right)^2 / \frac{1}{C}\sum_c r_c^2$, r the means of C channels.
        Source: Rolls & Tovee 1995, *Sparseness of the neuronal representation of stimuli*, J. Neurophysiol. 73(2).
        Batch norm: Running statistics; before training those of 128 probe images, held fixed.
        Sampling: At most 64 test images; a map counts by its channels' means.
        Fails: Compare layers of about the same width, since 1/C is the least that there can be.
    """
    features = collect(net, images)
    rows = []
    for place in features.positions:
        response = features.by_layer[place.layer].abs().double()  # (N, C)
        value = float((response.mean(1).square() / response.square().mean(1)).mean())
        reason = "" if value == value else "an image leaves the layer silent, or without finite values"
        rows.append((place.layer, place.kind, place.depth, place.relative_depth, place.stage, value, reason))
    return pd.DataFrame(rows, columns=list(SPEC.columns))
