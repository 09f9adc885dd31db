"""Which values describe an experiment completely, and which of them belong together?"""

import hashlib
import math
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from labapp.config import choices
from labapp.config.errors import LabError, listed, nearest, sentence

# left out as they are, they leave digests as they were before
LATER = ("histograms", "spreads", "gradient_noise", "num_nodes", "sync_batchnorm")


class Experiment(BaseModel):
    """Everything that changes a result. Frozen; values that the user left out are filled in when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # the net
    family: str = Field("residual", description="plain, residual, dense or vgg")
    net: str | None = Field(None, description="instead of a family: torchvision:NAME, timm:NAME or your MODULE:FACTORY")
    form: str = Field("cifar", description="cifar (small images) or imagenet (a stem that divides the size by four)")
    depth: PositiveInt | None = Field(None, description="weight layers; 6n+2 (plain, residual), 3N+4 (dense), 11-19")
    width: PositiveInt | None = Field(None, description="channels of the first stage (dense: of the stem)")
    norm: str = Field("batch", description="batch, layer, group or none")
    activation: str = Field("relu", description="relu, tanh, sigmoid, gelu or leaky_relu")
    init: str = Field("he", description="he, glorot, lecun, default, orthogonal or looks-linear (relu only)")
    padding_mode: str = Field("zeros", description="zeros or circular")
    shortcut: str | None = Field(None, description="residual: A (padding), B (projection where shapes change), C (all)")
    shortcut_scale: PositiveFloat | None = Field(None, description="residual: the factor of every shortcut, 1")
    preactivation: bool | None = Field(None, description="plain, residual: norm and activation before the convolution")
    block: str | None = Field(None, description="plain, residual: basic or bottleneck")
    growth_rate: PositiveInt | None = Field(None, description="dense: channels a layer adds")
    bottleneck: bool | None = Field(None, description="dense: a 1x1 convolution before each 3x3 (the B of BC)")
    compression: float | None = Field(None, gt=0, le=1, description="dense: share of channels a transition keeps")
    dropout: float | None = Field(None, ge=0, lt=1, description="dense: share of outputs dropped after a convolution")
    configuration: str | None = Field(None, description="vgg: A, B, C, D or E")
    head: str | None = Field(None, description="vgg: fc (three linear layers) or gap (global average pooling)")

    # the images
    imageset: str = Field("cluttered-digits", description="one of: " + ", ".join(choices.IMAGESETS))
    image_size: PositiveInt | None = Field(None, description="pixels a side; the set's own when left out")
    data: str = Field("data", description="folder in which image sets are looked for and downloaded to")
    augment: bool | None = Field(
        None, description="pad-4 crop and flip in training; recipes he and densenet: photographs"
    )
    train_images: PositiveInt | None = Field(None, description="use only this many training images")
    test_images: PositiveInt | None = Field(None, description="use only this many test images")

    # training
    recipe: str = Field("lab", description="defaults of the training options: lab, he (2015) or densenet (2017)")
    steps: PositiveInt = Field(300, description="optimizer steps")
    batch_size: PositiveInt = Field(64, description="images of one optimizer step, over all devices and micro-batches")
    learning_rate: PositiveFloat = Field(0.1, description="of SGD, at the start (after the warm-up)")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    nesterov: bool = Field(False, description="Nesterov's momentum")
    weight_decay: NonNegativeFloat = Field(1e-4, description="of SGD, on all parameters")
    schedule: str = Field("cosine", description="constant, cosine, he or densenet (a tenth after 1/2, again after 3/4)")
    warmup_steps: NonNegativeInt = Field(0, description="steps in which the learning rate rises; lab: a third")
    clip_norm: PositiveFloat | None = Field(None, description="clip the total gradient norm to this")
    accumulate: PositiveInt = Field(1, description="micro-batches of one optimizer step")
    seed: int = Field(0, ge=0, lt=2**32, description="of the weights, the order of images and the augmentation")

    # recording
    record: str = Field("every", description="every (n-th step), log-spaced or none")
    record_every: PositiveInt = Field(10, description="record every n-th step, from step 0")
    record_points: PositiveInt = Field(50, description="log-spaced: how many steps in all")
    histograms: bool = Field(False, description="histograms of magnitudes at each recorded step")
    spreads: bool = Field(False, description="minimum, maximum and quartiles at each recorded step")
    gradient_noise: bool = Field(False, description="how far the gradients of a step's micro-batches differ")
    eval_every: PositiveInt = Field(50, description="test accuracy every n steps, and at the end")
    checkpoints: NonNegativeInt = Field(8, description="weights kept at this many log-spaced steps, and at the end")

    # the machine
    device: str = Field("auto", description="auto, cpu, gpu, cuda or mps")
    precision: str = Field("32-true", description="32-true, 64-true, 16-mixed, bf16-mixed, 16-true or bf16-true")
    devices: PositiveInt = Field(1, description="processes on each host, one a device")
    num_nodes: PositiveInt = Field(1, description="hosts that train together")
    sync_batchnorm: bool = Field(False, description="batch norms take the statistics of all processes' images")

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise LabError(sentence(error, type(self).model_fields)) from None

    @property
    def name(self) -> str:
        """Family and depth, "residual-56"; of a net of another maker its own name, "resnet18"."""
        return f"{self.family}-{self.depth}" if self.net is None else self.net.rpartition(":")[2]

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that go with the content: equal for equal experiments, however they were given."""
        later = {name for name in LATER if getattr(self, name) == type(self).model_fields[name].default}
        content = self.model_dump_json(exclude=later)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def net_options(self) -> dict[str, Any]:
        """What `labapp.nets.build(**options)` takes; num_classes and image_size come from the image set.

        Empty for a net of another maker, which `labapp.nets.foreign` builds.
        """
        if self.family == choices.FOREIGN:
            return {}
        always = ("family", "form", "depth", "width", "norm", "activation", "init", "padding_mode")
        own = (option for option, families in choices.BELONGS_TO.items() if self.family in families)
        return {name: getattr(self, name) for name in (*always, *own)}

    def but(self, **changes: Any) -> Self:
        """The same experiment with some values changed; values that were never given are filled in again."""
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set} | changes)

    @model_validator(mode="before")
    @classmethod
    def _none_means_left_out(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v is not None} if isinstance(values, dict) else values

    @field_validator(*choices.CHOICES)
    @classmethod
    def _known_word(cls, word: str, info: ValidationInfo) -> str:
        allowed = choices.CHOICES[info.field_name or ""]
        if word not in allowed and (info.field_name, word) != ("family", choices.FOREIGN):
            kind = {"imageset": "image set", "init": "initialisation"}.get(info.field_name or "", info.field_name)
            verb = "builds" if kind == "family" else "knows"
            raise LabError(f"unknown {kind} {word!r}; the lab {verb} {listed(allowed)}{nearest(word, allowed)}")
        return word

    @model_validator(mode="after")
    def _settle(self) -> Self:
        """Fill in what was left out, recipe first, then check what belongs together."""
        if self.net is not None or self.family == choices.FOREIGN:
            self._check_foreign()
        for name, families in choices.BELONGS_TO.items():
            if name in self.model_fields_set and self.family not in families:
                kinds = f"{listed(families)} nets"
                raise LabError(f"{name} belongs to {kinds}; this one is {self.family}, so leave {name} out")
        self._fill(**choices.RECIPES[self.recipe])
        if self.recipe == "lab" and "schedule" not in self.model_fields_set:
            # deep residual nets of small width need the warm-up to start, see labapp/training/starter.py
            self._fill(warmup_steps=self.steps // 3)
        self._fill(augment=self.recipe != "lab" and self.imageset in choices.PHOTOGRAPHS)
        if self.family != choices.FOREIGN:
            {"dense": self._settle_dense, "vgg": self._settle_vgg}.get(self.family, self._settle_residual)()
        self._check_training()
        return self

    def _fill(self, **defaults: Any) -> None:
        """Settle fields that were not given; past the freeze, and without counting them as given."""
        self.__dict__.update({name: value for name, value in defaults.items() if name not in self.model_fields_set})

    def _check_foreign(self) -> None:
        if self.net is None:
            raise LabError("a foreign net is given as net: torchvision:NAME, timm:NAME or MODULE:FACTORY")
        if not self.net.isprintable():
            raise LabError(f"net {self.net!r} holds signs that cannot be shown, so it names none")
        if "family" in self.model_fields_set and self.family != choices.FOREIGN:
            raise LabError(f"net {self.net!r} and family {self.family!r} are two nets; give one of them")
        for name in ("form", "depth", "width", "norm", "activation", "init", "padding_mode", *choices.BELONGS_TO):
            if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                raise LabError(
                    f"{name} belongs to the lab's own nets; {self.net} is built by its maker, so leave it out"
                )
        self.__dict__["family"] = choices.FOREIGN

    def _settle_residual(self) -> None:
        imagenet = self.form == "imagenet"
        basic = not imagenet or self.depth is None or self.depth in choices.IMAGENET_DEPTHS["basic"]
        self._fill(block="basic" if basic else "bottleneck", preactivation=False, width=64 if imagenet else 16)
        bottleneck = self.block == "bottleneck"
        self._fill(depth=(50 if bottleneck else 18) if imagenet else 20)
        if self.family == "residual":
            # identity shortcuts as in He 2015; a bottleneck's first stage changes the channels, so it projects
            self._fill(shortcut="B" if imagenet or bottleneck else "A", shortcut_scale=1.0)
        if imagenet:
            if "block" in self.model_fields_set:
                self._check_table(
                    choices.IMAGENET_DEPTHS[str(self.block)], f"a {self.family} net with {self.block} blocks"
                )
            self._check_table(
                choices.IMAGENET_DEPTHS["basic"] + choices.IMAGENET_DEPTHS["bottleneck"], f"a {self.family} net"
            )
        elif bottleneck:
            self._check_depth(9, 2, "9n+2", f"a {self.family} net with bottleneck blocks")
        else:
            self._check_depth(6, 2, "6n+2", f"a {self.family} net")

    def _settle_dense(self) -> None:
        imagenet = self.form == "imagenet"
        self._fill(depth=121 if imagenet else 40, bottleneck=imagenet, compression=0.5 if imagenet else 1.0)
        self._fill(growth_rate=12 if not imagenet else 48 if self.depth == 161 else 32)
        self._fill(dropout=0.2 if self.recipe == "densenet" and not self.augment else 0.0)
        compressed_bottleneck = bool(self.bottleneck) and (self.compression or 1) < 1
        self._fill(width=2 * (self.growth_rate or 0) if imagenet or compressed_bottleneck else 16)
        if imagenet:
            self._check_table(choices.IMAGENET_DEPTHS["dense"], "a dense net")
        elif self.bottleneck:
            self._check_depth(6, 4, "6n+4", "a dense net with bottlenecks")
        else:
            self._check_depth(3, 4, "3N+4", "a dense net")
        self._check_compression()

    def _check_compression(self) -> None:
        """No transition may be left without a channel; the first two are the narrowest."""
        depth, width, growth, share = self.depth or 0, self.width or 0, self.growth_rate or 0, self.compression or 1.0
        layers = (depth - 4) // (6 if self.bottleneck else 3)
        for number, count in enumerate((6, 12) if self.form == "imagenet" else (layers, layers), start=1):
            inputs = width + count * growth
            width = int(share * inputs)
            if not width:
                least = f"{math.ceil(1000 / inputs) / 1000:g}"
                raise LabError(
                    f"compression {share:g} leaves transition {number} none of its {inputs} channels; take {least} or "
                    "more, or a larger growth_rate"
                )

    def _settle_vgg(self) -> None:
        letters = {depth: letter for letter, depth in choices.VGG_DEPTHS.items() if letter != "C"}
        if self.depth is not None:
            self._check_table(tuple(letters), "a VGG net")
        self._fill(configuration=letters[self.depth or 16])
        self._fill(depth=choices.VGG_DEPTHS[str(self.configuration)])
        if self.depth != choices.VGG_DEPTHS[str(self.configuration)]:
            right = choices.VGG_DEPTHS[str(self.configuration)]
            raise LabError(f"VGG configuration {self.configuration} has {right} weight layers, not {self.depth}")
        self._fill(width=64, head="fc" if self.form == "imagenet" else "gap")

    def _check_depth(self, period: int, rest: int, formula: str, what: str) -> None:
        depth = self.depth or 0
        fitting = (depth - rest) / period
        if fitting < 1 or fitting != int(fitting):
            below = max(1, math.floor(fitting))
            two = listed((period * n + rest for n in (below, below + 1)), "or")
            raise LabError(f"{what} in the CIFAR form has {formula} weight layers, and {depth} is not; take {two}")

    def _check_table(self, depths: tuple[int, ...], what: str) -> None:
        if self.depth not in depths:
            two = sorted(sorted(depths, key=lambda known: abs(known - (self.depth or 0)))[:2])
            form = "" if self.family == "vgg" else " in the ImageNet form"
            raise LabError(
                f"{what}{form} has {listed(depths, 'or')} weight layers, not {self.depth}; take {listed(two, 'or')}"
            )

    def _check_training(self) -> None:
        if self.init == "looks-linear" and self.activation != "relu":
            raise LabError(f"looks-linear initialisation exists for relu only, not for {self.activation}")
        if self.nesterov and self.momentum == 0:
            raise LabError("Nesterov's momentum needs a momentum above 0; leave nesterov out or raise momentum")
        if self.warmup_steps > self.steps:
            raise LabError(f"warmup_steps {self.warmup_steps} is longer than the training of {self.steps} steps")
        if self.accumulate > self.batch_size:
            raise LabError(f"a batch of {self.batch_size} images cannot be cut into {self.accumulate} micro-batches")
        if self.gradient_noise and self.accumulate < 2:
            raise LabError("gradient_noise compares the micro-batches of a step; take accumulate 2 or more with it")
