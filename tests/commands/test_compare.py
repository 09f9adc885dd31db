"""Does `labapp runs compare` say how two runs differ, and guard a change by its exit code?"""

import json
from pathlib import Path

import pytest

from labapp.commands.cli import main
from labapp.store import list_runs
from tests.conftest import RecordRun


def compared(root: Path, *words: str) -> int:
    return main(["runs", "compare", *words, "--root", str(root)])


@pytest.fixture
def seeds(tmp_path: Path, record: RecordRun) -> Path:
    """Two plain and two residual nets; the gradient grows 1.2 and 1.1 times a layer, a little more in seed 1."""
    for family, growth, accuracy in (("plain", 1.2, 0.8), ("residual", 1.1, 0.9)):
        for seed in (0, 1):
            about = {"family": family, "growth": growth + 0.01 * seed, "accuracy": accuracy + 0.01 * seed}
            record(tmp_path / "runs", seed=seed, recorded=(0, 10, 20), **about)
    return tmp_path / "runs"


def test_what_differs_is_told_in_tables(seeds: Path, capsys: pytest.CaptureFixture) -> None:
    assert compared(seeds, "plain-20", "residual-20", "--step", "0") == 0
    out, error = capsys.readouterr()
    assert error == ""
    ids = [run.id for run in list_runs(seeds)[::-1]]
    assert out.startswith(f"A: plain-20 (2 seeds) – {ids[0]} (finished, step")
    rows = [line.split() for line in out.splitlines()]
    assert ["family", "plain", "residual"] in rows
    (accuracy,) = (row for row in rows if row[:2] == ["test", "accuracy"])
    assert accuracy[2:4] == ["0.805", "0.905"]
    (gradient,) = (row for row in rows if row[:1] == ["output_grad_norm"])
    # √(1.1·1.11 ÷ 1.2·1.21) a layer, over 18 layers
    assert gradient[2] == "0.210×"
    assert "stem.conv" in gradient
    assert "layers, step 0" in out
    assert "chance cannot be told" not in out


def test_one_run_a_side_says_that_chance_cannot_be_told(seeds: Path, capsys: pytest.CaptureFixture) -> None:
    one, other = (run.id for run in list_runs(seeds)[:2])
    assert compared(seeds, one, other) == 0
    out = capsys.readouterr().out
    assert "With one run on a side, chance cannot be told from the difference." in out
    assert compared(seeds, one, one) == 0
    assert "No setting differs." in capsys.readouterr().out


@pytest.mark.long
def test_runs_are_named_in_every_way(seeds: Path, capsys: pytest.CaptureFixture) -> None:
    runs = {run.id: run for run in list_runs(seeds)}
    plain = [name for name, run in runs.items() if run.name == "plain-20"]
    for words, expected in {
        "plain-20": plain,
        "plain-20 (seed 1)": plain[:1],
        plain[0]: plain[:1],
        str(seeds / plain[0]): plain[:1],
        ",".join(plain): plain,
        f"{plain[0]}, residual-20": [plain[0], *(name for name in runs if name not in plain)],
    }.items():
        assert compared(seeds, words, "residual-20", "--json") == 0
        said = json.loads(capsys.readouterr().out)
        assert {run["id"] for run in said["a"]["runs"]} == set(expected), words


