"""Does a shell complete commands and options?"""

import functools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labapp.commands.cli import COMMANDS, main
from labapp.commands.completion import SHELLS
from labapp.commands.options import options_of, takes_runs
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
    function = "function=$(complete -p labapp | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n$function\n"
    return said(
        ["bash", "--norc", "--noprofile"], f"{script}\n{asked}{function}printf '%s\\n' \"${{COMPREPLY[@]}}\"\n", folder
    )


def said(shell, script, folder):
    """The lines that a shell prints, which is to complain about nothing."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "TERM": "dumb"}
    done = subprocess.run(shell, input=script, env=environment, cwd=folder, capture_output=True, text=True, check=True)
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


def test_runs_are_found_in_the_archive_that_the_line_names(scripts, tmp_path, record):
    for root, names in {"runs": ("plain-1", "plain-2"), "other": ("residual-1",)}.items():
        for name in names:
            record(tmp_path / root, run_id=name)
    (tmp_path / "runs" / "plain-notes").mkdir()
    ask = functools.partial(completed, scripts["bash"], folder=tmp_path)
    assert ask("labapp runs show pl") == {"plain-1", "plain-2"}
    assert ask("labapp runs compare plain-1 pl") == {"plain-1", "plain-2"}
    assert ask("labapp resume --root other ") == {"residual-1"} | ask("labapp resume -")
    assert ask("labapp runs show --root ") == {"runs", "other"}  # as bash has it, for the name of a folder
    assert ask("labapp claims pl") == ask("labapp train pl") == set()
    assert ask("labapp runs remove nobody") == set()
    (tmp_path / "elsewhere").mkdir()
    assert ask("labapp runs show pl", folder=tmp_path / "elsewhere") == set()
    (tmp_path / "elsewhere" / "runs").write_text("")  # no folder at all
    assert ask("labapp runs show pl", folder=tmp_path / "elsewhere") == set()


def in_zsh(script, line, folder):
    """As where it is read by `eval` in .zshrc: what is registered, and what it gives the shell to propose."""
    words = " ".join(map(repr, line.split(" ")))
    asked = f"_describe() {{ print -l -- ${{(P)2}} }}; words=({words}); CURRENT=$#words; $_comps[labapp]"
    return {found.partition(":")[0] for found in said(["zsh", "-f"], f"eval {shlex.quote(script)}\n{asked}\n", folder)}


def in_fish(script, line, folder):
    found = said(["fish", "--no-config"], f"{script}\ncomplete --do-complete {shlex.quote(line)}\n", folder)
    return {line.partition("\t")[0] for line in found}


@pytest.mark.parametrize(("shell", "ask"), [("zsh", in_zsh), ("fish", in_fish)])
def test_the_other_shells_complete_as_much(scripts, tmp_path, record, shell, ask):
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    record(tmp_path / "runs", run_id="plain-1")
    ask = functools.partial(ask, scripts[shell], folder=tmp_path)
    assert ask("labapp st") == {"starter"}
    assert ask("labapp train --probe ") == {"cheap", "all", "none"}
    assert ask("labapp runs show pl") == {"plain-1"}


def test_commands_that_take_runs_are_known():
    taking = {name for name, command in COMMANDS.items() if takes_runs(command.load())}
    assert taking == {
        *("resume", "probe", "diagnose", "report"),
        *(f"runs {name}" for name in ["show", "compare", "check", "tag", "note", "rename", "remove", "export"]),
    }


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
