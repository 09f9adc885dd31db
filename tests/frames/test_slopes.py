"""Slopes and their intervals: against scipy, slow matrices, and by how often they hold what they should."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import linregress
from scipy.stats import t as student
from torch import nn

from labapp import frames
from labapp.frames import slopes
from labapp.nets import build
from tests.frames.profiles import one_profile


def test_slope_of_a_geometric_profile_is_exact(record, tmp_path):
    slopes = frames.gradient_slope(frames.layer_table([record(tmp_path, growth=1.2)]))
    assert slopes["step"].tolist() == [0, 10, 20, 30]
    np.testing.assert_allclose(slopes["factor"], 1.2, rtol=1e-6)
    np.testing.assert_allclose(slopes["high"] - slopes["low"], 0, atol=1e-6)
    assert slopes["layers"].tolist() == [19] * 4


def slow_half(depths, values, level):
    """Half of the interval, from whole covariance matrices and scipy's own distribution and root."""
    n = len(values)
    design = np.column_stack([np.ones(n), depths])
    weights = np.linalg.pinv(design)[1]
    order = np.arange(n)
    likelihoods, errors = [], []
    for rho in slopes.RHOS:
        covariance = rho ** np.abs(order[:, None] - order)
        inverse = np.linalg.inv(covariance)
        information = design.T @ inverse @ design
        beta = np.linalg.solve(information, design.T @ inverse @ values)
        left = values - design @ beta
        square = left @ inverse @ left / (n - 2)
        logs = [np.linalg.slogdet(matrix)[1] for matrix in (covariance, information)]
        likelihoods.append(-(sum(logs) + (n - 2) * np.log(square)) / 2)
        errors.append(np.sqrt(square * weights @ covariance @ weights))
    shares = np.exp(np.array(likelihoods) - max(likelihoods))
    shares /= shares.sum()
    mixture = lambda x: shares @ student.cdf(x / np.array(errors), n - 2) - (1 + level) / 2  # noqa: E731
    return brentq(mixture, 0, 1e4 * max(errors))


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), st.integers(0, 10**6), st.floats(0.5, 0.99), st.integers(0, 1000))
def test_slope_and_interval_agree_with_slow_ones(layers, seed, level, offset):
    exponents = np.random.default_rng(seed).normal(size=layers).cumsum()
    depths = offset + np.arange(1, layers + 1) * 2
    ours = frames.gradient_slope(one_profile(10.0**exponents, depths), level).iloc[0]
    assert ours["slope"] == pytest.approx(linregress(depths, exponents).slope, rel=1e-6, abs=1e-9)
    half = slow_half(depths.astype(float), exponents, level)
    # 1e-9 of the bracket, and what float64 leaves of covariances with an entry of 0.98
    assert (ours["high"] - ours["low"]) / 2 == pytest.approx(half, rel=1e-5)


def autoregressive(rho, layers, count, rng):
    """Stationary series (count, layers) with the correlation ρ between neighbours."""
    noise = rng.standard_normal((count, layers))
    series = np.empty_like(noise)
    series[:, 0] = noise[:, 0] / np.sqrt(1 - rho**2)
    for at in range(1, layers):
        series[:, at] = rho * series[:, at - 1] + noise[:, at]
    return series


def many(profiles):
    """One run whose steps are these profiles of log10(value), (count, layers)."""
    tables = [one_profile(np.ones(profiles.shape[1]))] * len(profiles)
    table = pd.concat(tables, ignore_index=True)
    return table.assign(step=np.repeat(np.arange(len(profiles)), profiles.shape[1]), value=10 ** profiles.ravel())


@pytest.mark.parametrize("layers", [19, 35, 55])
@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.5, 0.8])
def test_the_interval_holds_the_slope_of_correlated_profiles(layers, rho):
    rng = np.random.default_rng([layers, int(100 * (rho + 1))])
    count = 800
    profiles = 0.05 * autoregressive(rho, layers, count, rng) - 0.07 * np.arange(layers)
    found = frames.gradient_slope(many(profiles))
    share = ((found["low"] < -0.07) & (found["high"] > -0.07)).mean()
    chance = 2 * np.sqrt(0.05 * 0.95 / count)  # two deviations of a share of 800
    assert 0.92 - chance < share < 0.98 + chance


