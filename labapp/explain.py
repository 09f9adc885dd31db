"""Where does a net look in an image? `labapp explain` writes the maps, the numbers behind them and their scores.

    labapp explain RUN RUN --index 3 7 --methods gradcam layercam --checkpoints all --out looks
    labapp explain torchvision:resnet18 --image cat.jpg --layers layer3 layer4
    labapp explain mynets:make --weights net.safetensors --image-size 32 --image cat.jpg
    labapp explain RUN --index 3 --score 128

Into the folder go, for each image and method, a sheet of all nets and layers on one colour scale; one picture a map
(maps/); maps.npz with the raw, signed maps; scores.csv, one row a map. With several checkpoints drift.csv. With --score
also energy.csv (inside the mask, trained beside random weights, with intervals), agreement.csv and sanity.csv.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from tyro.conf import Positional, arg

from labapp import palette
from labapp.config import Experiment, LabError, listed, nearest
from labapp.display import console, percent
from labapp.options import Root
from labapp.store import Run, list_runs

if TYPE_CHECKING:
    from labapp.overlay import Cell, Sheet
    from labapp.workbench import LayerMap, Look, Sample, Subject

GROUPS = ("stages", "depths", "blocks")  # of layers, by one word
LEAST = 100  # images from which a score is worth an interval

Net = Annotated[str, arg(metavar="NET", help="a run, torchvision:NAME, timm:NAME or your MODULE:FACTORY")]
Images = Annotated[tuple[str, ...], arg(metavar="FILE", help="pictures of your own")]
Indices = Annotated[tuple[int, ...], arg(metavar="N", help="images of the runs' test set")]
Layers = Annotated[
    tuple[str, ...], arg(metavar="LAYER", help="stages, depths (four), blocks; or paths, globs and kinds of layers")
]
Methods = Annotated[tuple[str, ...], arg(metavar="METHOD", help="gradcam, gradcam++, layercam, saliency, …")]
Checkpoints = Annotated[tuple[str, ...], arg(metavar="STEP", help="all, or steps of the runs (default: the last)")]
Targets = Annotated[
    tuple[str, ...], arg(metavar="CLASS", help="predicted, true, or a class; one, or one an image (default: predicted)")
]
Out = Annotated[str, arg(metavar="DIR", help="where the files go")]
Weights = Annotated[str | None, arg(metavar="FILE", help="a state dict for a net that is not from a run")]
SetName = Annotated[str | None, arg(metavar="NAME", help="for such a net: the set that images and classes are from")]
Pixels = Annotated[int | None, arg(metavar="INT", help="for such a net: pixels a side that it reads (default: 224)")]
Score = Annotated[int, arg(metavar="N", help=f"also score so many test images, with intervals ({LEAST} or more)")]
Faithful = Annotated[bool, arg(help="score deletion, insertion, infidelity and sensitivity of each map")]
Signed = Annotated[bool, arg(help="show evidence against the class too")]


@dataclass(frozen=True, eq=False)
class Asked:
    """One net at one checkpoint, under the name it has in the files."""

    name: str
    subject: Subject
    run: Run | None

    @property
    def title(self) -> str:
        """The net, and its step where it is from a run."""
        return self.name if self.subject.step is None else f"{self.name}, step {self.subject.step:,}"


def explain(
    nets: Positional[tuple[Net, ...]] = (),
    image: Images = (),
    index: Indices = (),
    layers: Layers = ("stages",),
    methods: Methods = ("gradcam",),
    checkpoints: Checkpoints = (),
    targets: Targets = ("predicted",),
    out: Out = "explained",
    weights: Weights = None,
    imageset: SetName = None,
    image_size: Pixels = None,
    score: Score = 0,
    faithfulness: Faithful = True,
    signed: Signed = False,
    root: Root = "runs",
) -> int:
    """Show where nets look in an image, and score whether to believe it."""
    if not nets:
        raise LabError("which net? give a run, torchvision:NAME or MODULE:FACTORY; `labapp runs list` shows the runs")
    if not image and not index and not score:
        raise LabError("which image? give --image FILE, --index N of the test set, or --score N for many of them")
    if score < 0:
        raise LabError(f"--score counts test images, so it cannot be {score}")
    if (index or score) and imageset is None and all(map(_is_spec, nets)):
        raise LabError(f"{nets[0]} has no test set of its own; give --image FILE, or --imageset NAME for one")
    screen = console()
    screen.print("loading torch …")
    from labapp import workbench

    named = None if imageset is None else Experiment(imageset=imageset)
    asked = _nets(nets, checkpoints, root, weights, image_size, named)
    source: Run | Experiment | None = named or next((each.run for each in asked if each.run), None)
    samples = [workbench.from_file(file) for file in image]
    if source is not None:
        samples += [workbench.from_set(source, number) for number in index]
    if samples and len(targets) not in (1, len(samples)):
        raise LabError(f"{len(targets)} targets do not fit {len(samples)} images; give one, or one an image")
    folder = _folder(out)
    written: list[Path] = []
    if samples:
        written += _looks(asked, samples, layers, methods, targets, folder, faithfulness, signed)
    if score and source is not None:
        written += _survey(asked, source, methods, score, folder)
    for path in written:
        screen.print(str(path))
    return 0


def _nets(
    words: Sequence[str],
    checkpoints: Sequence[str],
    root: str,
    weights: str | None,
    size: int | None,
    source: Experiment | None,
) -> list[Asked]:
    from labapp import workbench

    asked: list[Asked] = []
    runs = {word: _run(word, root) for word in words if not _is_spec(word)}
    if weights is not None and len(words) - len(runs) != 1:
        raise LabError("--weights belongs to one net that is not from a run, such as mymodule:factory")
    short = [run.name for run in runs.values()]
    for word in words:
        if word not in runs:
            like = None if source is None else workbench.reading_of(source)
            asked.append(Asked(word, workbench.of_spec(word, weights, image_size=size, like=like), None))
            continue
        run = runs[word]
        name = run.name if short.count(run.name) == 1 else run.id
        asked += [Asked(name, workbench.of_run(run, step), run) for step in _steps(run, checkpoints)]
    return asked


def _is_spec(word: str) -> bool:
    return ":" in word and not Path(word).exists()


def _run(word: str, root: str) -> Run:
    """A run by its id, its folder, or its net's name where only one run has it."""
    if (Path(root) / word).is_dir():
        return Run(Path(root) / word)
    if Path(word).is_dir():
        return Run(Path(word))
    runs = list_runs(root)
    same = [run for run in runs if run.name == word]
    if len(same) == 1:
        return same[0]
    if same:
        raise LabError(f"{len(same)} runs are a {word}; give one of {listed((run.id for run in same), 'or')}")
    known = [word for run in runs for word in (run.id, run.name)]
    raise LabError(
        f"there is no run '{word}' in {root}{nearest(word, known)}; other nets are named torchvision:NAME or "
        "MODULE:FACTORY"
    )


