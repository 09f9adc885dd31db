"""Rules: what they say, and when they are broken."""

import math

import pytest

from labapp.config import LabError
from labapp.frames.compare import Rule, judge, parse_rule, side
from tests.frames.compare.written import written


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("update_ratio>3x", ("update_ratio", ">", 3.0, "factor", "any", "", "any")),
        (" update_ratio > 3 × ", ("update_ratio", ">", 3.0, "factor", "any", "", "any")),
        ("median(output_std)<0.5x", ("output_std", "<", 0.5, "factor", "median", "", "any")),
        ("first(output_grad_norm)@0<=0.1x", ("output_grad_norm", "<=", 0.1, "factor", "first", "", 0)),
        ("last(weight_norm[stage1.*])@300>=2x", ("weight_norm", ">=", 2.0, "factor", "last", "stage1.*", 300)),
        (
            "weight_norm[block[12].conv]@last>1e1x",
            ("weight_norm", ">", 10.0, "factor", "any", "block[12].conv", "last"),
        ),
        ("loss>+0.1", ("loss", ">", 0.1, "difference", "any", "", "last")),
        ("accuracy<-0.02", ("accuracy", "<", -0.02, "difference", "any", "", "last")),
        ("loss@any>5", ("loss", ">", 5.0, "value", "any", "", "any")),
        ("dead_share>0.5", ("dead_share", ">", 0.5, "value", "any", "", "any")),
    ],
)
def test_a_rule_is_read(text, rule):
    assert parse_rule(text) == Rule(text.strip(), *rule)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no rule; a rule is QUANTITY"),
        ("update_ratio", "'update_ratio' is no rule"),
        ("update_ratio=3x", "is no rule"),
        ("update_ratio>", "is no rule"),
        ("median(update_ratio>3x", "is no rule"),
        ("update_ratio)>3x", "is no rule"),
        ("update_ratio>3x and loss>1", "is no rule"),
        (
            "update_rate>3x",
            r"asks for 'update_rate'; recorded are output_grad_norm, .*\(did you mean 'update_ratio'\?\)",
        ),
        ("mean(update_ratio)>3x", "asks for the 'mean' layer; a rule looks at any, median, first or last"),
        ("median(loss)>3x", "loss is of the whole net; leave them out"),
        ("loss[conv]>3x", "loss is of the whole net; leave them out"),
        ("weight_norm[]>3x", r"names no layers between \[ and \]"),
        ("weight_norm>three", "ends in 'three', which is no number"),
        ("weight_norm>nan", "ends in 'nan', which is no number"),
        ("weight_norm>infx", "ends in 'inf', which is no number"),
        ("weight_norm>+3x", "has a factor with a sign"),
        ("weight_norm@soon>3x", "asks for step 'soon'; a step is a whole number, last or any"),
        ("weight_norm@1.5>3x", "is no rule"),
    ],
)
def test_what_is_no_rule_is_told_in_a_sentence(text, said):
    with pytest.raises(LabError, match=said) as error:
        parse_rule(text)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Three layers, of which the middle one's weights are 1, 2 and 4 times A's at steps 0, 10 and 20."""
    root = tmp_path_factory.mktemp("rules")
    base = {name: {"weight_norm": 1.0, "output_mean": 0.5, "dead_channels": 0.0} for name in ("in", "mid", "out")}
    changed = {name: dict(own) for name, own in base.items()}
    changed["mid"] |= {"weight_norm": [1.0, 2.0, 4.0], "output_mean": [0.5, 0.5, -0.5]}
    changed["in"] |= {"dead_channels": [0.0, 0.0, 4.0]}
    steps, losses = (0, 10, 20), dict.fromkeys(range(21), 1.0)
    a = written(root, base, steps=steps, losses=losses, tests={20: 0.9}, norm="none")
    losses = losses | {20: 1.5, 19: 1.5}
    b = written(root, changed, steps=steps, losses=losses, tests={20: 0.87}, norm="none", seed=1)
    return side([a]), side([b])


@pytest.mark.parametrize(
    ("text", "state", "value", "layer", "step"),
    [
        ("weight_norm>3x", "broken", 4.0, "mid", 20),
        ("weight_norm>4x", "held", 4.0, "mid", 20),
        ("weight_norm>=4x", "broken", 4.0, "mid", 20),
        ("weight_norm@10>3x", "held", 2.0, "mid", 10),
        ("weight_norm@9>3x", "cannot be told", math.nan, "", -1),
        ("weight_norm@last>3x", "broken", 4.0, "mid", 20),
        ("median(weight_norm)>1.5x", "held", 1.0, "", 0),
        ("first(weight_norm)>1.5x", "held", 1.0, "in", 0),
        ("last(weight_norm)<1x", "held", 1.0, "out", 0),
        ("weight_norm[m*]<1.5x", "broken", 1.0, "mid", 0),
        ("weight_norm>3.5", "broken", 4.0, "mid", 20),
        ("weight_norm>+2.5", "broken", 3.0, "mid", 20),
        ("weight_norm<-0.1", "held", 0.0, "in", 0),
        ("output_mean<-0.5", "broken", -1.0, "mid", 20),
        ("output_mean>2x", "cannot be told", math.nan, "", -1),
        ("dead_share>2x", "broken", math.inf, "in", 20),  # of none, any is more
        ("dead_share[out]>2x", "held", 1.0, "out", 0),  # none in both is no change
        ("dead_share>0.4", "broken", 0.5, "in", 20),
        ("loss>+0.4", "broken", 0.5, "", 20),
        ("loss@10>+0.1", "held", 0.0, "", 10),
        ("loss@any>1.4", "broken", 1.5, "", 19),
        ("accuracy<-0.02", "broken", -0.03, "", 20),
        ("accuracy<0.9x", "held", 0.87 / 0.9, "", 20),
        ("update_ratio>3x", "cannot be told", math.nan, "", -1),
        ("weight_norm[fc]>3x", "cannot be told", math.nan, "", -1),
        ("grad_norm>3x", "cannot be told", math.nan, "", -1),
    ],
)
def test_a_rule_is_judged(pair, text, state, value, layer, step):
    found = judge(parse_rule(text), *pair)
    assert found.state == state, found
    assert found.broken == (state != "held")
    assert found.value == pytest.approx(value, rel=1e-6, nan_ok=True)
    assert (found.layer, found.step) == (layer, step)
    assert bool(found.note) or state != "cannot be told"


RULES = ("weight_grad_norm>3x", "output_grad_norm@last>3x", "median(output_grad_norm)>3x", "loss>3x", "accuracy<0.1x")


@pytest.mark.parametrize("rule", RULES)
def test_a_run_that_diverged_breaks_every_rule(record, tmp_path, rule):
    a, b = side([record(tmp_path)]), side([record(tmp_path, seed=1, nan_from=25, status="diverged")])
    assert judge(parse_rule(rule), a, a).state == "held"
    for pair in ((a, b), (b, a)):
        found = judge(parse_rule(rule), *pair)
        assert found.state == "cannot be told"
        assert "not finite in" in found.note


@pytest.mark.parametrize("rule", RULES)
def test_a_run_that_was_broken_off_breaks_rules_about_what_it_lacks(record, tmp_path, rule):
    a = side([record(tmp_path)])
    b = record(tmp_path, seed=1, steps=11, recorded=(0, 10), status="stopped")
    found = judge(parse_rule(rule), a, side([b]))
    assert found.state == "cannot be told"
    assert f"{b.id} has " in found.note
    assert judge(parse_rule("weight_grad_norm@10>3x"), a, side([b])).state == "held"


def test_one_of_several_seeds_without_a_number_breaks_a_rule(record, tmp_path):
    a = side([record(tmp_path, seed=seed) for seed in (0, 1)])
    b = side([record(tmp_path, seed=2), record(tmp_path, seed=3, nan_from=25, status="diverged")])
    found = judge(parse_rule("output_grad_norm>3x"), a, b)
    assert found.state == "cannot be told"
    assert "is not finite in some runs" in found.note


def test_a_value_needs_no_other_side(record, tmp_path):
    a = side([record(tmp_path, nan_from=0, status="diverged")])
    b = side([record(tmp_path, seed=1)])
    assert judge(parse_rule("loss>0.1"), a, b).state == "held"
    assert judge(parse_rule("loss>+0.1"), a, b).state == "cannot be told"


def test_seeds_give_a_verdict_its_interval(record, tmp_path):
    a, b = (
        side([record(tmp_path, seed=seed, growth=growth + 0.01 * seed) for seed in range(3)]) for growth in (1.2, 1.1)
    )
    found = judge(parse_rule("first(output_grad_norm)@0<0.5x"), a, b)
    assert found.broken
    assert found.low < found.value < found.high
    assert (found.runs_a, found.runs_b) == (3, 3)
