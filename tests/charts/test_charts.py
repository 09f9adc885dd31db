"""The table to be drawn and its encodings, read back from the specification that goes to the browser."""

import altair as alt
import numpy as np
import pandas as pd
import pytest

from labapp import charts, frames, palette
from labapp.frames.thinning import means, spaced
from labapp.frames.training import shortened
from labapp.store import list_runs


@pytest.fixture
def runs(record, tmp_path):
    recorded = (0, 10, 20)
    return [
        record(tmp_path, depth=20, recorded=recorded, nan_from=15, status="diverged"),
        record(tmp_path, family="residual", depth=20, recorded=recorded, growth=1.1),
    ]


@pytest.fixture
def looks(runs):
    return palette.styles(frames.describe(runs))


def styles_of(names):
    """How runs of these names are drawn, all of one family."""
    table = {"run": names, "run_id": names, "family": "plain", "place": range(len(names))}
    return palette.styles(pd.DataFrame(table))


@pytest.fixture
def table(runs):
    return frames.layer_table(runs)


def layers(chart):
    """Each layer of a chart: its mark, its encodings and its rows."""
    spec = chart.to_dict()
    found = []
    for layer in spec.get("layer", [spec]):
        rows = spec["datasets"][layer["data"]["name"] if "data" in layer else spec["data"]["name"]]
        found.append((layer["mark"], layer["encoding"], rows))
    return found


def fields(encodings):
    return [tip["field"] for tip in encodings.get("tooltip", [])]


def test_loss_is_thin_on_a_log_axis_and_gaps_where_it_is_not_finite(runs, looks):
    (mark, encodings, rows), (_, hits, _), *_ = layers(charts.loss_chart(frames.curves(runs), looks))
    assert mark["type"] == "line"
    assert mark["strokeWidth"] < 1.5
    assert encodings["y"]["scale"]["type"] == "log"
    assert encodings["y"]["title"] == "training loss (nats)"
    assert encodings["color"]["scale"] == {"domain": list(looks["run"]), "range": list(looks["colour"])}
    assert encodings["strokeDash"]["scale"]["range"] == [dash or [1, 0] for dash in looks["dash"]]
    assert [row["loss"] for row in rows if row["run"] == "plain-20"][15:] == [None] * 6
    assert fields(hits) == ["run", "run_id", "steps", "loss", "low", "high"]


def test_accuracy_is_points_in_per_cent(runs, looks):
    _, (mark, encodings, rows), *_ = layers(charts.accuracy_chart(frames.curves(runs), looks))
    assert mark["type"] == "point"
    assert encodings["y"]["scale"]["domain"] == [0, 100]
    assert encodings["y"]["title"] == "test accuracy (%)"
    assert encodings["shape"]["scale"] is None
    assert {row["shape"] for row in rows} == set(looks["shape"])
    assert max(row["accuracy"] for row in rows if row["run"] == "residual-20") == pytest.approx(90)


def test_profile_names_the_layer_and_draws_every_layer(table, looks):
    profile = frames.gradient_profile(table, 0)
    (line, _, _), (point, encodings, rows) = layers(charts.profile_chart(profile, looks, "output_grad_norm"))
    assert (line["type"], point["type"]) == ("line", "point")
    assert fields(encodings) == ["layer", "run", "run_id", "depth", "stage", "step", "value"]
    assert encodings["x"]["field"] == "relative_depth"
    assert encodings["y"]["scale"]["type"] == "log"
    assert encodings["y"]["title"] == "gradient at the layer's output (‖∂L/∂h‖)"
    assert len(rows) == 2 * 19


def test_profile_marks_what_is_not_finite_at_the_edge(table, looks):
    drawn = layers(charts.profile_chart(frames.gradient_profile(table, 20), looks, "output_grad_norm"))
    _, encodings, rows = drawn[2]
    assert {row["run"] for row in rows} == {"plain-20"}
    assert {row["mark"] for row in rows} == {"NaN"}
    assert encodings["y"]["value"] == {"expr": "height - 9"}
    assert "mark" in fields(encodings)


def test_profile_lays_theory_below_the_lines_in_each_run_s_colour(table, looks, runs):
    profile = frames.gradient_profile(table, 0)
    theory = frames.expected_gradient(profile, frames.expected(runs))
    chart = charts.profile_chart(profile, looks, "output_grad_norm", theory=theory)
    (mark, encodings, rows), (_, hits, _), (line, _, _), *_ = layers(chart)
    assert (mark["strokeDash"][0], line.get("strokeDash")) == (0, None)  # round caps on dashes of no length are dots
    assert encodings["color"]["scale"]["range"] == list(looks["colour"])
    assert {row["run"] for row in rows} == {"plain-20", "residual-20"}
    assert len(rows) == 2 * 19
    assert hits["tooltip"][-1]["title"].endswith("by theory")
    assert "step" not in fields(hits)
    assert len(layers(charts.profile_chart(profile, looks, "output_grad_norm", theory=theory[:0]))) == 2


