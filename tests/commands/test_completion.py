"""Does a shell complete commands and options?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labapp.commands.cli import COMMANDS, main
from labapp.commands.completion import SHELLS
from labapp.commands.options import options_of
from labapp.config import Experiment


@pytest.fixture(scope="module")
def scripts():
    """What `labapp --print-completion` prints for each shell."""
    from labapp.commands.completion import completion

    commands = {name: command.load() for name, command in COMMANDS.items()}
    return {shell: completion(shell, commands) for shell in SHELLS}


def completed(script, line, folder):
    """What bash proposes where the line ends."""
    words = line.split(" ")
    asked = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}\n"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "--noprofile"],
        input=f"{script}\n{asked}function=$(complete -p labapp | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n$function\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n",
        env={"PATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return set(filter(None, done.stdout.splitlines()))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_one_of_its_shell(scripts, shell):
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    subprocess.run([shell, "-n"], input=scripts[shell], text=True, check=True, capture_output=True)


def test_bash_completes_a_command_an_option_and_what_it_may_be(scripts, tmp_path):
    firsts = {name.split()[0] for name in COMMANDS}
    assert completed(scripts["bash"], "labapp ", tmp_path) >= firsts
    assert completed(scripts["bash"], "labapp st", tmp_path) == {"starter"}
    assert completed(scripts["bash"], "labapp runs re", tmp_path) == {"rename", "remove"}
    assert completed(scripts["bash"], "labapp train --fam", tmp_path) == {"--family"}
    assert completed(scripts["bash"], "labapp train --probe ", tmp_path) == {"cheap", "all", "none"}


def test_it_is_printed_and_other_shells_are_refused(capsys, scripts):
    assert main(["--print-completion", "bash"]) == 0
    assert capsys.readouterr().out == scripts["bash"] + "\n"
    assert main(["--print-completion", "tcsh"]) == 2
    assert "is for bash, zsh and fish, not 'tcsh'" in capsys.readouterr().err
    assert main(["--print-completion"]) == 2
    assert "for which shell?" in capsys.readouterr().err


def test_options_are_those_that_a_command_takes():
    assert options_of(COMMANDS["runs tag"].load()) == ["--remove", "--root", "--runs", "--help"]
    train = options_of(COMMANDS["train"].load())
    assert {f"--{field.replace('_', '-')}" for field in Experiment.model_fields} < set(train)
    assert {"--probe", "--keep-every", "--root", "--runs"} < set(train)
