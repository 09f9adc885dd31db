"""Which colour, line, word and unit stands for what, on screen and on paper alike?

Colour means family. The four hues keep a contrast of 3:1 on the light and on the dark page, and stay apart (CIE76
distance above 15) for the three kinds of colour blindness, simulated as in Machado 2009; `tests/test_palette.py`
computes both. Line style and marker mean depth, or seed where depths are equal; so nothing hangs on colour alone.

`labapp/.streamlit/config.toml` repeats these colours for the widgets; a test keeps them equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

FAMILIES = {  # hue by family; "foreign" is a model of the user's own
    "plain": "#D55E00",
    "residual": "#2A78CF",
    "dense": "#00A36C",
    "vgg": "#B070B4",
    "foreign": "#6B6B6B",
}
ACCENT = {"light": "#475569", "dark": "#64769A"}  # buttons and sliders: a slate, because a hue would mean a family
MUTED = "#808080"  # rules, theory and annotations, readable on either page
ALARM = "#C2185B"  # values that are not finite; in no heatmap's scale

# viridis and RdBu (reversed), ten samples each: the number that Streamlit's theme takes
SEQUENTIAL = (
    "#440154", "#482878", "#3E4989", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6ECE58", "#B5DE2B", "#FDE725",
)  # fmt: skip
DIVERGING = (
    "#053061", "#246AAE", "#529DC8", "#A7D0E4", "#E1EDF3", "#FAE7DC", "#F7B799", "#DC6E57", "#B61F2E", "#67001F",
)  # fmt: skip


@dataclass(frozen=True)
class LineStyle:
    """One way to draw a line, in the words of both libraries."""

    name: str
    dash: tuple[int, ...]  # on, off, … in pixels; () is solid
    shape: str  # Vega's marker
    marker: str  # matplotlib's marker


LINES = (
    LineStyle("solid", (), "circle", "o"),
    LineStyle("dashed", (6, 3), "square", "s"),
    LineStyle("dotted", (2, 2), "triangle-up", "^"),
    LineStyle("dash-dotted", (8, 3, 2, 3), "diamond", "D"),
    LineStyle("long-dashed", (12, 4), "triangle-down", "v"),
    LineStyle("dash-dot-dotted", (8, 3, 2, 3, 2, 3), "cross", "P"),
)


@dataclass(frozen=True)
class Quantity:
    """What a column means: its name in a sentence, its unit, how it is drawn and where it comes from."""

    name: str
    unit: str = ""
    log: bool = False
    meaning: str = ""

    @property
    def title(self) -> str:
        """The title of an axis: "training loss (nats)"."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


QUANTITIES = {
    "step": Quantity("step", "optimizer updates"),
    "depth": Quantity("depth", "layer", meaning="A layer's place in the order of execution, 1 next to the image."),
    "relative_depth": Quantity(
        "relative depth", "0 input, 1 output", meaning="(depth − 1) / (L − 1), so that nets of any depth share an axis."
    ),
    "loss": Quantity("training loss", "nats", True, "Mean cross-entropy of the training batch."),
    "accuracy": Quantity("test accuracy", "%", meaning="Held-out images that are classified correctly."),
    "error": Quantity("error", "%", meaning="Images that are misclassified."),
    "output_grad_norm": Quantity(
        "gradient at the layer's output",
        "‖∂L/∂h‖",
        True,
        "Euclidean norm, over the whole batch, of the mean loss's gradient with respect to the layer's output h.",
    ),
    "weight_grad_norm": Quantity(
        "gradient of the layer's weights",
        "‖∂L/∂w‖",
        True,
        "Euclidean norm of the mean loss's gradient with respect to the layer's parameters.",
    ),
    "weight_norm": Quantity("norm of the weights", "‖w‖", True, "Euclidean norm of the layer's parameters."),
    "update_ratio": Quantity(
        "size of an update",
        "‖Δw‖/‖w‖",
        True,
        "What the optimizer changed at this step over what was there: norms of the weights' change and of the weights.",
    ),
    "output_std": Quantity(
        "response of the layer",
        "std of h",
        True,
        "Standard deviation of a layer's output over the batch, behind its normalisation and before rectifier and "
        "addition, as in He et al. 2015, Fig. 7; where the normalisation stands in front, or there is none, of the "
        "layer itself. Layers on shortcuts are left out.",
    ),
    "zero_fraction": Quantity(
        "silenced values", "% of h ≤ 0", meaning="Share of the values that the rectifier behind the layer sets to zero."
    ),
    "dead_share": Quantity(
        "dead channels",
        "% of channels",
        meaning="Channels without a single positive value in the whole batch: behind the rectifier they say nothing "
        "and no gradient comes back through them.",
    ),
    "forward_ratio": Quantity(
        "branch ÷ shortcut, forward",
        "‖branch‖/‖shortcut‖",
        True,
        "Norms of the two summands of a residual block, what the branch adds over what the shortcut carries on. Below "
        "1 the block refines its input, above 1 it replaces it.",
    ),
    "backward_ratio": Quantity(
        "branch ÷ shortcut, backward",
        "‖∂L/∂x‖ by branch/shortcut",
        True,
        "The two parts of the gradient at a block's input, ∂L/∂x = ∂L/∂y · (1 + ∂F/∂x): what comes back through the "
        "branch over what comes back through the shortcut (He et al. 2016, eq. 5).",
    ),
    "effective_rank": Quantity(
        "effective rank",
        "directions",
        meaning="exp of the entropy of the covariance's eigenvalues (Roy & Vetterli 2007): how many directions the "
        "features of the images spread over; a map counts by its channels' means.",
    ),
    "intrinsic_dimension": Quantity(
        "intrinsic dimension",
        "dimensions",
        meaning="TwoNN (Facco et al. 2017): dimension of the surface on which the features lie, from the ratio of the "
        "distances to the two nearest neighbours. The band is the 95 % interval.",
    ),
    "linear_probe": Quantity(
        "probe accuracy",
        "% of images",
        meaning="Accuracy of a linear classifier on this layer's features (Alain & Bengio 2016), trained on one half "
        "of the images and scored on the other. The band is Wilson's 95 % interval.",
    ),
    "slope": Quantity(
        "slope",
        "log₁₀ a layer",
        meaning="Least-squares slope of log₁₀ gradient norm over depth; 0 keeps the gradient, below 0 it grows "
        "towards the input. The band is the 95 % interval of that fit.",
    ),
    "ratio": Quantity("first / last layer", "ratio of gradient norms", True),
}

