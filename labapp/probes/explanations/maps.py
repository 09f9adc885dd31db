"""Where does one net look in one image, seen from each of its layers?

One forward and one backward pass give the maps of all blocks; the stages and the layers at certain depths are some of
them, so that choosing other columns needs no new pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labapp.config import LabError, nearest
from labapp.diagnostics.attributions import IMAGE, attributions, predicted
from labapp.diagnostics.mask_energy import mask_energy
from labapp.diagnostics.measuring.layer_gradients import class_scores
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.measuring.upsample import upsample
from labapp.diagnostics.pointing_game import pointing_game
from labapp.nets import Net
from labapp.nets.densenet import DenseBlock
from labapp.probes.explanations.samples import Sample
from labapp.probes.lock import locked
from labapp.probes.subjects import Subject

Target = str | int  # predicted, true, a class by its number or its name
Wanted = Any  # what `layer_gradients` takes as layers


@dataclass(frozen=True, eq=False)
class LayerMap:
    """One layer's map of one image.

    Attributes:
        path: The layer, or "image" for a method that reads the image itself.
        stage: Which spatial resolution, from 1.
        depth: Its place among the layers looked at, from 0 (excluded) to 1 (the last).
        evidence: The map at the layer's resolution, signed, in units of the class score, (h, w).
        over_image: The same laid over the image, (H, W).
        energy: The share of its positive part inside the mask; NaN without a mask.
        hit: Whether its highest place is inside, 0 to 1; NaN without a mask.
    """

    path: str
    stage: int
    depth: float
    evidence: NDArray[np.float32]
    over_image: NDArray[np.float32]
    energy: float
    hit: float


@dataclass(frozen=True, eq=False)
class Look:
    """What one net says about one image.

    Attributes:
        target: The class that the maps are about.
        predicted: The class with the greatest score.
        probability: Of the target, by softmax; NaN for a net with one output, of which softmax always makes 1.
        layers: In the order of execution.
    """

    name: str
    step: int | None
    method: str
    target: int
    target_name: str
    predicted: int
    predicted_name: str
    probability: float
    layers: tuple[LayerMap, ...]

    @property
    def stages(self) -> list[LayerMap]:
        """The last layer of each resolution."""
        return list({layer.stage: layer for layer in self.layers}.values())

    def at_depths(self, count: int = 4) -> list[LayerMap]:
        """So many layers, evenly spread over the depth; the last one among them. Fewer where there are no more."""
        last = len(self.layers)
        chosen = dict.fromkeys(max(1, round(last * (number + 1) / count)) for number in range(count))
        return [self.layers[at - 1] for at in chosen]


@locked
def look(
    subject: Subject, sample: Sample, method: str = "gradcam", target: Target = "predicted", layers: Wanted = None
) -> Look:
    """The maps of one net, one image, one method, and what can be scored about each at once.

    Args:
        subject: The net.
        sample: The image.
        method: One of `labapp.diagnostics.attributions.METHODS`.
        target: "predicted", "true", or a class by number or name.
        layers: Paths, globs or kinds; None takes every block, in a VGG net every activation.
    """
    images = subject.read(sample.picture)
    with undisturbed(subject.net), torch.no_grad():
        scores = class_scores(subject.net, images).detach()
    best = int(scores[0].argmax())
    which = class_of(subject, sample, target, best)
    classes = predicted(subject.net, images, which)
    found = attributions([method], subject.net, images, classes, layers or usual_layers(subject.net))[method]
    return Look(
        subject.name,
        subject.step,
        method,
        which,
        subject.class_name(which),
        best,
        subject.class_name(best),
        float(scores.float().softmax(1)[0, which]) if scores.shape[1] > 1 else float("nan"),
        tuple(_layer_maps(found, sample, subject.size)),
    )


def class_of(subject: Subject, sample: Sample, target: Target, best: int) -> int:
    """The class that is meant by a word or a number."""
    if target == "predicted":
        return best
    if target == "true":
        if sample.label is None:
            raise LabError(
                f"the true class of {sample.name} is not known; ask about the predicted one, or name a class"
            )
        return sample.label
    if isinstance(target, str) and target in subject.classes:
        return subject.classes.index(target)
    try:
        return int(target)
    except ValueError:
        raise LabError(
            f"'{target}' is no class of {subject.name}; give predicted, true, a number or a name"
            f"{nearest(target, ['predicted', 'true', *subject.classes])}"
        ) from None


def usual_layers(net: nn.Module) -> Wanted:
    """Every block; in a dense net what each of its layers reads, in a VGG net every activation."""
    if not isinstance(net, Net):
        return None
    dense = [(path, module) for path, module in net.named_modules() if isinstance(module, DenseBlock)]
    if dense:
        inner = [
            f"{path}.{name}.concat" for path, block in dense for name, layer in block.named_children()
            if "concat" in dict(layer.named_children())
        ]  # fmt: skip
        return [*inner[1:], *(path for path, _ in dense)]
    blocks = {place.path for place in net.places if place.kind == "block"}
    wanted = blocks or {place.path for place in net.places if place.kind == "activation"}
    return lambda path, module: path in wanted  # a predicate takes only those that have spatial extent


def numbered(sizes: list[tuple[int, ...]]) -> list[int]:
    """Stages: the first resolution is 1, and every change begins a new one."""
    stages = list[int]()
    for at, size in enumerate(sizes):
        stages.append(1 if not at else stages[-1] + (size != sizes[at - 1]))
    return stages


def _layer_maps(found: dict[str, Tensor], sample: Sample, size: int) -> list[LayerMap]:
    """{path: (1, h, w)} with what the mask says about each."""
    mask = None if sample.mask is None else torch.from_numpy(sample.mask)[None]
    if mask is not None and mask.shape[1] != size:
        mask = upsample(mask.float(), (size, size)) > 0.5
    # methods that enlarge their maps have one resolution in all layers, and so one stage
    stages = numbered([tuple(maps.shape) for maps in found.values()])
    rows = []
    for at, (path, maps) in enumerate(found.items()):
        over = upsample(maps, (size, size))
        energy = float("nan") if mask is None else float(mask_energy(maps, mask))
        hit = float("nan") if mask is None else float(pointing_game(maps, mask))
        depth = 1.0 if path == IMAGE else (at + 1) / len(found)
        rows.append(LayerMap(path, stages[at], depth, maps[0].float().numpy(), over[0].float().numpy(), energy, hit))
    return rows
