"""How does a shell complete what is typed? By a script that it reads once, which knows every command and option.

eval "$(labapp --print-completion bash)"                              # in ~/.bashrc; zsh the same, in ~/.zshrc
labapp --print-completion fish > ~/.config/fish/completions/labapp.fish

Names of runs it looks up in the archive when they are asked for, without the lab, which would take longer to begin.
"""

import contextlib
import inspect
import io
from collections.abc import Callable, Mapping

from tyro.extras import SubcommandApp

from labapp.commands.options import MARKS, takes_runs
from labapp.config import LabError, listed, nearest

SHELLS = ("bash", "zsh", "fish")
ASKED = "    completions = get_completions(words, current_index, COMPLETION_SPEC)"  # in the scripts that tyro writes
MAIN = "def main() -> None:"
# The end of that for zsh, which is meant for a file of completions: read by `eval` it has to say what it completes.
CALLED = '_tyro_labapp "$@"'
REGISTERED = """if [[ "${funcstack[1]}" == _labapp ]]; then
  _tyro_labapp "$@"
else
  (( ${+functions[compdef]} )) || { autoload -Uz compinit && compinit }
  compdef _tyro_labapp labapp
fi"""


def completion(shell: str, commands: Mapping[str, Callable[..., int]]) -> str:
    """The script for a shell.

    Args:
        shell: One of SHELLS.
        commands: By name; that of one in a group has two words: "runs list".

    Raises:
        LabError: For another shell.
    """
    if shell not in SHELLS:
        raise LabError(
            f"--print-completion is for {listed(SHELLS)}, not '{shell}'{nearest(shell, SHELLS)}"
            if shell
            else f"for which shell? `labapp --print-completion bash`; there are {listed(SHELLS)}"
        )
    whole, groups = SubcommandApp(), dict[str, SubcommandApp]()
    for name, command in commands.items():
        group, _, own = name.rpartition(" ")
        if group and group not in groups:
            groups[group] = SubcommandApp()
            whole.command(groups[group], name=group)
        (groups[group] if group else whole).command(name=own)(command)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        whole.cli(prog="labapp", args=["--tyro-print-completion", shell], config=MARKS)
    return _with_runs(printed.getvalue(), shell, [name for name, command in commands.items() if takes_runs(command)])


def _with_runs(script: str, shell: str, taking: list[str]) -> str:
    """The script, which now proposes runs where one of these commands takes them."""
    code = inspect.getsource(names_of_runs)
    if shell == "fish":  # which has the code in double quotes
        code = code.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    asked = f"{ASKED}\n    completions += names_of_runs(words, current_index, {[name.split() for name in taking]})"
    script = script.replace(ASKED, asked).replace(MAIN, f"{code}\n\n{MAIN}")
    return script.replace(f"\n{CALLED}", f"\n{REGISTERED}") if shell == "zsh" else script


def names_of_runs(words: list[str], at: int, taking: list[list[str]]) -> list[str]:
    """The runs that may be meant at a place of a line, in the words of tyro's scripts, in which this function stands.

    Args:
        words: Of the line.
        at: The place.
        taking: The commands that take runs, each as its words.
    """
    from pathlib import Path  # the scripts have nothing else of this file

    typed, before = (words[at] if at < len(words) else ""), words[1:at]
    option = typed.startswith("-") or (before and before[-1].startswith("-"))
    if option or not any(before[: len(name)] == name for name in taking):
        return []
    roots = [words[place + 1] for place in range(at - 1) if words[place] in ("--root", "--runs")]
    root = Path(roots[-1] if roots else "runs").expanduser()
    try:
        there = [path.name for path in sorted(root.iterdir()) if (path / "run.json").is_file()]
    except OSError:  # there is none, or it may not be read
        return []
    return [name + chr(9) + "a run" for name in there if name.startswith(typed)]
