r"""How much can an explanation change when the image hardly does?

max over ‖δ‖_∞ ≤ r of ‖Φ(x + δ) − Φ(x)‖ / ‖Φ(x)‖, the maximum taken over random δ, so a lower bound. Yeh et al. 2019
(arXiv 1901.09392), Definition 3.1. Through captum. 0 is best; unchanged when the map is scaled.

Method:
    Meaning: How much an explanation can change when the image hardly does.
    Formula: $\max_{\lVert \delta \rVert_\infty \le r} \dfrac{\lVert \Phi(x + \delta) - \Phi(x) \rVert}{\lVert \Phi(x)
        \rVert}$.
    Source: Yeh et al. 2019 (arXiv 1901.09392), Definition 3.1.
    Batch norm: Running statistics.
    Sampling: Random δ around a test image, so it is a lower bound.
    Fails: A map that never changes is best at it, whatever it shows.
    Command: labapp explain RUN --index 0
"""

from collections.abc import Callable

import torch
from torch import Tensor

AT_ONCE = 256  # images explained at a time


def max_sensitivity(
    explain: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    targets: Tensor,
    *,
    radius: float = 0.02,
    samples: int = 10,
    seed: int = 0,
) -> Tensor:
    """Sensitivity of each image's map, (N,).

    Args:
        explain: Images (n, C, H, W) and their classes (n,) to maps (n, …).
        images: (N, C, H, W), normalised.
        targets: (N,); fixed, so that a changed prediction does not count as a changed map.
        radius: r, in the units of the normalised images.
        samples: Random δ an image.
        seed: Of the δ.
    """
    from captum.metrics import sensitivity_max  # here, as in `labapp.diagnostics.attributions`

    generator = torch.Generator(images.device).manual_seed(seed)

    def near(inputs: Tensor | tuple[Tensor, ...], by: float) -> Tensor:
        (given,) = inputs if isinstance(inputs, tuple) else (inputs,)
        uniform = torch.rand(given.shape, generator=generator, device=given.device, dtype=given.dtype)
        return given + by * (2 * uniform - 1)

    def maps(inputs: Tensor | tuple[Tensor, ...], target: Tensor) -> tuple[Tensor]:
        (given,) = inputs if isinstance(inputs, tuple) else (inputs,)
        return (explain(given, target).detach().flatten(1).contiguous(),)

    return sensitivity_max(
        maps,
        images,
        near,
        perturb_radius=radius,
        n_perturb_samples=samples,
        max_examples_per_batch=len(images) * max(1, min(samples, AT_ONCE // len(images))),
        target=targets,
    )
