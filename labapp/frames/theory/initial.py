"""What should every layer of one of the lab's nets do with signal and gradient, before training has begun?

`initial_state` walks through a net as `labapp.nets` builds it, layer by layer and under the same names, and carries
distributions of values through it: from images whose pixels have mean 0 and variance 1 to the last features, and from
equal squared gradients there back to the image. It knows the net's family, channels, strides, shortcuts, normalisation,
activation, initialisation and padding, and the size of the batch.

What it takes for granted, and what that costs:

* Sums over channels are normal, and weights independent of the gradient that comes back through them. True of wide
  layers; at a width of 16 a layer deviates by a few per cent with batch norm, by 10 to 40 % of the far end without.
* Images are noise. Neighbouring pixels of a photograph are alike, which changes the first layers and, behind each
  average pooling of a dense net, takes about a third off the gradient.
* Batch norm has made examples independent of each other, but for what the border does to all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from labapp.config import Experiment, LabError
from labapp.frames.theory.domain import unknown
from labapp.frames.theory.fields import Fields, Values, mean_of, mean_square, share_below_zero, squared_gradient
from labapp.frames.theory.gains import RECTIFIERS, Array
from labapp.frames.theory.tape import Tape

_TWO = ((3, 3), (3, 3))
VGG_CONVOLUTIONS = {  # sizes of the convolutions of the five stages, as in `labapp.nets.vgg`
    "A": ((3,), (3,), (3, 3), *_TWO),
    "B": (*_TWO, (3, 3), *_TWO),
    "C": (*_TWO, *[(3, 3, 1)] * 3),
    "D": (*_TWO, *[(3, 3, 3)] * 3),
    "E": (*_TWO, *[(3, 3, 3, 3)] * 3),
}
VGG_WIDENING = (1, 2, 4, 8, 8)
Told = Callable[[Array], None]


@dataclass
class LayerState:
    """A place of the net at initialisation; NaN where a number has no meaning there.

    Attributes:
        kind: conv, norm or block.
        output_std: As `frames.signals` has it, and so are the three last ones.
        gradient: Norm of ∂L/∂h, up to a factor that is the same for all layers of a net.
        zero_fraction: See there.
        forward_ratio: See there.
        backward_ratio: See there.
    """

    kind: str
    output_std: float = math.nan
    gradient: float = math.nan
    zero_fraction: float = math.nan
    forward_ratio: float = math.nan
    backward_ratio: float = math.nan


def initial_state(experiment: Experiment, image_size: int, channels: int, batch: int) -> dict[str, LayerState]:
    """What theory says of each layer, under the name that it has in the tables, in the order of execution.

    Args:
        experiment: Of one of the lab's own nets.
        image_size: Pixels a side.
        channels: Of the images.
        batch: Images of one forward pass.

    Raises:
        LabError: Where theory has nothing to say, with the reason.
    """
    reason = unknown(experiment)
    if reason:
        raise LabError(f"theory has nothing to say about {experiment.name}: {reason}")
    walk = _Walk(experiment, batch)
    side = image_size
    one = np.ones((1, 1) if experiment.padding_mode == "circular" else (side, side))
    image = [Values.normal(channels, side, one)]
    {"dense": walk.dense, "vgg": walk.vgg}.get(experiment.family, walk.residual)(image)
    walk.tape.back()
    for path, squared in walk.places.items():
        walk.states[path].gradient = math.sqrt(squared())
    return walk.states


class _Offer(NamedTuple):
    """A field of a dense block, as later layers read it."""

    normed: Values
    active: Values
    slope: Array  # E[φ′²] at each position


@dataclass
class _Walk:
    """A net on its way to be read off: the tape, and what is known of each place."""

    net: Experiment
    batch: int
    states: dict[str, LayerState] = field(default_factory=dict)
    places: dict[str, Callable[[], float]] = field(default_factory=dict)  # to the squared gradient, once it is there

    def __post_init__(self) -> None:
        uniform, paired = self.net.padding_mode == "circular", self.net.family != "dense"  # in dense nets it is 1 %
        self.tape = Tape(self.net.norm, self.net.activation, self.batch, uniform, paired)

    # layers

    def conv(
        self, path: str, fields: Fields, outputs: int, kernel: int = 3, stride: int = 1, told: Told | None = None
    ) -> Values:
        inputs = sum(part.channels for part in fields)
        bias = 1 / (3 * inputs * kernel**2) if self.net.init == "default" and self._biased() else 0.0
        result = self.tape.convolve(
            fields, outputs, kernel, stride, self._variance(inputs, outputs, kernel), bias, told
        )
        self._see(path, "conv", [result])
        return result

    def norm(self, path: str, fields: Fields) -> list[Values]:
        """The normalisation, where there is one."""
        if self.net.norm == "none":
            return list(fields)
        result = self.tape.normalise(fields)
        self._see(path, "norm", result)
        return result

    def activation(self, path: str, fields: Fields) -> list[Values]:
        """The activation of what is found at `path`."""
        self._silence(path, fields)
        return self.tape.activate(fields)

    def _silence(self, path: str, fields: Fields) -> None:
        """Only a ReLU is zero on a half-line."""
        if self.net.activation == "relu" and path in self.states:
            self.states[path].zero_fraction = share_below_zero(fields)

    def _see(self, path: str, kind: str, fields: Fields) -> None:
        self.states[path] = LayerState(kind, math.sqrt(max(mean_square(fields) - mean_of(fields) ** 2, 0.0)))
        self.places[path] = lambda: squared_gradient(fields)

    def _biased(self) -> bool:
        return self.net.norm == "none" or self.net.family == "vgg"

    def _variance(self, inputs: int, outputs: int, kernel: int) -> float:
        """Var(w) of a convolution, as `labapp.nets.starts` draws it."""
        into, out = inputs * kernel**2, outputs * kernel**2
        if self.net.init == "orthogonal":
            return (2.0 if self.net.activation in RECTIFIERS else 1.0) / max(outputs, into)
        return {"he": 2 / out, "glorot": 2 / (into + out), "lecun": 1 / into, "default": 1 / (3 * into)}[self.net.init]

    # nets

    def residual(self, image: Fields) -> None:
        """Plain and residual nets, `labapp.nets.resnet`."""
        width = self.net.width or 0
        bottleneck = self.net.block == "bottleneck"
        count = (self.net.depth or 0) // (9 if bottleneck else 6)
        path = "stem.norm" if self.net.norm != "none" else "stem.conv"
        x: Fields = self.norm("stem.norm", [self.conv("stem.conv", image, width)])
        if self.net.family == "residual":
            x = [self.tape.follow(part) for part in x]
        x = self.activation(path, x)
        channels = width
        for stage in range(3):
            inside = width * 2**stage
            for number in range(count):
                place = f"stage{stage + 1}.block{number + 1}"
                x = self._block(place, x, channels, inside, 2 if stage and not number else 1, not stage and not number)
                channels = inside * (4 if bottleneck else 1)
        if self.net.preactivation:
            x = self.activation("head.norm", self.norm("head.norm", x))
        self._end(x)

    def _block(self, place: str, x: Fields, inputs: int, inside: int, stride: int, activated: bool) -> Fields:
        outputs = inside * (4 if self.net.block == "bottleneck" else 1)
        convolutions = [(inside, 3, stride), (outputs, 3, 1)]
        if self.net.block == "bottleneck":
            convolutions = [(inside, 1, 1), (inside, 3, stride), (outputs, 1, 1)]
        changes, residual = stride > 1 or inputs != outputs, self.net.family == "residual"
        projects = residual and (self.net.shortcut == "C" or (self.net.shortcut == "B" and changes))
        before = bool(self.net.preactivation)
        if before and projects and not activated:
            shared = f"{place}.preactivation.norm"
            x, activated = self.activation(shared, self.norm(shared, x)), True
        state, felt = LayerState("block"), list[float]()
        if residual:  # read when the gradient of the whole block has arrived, and so noted before it
            self.tape.notes.append(lambda: _split(state, felt[0], squared_gradient(x)))
        way = x
        for number, (channels, kernel, step) in enumerate(convolutions, start=1):
            conv, norm = (f"{place}.branch.{kind}{number}" for kind in ("conv", "norm"))
            if before:
                if number > 1 or not activated:
                    way = self.activation(norm, self.norm(norm, way))
                way = [self.conv(conv, way, channels, kernel, step)]
            else:
                way = self.norm(norm, [self.conv(conv, way, channels, kernel, step)])
                if number < len(convolutions) or not residual:
                    way = self.activation(norm if norm in self.states else conv, way)
        if not residual:
            return way
        self.tape.notes.append(lambda: felt.append(squared_gradient(x)))  # read when the shortcut's part has arrived
        along: Fields = x
        if projects:
            along = [self.conv(f"{place}.shortcut.conv", x, outputs, 1, stride)]
            along = along if before else self.norm(f"{place}.shortcut.norm", along)
        elif changes:
            along = self.tape.every(x, stride, outputs - inputs)
        state.forward_ratio = math.sqrt(mean_square(way) / mean_square(along))
        self.states[place] = state
        total = self.tape.add(way[0], along)
        return total if before else self.activation(place, total)

    def dense(self, image: Fields) -> None:
        """Dense nets, `labapp.nets.densenet`."""
        growth, bottleneck = self.net.growth_rate or 0, bool(self.net.bottleneck)
        count = ((self.net.depth or 0) - 4) // (6 if bottleneck else 3)
        x = [self._offered(self.conv("stem.conv", image, self.net.width or 0))]
        for block in range(1, 4):
            for layer in range(1, count + 1):
                place = f"block{block}.layer{layer}"
                outputs, kernel = (4 * growth, 1) if bottleneck else (growth, 3)
                new = self._read(f"{place}.norm1", f"{place}.conv1", x, outputs, kernel)
                if bottleneck:
                    way = self.activation(f"{place}.norm2", self.norm(f"{place}.norm2", [new]))
                    new = self.conv(f"{place}.conv2", way, growth)
                x.append(self._offered(new))
            if block < 3:
                place = f"transition{block}"
                kept = int(sum(offer.normed.channels for offer in x) * (self.net.compression or 1.0))
                x = [self._offered(self.tape.average(self._read(f"{place}.norm", f"{place}.conv", x, kept, 1), 2))]
        self._hear("head.norm", x, [np.ones(1)])
        self._end([offer.active for offer in x])

    def _offered(self, field: Values) -> _Offer:
        """What every later layer of a dense block sees of a field: batch norm and activation are the same for all."""
        normed = self.tape.normalise([field])[0]
        slope = normed.over(self.tape.slope(normed.values) ** 2)
        return _Offer(normed, self.tape.activate([normed])[0], slope)

    def _read(self, norm: str, conv: str, x: list[_Offer], outputs: int, kernel: int) -> Values:
        """A layer that reads all offers."""
        told = list[Array]()
        self._hear(norm, list(x), told)
        return self.conv(conv, [offer.active for offer in x], outputs, kernel, told=told.append)

    def _hear(self, norm: str, x: list[_Offer], told: list[Array]) -> None:
        """The norm of a layer that reads offers: it feels what this layer alone sends back, once that is told."""
        seen = [offer.normed for offer in x]
        self._see(norm, "norm", seen)
        self._silence(norm, seen)
        self.places[norm] = lambda: float(
            sum(o.normed.channels * o.normed.side**2 * (o.slope * told[0]).mean() for o in x)
        )

    def vgg(self, image: Fields) -> None:
        """VGG nets, `labapp.nets.vgg`."""
        x = image
        for stage, kernels in enumerate(VGG_CONVOLUTIONS[str(self.net.configuration)]):
            for number, kernel in enumerate(kernels, start=1):
                conv, norm = (f"stage{stage + 1}.{kind}{number}" for kind in ("conv", "norm"))
                x = self.norm(norm, [self.conv(conv, x, (self.net.width or 0) * VGG_WIDENING[stage], kernel)])
                self._silence(norm, x)
                if number == len(kernels) and stage < 4:  # the activation rises, so the largest comes first as well
                    x = [self.tape.largest(x[0], 2)]
                x = self.tape.activate(x)
        self._end(x)

    def _end(self, features: Fields) -> None:
        """The head's weights are independent of each other: every feature feels the same."""
        for part in features:
            part.gradient += 1.0


def _split(state: LayerState, along: float, total: float) -> None:
    state.backward_ratio = math.sqrt(max(total - along, 0.0) / along)
