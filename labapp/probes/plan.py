"""What follows from the architecture of a net?"""

from __future__ import annotations

import pandas as pd

from labapp.config import LabError
from labapp.diagnostics import spatial_order as order
from labapp.diagnostics.architecture import architecture as layers_of
from labapp.nets.stages import LOGITS
from labapp.nets.stages import stages as stages_of
from labapp.probes.given import Given

TRIED = (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 4)  # times the image size of the run


def architecture(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.architecture`; a shape is written "16×24×24"."""
    channels, _, size = given.test.images.shape[1:]
    table = layers_of(given.net, size, in_channels=channels)
    return table.assign(shape=["×".join(map(str, shape)) for shape in table["shape"]])


def stages(given: Given) -> pd.DataFrame:
    """Columns: stage, channels, height, width, stride (pixels; 0 for the logits). One row a map.

    Method:
        Meaning: Which feature maps the net hands on, one a resolution, as a detector or a pyramid would take them.
        Formula: The last map of each stride $2^k$, with its channels, height, width and stride in pixels.
        Source: Lin et al. 2017, *Feature Pyramid Networks* (arXiv 1612.03144), §3; He et al. 2015, Table 1.
        Batch norm: None is read: only the architecture is asked.
        Sampling: None: no image but one made-up image to learn the shapes from.
        Fails: A net without spatial maps (a transformer) has one stage or none.
    """
    backbone = stages_of(given.net)
    rows = []
    for name, made in backbone.eval()(given.test.images[:1]).items():
        height, width = made.shape[2:] if name != LOGITS else (1, 1)
        rows.append((name, made.shape[1], height, width, backbone.strides.get(name, 0)))
    return pd.DataFrame(rows, columns=["stage", "channels", "height", "width", "stride"])


def accepted_sizes(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.spatial_order`."""
    channels, _, size = given.test.images.shape[1:]
    sizes = sorted({max(1, round(size * factor)) for factor in TRIED})
    return order.accepted_sizes(given.net, sizes, in_channels=channels)


def spatial_order(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.spatial_order`; one row."""
    found = order.spatial_order(given.net, given.test.images, given.test.labels)
    if found.positions < 2:
        raise LabError("the last map of this net has one position, so there is no order to change")
    return pd.DataFrame([found._asdict() | {"images": len(given.test.images)}])
