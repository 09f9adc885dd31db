"""Each figure of `analysis/`, drawn from any folder of runs."""

import pandas as pd
import pytest

from analysis import degradation, gradient_flow
from analysis.publish import command, figure_of, measured
from labapp.store import list_runs

FILES = {
    degradation: ["degradation"],
    gradient_flow: ["gradient_profile", "gradient_heatmap"],
}
SCRIPTS = list(FILES)


def run(script, *options):
    return command(script.PLATES, script.__doc__, [str(option) for option in options])


def tables(script, *options):
    """The same without a picture, which takes seconds."""
    return run(script, *options, "--formats", "csv")


@pytest.mark.parametrize("script", SCRIPTS)
def test_writes_three_pictures_and_the_table_that_draws_them_again(script, archive, tmp_path, capsys):
    out = tmp_path / "made" / "here"
    assert run(script, "--runs", archive, "--out", out) == 0
    wanted = {f"{name}.{kind}" for name in FILES[script] for kind in ("png", "svg", "pdf", "csv")}
    assert {path.name for path in out.iterdir()} == wanted
    assert all(path.stat().st_size > 500 for path in out.iterdir())
    assert (out / f"{FILES[script][0]}.png").read_bytes().startswith(b"\x89PNG")
    assert str(out / f"{FILES[script][0]}.svg") in capsys.readouterr().out
    assert run(script, "--table", *out.glob("*.csv"), "--out", tmp_path / "again") == 0
    for path in out.iterdir():  # drawn again from its table to the byte
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_only_what_is_asked_for_is_written(archive, tmp_path):
    assert run(degradation, "--runs", archive, "--out", tmp_path, "--formats", "pdf", "csv") == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"degradation.pdf", "degradation.csv"}


def test_degradation_table_holds_both_errors_of_every_net(archive, tmp_path):
    tables(degradation, "--runs", archive, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "degradation.csv")
    assert set(table["net"]) == {"plain-20", "plain-56", "residual-20", "residual-56", "dense-40"}
    assert set(table["split"]) == {"train", "test"}
    last = table[(table["net"] == "plain-56") & (table["split"] == "test")].iloc[-1]
    assert last["error"] == pytest.approx(0.75, abs=1e-4)


def test_gradient_tables_hold_the_first_and_the_last_step(archive, tmp_path):
    tables(gradient_flow, "--runs", archive, "--out", tmp_path, "--only", "plain-*")
    profile = pd.read_csv(tmp_path / "gradient_profile.csv")
    assert set(profile["net"]) == {"plain-20", "plain-56"}
    assert profile.groupby("moment")["step"].unique().map(list).to_dict() == {
        "initialisation": [0],
        "end of training": [20],
    }
    first = profile[(profile["net"] == "plain-56") & (profile["step"] == 0)]
    assert first["value"].iloc[0] == pytest.approx(1.2**54, rel=1e-4)
    assert set(pd.read_csv(tmp_path / "gradient_heatmap.csv")["net"]) == {"plain-20", "plain-56"}


def test_theory_stands_beside_the_first_step_and_no_other(archive, tmp_path):
    tables(gradient_flow, "--runs", archive, "--out", tmp_path)
    profile = pd.read_csv(tmp_path / "gradient_profile.csv")
    expected = profile[profile["family"] != "dense"]
    assert expected.loc[expected["step"] == 0, "theory"].notna().all()
    assert profile.loc[profile["step"] > 0, "theory"].isna().all()
    last = expected[(expected["step"] == 0) & (expected["net"] == "plain-56")].iloc[-1]
    assert last["theory"] == pytest.approx(last["value"])


@pytest.mark.parametrize(("imageset", "marks"), [("cifar10", [8.75]), ("cluttered-digits", [])])
def test_published_errors_are_marked_where_net_and_images_are_the_same(imageset, marks, record, tmp_path):
    for width in (16, 8):  # the paper's has 16
        record(tmp_path / "runs", family="residual", width=width, imageset=imageset)
    (plate,) = degradation.PLATES
    figure = figure_of(plate, measured([plate], list_runs(tmp_path / "runs"))[plate])
    drawn = [line for line in figure.axes[1].lines if line.get_marker() == "D" and line.get_mfc() == "none"]
    assert [float(line.get_ydata()[0]) for line in drawn] == marks
    assert figure.axes[1].get_title("right") == "◇ published: He et al. 2015, Table 6" * len(marks)