def test_signals_draw_theory_in_their_own_unit(digit_nets):
    runs = [run for run in list_runs(digit_nets) if run.id == "original"]
    theory, at = frames.expected(runs), frames.at_step(frames.signals(runs), 0)
    looks = palette.styles(frames.describe(runs))
    for quantity, unit in (("output_std", 1), ("zero_fraction", 100), ("backward_ratio", 1)):
        own, rows = theory[theory["quantity"] == quantity], at[at["quantity"] == quantity]
        chart = charts.signal_chart(rows, looks, quantity, charts.log_span(rows["value"]), theory=own)
        drawn = next(rows for mark, _, rows in layers(chart) if mark.get("strokeDash", [1])[0] == 0)
        assert [row["value"] for row in drawn] == pytest.approx([unit * value for value in own["value"]])


def evaluated(expression, width):
    """What a legend's expression gives at a width, by the rules of Vega's language that legends use."""
    words = expression.replace("&&", " and ").replace("max(", "maximum(").replace("min(", "minimum(")
    if "?" in words:
        words, _, rest = words.partition("?")
        yes, no = rest.split(":")
        words = f"({yes}) if ({words}) else ({no})"
    given = {"width": width, "floor": np.floor, "maximum": max, "minimum": min, "__builtins__": {}}
    return eval(words, given)  # of this file's own charts


@pytest.mark.parametrize("count", [1, 2, 5, 9, 40])
@pytest.mark.parametrize("length", [8, 27, 80])
def test_a_legend_is_never_wider_than_its_chart_nor_of_many_rows(table, count, length):
    names = [f"{number}".ljust(length, "x") for number in range(count)]
    profile = frames.gradient_profile(table, 0)
    (_, line, _), *_ = layers(charts.profile_chart(profile.assign(run=names[0]), styles_of(names), "output_grad_norm"))
    legend = line["color"]["legend"]
    assert legend == line["strokeDash"]["legend"]  # so that Vega makes one of the two
    for width in (200, 300, 390, 520, 900, 1400):
        columns = evaluated(legend["columns"]["expr"], width)
        size = evaluated(legend["labelFontSize"]["expr"], width)
        assert (size > 0) == (evaluated(legend["symbolSize"]["expr"], width) > 0)
        if size:
            assert columns * (60 + 7 * length) <= width
            assert np.ceil(count / columns) <= 3
            assert width >= 340  # narrower ones have the page's own, which folds
        elif width >= 900 and count <= 3 and length < 80:
            pytest.fail("there would be room")


def test_slope_has_its_interval_and_the_marked_step(table, looks):
    drawn = layers(charts.slope_chart(frames.gradient_slope(table), looks, step=10))
    marks = [mark["type"] for mark, _, _ in drawn]
    assert marks == ["rule", "rule", "area", "line", "point", "point"]  # the last where there is no slope
    assert drawn[0][2] == [{"slope": 0.0}]
    assert drawn[1][2] == [{"step": 10}]
    assert (drawn[2][1]["y"]["field"], drawn[2][1]["y2"]["field"]) == ("low", "high")
    assert drawn[2][1]["y"]["title"] == "slope (log₁₀ a layer)"
    assert {"run", "step", "slope", "low", "high", "factor"} <= set(fields(drawn[4][1]))


def test_heatmap_colours_finite_cells_and_alarms_about_others(table):
    cells = frames.gradient_heatmap(table[table["run"] == "plain-20"])
    domain = charts.colour_domain(cells["value"])
    (tile, encodings, good), (broken, alarm, bad) = layers(charts.heatmap_chart(cells, "output_grad_norm", domain))
    assert (tile["type"], broken["type"]) == ("rect", "rect")
    assert encodings["color"]["scale"]["domain"] == list(domain)
    assert encodings["color"]["scale"]["range"] == list(palette.SEQUENTIAL)
    assert "layer" in fields(encodings)
    assert "layer" in fields(alarm)
    assert (len(good), len(bad)) == (2 * 19, 19)
    assert alarm["color"]["scale"] == {"domain": ["NaN"], "range": [palette.ALARM]}
    assert {row["mark"] for row in bad} == {"NaN"}


