"""Does the net behave as its maps say?

Deletion and insertion, infidelity and sensitivity of every map of a look. They ask the net some hundred times a layer,
so they are computed on request only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from labapp.diagnostics.attributions import IMAGE, IMAGE_METHODS, attribute
from labapp.diagnostics.deletion import deletion, insertion
from labapp.diagnostics.infidelity import infidelity
from labapp.diagnostics.sensitivity import max_sensitivity
from labapp.probes.explanations.maps import LayerMap, Look
from labapp.probes.explanations.samples import Sample
from labapp.probes.lock import LOCK, Tell, silent
from labapp.probes.subjects import Subject


def faithfulness(
    subject: Subject, sample: Sample, shown: Look, layers: Sequence[LayerMap], tell: Tell = silent
) -> list[dict[str, Any]]:
    """A tidy table: layer, deletion, insertion (areas, 0 to 1), infidelity, sensitivity, note; one row a layer.

    The note says why there is no number.
    """
    images = subject.read(sample.picture)
    classes = torch.tensor([shown.target])
    rows = []
    for number, layer in enumerate(layers):
        tell(number / len(layers), f"{shown.name}: scoring {layer.path}")
        maps = torch.from_numpy(layer.evidence)[None]
        asked = None if shown.method in IMAGE_METHODS else [layer.path]
        name = IMAGE if asked is None else layer.path

        def explain(given: torch.Tensor, target: torch.Tensor, asked: Any = asked, name: str = name) -> torch.Tensor:
            return attribute(shown.method, subject.net, given, target, asked)[name]

        with LOCK:
            out, into = (score(subject.net, images, maps, classes) for score in (deletion, insertion))
            row: dict[str, Any] = {
                "deletion": float(out.area),
                "insertion": float(into.area),
                "infidelity": float(infidelity(subject.net, images, maps, classes)),
            }
        with LOCK:
            row["sensitivity"] = float(max_sensitivity(explain, images, classes))
        rows.append({"layer": layer.path, **row, "note": out.note})
    return rows
