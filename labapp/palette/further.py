"""What are the quantities called that stand below the first screen of a page, and what do they mean?"""

from labapp.palette.caption import Caption

FURTHER = {
    # of whole steps
    "train_accuracy": Caption(
        "training accuracy", "%", meaning="Images of the training batch that are classified correctly, before the step."
    ),
    "learning_rate": Caption(
        "learning rate", "", meaning="What the optimizer multiplied its direction by in the step."
    ),
    "images_per_second": Caption(
        "images a second", "1/s", meaning="Images of the batch over the time of the step, recording included."
    ),
    "seconds": Caption("time since the beginning", "s", meaning="Seconds of training up to the end of the step."),
    "grad_norm": Caption(
        "norm of the whole gradient",
        "‖∂L/∂θ‖",
        True,
        "Euclidean norm over all parameters when the backward pass has ended, before any clipping, unscaled.",
    ),
    "grad_norm_used": Caption(
        "norm of the gradient as used",
        "‖∂L/∂θ‖",
        True,
        "The same as the optimizer took it, where something changed it in between, as clipping does: "
        "g · min(1, c/‖g‖) has the norm c at most (Pascanu et al. 2013, Algorithm 1).",
    ),
    "loss_scale": Caption(
        "loss scale",
        "factor",
        True,
        "What the loss is multiplied by before the backward pass, so that small gradients survive half precision "
        "(Micikevicius et al. 2018, §3.2). All gradients shown are divided by it.",
    ),
    "skipped": Caption(
        "skipped steps",
        "steps so far",
        meaning="Recorded steps whose update the optimizer did not make, as a loss scaler decides when a gradient is "
        "not finite.",
    ),
    # of maps of where a net looks
    "map_energy": Caption(
        "energy on the object",
        "%",
        meaning="Share of the positive part of Grad-CAM's maps that lies inside the object's mask (Wang et al. 2020, "
        "§4.3), over many test images. A map that says nothing scores the mask's share of the image.",
    ),
    "map_change": Caption(
        "maps with random weights",
        "ρ",
        meaning="Spearman's ρ between the trained net's maps and those with weights made random from the top, over the "
        "whole cascade (Adebayo et al. 2018, §4). Between −½ and ½ a method depends on the weights.",
    ),
    # of layers
    "output_mean": Caption(
        "mean of the outputs",
        "mean of h",
        meaning="Mean of a layer's output over the batch, channels and positions. Far from 0 compared with the "
        "deviation, the layers behind see nearly the same for all images.",
    ),
    "nonfinite": Caption(
        "values that are not finite",
        "values",
        True,
        "NaN and infinite values among a layer's outputs and their gradients.",
    ),
    "dead_channels": Caption(
        "dead channels", "channels", meaning="Channels without a single positive value in the whole batch, counted."
    ),
    "branch_norm": Caption(
        "what the branch adds",
        "‖branch‖",
        True,
        "Euclidean norm, over the whole batch, of what a residual block's branch adds to its shortcut.",
    ),
    "shortcut_norm": Caption(
        "what the shortcut carries",
        "‖shortcut‖",
        True,
        "Euclidean norm, over the whole batch, of what a residual block's shortcut carries on.",
    ),
    "branch_grad_norm": Caption(
        "gradient through the branch",
        "‖∂L/∂x by branch‖",
        True,
        "Norm of the part of the gradient at a block's input that comes back through its branch.",
    ),
    "shortcut_grad_norm": Caption(
        "gradient through the shortcut",
        "‖∂L/∂x by shortcut‖",
        True,
        "Norm of the part of the gradient at a block's input that comes back through its shortcut.",
    ),
    "test_loss": Caption("test loss", "nats", True, "Mean cross-entropy of the held-out images."),
    "branch_shortcut_grad_cosine": Caption(
        "cosine of branch and shortcut, backward",
        "cosine",
        meaning="Between the two parts of ∂L/∂x at a block's input, what comes back through the branch and what comes "
        "back through the shortcut: ∂L/∂x = ∂L/∂y · (1 + ∂F/∂x) (He et al. 2016, eq. 5). Below 0 they work against "
        "each other.",
    ),
    "gradient_signal_to_noise": Caption(
        "signal to noise of the gradient",
        "‖ḡ‖²/Σ var",
        True,
        "Square of the mean gradient of the weights over the summed variance between micro-batches (McCandlish et al. "
        "2018, *An empirical model of large-batch training*). Below 1 a micro-batch's gradient is mostly noise.",
    ),
    "lifetimes": Caption(
        "dead channels, from when to when",
        meaning="A channel is dead at a recorded step if none of its values in the whole batch is above zero: behind "
        "the rectifier it says nothing, and no gradient comes back through it. It comes back when a batch has a "
        "positive value again. Each layer has a band, which its channels share.",
    ),
    "histograms": Caption(
        "magnitudes",
        meaning="Share of the values by the power of two below their size, 2^e ≤ |x| < 2^(e+1). Zeros (with subnormal "
        "numbers) and values that are not finite have rows of their own, stronger the more there are. Gradients are "
        "those that flow: times the loss scale.",
    ),
    "spreads": Caption(
        "quartiles and extremes",
        meaning="Line: the median; band: the middle half of the values; dashed: the least and the greatest. Extremes "
        "are exact, quartiles those of 4,096 evenly spaced values. The axis is linear around zero and logarithmic "
        "beyond.",
    ),
    # of checkpoints, by layer or block
    "participation_ratio": Caption(
        "participation ratio",
        "directions",
        meaning="(Σλ)² / Σλ² of the covariance's eigenvalues λ: how many directions the features spread over, counted "
        "by variance, so that small ones count less than in the effective rank.",
    ),
    "gradient_cosine": Caption(
        "cosine between gradients of two images",
        "cosine",
        meaning="Mean over pairs of images of the cosine between the gradients of one class score at the layer's "
        "output. In a deep plain net it falls towards 0, the gradient is shattered (Balduzzi et al. 2017). The band "
        "is a standard deviation between pairs to either side. Batch norm is held fixed.",
    ),
    "autocorrelation": Caption(
        "autocorrelation of the gradient",
        "correlation",
        meaning="Of ∂s/∂h along a straight line from one image to another, centred: Σ⟨g(t), g(t+τ)⟩ / Σ‖g(t)‖² "
        "(Balduzzi et al. 2017, §2, Fig. 2). White noise falls to 0 at once.",
    ),
    "shortcut_share": Caption(
        "share of the gradient by the shortcuts",
        "% of ∂E/∂x",
        meaning="⟨∂E/∂x_L, ∂E/∂x_l⟩ / ‖∂E/∂x_l‖² from a block's input x_l to the end x_L of its stage, mean over "
        "images (He et al. 2016, eq. 5); above 100 % the branches work against it. The band is from the 2.5th to the "
        "97.5th percentile of the images.",
    ),
    "smallest_singular_value": Caption(
        "smallest singular value",
        "σ of 1 + ∂F/∂x",
        True,
        "Of a block's Jacobian, an upper bound by Lanczos: how near the block comes to losing a direction of the "
        "gradient. He et al. 2016 argue that it is unlikely to be 0. The least of the images.",
    ),
    "largest_singular_value": Caption(
        "largest singular value",
        "σ of 1 + ∂F/∂x",
        True,
        "Of a block's Jacobian, by Lanczos: by how much it stretches a gradient at most. The greatest of the images.",
    ),
    "surface_loss": Caption(
        "loss around the net",
        "nats",
        True,
        "Test loss at θ + αδ + βη: δ and η are random directions in which each filter is as long as the net's own, so "
        "at α = 1 every filter has moved by its length (Li et al. 2018, eq. 1 and §4). Biases and normalisations stay, "
        "running statistics too. The cross is the net itself; what is above 100 has the colour of 100.",
    ),
    "loss_change": Caption(
        "change of the loss",
        "nats",
        meaning="Test loss of the net without a block, or with two neighbours exchanged, minus that of the whole net "
        "(Veit et al. 2016, §4). A residual block loses its branch and keeps its shortcut.",
    ),
    "loss_reordered": Caption(
        "change of the loss",
        "nats",
        meaning="Test loss with blocks of one shape in another order, minus that of the trained order, against "
        "Kendall's τ: 1 is the trained order, −1 its reverse (Veit et al. 2016, Fig. 5b).",
    ),
    # of paths
    "path_share": Caption(
        "paths of this length, and the gradient they carry",
        "%",
        meaning="A net of n residual blocks is a sum of 2ⁿ paths; C(n, k)/2ⁿ of them go through k branches (pale). In "
        "full: the share of the gradient that they carry together, C(n, k)·‖g_k‖ scaled to 100 % "
        "(Veit et al. 2016, §4.3, Fig. 6).",
    ),
    "path_norm": Caption(
        "gradient of a path",
        "‖g_k‖",
        True,
        "Norm of the gradient at the first block's input along one path through k branches, mean over sampled paths; "
        "pale: norm of the exact sum over all paths of that length, in which they also cancel.",
    ),
    # of classes
    "nc1": Caption(
        "NC1, spread within classes",
        "tr(Σ_W Σ_B⁺)/C",
        True,
        "Variability within classes against that between them (Papyan, Han, Donoho 2020); 0 at full collapse. In full: "
        "training images, of which collapse speaks; pale: test images.",
    ),
    "nc2_norms": Caption(
        "NC2, unequal lengths",
        "std/mean",
        meaning="How unequal the class means' distances from their mean are; 0 at full collapse. Pale: test images.",
    ),
    "nc2_angles": Caption(
        "NC2, unequal angles",
        "|cos + 1/(C−1)|",
        meaning="How far the angles between class means are from those of a simplex; 0 at full collapse. Pale: test "
        "images.",
    ),
    "nc3": Caption(
        "NC3, classifier against means",
        "0 to 2",
        meaning="‖W/‖W‖ − M/‖M‖‖: how far the classifier's rows are from parallel to the class means; 0 at full "
        "collapse. Pale: test images.",
    ),
    "nc4": Caption(
        "NC4, nearest mean decides otherwise",
        "% of images",
        meaning="Images that the net puts into another class than the nearest class mean does; 0 at full collapse. "
        "Pale: test images.",
    ),
}
