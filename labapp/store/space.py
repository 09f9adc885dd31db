"""How much room does a run take on the disk?"""

import contextlib
import os
from pathlib import Path

from labapp.store.run import Run


def disk_use(run: Run) -> dict[str, int]:
    """Bytes of the files in each folder of a run, by its name; "" for those beside the folders."""
    found: dict[str, int] = {}
    for folder, _, names in os.walk(run.path):
        place = next(iter(Path(folder).relative_to(run.path).parts), "")
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                found[place] = found.get(place, 0) + os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
    return found
