"""The catalogue: which tables there are, of which nets, and what each holds."""

import inspect

import pytest

from labapp.config import FAMILIES, Experiment
from labapp.probes import measure
from labapp.probes.catalogue import ASKED, CATALOGUE, against_of, chosen, why_not
from labapp.store import Run
from tests.probes.probing import NETS

# what there is


def test_every_quantity_of_the_catalogue_is_measured_by_somebody():
    for name in CATALOGUE:
        parameters = inspect.signature(measure.function_of(name)).parameters.values()
        needed = {parameter.name for parameter in parameters if parameter.default is parameter.empty}
        assert needed <= set(ASKED), name
    assert all(set(quantity.families) <= set(FAMILIES) for quantity in CATALOGUE.values())
    assert all(quantity.otherwise for quantity in CATALOGUE.values() if set(quantity.families) != set(FAMILIES))


@pytest.mark.parametrize("net", NETS)
def test_a_run_gets_every_table_that_applies_to_its_net(net, probed_nets):
    run = Run(probed_nets / net)
    there = run.probes()
    assert set(there) == {name for name in CATALOGUE if not why_not(name, run.experiment)}
    for name, steps in there.items():
        assert steps == ([0] if CATALOGUE[name].when == "plan" else [0, 12]), name
        table = run.probe(name, steps[-1])
        assert len(table), name
        assert set(CATALOGUE[name].columns) == set(table) - {"batch_norm"}, name


def test_what_does_not_apply_is_said_in_a_sentence(probed_nets):
    missing = {
        net: {name: why for name in CATALOGUE if (why := why_not(name, Run(probed_nets / net).experiment))}
        for net in NETS
    }
    assert set(missing["dense"]) == {"path_gradients", "permutations", "gradient_split", "singular_values"}
    assert set(missing["residual"]) == {"growth", "reuse_observations"}
    assert "this one was built without" in missing["original"]["gradient_split"]
    assert missing["plain"]["path_gradients"].endswith("this one is plain")
    assert "one source" in str(CATALOGUE["reuse_observations"].otherwise) or missing["vgg"]["reuse_observations"]


def test_a_net_of_another_maker_is_asked_for_everything():
    foreign = Experiment(net="torchvision:resnet18")
    assert not any(why_not(name, foreign) for name in CATALOGUE)


def test_the_costly_ones_are_measured_at_few_checkpoints(probed_nets):
    todo, _ = measure.tasks(Run(probed_nets / "residual"))
    steps = {name: [task.step for task in todo if task.name == name] for name in CATALOGUE}
    assert steps["by_depth"] == Run(probed_nets / "residual").checkpoints()
    assert steps["singular_values"] == [0, 12]
    assert steps["lesions"] == [12]
    assert steps["architecture"] == [0]
    assert len({(task.name, task.step) for task in todo}) == len(todo)


def test_names_of_comparisons_are_read_back():
    assert against_of("similarity+a+b-1+20") == ("a+b-1", 20)
    assert [against_of(name) for name in ("similarity", "similarity+", "similarity+20", "lesions")] == [None] * 4


def test_quantities_come_in_the_order_of_the_catalogue():
    assert chosen(["lesions", "architecture"]) == ["architecture", "lesions"]
    assert chosen([]) == list(CATALOGUE)
