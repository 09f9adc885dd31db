"""How is a training by Hugging Face's Trainer recorded?

    from labapp.callbacks.transformers import TransformersCallback

    trainer = Trainer(model, args, train_dataset=images, callbacks=[TransformersCallback(runs="runs")])

Steps are `state.global_step`, those of the optimizer. The Trainer tells a loss every `logging_steps` only, as the mean
over these: take 1 to have each. It tells callbacks of no exception; one that ends the program is noted as it ends, and
one that is caught where the training stands in a block:

    with TransformersCallback(runs="runs") as callback:
        Trainer(…, callbacks=[callback]).train()

Of several processes the first one is recorded, with its own part of each batch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from labapp.callbacks.harmless import Harmless
from labapp.callbacks.recorded import RecordedRun
from labapp.callbacks.told import HELD_OUT, ending, named, torch_optimizer, version_of
from labapp.config.extras import require
from labapp.recording.schedule import Schedule

require("`labapp.callbacks.transformers`", ["transformers", "accelerate"])
from transformers import TrainerCallback  # noqa: E402 - where it is not there, the sentence comes first


class TransformersCallback(TrainerCallback):  # type: ignore[misc]
    """Records a `Trainer.train` into an archive. Whatever goes wrong in it is a warning, and training goes on.

    Args:
        runs: The archive.
        run_id: The run's name. A training that is resumed goes on in the run of that name, where it is there.
        when: Which optimizer steps to record; every tenth when left out.
        accuracy: The name of the accuracy among the metrics of an evaluation, a fraction; "eval_accuracy" and the like
            when left out.
        about: What is known of the training besides, as fields of `Experiment`.
        **options: As for `Recorder`.

    Attributes:
        run: Of the latest training; None before the first.
    """

    def __init__(
        self,
        runs: str | Path = "runs",
        *,
        run_id: str | None = None,
        when: Schedule | None = None,
        accuracy: str | None = None,
        about: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.run: RecordedRun | None = None
        self._harmless = Harmless()
        self._archive, self._about = runs, dict(about or {})
        self._options: dict[str, Any] = {"run_id": run_id, "when": when, **options}
        self._accuracy = accuracy

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begins a run."""
        with self._harmless:
            if self.run is not None:
                self.run.end("failed", "another training began before this one ended")
            if args.process_index:
                return
            if args.world_size > 1:
                self._harmless.say("the Trainer hides what joins the processes; the record is of the first one's part")
            optimizer = kwargs.get("optimizer")
            about, loop = told_by(args, state) | self._about, version_of("transformers")
            self.run = RecordedRun(self._archive, about=about, loop=loop, announced=True, **self._options)
            self.run.harmless = self._harmless
            scaler = getattr(optimizer, "scaler", None)
            steps = state.max_steps if state.max_steps > 0 else None
            self.run.begin(
                kwargs["model"], torch_optimizer(optimizer), scaler=scaler, first_step=state.global_step, steps=steps
            )

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Writes down the mean loss since the last time, at the step that ended last."""
        with self._harmless:
            if self.run is not None and logs and "loss" in logs:
                self.run.log(step=state.global_step - 1, loss=logs["loss"])

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Writes down what was measured on held-out images."""
        with self._harmless:
            numbers = named(metrics or {}, HELD_OUT, {"accuracy": self._accuracy})
            if self.run is not None and numbers:
                self.run.evaluated(**numbers)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the run."""
        if self.run is not None:
            self.run.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self.run is not None:
            self.run.end(*ending(error))


def told_by(args: Any, state: Any) -> dict[str, Any]:
    """What a Trainer says of its training, as fields of `Experiment`."""
    parts = args.gradient_accumulation_steps
    about: dict[str, Any] = {
        "seed": args.seed,
        "precision": "bf16-mixed" if args.bf16 else "16-mixed" if args.fp16 else "32-true",
        "batch_size": state.train_batch_size * parts * args.world_size if state.train_batch_size else None,
        "accumulate": parts if state.train_batch_size else None,
        "learning_rate": args.learning_rate or None,
        "weight_decay": args.weight_decay,
        "clip_norm": args.max_grad_norm or None,
        "devices": args.world_size,
    }
    return {name: value for name, value in about.items() if value is not None}
