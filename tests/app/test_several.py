"""Which experiments a filled-in form stands for."""

import pytest

from labapp.app import several
from labapp.config import LabError


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("", []), ("  ", []), ("3", [3]), ("0-4", [0, 1, 2, 3, 4]), ("0 – 2", [0, 1, 2]), ("0, 2, 5-6", [0, 2, 5, 6]),
        ("1 2;3", [1, 2, 3]), ("2,2,1-3", [2, 1, 3]), ("7-7", [7]), ("4294967295", [4294967295]),
    ],
)  # fmt: skip
def test_seeds_are_read_as_people_write_them(words, numbers):
    assert several.seeds(words) == numbers


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("two", "'two' is no seed; write a number from 0 on, 0-4 for five of them, or 0, 3, 7"),
        ("-1", "'-1' is no seed"),
        ("1.5", "'1.5' is no seed"),
        ("0-4-6", "'0-4-6' is no seed"),
        ("٣", "'٣' is no seed"),
        ("9-3", "seeds 9-3 go backwards; write 3-9"),
        ("0-1000000000", "more than 50 experiments"),
        ("0-30, 40-70", "more than 50 experiments"),
        ("9" * 5000, "is no seed"),
    ],
)
def test_what_is_no_seed_is_one_sentence(words, sentence):
    with pytest.raises(LabError, match=sentence) as caught:
        several.seeds(words)
    assert "\n" not in str(caught.value)
    assert several.experiments(["plain"], {}, words)[0] == []


def test_a_seed_beyond_the_models_is_refused_in_its_words():
    wanted, shown, fault = several.experiments(["plain"], {}, "4294967296")
    assert (wanted, len(shown)) == ([], 1)
    assert "seed must be below" in fault


def test_families_and_seeds_are_one_experiment_each():
    wanted, shown, fault = several.experiments(["plain", "dense"], {"width": 8, "shortcut": "B"}, "0-1")
    assert fault == ""
    assert [(each.family, each.seed, each.width) for each in wanted] == [
        ("plain", 0, 8), ("plain", 1, 8), ("dense", 0, 8), ("dense", 1, 8),
    ]  # fmt: skip
    assert [each.family for each in shown] == ["plain", "dense"]
    assert all("shortcut" not in each.model_fields_set for each in wanted)  # neither family has one
    assert several.in_words(wanted).startswith(
        "plain-20 of width 8 and dense-40 of width 8 on cluttered-digits, each with seeds 0 and 1: 300 steps of 64 "
    )
    assert [several.named(each) for each in wanted[:2]] == ["plain-20", "plain-20, seed 1"]


def test_a_value_that_one_family_does_not_take_names_it():
    wanted, shown, fault = several.experiments(["plain", "dense"], {"depth": 20}, "")
    assert wanted == []
    assert fault == "a dense net in the CIFAR form has 3N+4 weight layers, and 20 is not; take 19 or 22"
    assert [each.depth for each in shown] == [20, 40]  # the others as they would be
    both = several.experiments(["plain", "dense"], {"depth": 21}, "")[2]
    assert both.startswith("plain: a plain net")
    assert "; dense: a dense net" in both


def test_too_many_are_refused():
    assert (
        "these are 100 experiments, and 50 is the most at once"
        in several.experiments(["plain", "dense"], {}, "0-49")[2]
    )
