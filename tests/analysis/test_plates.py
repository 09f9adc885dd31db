"""Is each figure's table all of the figure, and do the files say what they are of?"""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis import degradation, figures, freeze, vanish_or_explode
from analysis.figures import DATA, all_plates
from analysis.plates import of_sweeps, styles_of
from analysis.publish import command
from analysis.written import read_table, written
from labapp import __version__
from labapp.claims import CLAIMS
from labapp.store import list_runs
from labapp.store.labels import write_labels

LARGEST = 400_000  # bytes of a table that is kept with the source


@pytest.mark.parametrize("plate", all_plates(), ids=lambda plate: plate.name)
def test_each_frozen_table_is_small_says_whose_it_is_and_is_written_again_as_it_was(plate):
    path = DATA / f"{plate.name}.csv"
    assert not plate.sweeps or {CLAIMS[claim].sweep for claim in plate.claims} <= set(plate.sweeps)
    if not path.is_file():
        pytest.skip("no runs of the quick sweeps show it")
    text = path.read_text()
    assert len(text.encode()) <= LARGEST
    table = read_table(text)
    assert plate.name == "diagnosis" or {"experiment", "seed"} <= set(table)
    assert written(table).splitlines()[0] == text.splitlines()[0]
    pd.testing.assert_frame_equal(read_table(written(table)), table)


def test_numbers_and_words_come_back_as_they_were():
    table = pd.DataFrame(
        {
            "experiment": ["12345678", "1e345678"],  # digests that look like numbers
            "net": ["", "7"],
            "step": [2_000_000.0, np.nan],
            "value": [1 / 3, -np.inf],
            "said": ["none", "NA"],
        }
    )
    back = read_table(written(table))
    assert back["experiment"].tolist() == ["12345678", "1e345678"]
    assert back["net"].tolist() == ["", "7"]
    assert back["said"].tolist() == ["none", "NA"]
    assert back["step"].tolist()[0] == 2_000_000
    assert back["value"].tolist() == [0.333333, -np.inf]
    assert written(back) == written(table)


@pytest.mark.long
def test_a_picture_says_which_figure_configuration_and_seeds_it_is_of(record, tmp_path):
    for seed in (0, 3):
        record(tmp_path / "runs", seed=seed)
    told = []
    for name, only in (("both", ["plain-*"]), ("one", [list_runs(tmp_path / "runs")[0].id])):
        options = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / name), "--only", *only]
        assert command(degradation.PLATES, "?", options) == 0
        with Image.open(tmp_path / name / "degradation.png") as image:
            told.append(image.text["Description"])
        for kind in ("svg", "pdf"):
            assert b"figure degradation of labapp" in (tmp_path / name / f"degradation.{kind}").read_bytes()
    assert told[0].startswith(f"figure degradation of labapp {__version__}; configuration ")
    assert told[0].endswith("(2 experiments); seeds 0, 3")
    assert told[1].endswith("(1 experiments); seeds 3")
    assert told[0].split()[6] != told[1].split()[6]


def test_runs_of_the_figures_sweeps_alone_are_taken_where_there_are_any(record, tmp_path):
    made = [record(tmp_path / "runs", seed=seed) for seed in range(3)]
    assert len(of_sweeps(made, ("degradation",))) == 3
    write_labels(made[1].path, add=["sweep:degradation"])
    write_labels(made[2].path, add=["sweep:vgg"])
    assert [run.id for run in of_sweeps(made, ("degradation", "shortcuts"))] == [made[1].id]


def test_nets_of_one_look_in_the_archive_are_told_apart_in_the_figure():
    nets = {"net": ["a", "b"], "family": "plain", "net_depth": [20, 56]}
    apart = styles_of(pd.DataFrame(nets | {"place": [0, 1]}))
    same = styles_of(pd.DataFrame(nets | {"place": [3, 3 + 84]}))  # after 84 pairs of dash and marker they repeat
    assert apart["marker"].tolist() == same["marker"].tolist()
    assert same["marker"].nunique() == 2


def test_what_was_frozen_is_drawn_without_the_runs_and_small_for_the_gallery(record, tmp_path, capsys):
    record(tmp_path / "runs", depth=8)
    data, out, gallery = (str(tmp_path / name) for name in ("data", "out", "gallery"))
    only = ["--only", "degradation", "lesions"]
    assert freeze.main(["--runs", str(tmp_path / "runs"), "--out", data, *only]) == 1
    assert "left out: lesions: these runs hold no lesions; `labapp probe " in capsys.readouterr().err
    assert figures.main(["--data", data, "--out", out, "--gallery", gallery, *only]) == 0
    assert "no table: lesions" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"degradation.{kind}" for kind in ("csv", "pdf", "png", "svg")
    ]
    assert (tmp_path / "gallery" / "degradation.png").stat().st_size <= figures.LARGEST
    assert figures.main(["--data", data, "--out", out, "--gallery", gallery, "--formats", "csv"]) == 2
    assert "--gallery shrinks the PNG of each figure, which --formats leaves out" in capsys.readouterr().err
    assert figures.main(["--data", data, "--out", out, "--only", "lesion"]) == 2
    assert "there is no figure 'lesion' (did you mean 'lesions'?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("degradtion.csv", "net\n", "degradtion.csv is no table of this command, which draws degradation.csv"),
        ("degradation.csv", "net\nx\n", "the table of degradation has no column"),
        ("degradation.csv", None, "cannot read "),
    ],
)
def test_a_table_that_cannot_be_drawn_is_one_sentence(name, text, sentence, tmp_path, capsys):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    assert command(degradation.PLATES, "?", ["--table", str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_vanishing_is_told_over_seeds_with_theory_and_without_what_diverged(record, tmp_path):
    root = tmp_path / "runs"
    for seed, growth in enumerate((0.5, 0.8)):
        record(root, seed=seed, growth=growth, depth=8, norm="none", init="default")
    for seed in (0, 1):
        record(root, seed=seed, depth=8, family="residual", nan_from=10, status="diverged" if seed else "finished")
    options = ["--runs", str(root), "--out", str(tmp_path)]
    assert command(vanish_or_explode.PLATES, "?", options) == 0
    table = pd.read_csv(tmp_path / "vanish_or_explode.csv")
    first = table[(table["family"] == "plain") & (table["depth"] == 1)].set_index("moment").loc["initialisation"]
    assert [first["low"], first["high"]] == pytest.approx([0.5**6, 0.8**6], rel=1e-4)
    assert first["value"] == pytest.approx((0.5 * 0.8) ** 3, rel=1e-4)  # the geometric mean
    assert first["theory"] < 1e-2  # PyTorch's default is a sixth of what would keep it, in each layer
    assert first["seeds"] == 2
    ended = table[(table["family"] == "residual") & (table["moment"] == "end of training")]
    assert set(ended["diverged"]) == {1}
    assert ended["value"].isna().all()  # the other one is NaN too
    csv = tmp_path / "vanish_or_explode.csv"
    assert command(vanish_or_explode.PLATES, "?", ["--table", str(csv), "--out", str(tmp_path / "again")]) == 0
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
