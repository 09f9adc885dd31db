"""Where do nets look in many images, and is it what they have learnt?

The maps of the first N test images, all asked about their true class: energy inside the mask with its interval beside
that of the untrained net, agreement between nets, and Adebayo's sanity check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from labapp.config import Experiment, LabError
from labapp.diagnostics.attributions import attribute
from labapp.diagnostics.map_agreement import agreement, drift_table
from labapp.diagnostics.mask_energy import mask_energy, mask_share
from labapp.diagnostics.measuring.interval import Interval, mean_interval, share_interval
from labapp.diagnostics.pointing_game import pointing_game
from labapp.diagnostics.sanity import sanity_check
from labapp.imagesets import ImageSet
from labapp.probes.explanations.maps import Look, numbered, usual_layers
from labapp.probes.explanations.samples import test_set
from labapp.probes.lock import LOCK, Tell, silent
from labapp.probes.subjects import Subject
from labapp.store import Run

AT_ONCE = 32  # images of one pass: short enough that a question of the page waits for one of them
NETS = ("trained", "untrained")  # whose hits are counts, where no map has its maximum at several places
CHECKS = 6  # points of the cascade at which maps are computed again


@dataclass(frozen=True, eq=False)
class Survey:
    """One net's maps of many images, at the last layer of each resolution.

    Attributes:
        name: The net.
        step: Its checkpoint.
        maps: Layer → maps (N, h, w), signed.
        stages: Layer → its resolution's number.
        energy: Layer → the share inside the mask, (N,); NaN where it is not defined.
        pointing: Layer → hits, (N,).
        share: The masks' share of the images, (N,); what a map that says nothing scores.
        correct: Whether the net is right, (N,).
    """

    name: str
    step: int | None
    method: str
    maps: dict[str, NDArray[np.float32]]
    stages: dict[str, int]
    energy: dict[str, NDArray[np.float32]]
    pointing: dict[str, NDArray[np.float32]]
    share: NDArray[np.float32]
    correct: NDArray[np.bool_]

    @property
    def last(self) -> str:
        """The last layer that has a map."""
        return next(reversed(self.maps))

    def named(self, name: str) -> Survey:
        """The same under another name."""
        return replace(self, name=name)


class Cascade(NamedTuple):
    """Adebayo's sanity check of a method on one net, without its tensors.

    Attributes:
        verdict: One of `labapp.diagnostics.sanity`.
        rows: A tidy table: randomised, layer, measure, mean, low, high, images.
        interval: What the verdict comes from.
    """

    verdict: str
    rows: list[dict[str, Any]]
    interval: Interval


def survey(
    subject: Subject,
    source: Run | Experiment,
    method: str = "gradcam",
    count: int = 128,
    tell: Tell = silent,
    *,
    layers: Any = None,
) -> Survey:
    """The maps of the first `count` test images for their true class."""
    images = test_set(source)
    if count < 1:
        raise LabError(f"a survey needs at least 1 image, not {count}")
    count = min(count, len(images))
    parts: list[dict[str, torch.Tensor]] = []
    correct: list[torch.Tensor] = []
    for start in range(0, count, AT_ONCE):
        tell(start / count, f"{subject.name}: image {start} of {count}")
        x, labels = _batch(images, range(start, min(start + AT_ONCE, count)))
        with LOCK:
            x = x.to(subject.dtype)
            found = attribute(method, subject.net, x, labels, layers or usual_layers(subject.net))
            with torch.no_grad():
                correct.append(subject.net(x).argmax(1) == labels)
        parts.append(found if layers else _last_of_each_size(found))
    maps = {path: torch.cat([part[path] for part in parts]) for path in parts[0]}
    stages = dict(zip(maps, numbered([tuple(values.shape[1:]) for values in maps.values()]), strict=True))
    masks = _masks(images, count)
    nothing = torch.full((count,), torch.nan)
    energy = {path: nothing if masks is None else mask_energy(values, masks) for path, values in maps.items()}
    pointing = {path: nothing if masks is None else pointing_game(values, masks) for path, values in maps.items()}
    return Survey(
        subject.name,
        subject.step,
        method,
        {path: values.float().numpy() for path, values in maps.items()},
        stages,
        {path: values.numpy() for path, values in energy.items()},
        {path: values.numpy() for path, values in pointing.items()},
        (nothing if masks is None else mask_share(masks)).numpy(),
        torch.cat(correct).numpy(),
    )


def energy_table(trained: Survey, untrained: Survey) -> list[dict[str, Any]]:
    """A tidy table: run, layer, stage, measure, net, mean, low, high, images.

    Measures are energy and pointing. Nets are trained, untrained, difference (image by image) and, for a map that says
    nothing, uniform.
    """
    rows = []
    for layer, stage in trained.stages.items():
        for measure in ("energy", "pointing"):
            ours, theirs = (torch.from_numpy(getattr(each, measure)[layer]) for each in (trained, untrained))
            both = {"trained": ours, "untrained": theirs, "difference": ours - theirs}
            for net, values in (both | {"uniform": torch.from_numpy(trained.share)}).items():
                about = {"run": trained.name, "layer": layer, "stage": stage, "measure": measure, "net": net}
                hits = measure == "pointing" and bool(((values == 0) | (values == 1) | values.isnan()).all())
                rows.append(about | (share_interval if hits and net in NETS else mean_interval)(values).columns)
    return rows


def agreement_of(surveys: Sequence[Survey], stage: int | None = None) -> list[dict[str, Any]]:
    """Rank correlation and overlap of every pair of nets at one resolution, by default each net's last.

    Columns: a, b, measure, mean, low, high, images.
    """
    maps = {}
    for each in surveys:
        layer = each.last if stage is None else {number: path for path, number in each.stages.items()}.get(stage)
        if layer is not None:
            maps[each.name] = torch.from_numpy(each.maps[layer])
    return agreement(maps)


def drift_of(looks: Sequence[Look], stage: int | None = None) -> list[dict[str, Any]]:
    """How the map of one image forms over checkpoints: step, measure (drift | formed), mean; a row each."""
    maps, steps = [], []
    for each in looks:
        layers = {layer.stage: layer for layer in each.layers}
        layer = each.layers[-1] if stage is None else layers.get(stage)
        if layer is not None:
            maps.append(torch.from_numpy(layer.evidence)[None])
            steps.append(each.step or 0)
    return drift_table(steps, torch.stack(maps)) if maps else []


def check_sanity(
    subject: Subject,
    source: Run | Experiment,
    method: str = "gradcam",
    count: int = 16,
    tell: Tell = silent,
    *,
    layer: str | None = None,
    checks: int = CHECKS,
) -> Cascade:
    """How maps change while the weights are made random from the top.

    New random weights, independent of those training began with, since a net that was trained for a short time still
    resembles its first ones.
    """
    images = test_set(source)
    x, labels = _batch(images, range(min(count, len(images))))
    x = x.to(subject.dtype)
    with LOCK:
        every = attribute(method, subject.net, x, labels, usual_layers(subject.net))
    path = layer or next(reversed(every))
    done = 0

    def explain(net: torch.nn.Module) -> torch.Tensor:
        nonlocal done
        tell(done / (checks + 1), f"{subject.name}: {done} of {checks} parts made random")
        done += 1
        with LOCK:
            return attribute(method, net, x, labels, usual_layers(net))[path]

    found = sanity_check(subject.net, explain, x, checks=checks)
    return Cascade(found.verdict, found.rows(), found.interval)


def _batch(images: ImageSet, which: range) -> tuple[torch.Tensor, torch.Tensor]:
    indices = torch.tensor(list(which))
    return images.normalise(images.pixels(indices)), images.labels[indices]


def _masks(images: ImageSet, count: int) -> torch.Tensor | None:
    found = [images.mask(index) for index in range(count)]
    known = [mask for mask in found if mask is not None]
    return torch.from_numpy(np.stack(known)) if len(known) == count else None


def _last_of_each_size(found: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of layers in order of execution those after which the resolution changes, and the last."""
    stages = numbered([tuple(maps.shape[1:]) for maps in found.values()])
    last = dict(zip(stages, found, strict=True))
    return {path: found[path] for path in last.values()}
