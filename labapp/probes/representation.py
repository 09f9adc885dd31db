"""What do the layers represent, and which of them the same?"""

from __future__ import annotations

import pandas as pd
from torch import nn

from labapp.diagnostics import by_depth as depth
from labapp.diagnostics import neural_collapse as collapse
from labapp.diagnostics import similarity as cka
from labapp.diagnostics.measuring.features import last_features
from labapp.probes.given import Given


def similarity(given: Given, other: nn.Module | None = None) -> pd.DataFrame:
    """See `labapp.diagnostics.similarity`: of the net with itself, or with another."""
    images = given.test.images
    return cka.similarity(given.net, images, other, progress=lambda done: given.tell(done / len(images)))


def by_depth(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.by_depth`: on test images, and nc1 on as many training images."""
    learnt = given.train()
    return depth.by_depth(
        given.net,
        given.test.images,
        given.test.labels,
        training=(learnt.images, learnt.labels),
        progress=given.tell,
    )


def neural_collapse(given: Given) -> pd.DataFrame:
    """Columns: quantity, value, low, high, note, images, split. One row a number.

    First those of training images, then those of as many test images, called nc1_test and so on.
    """
    rows = []
    for split, ending, batch in (("train", "", given.train()), ("test", collapse.TEST, given.test)):
        features, weight, outputs = last_features(given.net, batch.images)
        found = collapse.neural_collapse(features, batch.labels, weight, outputs)
        about = {"images": len(batch.images), "split": split}
        rows += [{"quantity": name + ending} | measured._asdict() | about for name, measured in found.items()]
    return pd.DataFrame(rows)
