"""With which experiments does one begin? Recipes by name, each with the nets that it is for and where it is from."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from labapp.config.choices import RECIPES

# Warm-up and cosine are for all nets of the starter, see labapp/training/starter.py.
STARTER_RECIPE: dict[str, Any] = {
    "steps": 300,
    "batch_size": 64,
    "learning_rate": 0.1,
    "schedule": "cosine",
    "warmup_steps": 100,
}
HUNDREDTH = {name: max(1, RECIPES["he"][name] // 100) for name in ("steps", "eval_every", "record_every")}


class Preset(NamedTuple):
    """Where a form begins.

    Attributes:
        families: One experiment each.
        values: Of fields of `Experiment`; all others are as the recipe and the family say.
        about: What it is, in a sentence, with its source.
    """

    families: tuple[str, ...]
    values: Mapping[str, Any]
    about: str


_STARTER = {"width": 8, "record_every": 5, **STARTER_RECIPE}
PRESETS: dict[str, Preset] = {
    "Plain beside residual, 20 layers": Preset(
        ("plain", "residual"),
        {"depth": 20, **_STARTER},
        "Two nets of one depth and recipe, as in the starter comparison: at 20 layers both train.",
    ),
    "Plain beside residual, 56 layers": Preset(
        ("plain", "residual"),
        {"depth": 56, **_STARTER},
        "The degradation problem: the plain net ends worse than one of 20 layers (He et al. 2015, Fig. 6).",
    ),
    "He et al. 2015, a hundredth of the steps": Preset(
        ("plain", "residual"),
        {"recipe": "he", "depth": 20, **HUNDREDTH},
        "The CIFAR recipe of He et al. 2015, section 4.2, with its rate a tenth after 1/2 and again after 3/4 of 640 "
        "steps in place of 64,000; image set cifar10 makes it theirs.",
    ),
    "DenseNet-BC, 40 layers": Preset(
        ("dense",),
        {"depth": 40, "bottleneck": True, "compression": 0.5, "growth_rate": 8, **_STARTER} | {"width": None},
        "Bottlenecks and compression, as in the starter comparison (Huang et al. 2017, section 3).",
    ),
    "VGG, 11 layers": Preset(
        ("vgg",),
        {"depth": 11, **_STARTER},
        "Configuration A of Simonyan & Zisserman 2015, Table 1, narrow, as in the starter comparison.",
    ),
    "Without batch norm": Preset(
        ("plain", "residual"),
        {"depth": 20, "norm": "none", **_STARTER, "learning_rate": 0.01},
        "What He's initialisation alone does for the gradient, at a tenth of the rate.",
    ),
}
