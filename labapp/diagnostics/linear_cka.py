"""Do two layers tell the same images apart in the same way?

Linear centred kernel alignment (Kornblith, Norouzi, Lee, Hinton 2019, arXiv 1905.00414). With the Gram matrices
K = XXᵀ and L = YYᵀ of features X (n, p) and Y (n, q) of the same n images,

    CKA = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)).

Two estimators of HSIC:

* biased (Gretton 2005): ⟨HKH, HLH⟩ / (n − 1)² with H = I − 11ᵀ/n. Unrelated features score above 0, the more the fewer
  the images: about 1/√((1 + n/d)(1 + n/e)), d and e the participation ratios of X and Y.
* unbiased (Song 2012, eq. 5): ⟨K̃, L̃⟩ / (n(n − 3)), where K̃ is U-centred (Székely & Rizzo 2014, eq. 2.3), which
  is the same number written as an inner product. Unrelated features score 0 on average; single values may be below 0.

Sums of HSIC over batches give the minibatch estimate (Nguyen, Raghu, Kornblith 2021, arXiv 2010.15327, eq. 4).

Without unit, at most 1. Invariant to rotations of the features, to one common factor and to a shift; not to rescaling
single features, and not to any invertible map.
"""

import torch
from torch import Tensor

from labapp.config import LabError
from labapp.diagnostics.measuring.measured import ROUNDING, Measured, missing, usable

LEAST_IMAGES = 4  # n (n − 3) > 0; and with fewer than 3 images any two layers agree
PANEL = 16  # rows; for 64 images on one core 16 takes 0.76 of the whole product's time, 8 and 32 take 0.84 and 0.81
SLICES = 4  # of the features, where several threads share a product


def linear_cka(X: Tensor, Y: Tensor, *, unbiased: bool = True) -> Measured:
    """Similarity of two layers from all images at once.

    Args:
        X: (n, p) features of one layer; further dimensions are laid flat.
        Y: (n, q) features of the other, of the same images in the same order.
        unbiased: Which estimator of HSIC.
    """
    if len(X) != len(Y):
        raise LabError(f"{len(X)} and {len(Y)} images cannot be compared; give features of the same images")
    for features in (X, Y):
        _, why = usable(features, LEAST_IMAGES)
        if why:
            return missing(why)
    grams = torch.stack([gram(X.double()), gram(Y.double())])
    products = hsic(grams, unbiased=unbiased)
    for own, dead in zip(grams, nothing_in(grams, products.diagonal(), torch.float64), strict=True):
        if dead:
            return missing(nothing_alike(own))
    value = float(products[0, 1] / (products[0, 0] * products[1, 1]).sqrt())
    floor = (
        "" if unbiased or len(X) >= max(X[0].numel(), Y[0].numel()) else "fewer images than features: biased upwards"
    )
    return Measured(value, note=floor)


def nothing_in(grams: Tensor, own: Tensor, dtype: torch.dtype) -> Tensor:
    """Of which Gram matrices (L, n, n), computed in a dtype, the HSIC with themselves (L,) is a sum that cancels."""
    return own <= (ROUNDING * torch.finfo(dtype).eps) ** 2 * grams.square().amax((1, 2))


def nothing_alike(gram: Tensor) -> str:
    """Why a layer has no similarity even with itself, from its Gram matrix (n, n), though its features differ."""
    squares = gram.diagonal()
    distances = squares[:, None] + squares[None, :] - 2 * gram
    n = len(gram)
    near = distances <= ROUNDING * torch.finfo(torch.float32).eps * distances.max()
    if int(near.sum(1).max()) >= n - 1:
        return "only one image differs from the others, so no two images are alike in a way that could be compared"
    return "the differences of the images are at right angles to each other, so no two are more alike than others"


def gram(features: Tensor) -> Tensor:
    """XXᵀ of features X (n, …), (n, n) in float64, up to a shift of X; 0 if all images have the same features."""
    products, power = half_gram(features)
    return whole(products[None], power[None])[0]


def half_gram(features: Tensor) -> tuple[Tensor, Tensor]:
    """The lower triangle of XXᵀ, (n, n), above it anything, and ‖x₁‖², both in the features' own precision.

    The first image's features are taken from all others: centring undoes any shift, but where the images have much in
    common, it would have taken the digits of their differences. Between two ResNet-56 at initialisation, products of
    the bare features in float32 put CKA wrong by up to 0.06, these by 5e-7.
    """
    if features.dim() == 4 and features.is_contiguous(memory_format=torch.channels_last):
        features = features.permute(0, 2, 3, 1)  # any order of features does, and this one lies flat in memory
    rows = features.detach().flatten(1)
    if rows.dtype in (torch.float16, torch.bfloat16):
        rows = rows.float()
    first = rows[0]
    rows = rows - first
    n = len(rows)
    if torch.get_num_threads() > 1 and rows.shape[1] % SLICES == 0:
        # A small product of long rows keeps one core busy; slices of the rows keep them all, at twice the arithmetic.
        slices = rows.view(n, SLICES, -1).transpose(0, 1)
        return torch.bmm(slices, slices.mT).sum(0), first.dot(first)
    products = rows.new_zeros(n, n)
    for start in range(0, n, PANEL):
        end = start + PANEL
        torch.mm(rows[start:end], rows[:end].T, out=products[start:end, :end])
    return products, first.dot(first)


def whole(products: Tensor, power: Tensor) -> Tensor:
    """Gram matrices (L, n, n) in float64 from their lower triangles and the powers (L,), see `half_gram`."""
    products, power = products.cpu().double().tril(), power.cpu()  # not every device knows float64
    squares = products.diagonal(dim1=-2, dim2=-1)
    rounding = (ROUNDING * torch.finfo(power.dtype).eps) ** 2 * products.shape[-1] * power.double()
    alive = ~(squares.sum(-1) <= rounding)  # true for NaN, which must stay NaN
    return (products + products.mT - torch.diag_embed(squares)).where(alive[:, None, None], 0.0)


def centred(grams: Tensor, *, unbiased: bool) -> Tensor:
    """Gram matrices (L, n, n), centred so that HSIC is an inner product of two of them; diagonal 0 if unbiased."""
    n = grams.shape[-1]
    if not unbiased:
        rows = grams.mean(-1, keepdim=True)
        return (grams - rows - rows.mT + rows.mean(-2, keepdim=True)) / (n - 1)
    hollow = grams - torch.diag_embed(grams.diagonal(dim1=-2, dim2=-1))
    rows = hollow.sum(-1, keepdim=True) / (n - 2)
    whole = hollow.sum((-2, -1), keepdim=True) / ((n - 1) * (n - 2))
    hollow = hollow - rows - rows.mT + whole
    hollow.diagonal(dim1=-2, dim2=-1).zero_()
    return hollow / (n * (n - 3)) ** 0.5


def hsic(grams: Tensor, others: Tensor | None = None, *, unbiased: bool) -> Tensor:
    """HSIC of all pairs: Gram matrices (A, n, n) and (B, n, n), by default the first again, to (A, B)."""
    first = centred(grams, unbiased=unbiased).flatten(1)
    second = first if others is None else centred(others, unbiased=unbiased).flatten(1)
    return first @ second.T
