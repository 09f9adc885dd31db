"""Hugging Face's Trainer with the callback, against the loop by hand."""

import re
import sys

import numpy as np
import pytest
import torch
from torch import nn

from labapp.recording import RecorderWarning, every
from labapp.store import Run, list_runs
from tests.callbacks.loops import batches, by_hand, nothing_said, require_same_layers, require_same_weights

transformers = pytest.importorskip(
    "transformers", reason="Transformers is not installed: pip install 'labapp[transformers]'"
)
pytest.importorskip("accelerate", reason="Accelerate is not installed: pip install 'labapp[transformers]'")
from labapp.callbacks.transformers import TransformersCallback  # noqa: E402


def vit() -> nn.Module:
    """A vision transformer without a download."""
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.ViTConfig(image_size=8, patch_size=4, num_labels=5, **shape, **none)
    return transformers.ViTForImageClassification(config)


def resnet() -> nn.Module:
    """Another; of the transformer this version of the library does not find all its weights again in a checkpoint."""
    torch.manual_seed(0)
    sizes = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(num_labels=5, **sizes))


class Images(torch.utils.data.Dataset):
    """The images of all batches, in order."""

    def __init__(self, given, broken_at=None, error=None):
        self.x, self.y = (torch.cat([batch[at] for batch in given]) for at in (0, 1))
        self.broken_at, self.error = broken_at, error

    def __len__(self):
        return len(self.y)

    def __getitem__(self, at):
        if at == self.broken_at:
            raise self.error
        return {"pixel_values": self.x[at], "labels": self.y[at]}


class InOrder(transformers.Trainer):
    def _get_train_sampler(self, *rest):
        return torch.utils.data.SequentialSampler(self.train_dataset)


def trainer_of(root, callbacks, model=None, train=None, **options):
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
    usual = {"per_device_train_batch_size": 6, "learning_rate": 0.05, "lr_scheduler_type": "constant", "optim": "sgd"}
    args = transformers.TrainingArguments(
        str(root / "out"), **{**quiet, **usual, "max_grad_norm": 0.0, "logging_steps": 1, "max_steps": 6, **options}
    )
    return InOrder(
        model or vit(),
        args,
        train_dataset=train or Images(batches(6)),
        eval_dataset=Images(batches(2)),
        compute_metrics=lambda given: {"accuracy": float((given.predictions.argmax(1) == given.label_ids).mean())},
        callbacks=callbacks,
    )


def oracle(count=6, parts=1, clip=None, make=vit):
    return by_hand(
        batches(count),
        parts,
        model=make(),
        make=lambda parameters: torch.optim.SGD(parameters, lr=0.05),
        clip=clip,
        logits=lambda model, x: model(pixel_values=x).logits,
    )


@pytest.mark.parametrize(
    ("options", "parts", "clip"),
    [
        ({}, 1, None),
        pytest.param({"gradient_accumulation_steps": 2, "max_steps": 3}, 2, None, marks=pytest.mark.long),
        ({"max_grad_norm": 0.1}, 1, 0.1),
    ],
)
def test_the_run_holds_what_a_loop_by_hand_gives(tmp_path, options, parts, clip):
    expected, model, callback = oracle(6, parts, clip), vit(), TransformersCallback(tmp_path / "runs", when=every(1))
    with nothing_said():
        trainer = trainer_of(tmp_path, [callback], model, eval_strategy="steps", eval_steps=2, **options)
        trainer.train()
    run = Run(callback.run.path)
    require_same_weights(model, expected.weights)
    require_same_layers(run, expected.layers)
    steps = run.steps()
    assert steps["step"].tolist() == [*range(trainer.state.global_step)]
    np.testing.assert_allclose(steps["loss"], expected.losses, rtol=1e-6)  # added up in float32
    assert (run.status, run.progress) == ("finished", (6 // parts, 6 // parts))
    assert run.evals()["step"].tolist() == ([2, 4, 6] if parts == 1 else [2, 3])  # and at the end, as the Trainer does
    assert run.evals()["accuracy"].between(0, 1).all()
    what = run.experiment
    assert (what.learning_rate, what.batch_size, what.accumulate, what.clip_norm) == (0.05, 6 * parts, parts, clip)
    assert run.environment["loop"].startswith("Transformers ")


def test_training_is_bit_for_bit_what_it_is_without(tmp_path):
    one, other = vit(), vit()
    trainer_of(tmp_path, [], one, optim="adamw_torch").train()
    trainer_of(tmp_path, [TransformersCallback(tmp_path / "runs", when=every(1))], other, optim="adamw_torch").train()
    require_same_weights(other, one.state_dict())


def test_a_training_that_is_resumed_goes_on_in_its_run(tmp_path):
    expected, model = oracle(make=resnet), resnet()
    options = {"run_id": "mine", "when": every(1)}
    kept = {"save_strategy": "steps", "save_steps": 2}
    broken = Images(batches(6), broken_at=24, error=ValueError("a leak"))
    with pytest.raises(ValueError, match="a leak"), TransformersCallback(tmp_path / "runs", **options) as callback:
        trainer_of(tmp_path, [callback], resnet(), train=broken, **kept).train()
    (run,) = list_runs(tmp_path / "runs")
    assert (run.status, run.message) == ("failed", "ValueError: a leak")
    again = TransformersCallback(tmp_path / "runs", **options)
    trainer_of(tmp_path, [again], model, **kept).train(resume_from_checkpoint=True)
    (run,) = list_runs(tmp_path / "runs")
    require_same_weights(model, expected.weights)
    require_same_layers(run, expected.layers)
    assert (run.status, run.progress, len(run.attempts)) == ("finished", (6, 6), 2)
    assert run.steps()["step"].tolist() == [*range(6)]


def test_what_cannot_be_recorded_is_said_once_and_trains_on(tmp_path):
    (tmp_path / "runs").write_text("")
    model, expected = vit(), oracle()
    with pytest.warns(RecorderWarning, match=re.escape("training goes on")) as said:
        trainer_of(tmp_path, [TransformersCallback(tmp_path / "runs")], model).train()
    assert len([each for each in said if issubclass(each.category, RecorderWarning)]) == 1
    require_same_weights(model, expected.weights)


def test_a_training_that_broke_off_unheard_has_failed(tmp_path, monkeypatch):
    callback = TransformersCallback(tmp_path / "runs")
    broken = Images(batches(6), broken_at=24, error=ValueError("a leak"))
    with pytest.raises(ValueError, match="a leak"):
        trainer_of(tmp_path, [callback], train=broken).train()
    run = Run(callback.run.path)
    assert run.status == "running"  # the Trainer has told nobody
    monkeypatch.delattr(sys, "last_value", raising=False)
    callback.run._abandoned()  # as the process does at its end, see test_record_run.py
    assert (run.status, run.message) == ("failed", "the training broke off without a word of its end")
    assert run.progress[0] == 3  # the fifth batch is fetched before the fourth is trained on
