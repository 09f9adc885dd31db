"""What does a recorder have to know to go on as if it had never been interrupted?

Which channels were alive, so that a death is told once; what the study of the net found, so that rows keep their order
and sums are taken as before, to the last bit; and its own accounts. A state is made of numbers, words, lists and
tensors alone, so `torch.load` reads it with weights_only=True. Under DDP every process has a state of its own.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch

from labapp.config import LabError
from labapp.recording.divergence import Origin
from labapp.recording.graph import Route
from labapp.recording.row import Row
from labapp.recording.step import Step

if TYPE_CHECKING:
    from labapp.recording.recorder import Recorder

ACCOUNTS = ("_own", "_setup", "_spent", "_recorded", "_left_out", "_steps")  # of a recorder: what recording cost
PAIRS = ("pairs", "flushing", "_sum", "_squares", "_bare")  # of its `ProcessorTime`
FOLLOWED = ("_ill", "_shown", "_fine")  # of a `Divergence`: sets
ROWS = ("_rectified", "_activated", "_ends", "_branches")  # of a `Study`: sets of rows


def state_of(recorder: "Recorder") -> dict[str, Any]:
    """The state of a recorder between two steps."""
    guard = recorder._guard
    return {
        "next_step": recorder.steps_done,
        "net": _names(recorder._step),
        "accounts": {name: getattr(recorder, name) for name in ACCOUNTS},
        "processor": {name: getattr(recorder._times.processor, name) for name in PAIRS},
        "device_time": {name: getattr(of, name) for name in PAIRS} if (of := _device_pairs(recorder)) else {},
        "missing": sorted(guard.missing),
        "notes": list(guard.notes),
        "kernels": recorder._step.listener.implementation,
        "alive": {row: torch.from_numpy(marks.copy()) for row, marks in recorder._outlet.lifetimes.alive.items()},
        "study": _study_of(recorder._step),
        "divergence": {
            "first": None if (first := recorder._outlet.divergence.first) is None else tuple(first),
            "after": recorder._outlet.divergence.after,
            **{name: sorted(getattr(recorder._outlet.divergence, name)) for name in FOLLOWED},
            "usual": sorted(recorder._step.listener.usual),
        },
    }


def restore(recorder: "Recorder", state: Mapping[str, Any]) -> None:
    """Has a new recorder go on from a state.

    Raises:
        LabError: if a step has begun, or the state is of another net, of other layers of it, or no state at all.
    """
    if recorder.steps_done != recorder.first_step or recorder._inside:
        raise LabError("a recorder takes a state before its first step; make a new one and load the state into that")
    try:
        if state["net"] != _names(recorder._step):
            raise LabError("the recorder's state is of another net, or of other layers of it; give the same ones")
        recorder.first_step = recorder._next = state["next_step"]
        for name in ACCOUNTS:
            setattr(recorder, name, state["accounts"][name])
        for name in PAIRS:
            setattr(recorder._times.processor, name, state["processor"][name])
        if (of := _device_pairs(recorder)) is not None:
            for name, value in state.get("device_time", {}).items():
                setattr(of, name, value)
        recorder._guard.missing = set(state["missing"])
        recorder._guard.notes = list(state["notes"])
        if (kernels := recorder._step.listener.implementation) != state["kernels"]:
            recorder._guard.note(
                f"sums were taken otherwise before step {recorder.first_step} ({state['kernels']}) than from there on "
                f"({kernels}), so the last bits of recorded quantities may differ"
            )
        recorder._outlet.lifetimes.alive = {row: marks.numpy() for row, marks in state["alive"].items()}
        _study_again(recorder._step, state["study"])
        divergence, known = recorder._outlet.divergence, state["divergence"]
        divergence.first = None if known["first"] is None else Origin(*known["first"])
        divergence.after = known["after"]
        for name in FOLLOWED:
            setattr(divergence, name, set(known[name]))
        recorder._step.listener.usual = set(known["usual"])
    except (KeyError, TypeError, AttributeError) as error:
        raise LabError(f"this is no state of a recorder ({type(error).__name__}: {error})") from error


def _device_pairs(recorder: "Recorder") -> Any:
    return None if recorder._times.device is None else recorder._times.device.pairs


def _names(step: Step) -> list[str]:
    """What tells a net and a choice of its layers from another."""
    sizes = [f"{name} {list(parameter.shape)}" for name, parameter in step.model.named_parameters()]
    return [*(name for name, _ in step.model.named_modules()), *sizes, *sorted(step.chosen)]


def _study_of(step: Step) -> dict[str, Any]:
    listener, study = step.listener, step.listener.study
    return {
        "studied": step._studied,
        "studying": listener.studying,
        "studies": listener._studies,
        "rows": [{field.name: _plain(getattr(row, field.name)) for field in fields(Row)} for row in listener.rows],
        "shown": list(listener.shown),
        "skipped_outputs": listener.skipped_outputs,
        "felt": sorted(listener.felt),
        "plan": [spot.path for spot in study.plan],
        "paths": sorted(study.shown),
        "idle": sorted(study.idle),
        "order": list(study.order or study._known_order),  # `watch` has begun the next step already
        **{name: sorted(getattr(study, name)) for name in ROWS},
        "checkpointed": sorted(listener.calls.checkpointed),
        "unmatched": sorted(listener.calls.unmatched),
        "keyword_only": sorted(listener.blocks.keyword_only),
    }


def _study_again(step: Step, known: Mapping[str, Any]) -> None:
    listener, study = step.listener, step.listener.study
    step._studied = known["studied"]
    listener.studying, listener._studies = known["studying"], known["studies"]
    listener.rows[:] = [_row(about) for about in known["rows"]]  # the study holds the same list
    listener.shown = list(known["shown"])
    listener.index = {(row.path, row.call): at for at, row in enumerate(listener.rows)}
    listener.skipped_outputs, listener.felt = known["skipped_outputs"], set(known["felt"])
    places = {spot.path: spot for spot in study.everything()}
    study.plan = [places[path] for path in known["plan"]]
    study.shown, study.idle = set(known["paths"]), set(known["idle"])
    study.order = {path: at for at, path in enumerate(known["order"])}
    for name in ROWS:
        setattr(study, name, set(known[name]))
    listener.calls.checkpointed, listener.calls.unmatched = set(known["checkpointed"]), set(known["unmatched"])
    listener.blocks.keyword_only = set(known["keyword_only"])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # a Route is one too


def _row(about: Mapping[str, Any]) -> Row:
    add, *ways = about["route"] or (None,)
    route = None if add is None else Route(add, *map(tuple, ways))
    return Row(**{**about, "shape": tuple(about["shape"]), "route": route})
