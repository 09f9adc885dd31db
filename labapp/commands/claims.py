"""What does an archive say of the papers' claims?

labapp claims                         # a line a claim: verdict, number, interval, seeds
labapp claims degradation             # one claim whole: statement, source, parts, and the command that makes its runs
labapp claims --paper densenet --json
"""

from __future__ import annotations

import json as writer
import math
import sys
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from labapp.commands.options import Root
from labapp.commands.progress import console

if TYPE_CHECKING:
    from labapp.claims import Judgement

Names = Positional[Annotated[tuple[str, ...], arg(metavar="CLAIM", help="which; all when left out")]]
PaperOption = Annotated[str, arg(metavar="PAPER", help="only those of one paper: vgg, resnet, densenet, …")]
JsonOption = Annotated[bool, arg(help="print JSON instead of tables")]
COLOURS = {"supported": "green", "contradicted": "red", "undecided": "yellow", "no data": "dim"}


def claims(names: Names = (), paper: PaperOption = "", json: JsonOption = False, root: Root = "runs") -> int:
    """Say which claims of the papers hold in an archive: verdict, number, interval over seeds.

    A claim's numbers, thresholds and rule were fixed before anything was measured. Only finished runs count, and only
    runs that differ in what the claim compares and the seed are compared.
    """
    from labapp.claims import chosen, verdicts  # tables are slow to import
    from labapp.store import look

    wanted = chosen(names, paper)
    listing = look(root, 0.0)
    found = [verdicts(claim, listing) for claim in wanted]
    if json:
        words = writer.dumps([_as_json(each) for several in found for each in several], indent=2, allow_nan=False)
        sys.stdout.write(words + "\n")
    elif names:
        for several in found:
            _tell(several, root)
    else:
        _table([several[0] for several in found])
    return 0


def _table(found: list[Judgement]) -> None:
    from rich.table import Table
    from rich.text import Text

    from labapp.claims.wording import in_words

    screen = console()
    table = Table("claim", "verdict", "number, interval, threshold", "seeds")
    for verdict in found:
        parts = [part for part in verdict.parts if part.seeds]
        words = "\n".join(in_words(part) for part in parts) or verdict.note
        seeds = str(min((part.seeds for part in parts), default=0)) if parts else ""
        table.add_row(verdict.claim.name, Text(verdict.verdict, COLOURS[verdict.verdict]), words, seeds)
    screen.print(table)
    count = {word: sum(verdict.verdict == word for verdict in found) for word in COLOURS}
    screen.print(", ".join(f"{number} {word}" for word, number in count.items() if number))


def _tell(several: list[Judgement], root: str) -> None:
    from labapp.claims import PAPERS
    from labapp.claims.wording import command_for, in_words, seeds_of

    screen = console()
    claim = several[0].claim
    screen.print(f"{claim.name}: {claim.statement}", style="bold")
    screen.print(f"{', '.join(PAPERS[claim.paper])}, {claim.where}", style="dim")
    for verdict in several:
        about = f" ({verdict.settings})" if verdict.settings else ""
        screen.print(f"{verdict.verdict}{about}", style=COLOURS[verdict.verdict])
        for part in verdict.parts:
            note = f"; {part.note}" if part.note else ""
            screen.print(f"  {part.verdict}: {part.part.says}: {in_words(part)} ({seeds_of(part)}{note})")
        if verdict.note:
            screen.print(f"  {verdict.note}")
    if claim.published:
        screen.print(f"published, not measured here: {claim.published}")
    screen.print(f"its runs: {command_for(claim, root)}")


def _as_json(verdict: Judgement) -> dict[str, Any]:
    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    claim = verdict.claim
    return {
        "claim": claim.name, "paper": claim.paper, "where": claim.where, "statement": claim.statement,
        "verdict": verdict.verdict, "settings": verdict.settings, "note": verdict.note, "runs": list(verdict.runs),
        "sweep": claim.sweep, "published": claim.published,
        "parts": [
            {
                "name": part.part.name, "says": part.part.says, "unit": part.part.unit, "verdict": part.verdict,
                "value": finite(part.value), "low": finite(part.low), "high": finite(part.high),
                "threshold": part.part.threshold, "above": part.part.above, "because": part.part.because,
                "seeds": part.seeds, "of_seeds": list(part.whose),
                "values": [finite(value) for value in part.numbers], "note": part.note,
            }
            for part in verdict.parts
        ],
    }  # fmt: skip
