"""Are two engines compared by ratios of one round, over 16 runs that differ in their seed?"""

import pytest

from analysis import engines
from labapp.commands.cli import COMMANDS
from labapp.commands.options import parse
from labapp.config.sweeps import parse as planned


def test_the_sweep_is_of_sixteen_runs_and_the_ways_differ_in_their_workers():
    experiments = [each.experiment for each in planned(engines.spec(300)).planned]
    assert len(experiments) == len({each.seed for each in experiments}) == 16
    assert {each.but(seed=0) for each in experiments} == {experiments[0].but(seed=0)}
    for words in engines.WAYS.values():
        parse(COMMANDS["sweep"].load(), "sweep", ["some.yaml", *words])


def test_a_ratio_is_of_one_round():
    local, two, one = engines.WAYS
    said = engines.summary(
        [{local: 10, two: 10.5, one: 20}, {local: 20, two: 20, one: 38}, {local: 10, two: 12, one: 24}]
    )
    assert said.splitlines() == [
        "two workers of Ray are so many times as quick as one: 1.90 (1.90 to 2.00; at least 1.8)",
        "and take so many times as long as two local processes: 1.05 (1.00 to 1.20; at most 1.1)",
    ]


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--steps", "0"]])
def test_a_mistake_is_said(words, capsys):
    with pytest.raises(SystemExit):
        engines.main(words)
    assert "--rounds and --steps take 1 or more" in capsys.readouterr().err
