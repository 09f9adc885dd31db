"""Which words does an option know, to which family does it belong, and what do the papers' recipes set?"""

from typing import Any

FAMILIES = ("plain", "residual", "dense", "vgg")
FOREIGN = "foreign"  # a net of another maker, given by `net` instead of a family
IMAGESETS = ("cluttered-digits", "digits", "cifar10", "cifar100", "fashion-mnist", "mnist", "svhn", "stl10", "folder")
PHOTOGRAPHS = ("cifar10", "cifar100", "stl10", "folder")  # may be mirrored without becoming something else
CHOICES: dict[str, tuple[str, ...]] = {
    "family": FAMILIES,
    "form": ("cifar", "imagenet"),
    "norm": ("batch", "layer", "group", "none"),
    "activation": ("relu", "tanh", "sigmoid", "gelu", "leaky_relu"),
    "init": ("he", "glorot", "lecun", "default", "orthogonal", "looks-linear"),
    "padding_mode": ("zeros", "circular"),
    "shortcut": ("A", "B", "C"),
    "block": ("basic", "bottleneck"),
    "configuration": ("A", "B", "C", "D", "E"),
    "head": ("fc", "gap"),
    "imageset": IMAGESETS,
    "recipe": ("lab", "he", "densenet"),
    "schedule": ("constant", "cosine", "he", "densenet"),
    "record": ("every", "log-spaced", "none"),
    "device": ("auto", "cpu", "gpu", "cuda", "mps"),
    "precision": ("32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true"),
}
BELONGS_TO = {  # options that exist in some families only
    "shortcut": ("residual",),
    "shortcut_scale": ("residual",),
    "preactivation": ("plain", "residual"),
    "block": ("plain", "residual"),
    "growth_rate": ("dense",),
    "bottleneck": ("dense",),
    "compression": ("dense",),
    "dropout": ("dense",),
    "configuration": ("vgg",),
    "head": ("vgg",),
}
RECIPES: dict[str, dict[str, Any]] = {
    "lab": {},  # the defaults of the fields
    "he": {  # He et al. 2015, section 4.2
        "steps": 64_000,
        "batch_size": 128,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "he",
        "eval_every": 1000,
        "record_every": 100,
    },
    "densenet": {  # Huang et al. 2017, section 4.2: 300 epochs of 50,000 images
        "steps": 234_375,
        "batch_size": 64,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-4,
        "schedule": "densenet",
        "eval_every": 1000,
        "record_every": 100,
    },
}
VGG_DEPTHS = {"A": 11, "B": 13, "C": 16, "D": 16, "E": 19}
IMAGENET_DEPTHS = {"basic": (18, 34), "bottleneck": (50, 101, 152), "dense": (121, 161, 169, 201, 264)}
