"""Does every line stand in its room? The floor plan of CONTRIBUTING.md, read off the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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
    "recording": {"config"},
    "diagnostics": {"config", "nets", "recording"},  # of recording only hooks and places, see below
    "probes": {"config", "store", "imagesets", "nets", "diagnostics"},
    "training": {"config", "store", "nets", "imagesets", "recording"},
    "commands": {"config", "store", "nets", "recording", "training", "probes", "figures", "palette", "__version__"},
    "__main__": {"commands"},
    # the reading room
    "palette": set(),
    "frames": {"config", "store", "probes"},  # of probes only the catalogue, see below
    "charts": {"palette"},
    "figures": {"palette"},
    "app": {"config", "store", "frames", "charts", "figures", "palette", "probes"},
    "main": {"app"},
}
LABORATORY = {"nets", "imagesets", "recording", "diagnostics", "probes", "training", "commands"}
MAY_USE = {
    "torch": LABORATORY,
    "torchvision": LABORATORY,
    "captum": {"diagnostics"},
    "lightning_fabric": {"training", "commands"},
    "streamlit": {"app", "main"},
    "altair": {"charts"},
    "matplotlib": {"figures"},
    "seaborn": {"figures"},
    "tyro": {"commands"},
    "rich": {"commands"},
}
HOOK_CALLS = {
    *("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook", "register_hook"),
    *("register_full_backward_pre_hook", "register_step_pre_hook", "register_step_post_hook", "queue_callback"),
}


def room_of(path: Path) -> str:
    return path.relative_to(LAB).parts[0].removesuffix(".py")


SOURCES = sorted(path for path in LAB.rglob("*.py") if room_of(path) != "__init__")


def imports(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_point_as_the_floor_plan_says(path):
    room = room_of(path)
    tree = ast.parse(path.read_text())
    if room not in MAY_IMPORT:
        pytest.fail(f"{relative(path)} has no room; give it one in CONTRIBUTING.md and here")
    for name in imports(tree):
        parts = name.split(".")
        if parts[0] == "labapp" and len(parts) > 1:
            other = parts[1]
            assert other == room or other in MAY_IMPORT[room], f"{relative(path)} ({room}) imports {name}"
            if room == "diagnostics" and other == "recording":
                assert parts[2] in {"hooks", "places"}, (
                    f"{relative(path)} may import recording.hooks and .places, not {name}"
                )
            if room == "frames" and other == "probes":
                assert parts[2] == "catalogue", f"{relative(path)} may import probes.catalogue, not {name}"
        if parts[0] in MAY_USE:
            assert room in MAY_USE[parts[0]], f"{relative(path)} ({room}) uses {parts[0]}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_hooks_are_attached_in_one_file(path):
    if relative(path) == "labapp/recording/hooks.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in HOOK_CALLS:
            pytest.fail(f"{relative(path)}:{node.lineno} attaches a hook; labapp/recording/hooks.py does that")


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_pickle_is_ever_loaded(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & {"pickle", "joblib", "dill"}, relative(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert any(k.arg == "weights_only" for k in node.keywords), f"{relative(path)}:{node.lineno}"


def test_no_module_of_the_lab_hides_a_package():
    """`streamlit run labapp/main.py` puts labapp/ on sys.path."""
    names = {path.stem for path in LAB.glob("*.py")} | {path.name for path in LAB.iterdir() if path.is_dir()}
    hidden = names & (set(sys.stdlib_module_names) | {"pages", "datasets", "torch", "numpy", "pandas"})
    assert hidden == set()


@pytest.mark.parametrize(
    "module",
    ["config", "store", "frames", "palette", "charts", "figures", "probes.catalogue", "app", "app.views.gradcam"],
)
def test_the_reading_room_opens_without_torch(module):
    code = f"import labapp.{module}, sys; sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", sorted((LAB / "app").rglob("*.py")), ids=relative)
def test_the_one_door_to_torch_opens_inside_functions_only(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not any(name.startswith("labapp.probes.explanations") for name in imports(node)), relative(path)


@pytest.mark.parametrize("module", ["training.loop", "nets", "recording"])
def test_the_laboratory_works_without_the_screen(module):
    code = f"import labapp.{module}, sys; sys.exit(int('streamlit' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