def _steps(run: Run, wanted: Sequence[str]) -> list[int | None]:
    there = run.checkpoints()
    if not wanted:
        return [None]
    if list(wanted) == ["all"]:
        return [*there] or [None]
    steps = list[int | None]()
    for word in wanted:
        if not word.isdecimal():
            raise LabError(f"--checkpoints takes all or steps, not '{word}'; run '{run.id}' has {listed(there)}")
        steps.append(int(word))
    return steps


def _looks(
    asked: Sequence[Asked],
    samples: Sequence[Sample],
    layers: Sequence[str],
    methods: Sequence[str],
    targets: Sequence[str],
    folder: Path,
    faithful: bool,
    signed: bool,
) -> list[Path]:
    from labapp import mapsheet, workbench

    written: list[Path] = []
    raw: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    drifts: list[dict[str, Any]] = []
    wanted = None if len(layers) == 1 and layers[0] in GROUPS else list(layers)
    for number, sample in enumerate(samples):
        target = targets[number if len(targets) > 1 else 0]
        for method in methods:
            shown: list[tuple[Asked, Look, list[LayerMap]]] = []
            for each in asked:
                found = workbench.look(each.subject, sample, method, target, wanted)
                picked = {"stages": found.stages, "depths": found.at_depths(), "blocks": list(found.layers)}
                shown.append((each, found, list(found.layers) if wanted else picked[layers[0]]))
            for each, found, maps in shown:
                console().print(f"{each.title}, {sample.name}, {method}: {_says(found)}")
                scores = workbench.faithfulness(each.subject, sample, found, maps) if faithful else [{}] * len(maps)
                for layer, more in zip(maps, scores, strict=True):
                    rows.append(_row(each, sample, found, layer) | more)
                    raw["/".join((_slug(each.title), _slug(sample.name), method, layer.path))] = layer.evidence
            sheet = _sheet(shown, sample, method, signed)
            written.append(_write(folder / f"{_slug(sample.name)}.{method}.png", mapsheet.encoded(sheet)))
            _singles(sheet, shown, sample, method, folder)
            drifts += _drift(shown, sample, method)
    np.savez_compressed(folder / "maps.npz", **raw)  # type: ignore[arg-type]
    written.append(folder / "maps.npz")
    return [*written, *_tables({"scores": rows, "drift": drifts}, folder)]


def _says(found: Look) -> str:
    right = "predicted" if found.target == found.predicted else f"it predicts {found.predicted_name}"
    return f"asked about {found.target_name} ({percent(found.probability)}, {right})"


def _row(each: Asked, sample: Sample, found: Look, layer: LayerMap) -> dict[str, Any]:
    share = float("nan") if sample.mask is None else float(sample.mask.mean())
    return {
        "net": each.name,
        "run": each.run.id if each.run else "",
        "step": each.subject.step,
        "image": sample.name,
        "method": found.method,
        "layer": layer.path,
        "stage": layer.stage,
        "height": layer.evidence.shape[0],
        "width": layer.evidence.shape[1],
        "target": found.target_name,
        "predicted": found.predicted_name,
        "true": "" if sample.label is None else each.subject.class_name(sample.label),
        "probability": found.probability,
        "energy": layer.energy,
        "mask_share": share,
        "pointing": layer.hit,
    }


