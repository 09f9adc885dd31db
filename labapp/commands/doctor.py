"""What will a recorder see of this net, what not, and what will it cost? `labapp doctor` asks one batch.

labapp doctor                                   # where the lab runs, and what of it is installed: `environment.py`
labapp doctor torchvision:resnet18
labapp doctor residual --image-size 32 --batch-size 64
labapp doctor mynets:make --image-size 32 --layers 'blocks.*' norm
"""

import json as as_words
import sys
from typing import TYPE_CHECKING, Annotated

from rich import box
from rich.table import Table
from tyro.conf import Positional, arg

from labapp import palette
from labapp.commands.options import Root
from labapp.commands.progress import console
from labapp.config import LabError, first_line

if TYPE_CHECKING:
    from torch import nn

    from labapp.recording import Finding, Report

NetOption = Annotated[
    str,
    arg(metavar="NET", help="torchvision:NAME, timm:NAME, your MODULE:FACTORY, or a net of the lab (default: none)"),
]
PixelsOption = Annotated[int | None, arg(metavar="INT", help="pixels a side (default: 224; a family of the lab: 32)")]
JsonOption = Annotated[bool, arg(help="print JSON; of this machine alone")]
LayersOption = Annotated[
    tuple[str, ...], arg(metavar="LAYER", help="kinds, paths or globs (default: as a recorder chooses)")
]
HARMLESS = ("in place", "called several times", "input by keyword", "checkpointed", "computed weight")  # no gap
AS_ASKED = "not among the layers asked for"


def doctor(
    net: Positional[NetOption] = "",
    image_size: PixelsOption = None,
    batch_size: Annotated[int, arg(help="images of the batch")] = 8,
    num_classes: Annotated[int, arg(help="classes, where the net can be told")] = 10,
    layers: LayersOption = (),
    json: JsonOption = False,
    root: Root = "runs",
) -> int:
    """Say what will be recorded of a net, what cannot be and why, and at what cost; without one, of this machine.

    A copy of the net trains for a few steps on one random batch, with and without a recorder in turn. Without a net:
    versions, devices, threads, the compiled kernels, what is installed, where runs lie and the room there.
    """
    if not net:
        return _machine(root, json)
    if json:
        raise LabError("--json prints what `labapp doctor` says of this machine; leave it out, or the net")
    pixels = 1 if image_size is None else image_size
    for name, value in {"image-size": pixels, "batch-size": batch_size, "num-classes": num_classes}.items():
        if value < 1:
            raise LabError(f"{name} must be at least 1, not {value}")
    screen = console()
    screen.print(f"{net}: loading torch …", emoji=False)
    import torch

    from labapp.probes.subjects import inlet
    from labapp.recording.examine import examine
    from labapp.recording.kernels import library, speed

    pixels = image_size or (32 if net in ("plain", "residual", "dense", "vgg") else 224)
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, num_classes, (batch_size,), generator=generator)
    try:
        made = _made(net, num_classes, pixels)
        takes = inlet(made, pixels)  # of the first layer that runs
        images = torch.randn(batch_size, takes.channels, pixels, pixels, generator=generator).to(takes.dtype)
        found = examine(made, images, labels, layers=list(layers) or None)
    except LabError as error:
        raise LabError(" ".join(str(error).split())) from error
    except Exception as error:
        raise LabError(f"{net} cannot be examined: {type(error).__name__}: {first_line(error)}") from error

    report = found.report
    splits = sum(layer["split"] == "branch+shortcut" for layer in report.layers)
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("recorded", _places(report))
    if report.kinds.get("block"):
        facts.add_row("taken apart", f"{splits} of {report.kinds['block']} blocks into branch and shortcut")
    facts.add_row("memory", f"{report.memory / 2**20:.1f} MiB, for the buffers and one copy of the weights")
    time = f"{found.bare:.3g} s" if found.bare >= 1 else f"{found.bare * 1e3:.3g} ms"
    facts.add_row("bare step", f"{time} on this batch of {' × '.join(map(str, images.shape))}")
    facts.add_row("recorded step", f"{found.ratio:.2f} × a bare one; every(10) would cost a tenth of the rest")
    built, why = library()
    facts.add_row("compiled pass", str(speed()) if built else f"none ({why}): torch reduces, several times slower")
    screen.print(facts)
    if report.findings:
        table = Table(box=box.SIMPLE, pad_edge=False)
        for column in ("what", "where", "so"):
            table.add_column(column, overflow="fold", no_wrap=column == "what")
        for finding in sorted(report.findings, key=harmless):
            table.add_row(finding.what, finding.where, finding.consequence)
        screen.print(table, emoji=False)
    if report.layers and all(map(harmless, report.findings)):
        screen.print("nothing stands in the way: on this batch every place gave its output and its gradient")
    return 0


def _machine(root: str, json: bool) -> int:
    """Say where the lab runs; 1 where torch cannot be imported."""
    if not json:
        console().print("loading torch …", emoji=False)
    from labapp.commands.environment import as_rows, surroundings

    found = surroundings(root)
    if json:
        sys.stdout.write(as_words.dumps(found, indent=1) + "\n")
    else:
        table = Table(show_header=False, box=None, pad_edge=False)
        for row in as_rows(found):
            table.add_row(*row)
        console().print(table)
    return 1 if found["torch"]["problem"] else 0


def _made(net: str, num_classes: int, pixels: int) -> "nn.Module":
    """The net by its name: of the lab, of torchvision or timm, or the user's own."""
    from labapp.nets import build, names
    from labapp.nets.foreign import foreign

    if net in names():
        return build(net, num_classes=num_classes, image_size=pixels)
    if net.startswith(("torchvision:", "timm:")):
        return foreign(net, num_classes=num_classes)
    return foreign(net, wanted={"num_classes": num_classes})


def _places(report: "Report") -> str:
    """How many places of each kind: "3 places: 2 convolutions, 1 linear layer"."""
    kinds = ", ".join(
        f"{number} {palette.kind(kind) if number == 1 else palette.KINDS.get(kind, kind)}"
        for kind, number in report.kinds.items()
    )
    return f"{len(report.layers)} {'place' if len(report.layers) == 1 else 'places'}: {kinds}"


def harmless(finding: "Finding") -> bool:
    """Whether a finding leaves no gap in what was asked for."""
    return finding.what in HARMLESS or finding.consequence == AS_ASKED
