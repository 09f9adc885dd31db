"""What happens inside a net while it trains? Hooks, schedules, and one row a layer and recorded step."""

from labapp.recording.outlet import Sink
from labapp.recording.recorder import Recorder, RecorderWarning
from labapp.recording.report import Finding, Report
from labapp.recording.schedule import every, log_spaced

__all__ = ["Finding", "Recorder", "RecorderWarning", "Report", "Sink", "every", "log_spaced"]
