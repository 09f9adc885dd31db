"""What does a report say, in which order?"""

from __future__ import annotations

from datetime import datetime

import labapp
from labapp.commands.report.claims import claims_chapter, judged
from labapp.commands.report.diagnoses import diagnoses_chapter
from labapp.commands.report.document import Chapter, Document
from labapp.commands.report.lacking import missing_chapter
from labapp.commands.report.pictures import figures_chapter
from labapp.commands.report.runs import environment, runs_chapter
from labapp.commands.report.scope import ReportScope


def gathered(scope: ReportScope, now: datetime) -> Document:
    """The report of these runs."""
    found = judged(scope)
    nets = len({scope.called[entry.id].net for entry in scope.entries})
    first, last = (pick(entry.created for entry in scope.entries) for pick in (min, max))
    days = f"{first:%Y-%m-%d}" if f"{first:%Y-%m-%d}" == f"{last:%Y-%m-%d}" else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    number = len(scope.entries)
    about = (
        ("runs", f"{number:,} of {nets:,} net{'s' * (nets != 1)}: {scope.standing}"),
        ("archive", scope.root + ("" if scope.whole else ", of which these runs were chosen")),
        ("recorded", days),
    )
    chapters = (
        claims_chapter(scope, found),
        figures_chapter(scope),
        runs_chapter(scope),
        diagnoses_chapter(scope),
        missing_chapter(scope, found),
        Chapter("versions", "Versions and machines", (environment(scope),)),
    )
    return Document(
        scope.title, about, f"Made by labapp {labapp.__version__} on {now:%Y-%m-%d %H:%M %Z}".strip(), chapters
    )
