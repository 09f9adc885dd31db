"""How close are features and classifier to one point for each class?

Papyan, Han, Donoho 2020, *Prevalence of neural collapse* (PNAS 117, 24652), on the features h that enter the last
linear layer. With class means μ_c, their mean μ, the covariances Σ_W within and Σ_B between classes, C classes,
classifier rows w_c, M the matrix of μ_c − μ:

    nc1         tr(Σ_W Σ_B⁺) / C                          variability within classes, against that between them
    nc2_norms   std_c ‖μ_c − μ‖ / mean_c ‖μ_c − μ‖         means equally long …
    nc2_angles  mean_{c ≠ c′} |cos∠(μ_c − μ, μ_c′ − μ) + 1/(C − 1)|   … and at the widest equal angles (a simplex)
    nc3         ‖W/‖W‖ − M/‖M‖‖_F                         classifier rows parallel to the means, from 0 to 2
    nc4         share of images that the net puts into another class than the nearest mean does

All are 0 at full collapse and without unit. Invariant to rotations, one common factor and a shift of the features (nc3
and nc4: if the classifier goes along). μ is the mean of the class means, so classes of unequal size count alike; Σ_W
weighs every class alike for the same reason. nc4 has Wilson's 95 % interval, for the images.

Collapse is defined on training images, whose loss is driven to zero; images that were not trained on collapse less and
later (Hui, Belkin, Nakkiran 2022, *Limitations of Neural Collapse*, arXiv 2202.08384). So `NAMES` are read on training
images, and the same numbers of test images, with the test images' own class means, are called `nc1_test` and so on.
"""

import torch
from torch import Tensor

from labapp.config import LabError
from labapp.diagnostics.measuring.interval import share_interval
from labapp.diagnostics.measuring.measured import Measured, labels_of, missing, usable

NAMES = ("nc1", "nc2_norms", "nc2_angles", "nc3", "nc4")
FEW = 10  # images of a class: the noise of its mean is then a tenth of the spread within it, which enters nc1
TEST = "_test"  # behind the name of a number that is read on test images


def neural_collapse(
    features: Tensor, labels: Tensor, weight: Tensor | None = None, outputs: Tensor | None = None
) -> dict[str, Measured]:
    r"""The five numbers, by name; see `labapp.diagnostics.measuring.features.last_features` for a net's.

    Args:
        features: (N, D) inputs of the last linear layer.
        labels: (N,) classes.
        weight: (classes, D) of the last linear layer; without it no nc3.
        outputs: (N, classes) of the net; without them no nc4.

    Method:
        Meaning: How near features and classifier are to one point a class, at the widest equal angles.
        Formula: NC1 = $\operatorname{tr}(\Sigma_W \Sigma_B^{+}) / C$; NC2: spread of the means' lengths and of their
            cosines about $-1/(C-1)$; NC3 = $\lVert W / \lVert W \rVert - M / \lVert M \rVert \rVert_F$; NC4: share that
            the nearest mean puts elsewhere.
        Source: Papyan, Han & Donoho 2020, PNAS 117, 24652; on test images: Hui, Belkin & Nakkiran 2022 (arXiv
            2202.08384).
        Batch norm: Running statistics, as the net is used; at a checkpoint before training, which has none yet, those
            of 128 probe images, held fixed.
        Sampling: At most 512 training images, and as many test images under names of their own; classes weigh alike.
        Fails: Defined on training images whose loss is driven to zero; after a short training nothing has collapsed.
            NC1 needs more images than classes.
    """
    classes = labels_of(labels, len(features)).to(features.device)
    rows, why = usable(features, 4)
    present, member, counts = classes.unique(return_inverse=True, return_counts=True)
    if not why and len(present) < 2:
        why = "all images are of one class"
    if why:
        return dict.fromkeys(NAMES, missing(why))
    sums = rows.new_zeros(len(present), rows.shape[1]).index_add_(0, member, rows)
    means = sums / counts[:, None]  # (C, D)
    centred = means - means.mean(0)  # M
    lengths = centred.norm(dim=1)
    if float(lengths.max()) <= 1e-9 * float(rows.norm(dim=1).max()):
        return dict.fromkeys(NAMES, missing("all classes have the same mean"))
    result = {"nc1": _within(rows - means[member], member, counts, centred)}
    result["nc2_norms"] = Measured(float(lengths.std(correction=0) / lengths.mean()))
    result["nc2_angles"] = _angles(centred, lengths)
    result["nc3"] = _duality(centred, weight, present)
    result["nc4"] = _decisions(rows, means, present, outputs)
    return result


def _within(deviations: Tensor, member: Tensor, counts: Tensor, centred: Tensor) -> Measured:
    if int(counts.min()) < 2:
        return missing("a class has a single image, so its spread is unknown")
    number = len(counts)
    # Σ_B = MᵀM / C has rank C − 1. Its pseudo-inverse acts in the span of the means only, so project there first.
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    kept = sizes > 1e-9 * sizes[0]
    kept[number - 1 :] = False  # the C-th is rounding alone, and its inverse would be all that is seen
    inside = deviations @ directions[kept].T  # (N, ≤ C − 1)
    variances = (inside.square() / (counts * number)[member, None]).sum(0)  # diagonal of Σ_W in these directions
    least = int(counts.min())
    note = (
        f"a class has {least} images; of fewer than {FEW} its mean is uncertain, and nc1 with it" if least < FEW else ""
    )
    return Measured(float((variances * number / sizes[kept].square()).sum() / number), note=note)


def _angles(centred: Tensor, lengths: Tensor) -> Measured:
    number = len(lengths)
    if float(lengths.min()) == 0:
        return missing("a class mean lies on the mean of all, so it has no direction")
    unit = centred / lengths[:, None]
    cosines = (unit @ unit.T)[~torch.eye(number, dtype=torch.bool, device=unit.device)]
    return Measured(float((cosines + 1 / (number - 1)).abs().mean()))


def _duality(centred: Tensor, weight: Tensor | None, present: Tensor) -> Measured:
    if weight is None:
        return missing("needs the weights of the last linear layer")
    if weight.dim() != 2 or weight.shape[1] != centred.shape[1] or len(weight) <= int(present.max()):
        raise LabError(
            f"weights {tuple(weight.shape)} do not fit {centred.shape[1]} features and class {int(present.max())}"
        )
    if len(weight) > len(present):
        return missing(f"the images show {len(present)} of the classifier's {len(weight)} classes")
    rows = weight.detach().to(centred)
    if not bool(torch.isfinite(rows).all()):
        return missing("the classifier's weights are not finite")
    if float(rows.norm()) == 0:
        return missing("the classifier's weights are all 0")
    return Measured(float((rows / rows.norm() - centred / centred.norm()).norm()))


def _decisions(rows: Tensor, means: Tensor, present: Tensor, outputs: Tensor | None) -> Measured:
    if outputs is None:
        return missing("needs the net's outputs")
    if outputs.dim() != 2 or len(outputs) != len(rows):
        raise LabError(f"outputs {tuple(outputs.shape)} do not fit {len(rows)} images")
    if not bool(torch.isfinite(outputs).all()):
        return missing("the net's outputs are not finite")
    nearest = present[torch.cdist(rows, means).argmin(1)]
    share = share_interval(outputs.detach().argmax(1).to(nearest.device) != nearest)
    return Measured(share.mean, share.low, share.high)
