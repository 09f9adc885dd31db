"""Small acts that several tests of probes share."""

from safetensors.torch import load_file, save_file

from labapp.commands.cli import main
from labapp.probes import measure

NETS = ("plain", "residual", "original", "dense", "vgg")


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
