"""Is each number of a run read once for all claims, and anew when the run changes?"""

import pandas as pd
import pytest

from labapp import frames
from labapp.claims import CLAIMS, NO_DATA, Missing, kept, verdicts
from labapp.claims.numbers import decades, probe
from labapp.store import Run, look
from tests.conftest import record_run

DEEP = {"family": "plain", "depth": 56, "norm": "none", "recorded": (0, 2), "steps": 3}


@pytest.fixture
def reads(monkeypatch):
    """Which tables of which runs are read."""
    found, table, matrices = [], Run.table, Run.matrices

    def counted(run, name, *args, **options):
        found.append((run.id, name))
        return table(run, name, *args, **options)

    def counted_matrices(run, *args, **options):
        found.append((run.id, "matrices"))
        return matrices(run, *args, **options)

    monkeypatch.setattr(Run, "table", counted)
    monkeypatch.setattr(Run, "matrices", counted_matrices)
    return found


def test_claims_share_what_they_read_and_judging_again_reads_nothing(tmp_path, reads):
    for seed in range(3):
        record_run(tmp_path, growth=0.9, seed=seed, **DEEP)
        record_run(tmp_path, growth=0.9, seed=seed, **DEEP | {"depth": 20})
    listing = look(tmp_path, 0.0)
    first = [verdicts(claim, listing) for claim in CLAIMS.values()]
    assert reads
    assert len(set(reads)) == len(reads)
    reads.clear()
    assert repr([verdicts(claim, look(tmp_path, 0.0)) for claim in CLAIMS.values()]) == repr(first)  # NaN is not NaN
    assert reads == []


def test_what_is_measured_later_is_seen(tmp_path):
    runs = [record_run(tmp_path, seed=seed, family="residual", recorded=(0,), steps=2) for seed in range(3)]
    paths = pd.DataFrame({"length": [0, 2], "probability": [0.5, 0.5], "effective_length": [0.25, 0.25], "reason": ""})
    assert verdicts(CLAIMS["short-paths"], look(tmp_path, 0.0))[0].verdict == NO_DATA
    for share in (1, 2):  # it is measured again
        for run in runs:
            run.write_probe("path_gradients", 2, paths.assign(effective_length=0.25 * share))
        assert verdicts(CLAIMS["short-paths"], look(tmp_path, 0.0))[0].parts[0].numbers == (0.25 * share,) * 3


def test_what_is_missing_is_kept_too(tmp_path):
    run, calls = record_run(tmp_path, recorded=(0,), steps=2), []

    @kept.kept
    def number(run, name):
        calls.append(name)
        return probe(run, name)

    for _ in range(2):
        with pytest.raises(Missing, match=f"lesions in {run.id}"):
            number(run, "lesions")
    assert calls == ["lesions"]


def test_no_more_is_kept_than_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "KEPT", 16)
    run, calls = record_run(tmp_path, recorded=(0,), steps=2), []

    @kept.kept
    def number(run, at):
        calls.append(at)
        return at

    for _ in range(2):
        assert [number(run, at) for at in range(17)] == [*range(17)]
    assert 17 < len(calls) < 34  # going round one more than is kept does not read all again


def test_gradients_at_both_ends_are_those_of_the_table(tmp_path):
    run = record_run(tmp_path, growth=0.9, nan_from=3, recorded=(0, 1, 4), steps=5)
    first, last = frames.ratios_of_ends(run)
    table = frames.gradient_ratio(frames.layer_table([run]))
    assert [first[0], last[0]] == [0, 4]
    assert first[1] == table["ratio"].iloc[0]
    assert table["ratio"].iloc[-1] != table["ratio"].iloc[-1]
    assert last[1] != last[1]


def test_the_first_record_is_not_the_start_if_it_came_later(tmp_path):
    """As of a loop of somebody's own that recorded from its tenth step on."""
    run = record_run(tmp_path, growth=0.9, recorded=(10, 20))
    with pytest.raises(Missing, match="gradient recorded at step 0"):
        decades(run, 0)
    assert decades(run, -1) < 0
