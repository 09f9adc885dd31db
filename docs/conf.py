"""How is the site made of these pages? `make docs` builds it into docs/_build.

Nothing of it is fetched when somebody reads it: the theme brings no fonts, and formulas are MathML, made here.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from myst_parser.parsers.sphinx_ import MystParser
from pygments.lexers.shell import BashLexer
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import generated

import labapp

project, release = "labapp", labapp.__version__
extensions = ["myst_parser"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"labapp {release}"
html_favicon = "../labapp/app/icon.svg"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = html_show_copyright = False
html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
suppress_warnings = ["misc.highlighting_failure"]  # a shape beside a tensor, `# (N, D)…`, is no mistake of a page
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"
nitpicky = True
# A type in a signature may be torch's, or one that a reader meets only by what gives it; what pages write themselves
# is never of this kind.
nitpick_ignore_regex = [("py:class", r".*"), ("py:obj", r"typing\..*")]
OPERATOR = re.compile(r"\\operatorname\{([^}]*)\}")
MARK = re.compile(r"^<!-- generated: (\w+) ?(\S*) -->$", re.MULTILINE)


def written(app: Sphinx, page: str, source: list[str]) -> None:
    """Puts what is read off the source where a page has a mark for it."""
    source[0] = MARK.sub(lambda mark: getattr(generated, mark[1])(*filter(None, [mark[2]])), source[0])


def public(app: Sphinx, env: BuildEnvironment, node: pending_xref, words: nodes.Element) -> nodes.reference | None:
    """Leads from a type, by the module that defines it, to the public name under which it is explained."""
    target = str(node.get("reftarget", ""))
    room, _, name = target.removeprefix("labapp.").partition(".")
    wanted = f"labapp.{room}.{name.rpartition('.')[2]}"
    domain = env.domains["py"]
    if node.get("refdomain") != "py" or not target.startswith("labapp.") or wanted not in domain.objects:  # type: ignore[attr-defined]
        return None
    page = str(node.get("refdoc", env.docname))
    return domain.resolve_xref(env, page, app.builder, "obj", wanted, pending_xref(), words)  # type: ignore[arg-type]


def formula(self: HTML5Translator, node: nodes.Element) -> None:
    """Writes a formula as MathML; says so where a command is not known to the converter."""
    latex = node.astext()
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    # the converter sets letters of a name apart, and browsers let bars grow below the line
    named = OPERATOR.sub(lambda name: rf"\text{{{name[1].replace(chr(92) + ',', ' ')}}}\,", latex)
    found = convert(named, display=display).replace("<mo>&#x02016;</mo>", '<mo stretchy="false">&#x02016;</mo>')
    if "\\" in found:
        logging.getLogger(__name__).warning("this formula cannot be written as MathML: %s", latex, location=node)
    self.body.append(found if display == "inline" else f'<div class="formula">{found}</div>')
    raise nodes.SkipNode


class NotebookParser(MystParser):
    """Reads a notebook as a page."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """What Sphinx asks of a parser."""
        super().parse(generated.notebook(inputstring), document)


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx asks of an extension."""
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    app.add_lexer("console", BashLexer)
    app.connect("source-read", written)
    app.connect("missing-reference", public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
