"""The first line of Signals, Feature reuse, Representation and Architecture, as a function of its table."""

import numpy as np
import pandas as pd
import pytest

from labapp.app.probed import share_done
from labapp.app.views import architecture, feature_reuse, representation, signals


def at(*runs):
    """`frames.at_step` of runs: (run, family, depth, responses, dead channels of 100, branch ÷ shortcut)."""
    rows = []
    for run, family, depth, responses, dead, branch in runs:
        who = {"run": run, "run_id": run, "family": family, "net_depth": depth, "seed": 0, "step": 9, "rate": 1.0}
        who["kind"] = "norm"
        rows += [who | {"quantity": "output_std", "value": value} for value in responses]
        rows.append(who | {"quantity": "dead_share", "value": dead / 100, "part": dead, "whole": 100})
        rows += [who | {"quantity": "forward_ratio", "value": branch}] if branch else []
    return pd.DataFrame(rows, columns=[*who, "quantity", "value", "part", "whole"])


RESIDUAL = ("residual-56", "residual", 56, (0.5, 0.7), 0, 0.4)
PLAIN = ("plain-56", "plain", 56, (0.9, 14.9), 3, None)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (
            [RESIDUAL, PLAIN, ("plain-20", "plain", 20, (0.1, 99), 0, None)],
            "At step 9 layers respond with a standard deviation from 0.500 to 0.700 in residual-56, from 0.900 to 14.9 "
            "in plain-56; 3 % of the channels of plain-56 are dead.",
        ),
        (
            [RESIDUAL],
            "At step 9 layers respond with a standard deviation from 0.500 to 0.700 in residual-56; the median block "
            "of residual-56 adds 0.400× what its shortcut carries.",
        ),
        (
            [("plain-8", "plain", 8, (1.0,), 0, None)],
            "At step 9 layers respond with a standard deviation of 1.00 in plain-8; no channel is dead.",
        ),
        (
            [PLAIN, ("vgg-11", "vgg", 11, (1.0,), 1, None)],
            "At step 9 layers respond with a standard deviation of 1.00 in vgg-11, from 0.900 to 14.9 in plain-56; "
            "3 % of the channels of plain-56 are dead, and some of vgg-11.",
        ),
        (
            [("plain-8", "plain", 8, (np.nan, np.inf), 0, None)],
            "At step 9 no layer of the chosen runs has a finite response.",
        ),
    ],
)
def test_what_do_the_layers_do(runs, sentence):
    assert signals.answer(at(*runs), 9) == sentence


def reuse(kind, value, step=6):
    rows = [(1, s, t, kind, value(s, t)) for t in (1, 2, 3) for s in range(t)]
    table = pd.DataFrame(rows, columns=["block", "source", "target", "kind", "value"])
    return table.assign(
        step=step, source_layer="layer" + table["source"].astype(str), null=np.nan, null_deviation=np.nan
    )


NOTHING = reuse("layer", lambda s, t: 0.0).head(0)


@pytest.mark.parametrize(
    ("dense", "start", "residual", "sentence"),
    [
        (
            reuse("layer", lambda s, t: 1.0 + (s == 0)), reuse("layer", lambda s, t: 1.0, 0),
            reuse("block", lambda s, t: s / 10),
            "At step 6 a layer of dense-40 reads its strongest source 1.42× as strongly as the mean one (1.00× at step "
            "0); residual-20 misses layer2 most (+0.200 nats).",
        ),
        (
            NOTHING, NOTHING, reuse("block", lambda s, t: -float(s)),
            "At step 6 no block of residual-20 is missed by those behind it.",
        ),
        (
            reuse("layer", lambda s, t: s - 0.5), NOTHING, NOTHING,
            "At step 6 dense-40 misses layer2 most (+1.50 nats).",
        ),
        (
            reuse("layer", lambda s, t: np.nan), NOTHING, NOTHING,
            "At step 6 nothing finite was measured of dense-40 and residual-20.",
        ),
    ],
)  # fmt: skip
def test_which_features_are_used(dense, start, residual, sentence):
    assert feature_reuse.answer(dense, start, residual, ("dense-40", "residual-20"), 6) == sentence


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([True], "**seen**"),
        ([False], "**not seen**"),
        ([True, False, True], "**seen in 2 of 3**"),
        ([False, False], "**not seen**"),
        ([None], "**cannot be told**"),
        ([None, True], "**seen**"),
    ],
)
def test_a_verdict_is_a_word(seen, words):
    assert feature_reuse.verdict(pd.DataFrame({"seen": pd.Series(seen, dtype=object)})).endswith(words)


