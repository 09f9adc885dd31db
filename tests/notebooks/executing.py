"""How is a notebook run as its readers run it, and how do its outputs get into the file?

    python -m tests.notebooks.executing          # at its full size; writes outputs into docs/notebooks

Outputs are kept, because people read notebooks where nothing can be run, and because the site need not run them again.
With them stands what they were made of, a digest of the sources, and the numbers that `FOUND` names: a test holds both.
"""

import hashlib
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "notebooks"
LIMIT = 200  # seconds of a cell in a test, whose machine may be busy
FOUND = {  # name: what its test is about, an expression in the notebook's own names
    "why_deep_plain_nets_fail": """{
        "growth": growth.astype(float).T.to_dict("list"), "gap": [gap, low, high],
        "ratio": ratio.groupby("way", sort=False)["ratio"].median().to_dict(),
        "losses": curves[curves.split == "train"].groupby("net").loss.last().to_dict(),
        "left_out": dict(frames.unexpected(runs)),
    }""",
    "record_your_own_model": """{
        "by_hand": by_hand, "recorded": {name: float(recorded[name]) for name in by_hand},
        "layers": list(table.layer.unique()),
        "findings": {each.what: each.layers for each in recorder.report().findings},
        "blocks": int(blocks.layer.nunique()), "status": ill.status,
        "began": frames.divergence([ill]).iloc[0][["step", "what", "layer"]].astype(str).tolist(),
        "told": [each.rule for each in diagnose(ill).findings],
    }""",
    "what_densenet_reuses": """{
        "before": preference.loc["before"].values.tolist(), "after": preference.loc["after"].values.tolist(),
        "rho": rho.T.to_dict("list"), "lost": float(lost.value.max()), "cells": [len(before), len(after), len(lost)],
        "accuracy": frames.finals(frames.overview(runs)).accuracy.iloc[0],
    }""",
}


def digest(book: Any) -> str:
    """What a notebook's outputs depend on, its code, in eight hexadecimal digits."""
    sources = [cell.source for cell in book.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:8]


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def executed(name: str, folder: str, limit: float | None = LIMIT) -> tuple[Any, dict[str, Any]]:
    """The notebook with its outputs, run in this folder, and what `FOUND` names of it."""
    book = read(name)
    asked = nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({FOUND[name]}))")
    book.cells.append(asked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own about its folders and loops
        NotebookClient(book, timeout=limit, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    book.cells.remove(asked)
    return book, json.loads(asked.outputs[-1].text)


def write(name: str) -> None:
    """Run a notebook at its full size and keep what came out."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        book, found = executed(name, folder, None)
    book = nbformat.reads(nbformat.writes(book).replace(folder, "/tmp"), as_version=4)
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # times of day
        if cell.cell_type == "code":  # warnings, which say where the lab is installed here
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    book.metadata = {"kernelspec": book.metadata.kernelspec, "language_info": {"name": "python"}}
    book.metadata["labapp"] = {"sources": digest(book), "found": found}
    nbformat.write(book, FOLDER / f"{name}.ipynb")


if __name__ == "__main__":
    os.environ.pop("LABAPP_NOTEBOOK", None)
    for chosen in sys.argv[1:] or FOUND:
        write(chosen)
