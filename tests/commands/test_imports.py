"""What does a command not import? Whoever only asks for a list does not wait for what trains and draws."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import labapp
from labapp.commands.cli import COMMANDS
from tests.conftest import record_run

SLOW = {"torch", "torchvision", "streamlit", "altair", "matplotlib", "seaborn", "scipy", "sklearn", "captum"}
TABLES = {"pandas"}
ARCHIVE = {"pyarrow", "numpy", "psutil"}
TYPED = {"tyro", "rich", "yaml"}


def imported(code, folder, *words):
    """The packages of a process that has run this code."""
    script = f"import sys; sys.argv[1:] = {list(words)!r}\n{code}\nimport json; print()\n"
    script += "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(labapp.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1])), done.stdout


TYPE = "from labapp.commands.cli import main; assert main() == 0"


def test_the_package_itself_imports_nothing(tmp_path):
    bare, _ = imported("", tmp_path)
    found, _ = imported("import labapp", tmp_path)
    assert found - bare == {"labapp"}


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_the_overview_imports_no_command(tmp_path, words):
    found, _ = imported(TYPE, tmp_path, *words)
    assert not found & (SLOW | TABLES | ARCHIVE | TYPED)


@pytest.mark.parametrize("kept", [True, False])
def test_a_list_of_runs_is_made_without_tables(tmp_path, kept):
    run = record_run(tmp_path / "runs")
    if not kept:
        (tmp_path / "runs" / ".index.parquet").unlink(missing_ok=True)
    found, said = imported(f"{TYPE}; assert 'pyarrow.compute' not in sys.modules", tmp_path, "runs", "list")
    assert run.id in said
    assert "90.0 %" in said
    assert not found & (SLOW | TABLES)


def test_what_a_command_is_for_is_what_its_function_says():
    assert {name: command.says for name, command in COMMANDS.items()} == {
        name: (command.load().__doc__ or "").splitlines()[0] for name, command in COMMANDS.items()
    }


def test_no_command_waits_for_torch_before_its_words_are_read(tmp_path):
    code = "from labapp.commands.cli import COMMANDS, main\n"
    code += "assert not any(main([*name.split(), '--help']) for name in COMMANDS)"
    found, _ = imported(code, tmp_path)
    assert not found & (SLOW - {"scipy"})
