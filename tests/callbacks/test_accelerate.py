"""A loop with Accelerate, against the loop by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from labapp.recording import every
from labapp.store import Run
from tests.callbacks.loops import batches, by_hand, net, nothing_said, require_same_layers, require_same_weights, sgd

accelerate = pytest.importorskip("accelerate", reason="Accelerate is not installed: pip install 'labapp[transformers]'")
from labapp.callbacks.accelerate import record_run  # noqa: E402


def train(accelerator, run_of, model, parts, clip=None):
    optimizer = sgd(model.parameters())
    loader = torch.utils.data.DataLoader(batches(6), batch_size=None)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    with run_of(model, optimizer) as run:
        for x, y in loader:
            with accelerator.accumulate(model):
                out = model(x)
                loss = F.cross_entropy(out, y)
                accelerator.backward(loss)
                if clip is not None and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
            run.log(loss=loss, accuracy=(out.argmax(1) == y).float().mean())
    return run


def forget():
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


@pytest.fixture
def accelerator_of():
    """Makes an Accelerator; what the library keeps of one in a process is gone before and after."""
    forget()
    yield lambda **options: accelerate.Accelerator(cpu=True, **options)
    forget()


@pytest.mark.parametrize(
    ("parts", "options", "by"),
    [(1, {}, {}), (2, {}, {}), (3, {}, {"clip": 0.1}), (1, {"mixed_precision": "bf16"}, {"autocast": True})],
)
def test_the_run_holds_what_a_loop_by_hand_gives(tmp_path, accelerator_of, parts, options, by):
    expected, model = by_hand(batches(6), parts, **by), net()
    accelerator = accelerator_of(gradient_accumulation_steps=parts, **options)
    with nothing_said():
        run = train(
            accelerator,
            lambda *made: record_run(accelerator, *made, runs=tmp_path, when=every(1)),
            *(model, parts, by.get("clip")),
        )
    found = Run(run.path)
    require_same_weights(model, expected.weights)
    require_same_layers(found, expected.layers)
    assert found.steps()["step"].tolist() == [*range(6 // parts)]
    np.testing.assert_allclose(found.steps()["loss"], expected.losses, rtol=1e-6)  # kept as float32
    np.testing.assert_allclose(found.steps()["accuracy"], expected.accuracies, rtol=1e-6)
    assert found.status == "finished"
    assert found.environment["loop"].startswith("Accelerate ")
    assert found.environment["optimizer"] == "SGD"
    assert found.experiment.precision == ("bf16-mixed" if options else "32-true")


def test_an_exception_passes_and_ends_the_run(tmp_path, accelerator_of):
    accelerator = accelerator_of()
    model = accelerator.prepare(net())
    optimizer = accelerator.prepare(sgd(model.parameters()))
    with pytest.raises(ValueError, match="a leak"), record_run(accelerator, model, optimizer, runs=tmp_path) as run:
        raise ValueError("a leak")
    assert Run(run.path).status == "failed"
