"""Which runs does a search mean?"""

import contextlib
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labapp.config import Experiment, LabError
from labapp.store import FIELDS, NUMBERS, Entry, Labels, question, value_of

ONE = Entry(
    "residual-56-20260201-aa",
    (1, 1, 1),
    status="finished",
    created=datetime(2026, 2, 1, 12, tzinfo=UTC),
    experiment=Experiment(family="residual", depth=56, width=8, seed=3, learning_rate=0.05),
    step=150,
    steps=300,
    seconds=90.0,
    labels=Labels(name="The Baseline", tags=("good", "two words"), note="as in the paper: a=b"),
)


def accuracy(entry: Entry, field: str) -> float:
    return {"accuracy": 0.95}.get(field, math.nan)


def fits(words: str) -> bool:
    return question(words, NUMBERS).fits(ONE, "The Baseline", accuracy)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "  ",
        "baseline",
        "BASE line",
        '"the baseline"',
        "20260201",
        "good",
        "paper",
        '"a=b"',
        "residual cosine he",
        "depth=56",
        "depth=20,56",
        "depth!=20",
        "depth>=56 depth<=56 depth>55 depth<57",
        "learning_rate=0.05",
        "family=Residual",
        "tag=good",
        'tag="two words"',
        "tag!=bad",
        "status=finished progress=50% progress>0.4",
        "started>2026-01-31 started<2026-02-02 started=2026-02-01",
        "preactivation=false",
        "preactivation=no",
        "growth_rate=",
        "growth_rate=none",
        "growth_rate!=12",
        "net=residual-56",
        'name="the baseline"',
        "accuracy>0.9 accuracy>90% accuracy<=0.95",
        "seconds<100",
    ],
)
def test_what_fits(words: str) -> None:
    assert fits(words)


@pytest.mark.parametrize(
    "words",
    [
        "plain",
        "baseline plain",
        '"baseline the"',
        "depth=20",
        "depth!=56",
        "depth>56",
        "tag=",
        "tag=goo",
        "tag!=good",
        "growth_rate>1",
        "growth_rate<1000",
        "growth_rate=12",
        "loss>0",
        "loss<0",
        "status!=finished",
        "started<2026-02-01",
        "accuracy<0.9",
    ],
)
def test_what_does_not(words: str) -> None:
    assert not fits(words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("widht=8", r"runs have no field 'widht' \(did you mean 'width'\?\)"),
        ("qqqq>3", "runs have no field 'qqqq'; they have id, name"),
        ("depth>deep", "depth>deep compares with no number; give one, 5 % as 0.05 or 5%, or a day as 2026-01-31"),
        ("depth<", "depth< compares with no number"),
    ],
)
def test_what_is_not_understood_is_told(words: str, sentence: str) -> None:
    with pytest.raises(LabError, match=sentence):
        question(words, NUMBERS)


def test_every_field_can_be_asked_for() -> None:
    for field in (*FIELDS, *NUMBERS):
        value = value_of(ONE, field, "The Baseline", accuracy)
        said = value[0] if isinstance(value, tuple) else "" if value is None else value
        if not (isinstance(value, float) and math.isnan(value)) and not isinstance(value, datetime):
            assert fits(f'{field}="{said}"'), field


@given(st.text(max_size=40))
def test_whatever_is_typed_is_understood_or_told(words: str) -> None:
    with contextlib.suppress(LabError):
        question(words, NUMBERS).fits(ONE, "x", accuracy)
