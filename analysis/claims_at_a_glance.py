"""Which claims of the papers hold in these runs?

One row a claim, by paper: what is claimed, the verdict as colour, sign and word, and the first number with its interval
over seeds and the threshold that it had to pass. Claims without runs are listed with what is missing. The table has
every number of every seed.

    labapp sweep analysis/sweeps/quick/degradation.yaml
    python -m analysis.claims_at_a_glance --runs runs --out figures
"""

from __future__ import annotations

import sys
import textwrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis.plates import Plate
from analysis.publish import command
from labapp import palette
from labapp.claims import CLAIMS, NO_DATA, PAPERS, verdicts
from labapp.claims.wording import in_words, seeds_of
from labapp.figures import WIDTH
from labapp.store import Run, look

SIGNS = {"supported": ("o", "#2E7D32"), "contradicted": ("X", "#C62828"), "undecided": ("D", "#B26A00")}
LINE = 0.125  # inches
STATEMENT, NUMBER = 72, 60  # letters of a line
SIZE = 5.8  # points


def measured(runs: list[Run]) -> pd.DataFrame:
    """One row a number of a claim, with its words; one row of a claim without a number."""
    digests = {run.id: run.experiment.digest for run in runs}
    found = {name: verdicts(claim, look(runs[0].path.parent, 0.0))[0] for name, claim in CLAIMS.items()}
    rows = [
        {
            "claim": name, "paper": verdict.claim.paper, "statement": verdict.claim.statement,
            "verdict": verdict.verdict, "part": part.part.name, "says": part.part.says, "unit": part.part.unit,
            "part_verdict": part.verdict, "value": part.value, "low": part.low, "high": part.high,
            "threshold": part.part.threshold, "above": part.part.above, "seeds": part.seeds,
            "words": f"{in_words(part)} ({seeds_of(part)})" if part.seeds else "",
            "seed_values": " ".join(f"{value:.6g}" for value in part.numbers), "seed": " ".join(map(str, part.whose)),
            "settings": verdict.settings, "experiment": " ".join(digests.get(run, run) for run in verdict.runs),
            "note": part.note or verdict.note, "sweep": verdict.claim.sweep,
        }
        for name, verdict in found.items()
        for part in verdict.parts
    ]  # fmt: skip
    return pd.DataFrame(rows)


def drawn(table: pd.DataFrame) -> Figure:
    """A row a claim: statement, verdict and numbers, by paper."""
    rows = [_row(own) for _, own in table.groupby("claim", sort=False)]
    papers = list(dict.fromkeys(table["paper"]))
    lines = sum(height for *_, height in rows) + 2 * len(papers)
    figure = plt.figure(figsize=(WIDTH, LINE * (lines + 2)))
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0, 1), ylim=(lines + 1.5, -0.5))
    ax.axis("off")
    at = 0.0
    for paper in papers:
        at += 1.4
        name, authors, _ = PAPERS[paper]
        ax.text(0.01, at, f"{name}: {authors}", weight="bold", size=SIZE + 0.8, va="bottom")
        for claim, statement, number, height in (row for row in rows if row[0]["paper"] == paper):
            ax.text(0.01, at + 0.3, statement, size=SIZE, va="top")
            sign, colour = SIGNS.get(claim["verdict"], ("_", palette.MUTED))
            ax.plot(0.5, at + 0.8, sign, color=colour, ms=4.5, clip_on=False)
            ax.text(0.515, at + 0.3, claim["verdict"], size=SIZE, color=colour, va="top")
            muted = palette.MUTED if claim["verdict"] == NO_DATA else None
            ax.text(0.615, at + 0.3, number, size=SIZE, color=muted, va="top", parse_math=False)
            at += height
        at += 0.6
    return figure


def _row(own: pd.DataFrame) -> tuple[pd.Series, str, str, float]:
    """With the words of its two columns, and how many lines it takes."""
    claim = own.iloc[0]
    statement = textwrap.fill(claim["statement"], STATEMENT)
    told = [word for word in own["words"] if word]
    number = "\n".join(textwrap.fill(each, NUMBER) for each in told or [str(claim["note"])])
    return claim, statement, number, max(statement.count("\n"), number.count("\n")) + 1.5


PLATES = (Plate("claims_at_a_glance", measured, drawn, claims=tuple(CLAIMS)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
