r"""Does an attribution predict what a small change of the image does to the score?

E_I[(Σ I·Φ − (s_c(x) − s_c(x − I)))²] over random changes I of the image, Φ the attribution. Yeh et al. 2019, *On the
(In)fidelity and Sensitivity of Explanations* (arXiv 1901.09392), Definition 2.1, with their noisy baseline I ~ N(0,
σ²). Through captum. 0 is best; the gradient of a linear net has 0.

A map has no scale of its own, so by default Φ is first multiplied by the number that serves it best
(Σ I·Φ regressed on the change of the score): then the score is unchanged when the map is scaled.

Method:
    Meaning: Whether an attribution predicts what a small change of the image does to the score.
    Formula: $E_I \left[ \left( \sum I \Phi - (s_c(x) - s_c(x - I)) \right)^2 \right]$.
    Source: Yeh et al. 2019 (arXiv 1901.09392), Definition 2.1.
    Batch norm: Running statistics.
    Sampling: Random changes of a test image, I ~ N(0, σ²).
    Fails: A map has no scale of its own, so it is first given the one that serves it best; small changes only.
    Command: labapp explain RUN --index 0
"""

import torch
from torch import Tensor, nn

from labapp.diagnostics.measuring.conditions import images_mix
from labapp.diagnostics.measuring.layer_gradients import Targets, class_scores, class_targets
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.measuring.upsample import upsample

AT_ONCE = 256  # images in one forward pass


def infidelity(
    model: nn.Module,
    images: Tensor,
    attributions: Tensor,
    targets: Targets = None,
    *,
    noise: float = 0.2,
    samples: int = 32,
    scaled: bool = True,
    seed: int = 0,
) -> Tensor:
    """Infidelity of each image, (N,), in squared units of the score; NaN where images mix (a batch norm of the batch).

    Args:
        model: Any net from images to class scores (N, classes).
        images: (N, C, H, W), normalised.
        attributions: (N, C, H, W), or maps (N, h, w), which are laid over the image and say the same of each colour.
        targets: A class, or one an image; None takes the prediction.
        noise: σ of the change, in the units of the normalised images.
        samples: Changes drawn for each image.
        scaled: Whether the attribution may first be multiplied by the number that serves it best.
        seed: Of the changes.
    """
    from captum.metrics import infidelity as captum_infidelity  # here, as in `labapp.diagnostics.attributions`

    if attributions.ndim == 3:
        maps = upsample(attributions, (images.shape[2], images.shape[3]))
        attributions = maps[:, None].expand_as(images).contiguous()
    generator = torch.Generator(images.device).manual_seed(seed)

    def change(inputs: Tensor) -> tuple[Tensor, Tensor]:
        by = noise * torch.randn(inputs.shape, generator=generator, device=inputs.device, dtype=inputs.dtype)
        return by, inputs - by

    if images_mix(model):  # the change of one image would change the scores of others
        return torch.full((len(images),), torch.nan)
    with undisturbed(model), torch.no_grad():
        classes = class_targets(targets, class_scores(model, images))
        found = captum_infidelity(
            model,
            change,
            images,
            attributions.detach(),
            target=classes,
            n_perturb_samples=samples,
            max_examples_per_batch=len(images) * max(1, min(samples, AT_ONCE // len(images))),
            normalize=scaled,
        )
    return found.clamp(min=0)  # scaled, it is a difference of sums, which rounding can push below zero
