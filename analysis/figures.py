"""How do all figures look, drawn from the tables that lie in `analysis/data/`, without a run and without training?

python -m analysis.figures --out figures
python -m analysis.figures --only degradation --gallery assets/figures
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image

from analysis.plates import Plate
from analysis.publish import choose_formats, options_of, put, reading, spoken
from labapp.config import LabError, listed, nearest

SCRIPTS = (  # in the order of the gallery
    "claims_at_a_glance",
    "claims_by_seed",
    "vanish_or_explode",
    "degradation",
    "gradient_flow",
    "layer_responses",
    "residual_split",
    "brackets",
    "path_lengths",
    "lesions",
    "shattering",
    "loss_surface",
    "parameter_efficiency",
    "feature_reuse",
    "similarity",
    "architecture_table",
    "gradcam",
    "gradcam_drift",
    "diagnosis",
    "backbones",
)
DATA = Path(__file__).parent / "data"
ACROSS, LARGEST = 820, 120_000  # pixels and bytes of a picture of the gallery


def all_plates(only: Sequence[str] = ()) -> list[Plate]:
    """The figures of all scripts, or those that are named."""
    plates = [plate for script in SCRIPTS for plate in importlib.import_module(f"analysis.{script}").PLATES]
    names = [plate.name for plate in plates]
    for name in only:
        if name not in names:
            raise LabError(f"there is no figure '{name}'{nearest(name, names)}; there are {listed(names)}")
    return [plate for plate in plates if not only or plate.name in only]


def small(picture: Path, gallery: Path) -> Path:
    """A copy for the gallery: narrow, with few colours."""
    path = gallery / picture.name
    with Image.open(picture) as image:
        shrunk = image.convert("RGB").resize(
            (ACROSS, round(image.height * ACROSS / image.width)), Image.Resampling.LANCZOS
        )
    for colours in (256, 96, 48, 24):
        shrunk.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            break
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Draw all figures whose tables there are; 0, or 2 after a sentence about what is wrong."""
    parser = options_of(__doc__, runs=False)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="figures by name; all when left out")
    parser.add_argument("--data", default=DATA, type=Path, metavar="DIR", help="where the tables lie (analysis/data)")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="where small copies go; none when left out")
    choose_formats(parser)
    options = parser.parse_args(argv)
    mpl.use("agg")
    with spoken(options.out) as failed:
        if options.gallery and "png" not in options.formats:
            raise LabError("--gallery shrinks the PNG of each figure, which --formats leaves out; add png to it")
        plates = all_plates(options.only)
        there = [plate for plate in plates if (options.data / f"{plate.name}.csv").is_file()]
        if gone := [plate.name for plate in plates if plate not in there]:
            print(f"no table: {listed(gone)}; `python -m analysis.freeze --runs DIR` makes it", file=sys.stderr)  # noqa: T201
        for folder in (options.out, *([options.gallery] if options.gallery else [])):
            folder.mkdir(parents=True, exist_ok=True)
        for plate in there:
            files = put(plate, reading(options.data / f"{plate.name}.csv"), options.out, options.formats)
            if options.gallery:
                files.append(small(files[0], options.gallery))
            print(*files, sep="\n", flush=True)  # noqa: T201
        if not there:
            raise LabError(f"{options.data} holds no table of a figure")
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
