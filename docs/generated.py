"""Which pages are not written by hand: quantities, public names and the command line, as the source has them."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sphinx.util.inspect import signature, stringify_signature
from streamlit.logger import set_log_level

set_log_level("error")  # a page is imported below without a server, which is no news

from labapp.app.views.method import PARTS, title  # noqa: E402
from labapp.commands.cli import COMMANDS, main  # noqa: E402
from labapp.frames.method import cards, find  # noqa: E402

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Method|\w+(?:, \w+)*):$")
ENTRY = re.compile(r" {4}(\S[^:]*): (.*)$")
ENTRIES = {"Args": "Parameters", "Attributes": "Attributes", "Raises": "Raises"}
ANSWERS = {"Returns": "Returns", "Yields": "Yields"}
CODE = re.compile(r"(`+[^`]*`+|\$[^$]+\$)")
DOCS = Path(__file__).resolve().parent
HOWTOS = ("own-model", "own-data", "own-diagnostic", "several-optimizers", "transformers", "precision", "guard")
LONGEST = 72  # letters of a value that is shown beside its name


def quantities() -> str:
    """A section for each card of the app's page Method, in its groups and words."""
    lines: list[str] = []
    group = ""
    for card in cards().values():
        if card.group != group:
            group = card.group
            lines += [f"## {group}", ""]
        lines += [f"({target(card.name)})=", "", f"### {text(title(card))}", ""]
        if card.question:
            lines += [f"*{text(card.question)}*", ""]
        lines += [text(card.meaning), "", text(card.formula), ""]
        parts = [(label, getattr(card, part)) for part, label in PARTS]
        if card.processes:
            parts.append(("Several processes", card.processes))
        measured = f"{card.measured}, by" if card.measured else "By"
        parts.append(("Measured", f"{measured} `{card.command}`."))
        if card.page:
            parts.append(("Shown", f"On the page {card.page}."))
        parts.append(("Called", ", ".join(f"`{name}`" for name in card.names)))
        for label, words in parts:
            lines += [label, f": {text(words)}", ""]
    return "\n".join(lines)


def target(name: str) -> str:
    """The name of a card's place on the page of quantities, for links."""
    return f"quantity-{name.replace('_', '-')}"


def text(words: str) -> str:
    """Words of a docstring as Markdown: in them a `<` begins no tag, and code and formulas stay as they are."""
    parts = CODE.split(words)
    parts[::2] = [part.replace("<", r"\<").replace("[", r"\[") for part in parts[::2]]
    return "".join(parts)


def command_line() -> str:
    """What `labapp --help` prints, and each command's."""
    lines = ["```text", helped(["--help"]), "```", ""]
    for name in COMMANDS:
        lines += [f"## labapp {name}", "", "```text", helped([*name.split(), "--help"]), "```", ""]
    return "\n".join(lines)


def helped(words: list[str]) -> str:
    """What a command prints of itself."""
    said, before = io.StringIO(), dict(os.environ)
    os.environ.update(COLUMNS="88", NO_COLOR="1")
    try:
        with contextlib.redirect_stdout(said):
            main(words)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


def names(module: str) -> str:
    """The public names of a module with what their docstrings say."""
    room = importlib.import_module(module)
    lines = [markdown(inspect.getdoc(room) or ""), "", "```{py:currentmodule} " + module, "```", ""]
    order = ("class", "function", "data")
    for name in sorted(room.__all__, key=lambda name: (order.index(kind(getattr(room, name))), name.casefold())):
        lines += described(name, getattr(room, name), kind(getattr(room, name)))
    return "\n".join(lines)


def kind(thing: object) -> str:
    """What Sphinx calls a name that stands for this."""
    return "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"


def described(name: str, thing: Any, what: str, fence: str = ":::::") -> list[str]:
    """A directive that explains a name; of a class, with what belongs to it inside."""
    if what == "data":
        value = repr(thing)
        shown = [f":value: {value}"] if len(value) <= LONGEST and "<" not in value else []
        return [f"{fence}{{py:data}} {name}", f":type: {type(thing).__name__}", *shown, fence, ""]
    called = "" if what == "property" else signed(thing)
    lines = [f"{fence}{{py:{what}}} {name}{called}", "", markdown(inspect.getdoc(thing) or "")]
    if what == "class":
        for field, about in getattr(thing, "model_fields", {}).items():
            lines.append(f"- `{field}`: {text(about.description or '')}")
        for own, member in members(thing):
            inner = "property" if isinstance(member, property) else "method"
            lines += ["", *described(own, member, inner, fence[:-1])]
    return [*lines, fence, ""]


