"""What is each quantity, layer kind, method and weighting called, and in which unit is it given?"""

from __future__ import annotations

from labapp.palette.caption import Caption
from labapp.palette.further import FURTHER

QUANTITIES = {
    "step": Caption("step", "optimizer updates"),
    "depth": Caption("depth", "layer", meaning="A layer's place in the order of execution, 1 next to the image."),
    "relative_depth": Caption(
        "relative depth", "0 input, 1 output", meaning="(depth − 1) / (L − 1), so that nets of any depth share an axis."
    ),
    "loss": Caption("training loss", "nats", True, "Mean cross-entropy of the training batch."),
    "accuracy": Caption("test accuracy", "%", meaning="Held-out images that are classified correctly."),
    "error": Caption("error", "%", meaning="Images that are misclassified."),
    "output_grad_norm": Caption(
        "gradient at the layer's output",
        "‖∂L/∂h‖",
        True,
        "Euclidean norm, over the whole batch, of the mean loss's gradient with respect to the layer's output h.",
    ),
    "weight_grad_norm": Caption(
        "gradient of the layer's weights",
        "‖∂L/∂w‖",
        True,
        "Euclidean norm of the mean loss's gradient with respect to the layer's parameters.",
    ),
    "weight_norm": Caption("norm of the weights", "‖w‖", True, "Euclidean norm of the layer's parameters."),
    "update_ratio": Caption(
        "size of an update",
        "‖Δw‖/‖w‖",
        True,
        "What the optimizer changed at this step over what was there: norms of the weights' change and of the weights.",
    ),
    "output_std": Caption(
        "response of the layer",
        "std of h",
        True,
        "Standard deviation of a layer's output over the batch, behind its normalisation and before rectifier and "
        "addition, as in He et al. 2015, Fig. 7; where the normalisation stands in front, or there is none, of the "
        "layer itself. Layers on shortcuts are left out.",
    ),
    "zero_fraction": Caption(
        "silenced values", "% of h ≤ 0", meaning="Share of the values that the rectifier behind the layer sets to zero."
    ),
    "dead_share": Caption(
        "dead channels",
        "% of channels",
        meaning="Channels without a single positive value in the whole batch: behind the rectifier they say nothing "
        "and no gradient comes back through them.",
    ),
    "forward_ratio": Caption(
        "branch ÷ shortcut, forward",
        "‖branch‖/‖shortcut‖",
        True,
        "Norms of the two summands of a residual block, what the branch adds over what the shortcut carries on. Below "
        "1 the block refines its input, above 1 it replaces it.",
    ),
    "backward_ratio": Caption(
        "branch ÷ shortcut, backward",
        "‖∂L/∂x‖ by branch/shortcut",
        True,
        "The two parts of the gradient at a block's input, ∂L/∂x = ∂L/∂y · (1 + ∂F/∂x): what comes back through the "
        "branch over what comes back through the shortcut (He et al. 2016, eq. 5).",
    ),
    "effective_rank": Caption(
        "effective rank",
        "directions",
        meaning="exp of the entropy of the covariance's eigenvalues (Roy & Vetterli 2007): how many directions the "
        "features of the images spread over; a map counts by its channels' means.",
    ),
    "intrinsic_dimension": Caption(
        "intrinsic dimension",
        "dimensions",
        meaning="TwoNN (Facco et al. 2017): dimension of the surface on which the features lie, from the ratio of the "
        "distances to the two nearest neighbours. The band is the 95 % interval.",
    ),
    "linear_probe": Caption(
        "probe accuracy",
        "% of images",
        meaning="Accuracy of a linear classifier on this layer's features (Alain & Bengio 2016), trained on one half "
        "of the images and scored on the other. The band is Wilson's 95 % interval.",
    ),
    "slope": Caption(
        "slope",
        "log₁₀ a layer",
        meaning="Least-squares slope of log₁₀ gradient norm over depth; 0 keeps the gradient, below 0 it grows "
        "towards the input. The band is the 95 % interval, which allows for neighbouring layers deviating together.",
    ),
    "ratio": Caption("first / last layer", "ratio of gradient norms", True),
} | FURTHER

KINDS = {  # of layers, in the words of the controls
    "conv": "convolutions",
    "linear": "linear layers",
    "norm": "normalisations",
    "activation": "activations",
    "pool": "poolings",
    "block": "blocks",
    "attention": "attention layers",
    "recurrent": "recurrent layers",
    "embedding": "embeddings",
    "parameters": "other parameters",
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


def kind(name: str) -> str:
    """One layer of a kind: "convolution", "attention layer"; of a kind that is not listed, its own name."""
    return KINDS.get(name, name).removesuffix("s")


def quantity(name: str) -> Caption:
    """The caption of a column; of one that is not listed, its name with spaces."""
    return QUANTITIES.get(name, Caption(name.replace("_", " ")))
