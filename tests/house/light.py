"""The light install, in an environment that has more: a process in which nothing else can be found.

    python -m tests.house.light SCRIPT ARGUMENT …     # runs a script in such a process

What `pip install labapp` would bring is read off the metadata of what is installed here, from the dependencies of
`pyproject.toml` on; every module of any other package is as absent as if it had never been installed.
"""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[2]


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements: list[str]) -> set[str]:
    """The packages that these bring with them, themselves included."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        wanted = Requirement(waiting.pop())
        if plain(wanted.name) in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        try:
            waiting += importlib.metadata.requires(wanted.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system
        found.add(plain(wanted.name))
    return found


def refused() -> set[str]:
    """The top-level modules that the light install would not have."""
    light = closure(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"])
    owners = importlib.metadata.packages_distributions()
    return {
        module
        for module, packages in owners.items()
        if not {plain(package) for package in packages} & (light | {"labapp"})
    }


class Without:
    """A finder that does not find some modules."""

    def __init__(self, finder: Any, absent: set[str]) -> None:
        self._finder, self._absent = finder, absent

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """As the finder does."""
        if name.partition(".")[0] in self._absent:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def main() -> None:
    """Run a script without them, and see that none came in."""
    absent = refused()
    for name in [name for name in sys.modules if name.partition(".")[0] in absent]:
        del sys.modules[name]  # packaging, which this file needs
    sys.meta_path[:] = [Without(finder, absent) for finder in sys.meta_path]
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
    came = sorted(name for name in sys.modules if name.partition(".")[0] in absent)
    assert not came, came


if __name__ == "__main__":
    main()
