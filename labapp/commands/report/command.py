"""Which options does `labapp report` take, and which files does it write?"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from labapp.commands.options import Root
from labapp.commands.progress import console
from labapp.config import LabError, listed

RunNames = Positional[Annotated[tuple[str, ...], arg(metavar="RUN", help="names in the archive, or folders of runs")]]
ArchiveOption = Annotated[bool, arg(help="of all runs of the archive")]
OutOption = Annotated[str, arg(metavar="FILE", help="where it goes: a name that ends in .html or .pdf")]
PdfOption = Annotated[bool, arg(help="the same as a PDF too, beside it")]
ForceOption = Annotated[bool, arg(help="write over a file that is no report")]
FORMS = (".html", ".pdf")
MARKS = (b'<meta name="generator" content="labapp report', b"/Creator (labapp report)")  # of files that were reports


def report(
    runs: RunNames = (),
    archive: ArchiveOption = False,
    out: OutOption = "report.html",
    pdf: PdfOption = False,
    force: ForceOption = False,
    root: Root = "runs",
) -> int:
    """Write what came out of runs as one HTML file or PDF: claims, figures, settings, diagnoses, what is missing.

    The file needs no connection, no script and nothing beside it. A report that is there already is written anew; any
    other file stays, unless --force is given.
    """
    paths = _paths(out, pdf)
    for path in paths:
        _may_be_written(path, force)
    from labapp.commands.report.scope import scope_of  # tables and figures are slow to import

    scope = scope_of(runs, root, archive)
    from labapp.commands.report.contents import gathered
    from labapp.commands.report.html import as_html
    from labapp.commands.report.pdf import as_pdf

    document = gathered(scope, datetime.now(UTC))
    for path in paths:
        content = as_pdf(document) if path.suffix.lower() == ".pdf" else as_html(document)
        _write(path, content)
        console().print(f"{path} ({len(content) / 1e6:.1f} MB)", markup=False, highlight=False)
    return 0


def _paths(out: str, pdf: bool) -> list[Path]:
    """The files to write."""
    path = Path(out)
    if path.suffix.lower() not in FORMS:
        raise LabError(f"a report is {listed(FORMS, 'or')}, so --out {out} has to end in one of them")
    return [path, path.with_suffix(".pdf")] if pdf and path.suffix.lower() != ".pdf" else [path]


def _may_be_written(path: Path, force: bool) -> None:
    """Before anything is measured: the place is there, and no other file of somebody's is in it."""
    if path.is_dir():
        raise LabError(f"{path} is a folder; --out names a file")
    if not path.absolute().parent.is_dir():
        raise LabError(f"there is no folder {path.parent}; make it, or choose another --out")
    try:
        known = not path.exists() or any(mark in path.read_bytes() for mark in MARKS)
        beside(path).touch()
        beside(path).unlink()
    except OSError as error:
        raise _unwritable(path, error) from None
    if not known and not force:
        raise LabError(f"{path} is there and no report of the lab; choose another --out, or --force to write over it")


def _write(path: Path, content: bytes) -> None:
    """The whole file, or the one that was there stays."""
    try:
        beside(path).write_bytes(content)
        beside(path).replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def beside(path: Path) -> Path:
    """Where a file is made before it takes its name."""
    return path.with_name(f".{path.name}.part")


def _unwritable(path: Path, error: OSError) -> LabError:
    return LabError(f"cannot write {path}: {error.strerror or error}; choose another --out")
