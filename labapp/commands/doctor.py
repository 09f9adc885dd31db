"""What will a recorder see of this net, what not, and what will it cost? `labapp doctor` asks one batch.

labapp doctor torchvision:resnet18
labapp doctor residual --image-size 32 --batch-size 64
labapp doctor mynets:make --image-size 32 --layers 'blocks.*' norm
"""

from typing import Annotated

from rich import box
from rich.table import Table
from tyro.conf import Positional, arg

from labapp.commands.progress import console
from labapp.config import LabError

NetOption = Annotated[
    str, arg(metavar="NET", help="torchvision:NAME, timm:NAME, your MODULE:FACTORY, or a net of the lab")
]
PixelsOption = Annotated[int | None, arg(metavar="INT", help="pixels a side (default: 224; a family of the lab: 32)")]
LayersOption = Annotated[
    tuple[str, ...], arg(metavar="LAYER", help="kinds, paths or globs (default: as a recorder chooses)")
]
SHOWN = 4  # paths named of each finding


def doctor(
    net: Positional[NetOption],
    image_size: PixelsOption = None,
    batch_size: Annotated[int, arg(help="images of the batch")] = 8,
    num_classes: Annotated[int, arg(help="classes, where the net can be told")] = 10,
    layers: LayersOption = (),
) -> int:
    """Say what will be recorded of a net, what cannot be and why, and what it will cost.

    A copy of the net trains for a few steps on one random batch, with and without a recorder in turn.
    """
    pixels = 1 if image_size is None else image_size
    for name, value in {"image-size": pixels, "batch-size": batch_size, "num-classes": num_classes}.items():
        if value < 1:
            raise LabError(f"{name} must be at least 1, not {value}")
    screen = console()
    screen.print(f"{net}: loading torch …")
    import torch
    from torch import nn

    from labapp.nets import build, names
    from labapp.nets.foreign import foreign
    from labapp.recording.examine import examine

    named = net in names()
    pixels = image_size or (32 if net in ("plain", "residual", "dense", "vgg") else 224)
    model: nn.Module
    if named:
        model = build(net, num_classes=num_classes, image_size=pixels)
    elif net.startswith(("torchvision:", "timm:")):
        model = foreign(net, num_classes=num_classes)
    else:
        model = foreign(net, wanted={"num_classes": num_classes})
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, 3, pixels, pixels, generator=generator)
    labels = torch.randint(0, num_classes, (batch_size,), generator=generator)
    found = examine(model, images, labels, layers=list(layers) or None)

    report = found.report
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.kinds.items())
    splits = sum(layer["split"] == "branch+shortcut" for layer in report.layers)
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("recorded", f"{len(report.layers)} places: {kinds}")
    if report.kinds.get("block"):
        facts.add_row("taken apart", f"{splits} of {report.kinds['block']} blocks into branch and shortcut")
    facts.add_row("memory", f"{report.memory / 2**20:.1f} MiB, for the buffers and one copy of the weights")
    facts.add_row("bare step", f"{found.bare * 1e3:.3g} ms on this batch of {batch_size} × 3 × {pixels} × {pixels}")
    facts.add_row("recorded step", f"{found.ratio:.2f} × a bare one; every(10) would cost a tenth of the rest")
    screen.print(facts)
    if not report.findings:
        screen.print("nothing stands in the way: every place gave its output and its gradient")
        return 0
    table = Table("what", "where", "so", box=box.SIMPLE, pad_edge=False)
    for finding in report.findings:
        paths = ", ".join(finding.layers[:SHOWN])
        more = f" and {len(finding.layers) - SHOWN} more" if len(finding.layers) > SHOWN else ""
        table.add_row(finding.what, paths + more, finding.consequence)
    screen.print(table)
    return 0
