"""Which runs is a claim judged by? On archives whose numbers are known."""

import json
import math

import pytest

from labapp.claims import CLAIMS, CONTRADICTED, NO_DATA, SUPPORTED, UNDECIDED, chosen, verdicts
from labapp.claims.claim import Missing, Setup, no_dearer
from labapp.commands.cli import main
from labapp.config import Experiment, LabError
from labapp.store import look
from tests.conftest import record_run

DEEP = {"family": "plain", "depth": 56, "norm": "none", "recorded": (0, 2), "steps": 3}
SEEDS = range(3)


def best(name, root):
    return verdicts(CLAIMS[name], look(root, 0.0))[0]


def scaled(root, accuracies, factor=0.5, **options):
    """Three seeds with identity shortcuts, which reach 0.9, and three with a factor, which reach these accuracies."""
    about = {"family": "residual", "recorded": (0,), "steps": 2}
    for seed, accuracy in enumerate(accuracies):
        record_run(root, accuracy=0.9 + 0.001 * seed, seed=seed, **about)
        record_run(root, accuracy=accuracy, seed=seed, shortcut_scale=factor, **about, **options)


@pytest.mark.parametrize(("growth", "verdict"), [(0.9, SUPPORTED), (1.2, CONTRADICTED)])
def test_a_gradient_of_known_growth_is_judged_by_it(tmp_path, growth, verdict):
    for seed in SEEDS:
        record_run(tmp_path, growth=growth, seed=seed, **DEEP)
    found = best("vanishing-none-he-start", tmp_path)
    assert found.verdict == verdict
    convolutions = DEEP["depth"] - 1
    assert found.parts[0].value == pytest.approx((convolutions - 1) * math.log10(growth), rel=1e-6)
    assert best("vanishing-batch-he-start", tmp_path).verdict == NO_DATA


def test_runs_are_paired_by_their_seeds(tmp_path):
    scaled(tmp_path, [0.8, 0.81, 0.79])
    found = best("scaled-shortcuts", tmp_path)
    assert found.verdict == SUPPORTED
    assert found.parts[0].numbers == pytest.approx([0.1, 0.091, 0.112])
    assert len(found.runs) == 6


def test_runs_that_differ_in_more_are_refused_and_it_is_named(tmp_path):
    scaled(tmp_path, [0.8, 0.8, 0.8], learning_rate=0.5)
    found = best("scaled-shortcuts", tmp_path)
    assert found.verdict == NO_DATA
    assert "differ in more than it compares: learning rate (0.5 and 0.1)" in found.note


def test_every_setup_has_its_verdict_and_that_of_most_seeds_comes_first(tmp_path):
    scaled(tmp_path, [0.8, 0.81, 0.79])
    record_run(tmp_path, family="residual", recorded=(0,), steps=2, learning_rate=0.5)
    record_run(tmp_path, family="residual", recorded=(0,), steps=2, learning_rate=0.5, shortcut_scale=0.5)
    found = verdicts(CLAIMS["scaled-shortcuts"], look(tmp_path, 0.0))
    assert [each.verdict for each in found] == [SUPPORTED, UNDECIDED]
    assert found[1].parts[0].note == "1 of at least 3 seeds"


def test_runs_that_did_not_finish_are_counted_not_judged(tmp_path):
    scaled(tmp_path, [0.8, 0.81, 0.79])
    about = {"family": "residual", "recorded": (0,), "steps": 2, "shortcut_scale": 0.5}
    record_run(tmp_path, seed=3, status="diverged", **about)
    record_run(tmp_path, seed=4, status="stopped", **about)
    found = best("scaled-shortcuts", tmp_path)
    assert (found.verdict, found.parts[0].seeds) == (SUPPORTED, 3)
    assert found.note == "not counted: 1 diverged and 1 stopped"


