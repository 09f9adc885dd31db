"""What is wrong with this run, by its records alone?

    labapp diagnose RUN
    labapp diagnose RUN --json
    labapp diagnose RUN --markdown > diagnosis.md

Findings are ranked by evidence, each with layers, steps, value, threshold and its source, what theory expects and what
would confirm it. Exit code 0, whatever is found; 2 for a mistake. The rules stand in `labapp.frames.diagnosis`.
"""

from __future__ import annotations

import sys
from typing import Annotated

from tyro.conf import Positional, arg

from labapp import palette
from labapp.commands.options import Root, RunName
from labapp.config import LabError
from labapp.store import find_run

JsonOption = Annotated[bool, arg(help="print JSON, for a program")]
MarkdownOption = Annotated[bool, arg(help="print Markdown, for a report, an issue or a language model")]


def diagnose(
    run: Positional[RunName] = "", json: JsonOption = False, markdown: MarkdownOption = False, root: Root = "runs"
) -> int:
    """Say what is wrong with a run, from its records alone: ranked, each finding with its evidence.

    Looks for gradients and signals that vanish or explode, layers that do not move, dead channels, drowned paths of
    residual blocks, a rate too high or too low, a loss that explodes or does not fall, NaN. It says what it could not
    look at, and why. Needs no torch.
    """
    if not run:
        raise LabError("which run? `labapp runs list` shows them, `labapp diagnose RUN` says what is wrong with one")
    if json and markdown:
        raise LabError("--json and --markdown are two ways to say the same; give one of them")
    from labapp.frames import diagnosis  # tables are slow to import

    told = diagnosis.diagnose(find_run(run, root))
    if json:
        import json as as_words

        words = as_words.dumps(diagnosis.as_json(told), indent=1, allow_nan=False) + "\n"
    else:
        words = (diagnosis.as_markdown if markdown else diagnosis.as_text)(told)
        words = "".join(f"{palette.visible(line)}\n" for line in words.splitlines())  # names come from anybody
    sys.stdout.write(words)
    return 0