def test_several_seeds_are_one_net(record, tmp_path):
    for seed, growth in enumerate((1.1, 1.2, 1.3)):
        record(tmp_path / "runs", seed=seed, growth=growth)
    for script in SCRIPTS:
        assert tables(script, "--runs", tmp_path / "runs", "--out", tmp_path / "out") == 0
    table = pd.read_csv(tmp_path / "out" / "gradient_profile.csv")
    assert set(table["net"]) == {"plain-20"}
    assert set(table["seed"]) == {0, 1, 2}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_diverged_run_is_drawn(script, record, tmp_path):
    record(tmp_path / "runs", nan_from=0, status="diverged")
    assert run(script, "--runs", tmp_path / "runs", "--out", tmp_path / "out", "--formats", "png") == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_broken_run_is_named_and_the_others_are_drawn(script, archive, tmp_path, capsys):
    (archive / "torn").mkdir()
    (archive / "torn" / "run.json").write_text('{"labapp"')
    assert run(script, "--runs", archive, "--out", tmp_path / "out", "--formats", "svg") == 0
    assert "torn" in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--runs", "{tmp}/nowhere"], "there is no archive at {tmp}/nowhere"),
        (["--runs", "{tmp}/empty"], "{tmp}/empty holds no run that can be read"),
        (["--runs", "{tmp}/runs", "--only", "residul-20"], "(did you mean 'residual-20'?)"),
        (["--runs", "{tmp}/runs", "--out", "{tmp}/file"], "cannot write into {tmp}/file"),
        (["--rnus", "x"], "unrecognized arguments: --rnus x"),
        (["--formats", "jpg"], "invalid choice: 'jpg' (choose from 'png', 'svg', 'pdf', 'csv')"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(script, options, sentence, record, tmp_path, capsys):
    record(tmp_path / "runs", family="residual")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    try:
        code = tables(script, "--out", tmp_path / "out", *(option.format(tmp=tmp_path) for option in options))
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code == 2
    assert sentence.format(tmp=tmp_path) in said
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_runs_without_the_numbers_say_so(record, tmp_path, capsys):
    record(tmp_path / "runs", recorded=(), layers=0)
    assert tables(gradient_flow, "--runs", tmp_path / "runs", "--out", tmp_path / "out") == 2
    assert "hold no gradients of convolutions" in capsys.readouterr().err


def test_a_mean_over_seeds_is_of_finished_runs_and_of_equal_steps(record, tmp_path, capsys):
    root = tmp_path / "runs"
    for seed, accuracy in enumerate((0.6, 0.8)):
        record(root, seed=seed, accuracy=accuracy, recorded=(0, 10, 20), steps=21)
    record(root, seed=2, accuracy=0.1, recorded=(0, 10), steps=21, status="stopped")
    for script in SCRIPTS:
        assert tables(script, "--runs", root, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "left out of the means: plain-20 (seed 2), which did not finish" in said
    assert "left out at the end of training: plain-20 (seed 2)" in said
    errors = pd.read_csv(tmp_path / "out" / "degradation.csv")
    assert set(errors["seed"]) == {0, 1}
    assert (errors.groupby(["net", "split", "step"])["run"].nunique() == 2).all()
    ends = pd.read_csv(tmp_path / "out" / "gradient_profile.csv").query("moment == 'end of training'")
    assert set(ends["step"]) == {20}
    assert set(ends["seed"]) == {0, 1}


def test_no_step_but_the_first_is_called_the_initialisation(record, tmp_path, capsys):
    record(tmp_path / "runs", recorded=(5, 10))
    assert tables(gradient_flow, "--runs", tmp_path / "runs", "--out", tmp_path / "out") == 0
    assert "left out: gradient_profile: none of these runs has recorded its initialisation" in capsys.readouterr().err
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"gradient_heatmap"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_damaged_stands_under_the_figure(script, archive, tmp_path, capsys):
    """A wrong bit in a page of data, which only reading finds: while the figure is drawn."""
    victim = list_runs(archive)[0]
    part = next(victim.path.glob("steps/*.parquet" if script is degradation else "layers/*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 4] ^= 4
    part.write_bytes(data)
    assert run(script, "--runs", archive, "--out", tmp_path / "out", "--formats", "svg") == 0
    words = f"{victim.id}: {part.parent.name}/{part.name} is damaged"
    assert words in capsys.readouterr().err
    svg = "".join((tmp_path / "out" / f"{FILES[script][0]}.svg").read_text().split())
    assert "Incompletedata" in svg
    assert "".join(words.split()) in svg
