"""Every scenario: the weights as without a recorder, to the bit, and every number right or missing with its reason."""

import functools
import importlib
import math
import pkgutil
import re
import warnings

import pytest
import torch

from labapp.recording import Recorder, RecorderWarning, every
from tests.recording import scenarios
from tests.recording.nets import global_hooks, hooks_of, state_of
from tests.recording.scenarios import SCENARIOS
from tests.recording.witness import RELATIVE, Bare, Witness

for found in pkgutil.iter_modules(scenarios.__path__):
    importlib.import_module(f"tests.recording.scenarios.{found.name}")


def start(scenario, plain=False):
    torch.manual_seed(0)
    model = (scenario.plain if plain and scenario.plain else scenario.make)()
    return model, scenario.optimizer(model) if scenario.optimizer else None


def first(optimizer):
    return optimizer[0] if isinstance(optimizer, tuple) else optimizer


def run_bare(scenario):
    model, optimizer = start(scenario)
    for number in range(scenario.steps):
        scenario.step(Bare(), model, optimizer, number)
        scenario.between(model, number)
    return state_of(model)


def run_recorded(scenario, **options):
    model, optimizer = start(scenario)
    options = {"when": every(1), "layers": lambda path, module: True, **scenario.options(), **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecorderWarning)
        with Recorder(model, first(optimizer), **options) as recorder:
            for number in range(scenario.steps):
                with recorder.step():
                    scenario.step(Bare(), model, optimizer, number)
                scenario.between(model, number)
    assert hooks_of(model) == 0
    assert global_hooks() == 0
    return state_of(model), recorder


@functools.cache
def recorded_once(name):
    return run_recorded(SCENARIOS[name])


def run_witnessed(scenario):
    model, optimizer = start(scenario, plain=True)
    found = []
    for number in range(scenario.steps):
        witness = Witness(model)
        try:
            scenario.step(witness, model, optimizer, number)
            found.append(witness.expected())
        finally:
            witness.close()
        scenario.between(model, number)
    return found


# torch's own compiler and tracer warn of themselves.
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning", "ignore:The .grad attribute")
@pytest.mark.parametrize("name", SCENARIOS)
def test_training_is_the_same_to_the_bit(name):
    with_recorder, _ = recorded_once(name)
    without = run_bare(SCENARIOS[name])
    assert len(with_recorder) == len(without)
    for a, b in zip(with_recorder, without, strict=True):
        assert torch.equal(a, b)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning", "ignore:The .grad attribute")
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_number_is_right_or_missing_with_a_reason(name):
    scenario = SCENARIOS[name]
    _, recorder = recorded_once(name)
    assert recorder.cost["missing_steps"] == []
    wrong = differences(recorder, run_witnessed(scenario), scenario.missing, scenario.unseen)
    assert not wrong, "\n".join(wrong)


def differences(recorder, witnessed, missing, unseen=False, relative=RELATIVE):
    """What the recorder says that is wrong, or does not say without a reason."""
    table, totals = recorder.table(), recorder.table("totals").set_index("step")
    said = " ".join([*recorder.notes, *(f"{f.what} {f.consequence}" for f in recorder.report().findings)])
    wrong = []

    def compare(where, quantity, right, ours, within):
        if math.isnan(ours):
            if right is not None and not math.isnan(right):
                reason = missing.get(quantity)
                if reason is None or not re.search(reason, said):
                    wrong.append(f"{where} {quantity}: missing without a reason, right {right}; said: {said}")
        elif right is None:
            wrong.append(f"{where} {quantity}: {ours}, but there is none")
        elif not math.isnan(right) and not (ours == right or abs(ours - right) <= within):
            wrong.append(f"{where} {quantity}: {ours}, right {right}")

    for number, (layers, of_all) in enumerate(witnessed):
        gradients = [right.get("output_grad_norm") or 0.0 for right in layers.values()]
        noise = 0.1 * (relative if relative > RELATIVE else 0.0) * max(gradients, default=0.0)  # where gradients cancel
        rows = table[table.step == number].set_index("layer") if len(table) else table
        for layer, right in layers.items():
            if layer not in rows.index:
                parameters = "weight_grad_norm" in right  # a block has a row only where there are several of its kind
                if parameters and not unseen and not re.search(missing.get("row", "(?!)"), said):
                    wrong.append(f"step {number} {layer}: no row; said: {said}")
                continue
            row = rows.loc[layer]
            for quantity, value in right.items():
                ours = float(row["zero_fraction" if quantity == "share" else quantity])
                if quantity == "share" and math.isnan(ours):
                    continue  # only where a rectifier is
                if quantity == "output_mean":  # a sum of either sign: rounding is relative to the spread
                    within = relative * max(right["output_std"], abs(value))
                elif quantity == "output_std":
                    within = relative * (value + 1e-3 * abs(right["output_mean"]))
                else:  # an update is a difference of weights in float32
                    least = 1.2e-7 if quantity == "update_ratio" else noise if "grad" in quantity else 0.0
                    within = relative * abs(value or 0) + max(least, 1e-12)
                compare(f"step {number} {layer}", quantity, value, ours, within)
        for quantity, value in of_all.items():
            ours = float(totals.loc[number, quantity]) if number in totals.index else math.nan
            if quantity == "grad_norm_used" and math.isnan(ours):
                continue  # nothing changed it
            compare(f"step {number}", quantity, value, ours, relative * abs(value or 0) + 1e-12)
    return wrong
