"""What happens inside a net while it trains? Hooks, schedules, and one row a layer and recorded step."""

from labapp.recording.guard import RecorderWarning
from labapp.recording.outlet import Sink
from labapp.recording.recorder import Recorder
from labapp.recording.report import Finding, Report
from labapp.recording.schedule import every, log_spaced
from labapp.recording.watch import Watch, unwatch, watch

__all__ = [
    "Finding",
    "Recorder",
    "RecorderWarning",
    "Report",
    "Sink",
    "Watch",
    "every",
    "log_spaced",
    "unwatch",
    "watch",
]
