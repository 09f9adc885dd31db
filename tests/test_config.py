"""Is an experiment complete, valid, and the same after a journey through JSON?"""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from labapp.config import (
    BELONGS_TO,
    CHOICES,
    FAMILIES,
    IMAGESETS,
    RECIPES,
    Experiment,
    LabError,
    listed,
    nearest,
    sentence,
)

FIELDS = list(Experiment.model_fields)
WORDS = {name: st.sampled_from(choices) for name, choices in CHOICES.items()}


def complaint(**values: object) -> str:
    """The sentence that comes for these values."""
    with pytest.raises(LabError) as raised:
        Experiment(**values)
    text = str(raised.value)
    assert text
    assert "\n" not in text
    assert "validation error" not in text
    assert "pydantic" not in text
    return text


def test_the_defaults_of_every_family_are_complete() -> None:
    own = {"plain": 2, "residual": 4, "dense": 4, "vgg": 2}
    for family in FAMILIES:
        for form in CHOICES["form"]:
            net = Experiment(family=family, form=form).net_options()
            assert None not in net.values()
            assert set(net) - {"family", "form", "depth", "width", "norm", "activation", "init", "padding_mode"} == {
                option for option, families in BELONGS_TO.items() if family in families
            }
            assert len(net) == 8 + own[family]


@pytest.mark.parametrize(
    ("given_values", "settled"),
    [
        ({}, {"depth": 20, "width": 16, "shortcut": "A", "block": "basic", "preactivation": False}),
        ({"family": "plain", "width": 8}, {"depth": 20, "width": 8, "shortcut": None}),
        ({"form": "imagenet"}, {"depth": 18, "width": 64, "shortcut": "B", "block": "basic"}),
        ({"form": "imagenet", "depth": 101}, {"block": "bottleneck"}),
        ({"form": "imagenet", "block": "bottleneck"}, {"depth": 50}),
        ({"block": "bottleneck", "depth": 164}, {"shortcut": "B"}),
        ({"family": "dense"}, {"depth": 40, "growth_rate": 12, "width": 16, "compression": 1.0, "bottleneck": False}),
        ({"family": "dense", "bottleneck": True, "compression": 0.5, "depth": 100}, {"width": 24, "dropout": 0.0}),
        ({"family": "dense", "form": "imagenet"}, {"depth": 121, "growth_rate": 32, "width": 64, "compression": 0.5}),
        ({"family": "dense", "form": "imagenet", "depth": 161}, {"growth_rate": 48, "width": 96}),
        ({"family": "vgg"}, {"depth": 16, "configuration": "D", "head": "gap", "width": 64}),
        ({"family": "vgg", "configuration": "C"}, {"depth": 16}),
        ({"family": "vgg", "depth": 19, "form": "imagenet"}, {"configuration": "E", "head": "fc"}),
    ],
)
def test_what_is_left_out_is_settled_by_the_family(given_values: dict, settled: dict) -> None:
    experiment = Experiment(**given_values)
    assert {name: getattr(experiment, name) for name in settled} == settled


def test_a_recipe_gives_defaults_and_what_is_said_wins() -> None:
    he = Experiment(recipe="he")
    assert (he.steps, he.batch_size, he.learning_rate, he.momentum) == (64_000, 128, 0.1, 0.9)
    assert (he.weight_decay, he.schedule, he.nesterov) == (1e-4, "he", False)
    densenet = Experiment(recipe="densenet", family="dense", imageset="cifar10")
    assert densenet.steps == 300 * 50_000 // 64
    assert (densenet.batch_size, densenet.nesterov, densenet.schedule) == (64, True, "densenet")
    for name in RECIPES:
        # 300 is also the field's own default: saying it still counts as saying it
        assert Experiment(recipe=name, steps=300, batch_size=32).steps == 300
        assert Experiment(recipe=name, steps=300, batch_size=32).batch_size == 32
        assert Experiment(recipe=name, steps=None) == Experiment(recipe=name)


def test_photographs_are_augmented_by_a_papers_recipe_and_digits_are_not() -> None:
    assert Experiment(recipe="he", imageset="cifar10").augment is True
    assert Experiment(recipe="he").augment is False
    assert Experiment(imageset="cifar10").augment is False
    assert Experiment(recipe="he", augment=True).augment is True
    assert Experiment(recipe="he", imageset="cifar10", augment=False).augment is False


def test_dropout_is_huangs_when_there_is_no_augmentation() -> None:
    dense = {"recipe": "densenet", "family": "dense", "imageset": "cifar10"}
    assert Experiment(**dense).dropout == 0.0
    assert Experiment(**dense, augment=False).dropout == 0.2
    assert Experiment(**dense, augment=False, dropout=0.1).dropout == 0.1
    assert Experiment(family="dense").dropout == 0.0


