"""How do runs leave the lab for the tools that people have already?

    export(runs, "tensorboard", "out")                       # or csv, parquet, wandb, mlflow
    mirror(writer, to="tensorboard", where="logs")           # the same while a net trains

    exporting, outfolder    runs -> a folder, whole or not at all        mirroring      rows as they are written
    reading                 a long table in pieces                       dashboards     what is installed
    chosen, naming, points  rows -> points of named curves, the same for both
    to_tables, to_tensorboard, to_wandb, to_mlflow                       one file a tool

Reads the archive alone, without torch; the tools are the extra `export`.
"""

from labapp.exports.chosen import USUAL, CurveChoice
from labapp.exports.dashboards import TARGETS
from labapp.exports.exporting import Exported, export, of_words
from labapp.exports.mirroring import MirrorWarning, RunMirror, check_mirrors, mirror, mirror_all

__all__ = [
    "TARGETS",
    "USUAL",
    "CurveChoice",
    "Exported",
    "MirrorWarning",
    "RunMirror",
    "check_mirrors",
    "export",
    "mirror",
    "mirror_all",
    "of_words",
]