def test_a_spike_inside_a_cell_is_drawn_and_hovering_tells_its_steps(record, tmp_path):
    run = record(tmp_path, recorded=tuple(range(100)), steps=100)
    table = frames.layer_table([run])
    spiked = (table["step"] == 50) & (table["depth"] == 7)
    table.loc[spiked, "value"] = 1e9
    cells = frames.gradient_heatmap(table, marks=19 * 11)
    domain = charts.colour_domain([*cells["value"], *cells["extreme"]])
    (_, tile, _), (mark, strip, spikes) = layers(charts.heatmap_chart(cells, "output_grad_norm", domain))
    assert mark["type"] == "rect"
    assert [row["most"] for row in spikes] == [pytest.approx(1e9)]
    assert strip["color"]["field"] == "extreme"
    assert strip["x"]["field"] == "third"
    assert strip["color"]["scale"]["domain"][1] == pytest.approx(9)
    assert {"steps", "shown", "least", "most"} <= set(fields(tile)) & set(fields(strip))
    first, last, held = spikes[0]["steps"].replace(", ", " – ").split(" – ")
    assert int(first) <= 50 <= int(last)
    assert held == f"{int(last) - int(first) + 1} recorded"


def test_a_spike_of_the_loss_survives_the_mean(record, tmp_path):
    run = record(tmp_path, recorded=(0,), steps=400)
    whole = frames.read_curves(run)
    whole.loc[(whole["step"] == 250) & (whole["split"] == "train"), "loss"] = 50.0
    curves = frames.curves([run], read=lambda _, rows: shortened(whole, rows), marks=40)
    looks = palette.styles(frames.describe([run]))
    _, (_, hits, _), (mark, rule, spikes) = layers(charts.loss_chart(curves, looks))
    assert mark["type"] == "rule"
    assert rule["y2"]["field"] == "high"
    assert [(row["steps"], row["high"]) for row in spikes][-1] == ("250 – 259", 50.0)
    assert {"steps", "low", "high"} <= set(fields(hits))


def test_relative_heatmaps_share_a_scale_that_is_symmetric(table):
    cells = frames.gradient_heatmap(frames.layer_table([]))
    assert charts.colour_domain(cells["value"], relative=True) == (-1.0, 1.0)
    assert charts.colour_domain([-1.0, 3.0, np.nan, np.inf], relative=True) == (-3.0, 3.0)
    scale = layers(charts.scale_chart("output_grad_norm", (-3, 3), relative=True))[0][1]["color"]["scale"]
    assert scale["range"] == list(palette.DIVERGING)


@pytest.mark.parametrize("values", [[], [0.0], [float("nan")], [1.0], [1e-12, 1e7], [float("inf"), 2.0]])
def test_log_axis_survives_any_values(values):
    axis = charts.log_axis(values)
    low, high = axis["scale"].domain
    assert 0 < low < high < float("inf")
    assert len(axis["axis"]["values"]) >= 2


def test_log_axis_writes_powers_of_ten():
    axis = charts.log_axis([1e-8, 1e6])
    assert "'10⁻⁶'" in axis["axis"].labelExpr
    assert "'1,000'" in axis["axis"].labelExpr


@pytest.mark.parametrize("make", ["loss", "accuracy", "profile", "slope", "heatmap"])
def test_no_chart_draws_more_than_two_thousand_marks(make):
    steps, depth = 1000, 200
    names = [f"run{i}" for i in range(5)]
    looks = styles_of(names)
    who = {"run_id": "x", "family": "plain", "net_depth": depth, "seed": 0}
    if make == "heatmap":
        grid = pd.MultiIndex.from_product([range(0, steps, 5), range(1, depth + 1)], names=["step", "depth"])
        big = grid.to_frame(index=False).assign(run="run0", value=1.0, **who)
        big["layer"] = "layer" + big["depth"].astype(str)
        chart = charts.heatmap_chart(frames.gradient_heatmap(big), "output_grad_norm", (0, 1))
    elif make == "profile":
        big = pd.concat([pd.DataFrame({"run": n, "step": 0, "depth": range(1000), "value": 1.0}) for n in names])
        big = big.assign(layer="a", stage=1, relative_depth=big["depth"] / 1000, **who)
        chart = charts.profile_chart(frames.gradient_profile(big.reset_index(drop=True), 0), looks, "output_grad_norm")
    elif make == "slope":
        big = pd.concat([pd.DataFrame({"run": n, "step": range(steps)}) for n in names]).assign(
            slope=-0.1, low=-0.2, high=0.0, factor=1.2, layers=9, left_out=0
        )
        chart = charts.slope_chart(frames.thinned(big), looks)
    else:
        columns = {"step": range(steps), "loss": 1.0, "accuracy": 0.5, "error": 0.5, "nonfinite": 0}
        big = pd.DataFrame(columns).assign(split="train" if make == "loss" else "test")
        share = frames.MARKS // 5
        kept = means(big, share) if make == "loss" else spaced(big, share)
        big = pd.concat([kept.assign(run=n, run_id=n) for n in names])
        chart = (charts.loss_chart if make == "loss" else charts.accuracy_chart)(big, looks)
    with alt.data_transformers.disable_max_rows():
        assert max(len(rows) for _, _, rows in layers(chart)) <= frames.MARKS