@settings(deadline=None)  # other work on the machine must not fail a test
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **{name: WORDS[name] for name in ("norm", "activation", "padding_mode", "imageset", "recipe", "schedule")},
            "family": WORDS["family"],
            "form": WORDS["form"],
            "steps": st.integers(1, 10**6),
            "learning_rate": st.floats(1e-9, 10),
            "clip_norm": st.none() | st.floats(1e-3, 10),
            "seed": st.integers(0, 2**32 - 1),
            "augment": st.none() | st.booleans(),
            "data": st.text(),
        },
    )
)
def test_an_experiment_survives_json_and_can_be_a_key(values: dict) -> None:
    experiment = Experiment(**values)
    again = Experiment(**json.loads(experiment.model_dump_json()))
    assert again == experiment
    assert hash(again) == hash(experiment)
    assert again.but() == experiment
    assert experiment.but(seed=7).seed == 7


@settings(deadline=None)  # other work on the machine must not fail a test
@given(st.sampled_from(FAMILIES), st.integers(-3, 400), st.booleans())
def test_a_wrong_depth_is_told_with_two_right_ones(family: str, depth: int, bottleneck: bool) -> None:
    block = "bottleneck" if bottleneck else "basic"
    option = {"vgg": {}, "dense": {"bottleneck": bottleneck}}.get(family, {"block": block})
    if depth <= 0:
        assert complaint(family=family, depth=depth, **option) == f"depth must be above 0, not {depth}"
    elif not _fits(family, depth, option):
        told = complaint(family=family, depth=depth, **option)
        low, high = (int(word) for word in told.split("take ")[1].split(" or "))
        assert _fits(family, low, option)
        assert _fits(family, high, option)
        assert not any(_fits(family, between, option) for between in range(low + 1, high))
        assert low < depth < high or depth < low or family == "vgg"


def _fits(family: str, depth: int, option: dict) -> bool:
    try:
        Experiment(family=family, depth=depth, **option)
    except LabError:
        return False
    return True


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"family": "rezidual"},
            "unknown family 'rezidual'; the lab builds plain, residual, dense and vgg (did you mean",
        ),
        ({"imageset": "cifar-10"}, "(did you mean 'cifar10'?)"),
        ({"imageset": "CIFAR10"}, "(did you mean 'cifar10'?)"),
        ({"activation": "rleu"}, "(did you mean 'relu'?)"),
        ({"shortcut": "a"}, "the lab knows A, B and C (did you mean 'A'?)"),
        ({"recipe": "adam"}, "unknown recipe 'adam'; the lab knows lab, he and densenet"),
        ({"stpes": 3}, "unknown option 'stpes' (did you mean 'steps'?)"),
        ({"zzz": 3}, "unknown option 'zzz'; `labapp train --help` lists them all"),
        ({"steps": "many"}, "steps is a whole number, not 'many'"),
        ({"steps": 2.5}, "steps is a whole number, not 2.5"),
        ({"steps": 0}, "steps must be above 0, not 0"),
        ({"batch_size": -4}, "batch_size must be above 0, not -4"),
        ({"image_size": 0}, "image_size must be above 0, not 0"),
        ({"train_images": 0}, "train_images must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is a finite number, not nan"),
        ({"learning_rate": "fast"}, "learning_rate is a finite number, not 'fast'"),
        ({"momentum": 1.0}, "momentum must be below 1, not 1.0"),
        ({"nesterov": "perhaps"}, "nesterov is true or false, not 'perhaps'"),
        ({"nesterov": True, "momentum": 0}, "needs a momentum above 0"),
        ({"family": 3}, "family is a word, not 3"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"depth": 57}, "a residual net in the CIFAR form has 6n+2 weight layers, and 57 is not; take 56 or 62"),
        ({"family": "dense", "depth": 41}, "a dense net in the CIFAR form has 3N+4 weight layers, and 41 is not"),
        ({"family": "dense", "depth": 43, "bottleneck": True}, "6n+4 weight layers, and 43 is not; take 40 or 46"),
        ({"form": "imagenet", "depth": 36}, "18, 34, 50, 101 or 152 weight layers, not 36; take 34 or 50"),
        ({"form": "imagenet", "depth": 50, "block": "basic"}, "with basic blocks in the ImageNet form has 18 or 34"),
        ({"family": "vgg", "depth": 17}, "a VGG net has 11, 13, 16 or 19 weight layers, not 17; take 16 or 19"),
        ({"family": "vgg", "depth": 13, "configuration": "E"}, "VGG configuration E has 19 weight layers, not 13"),
        ({"family": "plain", "growth_rate": 12}, "growth_rate belongs to dense nets; this one is plain"),
        ({"family": "plain", "shortcut": "A"}, "shortcut belongs to residual nets; this one is plain"),
        ({"family": "dense", "block": "basic"}, "block belongs to plain and residual nets; this one is dense"),
        ({"compression": 0, "family": "dense"}, "compression must be above 0, not 0"),
        ({"dropout": 1, "family": "dense"}, "dropout must be below 1, not 1"),
        ({"init": "looks-linear", "activation": "tanh"}, "exists for relu only, not for tanh"),
        ({"warmup_steps": 400}, "warmup_steps 400 is longer than the training of 300 steps"),
        ({"batch_size": 2, "accumulate": 4}, "a batch of 2 images cannot be cut into 4 micro-batches"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(values: dict, words: str) -> None:
    assert words in complaint(**values)


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
)


