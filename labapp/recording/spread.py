"""Between which values do the numbers of a tensor lie?

Minimum and maximum are exact. Quartiles are those of at most `SIZE` values at even distances in memory, a sample that
needs no random number: its error in rank is about 0.5/√SIZE (0.8 %) where neighbours in memory do not depend on each
other at that distance.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SIZE = 4096
QUARTILES = (0.25, 0.5, 0.75)


class Spread(NamedTuple):
    """Extremes (2,) and values of a tensor."""

    extremes: Tensor
    values: Tensor

    def joined(self, other: "Spread") -> "Spread":
        """The sample of two tensors together."""
        low = torch.minimum(self.extremes[0], other.extremes[0])
        high = torch.maximum(self.extremes[1], other.extremes[1])
        return Spread(torch.stack([low.amin(), high.amax()]), torch.cat([self.values, other.values]))

    def five(self) -> np.ndarray:
        """(5,) minimum, lower quartile, median, upper quartile, maximum, of the finite values; NaN where none is."""
        values = self.values.double().numpy()
        values = values[np.isfinite(values)]
        low, high = self.extremes.double().numpy()
        if low > high:  # not one value that is a number
            low = high = np.nan
        quartiles = np.quantile(values, QUARTILES) if len(values) else np.full(3, np.nan)
        return np.array([low, *quartiles, high])


def spread_of(tensor: Tensor) -> Spread:
    """The sample of one tensor; NaN are no extremes."""
    flat = tensor.detach().reshape(-1)
    if flat.dtype not in (torch.float32, torch.float64):
        flat = flat.float()
    low, high = (torch.where(flat.isnan(), end, flat) for end in (torch.inf, -torch.inf))
    return Spread(torch.stack([low.amin(), high.amax()]), flat[:: max(1, -(-flat.numel() // SIZE))].clone())
