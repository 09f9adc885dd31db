"""Which diagnostics do packages bring that are installed beside the lab?

    [project.entry-points."labapp.diagnostics"]
    density = "labapp_density:SPEC"

The spec is read off the source of the module that the entry point names, and so is the docstring of the function: no
package is imported before one of its diagnostics is measured. So a list of them, and the page that explains them, cost
no torch; and whatever is broken in a package is one sentence in the place where it is asked for.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from labapp.config import LabError
from labapp.probes.entries import LISTED
from labapp.probes.spec import ProbeSpec, wrong

GROUP = "labapp.diagnostics"  # of entry points
PAGE = "Other diagnostics"  # of the app, which shows what they measured
OF_PAGES = ("run", "run_id", "family", "net_depth", "seed", "step")  # columns that pages put before those of a table


@dataclass(frozen=True)
class Others:
    """What packages bring.

    Attributes:
        specs: By name, those that can be used.
        offered: The names of all.
        problems: One sentence about each that cannot be used.
    """

    specs: dict[str, ProbeSpec]
    offered: frozenset[str]
    problems: tuple[str, ...]


def others() -> Others:
    """The diagnostics of other packages; looked for once a process, and again where the path has changed."""
    return _found(tuple(sys.path))


@lru_cache(maxsize=4)
def _found(path: Sequence[str]) -> Others:
    specs: dict[str, ProbeSpec] = {}
    problems = []
    taken = {spec.name: "the lab's own" for spec in LISTED}
    offered = entry_points(group=GROUP)
    for entry in sorted(offered, key=lambda entry: (_package(entry), entry.name)):
        package = _package(entry)
        try:
            spec = spec_at(entry)
            if spec.name in taken:
                raise LabError(f"a diagnostic of this name is {taken[spec.name]} already; give it another")
        except LabError as error:
            problems.append(f"{package} offers '{entry.name}', which cannot be used: {error}")
            continue
        taken[spec.name] = f"that of {package}"
        specs[spec.name] = replace(spec, package=package)
    return Others(specs, frozenset(entry.name for entry in offered), tuple(problems))


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "a package without a name"


def spec_at(entry: EntryPoint) -> ProbeSpec:
    """The spec that an entry point leads to, as the source has it, with the docstring of its function.

    Raises:
        LabError: Where it leads to none, or something is wrong with it.
    """
    if not entry.module or not entry.attr:
        raise LabError(f"its entry point is '{entry.value}'; write MODULE:NAME of a ProbeSpec")
    tree = _tree(entry.module)
    given = _arguments(tree, entry)
    try:
        spec = ProbeSpec(**given)
    except TypeError as error:
        raise LabError(f"{entry.value} is no ProbeSpec ({str(error).removeprefix('ProbeSpec.__init__() ')})") from None
    spec = replace(spec, module=spec.module or entry.module, page=PAGE, asked=True)
    if ill := wrong(spec):
        raise LabError("; ".join(ill))
    if hidden := [name for name in spec.columns if name in OF_PAGES]:
        raise LabError(f"its column '{hidden[0]}' has a name that pages give to runs; call it otherwise")
    if spec.name != entry.name:
        raise LabError(f"its spec has the name '{spec.name}'; give both one name")
    where = tree if spec.module == entry.module else _tree(spec.module)
    function = next((node for node in where.body if isinstance(node, ast.FunctionDef) and node.name == spec.name), None)
    if function is None:
        raise LabError(f"{spec.module} has no function '{spec.name}', which would measure it")
    return replace(spec, docstring=inspect.cleandoc(ast.get_docstring(function) or ""))


def _arguments(tree: ast.Module, entry: EntryPoint) -> dict[str, Any]:
    """What the spec is made with: literals, because nothing is executed."""
    made = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and entry.attr in _names(node)]
    call = made[-1].value if made else None
    if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] != ProbeSpec.__name__:
        raise LabError(f"{entry.module} has no line '{entry.attr} = ProbeSpec(…)'")
    words = [(word.arg or "**", word.value) for word in call.keywords]
    names = [field.name for field in fields(ProbeSpec)]
    found = {}
    for name, value in [*zip(names, call.args, strict=False), *words]:
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, TypeError):
            raise LabError(
                f"{name} of {entry.value} is computed ({ast.unparse(value)}); write the value itself, since a spec is "
                "read without executing anything"
            ) from None
    return found


def _names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _tree(module: str) -> ast.Module:
    """The source of a module, of which nothing is imported, its packages neither."""
    first, *further = module.split(".")
    found = next((spec for finder in sys.meta_path if (spec := _seen(finder, first))), None)
    for part in further:
        found = PathFinder.find_spec(part, list(found.submodule_search_locations or ())) if found else None
    if found is None:
        raise LabError(f"there is no module '{module}'")
    if not found.origin or not found.origin.endswith(".py"):
        raise LabError(f"module '{module}' has no source to read its spec from")
    try:
        return ast.parse(SourceFileLoader(module, found.origin).get_source(module) or "")
    except (SyntaxError, ImportError, OSError, ValueError) as error:
        raise LabError(f"module '{module}' cannot be read ({type(error).__name__}: {error})") from None


def _seen(finder: Any, name: str) -> ModuleSpec | None:
    """What a finder of Python knows of a module that is in no package: also of one that is installed as editable."""
    try:
        found: ModuleSpec | None = finder.find_spec(name, None)
    except AttributeError:  # an old one
        return None
    return found
