"""Which level of a feature pyramid sends gradient into which stage of its net?

For a random direction v of level P (independent N(0, 1) entries), the gradient of ⟨v, P⟩ / √(entries of P) with
respect to a stage's map C has the mean square ‖∂P/∂C‖²_F / entries of P: what an error of size one at every position
of the level sends to C in all. `through_lateral` is the part that enters C by the pyramid's own paths; `gradient_norm`
adds what reaches C through the deeper stages that are computed from it. With n directions the relative error of the
square is about √(2/n) or less.

Norms over one image, without unit up to that of P over C; they scale with the level's weights. Level p_l reaches a
stage above l by the top-down path; a stage below l only through the net. Lin et al. 2017 (arXiv 1612.03144).

Batch norm: the running statistics, and where a norm keeps none, those of the images, held fixed; images do not mix.
"""

import pandas as pd
import torch
from torch import Tensor

from labapp.config import LabError
from labapp.diagnostics.measuring.batch_statistics import held_statistics
from labapp.diagnostics.measuring.conditions import require_finite_weights
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.nets.pyramid import Pyramid


def level_gradients(pyramid: Pyramid, images: Tensor, *, directions: int = 4, seed: int = 0) -> pd.DataFrame:
    r"""Gradient norms of every level at every stage.

    Columns: level, stage (name of the map), gradient_norm, through_lateral. One row a pair.

    Args:
        pyramid: A pyramid, see `labapp.nets.pyramid`.
        images: (N, C, H, W).
        directions: Random directions to average over.
        seed: Of the directions.

    Method:
        Meaning: Which level of a feature pyramid sends gradient into which stage of the net.
        Formula: $\lVert \partial P / \partial C \rVert_F / \sqrt{n_P}$, n the entries of the level, from random
            directions.
        Source: Lin et al. 2017, *Feature Pyramid Networks* (arXiv 1612.03144).
        Batch norm: Running statistics, where there are none held ones; images do not mix.
        Sampling: Two test images, four random directions of one seed: the square has a relative error of some √(2/4).
        Fails: The pyramid is new on the net's weights, and scales with its own first weights.
    """
    if directions < 1:
        raise LabError(f"directions must be at least 1, not {directions}")
    if images.dim() != 4 or not len(images):
        raise LabError(f"images have the shape {tuple(images.shape)}; give (N, C, H, W) with at least one image")
    require_finite_weights(pyramid)  # a rectifier would turn NaN gradients into zeros
    device = next(pyramid.parameters()).device
    draw = torch.Generator().manual_seed(seed)
    rows = []
    with undisturbed(pyramid, in_place=False), held_statistics(pyramid, images):
        maps = pyramid.body(images.detach().to(device).requires_grad_())
        levels = pyramid.of(maps)
        cut = type(maps)((name, made.detach().requires_grad_()) for name, made in maps.items())
        levels_of_cut = pyramid.of(cut)
        for level in levels:
            squares = torch.zeros(2, len(maps))
            for _ in range(directions):
                v = torch.randn(levels[level].shape, generator=draw).to(levels[level])
                for way, (made, sources) in enumerate(((levels, maps), (levels_of_cut, cut))):
                    gradients = torch.autograd.grad(
                        made[level], list(sources.values()), v, retain_graph=True, allow_unused=True
                    )
                    squares[way] += torch.stack([_square(g) for g in gradients])
            scale = directions * levels[level].numel()  # entries of all images: the norm is that of one image
            total, lateral = (squares / scale).sqrt().tolist()
            rows += [
                {"level": level, "stage": stage, "gradient_norm": whole, "through_lateral": part}
                for stage, whole, part in zip(maps, total, lateral, strict=True)
            ]
    return pd.DataFrame(rows)


def _square(gradient: Tensor | None) -> Tensor:
    return torch.tensor(0.0) if gradient is None else gradient.square().sum().cpu()
