"""How do runs go from a terminal to the tools that people have already?

labapp runs export RUN --to tensorboard --out logs
labapp runs export --filter 'residual depth>=56' --to parquet --out tables
labapp runs export runs --to mlflow --out store --quantities all --layers conv,linear
"""

from __future__ import annotations

from typing import Annotated

from tyro.conf import Positional, arg

from labapp.commands.accuracies import Accuracies
from labapp.commands.options import Root
from labapp.commands.progress import console
from labapp.commands.runs import FilterOption, TagOption, fitting
from labapp.config import LabError
from labapp.store import Run, find_run, list_runs, look

RunWords = Positional[
    Annotated[
        tuple[str, ...], arg(metavar="RUN", help="names in the archive, folders of runs, or folders that hold runs")
    ]
]
ToOption = Annotated[str, arg(metavar="TOOL", help="csv, parquet, tensorboard, wandb or mlflow")]
OutOption = Annotated[str, arg(metavar="DIR", help="the folder that is made")]
QuantitiesOption = Annotated[
    str,
    arg(
        metavar="NAMES",
        help="quantities with commas between them, histograms, spreads, or all (default: all in tables; in dashboards "
        "output_grad_norm,weight_grad_norm,update_ratio,output_std,histograms)",
    ),
]
LayersOption = Annotated[
    str,
    arg(
        metavar="WORDS",
        help="kinds of layers, paths or patterns as 'stage1.*', or all (default: all in tables; in dashboards those "
        "with weights that are no norms)",
    ),
]
ForceOption = Annotated[bool, arg(help="replace an earlier export; other folders stay")]
NEXT = {
    "tensorboard": "tensorboard --logdir {out}",
    "wandb": "wandb sync {out}/wandb/offline-run-*",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///{out}/mlflow.db",
}


def runs_export(
    runs: RunWords = (),
    to: ToOption = "",
    out: OutOption = "",
    quantities: QuantitiesOption = "",
    layers: LayersOption = "",
    filter: FilterOption = "",
    tag: TagOption = (),
    force: ForceOption = False,
    root: Root = "runs",
) -> int:
    """Write runs so that pandas, DuckDB, TensorBoard, Weights & Biases or MLflow read them.

    Settings, curves, quantities of layers, tags and notes go with them. Nothing in the archive changes. The exit code
    is 1 where something of a run is damaged and was left out.
    """
    from labapp.exports import TARGETS, export

    if not to:
        raise LabError(f"where to? --to is one of {', '.join(TARGETS)}")
    if not out:
        raise LabError("--out names the folder that is made")
    made = export(_chosen(runs, filter, tag, root), to, out, quantities=quantities, layers=layers, force=force)
    screen = console()
    for sentence in made.notes:
        screen.print(sentence)
    what = f"{made.curves:,} curves of {made.numbers:,} points" if made.curves else f"{made.numbers:,} rows"
    how = f"; `{NEXT[to].format(out=made.path)}` shows them" if to in NEXT else ""
    screen.print(f"{made.path}: {what}{how}")
    return 0 if made.whole else 1


def _chosen(words: tuple[str, ...], filter: str, tag: tuple[str, ...], root: str) -> list[Run]:
    """The runs that words name, or of the archive those that fit."""
    from labapp.exports import of_words

    if words and (filter or tag):
        raise LabError("name runs, or give --filter and --tag, not both")
    if words:
        return of_words(words, lambda word: find_run(word, root), list_runs)
    if not (filter.strip() or tag):
        raise LabError("which runs? `labapp runs export RUN …` takes names and folders, --filter those that fit")
    listing = look(root)
    found = fitting(listing, filter, tag, Accuracies(listing))
    if not found:
        raise LabError("no run fits; `labapp runs list --filter …` shows which do")
    return [listing.run(entry) for entry in found]
