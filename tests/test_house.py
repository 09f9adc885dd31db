"""Does every line stand in its room? The floor plan of CONTRIBUTING.md, read off the source."""

import ast
import functools
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.house.checks import (
    file_access,
    hooks,
    imported,
    shadowed,
    shared_names,
    too_long,
    unescaped,
    unsafe_loads,
)

PROJECT = Path(__file__).resolve().parent.parent
LAB = PROJECT / "labapp"

# room -> what it may import from labapp. A room is a file or a folder of labapp.
MAY_IMPORT = {
    # the archive
    "config": set(),
    "store": {"config"},
    # the laboratory
    "nets": {"config"},
    "imagesets": {"config"},
    "recording": {"config", "store"},  # the store in watch.py alone, see below
    "diagnostics": {"config", "nets", "recording"},  # of recording only hooks and places, see below
    "probes": {"config", "store", "imagesets", "nets", "diagnostics"},
    "training": {"config", "store", "nets", "imagesets", "recording"},
    "exports": {"config", "store"},
    "callbacks": {"config", "store", "recording"},
    "commands": {
        *("config", "store", "nets", "recording", "training", "probes", "figures", "palette", "__version__"),
        *("frames", "claims"),  # what a page and a command both say
        "exports",
    },
    "__main__": {"commands"},
    # the reading room
    "palette": set(),
    "frames": {"config", "store", "probes"},  # of probes only the catalogue, see below
    "claims": {"config", "store", "frames", "probes"},  # of probes only the catalogue, see below
    "charts": {"config", "palette"},  # of config only what says that a package is missing
    "figures": {"config", "palette"},  # likewise
    "app": {"config", "store", "frames", "claims", "charts", "figures", "palette", "probes"},
    "main": {"app"},
}
LABORATORY = {"nets", "imagesets", "recording", "diagnostics", "probes", "training", "callbacks", "commands"}
MAY_USE = {
    "torch": LABORATORY,
    "torchvision": LABORATORY,
    "captum": {"diagnostics"},
    "lightning_fabric": {"training", "commands"},
    "lightning": {"callbacks"},
    "pytorch_lightning": {"callbacks"},
    "transformers": {"callbacks"},
    "accelerate": {"callbacks"},
    "streamlit": {"app", "main"},
    "altair": {"charts"},
    "matplotlib": {"figures"},
    "seaborn": {"figures"},
    "vl_convert": {"figures"},
    "tyro": {"commands"},
    "rich": {"commands"},
    "jinja2": {"commands"},
    "filelock": {"store"},
    "psutil": {"store"},
    "pyarrow": {"store", "exports"},
    "yaml": {"config"},
    "ray": {"commands"},
    "tensorboard": {"exports"},
    "wandb": {"exports"},
    "mlflow": {"exports"},
}
# the rooms that open, make, move or delete files; a folder or a file of labapp
MAY_TOUCH_FILES = {
    *("store", "app/launch", "imagesets"),  # the archive, what the app starts, the images
    "recording/kernels",  # compiles once and keeps the library
    *("probes/pictures.py", "commands/explain"),  # a user's picture is opened, maps are written where the user says
    "commands/report",  # goes where the user says
    "exports",  # the same
    *("config/sweeps", "commands/sweep"),  # a list of experiments is opened, a timing leaves nothing behind
}


def room_of(path: Path) -> str:
    return path.relative_to(LAB).parts[0].removesuffix(".py")


SOURCES = sorted(path for path in LAB.rglob("*.py") if room_of(path) != "__init__")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def found_in(paths: Iterable[Path], check: Callable[[Path], Iterable[str]]) -> list[str]:
    """What a check finds in files, each with its file; one test for all files, where thousands would take a minute."""
    return [f"{relative(path)}: {found}" for path in paths for found in check(path)]


