"""Are runs found, named, tagged and noted from a terminal?"""

import json

import pytest

from labapp.commands.cli import main
from labapp.store import NUMBERS, KeptNumbers, RunWriter, list_runs, look
from labapp.store import numbers as kept


def typed(capsys, root, *words, code=0):
    assert main(["runs", *words, "--root", str(root)]) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def ids(capsys, root, *words):
    return [each["id"] for each in json.loads(typed(capsys, root, "list", "--json", *words))]


def test_runs_are_listed_by_words_and_conditions(archive, capsys):
    by_name = {run.name: run.id for run in list_runs(archive)}
    assert ids(capsys, archive) == [run.id for run in list_runs(archive)]
    assert ids(capsys, archive, "--filter", "residual depth>=50") == [by_name["residual-56"]]
    assert ids(capsys, archive, "--filter", "accuracy<0.5") == [by_name["plain-56"]]
    assert ids(capsys, archive, "--filter", "no such run") == []
    out = typed(capsys, archive, "list", "--filter", "family=plain")
    assert "2 of 5 runs" in out
    assert "25.0 %" in out
    assert by_name["dense-40"] not in out


def test_a_list_as_json_says_what_a_run_was(archive, capsys):
    (told,) = json.loads(typed(capsys, archive, "list", "--json", "--filter", "dense"))
    assert (told["net"], told["status"], told["step"], told["steps"]) == ("dense-40", "finished", 21, 21)
    assert told["accuracy"] == pytest.approx(0.96)
    assert told["experiment"]["growth_rate"] == 12


def test_an_accuracy_that_was_kept_is_believed_while_the_run_is_as_it_was(archive, capsys):
    listing = look(archive)
    numbers = KeptNumbers(archive, NUMBERS)
    for entry in listing.entries[:2]:
        numbers.keep(entry, {"accuracy": 0.123})
    numbers.save(listing.by_id)
    assert (archive / kept.FILE).is_file()
    (listing.root / listing.entries[1].id / "run.json").touch()
    told = json.loads(typed(capsys, archive, "list", "--json"))
    assert told[0]["accuracy"] == 0.123
    assert told[1]["accuracy"] == pytest.approx(0.95)


def test_tags_notes_and_names(archive, capsys):
    run = list_runs(archive)[0].id
    assert typed(capsys, archive, "tag", run, "good", " two  words ") == "tags: good, two words\n"
    assert typed(capsys, archive, "tag", "dense-40", "good", "--remove") == "tags: two words\n"
    assert ids(capsys, archive, "--tag", "Two Words") == [run]
    assert typed(capsys, archive, "rename", run, "my", "dense one") == "name: my dense one\n"
    assert typed(capsys, archive, "note", "my dense one", "as in the paper") == "as in the paper\n"
    assert typed(capsys, archive, "note", run) == "as in the paper\n"
    out = typed(capsys, archive, "list")
    assert "my dense one" in out
    assert "two words" in out
    assert ids(capsys, archive, "--filter", '"in the paper"') == [run]
    assert typed(capsys, archive, "rename", run, "") == "name: its own\n"
    assert typed(capsys, archive, "note", run, "") == "no note\n"
    assert typed(capsys, archive, "tag", run, "two words", "--remove") == "tags: none\n"


def test_a_run_that_is_being_written_is_tagged_and_goes_on(record, capsys, tmp_path):
    run = record(tmp_path, status=None)
    typed(capsys, tmp_path, "tag", run.id, "live")
    assert run.status == "running"
    assert look(tmp_path).entries[0].labels.tags == ("live",)


def test_a_label_changes_nothing_that_was_recorded(archive, capsys):
    run = list_runs(archive)[0]
    before = run.version, (run.path / "run.json").read_bytes()
    typed(capsys, archive, "note", run.id, "a note")
    assert (run.version, (run.path / "run.json").read_bytes()) == before
    typed(capsys, archive, "check", run.id)
    RunWriter(run.path).finish()
    assert typed(capsys, archive, "note", run.id) == "a note\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["list", "--filter", "widht=8"], "runs have no field 'widht' (did you mean 'width'?)"),
        (["list", "--filter", "width>wide"], "width>wide compares with no number"),
        (["list", "--fliter", "x"], "has no option --fliter (did you mean '--filter'?)"),
        (["tag"], "which run, and which tags?"),
        (["tag", "dense-40"], "which run, and which tags?"),
        (["tag", "dense-41", "x"], "there is no run 'dense-41'"),
        (["tag", "dense-40", "x" * 41], "a tag has at most 40 signs, and this one 41"),
        (["tag", "dense-40", *map(str, range(51))], "a run has at most 50 tags, and these are 51"),
        (["tag", "dense-40", "a\u202eb"], "holds signs that cannot be shown"),
        (["rename", "dense-40"], "what is it to be called?"),
        (["rename", "dense-40", "x" * 81], "a name has at most 80 signs, and this one 81"),
        (["note", "dense-40", "x" * 10_001], "a note has at most 10,000 signs, and this one 10,001"),
        (["note"], "which run?"),
    ],
)
def test_mistakes_are_told(archive, capsys, words, sentence):
    assert sentence in typed(capsys, archive, *words, code=2)


def test_a_read_only_lab_labels_nothing(archive, capsys, monkeypatch):
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    said = typed(capsys, archive, "tag", "dense-40", "x", code=2)
    assert "is not allowed, because this lab was opened with --read-only" in said
