"""Does what is said in several files about packages say the same, and does the light install do without the rest?"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import labapp
from labapp.commands.cli import COMMANDS
from labapp.config import LabError, extras
from tests.house.light import plain

PROJECT = Path(labapp.__file__).resolve().parents[1]
PACKAGE = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
NAME = re.compile(r"[A-Za-z0-9_.-]+")


def test_requirements_are_what_the_package_and_its_lab_need():
    lines = (line.strip() for line in (PROJECT / "requirements.txt").read_text().splitlines())
    said = [line for line in lines if line and not line.startswith("#")]
    assert said == [*PACKAGE["dependencies"], *PACKAGE["optional-dependencies"]["lab"]]


def test_sentences_about_what_is_missing_know_every_extra():
    asked = {
        extra: {plain(NAME.match(one)[0]) for one in requirements}
        for extra, requirements in PACKAGE["optional-dependencies"].items()
        if extra != "dev"  # of this folder alone
    }
    assert {extra: {plain(name) for name in modules.values()} for extra, modules in extras.EXTRAS.items()} == asked


def test_the_modules_of_an_extra_have_the_names_that_they_are_known_by():
    known = {module: name for modules in extras.EXTRAS.values() for module, name in modules.items()}
    for module, name in known.items():
        assert extras.absent([module]) == [module] or extras.version(name), (module, name)


def test_every_need_of_a_command_is_of_an_extra():
    needs = {name for command in COMMANDS.values() for name in command.needs}
    assert needs
    assert {extras.extra_of(name) for name in needs} == {"lab"}


def test_a_module_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "far", {"far_away": "far-away", "farther": "farther-away"})
    one = "this needs far-away, which is not installed; `pip install 'labapp[far]'` installs it"
    assert extras.explained("this", ModuleNotFoundError("…", name="far_away.inside")) == one
    with pytest.raises(LabError, match=re.escape(one)):
        extras.imported("far_away.inside", "this")
    both = "this needs far-away and farther-away, which are not installed; `pip install 'labapp[far]'` installs them"
    with pytest.raises(LabError, match=re.escape(both)):
        extras.require("this", ["far_away", "json", "farther"])
    extras.require("this", ["json"])
    assert extras.explained("this", ModuleNotFoundError("…", name="nobody_knows")) == ""
    assert extras.explained("this", ModuleNotFoundError("…", name="json.nothing")) == ""


def in_light_install(script, folder):
    """What a script prints in a process that finds no package but those of the light install."""
    command = [sys.executable, "-m", "tests.house.light", str(Path(__file__).with_name(script))]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_recorder_archive_and_their_commands_need_the_light_install_alone(tmp_path):
    in_light_install("own_training.py", tmp_path)


@pytest.mark.long
def test_every_module_that_needs_more_names_what_installs_it(tmp_path):
    *missing, count = in_light_install("every_module.py", tmp_path).splitlines()
    assert int(count) > 300
    said = dict(line.split(": ", 1) for line in missing)
    assert {"labapp.figures", "labapp.charts", "labapp.training.loop", "labapp.nets.stages"} <= said.keys()
    for name, sentence in said.items():
        assert re.search(r" needs .* not installed; `pip install 'labapp\[\w+\]'` installs (it|them)$", sentence), name
    light = {f"labapp.{room}" for room in ("config", "store", "recording", "exports", "frames", "claims", "palette")}
    assert not light & said.keys()


def test_make_tells_of_everything_that_can_be_made():
    rules = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in said.stdout.splitlines() if line][:-1] == rules
    assert all(len(line.split()) > 2 for line in said.stdout.splitlines() if line)


def test_every_extra_that_is_named_is_one():
    pages = [
        PROJECT / "README.md",
        PROJECT / "Makefile",
        *(PROJECT / "docs").rglob("*.md"),
        *(PROJECT / "labapp").rglob("*.py"),
    ]
    named = {
        extra
        for page in pages
        for extras_ in re.findall(r"pip install[^`\n]*(?:labapp|\.)\[([a-z0-9,-]+)\]", page.read_text())
        for extra in extras_.split(",")
    }
    assert "lab" in named
    assert named <= set(PACKAGE["optional-dependencies"])
