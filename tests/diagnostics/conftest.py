"""Six images and their classes, and small nets, for all diagnostics."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from labapp.nets import Net, build


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([0, 1, 2, 3, 4, 5])


@pytest.fixture
def net() -> Callable[..., Net]:
    """Makes a small net of a family in evaluation mode, the same each time; a residual one of depth 20 by default."""

    def make(family: str = "residual", **options: object) -> Net:
        torch.manual_seed(0)
        return build(family, image_size=16, **{"depth": 20, "width": 4, **options}).eval()

    return make
