"""How well do nets serve as backbones, where each pixel is to be told what it shows? The runs of `analysis.backbones`.

Four nets in their papers' ImageNet form, of equally many multiply-adds, are each the backbone of the same semantic head
(`labapp.nets.heads`) on the lab's cluttered digits, whose masks are known: 11 classes, the ground and ten digits. All
see the same images in the same order, and are trained from first weights by one recipe: the lab's, with a batch of 16
and cross-entropy over all pixels. Every run is a run of the archive as any other. Besides, `maps` in its environment
says which layer makes which stage's map and which level of the pyramid, and its table `segmentation` has the
intersection over union of each class on all test images, of the net and of a prediction of ground everywhere. There is
no accuracy: of its pixels, such a prediction has most right.

A run's id is "NET.sSEED"; one that is there already is not made again.

    python -m analysis.segmenting --out runs                             # 4 nets, 3 seeds
    python -m analysis.segmenting --out runs --seeds 0 --steps 20 --only resnet34
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from labapp.config import Experiment, LabError
from labapp.diagnostics.architecture import architecture
from labapp.diagnostics.intersection_over_union import confusion, intersection_over_union
from labapp.imagesets import ImageSet, load_for
from labapp.imagesets.order import order, seed_of
from labapp.nets import build
from labapp.nets.heads import Segmenter, segmenter
from labapp.recording import Recorder
from labapp.recording.places import DEFAULT_KINDS
from labapp.store import Run, RunWriter, list_runs
from labapp.training.loop import FORMAT, gradient_norm
from labapp.training.randomness import randomness_of_its_own, seed_all
from labapp.training.schedules import learning_rate, recording_schedule, set_rate

MODULE = "analysis.segmenting"  # also where it is run as a program
GROUND, UNUSED = "ground", "pyramid.body.net.head."
CHANNELS = 32  # of the pyramid and the head
STEPS, SEEDS = 300, (0, 1, 2)
RECIPE: dict[str, Any] = {
    "imageset": "cluttered-digits", "image_size": 64, "batch_size": 16, "learning_rate": 0.1, "record_every": 10,
    "eval_every": 300, "checkpoints": 0, "device": "cpu",
}  # fmt: skip
TESTED = 100  # images at a time
# what `build` is told beside the name, so that multiply-adds at 64 pixels are about equal
NETS: dict[str, dict[str, int]] = {
    "plain34": {"width": 16},
    "resnet34": {"width": 16},
    "densenet121": {"width": 18, "growth_rate": 9},
    "vgg16_bn": {"width": 8},
}


def plain34(num_classes: int = 10, image_size: int = 64) -> Segmenter:
    """plain-34 below a semantic head."""
    return made("plain34", num_classes, image_size)


def resnet34(num_classes: int = 10, image_size: int = 64) -> Segmenter:
    """residual-34 below a semantic head."""
    return made("resnet34", num_classes, image_size)


def densenet121(num_classes: int = 10, image_size: int = 64) -> Segmenter:
    """DenseNet-121 below a semantic head."""
    return made("densenet121", num_classes, image_size)


def vgg16_bn(num_classes: int = 10, image_size: int = 64) -> Segmenter:
    """VGG-16 with batch norm below a semantic head."""
    return made("vgg16_bn", num_classes, image_size)


def made(name: str, num_classes: int, image_size: int) -> Segmenter:
    """One of NETS below a semantic head, for the classes of images and the ground."""
    net = build(name, num_classes=num_classes, image_size=image_size, **NETS[name])
    return segmenter(net, classes=num_classes + 1, channels=CHANNELS)


def train(name: str, seed: int, root: Path, **changes: Any) -> Run:
    """Train one of NETS, and record it into a run.

    Args:
        name: Which.
        seed: Of the weights and of the order of images.
        root: The archive.
        changes: What differs from the recipe.
    """
    options = {"steps": STEPS} | RECIPE | changes
    experiment = Experiment(net=f"{MODULE}:{name}", seed=seed, **options)
    images, test = load_for(experiment, "train"), load_for(experiment, "test")
    images.label_maps(torch.arange(1))  # before a run is made of images that say nothing of their pixels
    with randomness_of_its_own(torch.device("cpu")):
        seed_all(seed_of(seed, "weights"))
        net = made(name, images.num_classes, images.image_size).to(memory_format=FORMAT)
        sgd = torch.optim.SGD(
            net.parameters(),
            lr=experiment.learning_rate,
            momentum=experiment.momentum,
            weight_decay=experiment.weight_decay,
        )
        about = {
            "task": "semantic segmentation",
            "maps": net.sources,
            "strides": net.pyramid.body.strides,
            "backbone": size(architecture(net, images.image_size)),
        }
        kept = [place.path for place in net.places if place.kind in DEFAULT_KINDS or place.path in net.sources.values()]
        scheduled = recording_schedule(experiment)
        with (
            RunWriter.create(root, experiment, run_id=f"{name}.s{seed}", environment=about) as writer,
            Recorder(
                net, sgd, when=lambda at: scheduled(at) or at == experiment.steps - 1, layers=kept, sink=writer
            ) as recorder,
        ):
            _constant(writer, test)
            began = time.perf_counter()
            drawn = order(len(images), experiment.batch_size, seed)
            for step, indices in zip(range(experiment.steps), drawn, strict=False):
                if step % experiment.eval_every == 0:
                    _evaluation(writer, step, net, test)
                rate = set_rate(sgd, learning_rate(experiment, step))
                x = images.batch(indices)[0].to(memory_format=FORMAT)  # (B, C, H, W)
                target = images.label_maps(indices)  # (B, H, W)
                with recorder.step():
                    sgd.zero_grad()
                    loss = F.cross_entropy(net(x), target)
                    loss.backward()
                    norm = gradient_norm(net)
                    sgd.step()
                row = {"step": step, "loss": loss.item(), "learning_rate": rate, "grad_norm": norm.item()}
                writer.write("steps", row | {"seconds": time.perf_counter() - began})
            _evaluation(writer, experiment.steps, net, test)
    return writer.run


def size(layers: pd.DataFrame) -> dict[str, int]:
    """Parameters and multiply-adds of the backbone alone, without the classifier that does not run.

    Args:
        layers: Of the whole net, from `labapp.diagnostics.architecture`.
    """
    inside = layers["layer"].str.startswith("pyramid.body.") & ~layers["layer"].str.startswith(UNUSED)
    own = layers[inside & (layers["kind"] != "block")]
    return {name: int(own[name].sum()) for name in ("parameters", "multiply_adds")}


def counted(net: Segmenter | None, images: ImageSet) -> tuple[Tensor, float]:
    """The confusion of all pixels of a set, and the mean loss; without a net of ground everywhere, and NaN."""
    classes = images.num_classes + 1
    counts, loss = torch.zeros(classes, classes, dtype=torch.int64), 0.0
    if net is not None:
        net.eval()
    with torch.no_grad():
        for indices in torch.arange(len(images)).split(TESTED):
            x, target = images.normalise(images.pixels(indices)).to(memory_format=FORMAT), images.label_maps(indices)
            if net is None:
                counts += confusion(torch.zeros_like(target), target, classes)
                continue
            logits = net(x)
            loss += float(F.cross_entropy(logits, target)) * len(indices) / len(images)
            counts += confusion(logits.argmax(1), target, classes)
    if net is not None:
        net.train()
    return counts, loss if net is not None else float("nan")


def _evaluation(writer: RunWriter, step: int, net: Segmenter, images: ImageSet) -> None:
    counts, loss = counted(net, images)
    writer.write("evals", {"step": [step], "split": ["test"], "loss": [loss]})
    _written(writer, step, "net", counts, images)


def _constant(writer: RunWriter, images: ImageSet) -> None:
    _written(writer, 0, "constant", counted(None, images)[0], images)


def _written(writer: RunWriter, step: int, of: str, counts: Tensor, images: ImageSet) -> None:
    names = [GROUND, *images.classes]
    columns = {"shows": names, "iou": intersection_over_union(counts).numpy(), "images": len(images)}
    writer.write("segmentation", {"step": step, "of": of} | columns)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the runs that are asked for; 0, or 2 after a sentence about what is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="runs", type=Path, metavar="DIR", help="the archive (runs)")
    parser.add_argument("--seeds", nargs="+", default=[*SEEDS], type=int, metavar="SEED", help="one run each (0 1 2)")
    parser.add_argument("--steps", default=STEPS, type=int, metavar="N", help=f"of each training ({STEPS})")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="NET", help="nets, * and ? allowed; all")
    options = parser.parse_args(argv)
    names = [name for name in NETS if any(fnmatch.fnmatch(name, pattern) for pattern in options.only)]
    try:
        there = {run.id for run in list_runs(options.out)} if options.out.is_dir() else set()
        for seed in options.seeds:
            for name in names:
                if f"{name}.s{seed}" not in there:
                    run = train(name, seed, options.out, steps=options.steps)
                    print(f"{run.id}: {run.status}, {run.seconds:.0f} s", flush=True)  # noqa: T201
    except LabError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
