"""Whatever is wrong with an archive or a picture: a map, a table or a sentence, and never a traceback.

LABAPP_MALFORMED says how many archives and pictures are tried.
"""

import contextlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from labapp import frames
from labapp.commands.cli import main
from labapp.config import LabError
from labapp.probes import explanations
from labapp.probes.subjects import of_run
from labapp.store import Run, broken_runs, check, list_runs, mend, resume_points, why_not_resumed
from tests.probes.malformed import harm, picture

TRIED = int(os.environ.get("LABAPP_MALFORMED", "5"))


@contextlib.contextmanager
def sentence() -> Iterator[None]:
    """A LabError of one line is as good as an answer."""
    try:
        yield
    except LabError as error:
        text = str(error)
        assert text
        assert len(text.splitlines()) == 1, text
        assert "Traceback" not in text


def reads(root: Path) -> list[Callable[[], object]]:
    """Everything that reads an archive without torch."""
    with sentence():
        broken_runs(root)
    found: list[Callable[[], object]] = []
    for run in list_runs(root):
        found += [
            lambda run=run: (run.status, run.progress, run.problems, run.version, run.started, run.name),
            lambda run=run: [run.table(name) for name in run.tables()],
            lambda run=run: [run.probe(name) for name in run.probes()],
            lambda run=run: (run.checkpoints(), run.layers_info, run.environment, run.message, run.seconds),
            lambda run=run: (why_not_resumed(run), resume_points(run.path)),
            lambda run=run: check(run.path),
            lambda run=run: frames.overview([run]),
            lambda run=run: frames.curves([run]),
            lambda run=run: frames.layer_table([run], "output_grad_norm"),
            lambda run=run: frames.signals([run]),
            lambda run=run: frames.names([run]),
            lambda run=run: frames.describe([run]),
        ]
    return found


def test_any_archive(probed_nets: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw = random.Random(0)
    for trial in range(TRIED):
        root = tmp_path / "archive"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(probed_nets / "residual", root / "residual")
        shutil.copytree(probed_nets / "dense", root / "dense")
        said = f"trial {trial}: {harm(root, draw)}"
        try:
            for look in reads(root):
                with sentence():
                    look()
            commands = [
                ["runs", "list"],
                ["runs", "show", "residual"],
                ["runs", "check"],
                ["probe", "residual", "--quantities", "architecture", "path_lengths"],
                ["explain", "residual", "--index", "0", "--out", str(tmp_path / "maps")],
                ["runs", "check", "--repair"],
                ["runs", "remove", "dense"],
            ]
            slow = trial % 10 == 0  # those that load nets
            for words in commands:
                if words[0] == "runs" or slow:
                    code = main([*words, "--root", str(root)])
                    out, error = capsys.readouterr()
                    assert code in (0, 1, 2), (words, code)
                    assert "Traceback" not in out + error
                    assert code != 2 or error.startswith("labapp: "), (words, error)
            assert not Path("/tmp/labapp-was-here").exists()
        except Exception as error:
            raise AssertionError(said) from error


def test_a_mended_archive_has_nothing_left_to_mend(probed_nets: Path, tmp_path: Path) -> None:
    draw = random.Random(1)
    for trial in range(TRIED):
        root = tmp_path / "archive"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(probed_nets / "residual", root / "residual")
        said = f"trial {trial}: {harm(root, draw)}"
        try:
            with sentence():
                mend(root / "residual")
                assert not [fault for fault in mend(root / "residual") if fault.mended], said
                assert len(Run(root / "residual").steps()) <= 12, said
        except Exception as error:
            raise AssertionError(said) from error


def test_any_picture(digit_nets: Path, tmp_path: Path) -> None:
    """A map over the picture, or one sentence."""
    draw = random.Random(2)
    subject = of_run(Run(digit_nets / "residual"))
    maps = told = 0
    for trial in range(5 * TRIED):
        path = tmp_path / f"picture.{draw.choice(['png', 'jpg', 'gif', 'tif', 'webp', 'bmp', 'txt'])}"
        path.write_bytes(picture(draw))
        try:
            found = explanations.look(subject, explanations.from_file(path))
            assert np.isfinite(found.stages[-1].evidence).all()
            maps += 1
        except LabError as error:
            told += 1
            assert len(str(error).splitlines()) == 1  # noqa: PT017
        except Exception as error:
            raise AssertionError(f"trial {trial}") from error
    assert maps > TRIED / 2
    assert told > TRIED / 2
