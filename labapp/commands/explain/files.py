"""How do maps and tables become files?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from labapp.config import LabError


def write_tables(tables: dict[str, list[dict[str, Any]]], folder: Path) -> list[Path]:
    """Write each table as a CSV file, except empty ones."""
    paths = []
    for name, rows in tables.items():
        if rows:
            paths.append(folder / f"{name}.csv")
            pd.DataFrame(rows).to_csv(paths[-1], index=False, float_format="%.6g")
    return paths


def make_folder(out: str) -> Path:
    """The folder, which is made where it does not exist.

    Raises:
        LabError: If it cannot be written to.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "maps.npz").touch()
    except OSError as error:
        raise LabError(f"cannot write into {folder}: {error.strerror}; choose another --out") from None
    (folder / "maps.npz").unlink()
    return folder


def write(path: Path, content: bytes) -> Path:
    """Write a file, and return its path."""
    path.write_bytes(content)
    return path


def slug(words: str) -> str:
    """Words with all that does not belong into a file name replaced by hyphens."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", words).strip("-")
