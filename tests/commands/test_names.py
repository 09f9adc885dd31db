"""Are names text, whatever they are, in what every command prints?"""

import io
import json

import pytest
from rich.progress import Progress

from labapp.commands.cli import main
from labapp.commands.progress import Words, console
from labapp.config import Experiment
from labapp.store import RunWriter

NASTY = "*b* [red]r [x] :smile: $x$ <b> '\"\\ \x1b[31m\x1b]0;t\x07 \u202ert 😀"
SHOWN = "*b* [red]r [x] :smile: $x$ <b> '\"\\ ‹U+001B›[31m‹U+001B›]0;t‹U+0007› ‹U+202E›rt 😀"


@pytest.fixture
def archive(tmp_path):
    writer = RunWriter.create(tmp_path / "runs", Experiment(family="plain", depth=8), run_id="a")
    writer.describe([{"index": 0, "depth": 1, "path": NASTY, "kind": NASTY, "shape": [1]}], {"note": NASTY})
    run = writer.finish("failed", NASTY)
    said = json.loads((run.path / "run.json").read_text())
    said["environment"] |= {NASTY: NASTY}
    said["experiment"]["data"] = NASTY
    (run.path / "run.json").write_text(json.dumps(said))
    run.path.rename(run.path.with_name(NASTY))
    broken = tmp_path / "runs" / f"broken {NASTY}"
    broken.mkdir()
    (broken / "run.json").write_text(json.dumps({"id": NASTY}))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["runs", "list"], 0),
        (["runs", "show", NASTY], 0),
        (["runs", "show", f"broken {NASTY}"], 2),
        (["runs", "show", f"no {NASTY}"], 2),
        (["runs", "compare", NASTY, "plain-8"], 0),
        (["runs", "compare", NASTY, NASTY, "--fail-on", "loss>1"], 1),
        (["runs", "compare", NASTY, f"no {NASTY}"], 2),
        (["runs", "compare", NASTY, NASTY, "--fail-on", NASTY], 2),
        (["runs", "remove", f"no {NASTY}"], 2),
        (["probe", NASTY], 2),
        (["probe", f"no {NASTY}"], 2),
        (["explain", NASTY, "--index", "0"], 2),
        (["explain", "plain-8", "--image", NASTY], 2),
        (["doctor", f"m:{NASTY}"], 2),
        (["train", "--net", f"torchvision:{NASTY}"], 2),
        (["train", "--data", NASTY, "--imageset", "folder"], 2),
        (["runs", "remove", NASTY], 0),
    ],
    ids=lambda value: " ".join(value[:2]).replace(NASTY, "NAME") if isinstance(value, list) else str(value),
)
def test_every_name_is_text_on_a_terminal(archive, words, code, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert main([*words, "--root", str(archive)] if words[0] != "doctor" else words) == code
    said = "".join(capsys.readouterr())
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert "😄" not in said  # what :smile: would be
    assert SHOWN in said or "[red]r" in said or "loading" in said
    assert "Traceback" not in said


def test_a_name_is_text_beside_a_bar():
    screen = console()
    screen.file = io.StringIO()
    bar = Progress(Words("{task.description}"), console=screen)
    bar.add_task(NASTY)
    with bar:
        pass
    assert "[red]r [x] :smile:" in screen.file.getvalue()
    assert not {"\x1b", "\u202e"} & set(screen.file.getvalue())
