"""Layers of every kind, in place and as views, and nets whose structure changes."""

import torch
from torch import nn

from tests.recording.scenarios import data, scenario


def ordinary(shape, dtype=torch.float32):
    def step(run, model, optimizer, number):
        optimizer.zero_grad()
        x = (
            torch.randint(0, 20, shape, generator=torch.Generator().manual_seed(number))
            if dtype is torch.int64
            else data(number, *shape).to(dtype)
        )
        out = model(x)
        out = out if isinstance(out, torch.Tensor) else out[0]
        run.backward((out.abs() if out.is_complex() else out).pow(2).mean())
        run.step(optimizer)

    return step


class Function(nn.Module):
    """A module made of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class GPT2Linear(nn.Module):
    def __init__(self, one, two):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(one, two) * 0.3), nn.Parameter(torch.zeros(two))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


class Scale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x):
        return x * self.gamma


class Token(nn.Module):
    """A parameter of the net itself, as a class token."""

    def __init__(self):
        super().__init__()
        self.token, self.body = nn.Parameter(torch.randn(1, 1, 6)), nn.Linear(6, 6)

    def forward(self, x):
        return self.body(torch.cat([self.token.expand(len(x), -1, -1), x], 1))[:, 0]


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 6, dtype=torch.complex64) * 0.3)

    def forward(self, x):
        return (torch.fft.fft(x) @ self.weight.T).abs()


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.middle, self.decode = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, i):
        return self.decode(self.middle(self.encode(i)))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inner, self.head = kind(6, 8, num_layers=2, batch_first=True, bidirectional=True), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.inner(x)[0][:, -1])


class Unrolled(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = x.new_zeros(x.shape[1], 8)
        for part in x:
            h = self.cell(part, h)
        return self.head(h)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.attention(x, x, x, need_weights=False)[0])


class Bag(nn.Module):
    def __init__(self, sparse=False):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(20, 8, sparse=sparse), nn.Linear(8, 3)

    def forward(self, i):
        return self.head(self.bag(i))


class Odd(nn.Module):
    """Names that other tools take for patterns."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict(
            {"a[0]": nn.Linear(6, 8), "b#1": nn.Linear(8, 8), "*": nn.Linear(8, 8), "c d": nn.Linear(8, 3)}
        )
        self.places = {"anything": 3}
        self.weights = self.hooks = "mine"

    def forward(self, x):
        for part in self.parts.values():
            x = part(x).tanh()
        return x


def images(*layers):
    return lambda: nn.Sequential(*(layer() for layer in layers), nn.Flatten(), nn.LazyLinear(3))


def built(make, x):
    """Lazy layers get their shape before anything is recorded."""

    def run():
        model = make()
        with torch.no_grad():
            model(x)
        return model

    return run


INPLACE = lambda: nn.ReLU(inplace=True)  # noqa: E731
NETS = {
    "convolution 1d": ((3, 4, 16), [lambda: nn.Conv1d(4, 6, 3), lambda: nn.BatchNorm1d(6), INPLACE]),
    "convolution 2d": ((3, 4, 8, 8), [lambda: nn.Conv2d(4, 6, 3), lambda: nn.BatchNorm2d(6), INPLACE]),
    "convolution 3d": ((2, 2, 4, 4, 4), [lambda: nn.Conv3d(2, 3, 3), lambda: nn.GroupNorm(3, 3), INPLACE]),
    "transposed": ((2, 4, 5, 5), [lambda: nn.ConvTranspose2d(4, 3, 3), lambda: nn.SiLU(inplace=True)]),
    "instance norm, in place": (
        (2, 3, 8, 8),
        [lambda: nn.Conv2d(3, 4, 3), lambda: nn.InstanceNorm2d(4, affine=True), INPLACE],
    ),
    "instance norm 1d, ELU in place": (
        (2, 3, 9),
        [lambda: nn.Conv1d(3, 4, 3), lambda: nn.InstanceNorm1d(4, affine=True), lambda: nn.ELU(inplace=True)],
    ),
    "linear on tokens, in place": (
        (2, 5, 6),
        [lambda: nn.Linear(6, 8), INPLACE, lambda: nn.Linear(8, 4), lambda: nn.Hardtanh(inplace=True)],
    ),
    "layer norm on tokens, in place": (
        (2, 5, 6),
        [lambda: nn.Linear(6, 8), lambda: nn.LayerNorm(8), lambda: nn.LeakyReLU(inplace=True)],
    ),
    "chunks changed in place": (
        (4, 6),
        [
            lambda: nn.Linear(6, 8),
            lambda: Function(lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1].sigmoid()),
            lambda: nn.Linear(4, 4),
        ],
    ),
    "a transpose": (
        (2, 5, 6),
        [lambda: nn.Linear(6, 8), lambda: Function(lambda x: x.transpose(1, 2)), lambda: nn.Linear(5, 4), INPLACE],
    ),
    "multiplied in place": (
        (4, 6),
        [lambda: nn.Linear(6, 8), lambda: Function(lambda x: x.mul_(2.0)), lambda: nn.Linear(8, 4)],
    ),
    "an output's view filled in place": (
        (2, 5, 6),
        [lambda: nn.Linear(6, 8), lambda: Function(lambda x: x.view(10, 8).mul_(0.5)), lambda: nn.Linear(8, 4)],
    ),
    "a slice of an output zeroed": (
        (2, 5, 6),
        [lambda: nn.Linear(6, 8), lambda: Function(masked), lambda: nn.Linear(8, 4)],
    ),
    "flatten first": ((2, 5, 6), [nn.Flatten, lambda: nn.Linear(30, 8), nn.Identity, INPLACE]),
    "drop-in linear layers": ((4, 6), [lambda: GPT2Linear(6, 8), nn.GELU, lambda: GPT2Linear(8, 8), lambda: Scale(8)]),
    "prelu": ((4, 6), [lambda: nn.Linear(6, 8), lambda: nn.PReLU(8), lambda: nn.Linear(8, 4)]),
    "bilinear pool": (
        (2, 3, 8, 8),
        [
            lambda: nn.Conv2d(3, 8, 3, groups=1, bias=False),
            lambda: nn.MaxPool2d(2),
            lambda: nn.LocalResponseNorm(2),
            lambda: nn.RMSNorm(3),
        ],
    ),
    "dilated and grouped": (
        (2, 4, 9, 9),
        [lambda: nn.Conv2d(4, 8, 3, dilation=2, groups=2, padding_mode="reflect", padding=1), nn.Softplus],
    ),
    "dropout": (
        (4, 6),
        [
            lambda: nn.Linear(6, 32),
            lambda: nn.Dropout(0.5),
            nn.ReLU,
            lambda: nn.Dropout(0.2),
            nn.Tanh,
            lambda: nn.Linear(32, 8),
            lambda: nn.Dropout(0.2, inplace=True),
        ],
    ),
    "one value": ((1, 6), [lambda: nn.Linear(6, 1), nn.Identity]),
}


