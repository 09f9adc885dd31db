"""Which runs of an archive are damaged or miss something, and can that be mended?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from labapp.commands.options import Root
from labapp.commands.progress import console
from labapp.config import LabError, require_writing
from labapp.store import broken_runs, check, find_run, folder_of, list_runs, mend

Names = Positional[Annotated[tuple[str, ...], arg(metavar="RUN", help="names or folders; all runs when left out")]]
Repair = Annotated[bool, arg(help="mend what can be mended; what is damaged is set aside, never deleted")]


def runs_check(runs: Names = (), repair: Repair = False, root: Root = "runs") -> int:
    """Read runs whole and say what is missing or damaged; with --repair, mend what can be.

    Exit code 1 where something is amiss that was not mended. A repair keeps what is whole of a damaged table, restores
    run.json from its copy, and publishes the last rows of a killed process; what is lost stands in run.json afterwards.
    """
    if repair:
        require_writing("repairing runs")
    screen = console()
    amiss = mended = count = 0
    for path in _folders(runs, root):
        count += 1
        for fault in mend(path) if repair else check(path):
            screen.print(f"{path.name}: {fault.what}{f' – {fault.mended}' if fault.mended else ''}", markup=False)
            mended, amiss = mended + bool(fault.mended), amiss + (not fault.mended)
    words = f"{count} run{'s' * (count != 1)} read whole, " + (f"{amiss} faults" if amiss else "nothing amiss")
    screen.print(words + (f", {mended} mended" if mended else ""))
    if amiss and not repair:
        screen.print("`labapp runs check --repair` mends what can be mended")
    return 1 if amiss else 0


def _folders(runs: tuple[str, ...], root: str) -> Iterator[Path]:
    """The runs' folders, also of those that cannot be read."""
    if not runs:
        paths = [run.path for run in list_runs(root)] + [path for path, _ in broken_runs(root)]
        if not paths:
            raise LabError(f"{root} holds no runs; `labapp starter` makes some, --root names another archive")
        yield from sorted(paths)
    for word in runs:
        yield folder_of(word, root) or find_run(word, root).path