def test_a_probe_that_is_missing_is_named_with_its_command(tmp_path):
    for family in ("plain", "residual"):
        record_run(tmp_path, family=family, recorded=(0,), steps=2, run_id=f"{family}-20")
    note = best("lesions", tmp_path).note
    assert note.startswith("there is no lesions in plain-20")
    assert "`labapp probe plain-20 --quantities lesions`" in note


def test_unknown_names_are_refused():
    with pytest.raises(LabError, match=r"unknown claim 'lesion'.*did you mean 'lesions'"):
        chosen(["lesion"])
    with pytest.raises(LabError, match=r"unknown paper 'vg'.*did you mean 'vgg'"):
        chosen(paper="vg")
    assert {claim.paper for claim in chosen(paper="vgg")} == {"vgg"}


def test_the_command_tells_what_holds(tmp_path, capsys):
    scaled(tmp_path, [0.8, 0.81, 0.79])
    assert main(["claims", "--root", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "scaled-shortcuts" in said
    assert f"1 supported, {len(CLAIMS) - 1} no data" in said
    assert main(["claims", "scaled-shortcuts", "--root", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "to be above 0 %" in said
    assert "labapp sweep analysis/sweeps/quick/shortcuts.yaml" in said
    assert main(["claims", "--json", "--root", str(tmp_path)]) == 0
    told = {each["claim"]: each for each in json.loads(capsys.readouterr().out)}
    assert told["scaled-shortcuts"]["parts"][0]["values"] == pytest.approx([0.1, 0.091, 0.112])
    assert told["lesions"]["verdict"] == NO_DATA
    assert main(["claims", "nothing", "--root", str(tmp_path)]) == 2


def test_of_several_nets_on_a_side_the_one_nearest_to_the_defaults_counts(tmp_path):
    about = {"recorded": (0,), "steps": 2}
    for seed in SEEDS:
        for depth in (20, 56):
            for family in ("plain", "residual"):
                record_run(tmp_path, family=family, depth=depth, seed=seed, accuracy=0.9, **about)
        record_run(tmp_path, family="residual", depth=56, seed=seed, accuracy=0.1, shortcut_scale=0.5, **about)
    found = best("degradation", tmp_path)
    assert found.parts[1].part.name == "residual"
    assert found.parts[1].numbers == pytest.approx([0, 0, 0], abs=1e-6)


def test_several_nets_as_near_to_the_defaults_are_refused_and_what_differs_is_named(tmp_path):
    about = {"family": "residual", "depth": 20, "recorded": (0,), "steps": 2}
    for seed in SEEDS:
        for factor in (0.5, 0.7):
            record_run(tmp_path, seed=seed, shortcut_scale=factor, **about)
    assert best("degradation", tmp_path).note == (
        "there is no single residual-20 net: those there differ in shortcut scale (0.5 and 0.7)"
    )


@pytest.mark.parametrize(("widths", "pair"), [((8, 16, 4), (16, 24)), ((32, 4, 8), (8, 16)), ((32,), None)])
def test_of_two_kinds_the_dearest_that_something_is_dearer_than_is_compared(widths, pair):
    sides = {f"bottleneck-29, width {width}": {0: width} for width in widths}
    sides |= {f"basic-20, width {width}": {0: width} for width in (2, 16, 24)}
    if pair is None:
        with pytest.raises(Missing, match="bottleneck net beside a basic one of more weights"):
            no_dearer(Setup(sides), "bottleneck", "basic", float, "weights")
    else:
        found = no_dearer(Setup(sides), "bottleneck", "basic", float, "weights")
        assert found == (f"bottleneck-29, width {pair[0]}", f"basic-20, width {pair[1]}")


@pytest.mark.parametrize(("family", "depth", "side"), [("plain", 20, "plain"), ("plain", 56, ""), ("residual", 20, "")])
def test_seeds_are_compared_of_nets_like_those_of_the_paper(family, depth, side):
    assert CLAIMS["seeds-correspond"].side(Experiment(family=family, depth=depth)) == side
