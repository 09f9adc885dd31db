"""Does `labapp diagnose` say what is wrong, for people and for programs?"""

import json
import subprocess
import sys

import pytest

from labapp.commands.cli import main


@pytest.fixture
def vanishing(tmp_path, record):
    """A plain net whose gradient halves at each of 19 layers on its way back."""
    return record(tmp_path / "runs", growth=0.5, run_id="ill")


def test_the_same_as_text_markdown_and_json(vanishing, capsys):
    root = str(vanishing.path.parent)
    told = {}
    for option in ("", "--markdown", "--json"):
        assert main(["diagnose", "ill", *filter(None, [option]), "--root", root]) == 0
        told[option] = capsys.readouterr().out
    found = json.loads(told["--json"])
    first = found["findings"][0]
    assert first["rule"] == "vanishing_gradient"
    assert first["value"] == pytest.approx(0.5**18, rel=1e-4)
    assert first["low"] <= first["value"] <= first["high"]
    assert found["run"] == "ill"
    assert told[""].startswith("ill: The gradient vanishes")
    assert told["--markdown"].startswith("# What is wrong with ill?")
    for words in (told[""], told["--markdown"]):
        assert "Schoenholz et al. 2017" in words
        assert "Mean-field theory expects a factor of" in " ".join(words.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which run?"),
        (["il"], "did you mean 'ill'"),
        (["ill", "--json", "--markdown"], "give one of them"),
        (["ill", "--mark"], "did you mean '--markdown'"),
    ],
)
def test_a_mistake_is_one_sentence(vanishing, words, said, capsys):
    assert main(["diagnose", *words, *(["--root", str(vanishing.path.parent)] if words else [])]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert said in error
    assert error.count("\n") == 1


def test_it_needs_no_torch(vanishing):
    code = (
        "import sys; from labapp.frames import diagnosis; from labapp.store import Run;"
        f"print(diagnosis.as_text(diagnosis.diagnose(Run({str(vanishing.path)!r})))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
