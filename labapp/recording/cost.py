"""What did recording take so far, and what is missing from the record?"""

from typing import TYPE_CHECKING, Any

from labapp.recording.report import uncovered

if TYPE_CHECKING:
    from labapp.recording.recorder import Recorder


def cost_of(recorder: "Recorder") -> dict[str, Any]:
    """The accounts of a recorder, as they stand in run.json.

    seconds: in hooks and around steps, without what calling them costs torch; setup_seconds: the first recorded step,
    which finds the net's structure out; step_seconds: in all steps, training included; share: seconds over what
    training alone took; cpu_share, with its interval: what recorded steps take more of the processor, in which waiting
    for a core does not count, see `processor`; missing_steps: those that have no record because recording failed;
    uncovered: parameters without a row, by reason; processes: whose parts of the batch are in the record together,
    except for local_steps, of which there is only the part of the first, because an exception was on its way. On a
    device seconds and share are by its own clock, see `device_time`, and device_share has their interval.
    """
    work = recorder._spent - recorder._own - recorder._setup
    listener, exchange = recorder._step.listener, recorder._outlet.exchange
    device = recorder._times.device
    own = {} if device is None else device.account(recorder._recorded, recorder._steps)
    return {
        "recorded_steps": recorder._recorded,
        "left_out_for_budget": recorder._left_out,
        "missing_steps": sorted(recorder._guard.missing),
        "seconds": round(recorder._own, 6),
        "setup_seconds": round(recorder._setup, 6),
        "step_seconds": round(recorder._spent, 6),
        "share": round(recorder._own / work, 6) if work > 0 else None,
        **recorder._times.processor.shares(recorder._recorded, recorder._steps),
        **own,
        "kernels": listener.implementation,
        "skipped_outputs": listener.skipped_outputs,
        "uncovered": uncovered(recorder._step),
        **({"processes": exchange.world, "local_steps": list(recorder._outlet.alone)} if exchange else {}),
        "notes": list(recorder._guard.notes),
    }