@settings(deadline=None)  # other work on the machine must not fail a test
@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), anything, max_size=4))
def test_whatever_comes_is_an_experiment_or_one_sentence(values: dict) -> None:
    told = "fine"
    try:
        Experiment(**values)
    except LabError as error:
        told = str(error)
    assert len(told.splitlines()) == 1


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Experiment().steps = 3  # type: ignore[misc]


def test_changing_one_thing_settles_the_rest_anew() -> None:
    experiment = Experiment(family="residual", depth=56, recipe="he")
    assert experiment.but(recipe="lab").steps == 300
    assert experiment.but(family="plain").shortcut is None
    assert experiment.but(family="plain").depth == 56
    assert experiment.name == "residual-56"


def test_every_option_says_what_it_is() -> None:
    assert all(field.description for field in Experiment.model_fields.values())
    for name, choices in CHOICES.items():
        if name not in ("imageset", "device"):
            assert all(choice in (Experiment.model_fields[name].description or "") for choice in choices), name
    assert set(IMAGESETS) == set(CHOICES["imageset"])


def test_sentences_for_other_models() -> None:
    class Spec(BaseModel):
        runs: int
        seeds: list[int]

    with pytest.raises(ValidationError) as missing:
        Spec(seeds=[1])
    assert sentence(missing.value) == "runs is missing"
    with pytest.raises(ValidationError) as nested:
        Spec(runs=1, seeds=[1, "two"])
    assert sentence(nested.value) == "seeds.1 is a whole number, not 'two'"


def test_words() -> None:
    assert nearest("rezidual", FAMILIES) == " (did you mean 'residual'?)"
    assert nearest("xyz", FAMILIES) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], "or") == "a, b or c"


def test_neither_config_nor_store_brings_in_torch_or_streamlit() -> None:
    code = "import sys, labapp.config, labapp.store; print({'torch', 'streamlit', 'altair'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_net_of_another_maker_takes_the_place_of_a_family():
    experiment = Experiment(net="torchvision:resnet18", steps=10)
    assert (experiment.name, experiment.family, experiment.depth) == ("resnet18", "foreign", None)
    assert experiment.net_options() == {}
    assert Experiment(**json.loads(experiment.model_dump_json())) == experiment
    assert "two nets" in complaint(net="timm:resnet18", family="dense")
    assert "leave it out" in complaint(net="timm:resnet18", width=8)
    assert "torchvision:NAME" in complaint(family="foreign")


def test_a_transition_keeps_a_channel() -> None:
    said = complaint(family="dense", depth=7, width=4, growth_rate=1, compression=0.3)
    assert said == (
        "compression 0.3 leaves transition 2 none of its 2 channels; take 0.5 or more, or a larger growth_rate"
    )
    assert "transition 1 none of its 10 channels" in complaint(
        family="dense", form="imagenet", width=4, growth_rate=1, compression=0.09
    )
    Experiment(family="dense", depth=7, width=4, growth_rate=1, compression=0.5)


def test_settings_that_came_later_leave_digests_as_they_were() -> None:
    plain = Experiment(family="plain", depth=56, width=8, record_every=5)
    assert plain.digest == "2449e515"  # of the frozen tables, and of runs on people's disks
    assert plain.but(histograms=False).digest == plain.digest
    others = {"histograms": {}, "spreads": {}, "gradient_noise": {"accumulate": 2}}
    digests = {plain.but(**more, **{name: True}).digest for name, more in others.items()}
    assert len(digests | {plain.digest, plain.but(accumulate=2).digest}) == 5
    assert complaint(gradient_noise=True) == (
        "gradient_noise compares the micro-batches of a step; take accumulate 2 or more with it"
    )
