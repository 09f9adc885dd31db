"""Which numbers decide a result?

Every one of them is a field of `Experiment`: frozen, validated once, to and from JSON. A value that is left out (or
None) means *as the recipe, the family or the form says* and is settled here, so that an experiment is complete:

    Experiment(family="dense", bottleneck=True, compression=0.5).width      # 24, twice the growth rate

A mistake is a `LabError` with one sentence.
"""

from labapp.config.addresses import address_of, archive_of, is_remote, kept_folder, place, place_of_run, shown
from labapp.config.choices import (
    BELONGS_TO,
    CHOICES,
    FAMILIES,
    FOREIGN,
    IMAGENET_DEPTHS,
    IMAGESETS,
    PHOTOGRAPHS,
    RECIPES,
    VGG_DEPTHS,
)
from labapp.config.errors import LabError, first_line, listed, nearest, sentence
from labapp.config.experiment import Experiment
from labapp.config.permissions import (
    READING,
    is_read_only,
    is_trusted,
    module_of,
    require_trust,
    require_writing,
    roots,
    trust,
    under_data,
    under_roots,
)
from labapp.config.presets import PRESETS, STARTER_RECIPE, Preset
from labapp.config.ranges import Bounds, Depths, bounds, depths

__all__ = [
    "BELONGS_TO",
    "CHOICES",
    "FAMILIES",
    "FOREIGN",
    "IMAGENET_DEPTHS",
    "IMAGESETS",
    "PHOTOGRAPHS",
    "PRESETS",
    "READING",
    "RECIPES",
    "STARTER_RECIPE",
    "VGG_DEPTHS",
    "Bounds",
    "Depths",
    "Experiment",
    "LabError",
    "Preset",
    "address_of",
    "archive_of",
    "bounds",
    "depths",
    "first_line",
    "is_read_only",
    "is_remote",
    "is_trusted",
    "kept_folder",
    "listed",
    "module_of",
    "nearest",
    "place",
    "place_of_run",
    "require_trust",
    "require_writing",
    "roots",
    "sentence",
    "shown",
    "trust",
    "under_data",
    "under_roots",
]
