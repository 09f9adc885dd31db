"""How well could a linear classifier tell the classes apart from this layer on?

Alain & Bengio 2016, *Understanding intermediate layers using linear classifier probes* (arXiv 1610.01644). Multinomial
logistic regression with an L2 penalty on standardised features, trained on one half of the images and scored on the
other, both with the classes in the same shares.

A share of images between 0 and 1, with Wilson's 95 % interval for the images scored (it leaves out that another
training half would give another probe). Invariant to a shift and to rescaling single features; because of the penalty
not quite to rotations. Compare it with the share of the largest class, not with 0.
"""

import warnings

import numpy as np
import torch
from torch import Tensor

from labapp.config import LabError
from labapp.config.extras import needed
from labapp.diagnostics.measuring.interval import share_interval
from labapp.diagnostics.measuring.measured import Measured, labels_of, missing, usable

with needed(__name__):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

ITERATIONS = 500


def linear_probe(
    features: Tensor, labels: Tensor, *, penalty: float = 1.0, test_share: float = 0.5, seed: int = 0
) -> Measured:
    """Accuracy of a linear probe.

    Args:
        features: (N, D), one row an image; pool maps first (`labapp.diagnostics.measuring.features.collect` does).
        labels: (N,) classes.
        penalty: Weight of the L2 term; scikit-learn's 1/C.
        test_share: Share of images that the probe is scored on and not trained on.
        seed: Of the split.

    Raises:
        LabError: If labels and images do not fit, or penalty or share are out of range.

    Method:
        Meaning: How well a linear classifier tells the classes apart from this layer on.
        Formula: Share of images that a multinomial logistic regression with an L2 penalty classifies correctly.
        Source: Alain & Bengio 2016 (arXiv 1610.01644).
        Batch norm: Running statistics, as the net is used; at a checkpoint before training, which has none yet, those
            of 128 probe images, held fixed.
        Sampling: Trained on one half of at most 512 test images and scored on the other; Wilson's 95 % interval for the
            images scored.
        Fails: Compare it with the share of the largest class, not with 0; another training half would give another
            probe, which the interval leaves out.
        Command: labapp probe RUN --quantities by_depth
    """
    if not 0 < test_share < 1:
        raise LabError(f"test_share={test_share}: give the share of images to score on, between 0 and 1")
    if penalty <= 0:
        raise LabError(f"penalty={penalty}: give a weight above 0")
    classes = labels_of(labels, len(features)).numpy()
    rows, why = usable(features, 4)
    if why:
        return missing(why)
    counts = np.unique_counts(classes).counts
    if len(counts) < 2:
        return missing("all images are of one class, so there is nothing to tell apart")
    if counts.min() < 2:
        return missing("a class has a single image; training and scoring need one each")
    scored = round(len(rows) * test_share)
    if min(scored, len(rows) - scored) < len(counts):
        return missing(f"{len(rows)} images are too few to train on and score {len(counts)} classes")
    # The net's own numbers are float32; so are the probe's, which halves the time.
    given = rows.cpu().numpy().astype(np.float32)
    train, test, train_classes, test_classes = train_test_split(
        given, classes, test_size=scored, random_state=seed, stratify=classes
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=ITERATIONS))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe.fit(train, train_classes)
    note = "the probe had not converged" if any(w.category is ConvergenceWarning for w in caught) else ""
    right = share_interval(torch.from_numpy(probe.predict(test) == test_classes))
    return Measured(right.mean, right.low, right.high, note)
