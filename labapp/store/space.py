"""How much room does a run take on the disk?"""

import contextlib
import os
import shutil
from pathlib import Path

from labapp.config import is_remote, place
from labapp.store import remote
from labapp.store.run import Run


def disk_use(run: Run) -> dict[str, int]:
    """Bytes of the files in each folder of a run, by its name; "" for those beside the folders."""
    found: dict[str, int] = {}
    if is_remote(run.path) and (sizes := remote.sizes(run.path)) is not None:
        for key, size in sizes.items():
            place = key.rpartition("/")[0].partition("/")[0]
            found[place] = found.get(place, 0) + size
        return found
    for folder, _, names in os.walk(run.path):
        place = next(iter(Path(folder).relative_to(run.path).parts), "")
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                found[place] = found.get(place, 0) + os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
    return found


def free_space(folder: str | Path) -> int:
    """Bytes that are free where a folder lies, or would lie."""
    there = place(folder).absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    return shutil.disk_usage(there).free