KINDS = {  # of layers, in the words of the controls
    "conv": "convolutions",
    "linear": "linear layers",
    "norm": "normalisations",
    "activation": "activations",
    "pool": "poolings",
    "block": "blocks",
}
METHODS = {  # of attribution, in the order in which they are offered
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "layercam": "LayerCAM",
    "gradient-times-activation": "gradient × activation",
    "guided-gradcam": "Guided Grad-CAM",
    "saliency": "saliency",
    "integrated-gradients": "integrated gradients",
    "guided-backprop": "guided backpropagation",
    "occlusion": "occlusion",
}
WEIGHTINGS = {  # of feature reuse: what a cell is in, and what it means
    "weights": ("mean |w|", "mean size of the weights that read a source, as in Huang et al. 2017, Fig. 5"),
    "bn-folded": ("mean |w·γ/σ|", "the same with the batch norm in front of the layer folded in"),
    "activation": ("mean |w|·E|a|", "the same times the size of what arrives"),
    "gradient": ("mean |w·∂L/∂w|, nats", "first-order change of the loss without the weight"),
    "ablation": ("Δ loss, nats", "change of the loss when the target alone no longer sees the source"),
}
NORMS = {"batch": "batch norm", "layer": "layer norm", "group": "group norm", "none": "no norm"}


def colour(family: str) -> str:
    """The hue of a family; any that the lab does not know is foreign."""
    return FAMILIES.get(family, FAMILIES["foreign"])


def quantity(name: str) -> Quantity:
    """What is known about a column; an unknown one speaks for itself."""
    return QUANTITIES.get(name, Quantity(name.replace("_", " ")))


def styles(runs: pd.DataFrame) -> pd.DataFrame:
    """How each run is drawn.

    Args:
        runs: columns run, family, net_depth, seed; one row a run.

    Returns:
        Columns run, colour, dash, shape, marker; one row a run, in the same order. Within a family the deepest net is
        solid, and the next depth or seed takes the next style.
    """
    order = runs.assign(place=range(len(runs))).sort_values(
        ["family", "net_depth", "seed", "place"], ascending=[True, False, True, True]
    )
    rank = order.groupby("family").cumcount().reindex(runs.index)
    lines = [LINES[int(r) % len(LINES)] for r in rank]
    return pd.DataFrame(
        {
            "run": list(runs["run"]),
            "colour": [colour(family) for family in runs["family"]],
            "dash": [list(line.dash) for line in lines],
            "shape": [line.shape for line in lines],
            "marker": [line.marker for line in lines],
        }
    )


def number(value: float, digits: int = 3) -> str:
    """A number for the eye: at most three significant digits, powers of ten where zeros would have to be counted."""
    if value is None or math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if not -3 <= power < 6:
        shown = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{shown} × 10{str(power).translate(SUPERSCRIPT)}".replace("-", "−")
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:,.{max(0, digits - 1 - power)}f}".replace("-", "−")


SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Ticks of a log axis from low to high: whole decades, or 1-2-5 where there are fewer than two of those."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = list(range(first, last + 1))
    if len(decades) >= 3:
        stride = math.ceil(len(decades) / most)
        return [float(f"1e{power}") for power in decades if power % stride == 0]
    for steps in ((1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(1 + tenth / 10 for tenth in range(90))):
        fine = [float(f"{m}e{power}") for power in range(first - 1, last + 2) for m in steps]
        inside = [tick for tick in fine if low <= tick <= high]
        if len(inside) >= 3:
            return inside[:: math.ceil(len(inside) / most)]
    return [low, high]


def tick_label(tick: float) -> str:
    """0.01, 100, 10⁻⁷: a power of ten is written as one where its zeros would have to be counted."""
    power = math.log10(tick)
    if power == round(power) and not -3 < power < 4:
        return f"10{str(round(power)).translate(SUPERSCRIPT)}"
    return f"{tick:,.6g}" if 1e-3 <= tick < 1e5 else number(tick, 2)


def percent(fraction: float) -> str:
    """A fraction as a percentage: 0.956 is "95.6 %"."""
    return "no value" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.3g} %"


def duration(seconds: float) -> str:
    """Seconds as people say them: "41 s", "3 min 20 s", "2 h 5 min"."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def short(name: str, width: int = 28) -> str:
    """A layer's name, shortened in the middle: both its stage and its last part stay readable."""
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"
