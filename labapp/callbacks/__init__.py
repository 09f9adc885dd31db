"""How does a training that is not the lab's get into an archive?

`record_run` around a loop of one's own; a callback for those who let a library loop: `callbacks.lightning` and
`callbacks.transformers`; `callbacks.accelerate` for loops with its Accelerator. All of them
are thin: the recorder listens, a `RecordedRun` writes down. A library is imported with its own file alone.
"""

from labapp.callbacks.recorded import RecordedRun, record_run

__all__ = ["RecordedRun", "record_run"]
