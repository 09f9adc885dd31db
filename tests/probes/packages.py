"""Packages beside the lab, as an installer leaves them: a module, and a folder that says what it offers."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
TEMPLATE = PROJECT / "docs/diagnostic"
DENSITY = (TEMPLATE / "labapp_density.py").read_text()


def put(folder: Path, package: str, files: dict[str, str], **offers: str) -> Path:
    """Write a package into a folder that is, or will be, on the path; `offers` are its entry points."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in offers.items())
    (info / "entry_points.txt").write_text(f"[labapp.diagnostics]\n{lines}")
    for name, words in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words)
    return folder
