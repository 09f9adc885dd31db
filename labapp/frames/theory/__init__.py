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

Which assumptions are shared: infinitely wide layers, weights independent of the gradient that comes back through them,
and no border. The lab's residual-110 of width 16 with circular padding keeps to it within 6 % at every layer, 21 % in
pre-activation form; zero padding takes more, see `residual_profile` and `zero_padding_share`.
"""

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
    "activation_moments",
    "batch_norm_relu_gain",
    "dense_profile",
    "gradient_cosine",
    "linear_gain",
    "mean_absolute_weight",
    "plain_gain",
    "plain_profile",
    "preactivation_profile",
    "relu_correlation",
    "residual_gain",
    "residual_profile",
    "weight_gain",
    "zero_padding_share",
]
