"""The first line of each page, as a function of its table."""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from labapp.app.views import gradcam, gradient_flow, overview


def table(*rows):
    """Rows of net, depth, accuracy, status, step, steps, seed and settings, of which the last ones may be left out."""
    usual = ("finished", 300, 300, 0, {})
    columns = ["net", "net_depth", "accuracy", "status", "step", "steps", "seed", "comparable"]
    whole = pd.DataFrame([(*row, *usual[len(row) - 3 :]) for row in rows], columns=columns)
    seeds = [f" (seed {seed})" if seed else "" for seed in whole["seed"]]
    return whole.assign(run=whole["net"] + pd.Series(seeds, dtype=str), family="plain")


ONE_SEED = " With one seed each, chance cannot be told from the nets."


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [("residual-56", 56, 0.956), ("plain-56", 56, 0.266), ("plain-20", 20, 0.93)],
            "residual-56 reaches 95.6 %, plain-56 stays at 26.6 % with the same recipe." + ONE_SEED,
        ),
        (  # the best of the same depth, though another one is better still
            [("dense-40", 40, 0.97), ("residual-56", 56, 0.956), ("plain-56", 56, 0.266)],
            "residual-56 reaches 95.6 %, plain-56 stays at 26.6 % with the same recipe." + ONE_SEED,
        ),
        (
            [("dense-40", 40, 0.97), ("plain-56", 56, 0.266)],
            "dense-40 reaches 97 %, plain-56 stays at 26.6 % with the same recipe." + ONE_SEED,
        ),
        (  # a run that was broken off is no plain-20 that stays at 10 %
            [("plain-20", 20, 0.95), ("plain-20", 20, 0.1, "stopped", 20, 300, 1)],
            "plain-20 reaches 95 % on held-out images after 300 steps. "
            "plain-20 (seed 1) ended early, at step 20 of 300, and is not compared.",
        ),
        (
            [("residual-56", 56, 0.956), ("plain-56", 56, 0.2, "running", 120)],
            "residual-56 reaches 95.6 % on held-out images after 300 steps. "
            "plain-56 is at step 120 of 300, with 20 % at its last test.",
        ),
        (
            [("a", 20, 0.93), ("b", 20, 0.96), ("c", 20, 0.95)],
            "All 3 nets end between 93 % and 96 % on held-out images with the same recipe." + ONE_SEED,
        ),
        (
            [("a", 20, 0.9), ("b", 20, 0.9)],
            "Both nets end at 90 % on held-out images with the same recipe." + ONE_SEED,
        ),
        (
            [("a", 20, 0.93), ("b", 20, 0.96)],
            "Both nets end between 93 % and 96 % on held-out images with the same recipe." + ONE_SEED,
        ),
        (
            [("a", 20, 0.9), ("b", 20, 0.2, "finished", 300, 300, 0, {"learning_rate": 0.5})],
            "a reaches 90 %, b stays at 20 % with the same recipe." + ONE_SEED,  # only one of them has such a setting
        ),
        (
            [
                ("a", 20, 0.9, "finished", 300, 300, 0, {"learning_rate": 0.1, "width": 8}),
                ("b", 20, 0.2, "finished", 300, 300, 0, {"learning_rate": 0.5, "width": 8}),
            ],
            "a reaches 90 %, b stays at 20 %; they also differ in learning rate (0.1 and 0.5)." + ONE_SEED,
        ),
        (
            [("a", 20, 0.90), ("a", 20, 0.92, "finished", 300, 300, 1), ("b", 20, 0.2)],
            "a reaches 91 %, b stays at 20 % with the same recipe. "
            "With one seed of b, chance cannot be told from the nets.",
        ),
        (  # Welch: 0.71 ± 4.303 · sqrt(2 · 1e-4)
            [("a", 20, 0.90), ("a", 20, 0.92, "finished", 300, 300, 1), ("b", 20, 0.19),
             ("b", 20, 0.21, "finished", 300, 300, 1)],
            "a reaches 91 %, b stays at 20 % with the same recipe. "
            "Between a and b lie 71.0 points (64.9 to 77.1, from the seeds), more than chance.",
        ),
        (
            [("a", 20, 0.90), ("a", 20, 0.92, "finished", 300, 300, 1), ("b", 20, 0.89),
             ("b", 20, 0.91, "finished", 300, 300, 1)],
            "Both nets end between 90 % and 91 % on held-out images with the same recipe. "
            "Between a and b lie 1.00 points (−5.08 to 7.08, from the seeds), which chance may have made.",
        ),
        ([("plain-20", 20, 0.9312)], "plain-20 reaches 93.1 % on held-out images after 300 steps."),
        (
            [("a", 20, 0.90), ("a", 20, 0.92, "finished", 300, 300, 1)],
            "a reaches 91 % on held-out images after 300 steps (mean of 2 seeds, 78.3 % to 100 %).",
        ),
        (
            [("plain-20", 20, 0.93), ("plain-56", 56, np.nan, "diverged")],
            "plain-20 reaches 93 % on held-out images after 300 steps. "
            "plain-56 diverged: numbers became infinite or NaN.",
        ),
        ([("plain-20", 20, np.nan, "running", 12)], "plain-20 is at step 12 of 300."),
        (
            [("a", 20, np.nan, "running", 12)] * 4,
            "a is at step 12 of 300. a is at step 12 of 300. 2 other runs have not finished either.",
        ),
        ([("plain-20", 20, np.nan)], "None of the chosen runs has a test accuracy yet."),
    ],
)  # fmt: skip
def test_did_they_train(rows, sentence):
    assert overview.answer(table(*rows)) == sentence


