"""The contract of diagnostics: all of the lab's own keep it, and whoever breaks a promise is told which."""

import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from labapp.config import LabError
from labapp.frames.method import PARTS, cards
from labapp.probes import contract, map_scores
from labapp.probes.catalogue import ASKED, CATALOGUE, ProbeSpec
from labapp.probes.measure import function_of, offered
from tests.probes.probing import METHOD, few_points

SPEC = ProbeSpec("thing", "Thing", "What?", images=4, columns=("layer", "value", "reason"), value="value")


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_diagnostic_of_the_lab_keeps_the_contract(name, monkeypatch):
    monkeypatch.setattr(map_scores, "CHECKED", ("gradcam",))  # each of the three is a cascade of nets
    card = cards()[name]
    method = "\nMethod:\n" + "\n".join(f"    {label}: {getattr(card, part)}" for part, label in PARTS.items())
    with few_points():
        assert contract.faults(CATALOGUE[name], function_of(name), method) == []


def test_the_contract_asks_for_every_part_of_a_card():
    assert tuple(PARTS.values()) == contract.PARTS


def table(net, values=None, **more):
    weights = [(name, each) for name, each in net.named_parameters() if each.dim() > 1]
    if not weights:
        raise LabError("this net has no weights")
    values = [float(each.detach().norm()) for _, each in weights] if values is None else values(len(weights))
    reasons = ["" if np.isfinite(value) else "the weights are not finite" for value in values]
    return pd.DataFrame({"layer": [name for name, _ in weights], "value": values, "reason": reasons} | more)


def good(net, images, samples=3, *, progress=None):
    return table(net)


def forward(act):
    """A diagnostic that does something, and measures."""

    def made(net):
        act(net)
        return table(net)

    return made


def refuse(error):
    def made(net):
        raise error

    return made


def loud(net):
    """Says a net without weights with two lines."""
    try:
        return table(net)
    except LabError:
        raise LabError("no\nweights") from None


def scaled(net):
    """Makes a number of NaN weights."""
    return table(net).fillna({"value": 0.0})


BROKEN = {  # what is said, of which diagnostic
    "it asks for 'loader'; it may ask for given, model": lambda net, loader: table(net),
    "it takes 'net' by its place alone": lambda net, /: table(net),
    "it returns list, not a pandas.DataFrame": lambda net: [1],
    "has other besides": lambda net: table(net, other=1),
    "lacks reason": lambda net: table(net).drop(columns="reason"),
    "has no row": lambda net: table(net).iloc[:0],
    "holds list; one value a cell": lambda net: table(net).assign(reason=[[1]] * len(table(net))),
    "is NaN for a net, and no column reason or note says why": lambda net: table(net).assign(value=np.nan, reason=""),
    "two tables of one net differ in the column 'value'": lambda net: table(net, lambda n: torch.rand(n).tolist()),
    "of a net it says that it cannot be measured: not this one": refuse(LabError("not this one")),
    "on a net it raises ValueError (what?)": refuse(ValueError("what?")),
    "what it says of a net without layers is not one sentence": loud,
    "its column 'value' holds numbers of a net whose weights are NaN": scaled,
    "weights and statistics are not as before": forward(lambda net: next(net.parameters()).data.add_(1)),
    ", gradients are not as before": forward(lambda net: net.zero_grad()),
    "parameters that learn are not as before": forward(lambda net: net.requires_grad_(False)),
    "modes of modules are not as before": forward(lambda net: net.train()),
    "hooks and attributes of modules are not": forward(lambda net: net.register_forward_hook(lambda *_: None)),
    "random numbers of torch are not": forward(lambda net: torch.rand(1)),
    "random numbers of numpy are not": forward(lambda net: np.random.rand()),  # noqa: NPY002
    "random numbers of Python are not": forward(lambda net: random.random()),
    "images are not as before": lambda net, images: (images.mul_(2), table(net))[1],
}  # fmt: skip


@pytest.mark.parametrize(("said", "diagnostic"), BROKEN.items(), ids=lambda word: word if isinstance(word, str) else "")
def test_whoever_breaks_a_promise_is_told_which(said, diagnostic):
    found = contract.faults(SPEC, diagnostic, METHOD)
    assert any(said in fault for fault in found), found
    assert not any("\n" in fault.replace("\\n", "") for fault in found)


def test_whoever_keeps_all_is_told_nothing():
    assert contract.faults(SPEC, good, METHOD) == []


@pytest.mark.parametrize("part", contract.PARTS)
def test_each_part_of_the_block_method_is_asked_for(part):
    lacking = METHOD.replace(f"    {part}: Words about it.\n", "")
    assert contract.faults(SPEC, good, lacking) == [f"its block Method does not say {part}"]
    assert contract.faults(SPEC, good) == ["its docstring has no block 'Method:'"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "A thing"}, "its name is 'A thing'"),
        ({"title": ""}, "its title is empty"),
        ({"when": "often"}, "its when is 'often'; there are all, few, ends, last and plan"),
        ({"images": 513}, "its images are 513"),
        ({"images": True}, "its images is True, of another type"),
        ({"columns": "value"}, "its columns is 'value', of another type"),
        ({"families": ("plain", "cubic"), "otherwise": "no"}, "its families name 'cubic'"),
        ({"families": ("plain",)}, "say in otherwise why not"),
        ({"columns": ()}, "it declares no columns"),
        ({"value": "cka"}, "its value is 'cka', which is none of its columns"),
    ],
)
def test_a_spec_is_held_to_what_there_is(change, said):
    assert any(said in fault for fault in contract.faults(replace(SPEC, **change), good, METHOD))


def test_what_may_be_asked_for_is_what_is_given():
    from labapp.probes.given import Given, ProbeImages

    batch = ProbeImages(torch.zeros(1, 1, 1, 1), torch.zeros(1))
    given = Given(nn.Identity(), 0, None, batch, lambda: batch, 2, lambda share: None, lambda words: None)
    assert tuple(offered(given)) == ASKED


def test_a_diagnostic_is_checked_by_its_name():
    contract.check("stacks")
    with pytest.raises(LabError, match="unknown quantity 'stakcs'"):
        contract.check("stakcs")
