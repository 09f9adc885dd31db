"""Which options does `labapp explain` take, and what does it do with them?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from labapp.commands.explain.files import make_folder
from labapp.commands.explain.looks import write_looks
from labapp.commands.explain.nets import Wanted, find_nets, is_spec
from labapp.commands.explain.surveys import write_surveys
from labapp.commands.options import Root, Trust
from labapp.commands.progress import console
from labapp.config import Experiment, LabError, permissions
from labapp.store import Run

LEAST = 100  # images from which a score is worth an interval

NetOption = Annotated[str, arg(metavar="NET", help="a run, torchvision:NAME, timm:NAME or your MODULE:FACTORY")]
ImagesOption = Annotated[tuple[str, ...], arg(metavar="FILE", help="pictures of your own")]
IndicesOption = Annotated[tuple[int, ...], arg(metavar="N", help="images of the runs' test set")]
LayersOption = Annotated[
    tuple[str, ...], arg(metavar="LAYER", help="stages, depths (four), blocks; or paths, globs and kinds of layers")
]
MethodsOption = Annotated[tuple[str, ...], arg(metavar="METHOD", help="gradcam, gradcam++, layercam, saliency, …")]
CheckpointsOption = Annotated[
    tuple[str, ...], arg(metavar="STEP", help="all, or steps of the runs (default: the last)")
]
TargetsOption = Annotated[
    tuple[str, ...], arg(metavar="CLASS", help="predicted, true, or a class; one, or one an image (default: predicted)")
]
OutOption = Annotated[str, arg(metavar="DIR", help="where the files go")]
WeightsOption = Annotated[str | None, arg(metavar="FILE", help="a state dict for a net that is not from a run")]
ImageSetOption = Annotated[
    str | None, arg(metavar="NAME", help="for such a net: the set that images and classes are from")
]
ImageSizeOption = Annotated[
    int | None,
    arg(metavar="INT", help="for such a net: pixels a side (default: what its weights' record says)"),
]
MeanOption = Annotated[
    tuple[float, ...],
    arg(metavar="X", help="for such a net: what is taken from its pixels, 0 to 1, one for all channels or one each"),
]
StdOption = Annotated[tuple[float, ...], arg(metavar="X", help="what they are then divided by (default: as recorded)")]
ScoreOption = Annotated[int, arg(metavar="N", help=f"also score so many test images, with intervals ({LEAST} or more)")]
FaithfulOption = Annotated[bool, arg(help="score deletion, insertion, infidelity and sensitivity of each map")]
SignedOption = Annotated[bool, arg(help="show evidence against the class too")]


def explain(
    nets: Positional[tuple[NetOption, ...]] = (),
    image: ImagesOption = (),
    index: IndicesOption = (),
    layers: LayersOption = ("stages",),
    methods: MethodsOption = ("gradcam",),
    checkpoints: CheckpointsOption = (),
    targets: TargetsOption = ("predicted",),
    out: OutOption = "explained",
    weights: WeightsOption = None,
    imageset: ImageSetOption = None,
    image_size: ImageSizeOption = None,
    mean: MeanOption = (),
    std: StdOption = (),
    score: ScoreOption = 0,
    faithfulness: FaithfulOption = True,
    signed: SignedOption = False,
    trust: Trust = (),
    root: Root = "runs",
) -> int:
    """Show where nets look in an image, and score whether to believe it."""
    if not nets:
        raise LabError("which net? give a run, torchvision:NAME or MODULE:FACTORY; `labapp runs list` shows the runs")
    if not image and not index and not score:
        raise LabError("which image? give --image FILE, --index N of the test set, or --score N for many of them")
    if score < 0:
        raise LabError(f"--score counts test images, so it cannot be {score}")
    if (index or score) and imageset is None and all(map(is_spec, nets)):
        raise LabError(f"{nets[0]} has no test set of its own; give --image FILE, or --imageset NAME for one")
    permissions.trust(trust)
    screen = console()
    screen.print("loading torch …")
    from labapp.probes import explanations

    named = None if imageset is None else Experiment(imageset=imageset)
    asked = find_nets(nets, checkpoints, root, Wanted(weights, image_size, mean, std), named)
    for each in asked:
        if each.run is None:
            screen.print(f"{each.title} reads {each.subject.reading}")
    source: Run | Experiment | None = named or next((each.run for each in asked if each.run), None)
    samples = [explanations.from_file(file) for file in image]
    if source is not None:
        samples += [explanations.from_set(source, number) for number in index]
    if samples and len(targets) not in (1, len(samples)):
        raise LabError(f"{len(targets)} targets do not fit {len(samples)} images; give one, or one an image")
    folder = make_folder(out)
    written: list[Path] = []
    if samples:
        written += write_looks(asked, samples, layers, methods, targets, folder, faithfulness, signed)
    if score and source is not None:
        written += write_surveys(asked, source, methods, score, folder)
    for path in written:
        screen.print(str(path))
    return 0
