"""Does every line stand in its room? The floor plan of CONTRIBUTING.md, read off the source."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_point_as_the_floor_plan_says(path):
    room = room_of(path)
    tree = tree_of(path)
    if room not in MAY_IMPORT:
        pytest.fail(f"{relative(path)} has no room; give it one in CONTRIBUTING.md and here")
    for name in imported(tree):
        parts = name.split(".")
        if parts[0] == "labapp" and len(parts) > 1:
            other = parts[1]
            assert other == room or other in MAY_IMPORT[room], f"{relative(path)} ({room}) imports {name}"
            if room == "diagnostics" and other == "recording":
                assert parts[2] in {"hooks", "layout", "places"}, (
                    f"{relative(path)} may import recording.hooks, .layout and .places, not {name}"
                )
            if room == "recording" and other == "store":
                assert path.name == "watch.py", f"{relative(path)} imports {name}; only watch.py makes a run"
            if room in ("charts", "figures") and other == "config":
                assert parts[2] == "extras", f"{relative(path)} may import config.extras, not {name}"
            if room in ("frames", "claims") and other == "probes":
                assert parts[2] == "catalogue", f"{relative(path)} may import probes.catalogue, not {name}"
        if parts[0] in MAY_USE:
            assert room in MAY_USE[parts[0]], f"{relative(path)} ({room}) uses {parts[0]}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_hooks_are_attached_in_one_file(path):
    found = hooks(tree_of(path))
    assert bool(found) == (relative(path) == "labapp/recording/hooks.py"), found


def file_owner(path: Path) -> str | None:
    """The entry of MAY_TOUCH_FILES that a file of labapp falls under."""
    inside = path.relative_to(LAB)
    return next((room for room in MAY_TOUCH_FILES if inside.is_relative_to(room)), None)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_are_touched_where_they_belong(path):
    if file_owner(path) is None:
        assert file_access(tree_of(path)) == [], f"{relative(path)} is none of {MAY_TOUCH_FILES}"


def test_no_room_may_touch_files_that_does_not():
    assert {file_owner(path) for path in SOURCES if file_access(tree_of(path))} == MAY_TOUCH_FILES


@pytest.mark.parametrize("path", python_files("labapp", "analysis"), ids=relative)
def test_no_pickle_is_ever_loaded(path):
    assert unsafe_loads(tree_of(path)) == []


@pytest.mark.parametrize("path", sorted((LAB / "app").rglob("*.py")), ids=relative)
def test_what_a_page_says_passes_through_a_helper(path):
    """A name that somebody chose would else be Markdown; see `labapp.palette.text`."""
    assert unescaped(tree_of(path)) == []


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


@pytest.mark.parametrize(
    "module",
    [
        "config",
        "store",
        "frames",
        "claims",
        "palette",
        "charts",
        "figures",
        "exports",
        "probes.catalogue",
        "frames.method",
        "app",
        "app.views.gradcam",
    ],
)
def test_the_reading_room_opens_without_torch(module):
    code = f"import labapp.{module}, sys; sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", sorted((LAB / "app").rglob("*.py")), ids=relative)
def test_the_one_door_to_torch_opens_inside_functions_only(path):
    for node in tree_of(path).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not any(name.startswith("labapp.probes.explanations") for name in imported(node)), relative(path)


@pytest.mark.parametrize("module", ["training.loop", "nets", "recording", "callbacks"])
def test_the_laboratory_works_without_the_screen(module):
    """And a training without what it does not need: each takes seconds of each process that trains."""
    heavy = {"streamlit"} | ({"torchmetrics", "transformers", "sklearn"} if module == "training.loop" else set())
    cheap = ", labapp.commands.cheap" if module == "training.loop" else ""  # what is measured when it has ended
    code = f"import labapp.{module}{cheap}, sys; sys.exit(' '.join({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("path", sorted((LAB / "app").rglob("*.py")), ids=relative)
def test_charts_come_onto_pages_with_their_downloads(path):
    drawn = "altair_chart" in path.read_text()
    assert drawn == (relative(path) == "labapp/app/drawn.py"), "draw it by app.chart"


def test_no_page_imports_scipy_stats():
    """It takes half a second, and `scipy.special` has what it is used for."""
    code = "import sys, labapp.app, labapp.app.views.overview; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