def slopes(**factors):
    rows = {"run": [name.replace("_", "-") for name in factors], "factor": list(factors.values())}
    slope = -np.log10(rows["factor"])
    return pd.DataFrame(rows).assign(slope=slope, low=slope - 0.01, high=slope + 0.01, step=0)


def runs(*names):
    families = [name.split("-")[0] for name in names]
    depths = [int(name.split("-")[1]) for name in names]
    table = pd.DataFrame({"run": names, "family": families, "net_depth": depths, "norm": "batch", "activation": "relu"})
    return table.assign(comparable=[{"learning_rate": 0.1} for _ in names])


@pytest.mark.parametrize(
    ("factors", "theory", "sentence"),
    [
        (
            {"plain_56": 1.2, "residual_56": 1.06},
            {"plain-56": 1.187},
            "At step 0 the gradient grows 1.20× (1.17–1.23) a layer towards the input in plain-56 (theory 1.19×); "
            "in residual-56 1.06× (1.04–1.08).",
        ),
        (
            {"residual_110": 1.01, "plain_20": 1.19, "plain_56": 1.18, "residual_56": 1.06, "dense_40": 1.03},
            {},
            "At step 0 the gradient grows 1.18× (1.15–1.21) a layer towards the input in plain-56; "
            "in residual-56 1.06× (1.04–1.08).",
        ),
        (
            {"plain_56": 1.2},
            {},
            "At step 0 the gradient grows 1.20× (1.17–1.23) a layer towards the input in plain-56.",
        ),
        (
            {"plain_56": 0.8, "residual_56": 1.06},
            {},
            "At step 0 the gradient shrinks to 0.800× (0.782–0.819) a layer towards the input in plain-56; "
            "in residual-56 it grows 1.06× (1.04–1.08).",
        ),
        (
            {"plain_56": np.nan, "residual_56": 1.06},
            {"plain-56": 1.187},
            "At step 0 the gradient grows 1.06× (1.04–1.08) a layer towards the input in residual-56. "
            "In plain-56 it cannot be told: fewer than two layers have a finite one.",
        ),
        (
            {"plain_56": 0.99, "residual_56": 1.06},
            {"residual-56": 1.058, "plain-56": 0.99},
            "At step 0 the gradient keeps its size from layer to layer in plain-56 (theory 0.990×); "
            "in residual-56 it grows 1.06× (1.04–1.08) (theory 1.06×).",
        ),
        (
            {"plain_56": 0.99},
            {},
            "At step 0 the gradient keeps its size from layer to layer in plain-56.",
        ),
        ({"plain_56": np.nan}, {"plain-56": 1.2}, "At step 0 no layer of the chosen runs has a finite gradient."),
    ],
)
def test_does_the_signal_reach_the_first_layer(factors, theory, sentence):
    names = [name.replace("_", "-") for name in factors]
    assert gradient_flow.answer(slopes(**factors), runs(*names), 0, theory) == sentence


