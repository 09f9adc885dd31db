"""How is a layer's coarse map brought to the size of its image?"""

from torch import Tensor
from torch.nn import functional as F


def upsample(maps: Tensor, size: tuple[int, int], *, mode: str = "bilinear") -> Tensor:
    """Maps (N, h, w) at the size of the image, (N, H, W).

    The corners of the map are those of the image (`align_corners=False`), as in captum's `LayerAttribution.interpolate`
    and in the Grad-CAM paper's bilinear enlargement. A constant map stays constant; the order of two maps is kept.
    """
    aligned = False if mode in ("bilinear", "bicubic") else None
    return F.interpolate(maps[:, None], size, mode=mode, align_corners=aligned)[:, 0]