def masked(x):
    x[:, 2:] = 0
    return x


for name, (shape, layers) in NETS.items():
    make = built(images(*layers), data(0, *shape))
    scenario(make, name=name)(ordinary(shape))
    if len(shape) == 4:

        def last(make=make):
            return make().to(memory_format=torch.channels_last)

        @scenario(last, name=f"{name}, channels last")
        def channels_last(run, model, optimizer, number, shape=shape):
            optimizer.zero_grad()
            run.backward(model(data(number, *shape).to(memory_format=torch.channels_last)).pow(2).mean())
            run.step(optimizer)


for name, (make, shape, dtype) in {
    "a linear layer alone": (lambda: nn.Linear(6, 3), (4, 6), torch.float32),
    "an LSTM alone": (lambda: nn.LSTM(6, 8), (2, 5, 6), torch.float32),
    "a token of the net": (Token, (4, 3, 6), torch.float32),
    "complex weights": (Complex, (4, 6), torch.float32),
    "tied weights": (Tied, (4, 5), torch.int64),
    "RNN": (lambda: Recurrent(nn.RNN), (4, 5, 6), torch.float32),
    "GRU": (lambda: Recurrent(nn.GRU), (4, 5, 6), torch.float32),
    "LSTM": (lambda: Recurrent(nn.LSTM), (4, 5, 6), torch.float32),
    "a cell unrolled 100 times": (Unrolled, (100, 4, 6), torch.float32),
    "odd names": (Odd, (4, 6), torch.float32),
    "embedding bag": (Bag, (4, 5), torch.int64),
    "shared module": (
        lambda: (lambda one: nn.Sequential(one, nn.Tanh(), one, nn.ReLU(), one))(nn.Linear(6, 6)),
        (4, 6),
        torch.float32,
    ),
}.items():
    scenario(make, name=name)(ordinary(shape, dtype))


LAYER = nn.TransformerEncoderLayer
for name, make in {
    "attention": Attention,
    "transformer encoder": lambda: nn.TransformerEncoder(LAYER(6, 2, 8, 0.0, batch_first=True), 2),
    "transformer, norm first": lambda: nn.Sequential(LAYER(6, 2, 8, 0.1, batch_first=True, norm_first=True), nn.Tanh()),
}.items():
    scenario(make, name=name, unseen=True)(ordinary((4, 5, 6)))


@scenario(lambda: LAYER(6, 2, 8, batch_first=True), unseen=True)
def the_fast_path_of_a_transformer(run, model, optimizer, number):
    with torch.no_grad():
        model.eval()
        model(data(number + 40, 4, 5, 6))
        model.train()
    optimizer.zero_grad()
    run.backward(model(data(number, 4, 5, 6)).pow(2).mean())
    run.step(optimizer)


for name, make in {
    "sparse embedding": lambda: nn.Sequential(nn.Embedding(20, 8, sparse=True), nn.Linear(8, 3)),
    "sparse embedding bag": lambda: Bag(sparse=True),
}.items():
    scenario(make, lambda m: torch.optim.SGD(m.parameters(), 0.1), name=name)(ordinary((5, 4), torch.int64))
