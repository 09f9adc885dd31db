"""What does the loop take of Lightning's Fabric? These names, without the packages whose version it only asks for.

Fabric asks torchmetrics, where that is installed, which version it is by importing it, and with it torchvision, SciPy's
signals and transformers: four seconds of each process that trains.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch  # noqa: F401  is imported anyway, and asked by its own attribute

from labapp.config.extras import require


@contextmanager
def _versions_by_metadata() -> Iterator[None]:
    """Have versions of packages that are not imported told by what pip left of them."""
    require(f"`{__name__}`", ["lightning_fabric"])
    import lightning_utilities.core.imports as asked
    from packaging.version import Version

    before: Callable[..., bool] = asked.compare_version

    def compare(package: str, op: Callable[[Any, Any], bool], version: str, use_base_version: bool = False) -> bool:
        if package in sys.modules:
            return before(package, op, version, use_base_version)
        try:
            found = Version(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            return False
        return bool(op(Version(found.base_version) if use_base_version else found, Version(version)))

    asked.compare_version = compare
    try:
        yield
    finally:
        asked.compare_version = before


with _versions_by_metadata():
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
    from lightning_fabric.plugins.environments.lightning import find_free_network_port
    from lightning_fabric.wrappers import _FabricModule

__all__ = [
    "Fabric",
    "LightningEnvironment",
    "SLURMEnvironment",
    "TorchElasticEnvironment",
    "_FabricModule",
    "find_free_network_port",
]
