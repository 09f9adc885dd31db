"""How do two runs differ, and by more than a change to the training code may make?

    labapp runs compare plain-56 residual-56                       # a net by its name is all its seeds
    labapp runs compare RUN,RUN RUN,RUN --step 300
    labapp runs compare main branch --fail-on 'update_ratio>3x' 'accuracy<-0.02'

Exit code 0 where no rule is broken, 1 where one is or cannot be judged, 2 for a mistake. What a rule can say stands in
`labapp.frames.compare.rules`.
"""

from __future__ import annotations

from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from labapp.commands.options import Root
from labapp.config import LabError

SideWord = Annotated[
    str, arg(metavar="RUN", help="an id, a folder, or a name, which is all seeds of a net; several with commas")
]
FailOption = UseAppendAction[
    Annotated[
        tuple[tuple[str, ...], ...],
        arg(
            help_behavior_hint="",
            metavar="RULE",
            help="what is too much: 'update_ratio>3x' (B ÷ A, any layer), 'median(output_std)@last<0.5x', "
            "'weight_norm[stage1.*]>2x', 'loss>+0.1' (B − A), 'dead_share>0.5' (B)",
        ),
    ]
]
JsonOption = Annotated[bool, arg(help="print JSON instead of tables")]
StepOption = Annotated[
    int | None, arg(help_behavior_hint="", metavar="STEP", help="of the layers (default: half of the training)")
]


def runs_compare(
    a: Positional[SideWord] = "",
    b: Positional[SideWord] = "",
    fail_on: FailOption = (),
    step: StepOption = None,
    json: JsonOption = False,
    root: Root = "runs",
) -> int:
    """Say how B differs from A: settings, curves, layers; with --fail-on, whether that is too much.

    Exit code 1 where a rule is broken or cannot be judged, 2 for a mistake. A rule says what fails: a quantity, maybe
    of the median, first or last layer, of layers by kind or name, at a step, then > or < and a factor of A (3x), a
    difference from A (+0.1) or a value (0.1).
    """
    if not a or not b:
        raise LabError("which two? `labapp runs compare A B` takes runs by id, folder or name, several with commas")
    from labapp.commands import differences  # tables are slow to import
    from labapp.frames import compare

    rules = [compare.parse_rule(rule) for together in fail_on for rule in together]
    one, other = (compare.side(differences.runs_named(word, root)) for word in (a, b))
    found = differences.found(one, other, step, rules)
    (differences.print_json if json else differences.print_tables)(found)
    return 1 if any(rule["state"] != "held" for rule in found["rules"]) else 0