def off_the_plan(path: Path) -> Iterator[str]:
    """Imports that the floor plan does not have."""
    room = room_of(path)
    if room not in MAY_IMPORT:
        yield "has no room; give it one in CONTRIBUTING.md and here"
        return
    for name in imported(tree_of(path)):
        parts = name.split(".")
        if parts[0] == "labapp" and len(parts) > 1:
            other = parts[1]
            if other != room and other not in MAY_IMPORT[room]:
                yield f"{room} imports {name}"
            if room == "diagnostics" and other == "recording" and parts[2] not in {"hooks", "layout", "places"}:
                yield f"may import recording.hooks, .layout and .places, not {name}"
            if room == "recording" and other == "store" and path.name != "watch.py":
                yield f"imports {name}; only watch.py makes a run"
            if room in ("charts", "figures") and other == "config" and parts[2] != "extras":
                yield f"may import config.extras, not {name}"
            if room in ("frames", "claims") and other == "probes" and parts[2] != "catalogue":
                yield f"may import probes.catalogue, not {name}"
        if parts[0] in MAY_USE and room not in MAY_USE[parts[0]]:
            yield f"{room} uses {parts[0]}"


def test_imports_point_as_the_floor_plan_says():
    assert found_in(SOURCES, off_the_plan) == []


def test_hooks_are_attached_in_one_file():
    found = {relative(path) for path in SOURCES if hooks(tree_of(path))}
    assert found == {"labapp/recording/hooks.py"}


def file_owner(path: Path) -> str | None:
    """The entry of MAY_TOUCH_FILES that a file of labapp falls under."""
    inside = path.relative_to(LAB)
    return next((room for room in MAY_TOUCH_FILES if inside.is_relative_to(room)), None)


def test_files_are_touched_where_they_belong_and_nowhere_else():
    where = {relative(path): file_owner(path) for path in SOURCES if file_access(tree_of(path))}
    assert [path for path, owner in where.items() if owner is None] == []
    assert set(where.values()) == MAY_TOUCH_FILES


def test_no_pickle_is_ever_loaded():
    assert found_in(python_files("labapp", "analysis"), lambda path: unsafe_loads(tree_of(path))) == []


def test_what_a_page_says_passes_through_a_helper():
    """A name that somebody chose would else be Markdown; see `labapp.palette.text`."""
    assert found_in(python_files("labapp/app"), lambda path: unescaped(tree_of(path))) == []


def test_no_file_is_longer_than_one_reads():
    assert list(too_long(python_files("labapp", "analysis", "tests"))) == []


def test_no_two_classes_share_a_name():
    assert shared_names({relative(path): tree_of(path) for path in SOURCES}) == {}


def test_no_module_of_the_lab_hides_a_package():
    """`streamlit run labapp/main.py` puts labapp/ on sys.path."""
    assert shadowed(path.name.removesuffix(".py") for path in LAB.iterdir()) == set()


def test_the_lab_can_be_taken_in_at_a_glance():
    command = ["git", "-C", str(LAB), "ls-files"]
    files = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    entries = {name.split("/")[0] for name in files if not name.startswith(".")}
    assert 0 < len(entries) <= 21


def first_at_fault(rooms: Iterable[str], heavy: Iterable[str]) -> str:
    """The room whose import, one after the other in a process of its own, first brings one of these with it."""
    code = f"""
import importlib, sys
for room in {list(rooms)}:
    importlib.import_module(f"labapp.{{room}}")
    if found := {set(heavy)} & sys.modules.keys():
        sys.exit(print(f"{{room}}: {{found}}"))
"""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_the_reading_room_opens_without_torch():
    """And no page imports scipy.stats: half a second, and `scipy.special` has what it would be used for."""
    light = ["config", "store", "frames", "claims", "palette", "charts", "figures", "exports", "probes.catalogue"]
    pages = ["frames.method", "app", "app.views.gradcam", "app.views.overview"]
    assert first_at_fault([*light, *pages], {"torch", "scipy.stats"}) == ""


def test_the_laboratory_works_without_the_screen():
    """And a training without what it does not need: each takes seconds of each process that trains."""
    rooms = ["recording", "nets", "training.loop", "commands.cheap", "callbacks"]  # cheap: measures when it has ended
    assert first_at_fault(rooms, {"streamlit", "torchmetrics", "transformers", "sklearn"}) == ""


def test_the_one_door_to_torch_opens_inside_functions_only():
    def at_the_top(path: Path) -> Iterator[str]:
        outside = [node for node in tree_of(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = (name for node in outside for name in imported(node))
        yield from (name for name in names if name.startswith("labapp.probes.explanations"))

    assert found_in(python_files("labapp/app"), at_the_top) == []


def test_charts_come_onto_pages_with_their_downloads():
    drawn = [relative(path) for path in python_files("labapp/app") if "altair_chart" in path.read_text()]
    assert drawn == ["labapp/app/drawn.py"], "draw it by app.chart"
