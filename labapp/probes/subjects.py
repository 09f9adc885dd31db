"""Which net is asked, and how does it read a picture?

A subject is a net with weights, and the size, channels and normalisation of the images it was trained on. It comes
from a run and a checkpoint, from torchvision or timm by name, or from the user's own module with a state-dict file.
"""

from __future__ import annotations

import copy
import functools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labapp.config import Experiment, LabError, require_trust
from labapp.diagnostics.measuring.batch_statistics import settle, unsettled
from labapp.diagnostics.measuring.copies import restarted
from labapp.diagnostics.measuring.inlet import inlet
from labapp.imagesets import load_for
from labapp.nets.foreign import foreign, recorded_input
from labapp.nets.ordered import net_for
from labapp.probes.given import CALIBRATION, probe_images
from labapp.probes.lock import locked
from labapp.probes.weights import gone, load_into, state_of
from labapp.store import Run

SIZE = 224  # pixels a side, where nobody says
LARGEST = 4096  # pixels a side that a record may ask for
ASSUMED = {  # mean and deviation by channels, where nobody says: ImageNet's, and those that bring 0 … 1 to −1 … 1
    3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    1: ((0.5,), (0.5,)),
}
__all__ = ["Reading", "Subject", "inlet", "of_run", "of_spec", "reading_of", "restarted_of", "untrained_of"]

