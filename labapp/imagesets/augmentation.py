"""How are images of a training batch shifted and mirrored at random?"""

import torch
from torch import Tensor
from torch.nn import functional as F

MIRRORED = ("cifar10", "cifar100", "fashion-mnist", "stl10", "folder")  # a mirrored digit is another sign, or none


def augment(images: Tensor, *, mirror: bool, generator: torch.Generator | None = None) -> Tensor:
    """Images (B, C, H, W), each shifted by up to 4 pixels (W/8 if wider than 32); with `mirror` half of them mirrored.

    He et al. 2015, §4.2: a crop from the zero-padded image or its mirror image. Zero is the mean of normalised images.
    """
    count, _, height, width = images.shape
    pad = max(4, width // 8)
    top, left = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)  # (B, H), (B, W)
    if mirror:
        turned = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(turned, columns.flip(1), columns)
    padded = F.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    which = torch.arange(count)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
