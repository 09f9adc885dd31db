r"""How should a gradient's size change from layer to layer, before training has begun?

Mean-field theory answers for wide nets with random weights. Three words are used throughout:

* the *gain* of a layer or block is the factor by which the expected **squared** norm of the gradient grows on its way
  through it, towards the input;
* a *profile* holds gradient **norms** (roots of squares) at consecutive outputs, the first layer's first, divided by
  the last one's; so `profile[0]` is the ratio first over last that the lab measures;
* the *weight gain* of an initialisation is fan-in × Var(w), for layers with as many inputs as outputs.

    plain_profile(50, init="lecun")[0]              # 3.0e-08: a ReLU net with N(0, 1/n) vanishes
    plain_profile(18, norm="batch")[0]              # 31: with batch normalisation it explodes
    residual_profile((3, 3, 3))[0]                  # 12: with shortcuts it grows like a power of the depth
    initial_state(experiment, 24, 3, 64)            # every layer of one of the lab's nets, as it is drawn

There are two ways to a number. The closed forms in `gains.py`, `nets.py` and `residual.py` say what one kind of layer
does, again and again, without a border. `initial.py` follows one of the lab's nets layer by layer, border, strides and
batch included, signal and gradient. Where both speak they agree, which is tested. Shared assumptions: infinitely wide
layers, and weights independent of the gradient that comes back through them.

Method:
    Meaning: What the gradient and the signal of this very net should be before training, drawn beside what was
        measured.
    Formula: Squared norms, layer by layer; with batch norm and ReLU, without a border and for large batches, a gain of
        $\frac{\pi}{\pi - 1} \approx 1.467$ a layer.
    Source: Poole et al. 2016 (arXiv 1606.05340), Schoenholz et al. 2017 (arXiv 1611.01232), Yang et al. 2019 (arXiv
        1902.08129), Theorem 3.10.
    Batch norm: Through the batch's statistics, as at the first step of training.
    Sampling: None: expectations over random weights of infinitely wide layers.
    Fails: Of wide nets and of step 0 alone: narrow ones scatter around it, with 8 channels by a factor of two at the
        far end of 56 layers. Where it was measured to fail by a factor of three it is silent.
    Command: labapp train --record every
"""

from labapp.frames.theory.domain import unknown
from labapp.frames.theory.examples import gradient_cosine, relu_correlation
from labapp.frames.theory.gains import (
    INITIALISATIONS,
    KAPPA,
    NORMS,
    activation_moments,
    batch_norm_relu_gain,
    linear_gain,
    mean_absolute_weight,
    plain_gain,
    weight_gain,
    zero_padding_share,
)
from labapp.frames.theory.initial import LayerState, initial_state
from labapp.frames.theory.nets import (
    dense_profile,
    plain_profile,
    preactivation_profile,
    residual_gain,
)
from labapp.frames.theory.residual import residual_profile

__all__ = [
    "INITIALISATIONS",
    "KAPPA",
    "NORMS",
    "LayerState",
    "activation_moments",
    "batch_norm_relu_gain",
    "dense_profile",
    "gradient_cosine",
    "initial_state",
    "linear_gain",
    "mean_absolute_weight",
    "plain_gain",
    "plain_profile",
    "preactivation_profile",
    "relu_correlation",
    "residual_gain",
    "residual_profile",
    "unknown",
    "weight_gain",
    "zero_padding_share",
]
