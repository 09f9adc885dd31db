"""What does a piece of source do that belongs to one room only? Each check lists what it finds, as "line: what"."""

import ast
import functools
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

HOOK_CALLS = {
    *("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook", "register_hook"),
    *("register_full_backward_pre_hook", "register_step_pre_hook", "register_step_post_hook", "queue_callback"),
}
# where modules and tensors of torch keep hooks: _forward_hooks, _backward_pre_hooks, _forward_hooks_with_kwargs, …
HOOK_DICTIONARY = re.compile(r"_\w*(forward|backward|state_dict|accumulate_grad)\w*_hooks\w*")
PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
PATH_METHODS = {
    *("open", "read_text", "write_text", "read_bytes", "write_bytes", "mkdir", "rmdir", "touch", "unlink"),
    *("symlink_to", "hardlink_to", "chmod"),
}
ONE_ARGUMENT = {"rename", "replace"}  # of a path; the methods of str and DataFrame take two, or keywords
OS_CALLS = {
    *("chmod", "link", "makedirs", "mkdir", "open", "remove", "removedirs", "rename", "renames", "replace", "rmdir"),
    *("symlink", "truncate", "unlink"),
}
FILE_MODULES = {"shutil", "tempfile"}
LOOKS = {"shutil.disk_usage", "shutil.get_terminal_size", "shutil.which"}  # of these modules, but touch nothing
LONGEST = 300  # lines of a file


@functools.cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All nodes, walked to once for all checks."""
    return tuple(ast.walk(tree))


def imported(tree: ast.AST) -> list[str]:
    """The dotted names of everything that is imported anywhere in the source."""
    names = []
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def hooks(tree: ast.AST) -> list[str]:
    """Calls that attach a hook, and any mention of the dictionaries in which torch keeps hooks."""
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and (node.attr in HOOK_CALLS or HOOK_DICTIONARY.fullmatch(node.attr)):
            found.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and HOOK_DICTIONARY.fullmatch(node.value):
            found.append(f"{node.lineno}: {node.value!r}")  # getattr(module, "_forward_hooks")
    return found


def file_access(tree: ast.AST) -> list[str]:
    """Calls that open, make, move or delete files and folders."""
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.ImportFrom):
            moved = {alias.name for alias in node.names} & OS_CALLS if node.module == "os" else set()
            if moved or node.module in FILE_MODULES:
                found.append(f"{node.lineno}: from {node.module}")
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        owner, _, method = name.rpartition(".")
        one = method in ONE_ARGUMENT and len(node.args) == 1 and not node.keywords
        of_path = isinstance(node.func, ast.Attribute) and (one or method in PATH_METHODS)
        of_module = (owner in FILE_MODULES and name not in LOOKS) or (owner == "os" and method in OS_CALLS)
        if name == "open" or of_path or of_module:
            found.append(f"{node.lineno}: {name}")
    return found


def unsafe_loads(tree: ast.AST) -> list[str]:
    """Imports of pickle and its like, and calls that may run code from a file they load."""
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = imported(node)
            found += [
                f"{node.lineno}: {name}" for name in names if name.split(".")[0] in PICKLES or name == "torch.load"
            ]
        if isinstance(node, ast.Attribute) and node.attr in {"read_pickle", "to_pickle"}:
            found.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.Call):
            given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            if ast.unparse(node.func) == "torch.load" and given.get("weights_only") is not True:
                found.append(f"{node.lineno}: torch.load without weights_only=True")
            if given.get("allow_pickle", False) is not False:
                found.append(f"{node.lineno}: allow_pickle")
    return found


def public_classes(tree: ast.Module) -> list[str]:
    """The names of the public classes of a module."""
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def shared_names(modules: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Names that more than one public class has, with the modules that define them."""
    defined: dict[str, list[str]] = {}
    for module, tree in modules.items():
        for name in public_classes(tree):
            defined.setdefault(name, []).append(module)
    return {name: where for name, where in defined.items() if len(where) > 1}


def too_long(paths: Iterable[Path]) -> Iterator[str]:
    """Files of more than LONGEST lines."""
    for path in paths:
        if (lines := len(path.read_text().splitlines())) > LONGEST:
            yield f"{path} has {lines} lines"


def shadowed(names: Iterable[str], ours: str = "labapp") -> set[str]:
    """Names that the standard library or an installed package has too; Streamlit looks for a folder `pages` itself."""
    installed = {name for name, owners in importlib.metadata.packages_distributions().items() if set(owners) != {ours}}
    return set(names) & (installed | set(sys.stdlib_module_names) | {"pages", "datasets"})


SHOWN = {"title", "caption", "error", "warning", "info", "success", "header", "subheader", "markdown"}
AS_TEXT = re.compile(r"\b(palette\.(sentence|markdown)|verdict)\b")


def unescaped(tree: ast.AST) -> list[str]:
    """Calls of a page that show words as Markdown which are not all written there and pass through no helper."""
    found = []
    for node in nodes(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of_page = node.func.attr in SHOWN and ast.unparse(node.func.value) != "palette"
        shown = list(node.args[:1]) if of_page else []
        if node.func.attr == "progress":
            shown = [word.value for word in node.keywords if word.arg == "text"]
        for words in shown:
            source = ast.unparse(words)
            own = isinstance(words, ast.Constant) or source.isupper() or not _inserted(words)
            if not own and not AS_TEXT.search(source):
                found.append(f"{node.lineno}: {source[:60]}")
    return found


def _inserted(words: ast.expr) -> bool:
    """Whether something is put into the words but words and numbers that stand or are formatted there."""
    if isinstance(words, ast.Constant):
        return False
    if isinstance(words, ast.IfExp):
        return _inserted(words.body) or _inserted(words.orelse)
    if isinstance(words, ast.JoinedStr):
        parts = [part for part in words.values if isinstance(part, ast.FormattedValue)]
        return any(part.format_spec is None and _inserted(part.value) for part in parts)
    return True
