"""Do maps of where a net looks lie on the object, and do they depend on its weights?

What the page Grad-CAM asks about many images, kept with the run: the energy of Grad-CAM's maps inside the objects'
masks, of the trained net, of the same net with new first weights, and image by image their difference; and how alike
maps stay while the weights are made random from the top, for methods that pass this check and for some that do not.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from labapp.config import LabError
from labapp.probes.explanations.surveys import check_sanity, energy_table, survey
from labapp.probes.given import Given
from labapp.probes.subjects import Subject, reading_of, restarted_of

CHECKED = ("gradcam", "guided-gradcam", "guided-backprop")
SANE_IMAGES = 16  # a cascade asks for maps at every part
NO_MASK = "these images have no masks, so nothing says where the object is"


def map_scores(given: Given) -> pd.DataFrame:
    """One row a number, at the last map that the net has.

    Columns: measure (energy, sanity), method, net (trained, untrained, difference, uniform), mean, low, high, images,
    note.

    Method:
        Meaning: How much of a map lies on the object, and whether it depends on what the net has learnt.
        Formula: Energy: the share of the positive part inside the mask. Sanity: Spearman's ρ with the trained net's
            map, averaged over a cascade that makes the weights random from the top.
        Source: Wang et al. 2020 (arXiv 1910.01279), §4.3; Adebayo et al. 2018 (arXiv 1810.03292), §4.
        Batch norm: Running statistics; of random weights those that belong to them.
        Sampling: The first 128 test images for the energy, 16 for the cascade, asked about their true class; the
            intervals are bootstraps over images.
        Fails: Without masks there is no energy. A net with first weights scores what its architecture looks at.
    """
    subject = Subject(given.experiment.name, given.step, given.net, **vars(reading_of(given.experiment)))
    count = len(given.test.images)
    rows: list[dict[str, Any]] = []
    trained = survey(subject, given.experiment, count=count)
    untrained = survey(restarted_of(subject), given.experiment, count=count)
    given.tell(1 / (1 + len(CHECKED)))
    for row in energy_table(trained, untrained):
        if row["measure"] == "energy" and row["layer"] == trained.last:
            rows.append({**row, "method": "gradcam", "note": NO_MASK if row["mean"] != row["mean"] else ""})
    for number, method in enumerate(CHECKED, start=2):
        try:
            found = check_sanity(subject, given.experiment, method, min(SANE_IMAGES, count)).interval
        except LabError as error:
            given.say(f"{method}: {error}")
            continue
        about = {"measure": "sanity", "method": method, "net": "trained", "note": found.reason}
        rows.append(about | found.columns)
        given.tell(number / (1 + len(CHECKED)))
    return pd.DataFrame(rows)[["measure", "method", "net", "mean", "low", "high", "images", "note"]]
