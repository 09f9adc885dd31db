"""Which runs' layers are kept in memory, for all sessions, and how are they kept up to date?

A page asks for the same quantities at every step that is played, and a live run is asked again every two seconds: what
was read stays, the least lately used goes first, and of a run that grows only the new rows are read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from labapp import frames
from labapp.store import Run

ROOM = 256 * 2**20  # bytes in all
_kept: OrderedDict[tuple[str, tuple[str, ...]], tuple[str, frames.Grid]] = OrderedDict()
_keeping = threading.Lock()


def read(run: Run, quantities: Sequence[str]) -> frames.Grid:
    """`frames.read_grid`, of what is new since it was asked last."""
    key = str(run.path.resolve()), tuple(quantities)
    version = run.version  # before the rows are read, so that later ones are seen as new
    with _keeping:
        before = _kept.get(key)
    if before is None or before[0] != version:
        before = version, frames.read_grid(run, quantities, before[1] if before else None)
    with _keeping:
        _kept[key] = before
        _kept.move_to_end(key)
        while len(_kept) > 1 and sum(grid.size for _, grid in _kept.values()) > ROOM:
            _kept.popitem(last=False)
    return before[1]
