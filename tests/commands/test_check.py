"""Does `labapp runs check` say what is amiss, and mend it?"""

from pathlib import Path

import pytest

from labapp.commands.cli import main
from labapp.store import Run, list_runs


def harm(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 8
    path.write_bytes(data)


def test_an_archive_that_is_whole(archive: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["runs", "check", "--root", str(archive)]) == 0
    assert capsys.readouterr().out == "5 runs read whole, nothing amiss\n"


def test_one_that_is_not(archive: Path, capsys: pytest.CaptureFixture) -> None:
    first, second, third = (run.path for run in list_runs(archive)[:3])
    harm(next(first.glob("steps/*.parquet")))
    (second / "run.json").write_text("{")
    assert main(["runs", "check", "--root", str(archive)]) == 1
    out = capsys.readouterr().out
    assert f"{first.name}: steps/part-01-000000.parquet is damaged and was left out" in out
    assert f"{second.name}: run.json is damaged" in out
    assert "5 runs read whole, 2 faults" in out
    assert "`labapp runs check --repair` mends" in out
    assert main(["runs", "check", third.name, "--root", str(archive)]) == 0
    capsys.readouterr()
    assert main(["runs", "check", "--repair", "--root", str(archive)]) == 0
    assert "nothing amiss, 2 mended" in capsys.readouterr().out
    assert Run(first).status == "incomplete"
    assert Run(second).status == "finished"
    assert main(["runs", "check", "--root", str(archive)]) == 1  # what is lost stays said
    assert f"{first.name}: steps/part-01-000000.parquet was damaged" in capsys.readouterr().out


def test_mistakes_are_sentences(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for words in (["nothing"], ["--root", str(tmp_path / "none")], ["--mend"]):
        assert main(["runs", "check", *(["--root", str(archive)] if "--root" not in words else []), *words]) == 2
        out, error = capsys.readouterr()
        assert error.startswith("labapp: ")
        assert error.count("\n") == 1
        assert not out
