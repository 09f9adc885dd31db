"""The first line of each page, as a function of its table."""

import numpy as np
import pandas as pd
import pytest

from labapp.app.views import gradcam, gradient_flow, overview


def table(*rows):
    columns = ["run", "net_depth", "accuracy", "status", "step", "steps"]
    return pd.DataFrame([(*row, *("finished", 300, 300)[len(row) - 3 :]) for row in rows], columns=columns)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [("residual-56", 56, 0.956), ("plain-56", 56, 0.266), ("plain-20", 20, 0.93)],
            "residual-56 reaches 95.6 %, plain-56 stays at 26.6 % with the same recipe.",
        ),
        (  # the best of the same depth, though another one is better still
            [("dense-40", 40, 0.97), ("residual-56", 56, 0.956), ("plain-56", 56, 0.266)],
            "residual-56 reaches 95.6 %, plain-56 stays at 26.6 % with the same recipe.",
        ),
        (
            [("dense-40", 40, 0.97), ("plain-56", 56, 0.266)],
            "dense-40 reaches 97 %, plain-56 stays at 26.6 % with the same recipe.",
        ),
        (
            [("residual-56", 56, 0.956), ("plain-56", 56, 0.2, "running")],
            "residual-56 reaches 95.6 %, plain-56 is still at 20 % with the same recipe.",
        ),
        (
            [("a", 20, 0.93), ("b", 20, 0.96), ("c", 20, 0.95)],
            "All 3 runs end between 93 % and 96 % on held-out images with the same recipe.",
        ),
        (
            [("a", 20, 0.93), ("b", 20, 0.96)],
            "Both runs end between 93 % and 96 % on held-out images with the same recipe.",
        ),
        (
            [("a", 20, 0.93, "running"), ("b", 20, 0.96)],
            "Both runs are between 93 % and 96 % on held-out images with the same recipe so far.",
        ),
        ([("plain-20", 20, 0.9312)], "plain-20 reaches 93.1 % on held-out images after 300 steps."),
        (
            [("plain-20", 20, 0.93), ("plain-56", 56, np.nan, "diverged")],
            "plain-20 reaches 93 % on held-out images after 300 steps. "
            "plain-56 diverged: the loss was no longer a number.",
        ),
        ([("plain-20", 20, np.nan, "running", 12)], "plain-20 is at step 12 of 300."),
        ([("plain-20", 20, np.nan, "failed", 0)], "None of the chosen runs has been tested yet."),
    ],
)
def test_did_they_train(rows, sentence):
    assert overview.answer(table(*rows), same_recipe=True) == sentence


def test_another_recipe_is_not_called_the_same():
    answer = overview.answer(table(("a", 20, 0.9), ("b", 20, 0.2)), same_recipe=False)
    assert answer == "a reaches 90 %, b stays at 20 %."


def test_same_recipe_compares_all_but_net_and_seed(record, tmp_path):
    plain = record(tmp_path, recorded=(0,), steps=5)
    dense = record(tmp_path, recorded=(0,), steps=5, family="dense", depth=40, seed=3)
    faster = record(tmp_path, recorded=(0,), steps=5, learning_rate=0.5)
    assert overview.same_recipe((plain, dense))
    assert not overview.same_recipe((plain, dense, faster))


def slopes(**factors):
    rows = {"run": [name.replace("_", "-") for name in factors], "factor": list(factors.values())}
    slope = -np.log10(rows["factor"])
    return pd.DataFrame(rows).assign(slope=slope, low=slope - 0.01, high=slope + 0.01)


def runs(*names):
    families = [name.split("-")[0] for name in names]
    depths = [int(name.split("-")[1]) for name in names]
    return pd.DataFrame({"run": names, "family": families, "net_depth": depths, "norm": "batch", "activation": "relu"})


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
            {"residual-56": 1.055, "plain-56": 0.99},
            "At step 0 the gradient keeps its size from layer to layer in plain-56 (theory 0.99×); "
            "in residual-56 it grows 1.06× (1.04–1.08) (theory 1.05×).",
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


def energies(**means):
    rows = [(run, net, mean) for run, nets in means.items() for net, mean in nets.items()]
    return pd.DataFrame(rows, columns=["run", "net", "mean"])


HERE = pd.DataFrame({"run": ["a", "b"], "energy": [0.2, 0.3]})


@pytest.mark.parametrize(
    ("energy", "here", "stage", "sentence"),
    [
        (
            energies(a={"trained": 0.712, "untrained": 0.24, "uniform": 0.13}, b={"trained": 0.5, "untrained": 0.1}),
            HERE,
            None,
            "a puts 71.2 % of its map's energy on the digit (random net 24 %, even map 13 %).",
        ),
        (
            energies(a={"trained": 0.712, "untrained": np.nan, "uniform": 0.13}),
            HERE,
            2,
            "a puts 71.2 % of its stage-2 map's energy on the digit (random net no value, even map 13 %).",
        ),
        (energies(), HERE, None, "In this image b puts 30 % of its map's energy on the digit."),
        (energies(), HERE.assign(energy=np.nan), None, "a and b look here; no mask says where they should."),
        (energies(), HERE.iloc[:0], None, "No net has looked yet."),
    ],
)
def test_where_does_each_net_look(energy, here, stage, sentence):
    assert gradcam.answer(energy, here, "digit", stage) == sentence