def members(thing: type) -> Iterator[tuple[str, Any]]:
    """The methods and properties of a class that somebody explained, but for those of other libraries."""
    for name, raw in vars(thing).items():
        member = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
        explained = isinstance(member, property) or inspect.isfunction(member)
        if not name.startswith("_") and explained and inspect.getdoc(member):
            yield name, member


def signed(thing: Any) -> str:
    """A signature, its types by their last names; "()" of what has none."""
    try:
        found = signature(thing, bound_method="." in thing.__qualname__ and inspect.isfunction(thing))
    except (TypeError, ValueError):
        return "()"
    shown = not inspect.isclass(thing)
    return stringify_signature(found, unqualified_typehints=True, show_return_annotation=shown)


def markdown(docstring: str) -> str:
    """A docstring in the form of this project as Markdown; for a block *Method* a link to its card."""
    lines: list[str] = []
    for heading, block in sections(docstring):
        if not heading:
            lines += [line if line.startswith("    ") else text(line) for line in block]
        elif heading in ENTRIES:
            lines += ["", f"**{ENTRIES[heading]}**", ""]
            for words in entries(block):
                name, colon, said = words.partition(": ")
                lines.append(f"- `{name.strip('`')}`: {text(said)}" if colon else f"- {text(words)}")
            lines.append("")
        elif heading in ANSWERS:
            lines += ["", f"**{ANSWERS[heading]}** {' '.join(text(line.strip()) for line in block)}", ""]
        elif card := find(heading.partition(",")[0]) or (method(block) if heading == "Method" else None):
            lines += ["", f"Meaning, formula, source and where it fails: [](#{target(card.name)}).", ""]
        else:
            lines += [f"{heading}:", "", *(text(line) for line in block)]
    return "\n".join(lines).strip()


def method(block: list[str]) -> Any:
    """The card whose meaning stands in a block *Method*."""
    said = " ".join(line.strip() for line in block)
    return next((card for card in cards().values() if card.meaning and card.meaning in said), None)


def sections(docstring: str) -> Iterator[tuple[str, list[str]]]:
    """The parts of a docstring: heading ("" of prose) and lines."""
    heading, block = "", []
    for line in docstring.splitlines():
        if (found := SECTION.match(line)) or (heading and line and not line.startswith(" ")):
            yield heading, block
            heading, block = (found[1], []) if found else ("", [line])
        else:
            block.append(line)
    yield heading, block


def entries(block: Iterable[str]) -> list[str]:
    """The entries of a section, "name: words", each as one line."""
    found: list[str] = []
    for line in block:
        if ENTRY.match(line) or not found:
            found.append(line.strip())
        elif line.strip():
            found[-1] += f" {line.strip()}"
    return [words for words in found if words]


def howtos() -> str:
    """The how-tos in their order, then whatever else lies in docs/ itself, so that no page is without a way to it."""
    others = sorted(path.stem for path in DOCS.glob("*.md") if path.stem not in ("index", "tutorial"))
    return contents("How to", [*(f"howto/{name}" for name in HOWTOS), *others])


def notebooks() -> str:
    """The notebooks, where there are some."""
    return contents("Notebooks", sorted(f"notebooks/{path.stem}" for path in (DOCS / "notebooks").glob("*.ipynb")))


def contents(caption: str, pages: list[str]) -> str:
    """Pages as a part of the table of contents; nothing where there are none."""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]) if pages else ""


def notebook(saved: str) -> str:
    """A notebook as Markdown: its words and its code, and what it holds of what came out: pictures, tables, print."""
    lines: list[str] = []
    for cell in json.loads(saved)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines += [source, ""]
        elif cell["cell_type"] == "code" and source.strip():
            lines += ["```python", source, "```", ""]
            for output in cell.get("outputs", []):
                shown = {kind: "".join(words) for kind, words in output.get("data", {}).items()}
                if printed := "".join(output.get("text", [])) or (
                    "" if len(shown) > 1 else shown.get("text/plain", "")
                ):
                    lines += ["```text", printed.rstrip(), "```", ""]
                elif "image/png" in shown:
                    picture = shown["image/png"].replace("\n", "")
                    lines += [f"![what the code above draws](data:image/png;base64,{picture})", ""]
                elif "text/html" in shown:
                    lines += ["```{raw} html", shown["text/html"], "```", ""]
    return "\n".join(lines)


def limitations() -> str:
    """What README.md says of them."""
    readme = (DOCS.parent / "README.md").read_text()
    return text(readme.partition("## Limitations\n")[2].partition("\n## ")[0])
