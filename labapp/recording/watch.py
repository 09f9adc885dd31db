"""How is a model recorded without touching its training loop?

    from labapp.recording import every, unwatch, watch

    watch(model, optimizer, runs="runs", when=every(10))     # once, before the loop; the loop stays as it is
    ...
    unwatch(model)                                           # or let the process end

A step ends where the optimizer has stepped, which its own hooks tell: accumulation, closures and repeated steps need
nothing said. A step that a `GradScaler` refuses is seen where the next forward of the model begins; give `scaler=`.
The numbers are those of `Recorder` with its explicit steps.
"""

import atexit
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from labapp.config import Experiment, LabError
from labapp.recording.checks import unwrap
from labapp.recording.hooks import Hooks, Silent, around_steps
from labapp.recording.recorder import Recorder
from labapp.recording.schedule import Schedule

_WATCHED: dict[int, "Watch"] = {}


class Watch:
    """A recorder that follows the optimizer's steps by itself, and the run that it fills.

    Attributes:
        recorder: with `table`, `report` and `cost`.
        run: the folder of the run, None where the rows stay in memory, or another process writes.
        rate: learning rate of the first group of parameters in the step that ended last.
    """

    def __init__(self, recorder: Recorder, optimizer: Optimizer, scaler: Any) -> None:
        self.recorder, self._optimizer, self._scaler = recorder, optimizer, scaler
        self._writer: Any = None
        self.run: Path | None = None
        self.rate: Any = None
        self._of_scaler, self._stepped = self._told_scaler(), False
        self._hooks = Hooks()
        recorder.__enter__()
        self._handles = around_steps(recorder.before_optimizer, self._after)
        if scaler is not None:
            self._hooks.before(recorder.model, Silent(self._forward_begins))
        recorder.begin_step(driven=True)

    def also(self, follower: Any) -> None:
        """Has a follower take the rows too, once they are in the run: `labapp.exports.mirror` makes one."""
        if self._writer is None:
            raise LabError(
                "there is no run to follow: the rows stay in memory, another process writes, or it has ended"
            )
        self._writer.also(follower)

    @property
    def writes(self) -> bool:
        """Whether the rows come to this process; of several that train together, to the first one."""
        return self.recorder._outlet.writes

    @property
    def together(self) -> bool:
        """Whether other processes record with this one, and wait for it."""
        return self.recorder._joined

    @property
    def steps_done(self) -> int:
        """How many steps of the optimizer have ended, those that a scaler refused among them."""
        if self._was_refused():
            self._next_step()
        return self.recorder.steps_done

    def send_to(self, writer: Any) -> None:
        """Has the rows go to a `RunWriter`, whose run ends with `close`."""
        self._writer, self.run = writer, writer.path
        self.recorder.send_to(writer)

    def close(self, status: str = "finished", message: str = "") -> None:
        """Stops recording and ends the run. May be called twice."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()
        self._hooks.remove()
        _WATCHED.pop(id(self.recorder.model), None)
        done = self.recorder.steps_done  # closing ends the step that waits for a forward
        try:
            self.recorder.close(alone=status != "finished")
            if status == "finished" and (began := self.recorder._outlet.divergence.now) is not None:
                status, message = "diverged", f"values that are not finite began {began.note}"
        finally:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.update(progress={"step": done, "steps": max(done, 1)})
                writer.finish(status, message)

    def _after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.recorder.after_optimizer(optimizer, args, kwargs)
        if optimizer is self._optimizer:
            self._stepped = True
            self._next_step()

    def _next_step(self) -> None:
        self.rate = self._optimizer.param_groups[0].get("lr")
        self.recorder.end_step()
        self.recorder.begin_step(driven=True)

    def _forward_begins(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Where the scaler was told of a step and the optimizer has made none, this forward is of the next one."""
        if self._was_refused():
            self._next_step()
            self.recorder.forward_began()

    def _was_refused(self) -> bool:
        """Whether the scaler was told of a step since this was last asked, and the optimizer has made none.

        What a scaler is told of optimizers it keeps until its `update`, and then begins anew: no look at the scale is
        needed, for which a device would have to be waited for.
        """
        before, self._of_scaler = self._of_scaler, self._told_scaler()
        if before is self._of_scaler:
            return False
        stepped, self._stepped = self._stepped, False
        asked = before is not None and "found_inf_per_device" in before.get(id(self._optimizer), {})
        return asked and not stepped  # a fused optimizer steps by itself and leaves the weights alone

    def _told_scaler(self) -> Any:
        return getattr(self._scaler, "_per_optimizer_states", None)


def watch(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    runs: str | Path | None = "runs",
    when: Schedule | None = None,
    experiment: Experiment | None = None,
    scaler: Any = None,
    state: Mapping[str, Any] | None = None,
    part: str = "",
    **options: Any,
) -> Watch:
    """Records a model from here on, until `unwatch(model)` or the end of the process.

    Args:
        model: the net, bare or in DistributedDataParallel.
        optimizer: the one whose steps are the steps of the record.
        runs: the archive that gets a run of its own; None keeps the rows in memory, for ``watch(…).recorder.table()``.
            Of several processes the first one makes the run.
        when: which optimizer steps to record; every tenth when left out.
        experiment: what stands in run.json about the training; the model's class when left out.
        scaler: the GradScaler in use, if any.
        state: of the recorder that watched this model before an interruption, to go on from: ``recorder.state_dict()``.
        part: the path of the submodule that is watched, if not the whole.
        **options: as for `Recorder`.

    Raises:
        LabError: for what cannot be recorded, and for a model that is watched already.
    """
    net, _ = unwrap(model, part)
    if id(net) in _WATCHED:
        raise LabError("this model is watched already; unwatch(model) ends that")
    if not isinstance(optimizer, Optimizer):
        raise LabError(f"optimizer is a {type(optimizer).__name__}; watch needs the optimizer whose steps count")
    recorder = Recorder(model, optimizer, when=when, scaler=scaler, part=part, **options)
    if state is not None:
        recorder.load_state_dict(state)
    writer = None
    if runs is not None and recorder._outlet.writes:
        from labapp.store import RunWriter

        maker = f"{type(net).__module__}:{type(net).__qualname__}"
        writer = RunWriter.create(runs, experiment or Experiment(net=maker, imageset="folder"))
    if not _WATCHED:
        atexit.register(_end_all)
    found = _WATCHED[id(net)] = Watch(recorder, optimizer, scaler)
    if writer is not None:
        found.send_to(writer)
    return found


def unwatch(model: nn.Module, part: str = "") -> None:
    """Ends what `watch` began on this model, or this part of it; nothing where it is not watched."""
    found = _WATCHED.get(id(unwrap(model, part)[0]))
    if found is not None:
        found.close()


def _end_all() -> None:
    """The process ends: by itself, or by an exception that nobody caught."""
    error = getattr(sys, "last_value", None)
    status = "finished" if error is None else "failed" if isinstance(error, Exception) else "stopped"
    message = "" if error is None else ": ".join(filter(None, (type(error).__name__, str(error))))
    for found in list(_WATCHED.values()):
        found.close(status, message)