def _sheet(shown: Sequence[tuple[Asked, Look, list[LayerMap]]], sample: Sample, method: str, signed: bool) -> Sheet:
    """The pictures of one image and method; nets of other image sizes are laid over the same picture."""
    from labapp import overlay

    rows = []
    across = max(len(maps) for *_, maps in shown)
    for each, found, maps in shown:
        cells: list[Cell | None] = [
            overlay.Cell(
                layer.over_image, palette.short(layer.path, 18), overlay.energy_words(layer.evidence, layer.energy)
            )
            for layer in maps
        ]
        detail = f"{found.target_name}: {percent(found.probability)}"
        rows.append(overlay.Row(each.title, cells + [None] * (across - len(cells)), detail))
    return overlay.Sheet(
        sample.picture, rows, sample.mask, signed=signed, title=f"{sample.name}, {palette.METHODS[method]}"
    )


def _singles(
    sheet: Sheet,
    shown: Sequence[tuple[Asked, Look, list[LayerMap]]],
    sample: Sample,
    method: str,
    folder: Path,
) -> None:
    """One picture a map, on the sheet's scale."""
    from labapp import overlay

    (folder / "maps").mkdir(exist_ok=True)
    for (each, _, maps), row in zip(shown, sheet.rows, strict=True):
        for layer, cell in zip(maps, row.cells, strict=False):
            if cell is not None:
                name = ".".join((_slug(each.title), _slug(sample.name), method, _slug(layer.path), "png"))
                pixels = overlay.blend(sheet.picture, sheet.shown(cell), sheet.opacity, overlay.SIDE)
                _write(folder / "maps" / name, overlay.png(pixels))


def _drift(shown: Sequence[tuple[Asked, Look, list[LayerMap]]], sample: Sample, method: str) -> list[dict[str, Any]]:
    from labapp import workbench

    rows = []
    for name in dict.fromkeys(each.name for each, *_ in shown):
        looks = [found for each, found, _ in shown if each.name == name]
        if len(looks) > 1:
            about = {"net": name, "image": sample.name, "method": method, "layer": looks[-1].layers[-1].path}
            for row in workbench.drift_of(looks):
                rows.append(about | {key: row[key] for key in ("step", "measure", "mean")})
    return rows


def _survey(
    asked: Sequence[Asked], source: Run | Experiment, methods: Sequence[str], count: int, folder: Path
) -> list[Path]:
    from labapp import workbench

    energy: list[dict[str, Any]] = []
    agreement: list[dict[str, Any]] = []
    sanity: list[dict[str, Any]] = []
    for method in methods:
        surveys = []
        for each in asked:
            of = each.run or source
            trained = workbench.survey(each.subject, of, method, count).named(each.title)
            first = each.run.checkpoints()[:1] if each.run else []
            random = (
                workbench.of_run(each.run, 0) if each.run and first == [0] else workbench.restarted_of(each.subject)
            )
            untrained = workbench.survey(random, of, method, count)
            table = workbench.energy_table(trained, untrained)
            energy += [{"method": method} | row for row in table]
            verdict, rows = workbench.check_sanity(each.subject, of, method)
            sanity += [{"run": each.title, "method": method, "verdict": verdict} | row for row in rows]
            surveys.append(trained)
            console().print(f"{each.title}, {method}: {_energy_words(table, trained.last)}; it {verdict}")
        agreement += [{"method": method} | row for row in workbench.agreement_of(surveys)]
    return _tables({"energy": energy, "agreement": agreement, "sanity": sanity}, folder)


def _energy_words(table: Sequence[dict[str, Any]], layer: str) -> str:
    rows = {row["net"]: row for row in table if row["layer"] == layer and row["measure"] == "energy"}
    if np.isnan(rows["uniform"]["mean"]):
        return f"at {layer} no mask says where the thing is"

    def words(net: str) -> str:
        row = rows[net]
        return f"{percent(row['mean'])} ({percent(row['low'])} to {percent(row['high'])}, {row['images']} images)"

    return (
        f"at {layer} {words('trained')} of the energy inside the mask, random weights {words('untrained')}, "
        f"an even map {percent(rows['uniform']['mean'])}"
    )


def _tables(tables: dict[str, list[dict[str, Any]]], folder: Path) -> list[Path]:
    paths = []
    for name, rows in tables.items():
        if rows:
            paths.append(folder / f"{name}.csv")
            pd.DataFrame(rows).to_csv(paths[-1], index=False, float_format="%.6g")
    return paths


def _folder(out: str) -> Path:
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "maps.npz").touch()
    except OSError as error:
        raise LabError(f"cannot write into {folder}: {error.strerror}; choose another --out") from None
    (folder / "maps.npz").unlink()
    return folder


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _slug(words: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", words).strip("-")
