"""Does each command that the README and the pages in docs/ name exist, with these options and files?

Those that can be run in a second are run too, see `tests/docs/test_pages.py`.
"""

import contextlib
import functools
import io
import re
import shlex
import subprocess

import pytest

from labapp.commands.cli import COMMANDS, OPTIONS
from labapp.commands.options import parse
from tests.docs.pages import NAMES, PROJECT, blocks, commands, ours
from tests.docs.shrunk import READ, why_read

CODE = re.compile(r"(?<!`)`(labapp [a-z][^`]*)`(?!`)")


def scripts():
    return [(name, block) for name in NAMES for block in blocks(name, "console", "bash")]


def lines():
    found = [(name, words) for name, block in scripts() for words in commands(block.body)]
    return dict.fromkeys((name, shlex.join(words)) for name, words in found)


@functools.lru_cache
def helped(name):
    """What a command says of itself."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        parse(COMMANDS[name].load(), name, ["--help"])
    return said.getvalue()


def mentioned():
    """Commands in the middle of a sentence; `…` stands for what is left to the reader."""
    for name in NAMES:
        prose = re.sub(r"^```.*?^```$", "", (PROJECT / name).read_text(), flags=re.DOTALL | re.MULTILINE)
        for line in CODE.findall(prose):
            yield name, " ".join(word for word in line.split() if word != "…")


def give(words):
    """Take a command's words apart as the lab does, which raises where an option or a value is none."""
    length = 2 if words[0] == "runs" and len(words) > 1 else 1
    name = " ".join(words[:length])
    parse(COMMANDS[name].load(), name, words[length:])


@pytest.mark.parametrize(("page", "line"), lines(), ids=lambda word: word[:60])
def test_a_command_can_be_given(page, line):
    words = shlex.split(line)
    if (given := ours(words)) and given[0].startswith("-"):
        assert given[0] in OPTIONS
    elif given:
        give(given)
        for file in (word for word in given if word.endswith(".yaml") and word.startswith("analysis/")):
            assert (PROJECT / file).is_file(), file
    elif words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0] == "ray" or (words[0] == "srun" and "ray" in words):
        found = pytest.importorskip("ray.scripts.scripts", reason="Ray is not installed here")
        name, *options = words[words.index("ray") + 1 :]
        found.cli.commands[name].make_context(name, [word for word in options if word != "&"])
    elif words[:2] == ["python", "-m"] or ".venv/bin" in words[0]:
        module = next(word for word in words if word.startswith(("analysis", "tests")))
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize(("page", "line"), dict.fromkeys(mentioned()), ids=lambda word: word[:60])
def test_a_command_in_a_sentence_is_there_with_its_options(page, line):
    words = shlex.split(line)[1:]
    name = " ".join(words[: 2 if words[0] == "runs" and len(words) > 1 else 1])
    assert name == "runs" or name in COMMANDS
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", helped(name)), f"`labapp {name}` has no {option}"


@pytest.mark.parametrize(("page", "script"), scripts(), ids=lambda given: str(getattr(given, "line", given)))
def test_a_script_is_one(page, script):
    if script.kind == "bash":
        subprocess.run(["bash", "-n"], input=script.body, text=True, check=True, capture_output=True)


def test_what_is_only_read_says_where_it_runs():
    assert any(why_read(given) for _, line in lines() if (given := ours(shlex.split(line))))
    for reason in READ.values():
        for file in re.findall(r"tests/\S+\.py", reason):
            assert (PROJECT / file).is_file(), file
