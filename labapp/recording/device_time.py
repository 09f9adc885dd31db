"""How much time of a device does recording take, by the device's own clock?

What a host measures around a hook on a device is how long it takes to ask for something, not how long that takes. So
whole steps are compared by events in the device's queue, which nobody waits for: each recorded step with the step after
it, as `processor` does with the processor's time. Where the device waits for the host, that is in it; where the host is
ahead, what it does meanwhile is not.
"""

from typing import Any

import torch
from torch import nn

from labapp.recording.processor import ProcessorTime


class DeviceTime:
    """Differences of a device's time between recorded steps and those after them.

    Attributes:
        pairs: those whose events have come.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.pairs = ProcessorTime()
        self._coming: list[tuple[Any, Any, Any, Any]] = []  # begin and end of a recorded step, and of the one after it
        self._pending: tuple[Any, Any] | None = None
        self._recorded = False
        self._began: Any = None

    def _now(self) -> Any:
        event = torch.Event(self._device, enable_timing=True)
        event.record()
        return event

    def begins(self, recorded: bool) -> None:
        """A step begins; events are put only around recorded steps and those right after one."""
        self._recorded = recorded
        if recorded or self._pending is not None:
            self._began = self._now()

    def ends(self, counts: bool) -> None:
        """The step ends; one that failed, or studied the net, does not count."""
        if not self._recorded and self._pending is None:
            return
        if self._recorded:
            self._pending = (self._began, self._now()) if counts else None
        elif self._pending is not None:
            if counts:
                self._coming.append((*self._pending, self._began, self._now()))
            self._pending = None

    def settle(self) -> None:
        """Counts the pairs whose events have come, and waits for none."""
        while self._coming and self._coming[0][3].query():
            began, ended, began_next, ended_next = self._coming.pop(0)
            bare = began_next.elapsed_time(ended_next) / 1000  # of milliseconds
            self.pairs.add(began.elapsed_time(ended) / 1000 - bare, bare)

    def is_over(self, budget: float, recorded: int, steps: int) -> bool:
        """Whether recording took more than this share of training; also if a step is needed that can be compared."""
        self.settle()
        found = self.pairs.share(recorded, steps)
        if found is None:
            return self._pending is not None
        return found > budget

    def account(self, recorded: int, steps: int) -> dict[str, Any]:
        """Seconds and share, as `cost` has them, and device_share with its interval; None while no pair has come."""
        self.settle()
        share = self.pairs.share(recorded, steps)
        seconds = None if share is None else share * steps * self.pairs.bare
        shares = self.pairs.shares(recorded, steps)
        return {
            "seconds": None if seconds is None else round(seconds, 6),
            "share": None if share is None else round(share, 6),
            **{name.replace("cpu", "device"): value for name, value in shares.items()},
        }


def time_of(model: nn.Module) -> DeviceTime | None:
    """That of the first device of a net; None on a CPU, and on devices without events that tell time."""
    device = next((p.device for p in model.parameters() if p.device.type not in ("cpu", "meta")), None)
    if device is None:
        return None
    try:
        found = DeviceTime(device)
        found._now()
    except Exception:  # torch.Event is not there for every device
        return None
    return found


class Times:
    """The clocks of whole steps.

    Attributes:
        processor: that of the thread that trains.
        device: that of the net's device, None on a CPU.
    """

    def __init__(self, model: nn.Module) -> None:
        self.processor, self.device = ProcessorTime(), time_of(model)

    def begins(self, recorded: bool) -> None:
        """A step begins."""
        self.processor.begins(recorded)
        if self.device is not None:
            self.device.begins(recorded)

    def ends(self, counts: bool) -> None:
        """The step ends; one that failed, or studied the net, does not count."""
        self.processor.ends(counts)
        if self.device is not None:
            self.device.ends(counts)

    def flushed(self, seconds: float, busy: float) -> None:
        """Rows were handed on, which kept the processor busy; a device had nothing to do meanwhile."""
        self.processor.flushing += busy
        if self.device is not None:
            self.device.pairs.flushing += seconds

    def is_over(self, budget: float, own: float, work: float, recorded: int, steps: int) -> bool:
        """Whether recording took more than this share of training; on a CPU `own` seconds of `work` seconds."""
        return own > budget * work if self.device is None else self.device.is_over(budget, recorded, steps)
