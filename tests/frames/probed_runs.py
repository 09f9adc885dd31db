"""A finished run, whose probes a test writes by hand."""

from labapp.config import Experiment
from labapp.store import RunWriter


def run_of(root, family="dense", depth=10, paths=(), **experiment):
    """A finished run with these recorded layers: (path, kind, block)."""
    writer = RunWriter.create(root, Experiment(family=family, depth=depth, steps=1, **experiment))
    info = [
        {"index": i, "path": path, "kind": kind, "depth": i + 1, "stage": 1, "block": block, "shape": [4, 2, 2]}
        for i, (path, kind, block) in enumerate(paths)
    ]
    writer.describe(info, {})
    return writer.finish("finished")
