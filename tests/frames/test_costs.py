"""How long a training takes, told by others: against closed forms, by coverage, and against real runs."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from labapp.config import Experiment
from labapp.frames import costs
from labapp.frames.costs import Cost, Pace, Size
from labapp.probes.sizes import size_of
from labapp.recording import log_spaced
from labapp.store import Run, disk_use, list_runs
from labapp.training.loop import train
from tests.store.examples import edit
from tests.training.small import small

NET = Size(1e6, 1000, 10)
RESIDUAL, PLAIN, DENSE = (Experiment(family=family) for family in ("residual", "plain", "dense"))


def pace(step: float, experiment: Experiment = RESIDUAL, size: Size = NET, **changes: float) -> Pace:
    return Pace(experiment, size, step, step / 2, 2 * step, 0.0, 400.0, 8.0)._replace(**changes)


@pytest.mark.parametrize(("batch", "steps", "factor"), [(64, 300, 1.0), (32, 300, 0.5), (128, 30, 0.2)])
def test_time_grows_with_the_images_of_a_net(batch: int, steps: int, factor: float) -> None:
    wanted = RESIDUAL.but(batch_size=batch, steps=steps)
    cost = costs.expected(wanted, NET, [pace(0.1), pace(0.1)])
    assert cost is not None
    assert (cost.low, cost.high) == pytest.approx((30 * factor, 30 * factor))
    assert cost.by == "2 runs of this net on this machine"


def test_time_grows_with_the_multiply_adds_of_other_nets_and_so_do_evaluations() -> None:
    """Three times the products of a forward pass: three times as long, whatever takes the time."""
    others = [pace(0.1, PLAIN, evaluation=2.0), pace(0.1, PLAIN.but(depth=56), evaluation=2.0)]
    cost = costs.expected(RESIDUAL.but(eval_every=100), NET._replace(multiply_adds=3e6), others)
    assert cost is not None
    assert cost.low == pytest.approx(3 * (0.1 * 300 + 2.0 * 5))
    assert cost.by == "2 runs of 2 nets on this machine"


def test_the_interval_is_that_of_one_more_run_on_the_logarithm() -> None:
    steps = [0.1, 0.2, 0.4]  # logarithms with mean log 0.2 and deviation log 2
    cost = costs.expected(RESIDUAL, NET, [pace(step) for step in steps])
    assert cost is not None
    reach = student.ppf(0.9, 2) * math.log(2) * math.sqrt(1 + 1 / 3)
    assert (cost.low, cost.high) == pytest.approx((60 * math.exp(-reach), 60 * math.exp(reach)))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_four_of_five_intervals_hold_the_next_run(count: int) -> None:
    """Rates that differ by factors, lognormal; 2,000 tries, of which three deviations are 2.7 %."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(tries := 2000):
        *seen, new = np.exp(0.3 * generator.standard_normal(count + 1))
        cost = costs.expected(RESIDUAL, NET, [pace(float(step)) for step in seen])
        assert cost is not None
        held += cost.low <= 300 * new <= cost.high
    assert held / tries == pytest.approx(0.8, abs=0.027)


def test_those_that_are_most_alike_are_asked() -> None:
    same, family, others = pace(1.0), pace(2.0, RESIDUAL.but(depth=56)), pace(3.0, DENSE)
    both = [same, same._replace(experiment=RESIDUAL.but(seed=3, init="glorot", learning_rate=0.5))]
    assert costs.witnesses(RESIDUAL, [*both, family, others]) == both
    assert costs.witnesses(RESIDUAL, [same, family, others]) == [same, family]
    assert costs.witnesses(RESIDUAL, [same, others]) == [same, others]
    seeds = [family, family._replace(experiment=family.experiment.but(seed=1))]
    assert costs.expected(RESIDUAL, NET, seeds) is None  # of one other net, which does not say how nets differ
    told = costs.expected(RESIDUAL, NET, [*seeds, pace(4.0, RESIDUAL.but(depth=110))])
    alone = costs.expected(RESIDUAL, NET, [family, pace(4.0, RESIDUAL.but(depth=110))])
    assert told is not None
    assert alone is not None
    assert (told.low, told.high) == pytest.approx((alone.low, alone.high))  # a net counts once
    assert told.by == "3 runs of 2 nets on this machine"
    assert costs.expected(RESIDUAL, NET, [same]) is None
    on_gpu = pace(0.1, RESIDUAL.but(device="cuda"))
    assert costs.witnesses(RESIDUAL.but(device="cpu"), [on_gpu, *both]) == both


