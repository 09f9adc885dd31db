"""What do the layers represent, and which of them the same?"""

from __future__ import annotations

import pandas as pd
from torch import nn

from labapp.diagnostics import neural_collapse as collapse
from labapp.diagnostics import similarity as cka
from labapp.diagnostics.measuring.features import last_features
from labapp.probes.given import Given


def similarity(given: Given, other: nn.Module | None = None) -> pd.DataFrame:
    """See `labapp.diagnostics.similarity`: of the net with itself, or with another."""
    images = given.test.images
    return cka.similarity(given.net, images, other, progress=lambda done: given.tell(done / len(images)))


def neural_collapse(given: Given) -> pd.DataFrame:
    """Columns: quantity, value, low, high, note, images, split. One row a number, on training images."""
    batch = given.train()
    features, weight, outputs = last_features(given.net, batch.images)
    found = collapse.neural_collapse(features, batch.labels, weight, outputs)
    rows = [{"quantity": name} | measured._asdict() for name, measured in found.items()]
    return pd.DataFrame(rows).assign(images=len(batch.images), split="train")
