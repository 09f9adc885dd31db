"""The command line as it is typed: every command, and one sentence with exit code 2 for every mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import labapp
from labapp.app.launch import arguments_for
from labapp.commands.cli import COMMANDS, main
from labapp.commands.options import parse
from labapp.commands.progress import figures, percent
from labapp.commands.settings import GROUPS, Options, default_in_words, experiment
from labapp.config import Experiment
from labapp.store import list_runs

SMALL = "--depth 8 --width 4 --steps 4 --batch-size 16 --record-every 2 --train-images 64 --test-images 40 --device cpu"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Commands are typed in an empty folder."""
    monkeypatch.chdir(tmp_path)


def typed(line, capsys):
    """What a command prints, after checking that it went well."""
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def in_a_process(line, folder):
    environment = os.environ | {"PYTHONPATH": str(Path(labapp.__file__).parent.parent)}
    command = [sys.executable, "-m", "labapp", *line.split()]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_train_list_show_remove(capsys, tmp_path):
    out = typed(f"train {SMALL}", capsys)
    assert "residual-8 on cluttered-digits, 4 steps" in out
    assert "residual-8: step 4/4, loss" in out
    assert "finished in" in out
    (run,) = list_runs("runs")
    assert run.experiment == Experiment(
        depth=8, width=4, steps=4, batch_size=16, record_every=2, train_images=64, test_images=40, device="cpu"
    )

    out = typed("runs list", capsys)
    assert all(word in out for word in (run.id, "residual-8", "cluttered-digits", "4/4", "finished"))
    assert typed("runs", capsys) == out

    for name in (run.id, str(tmp_path / "runs" / run.id)):
        out = typed(f"runs show {name}", capsys)
        assert all(word in out for word in ("finished, step 4 of 4", "learning_rate", "python", "stem.conv", "4×24×24"))

    assert typed(f"runs remove {run.id}", capsys) == f"removed {run.id}\n"
    assert list_runs("runs") == []


def test_the_archive_is_named_by_root_or_by_runs(capsys):
    typed(f"train {SMALL} --steps 1 --root here", capsys)
    assert list_runs("here")[0].id in typed("runs list --runs here", capsys)


def test_a_run_that_diverges_was_recorded_so_it_went_well(capsys):
    out = typed(f"train {SMALL} --norm none --learning-rate 1e8 --steps 40", capsys)
    assert "diverged in" in out
    assert "is not finite" in out
    assert "diverged" in typed("runs list", capsys)


def test_help_and_version(capsys):
    out = typed("--help", capsys)
    assert all(name in out for name in COMMANDS)
    assert typed("", capsys) == out
    assert typed("--version", capsys) == f"{labapp.__version__}\n"
    out = typed("train --help", capsys)
    assert all(f"--{name.replace('_', '-')}" in out for name in Experiment.model_fields)
    assert all(f"{group} options" in out for group in GROUPS)
    assert "64000" in out
    assert "RUN" in typed("runs show --help", capsys)


def test_a_default_is_told_for_every_recipe():
    assert default_in_words("steps") == "(default: 300; recipe he: 64000; recipe densenet: 234375)"
    assert default_in_words("momentum") == "(default: 0.9)"
    assert default_in_words("warmup_steps") == "(default: 100; recipe he: 0; recipe densenet: 0)"
    assert default_in_words("depth") == ""


@pytest.mark.parametrize(
    "chosen",
    [
        Experiment(),
        Experiment(family="dense", depth=22, bottleneck=True, compression=0.5, growth_rate=6),
        Experiment(family="vgg", configuration="C", head="fc", augment=True, nesterov=True, recipe="he"),
        Experiment(family="plain", preactivation=False, learning_rate=1e-3, clip_norm=1.0, precision="bf16-mixed"),
        Experiment(histograms=True, spreads=True, gradient_noise=True, accumulate=2),
    ],
)
def test_what_the_app_types_for_an_experiment_is_that_experiment(chosen):
    words = arguments_for(chosen)[1:]
    seen = []

    def train(options: Options) -> int:
        """Keep them."""
        seen.append(experiment(options))
        return 0

    parse(train, "train", words)()
    assert seen == [chosen]


