"""A small net, its batches, and the loop written out by hand: the oracle of every callback."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labapp.recording import Recorder, RecorderWarning, every
from labapp.store import Run
from labapp.store.schema import QUANTITIES

Batch = tuple[Tensor, Tensor]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 4, 3),
            norm1=nn.BatchNorm2d(4),
            relu=nn.ReLU(),
            conv2=nn.Conv2d(4, 4, 3),
            flat=nn.Flatten(),
            head=nn.Linear(4 * 16, 5),
        )
    )


def batches(count: int, size: int = 6) -> list[Batch]:
    made = torch.Generator().manual_seed(1)
    return [
        (torch.randn(size, 3, 8, 8, generator=made), torch.randint(0, 5, (size,), generator=made)) for _ in range(count)
    ]


def sgd(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-3)


class ByHand(NamedTuple):
    """What a training gave that no library ran."""

    layers: pd.DataFrame
    weights: dict[str, Tensor]
    losses: list[float]  # one an optimizer step, the mean of its micro-batches
    accuracies: list[float]


def by_hand(
    given: Sequence[Batch],
    parts: int = 1,
    *,
    model: nn.Module | None = None,
    make: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer] = sgd,
    clip: float | None = None,
    autocast: bool = False,
    logits: Callable[[nn.Module, Tensor], Tensor] = lambda model, x: model(x),
    within: str = "",
) -> ByHand:
    """Train with explicit steps, each recorded; `within` names the part of the model that is."""
    model = model or net()
    optimizer = make(model.parameters())
    losses, accuracies = [], []
    model.train()
    with Recorder(model, optimizer, when=every(1), part=within) as recorder:
        for group in _groups(given, parts):
            with recorder.step():
                told, right = [], []
                for x, y in group:
                    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                        out = logits(model, x)
                        loss = F.cross_entropy(out, y)
                    (loss / parts).backward()
                    told.append(float(loss.detach().double()))
                    right.append(float((out.argmax(1) == y).float().mean().double()))
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
            losses.append(sum(told) / len(told))
            accuracies.append(sum(right) / len(right))
    return ByHand(recorder.table(), {k: v.clone() for k, v in model.state_dict().items()}, losses, accuracies)


def _groups(given: Sequence[Batch], parts: int) -> Iterator[Sequence[Batch]]:
    for first in range(0, len(given), parts):
        yield given[first : first + parts]


def require_same_layers(run: Run, expected: pd.DataFrame, first: int = 0) -> None:
    """The run's layers are those of a table in memory, bit for bit as the archive holds them (float32)."""
    found = run.layers()
    expected = expected[expected["step"] >= first]
    keys = ["step", "layer"]
    assert found[keys].astype({"layer": str}).to_dict("list") == expected[keys].astype({"layer": str}).to_dict("list")
    for name in QUANTITIES:
        if name in expected:
            one, two = (table[name].to_numpy(np.float32) for table in (found, expected))
            np.testing.assert_array_equal(one, two, err_msg=name)


def require_same_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    own = model.state_dict()
    assert own.keys() == weights.keys()
    assert all(torch.equal(own[name], weights[name]) for name in own)


@contextmanager
def what_is_said() -> Iterator[list[str]]:
    """What the recorder warns of, in a list that is there behind the block."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", RecorderWarning)
        yield said
    said += [str(each.message) for each in seen if issubclass(each.category, RecorderWarning)]


@contextmanager
def nothing_said() -> Iterator[None]:
    """No warning of the recorder's comes."""
    with what_is_said() as said:
        yield
    assert said == []
