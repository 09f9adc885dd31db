"""What came out of these runs, as one page that can be sent, printed and kept?

    labapp report RUN RUN
    labapp report --archive --out supplement.html --pdf

Claims with verdicts, figures, settings, versions, a diagnosis of each run, and what is missing: as one HTML file that
asks nobody for anything, as a PDF of the same content, or both. `contents` gathers a `Document`, which `html` and `pdf`
write.
"""

from labapp.commands.report.command import report

__all__ = ["report"]
