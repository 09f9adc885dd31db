"""What a field takes, read off the model: what is offered is accepted, and what is beyond it is refused."""

import math

import pytest

from labapp.config import PRESETS, Bounds, Depths, Experiment, LabError, bounds, depths
from labapp.config.choices import FAMILIES
from labapp.training.starter import STARTER

NUMBERS = [name for name in Experiment.model_fields if bounds(name)]
FREE = {  # other fields with which the ends of these are not refused for another reason
    "compression": {"family": "dense"}, "dropout": {"family": "dense"}, "growth_rate": {"family": "dense"},
    "warmup_steps": {"steps": 2**40}, "accumulate": {"batch_size": 2**40},
}  # fmt: skip


def accepted(name: str, value: float) -> bool:
    """Whether the model takes a value, whatever its other checks say of depths and transitions."""
    try:
        Experiment(**FREE.get(name, {}), **{name: value})
    except LabError as error:
        return f"{name} must be" not in str(error) and "whole number" not in str(error)
    return True


@pytest.mark.parametrize("name", NUMBERS)
def test_the_ends_of_a_range_are_accepted_and_what_is_beyond_is_not(name: str) -> None:
    limits = bounds(name)
    assert limits is not None
    ends = limits.inclusive
    step = 1 if limits.whole else 1e-6
    for least, sign in ((ends.least, -1), (ends.most, 1)):
        if least is not None:
            assert accepted(name, least)
            assert not accepted(name, least + sign * step)
    for end, sign in ((ends.above, 1), (ends.below, -1)):
        if end is not None:
            assert not accepted(name, end)
            assert accepted(name, math.nextafter(end, sign * math.inf))
    assert str(limits)


@pytest.mark.parametrize("name", [name for name in Experiment.model_fields if not bounds(name)])
def test_what_is_no_number_has_no_range(name: str) -> None:
    assert not any(kind in str(Experiment.model_fields[name].annotation) for kind in ("int", "float"))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Bounds(above=0, whole=True), "1 or more"),
        (Bounds(least=0), "0 or more"),
        (Bounds(above=0), "above 0"),
        (Bounds(above=0, most=1), "above 0, at most 1"),
        (Bounds(least=0, below=1), "from 0 to below 1"),
        (Bounds(least=0, below=2**32, whole=True), "from 0 to 4,294,967,295"),
        (Bounds(), ""),
    ],
)
def test_a_range_in_words(limits: Bounds, words: str) -> None:
    assert str(limits) == words


NETS: list[dict[str, object]] = [
    *({"family": family} for family in FAMILIES),
    *({"family": family, "form": "imagenet"} for family in FAMILIES),
    {"family": "residual", "block": "bottleneck"},
    {"family": "dense", "bottleneck": True},
    {"family": "vgg", "configuration": "C"},
]


@pytest.mark.parametrize("net", NETS, ids=str)
def test_the_depths_are_those_that_the_model_takes(net: dict[str, object]) -> None:
    fitting = depths(Experiment(**net))

    def fits(depth: int) -> bool:
        try:
            return Experiment(**net, depth=depth).depth == depth
        except LabError:
            return False

    assert tuple(depth for depth in range(1, 321) if fits(depth)) == fitting.first
    assert str(fitting)
    if fitting.step:
        assert all(fits(fitting.first[-1] + fitting.step * n) for n in (1, 2, 100))
        assert not fits(fitting.first[-1] + 1)
    assert depths(Experiment(**net, depth=fitting.first[0], seed=3)) == fitting


def test_depths_in_words() -> None:
    assert str(Depths((8, 14, 20, 26), 6)) == "8, 14, 20 and so on"
    assert str(Depths((18, 34, 50), None)) == "18, 34 or 50"
    assert str(Depths((16,), None)) == "16"


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_to_begin_from_is_an_experiment_of_each_family(name: str) -> None:
    preset = PRESETS[name]
    for family in preset.families:
        made = Experiment(family=family, **preset.values)
        assert {key: getattr(made, key) for key in preset.values if preset.values[key] is not None} == {
            key: value for key, value in preset.values.items() if value is not None
        }
    assert preset.about.endswith(".")


def test_the_nets_of_the_starter_can_be_begun_from() -> None:
    offered = {Experiment(family=family, **each.values) for each in PRESETS.values() for family in each.families}
    assert set(STARTER) <= offered
