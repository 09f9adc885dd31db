"""Is everything that can be wrong with an export told in a sentence, with nothing half-written left behind?"""

import errno
import importlib.util
import shutil
from pathlib import Path

import pytest

from labapp.commands.cli import main
from labapp.config import LabError
from labapp.exports import export
from labapp.exports.dashboards import TARGETS
from labapp.exports.outfolder import MARK
from labapp.store import Run
from tests.exports.runs import full_run
from tests.store.faulty import FaultyDisk, fail_half_way, fail_with


def typed(capsys, *words):
    """Exit code, and what was said."""
    code = main(["runs", "export", *map(str, words)])
    said = capsys.readouterr()
    return code, (said.err + said.out).replace("\n", " ")


def there(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two runs, which nothing here changes."""
    root = tmp_path_factory.mktemp("archive") / "runs"
    full_run(root, "one")
    full_run(root, "two", depth=56)
    return root


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("one --out {out}", "where to? --to is one of csv, parquet, tensorboard, wandb, mlflow"),
        ("one --to csv", "--out names the folder that is made"),
        ("--to csv --out {out}", "which runs? `labapp runs export RUN …` takes names and folders"),
        ("one --to tensorbaord --out {out}", "'tensorbaord' is no target (did you mean 'tensorboard'?)"),
        ("onee --to csv --out {out}", "there is no run 'onee'"),
        ("one --filter depth>9 --to csv --out {out}", "name runs, or give --filter and --tag, not both"),
        ("--filter depth>99 --to csv --out {out}", "no run fits"),
        ("--filter dpeth>9 --to csv --out {out}", "runs have no field 'dpeth'"),
        ("one --to csv --out {out} --quantities nonfinit", "no quantity 'nonfinit' (did you mean 'nonfinite'?)"),
        ("one --to tensorboard --out {out} --layers stagge1.*", "no layer is stagge1.*"),
        ("one --to csv --out {out}/no/such", "there is no folder"),
        ("one --to csv --out s3://bucket/x", "--out names a folder of this machine"),
        ("one --to csv --out {out} --forse", "has no option --forse (did you mean '--force'?)"),
        ("one --to csv --out {root}/one/run.json", "run.json is no folder; choose another --out"),
        ("one --to csv --out {root}/one/run.json/x", "there is no folder"),
        ("one --to csv --out {root} --force", "is there and no export of the lab; choose another --out"),
    ],
)
def test_mistakes_are_told(root, tmp_path, capsys, words, sentence):
    out, before = tmp_path / "out", there(root)
    code, said = typed(capsys, *words.format(out=out, root=root).split(), "--root", root)
    assert code == 2
    assert sentence in said
    assert (there(tmp_path), there(root)) == ([], before)


def test_what_is_there_stays_unless_it_is_an_export_and_forced(root, tmp_path, capsys):
    words = ("one", "--to", "csv", "--root", root, "--out", tmp_path / "out")
    (tmp_path / "out").mkdir()  # an empty folder is free
    assert typed(capsys, *words)[0] == 0
    before = there(tmp_path)
    code, said = typed(capsys, *words)
    assert (code, "is there; choose another --out, or --force to write it anew" in said) == (2, True)
    assert there(tmp_path) == before
    assert typed(capsys, "two", *words[1:], "--force")[0] == 0
    assert "two" in (tmp_path / "out" / "runs.csv").read_text()
    assert there(tmp_path) == before
    (tmp_path / "out" / MARK).unlink()
    assert typed(capsys, *words, "--force")[0] == 2


@pytest.mark.parametrize("to", ["csv", "parquet", "tensorboard"])
@pytest.mark.parametrize("harm", [fail_with(errno.ENOSPC), fail_half_way], ids=["refused", "half"])
def test_a_full_disk_at_any_moment_leaves_what_was_there(root, tmp_path, to, harm):
    if to == "tensorboard":
        pytest.importorskip("tensorboard")
    place = tmp_path / "place"
    place.mkdir()
    run = Run(root / "one")
    export(run, to, place / "out")
    with FaultyDisk(place) as disk:
        export(run, to, place / "out", force=True)
    harmed = ("write",) if harm is fail_half_way else ("open", "write", "mkdir", "rename")
    writes = [at for at, operation in enumerate(disk.done) if operation.name in harmed]
    assert len(writes) > 4
    before = (place / "out" / MARK).stat().st_ino
    for at in writes[:: max(1, len(writes) // 6)]:
        with FaultyDisk(place, at, harm), pytest.raises(LabError, match=r"cannot write .*out: No space left on device"):
            export(run, to, place / "out", force=True)
        assert [path.name for path in place.iterdir()] == ["out"]
        assert (place / "out" / MARK).stat().st_ino == before


@pytest.mark.parametrize("to", ["tensorboard", "wandb", "mlflow"])
def test_a_tool_that_is_not_installed_is_named_with_its_command(root, tmp_path, capsys, monkeypatch, to):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == to else real(name))
    code, said = typed(capsys, "one", "--to", to, "--out", tmp_path / "out", "--root", root)
    assert code == 2
    assert f"needs {to}" in said  # mlflow-skinny, too
    assert "`pip install 'labapp[export]'` installs it" in said
    assert not (tmp_path / "out").exists()
    assert to in TARGETS


def test_a_damaged_part_is_left_out_and_said(root, tmp_path, capsys):
    root = Path(shutil.copytree(root, tmp_path / "runs"))
    part = next((root / "one" / "evals").rglob("*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 255
    part.write_bytes(content)
    code, said = typed(capsys, "one", "--to", "csv", "--out", tmp_path / "out", "--root", root)
    assert code == 1
    assert "one: evals/" in said
    assert "is damaged and was left out" in said
    assert (tmp_path / "out" / "steps.csv").exists()
    (root / "one" / "run.json").write_text("{")
    code, said = typed(capsys, "one", "--to", "csv", "--out", tmp_path / "other", "--root", root)
    assert (code, "run.json is damaged" in said) == (2, True)
    assert not (tmp_path / "other").exists()


def test_a_run_that_is_being_written_is_exported_as_far_as_it_is(tmp_path, capsys):
    full_run(tmp_path / "runs", "live", status=None)
    code, said = typed(capsys, "live", "--to", "csv", "--out", tmp_path / "out", "--root", tmp_path / "runs")
    assert code == 0
    assert "live is being written; exported is what there was, step 21 of 21" in said
    assert len((tmp_path / "out" / "steps.csv").read_text().splitlines()) == 22


def test_folders_of_runs_and_filters_name_runs(root, tmp_path, capsys):
    def exported(*words):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert typed(capsys, *words, "--to", "csv", "--out", out, "--root", root)[0] == 0
        return {line.split(",")[0] for line in (out / "runs.csv").read_text().splitlines()[1:]}

    assert exported(root) == {"one", "two"}
    assert exported(root / "one", "two", root / "one") == {"one", "two"}
    assert exported("--filter", "depth>=50") == {"two"}
    assert exported("--tag", "good") == {"one", "two"}
    assert exported("residual-56") == {"two"}
    assert Path(root / "one" / "run.json").exists()
