"""Is a verdict right where the answer is known, and how often is it false where nothing is?"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from labapp.charts import claim_chart
from labapp.claims import CLAIMS, CONTRADICTED, NO_DATA, SEEDS, SUPPORTED, UNDECIDED, Observed, judge
from labapp.claims.judging import interval, seeds_needed
from labapp.claims.wording import as_shown, in_words

DRAWS = 400
# Of so many draws a true rate of 2.5 % stays below this in 99.99 % of the cases.
MOST = stats.binom.ppf(0.9999, DRAWS, 0.025) / DRAWS


def measured(claim, numbers):
    """Every part of a claim with these numbers of its seeds, as distances from the threshold towards the claim."""
    return [
        Observed(part.name, seed, part.threshold + (1 if part.above else -1) * number)
        for part in claim.parts
        for seed, number in enumerate(numbers)
    ]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_the_verdict_is_known_where_the_answer_is(claim):
    assert judge(claim, measured(claim, [0.1, 0.11, 0.09, 0.1])).verdict == SUPPORTED
    assert judge(claim, measured(claim, [-0.1, -0.11, -0.09, -0.1])).verdict == CONTRADICTED
    assert judge(claim, []).verdict == NO_DATA
    if not all(part.exact for part in claim.parts):
        some = replace(claim, parts=tuple(part for part in claim.parts if not part.exact))
        assert judge(some, measured(some, [0.1, -0.1, 0.05])).verdict == UNDECIDED


@pytest.mark.long
@pytest.mark.parametrize("seeds", [SEEDS, 5])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_false_verdict_is_rarer_than_one_in_forty(parts, seeds):
    """Every number lies at its threshold on average, so neither verdict is right; one part false is a false claim."""
    claim = CLAIMS["short-paths"]
    claim = replace(claim, parts=tuple(replace(claim.parts[0], name=str(number)) for number in range(parts)))
    random = np.random.default_rng(seeds)
    at_the_edge, one_false = [], []
    for _ in range(DRAWS):
        numbers = random.normal(size=(parts, seeds))
        for found, shift in ((at_the_edge, 0.0), (one_false, 50.0)):  # of all parts but the first
            rows = [
                Observed(str(part), seed, claim.parts[0].threshold - numbers[part, seed] - shift * (part > 0))
                for part in range(parts)
                for seed in range(seeds)
            ]
            found.append(judge(claim, rows).verdict)
    assert at_the_edge.count(SUPPORTED) / DRAWS <= MOST
    assert at_the_edge.count(CONTRADICTED) / DRAWS <= MOST
    assert one_false.count(SUPPORTED) / DRAWS <= MOST
    assert one_false.count(CONTRADICTED) / DRAWS <= MOST


def test_too_few_seeds_decide_nothing():
    claim = CLAIMS["scaled-shortcuts"]
    for numbers in ([0.3], [0.3, 0.31]):
        found = judge(claim, measured(claim, numbers))
        assert found.verdict == UNDECIDED
        assert found.parts[0].note == f"{len(numbers)} of at least {SEEDS} seeds"


def test_an_undecided_claim_says_how_many_seeds_would_tell():
    claim = CLAIMS["scaled-shortcuts"]
    numbers = np.array([0.01, 0.06, -0.02])
    found = judge(claim, measured(claim, numbers)).parts[0]
    needed = int(found.note.split()[0])
    half = [stats.t.ppf(0.975, n - 1) * numbers.std(ddof=1) / math.sqrt(n) for n in (needed - 1, needed)]
    assert half[1] < numbers.mean() <= half[0]
    assert seeds_needed(0.0, 1.0, 0.0) is None
    assert "too near" in judge(claim, measured(claim, [0.1, -0.1, 0.0])).parts[0].note


def test_the_interval_is_students():
    values = [0.2, 0.5, 0.4, 0.9]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert interval(values) == pytest.approx((np.mean(values), low, high), rel=1e-12)


def test_numbers_that_come_in_steps_vary_at_least_by_their_rounding():
    mean, low, high = interval([0.25, 0.25, 0.25], resolution=0.1)
    assert mean == 0.25
    assert high - mean == pytest.approx(stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(12) / math.sqrt(3), rel=1e-12)
    assert low == pytest.approx(2 * mean - high)


def test_of_what_is_exact_one_run_tells_and_the_worst_counts():
    claim = CLAIMS["vgg-head"]
    assert judge(claim, measured(claim, [0.2])).verdict == SUPPORTED
    assert judge(claim, measured(claim, [0.2, -0.01])).verdict == CONTRADICTED


def test_what_could_not_be_measured_says_why():
    claim = CLAIMS["short-paths"]
    found = judge(claim, [Observed("length", 0, math.nan, ("a",), "no gradient comes")])
    assert (found.verdict, found.parts[0].note) == (NO_DATA, "no gradient comes")


def test_every_claim_is_complete():
    from labapp.claims import PAPERS
    from labapp.probes.catalogue import CATALOGUE

    for claim in CLAIMS.values():
        assert claim.paper in PAPERS
        assert claim.statement.endswith(".")
        assert all((claim.sweep, claim.shown, claim.where))
        assert set(claim.probes) <= set(CATALOGUE), claim.name
        assert len({part.name for part in claim.parts}) == len(claim.parts)
        assert all(part.because and part.says for part in claim.parts)


def test_an_interval_of_factors_may_be_endless():
    """Two seeds that differ by all that float32 holds: their interval has ends that no float does."""
    claim = CLAIMS["vanishing-none-he-start"]
    part = judge(claim, [Observed("decades", seed, value) for seed, value in enumerate((-45.0, 38.0))]).parts[0]
    assert part.high > 500
    assert in_words(part) == "3.2e-04× [0.0e+00×, ∞], to be below 0.1×"
    table = pd.DataFrame({"seed": part.whose, "value": [as_shown(part, value) for value in part.numbers]})
    about = {
        name: as_shown(part, getattr(part, of)) for name, of in (("mean", "value"), ("low", "low"), ("high", "high"))
    }
    drawn = claim_chart(table.assign(**about), "factor", 0.1, False, "#2E7D32", True).to_dict()
    (bar,) = [layer for layer in drawn["layer"] if layer["encoding"].get("x2", {}).get("field") == "right"]
    row = drawn["datasets"][bar.get("data", drawn["data"])["name"]][0]
    low, high = bar["encoding"]["x"]["scale"]["domain"]
    assert 0 < low <= row["left"] < row["right"] <= high < math.inf
