"""How does a shell complete what is typed? By a script that it reads once, which knows every command and option.

eval "$(labapp --print-completion bash)"                              # in ~/.bashrc; zsh the same, in ~/.zshrc
labapp --print-completion fish > ~/.config/fish/completions/labapp.fish
"""

import contextlib
import io
from collections.abc import Callable, Mapping

from tyro.extras import SubcommandApp

from labapp.commands.options import MARKS
from labapp.config import LabError, listed, nearest

SHELLS = ("bash", "zsh", "fish")


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
    return printed.getvalue()