def test_a_timing_says_from_its_quickest_to_its_slowest_step() -> None:
    trial = pace(0.1, RESIDUAL.but(steps=8, warmup_steps=0), evaluation=1.0)
    cost = costs.timed(RESIDUAL.but(eval_every=300), trial)
    assert (cost.low, cost.high) == pytest.approx((0.05 * 300 + 3, 0.2 * 300 + 3))
    assert cost.by == "a timing of 8 steps"


def test_several_take_their_sum_over_those_at_a_time_and_never_less_than_the_longest() -> None:
    one, two = Cost(10.0, 20.0, 5.0, "a"), Cost(100.0, 300.0, 5.0, "b")
    assert costs.together([one, one, one, one], 2)[:3] == (20.0, 40.0, 20.0)
    assert costs.together([one, two], 2)[:3] == (100.0, 300.0, 10.0)
    assert costs.together([one], 8)[:3] == one[:3]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("costs")
    return train(small(steps=12, eval_every=4, checkpoints=2, record_every=3, imageset="digits"), root)


def test_a_real_run_is_measured_as_it_was(real: Run) -> None:
    found = costs.pace(real)
    assert found is not None
    assert costs.recorded(real.experiment) == real.layers(columns=["step"])["step"].nunique()
    assert costs.kept_of(real.experiment) == len(real.checkpoints())
    assert costs.evaluations(real.experiment) == len(real.evals())
    again = costs.expected(real.experiment, found.size, [found, found])
    assert again is not None
    assert again.low == again.high
    assert again.low == pytest.approx(real.seconds, rel=0.5)  # all but the first step, which warms up
    for count in (0, 1, 5, 8):
        kept = {step for step in range(101) if log_spaced(count, 101)(step)} if count else set()
        assert costs.kept_of(real.experiment.but(steps=100, checkpoints=count)) == len(kept | {100})
    room = disk_use(real)
    rows = sum(count for name, count in room.items() if name in real.tables())
    first, last = (
        sum(path.stat().st_size for path in (real.checkpoint_path(step), real.state_path(step)) if path)
        for step in real.checkpoints()
    )
    assert first < last  # without momentum
    assert again.room == pytest.approx(2 * last + rows)
    assert sum(room.values()) == sum(path.stat().st_size for path in real.path.rglob("*") if path.is_file())


def test_the_size_of_a_net_is_the_same_by_its_record_and_counted_anew(real: Run, digit_nets) -> None:
    """But for biases, which its record counts as weights that are used at every place."""
    for run in (real, *list_runs(digit_nets)):
        by_record, counted = costs.size_of(run), Size(*size_of(run.experiment))
        assert by_record is not None
        assert by_record.multiply_adds == pytest.approx(counted.multiply_adds, rel=0.02)
        assert by_record[1:] == counted[1:]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "stopped"}, {"layers": []}, {"attempts": []},
        {"attempts": [{"host": "elsewhere"}]}, {"attempts": [{"host": "a"}, {"host": "b"}]},
    ],
)  # fmt: skip
def test_a_run_that_says_nothing_of_this_machine_is_not_asked(tmp_path, record, change) -> None:
    run = record(tmp_path)
    assert costs.pace(run) is None  # it has not noted how fast it was
    edit(run.path, **change)
    assert costs.pace(Run(run.path)) is None
