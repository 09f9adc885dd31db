"""Which recorded quantities can be compared, how, and at which layers?

A norm, a deviation or a ratio changes by factors: two of them are compared by the ratio of their geometric means. A
share or a count may be zero: by the ratio of its means. What has either sign has no ratio, only a difference.
"""

from __future__ import annotations

from typing import NamedTuple

SCALES = ("factor", "share", "signed")


class Compared(NamedTuple):
    """How a quantity of layers is compared.

    Attributes:
        scale: of `SCALES`.
        place: the layers that it is compared at unless others are asked for: where a layer's response is read
            ("response", see `signals.response_kind`), layers with weights ("weights"), convolutions ("conv"), places
            before a rectifier ("rectified"), residual blocks ("blocks").
        part, whole: the recorded columns that it is the ratio of; the column of its own name where there is none, and
            the number of channels where whole is "channels".
    """

    scale: str
    place: str
    part: str = ""
    whole: str = ""


OF_LAYERS: dict[str, Compared] = {
    "output_grad_norm": Compared("factor", "conv"),
    "weight_grad_norm": Compared("factor", "weights"),
    "weight_norm": Compared("factor", "weights"),
    "update_ratio": Compared("factor", "weights"),
    "output_std": Compared("factor", "response"),
    "output_mean": Compared("signed", "response"),
    "zero_fraction": Compared("share", "rectified"),
    "dead_share": Compared("share", "rectified", "dead_channels", "channels"),
    "dead_channels": Compared("share", "rectified"),
    "forward_ratio": Compared("factor", "blocks", "branch_norm", "shortcut_norm"),
    "backward_ratio": Compared("factor", "blocks", "branch_grad_norm", "shortcut_grad_norm"),
    "branch_norm": Compared("factor", "blocks"),
    "shortcut_norm": Compared("factor", "blocks"),
    "branch_grad_norm": Compared("factor", "blocks"),
    "shortcut_grad_norm": Compared("factor", "blocks"),
    "branch_shortcut_grad_cosine": Compared("signed", "blocks"),
    "gradient_signal_to_noise": Compared("factor", "weights"),
    "nonfinite": Compared("share", "conv"),
}
SHOWN = tuple(name for name in OF_LAYERS if name not in ("dead_channels", "nonfinite"))  # each is another's count


class Series(NamedTuple):
    """A quantity of the whole net: the table and column that hold it, the split, how it is compared."""

    table: str
    column: str
    scale: str
    split: str = ""


OF_RUNS: dict[str, Series] = {
    "loss": Series("steps", "loss", "factor"),
    "accuracy": Series("evals", "accuracy", "share", "test"),
    "test_loss": Series("evals", "loss", "factor", "test"),
    "train_accuracy": Series("steps", "accuracy", "share"),
    "grad_norm": Series("steps", "grad_norm", "factor"),
    "learning_rate": Series("steps", "learning_rate", "share"),
    "images_per_second": Series("steps", "images_per_second", "factor"),
}