MISTAKES = {
    "trian": "unknown command 'trian'; there are app, train, resume, .* (did you mean 'train'?)",
    "runs lits": "unknown command 'runs lits'; .* (did you mean 'runs list'?)",
    "train --dept 20": "`labapp train` has no option --dept (did you mean '--depth'?)",
    "train --qqq=3": "`labapp train` has no option --qqq; `labapp train --help` lists them",
    "starter --jobs 0": "--jobs is the number of nets at a time, so it cannot be 0",
    "starter --rot x": "`labapp starter` has no option --rot (did you mean '--root'?)",
    "train 20": "'20' is one word too many for `labapp train`; its options begin with --",
    "train --depth": "--depth needs a value; `labapp train --help` says which",
    "train --family rezidual": "unknown family 'rezidual'; .* (did you mean 'residual'?)",
    "train --imageset cifar": "unknown image set 'cifar'; .* (did you mean 'cifar10'?)",
    "train --depth 21": "a residual net in the CIFAR form has 6n+2 weight layers, and 21 is not; take 20 or 26",
    "train --family dense --depth 41": "3N+4 weight layers, and 41 is not; take 40 or 43",
    "train --depth many": "depth is a whole number, not 'many'",
    "train --steps 0": "steps must be above 0, not '0'",
    "train --batch-size -4": "batch_size must be above 0, not '-4'",
    "train --learning-rate nan": "learning_rate",
    "train --growth-rate 12": "growth_rate belongs to dense nets; this one is residual",
    "train --image-size 8 --family vgg": "an image of 8 pixels a side is too small for a vgg net",
    "train --image-size 3": "images of 3 pixels show nothing; take at least 8",
    "train --imageset folder --data nowhere": "no images by class under .*nowhere/train",
    "train --steps 1 --root file": "file",
    "starter --root file": "file",
    "runs list": "there is no archive at runs",
    "runs list --root file": "file is a file, not an archive",
    "runs show": "which run?",
    "runs show it --root archive": "there is no run 'it' in archive",
    "runs show bare --root archive": "archive/bare holds no run.json",
    "runs remove": "which run?",
    "runs remove it --root archive": "archive holds no run 'it'",
}


@pytest.mark.parametrize(("line", "sentence"), MISTAKES.items())
def test_a_mistake_is_one_sentence_and_exit_code_two(line, sentence, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "archive" / "bare").mkdir(parents=True)
    assert main(line.split()) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("labapp: ")
    assert complaint.endswith("\n")
    assert complaint.count("\n") == 1
    place = 0
    for piece in sentence.split(".*"):  # in this order, with anything between
        assert piece in complaint[place:], complaint
        place = complaint.index(piece, place) + len(piece)


def test_offline_and_missing_in_a_real_process(tmp_path):
    environment_without_network = "train --imageset cifar10 --steps 1 --data pictures"
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n\ndef refuse(*_, **__):\n    raise OSError('network is unreachable')\n\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(labapp.__file__).parent.parent)])
    command = [sys.executable, "-m", "labapp", *environment_without_network.split()]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert f"cifar10 is not complete in {tmp_path / 'pictures'} and could not be downloaded" in ended.stderr
    assert "put cifar-10-python.tar.gz into that folder" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "runs").exists()


def test_a_broken_run_hides_no_other_and_no_torch_is_loaded_to_list_them(capsys, tmp_path):
    typed(f"train {SMALL} --steps 2", capsys)
    (run,) = list_runs("runs")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text('{"labapp":')
    part = next((run.path / "layers").glob("*.parquet"))
    (run.path / "layers" / "part-0001-000099.parquet").write_bytes(part.read_bytes()[:100])
    code = "import sys; from labapp.commands.cli import main; main(['runs', 'list']); sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(labapp.__file__).parent.parent)}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert run.id in ended.stdout
    assert "broken: " in ended.stdout
    assert "finished" in typed(f"runs show {run.id}", capsys)


def test_words_for_numbers():
    assert percent(0.9563) == "95.6 %"
    assert percent(float("nan")) == "–"
    assert figures(12345.678) == "1.23e+04"
    assert figures(float("nan")) == "–"
