"""In which order are findings told, and what is said where little or nothing was recorded?"""

import json

import numpy as np
import pytest

from labapp.frames.diagnosis import LIMITS, Symptom, as_json, as_markdown, as_text, diagnose, ranked
from labapp.frames.diagnosis.findings import FOLLOWS
from labapp.frames.diagnosis.flow import expected_ratio
from labapp.frames.diagnosis.material import Material
from labapp.recording import Recorder, every
from labapp.store import Run, RunWriter
from tests.frames.diagnosis.made import HEALTHY, STEPS, along, made


def symptom(rule, strength, first=0, value=0.5):
    return Symptom(rule, rule.replace("_", " "), "words", "loss", value, "flat", first, 90, 1.0, strength)


def order(*symptoms):
    return [(one.rule, one.because) for one in ranked(symptoms)]


def test_the_strongest_comes_first_and_consequences_behind_their_causes():
    strong, weak = symptom("dead_channels", 2.0, first=30), symptom("rate_too_high", 0.2, first=10)
    assert order(strong, weak) == [("rate_too_high", ""), ("dead_channels", "rate too high")]
    early = symptom("dead_channels", 2.0, first=5)  # it began before
    assert order(early, weak) == [("dead_channels", ""), ("rate_too_high", "")]
    assert order(symptom("frozen", 3.0), symptom("nonfinite", 3.0)) == [("frozen", ""), ("nonfinite", "")]


def test_only_a_layer_that_is_dead_as_a_whole_takes_the_gradient_away():
    some, whole = (symptom("dead_channels", 2.0, value=value) for value in (0.6, 1.0))
    gone = symptom("vanishing_gradient", 3.0, value=0.0)
    assert order(some, gone) == [("vanishing_gradient", ""), ("dead_channels", "")]
    assert order(gone, whole) == [("dead_channels", ""), ("vanishing_gradient", "dead channels")]


def test_no_two_findings_follow_from_each_other():
    """With equal first steps too: else both would stand behind all others."""
    rules = sorted({*FOLLOWS, *(cause for causes in FOLLOWS.values() for cause, _ in causes)})
    for one in rules:
        for other in rules:
            for value in (0.0, 1.0):
                told = ranked([symptom(one, 1.0, value=value), symptom(other, 1.0, value=value)])
                assert not all(each.because for each in told), (one, other)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"recorded": (), "losses": []}, "It recorded no layers"),
        ({"recorded": (0,)}, "One step was recorded (step 0)"),
        ({"status": None}, "It is still being written"),
        ({"status": "stopped"}, "It was stopped"),
        ({"status": "failed"}, "It failed"),
        ({"leave": [*HEALTHY]}, "it holds no updates of weights"),
        ({"losses": []}, "it holds no loss"),
        ({"losses": [2.3] * 20}, "it has done 20 of 100 steps"),
        ({"losses": [2.3] * 8, "asked": 8}, "it holds 8 losses, and 10 are needed"),
        ({"rate": None}, "Nothing found"),
        ({"rate": 0.0, "update_ratio": 0.0}, "the rate is zero in every recorded step"),
        ({"output_grad_norm": np.nan, "nonfinite": 3.0}, "Does the loss fall?"),
    ],
    ids=str,
)
def test_every_run_has_an_answer_in_sentences(tmp_path, about, said):
    if about.get("rate") == 0.0:
        about = about | {"rate": 1e-300}  # float32 has no room for it: it is read as zero
    run = made(tmp_path, **about)
    told = diagnose(run)
    for words in (as_text(told), as_markdown(told)):
        assert said in " ".join(words.split())
        assert "nan" not in words.replace("nance", "")
    json.dumps(as_json(told), allow_nan=False)
    assert {one.rule for one in told.looks} == {
        rule["rule"] for key in ("looked_at", "not_looked_at") for rule in as_json(told)[key]
    }


def test_an_interrupted_run_is_told_as_far_as_it_came(tmp_path):
    run = made(tmp_path, status=None)
    path = run.path / "run.json"
    record = json.loads(path.read_text())
    record["attempts"][-1]["process"] = "then/1"  # a process that is gone
    path.write_text(json.dumps(record))
    assert "It was interrupted, so this is of what was recorded until then" in " ".join(diagnose(Run(run.path)).about)


def test_nothing_recorded_is_not_nothing_found(tmp_path):
    words = as_text(diagnose(made(tmp_path, recorded=(), losses=[])))
    assert "Nothing could be looked at: it holds neither layers nor losses." in words


def test_a_net_of_another_maker_is_judged_by_what_was_recorded(tmp_path):
    """No rate, no loss, no decay that is known: said so, and its frozen layer found."""
    import torch
    from torch import nn

    from labapp.config import Experiment

    torch.manual_seed(0)
    net = nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(16, 16), nn.ReLU())), nn.Linear(16, 4))
    net[4].requires_grad_(False)
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    with RunWriter.create(tmp_path, Experiment(net="made_here:net")) as writer:
        with Recorder(net, sgd, when=every(1), sink=writer) as recorder:
            for _ in range(4):
                with recorder.step():
                    sgd.zero_grad()
                    net(torch.randn(32, 16)).square().mean().backward()
                    sgd.step()
        told = diagnose(writer.finish("finished"))
    assert [(one.rule, one.layers) for one in told.findings if one.rule == "frozen"] == [("frozen", ("4",))]
    words = " ".join(as_text(told).split())
    assert "made_here:net, a net that the lab did not build" in words
    assert "it holds no loss" in words
    assert "Theory has no expectation: it knows the lab's own families" in words  # PyTorch's first weights vanish


def test_theory_stands_beside_the_gradient(tmp_path, record):
    """28 was measured at the start of plain-20 with batch norm; a run that vanishes there was not made by its start."""
    run = record(tmp_path, family="plain", depth=20, growth=0.6)
    assert expected_ratio(Material(run), "output_grad_norm") == pytest.approx(28, rel=0.25)
    (one,) = (one for one in diagnose(run).findings if one.rule == "vanishing_gradient")
    assert one.value == pytest.approx(0.6**18, rel=1e-4)
    assert "the initialisation alone does not explain it" in one.expected


def test_quantities_are_defined_where_they_are_named(tmp_path):
    told = diagnose(made(tmp_path, output_grad_norm=along(LIMITS["vanishing"].value / 9), recorded=STEPS))
    assert "How much of the loss's gradient arrives at the layer's output" in " ".join(as_text(told).split())
    assert as_json(told)["definitions"]["output_grad_norm"]["formula"].startswith(r"$\lVert \partial L")