def reinitialised(family, depth, seed):
    """Gradient norms at the convolutions of a new net on new images, and their names."""
    torch.manual_seed(seed)
    net = build(family, depth=depth, width=4, image_size=8)
    gradients = {}

    def listen(path, module, args, output):
        output.register_hook(lambda gradient: gradients.update({path: float(gradient.norm())}))

    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(partial(listen, path))
    nn.functional.cross_entropy(net(torch.randn(16, 3, 8, 8)), torch.randint(0, 10, (16,))).backward()
    return [gradients[path] for path, module in net.named_modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.long
def test_the_interval_holds_the_mean_slope_of_200_nets():
    profiles = np.log10([reinitialised("plain", 20, seed) for seed in range(200)])
    found = frames.gradient_slope(many(profiles))
    mean = found["slope"].mean()
    share = ((found["low"] < mean) & (mean < found["high"])).mean()
    chance = 2 * np.sqrt(0.05 * 0.95 / 200)
    assert 0.92 - chance < share < 0.98 + chance
    runs = pd.DataFrame({"run": [f"plain-20, seed {seed}" for seed in range(200)], "net": "plain-20"})
    each = found.assign(run=runs["run"], step=0)
    held = []
    for start in range(0, 200, 4):  # four seeds at a time
        four, of = frames.over_seeds(each[start : start + 4], runs[start : start + 4])
        assert four["run"].tolist() == of["run"].tolist() == ["plain-20 (mean of 4 seeds)"]
        held.append(bool(four["low"].iloc[0] < mean < four["high"].iloc[0]))
    assert np.mean(held) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 50)  # three deviations of a share of 50


def test_seeds_say_it_by_student_s_t():
    slope = np.array([0.1, 0.2, 0.4])
    slopes_of = pd.concat(
        [
            frames.gradient_slope(one_profile(10 ** (-k * np.arange(5.0)), run=f"a, seed {at}"))
            for at, k in enumerate(slope)
        ]
    )
    other = frames.gradient_slope(one_profile([4.0, 2.0, 1.0], run="b"))
    runs = pd.DataFrame({"run": [*slopes_of["run"], "b"], "net": ["a", "a", "a", "b"], "family": "plain"})
    table, of = frames.over_seeds(pd.concat([slopes_of, other], ignore_index=True), runs)
    assert set(table["run"]) == set(of["run"]) == {"a (mean of 3 seeds)", "b"}
    row = table.set_index("run").loc["a (mean of 3 seeds)"]
    low, high = student.interval(0.95, 2, loc=-slope.mean(), scale=slope.std(ddof=1) / 3**0.5)
    assert row[["slope", "low", "high"]].tolist() == pytest.approx([-slope.mean(), low, high])
    assert row["factor"] == pytest.approx(10 ** slope.mean())
    two, _ = frames.over_seeds(slopes_of.iloc[:2], runs)
    assert two["run"].tolist() == ["a, seed 0", "a, seed 1"]  # too few to tell a spread
    apart, _ = frames.over_seeds(slopes_of.assign(step=[0, 0, 5]), runs)
    assert len(apart) == 3  # at different steps


@pytest.mark.parametrize("shortcut", ["stage2.block1.shortcut.conv", "layer2.0.downsample.0"])
def test_projections_on_shortcuts_are_in_no_fit(shortcut):
    clean = one_profile([8, 4, 2, 1])
    beside = one_profile([1e6], depths=[2]).assign(layer=shortcut)
    found = frames.gradient_slope(pd.concat([clean, beside], ignore_index=True)).iloc[0]
    assert found.equals(frames.gradient_slope(clean).iloc[0])
    assert (found["layers"], found["left_out"]) == (4, 0)


def test_slope_agrees_with_lstsq_beside_other_runs():
    rng = np.random.default_rng(0)
    tables = [one_profile(rng.lognormal(size=20), run=run, step=step) for run in "ab" for step in (0, 5)]
    slopes = frames.gradient_slope(pd.concat(tables, ignore_index=True))
    for table, slope in zip(tables, slopes["slope"], strict=True):
        design = np.column_stack([table["depth"], np.ones(20)])
        assert slope == pytest.approx(np.linalg.lstsq(design, np.log10(table["value"]), rcond=None)[0][0], rel=1e-9)


def test_slope_leaves_out_what_has_no_logarithm():
    clean = frames.gradient_slope(one_profile([8, 4, 2, 1])).iloc[0]
    dirty = one_profile([8, 4, 2, 1, 0, np.nan, np.inf, -3])
    found = frames.gradient_slope(dirty).iloc[0]
    assert found["slope"] == pytest.approx(clean["slope"])
    assert (found["layers"], found["left_out"]) == (4, 4)


@pytest.mark.parametrize(
    ("values", "slope", "interval"),
    [([5.0], False, False), ([4.0, 2.0], True, False), ([], None, None), ([np.nan, np.nan], False, False)],
)
def test_slope_of_too_few_layers_is_nan(values, slope, interval):
    found = frames.gradient_slope(one_profile(values))
    if slope is None:
        assert found.empty
        return
    row = found.iloc[0]
    assert np.isfinite(row["slope"]) == slope
    assert np.isfinite(row["low"]) == interval


def test_slope_of_layers_at_one_depth_is_nan():
    assert np.isnan(frames.gradient_slope(one_profile([1, 2, 3], depths=[4, 4, 4])).loc[0, "slope"])