KEPT = 48  # nets in memory; four runs with twelve checkpoints each


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """How the images of a set are read.

    Attributes:
        size: Pixels a side.
        channels: 1 or 3.
        mean: By channel, of images from 0 to 1.
        std: By channel.
        classes: Their names; empty if they are not known.
        says: Who says so, "as the run's images were measured"; in a sentence behind the numbers.
        dtype: In which precision the net takes them.
    """

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] = ()
    says: str = "as measured on the training images"
    dtype: torch.dtype = torch.float32

    def otherwise(self, mean: Sequence[float] = (), std: Sequence[float] = ()) -> Self:
        """The same with another mean or deviation, one for all channels or one each; empty keeps what there is.

        Raises:
            LabError: If they do not fit.
        """
        given = {"mean": tuple(mean), "std": tuple(std)}
        for name, values in given.items():
            if len(values) not in (0, 1, self.channels):
                raise LabError(f"{name} has {len(values)} values for {self.channels} channels; give one, or one each")
            if not all(math.isfinite(value) for value in values):
                raise LabError(f"{name} holds a value that is not finite; images are numbers from 0 to 1")
        if any(value <= 0 for value in given["std"]):
            raise LabError("std divides the images, so it is above 0; ImageNet's are 0.229 0.224 0.225")
        if not any(given.values()):
            return self
        full = {name: values * (self.channels if len(values) == 1 else 1) for name, values in given.items()}
        return replace(self, mean=full["mean"] or self.mean, std=full["std"] or self.std, says="as you say")

    @property
    def reading(self) -> str:
        """How a picture is read, for people."""
        numbers = ("/".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"{self.size}×{self.size} pixels, mean {next(numbers)}, deviation {next(numbers)}, {self.says}"


@dataclass(frozen=True, eq=False)
class Subject(Reading):
    """A net in evaluation mode, and how it reads a picture.

    Attributes:
        name: Family and depth, or the name it was asked for by.
        step: Updates at its checkpoint; None for a net that is not from a run.
        net: From images (N, channels, size, size) to class scores (N, classes).
    """

    name: str
    step: int | None
    net: nn.Module

    def read(self, picture: NDArray[np.uint8]) -> Tensor:
        """A picture (H, W, 3) as this net sees it, (1, channels, size, size): its middle, normalised."""
        if picture.shape[:2] != (self.size, self.size):
            from labapp.probes.pictures import square  # Pillow is no part of the light install

            picture = square(picture, self.size)
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
        if self.channels == 1:  # a grey set shows its pixels in all three colours, so this gives them back
            pixels = pixels.mean(1, keepdim=True)
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return ((pixels - mean) / std).to(self.dtype)

    def class_name(self, index: int) -> str:
        """What the class is called, its number where that is not known."""
        return self.classes[index] if index < len(self.classes) else str(index)


def of_run(run: Run, step: int | None = None) -> Subject:
    """The net of a run after `step` updates, by default the last checkpoint.

    Before training the running statistics of batch norms, 0 and 1, say nothing: there those of probe images are taken,
    where the run's images are at hand, as probes do (`labapp.probes.given`).

    Raises:
        LabError: If there is no such checkpoint, or it is gone, damaged or of another net.
    """
    stored = as_stored(run, step)
    return _settled(stored, run.experiment) if unsettled(stored.net) else stored


@locked
def as_stored(run: Run, step: int | None = None) -> Subject:
    """`of_run` with the statistics that the checkpoint holds, whatever they say."""
    require_trust(run.experiment.net, f"run '{run.id}'")
    path = run.checkpoint_path(step)
    try:
        about = path.stat()
    except OSError:
        raise LabError(gone(path)) from None
    return _of_checkpoint(run.path.absolute(), path, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=KEPT)
def _of_checkpoint(folder: Path, path: Path, *seen: int) -> Subject:
    run = Run(folder)
    require_trust(run.experiment.net, f"run '{run.id}'")
    images = _reading_of_run(run)
    net = net_for(
        run.experiment,
        num_classes=len(images.classes),
        image_size=images.size,
        in_channels=images.channels,
    )
    load_into(net, state_of(path), f"checkpoint {path.name} of run '{run.id}'")
    return Subject(run.name, int(path.stem.removeprefix("step-")), net.eval(), **vars(images))


@locked
@functools.lru_cache(maxsize=KEPT)
def _settled(stored: Subject, experiment: Experiment) -> Subject:
    try:
        images = probe_images(experiment, "test", CALIBRATION).images
        return replace(stored, net=settle(copy.deepcopy(stored.net), images))
    except (LabError, RuntimeError):  # a run can be read where its images are not
        return stored


def _reading_of_run(run: Run) -> Reading:
    """How the images of a run are read: as it wrote down, else as its image set says."""
    about = run.environment.get("images") or {}
    if not {"image_size", "channels", "mean", "std", "classes"} <= set(about):
        return reading_of(run.experiment)
    try:
        found = Reading(
            size=int(about["image_size"]),
            channels=int(about["channels"]),
            mean=tuple(map(float, about["mean"])),
            std=tuple(map(float, about["std"])),
            classes=tuple(map(str, about["classes"])),
        )
    except (TypeError, ValueError, OverflowError):
        raise LabError(f"what run '{run.id}' says of its images cannot be read; its record is damaged") from None
    if not (0 < found.size <= LARGEST and found.channels in (1, 3) and found.classes):
        raise LabError(
            f"run '{run.id}' says that it read images of {found.channels} channels and {found.size} pixels a side; "
            f"the lab reads pictures of 1 or 3 channels and at most {LARGEST} pixels"
        )
    return found


def reading_of(experiment: Experiment) -> Reading:
    """How the images of an experiment's set are read."""
    images = load_for(experiment, "test")
    return Reading(
        size=images.image_size,
        channels=images.channels,
        mean=tuple(images.mean),
        std=tuple(images.std),
        classes=tuple(images.classes),
    )


@locked
def of_spec(
    spec: str,
    weights: str | Path | None = None,
    *,
    image_size: int | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    like: Reading | None = None,
) -> Subject:
    """A net that is not from a run: torchvision:NAME and timm:NAME with pretrained weights, or MODULE:FACTORY.

    If pretrained weights cannot be fetched, a warning says so and the net has first weights. Channels and precision are
    those of the first layer that runs; size, mean and deviation those that the weights' own record names.

    Args:
        spec: Source and name.
        weights: A state-dict file, .safetensors or what `torch.load(weights_only=True)` reads.
        image_size: Pixels a side it was trained at; what the record says, else 224, when left out.
        mean: By channel or one for all, of images from 0 to 1, instead of the record's; ImageNet's where there is none.
        std: The same of the deviation.
        like: The images it reads instead.

    Raises:
        LabError: If a picture cannot be read as this net wants it.
    """
    source = spec.partition(":")[0]
    net = None
    if weights is None and source in ("torchvision", "timm"):
        try:
            net = foreign(spec, weights="default")
        except LabError as error:
            if not isinstance(error.__cause__, OSError | RuntimeError | ValueError):
                raise
            warnings.warn(f"{error}; {spec} is shown with random weights", stacklevel=3)
    net = net if net is not None else foreign(spec)
    if weights is not None:
        load_into(net, state_of(Path(weights)), str(weights))
    elif source not in ("torchvision", "timm"):
        warnings.warn(f"{spec} comes without a weights file, so it is shown as its factory made it", stacklevel=3)
    record = recorded_input(spec, net)
    size = image_size or (like.size if like else (record.size if record else None) or SIZE)
    channels, dtype, layer = inlet(net, size)
    if channels not in (1, 3):
        raise LabError(
            f"{spec} reads images of {channels} channels (its '{layer}' does), and a picture has 3, or 1 in grey; "
            "give a module around it that makes the others"
        )
    if like is not None and like.channels != channels:
        raise LabError(f"{spec} reads images of {channels} channels, and these have {like.channels}")
    if like is None:
        known = record is not None and len(record.mean) == len(record.std) == channels
        centre, spread = (record.mean, record.std) if record and known else ASSUMED[channels]
        says = record.says if record and known else "assumed, since nothing says how this net was trained"
        like = Reading(size=size, channels=channels, mean=centre, std=spread, classes=_classes(spec, net), says=says)
    about = vars(like) | {"size": size, "dtype": dtype}
    return Subject(spec, None, net.eval(), **about).otherwise(mean, std)


def restarted_of(subject: Subject, seed: int = 0) -> Subject:
    """The same net with new random weights, otherwise equal."""
    return replace(subject, step=None, net=restarted(subject.net, seed).eval())


def untrained_of(subject: Subject, run: Run | None = None) -> Subject:
    """The net before its training: the run's checkpoint of step 0, or new random weights where there is none."""
    return of_run(run, 0) if run is not None and 0 in run.checkpoints() else restarted_of(subject)


def _classes(spec: str, net: nn.Module) -> tuple[str, ...]:
    """ImageNet's names as torchvision's weights and timm bring them; they are known without fetching the weights."""
    source, _, name = spec.partition(":")
    if source == "torchvision":
        from torchvision import models

        return tuple(models.get_model_weights(name).DEFAULT.meta.get("categories", ()))
    if source == "timm":
        from timm.data import ImageNetInfo, infer_imagenet_subset

        subset = infer_imagenet_subset(net)  # None for other classes
        words = ImageNetInfo(subset).label_descriptions() if subset else []
        return tuple(word.partition(",")[0] for word in words)
    return ()