@pytest.mark.parametrize(
    ("rules", "code", "lines"),
    [
        (
            ["--fail-on", "first(output_grad_norm)@0>1x"],
            0,
            ["held  first(output_grad_norm)@0>1x: 0.210 (0.130 to 0.339) at stem.conv, step 0"],
        ),
        (["--fail-on", "output_grad_norm<0.3x"], 1, ["broken  output_grad_norm<0.3x: 0.210 (0.130 to"]),
        (["--fail-on", "loss>+0.1", "accuracy>+0.05"], 1, ["held  loss>+0.1: 0 ", "broken  accuracy>+0.05: 0.100"]),
        pytest.param(
            ["--fail-on", "loss>+0.1", "--fail-on", "accuracy>+0.05"],
            1,
            ["held  loss", "broken  accuracy"],
            marks=pytest.mark.long,
        ),
        (["--fail-on", "update_ratio>3x"], 1, ["cannot be told  update_ratio>3x: update_ratio was not recorded"]),
    ],
)
def test_a_rule_decides_the_exit_code(
    seeds: Path, rules: list[str], code: int, lines: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert compared(seeds, "plain-20", "residual-20", *rules) == code
    told = capsys.readouterr().out.splitlines()[-len(lines) :]
    assert [line[: len(start)] for line, start in zip(told, lines, strict=True)] == lines
    assert compared(seeds, "plain-20", "residual-20", "--json", *rules) == code
    said = json.loads(capsys.readouterr().out)["rules"]
    assert [rule["state"] for rule in said] == [line.split("  ")[0] for line in lines]


def test_json_holds_numbers_and_null_where_there_is_none(
    tmp_path: Path, record: RecordRun, capsys: pytest.CaptureFixture
) -> None:
    one = record(tmp_path, growth=1.2)
    other = record(tmp_path, growth=1.1, seed=1, nan_from=15, status="diverged")
    assert compared(tmp_path, one.id, other.id, "--json", "--step", "10") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["configuration"] == [{"setting": "seed", "a": "0", "b": "1"}]
    gradient = said["layers"][0]
    assert gradient["ratio"] == pytest.approx((1.1 / 1.2) ** 18, rel=1e-5)
    assert gradient["low"] is None
    assert next(row for row in said["ends"] if row["quantity"] == "loss")["b"] is None
    assert said["b"]["runs"] == [{"id": other.id, "status": "diverged", "step": 31}]
    assert compared(tmp_path, one.id, other.id, "--json", "--fail-on", "loss>3x") == 1
    (rule,) = json.loads(capsys.readouterr().out)["rules"]
    assert (rule["state"], rule["value"]) == ("cannot be told", None)
    assert "not finite in B" in rule["note"]


def test_a_damaged_run_does_not_pass(seeds: Path, capsys: pytest.CaptureFixture) -> None:
    run = list_runs(seeds)[0]
    part = next((run.path / "layers").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    assert compared(seeds, "plain-20", run.id, "--fail-on", "loss>3x") == 1
    assert f"broken  runs are whole: {run.id}: layers/{part.name}" in capsys.readouterr().out


def test_a_run_without_layers(tmp_path: Path, record: RecordRun, capsys: pytest.CaptureFixture) -> None:
    a, b = (record(tmp_path, layers=0, seed=seed) for seed in (0, 1))
    assert compared(tmp_path, a.id, b.id) == 0
    assert "A and B recorded no layers at a common step." in capsys.readouterr().out


MISTAKES = {
    "": "which two? `labapp runs compare A B` takes runs",
    "plain-20": "which two?",
    "plain-20 nothing": "there is no run 'nothing'",
    "plain-20 residual-20,nothing": "there is no run 'nothing'",
    "plain-20 residual-20 --step 7": "did not both record layers within a tenth of step 7; of common steps they have",
    "plain-20 residual-20 --step x": "--step",
    "plain-20 residual-20 --fail-on loss": "'loss' is no rule; a rule is QUANTITY",
    "plain-20 residual-20 --fail-in loss>1": "has no option --fail-in (did you mean '--fail-on'?)",
    "plain-20 residual-20 more": "'more' is one word too many",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_a_sentence_and_exit_code_2(seeds: Path, words: str, capsys: pytest.CaptureFixture) -> None:
    assert compared(seeds, *words.split()) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert MISTAKES[words] in error
    assert error.count("\n") == 1


@pytest.mark.long
def test_real_runs_of_every_family_can_be_compared(digit_nets: Path, capsys: pytest.CaptureFixture) -> None:
    """Each with itself, of which nothing may differ, and with the next one."""
    runs = list_runs(digit_nets)
    for run, other in zip(runs, [*runs[1:], runs[0]], strict=True):
        rules = ["--fail-on", *(f"{name}>1.000001x" for name in ("output_grad_norm", "update_ratio", "weight_norm"))]
        if run.experiment.family != "residual" or not run.experiment.preactivation:
            rules += ["zero_fraction[*]>1.000001x", "dead_share>1.000001x"]
        assert compared(digit_nets, run.id, run.id, *rules, "loss>+0.0001") == 0, capsys.readouterr().out
        assert compared(digit_nets, run.id, other.id, "--json") == 0
    assert "Traceback" not in capsys.readouterr().err
