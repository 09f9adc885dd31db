"""Does each command that the README and the pages in docs/ name exist, with these options and files?"""

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from labapp.commands.cli import COMMANDS, OPTIONS
from labapp.commands.options import parse

PROJECT = Path(__file__).resolve().parent.parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(console|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTING = re.compile(r"[A-Z_]+=.*")
BEGINNERS = ("srun", "torchrun", "exec")  # what a command may be given to


def blocks(kind):
    return [(page.name, body) for page in PAGES for found, body in BLOCK.findall(page.read_text()) if found == kind]


def lines(body):
    """The words of each command, without settings in front of it."""
    split = (shlex.split(line, comments=True) for line in body.replace("\\\n", " ").splitlines())
    return [words for line in split if (words := [*itertools.dropwhile(SETTING.fullmatch, line)])]


def ours(words):
    """The words behind `labapp` where a line runs it, by itself, in another's hands, or as a module."""
    if "labapp" not in words or not (words[0] == "labapp" or words[0] in BEGINNERS or "python" in words[0]):
        return None
    return words[words.index("labapp") + 1 :]


def commands():
    found = [(page, words) for kind in ("console", "bash") for page, body in blocks(kind) for words in lines(body)]
    return dict.fromkeys((page, " ".join(shlex.quote(word) for word in words)) for page, words in found)


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda word: word[:60])
def test_a_command_can_be_given(page, line):
    words = shlex.split(line)
    if (given := ours(words)) and given[0].startswith("-"):
        assert given[0] in OPTIONS
    elif given:
        length = 2 if given[0] == "runs" else 1
        name = " ".join(given[:length])
        parse(COMMANDS[name].load(), name, given[length:])  # raises where an option or a value is none
        for file in (word for word in given if word.endswith(".yaml") and word.startswith("analysis/")):
            assert (PROJECT / file).is_file(), file
    elif words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0] == "ray" or (words[0] == "srun" and "ray" in words):
        scripts = pytest.importorskip("ray.scripts.scripts", reason="Ray is not installed here")
        name, *options = words[words.index("ray") + 1 :]
        scripts.cli.commands[name].make_context(name, [word for word in options if word != "&"])
    elif words[:2] == ["python", "-m"] or ".venv/bin" in words[0]:
        module = next(word for word in words if word.startswith(("analysis", "tests")))
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize(("page", "script"), blocks("bash"), ids=lambda word: word[:12])
def test_a_script_is_one(page, script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, capture_output=True)
