"""What stands in the docstring of a module or function, without importing it, and which parts does it have?"""

from __future__ import annotations

import ast
import inspect
import re
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

import labapp

LABELS = ("Meaning", "Formula", "Source", "Batch norm", "Sampling", "Fails", "Processes", "Command")
EVERYWHERE = "Everywhere"
_HEADING = re.compile(r"(\w+(?:, \w+)*):")
_LABEL = re.compile(rf"({'|'.join(LABELS)}): ?(.*)")


def docstring(module: str, name: str = "") -> str:
    """The docstring of a module of the lab ("diagnostics.lesions"), or of a function in it; "" where there is none.

    Read off the source, because importing a module imports its package too, and with it torch.
    """
    folder, _, file = module.rpartition(".")
    place = Path(labapp.__file__).parent.joinpath(*folder.split(".")) if folder else Path(labapp.__file__).parent
    spec = PathFinder.find_spec(file, [str(place)])
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        return ""
    tree = ast.parse(spec.loader.get_source(file) or "")
    node = next((node for node in tree.body if name and getattr(node, "name", "") == name), None if name else tree)
    return inspect.cleandoc((ast.get_docstring(node) if node else "") or "")  # type: ignore[arg-type]


def blocks(text: str) -> dict[str, dict[str, str]]:
    """The blocks of a docstring that tell of quantities: by heading, the parts by label.

    Parts under the heading *Everywhere* hold for all blocks that do not say otherwise.
    """
    found: dict[str, dict[str, str]] = {}
    parts: dict[str, str] | None = None
    label = ""
    for line in text.splitlines():
        if heading := _HEADING.fullmatch(line):
            parts, label = {}, ""
            found[heading[1]] = parts
        elif parts is not None and (part := _LABEL.fullmatch(line.strip())) and line.startswith("    "):
            label = part[1]
            parts[label] = part[2]
        elif parts is not None and label and line.startswith("        "):
            parts[label] = f"{parts[label]} {line.strip()}"
        elif line and not line.startswith(" "):
            parts = None
    common = found.pop(EVERYWHERE, {})
    return {heading: common | own for heading, own in found.items() if own}