def depth(*values):
    table = pd.DataFrame({"value": values, "depth": range(len(values))})
    return table.assign(run="residual-20", quantity="linear_probe")


def cka(first, last):
    table = pd.DataFrame({"row": [0, 1, 1], "column": [0, 0, 1], "cka": [1.0, first, 1.0]})
    return table.assign(other_step=3, cka=[1.0, 0.0, last]) if last else table


@pytest.mark.parametrize(
    ("values", "cells", "other", "sentence"),
    [
        (
            (0.2, 0.5, 0.9), cka(0.3, None), "",
            "At step 6 a linear probe names the class of 90 % of the images from the last layer of residual-20, of 20 "
            "% from the first; the two have a CKA of 0.300.",
        ),
        (
            (np.nan,), cka(0.3, None), "",
            "At step 6 the first and the last layer of residual-20 have a CKA of 0.300.",
        ),
        (
            (0.2, 0.9), cka(0.3, 0.7), "plain-20",
            "At step 6 a linear probe names the class of 90 % of the images from the last layer of residual-20, of 20 "
            "% from the first; its last layer and that of plain-20 (step 3) have a CKA of 0.700.",
        ),
        ((np.nan,), cka(0.3, None).head(0), "", "At step 6 nothing finite was measured of residual-20."),
    ],
)  # fmt: skip
def test_what_layers_represent(values, cells, other, sentence):
    assert representation.answer(depth(*values), cells, "residual-20", other, 6) == sentence


def test_a_run_at_another_step_is_named_with_its_own():
    table = at(RESIDUAL, PLAIN)
    said = signals.answer(table.assign(step=table["run"].map({"residual-56": 9, "plain-56": 10})), 9)
    assert "to 0.700 in residual-56, from 0.900 to 14.9 in plain-56 (step 10);" in said
    dense = reuse("layer", lambda s, t: 1.0 + (s == 0), step=6)
    said = feature_reuse.answer(dense, NOTHING, NOTHING, ("dense-40", ""), 5)
    assert said.startswith("At step 5 a layer of dense-40 (step 6) reads")


def test_a_net_without_rectifiers_is_not_called_free_of_dead_channels():
    table = at(("plain-8", "plain", 8, (1.0,), 0, None))
    said = signals.answer(table[table["quantity"] != "dead_share"], 9)
    assert said == "At step 9 layers respond with a standard deviation of 1.00 in plain-8."


SIZES = {"parameters": 272474, "multiply_adds": 40.5e6, "linear_share": 0.0024, "receptive_field": 109.0}


@pytest.mark.parametrize(
    ("sizes", "image", "end"),
    [
        (SIZES, (16, 24, 24), "; its last map sees 109 pixels a side, more than the image of 24 has."),
        (SIZES, (64, 112, 112), "; its last map sees 109 pixels a side."),
        (SIZES | {"receptive_field": np.nan}, (), " for an image."),
    ],
)
def test_what_this_net_is(sizes, image, end):
    said = architecture.answer("net", sizes, image)
    start = "net has 272 k parameters, 0.24 % of them in linear layers, and makes 40.5 M multiply-adds for an image"
    assert said == start + end.removeprefix(" for an image")


@pytest.mark.parametrize(("count", "said"), [(7, "7.00"), (68040, "68.0 k"), (4.09e9, "4.09 G"), (1.02e6, "1.02 M")])
def test_amounts_have_three_digits(count, said):
    assert architecture.amount(count) == said


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ((True, True), "All sizes that were tried, 16 and 32 pixels a side."),
        ((False, True), "32 pixels a side, not 16."),
        ((False, False), "None that was tried, not 16 and 32."),
    ],
)
def test_sizes_in_a_sentence(accepted, said):
    assert architecture.accepted(pd.DataFrame({"size": [16, 32], "accepted": accepted})) == said


def test_progress_is_read_off_the_last_line_that_tells_it():
    lines = ["loading torch …", "[3/41] by_depth at step 300: 27 rows, 1.2 s", "probed x: 41 tables in 38 s"]
    assert share_done(lines) == (3 / 41, "3 of 41: dimension and separability at step 300 is measured")
    assert share_done(["[1/2] architecture: 9 rows, 0.0 s"]) == (0.5, "1 of 2: architecture is measured")
    assert share_done(["loading torch …"]) == (0.0, "The laboratory is starting")
