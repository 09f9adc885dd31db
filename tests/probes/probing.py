"""Small acts that several tests of probes share."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from safetensors.torch import load_file, save_file

from labapp.commands.cli import main
from labapp.probes import gradients, measure
from labapp.probes.contract import PARTS

METHOD = "A number.\n\nMethod:\n" + "".join(f"    {part}: Words about it.\n" for part in PARTS)
NETS = ("plain", "residual", "original", "dense", "vgg")


@contextmanager
def few_points() -> Iterator[None]:
    """Inside, a loss surface has 3 × 3 points: 441 forward passes of a tiny net take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "PLANE", 3)
        yield


def typed(words, capsys):
    """Exit code, and what was printed."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def all_of(run, names, **options):
    todo, _ = measure.tasks(run, names, options.pop("checkpoints", "last"))
    return list(measure.measure(run, todo, **options))


def with_weights(run, change, step=12):
    """Change the tensors of a checkpoint on disk."""
    path = run.checkpoint_path(step)
    state = load_file(path)
    change(state)
    save_file(state, path)
