"""Signals, Feature reuse, Representation and Architecture, from the app's entrypoint, on real small runs."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import labapp
from labapp import palette
from labapp.app import launch
from labapp.app import probed as probed_page
from labapp.config import Experiment
from labapp.probes.catalogue import against_name
from labapp.store import RunWriter, list_runs

MAIN = Path(labapp.__file__).resolve().parent / "main.py"
PAGES = ("signals", "feature_reuse", "representation", "architecture")
MEASURED = PAGES[1:]


def named(root, name, seed=0):
    return next(run for run in list_runs(root) if run.name == name and run.experiment.seed == seed)


def unprobe(root, *names):
    for run in list_runs(root):
        if run.name in names or not names:
            shutil.rmtree(run.path / "probes", ignore_errors=True)


def choose(app, *runs):
    app.multiselect(key="runs").set_value([run.id for run in runs]).run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def count_charts(app):
    return len(app.get("vega_lite_chart"))


def texts(app):
    return [element.value for element in (*app.caption, *app.markdown)]


# signals


def test_signals_show_six_small_multiples_of_the_last_step(probed, open_page):
    app = open_page(probed, "signals")
    assert app.title[0].value.startswith("At step 4 layers respond with a standard deviation ")
    table = named(probed, "plain-8").layers(where={"kind": "norm"}, steps=4)
    low, high = (palette.number(value) for value in (table["output_std"].min(), table["output_std"].max()))
    assert f"{f'from {low} to {high}' if low != high else f'of {low}'} in plain-8" in app.title[0].value
    assert count_charts(app) == 6
    assert app.select_slider(key="step").options == ["0", "2", "4"]


def test_the_step_of_signals_is_part_of_the_address(probed, open_page):
    app = open_page(probed, "signals", step="2")
    assert app.title[0].value.startswith("At step 2 ")
    app.select_slider(key="step").set_value(0).run()
    assert app.title[0].value.startswith("At step 0 ")


def test_signals_of_a_plain_net_say_that_it_has_no_shortcut(probed, open_page):
    app = choose(open_page(probed, "signals"), named(probed, "plain-8"))
    assert count_charts(app) == 4
    assert texts(app).count("Only residual nets have a branch and a shortcut; none is chosen.") == 2


def test_play_goes_through_the_steps_of_signals_and_stops(probed, open_page):
    app = open_page(probed, "signals", step="0")
    app.button(key="play-step").click().run()
    seen = [app.select_slider(key="step").value]
    for _ in range(3):
        app.run()
        seen.append(app.select_slider(key="step").value)
    assert seen == sorted(seen)
    assert seen[-1] == 4
    assert app.button(key="play-step").label == "Play"


@pytest.mark.parametrize("nan_from", [0, 15])
def test_signals_of_a_diverged_run(open_page, record, tmp_path, nan_from):
    record(tmp_path, nan_from=nan_from, status="diverged")
    app = open_page(tmp_path, "signals")
    last = "At step 30 no layer of the chosen runs has a finite response."
    assert app.title[0].value == last


@pytest.mark.parametrize("layers", [0, 1])
def test_signals_of_a_net_of_hardly_any_layers(open_page, record, tmp_path, layers):
    record(tmp_path, layers=layers)
    assert open_page(tmp_path, "signals").title[0].value


# feature reuse


def test_feature_reuse_sets_the_dense_net_beside_the_residual_one(probed, open_page):
    app = open_page(probed, "feature_reuse")
    assert app.title[0].value.startswith("At step 6 a layer of dense-10 reads its strongest source 1.0")
    assert count_charts(app) == 2 + 3 + 1  # two colour bars, three blocks, and the residual net
    assert "**residual-8**, mean of 2 seeds" in texts(app)
    assert app.subheader[0].value == "The paper's four observations"
    said = [text for text in texts(app) if text.startswith(":material/")]
    table = named(probed, "dense-10").probe("reuse_observations", 6)
    table = table[table["weighting"] == "weights"]
    expected = {True: "**seen**", False: "**not seen**", None: "**cannot be told**"}
    assert [text.partition(": ")[2] for text in said] == [expected[seen] for seen in table["seen"]]


@pytest.mark.parametrize("weighting", ["bn-folded", "activation", "gradient", "ablation"])
def test_weightings_and_scales_can_be_shared(probed, open_page, weighting):
    app = open_page(probed, "feature_reuse", weighting=weighting, **{"reuse-scale": "raw"})
    assert app.segmented_control(key="weighting").value == weighting
    assert app.segmented_control(key="reuse-scale").value == "raw"
    assert count_charts(app) == 6
    assert ("Read off the weights, because ablation has no shares." in texts(app)) == (weighting == "ablation")


def test_a_residual_net_alone_has_its_ablation(probed, open_page):
    run = named(probed, "residual-8")
    app = choose(open_page(probed, "feature_reuse"), run)
    table = run.probe("feature_reuse", 6)
    worst = table[table["source"] > 0].groupby("source")["value"].mean().max()
    assert ("is missed by those behind it" in app.title[0].value) == (worst <= 0)
    assert count_charts(app) == 2
    assert not app.subheader


def test_plain_nets_read_one_source_each(probed, open_page):
    app = choose(open_page(probed, "feature_reuse"), named(probed, "plain-8"))
    assert app.title[0].value == "All 8 layers of plain-8 read one source each, the layer before."
    assert count_charts(app) == 0


# representation


def test_representation_shows_one_net_with_itself_and_all_by_depth(probed, open_page):
    run = named(probed, "residual-8")
    app = choose(open_page(probed, "representation"), run)
    table = run.probe("similarity", 6)
    cka = table[(table["layer"] == table["layer"].iloc[0]) & (table["other_layer"] == table["other_layer"].iloc[-1])]
    assert f"CKA of {palette.number(cka['cka'].iloc[0])}" in app.title[0].value
    assert count_charts(app) >= 3  # colours, triangle, and what has values by depth


def test_two_runs_are_compared_when_somebody_asked(probed, open_page):
    run, other = named(probed, "residual-8"), named(probed, "plain-8")
    app = choose(open_page(probed, "representation"), run, other)
    app.selectbox(key="of").set_value("residual-8").run()
    app.selectbox(key="with").set_value("plain-8").run()
    assert "have not been compared" in " ".join(texts(app))
    assert app.button(key="probe-against").label == "Compare"
    table = run.probe("similarity", 6).assign(cka=0.5)
    run.write_probe(against_name(other.id, 6), 6, table)
    app.run()
    assert not app.exception
    assert "that of plain-8 have a CKA of 0.500" in app.title[0].value


def test_the_checkpoint_is_part_of_the_address(probed, open_page):
    app = open_page(probed, "representation", **{"probe-step": "0"})
    assert app.title[0].value.startswith("At step 0 ")


def test_similarity_without_a_value_is_said(probed, open_page):
    run = named(probed, "plain-8")
    run.write_probe("similarity", 6, run.probe("similarity", 6).assign(cka=np.nan))
    run.write_probe("by_depth", 6, run.probe("by_depth", 6).assign(value=np.nan, note="too few images"))
    app = choose(open_page(probed, "representation"), run)
    assert app.title[0].value == "At step 6 nothing finite was measured of plain-8."
    assert any("pairs have no value (grey)" in text for text in texts(app))
    assert texts(app).count("No value: too few images.") == 3


# architecture


def test_architecture_adds_up(probed, open_page):
    app = open_page(probed, "architecture", net="dense-10")
    run = named(probed, "dense-10")
    table = run.probe("architecture", 0)
    parts = table[table["kind"] != "block"]
    share = parts.loc[parts["kind"] == "linear", "parameters"].sum() / parts["parameters"].sum()
    assert app.title[0].value.startswith(f"dense-10 has {parts['parameters'].sum() / 1000:.3g} k parameters")
    assert f"{100 * share:.3g} % of them in linear layers" in app.title[0].value
    shown = app.dataframe[0].value
    assert shown["parameters"].sum() == parts["parameters"].sum()
    assert count_charts(app) == 3  # parts, pyramid, growth
    stages, stacks = (table.value for table in app.table)
    assert stages["Map"].tolist() == run.probe("stages", 0)["stage"].tolist()
    assert stacks["Weights"].tolist() == ["73,728", "102,400", "110,592", "200,704"]


def test_rows_of_the_table_can_be_chosen(probed, open_page):
    app = open_page(probed, "architecture", net="residual-8", rows="blocks")
    assert set(app.dataframe[0].value["kind"]) == {"block"}
    app.segmented_control(key="rows").set_value("all layers").run()
    assert "block" not in set(app.dataframe[0].value["kind"])


def test_of_repetitions_the_architecture_shows_one(probed, open_page):
    assert open_page(probed, "architecture").selectbox(key="net").options == ["dense-10", "residual-8", "plain-8"]


# nets of other makers


def test_every_page_opens_on_a_net_of_another_maker(open_page, record, tmp_path):
    record(tmp_path)
    with RunWriter.create(tmp_path, Experiment(net="torchvision:resnet18", steps=1)) as writer:
        writer.write("evals", {"step": [1], "split": ["test"], "loss": [2.0], "accuracy": [0.1]})
        writer.finish("finished")
    for page in ("overview", "gradient_flow", *PAGES):
        app = open_page(tmp_path, page)
        assert "resnet18" in app.multiselect(key="runs").options
        assert app.title[0].value


# empty and broken states


@pytest.mark.parametrize("page", MEASURED)
def test_what_was_not_measured_is_said_with_one_button(probed, open_page, page):
    unprobe(probed)
    app = open_page(probed, page)
    assert app.title[0].value.endswith("has not been measured yet.")
    assert [button.label for button in app.main.button] == ["Measure"]
    assert count_charts(app) == 0


@pytest.mark.parametrize("page", MEASURED)
def test_what_some_runs_lack_is_one_line_below_the_others(probed, open_page, page):
    unprobe(probed, "dense-10")
    app = open_page(probed, page)
    assert "not been measured" not in app.title[0].value
    assert any(text.startswith("dense-10: ") and text.endswith("not measured yet.") for text in texts(app))


def test_a_run_without_checkpoints_cannot_be_measured(record, open_page, tmp_path):
    record(tmp_path, family="dense", depth=40)
    for page in ("feature_reuse", "representation"):
        app = open_page(tmp_path, page)
        assert app.title[0].value.endswith("has not been measured yet.")
        assert not app.main.button
        assert any("kept no checkpoint to measure" in text for text in texts(app))


@pytest.mark.parametrize(
    ("page", "name"), [("feature_reuse", "feature_reuse"), ("representation", "similarity"), ("architecture", "stages")]
)
def test_a_damaged_table_is_named(probed, open_page, page, name):
    run = named(probed, "dense-10")
    for path in (run.path / "probes").glob(f"{name}.*"):
        path.write_bytes(path.read_bytes()[:60])
    app = choose(open_page(probed, page), run)
    assert "is damaged" in app.error[0].value


@pytest.mark.parametrize("page", PAGES)
def test_pages_without_runs_or_choice(open_page, probed, tmp_path, page):
    app = open_page(tmp_path / "nowhere", page)
    assert app.title[0].value == "Nothing is recorded here yet."
    assert choose(open_page(probed, page)).title[0].value == "No run is chosen."


def test_measuring_is_a_process_whose_progress_the_page_shows(probed, open_page, monkeypatch):
    monkeypatch.setattr(probed_page, "PACE", 0.2)
    unprobe(probed)
    run = named(probed, "plain-8")
    app = choose(open_page(probed, "architecture"), run)
    app.main.button[0].click().run()
    assert not app.exception
    assert app.title[0].value == "The architecture of plain-8 is being measured."
    assert app.main.get("progress")
    job = launch.launches(probed)[0]
    assert job.arguments == ("probe", run.id, "--quantities", "architecture", "stages", "stacks")
    end = time.monotonic() + 60
    while launch.load(job.path).status == "running" and time.monotonic() < end:
        time.sleep(0.1)
    assert launch.load(job.path).status == "finished", job.tail()
    app.run()
    assert not app.exception
    assert app.title[0].value.startswith("plain-8 has ")
    assert "at step 6" not in app.title[0].value


def test_a_measurement_that_failed_is_told_in_its_own_words(probed, open_page):
    unprobe(probed)
    run = named(probed, "plain-8")
    job = launch.start(["probe", run.id, "--quantities", "similarety"], probed)
    end = time.monotonic() + 60
    while launch.load(job.path).status == "running" and time.monotonic() < end:
        time.sleep(0.1)
    app = choose(open_page(probed, "representation"), run)
    assert "did you mean 'similarity'" in app.error[0].value
    assert [button.label for button in app.main.button] == ["Measure"]


def test_these_pages_never_import_torch(probed):
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(MAIN)!r}, default_timeout=60).run()
for page in {PAGES!r}:
    app.switch_page(f"app/views/{{page}}.py").run()
    assert not app.exception, app.exception[0].stack_trace
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("torch", "torchvision", "captum", "sklearn")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env={"LABAPP_RUNS": str(probed), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
