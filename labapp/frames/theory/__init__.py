"""How should a gradient's size change from layer to layer, before training has begun?

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