def test_without_an_interval_nothing_is_decided():
    """Two layers have a slope and no interval."""
    table = slopes(plain_56=1.2).assign(low=np.nan, high=np.nan)
    said = gradient_flow.answer(table, runs("plain-56"), 0, {})
    assert said == "At step 0 the gradient changes by 1.20× a layer towards the input in plain-56."


def test_three_seeds_are_told_by_their_mean():
    names = ["plain-56", "plain-56, seed 1", "plain-56, seed 2"]
    about = pd.concat([runs("plain-56")] * 3, ignore_index=True).assign(run=names, net="plain-56")
    table = pd.concat([slopes(plain_56=factor) for factor in (1.18, 1.2, 1.22)], ignore_index=True).assign(run=names)
    said = gradient_flow.answer(*frames.over_seeds(table.assign(layers=55, left_out=0), about), 0, {})
    # log10 of the factors: mean 0.0791, deviation 0.0072, t = 4.30 with two degrees of freedom
    assert said == (
        "At step 0 the gradient grows 1.20× (1.15–1.25) a layer towards the input in plain-56 (mean of 3 seeds)."
    )


def test_a_run_at_another_step_is_named_with_its_own():
    table = slopes(plain_56=1.2, residual_56=1.06).assign(step=[40, 38])
    said = gradient_flow.answer(table, runs("plain-56", "residual-56"), 40, {})
    assert said.startswith("At step 40 the gradient grows 1.20×")
    assert said.endswith("in plain-56; in residual-56 (step 38) 1.06× (1.04–1.08).")


def test_what_differs_besides_is_named_beside_gradients_too():
    pair = runs("plain-56", "residual-56")
    pair = pair.assign(comparable=[{"learning_rate": 0.1, "width": 8}, {"learning_rate": 0.5, "width": 16}])
    table = slopes(plain_56=1.2, residual_56=1.06)
    later = gradient_flow.answer(table.assign(step=40), pair, 40, {})
    assert later.endswith(" They also differ in learning rate (0.1 and 0.5) and width (8 and 16).")
    assert gradient_flow.answer(table, pair, 0, {}).endswith(" They also differ in width (8 and 16).")


def energies(**means):
    rows = [(run, net, mean) for run, nets in means.items() for net, mean in nets.items()]
    return pd.DataFrame(rows, columns=["run", "net", "mean"])


HERE = pd.DataFrame({"run": ["a", "b"], "energy": [0.2, 0.3]})


def test_an_image_is_told_with_the_step_of_its_maps():
    said = gradcam.answer(energies(), HERE, "digit", None, 22)
    assert said == "In this image, at step 22, b puts 30 % of its map's energy on the digit."


@pytest.mark.parametrize(
    ("energy", "here", "stage", "sentence"),
    [
        (
            energies(a={"trained": 0.712, "untrained": 0.24, "uniform": 0.13}, b={"trained": 0.5, "untrained": 0.1}),
            HERE,
            None,
            "At its last checkpoint a puts 71.2 % of its map's energy on the digit (random net 24 %, even map 13 %).",
        ),
        (
            energies(a={"trained": 0.712, "untrained": np.nan, "uniform": 0.13}),
            HERE,
            2,
            "At its last checkpoint a puts 71.2 % of its stage-2 map's energy on the digit (random net no value, even "
            "map 13 %).",
        ),
        (energies(), HERE, None, "In this image b puts 30 % of its map's energy on the digit."),
        (energies(), HERE.assign(energy=np.nan), None, "a and b look here; no mask says where they should."),
        (energies(), HERE.iloc[:0], None, "No net has looked yet."),
    ],
)
def test_where_does_each_net_look(energy, here, stage, sentence):
    assert gradcam.answer(energy, here, "digit", stage) == sentence
