"""Who is compared, and in which settings they differ."""

import pytest

from labapp.config import LabError
from labapp.frames.compare import configuration, course, ends, in_words, repeated, side
from labapp.frames.thinning import bins
from tests.frames.compare.written import written


def test_sides_are_named(record, tmp_path):
    plain = [record(tmp_path, seed=seed) for seed in range(3)]
    other = record(tmp_path, family="residual")
    assert side(plain[:1]).name == "plain-20"
    assert side(plain).name == "plain-20 (3 seeds)"
    assert side([*plain, other]).name == "plain-20 and residual-20"
    assert repeated(side(plain))
    assert not repeated(side([*plain, other]))
    with pytest.raises(LabError, match="one of them has no run"):
        side([])


def test_an_experiment_that_ran_twice_counts_once(record, tmp_path):
    early, done = record(tmp_path, status="stopped"), record(tmp_path)
    found = side([early, done, done])
    assert found.runs == (done,)
    assert found.left_out == (f"{early.id}: the same experiment again, which counts once",)


@pytest.mark.parametrize(
    ("one", "other", "rows", "words"),
    [
        ({}, {"family": "residual"}, [("family", "plain", "residual")], "the shortcut alone"),
        ({}, {"seed": 1}, [("seed", "0", "1")], "the seed alone"),
        ({}, {}, [], "nothing that was set"),
        ({}, {"record_every": 3, "device": "cpu"}, [], "nothing that was set"),  # change no result
        (
            {},
            {"depth": 56, "norm": "none"},
            [("depth", "20", "56"), ("norm", "batch", "none")],
            "the depth (20, 56) and the norm (batch, none)",
        ),
        ({"steps": 300}, {"recipe": "he", "steps": 300}, None, None),
        (
            {},
            {"width": 8, "init": "glorot", "learning_rate": 0.5, "batch_size": 32},
            None,
            "the width (16, 8), the init (he, glorot), the batch size (64, 32) and 1 more",
        ),
        (
            {"family": "residual"},
            {"family": "dense", "depth": 40},
            None,
            "the family (residual, dense) alone",
        ),
        ({}, {"clip_norm": 1.0}, [("clip norm", "not set", "1.0")], "the clip norm (not set, 1.0) alone"),
    ],
)
def test_only_what_differs_is_told_and_not_what_follows(one, other, rows, words, record, tmp_path):
    few = {"recorded": (), "layers": 0}
    pair = [side([record(tmp_path, **few | {"steps": 30} | own)]) for own in (one, other)]
    table = configuration(*pair)
    if rows is not None:
        assert list(table.itertuples(index=False, name=None)) == rows
    if words is not None:
        assert in_words(table) == words
    assert "warmup steps" not in set(table["setting"])  # a third of the steps, as nobody asked otherwise


def test_of_repetitions_the_seeds_are_no_difference(record, tmp_path):
    few = {"recorded": (), "layers": 0}
    a = side([record(tmp_path, seed=seed, **few) for seed in (0, 1)])
    b = side([record(tmp_path, seed=seed, family="residual", **few) for seed in (2, 3)])
    assert in_words(configuration(a, b)) == "the shortcut alone"


def test_curves_are_compared_where_both_have_them(record, tmp_path):
    a = side([record(tmp_path, accuracy=value, seed=seed) for seed, value in enumerate((0.8, 0.9))])
    b = side([record(tmp_path, accuracy=value, seed=seed, family="residual") for seed, value in enumerate((0.9, 0.96))])
    table = course(a, b, "accuracy")
    assert table["step"].tolist() == [0, 10, 20, 31]
    assert table["difference"].iloc[-1] == pytest.approx(0.93 - 0.85)
    assert (table["least"].iloc[-1] < 0.08) & (table["most"].iloc[-1] > 0.08)
    last = ends(a, b, "accuracy").iloc[0]
    assert last["difference"] == pytest.approx(0.08, rel=1e-6)
    assert course(a, b, "grad_norm").empty  # never written down


def test_a_training_loss_is_a_mean(tmp_path):
    losses = {step: 4.0 - 0.01 * step for step in range(300)}
    a = side([written(tmp_path, {}, steps=(299,), losses=losses)])
    b = side([written(tmp_path, {}, steps=(299,), losses={step: 2 * loss for step, loss in losses.items()}, seed=1)])
    assert ends(a, b, "loss").iloc[0]["a"] == pytest.approx(4 - 0.01 * (270 + 299) / 2)  # of the last tenth
    assert ends(a, b, "loss", 100).iloc[0]["a"] == pytest.approx(3.0)  # steps 90 to 110
    assert ends(a, b, "loss", 0).iloc[0]["a"] == 4.0
    table = course(a, b, "loss")
    assert len(table) == 60
    assert table["ratio"].to_numpy() == pytest.approx(2)
    which = bins(300, 60)
    assert table["a"].iloc[7] == pytest.approx(sum(losses[step] for step in range(300) if which[step] == 7) / 5)


def test_a_loss_that_is_not_finite_is_no_number(record, tmp_path):
    a, b = side([record(tmp_path)]), side([record(tmp_path, nan_from=15, status="diverged", seed=1)])
    end = ends(a, b, "loss").iloc[0]
    assert end["note"] == "not finite in B"
    assert set(course(a, b, "loss").tail(10)["note"]) == {"not finite in B"}


def test_sides_that_ended_at_other_steps_have_no_common_end(record, tmp_path):
    a, b = side([record(tmp_path)]), side([record(tmp_path, steps=10, recorded=(0,), seed=1)])
    assert ends(a, b, "loss").empty
    assert len(ends(a, b, "loss", 5)) == 1
