"""Does every valid experiment survive its journeys and build, and does every other one give one sentence?

LABAPP_EXPERIMENTS says how many are tried.
"""

import os
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labapp.app.launch import arguments_for
from labapp.commands.options import parse
from labapp.commands.settings import Options, experiment
from labapp.config import BELONGS_TO, CHOICES, FAMILIES, Experiment, LabError
from labapp.nets.ordered import net_for

TRIED = int(os.environ.get("LABAPP_EXPERIMENTS", "30"))
DEPTHS = {
    "plain": st.sampled_from([8, 11, 14, 20, 26]),
    "residual": st.sampled_from([8, 11, 14, 20, 26]),
    "dense": st.sampled_from([7, 10, 13, 16]),
    "vgg": st.sampled_from([11, 13, 16, 19]),
}
SMALL: dict[str, st.SearchStrategy] = {
    "width": st.sampled_from([4, 8]),
    "growth_rate": st.integers(1, 6),
    "compression": st.sampled_from([0.3, 0.5, 1.0]),
    "dropout": st.sampled_from([0.0, 0.2, 0.5]),
    "preactivation": st.booleans(),
    "shortcut_scale": st.sampled_from([0.5, 1.0, 1.5]),
    "bottleneck": st.booleans(),
    "steps": st.integers(1, 10**6),
    "batch_size": st.integers(1, 512),
    "learning_rate": st.floats(1e-6, 10),
    "momentum": st.sampled_from([0.0, 0.5, 0.9]),
    "nesterov": st.booleans(),
    "weight_decay": st.floats(0, 1),
    "warmup_steps": st.integers(0, 300),
    "clip_norm": st.floats(1e-3, 1e3),
    "accumulate": st.integers(1, 8),
    "seed": st.integers(0, 2**32 - 1),
    "augment": st.booleans(),
    "histograms": st.booleans(),
    "spreads": st.booleans(),
    "gradient_noise": st.just(False),  # True needs micro-batches
    "data": st.text(min_size=1, max_size=8),
}
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=6),
    st.lists(st.integers(), max_size=2),
)


@st.composite
def likely(draw: st.DrawFn) -> dict[str, Any]:
    """Values of which most are valid together: a net that is small enough to be built, and a training."""
    family = draw(st.sampled_from(FAMILIES))
    values: dict[str, Any] = {"family": family, "width": draw(SMALL["width"])}
    if draw(st.booleans()):
        values["depth"] = draw(DEPTHS[family])
    own = [name for name in BELONGS_TO if family in BELONGS_TO[name] and name != "configuration"]
    for name in draw(st.lists(st.sampled_from([*own, "norm", "activation", "init", "padding_mode"]), unique=True)):
        values[name] = draw(st.sampled_from(CHOICES[name]) if name in CHOICES else SMALL[name])
    rest = [name for name in SMALL if name not in BELONGS_TO and name != "width"]
    for name in draw(st.lists(st.sampled_from([*rest, "schedule", "record", "precision"]), unique=True, max_size=6)):
        values[name] = draw(st.sampled_from(CHOICES[name]) if name in CHOICES else SMALL[name])
    return values


def test_every_option_of_a_family_is_tried() -> None:
    assert set(BELONGS_TO) - {"configuration"} <= {*CHOICES, *SMALL}


def made(values: dict[str, Any]) -> Experiment | None:
    """The experiment of these values; None after one sentence."""
    try:
        return Experiment(**values)
    except LabError as error:
        text = str(error)
        assert text.strip()
        assert "\n" not in text
        assert "validation error" not in text
        return None


@settings(max_examples=TRIED, deadline=None, suppress_health_check=list(HealthCheck))
@given(likely())
def test_a_likely_experiment_travels_and_builds(values: dict[str, Any]) -> None:
    experiment = made(values)
    if experiment is None:
        return
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment
    assert Experiment(**experiment.model_dump()) == experiment
    assert experiment.but() == experiment
    if not values.get("data", "").startswith("-"):  # a folder's name that looks like an option
        words = arguments_for(experiment)
        bound = parse(_seen, "train", words[1:])
        bound()
        assert _SEEN.pop() == experiment
    try:
        with torch.device("meta") if experiment.init == "default" else torch.random.fork_rng(devices=[]):
            net = net_for(experiment, num_classes=7, image_size=24, in_channels=3)
    except LabError as error:
        fault = str(error)
        assert "\n" not in fault
        return
    if experiment.init == "default":
        return
    net.eval()
    with torch.no_grad():
        logits = net(torch.zeros(2, 3, 24, 24))
    assert logits.shape == (2, 7)
    assert all(bool(parameter.isfinite().all()) for parameter in net.parameters())


_SEEN: list[Experiment] = []


def _seen(given: Options) -> int:
    _SEEN.append(experiment(given))
    return 0


@settings(max_examples=TRIED, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from([*Experiment.model_fields, "no_field", "famly"]), ANYTHING, max_size=5))
def test_an_unlikely_experiment_is_valid_or_a_sentence(values: dict[str, Any]) -> None:
    experiment = made(values)
    if experiment is not None:
        assert Experiment(**experiment.model_dump()) == experiment


@pytest.mark.parametrize("name", [name for name in CHOICES if name != "family"])
def test_every_word_of_every_choice(name: str) -> None:
    """Alone, and in the family it belongs to, each known word makes an experiment."""
    for word in CHOICES[name]:
        family = BELONGS_TO.get(name, ("residual",))[0]
        assert getattr(Experiment(**{"family": family, name: word}), name) == word
