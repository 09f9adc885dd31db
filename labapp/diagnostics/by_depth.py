"""How do dimension and separability change from the first layer to the last?

    by_depth(net, images, labels)        # one row a layer and quantity

Each quantity has its own file with its formula. All are taken on the same pooled features (a channel's mean over
positions), from one pass over the images. nc1 speaks of training images, which make a second pass; of the others it is
nc1_test (`labapp.diagnostics.neural_collapse`).
"""

from collections.abc import Callable, Iterable

import pandas as pd
from torch import Tensor, nn

from labapp.config import LabError, nearest
from labapp.diagnostics.effective_rank import effective_rank
from labapp.diagnostics.intrinsic_dimension import intrinsic_dimension
from labapp.diagnostics.linear_probe import linear_probe
from labapp.diagnostics.measuring.features import Images, collect
from labapp.diagnostics.measuring.measured import Measured, missing
from labapp.diagnostics.neural_collapse import TEST, neural_collapse
from labapp.diagnostics.participation_ratio import participation_ratio
from labapp.recording.places import LayerSelection


def _nc1(features: Tensor, labels: Tensor) -> Measured:
    return neural_collapse(features, labels)["nc1"]


OF_FEATURES: dict[str, Callable[[Tensor], Measured]] = {
    "effective_rank": effective_rank,
    "participation_ratio": participation_ratio,
    "intrinsic_dimension": intrinsic_dimension,
}
OF_CLASSES: dict[str, Callable[[Tensor, Tensor], Measured]] = {"linear_probe": linear_probe, f"nc1{TEST}": _nc1}
OF_TRAINING: dict[str, Callable[[Tensor, Tensor], Measured]] = {"nc1": _nc1}
QUANTITIES = (*OF_FEATURES, *OF_CLASSES, *OF_TRAINING)


def by_depth(
    model: nn.Module,
    images: Images,
    labels: Tensor | None = None,
    *,
    training: tuple[Tensor, Tensor] | None = None,
    quantities: Iterable[str] = QUANTITIES,
    layers: LayerSelection = None,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Quantities of each layer's features.

    Columns: layer, kind, depth, relative_depth, stage, block, features (channels), images, quantity, value, low, high,
    note. One row a layer and quantity, layers in the order of execution.

    Args:
        model: Any net.
        images: (N, C, H, W), or batches.
        labels: (N,) classes; without them the quantities that need them are missing.
        training: Images that the net was trained on, and their classes; without them nc1 is missing.
        quantities: Some of QUANTITIES.
        layers: Which layers, see `labapp.recording.places.choose`; None takes `measuring.outputs.representations`.
        progress: Told the share that is done.

    Raises:
        LabError: For an unknown quantity or layer, or labels that do not fit.

    Method:
        Meaning: How many directions and dimensions features have, and how well a linear classifier tells the classes
            apart, layer by layer.
        Formula: Effective rank, participation ratio, intrinsic dimension, probe accuracy and NC1 of the same pooled
            features (N, D).
        Source: Roy & Vetterli 2007, Gao et al. 2017, Facco et al. 2017, Alain & Bengio 2016 and Papyan et al. 2020;
            each has its own card.
        Batch norm: Running statistics, as the net is used; at a checkpoint before training, which has none yet, those
            of 128 probe images, held fixed.
        Sampling: At most 512 test images, and as many training images for NC1; a map counts by its channels' means.
        Fails: A mean over positions hides what is arranged in space; with few images every dimension comes out too
            small.
    """
    names = list(quantities)
    for name in names:
        if name not in QUANTITIES:
            raise LabError(
                f"unknown quantity '{name}'; by depth there are {', '.join(QUANTITIES)}{nearest(name, QUANTITIES)}"
            )
    found = collect(model, images, layers=layers)
    learnt: dict[str, Tensor] = {}
    if training is not None and set(names) & set(OF_TRAINING):
        learnt = collect(model, training[0], layers=layers).by_layer
    rows = []
    total = len(names) * (len(found.positions) + len(found.silent))
    for place in [*found.positions, *found.silent]:
        features = found.by_layer.get(place.layer)
        for name in names:
            if features is None:
                measured = missing("the layer never ran in a forward pass")
            elif name in OF_TRAINING:
                measured = (
                    OF_TRAINING[name](learnt[place.layer], training[1])
                    if training is not None
                    else missing("needs images that the net was trained on")
                )
            elif name in OF_FEATURES:
                measured = OF_FEATURES[name](features)
            elif labels is None:
                measured = missing("needs labels")
            else:
                measured = OF_CLASSES[name](features, labels)
            channels = 0 if features is None else features.shape[1]
            seen = len(found.outputs) if name not in OF_TRAINING else len(training[1]) if training else 0
            about = place._asdict() | {"features": channels, "images": seen, "quantity": name}
            rows.append(about | measured._asdict())
            if progress is not None:
                progress(len(rows) / total)
    return pd.DataFrame(rows)
