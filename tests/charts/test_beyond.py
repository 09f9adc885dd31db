"""On every chart: has each value that cannot be drawn a mark of its own, and a healthy table none?"""

import altair as alt
import numpy as np
import pandas as pd
import pytest

from labapp import charts, frames, palette
from labapp.charts.beyond import NO_VALUE, marked

ILL = [1.0, np.nan, np.inf, -np.inf, 0.0, -1.0, 2.0]
FINE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
RUN = {"run": "plain-20", "run_id": "a", "family": "plain", "net_depth": 20, "seed": 0}
LOOKS = palette.styles(pd.DataFrame([RUN]).assign(place=0))
PLACES = range(len(ILL))
LOG = ["NaN", "∞", "−∞", "zero", "below zero"]
LINEAR = ["NaN", "∞", "−∞"]
UNKNOWN = [NO_VALUE, "∞", "−∞"]  # where NaN is no number that was measured but one that cannot be told


def table(values, **columns):
    return pd.DataFrame({"step": 0, "layer": [f"l{i}" for i in PLACES], "value": values, **columns}).assign(**RUN)


def by_layer(values, **columns):
    places = {
        "kind": "conv",
        "depth": PLACES,
        "relative_depth": np.linspace(0, 1, len(values)),
        "stage": 1,
        "block": "",
    }
    return table(values, **places, **columns)


def curves(train, test=FINE):
    """As `frames.curves` gives them: of as many steps as there are values."""
    own = {"accuracy": 0.5, "error": 0.5, "nonfinite": 0}
    rows = pd.DataFrame({"step": [*PLACES], "loss": train, "split": "train"} | own)
    rows = frames.thinning.means(rows, 100)
    held = pd.DataFrame({"step": [*PLACES], "loss": 1.0, "split": "test"} | own | {"accuracy": test})
    return pd.concat([rows, held], ignore_index=True).assign(**RUN)


def cells(values):
    rows = pd.concat([by_layer(values).assign(step=step) for step in (0, 10)], ignore_index=True)
    return frames.gradient_heatmap(rows)


def pairs(values):
    return pd.DataFrame(
        {
            "row": PLACES, "column": 0, "cka": values, "low": 0.1, "high": 0.9, "images": 60, "note": "why",
            "layer": "a", "other_layer": "b",
        }
    )  # fmt: skip


def triangle(values):
    known = pd.Series(values, dtype=float)
    return pd.DataFrame(
        {
            "source": PLACES, "target": 9, "kind": "layer", "raw": values, "value": known.where(np.isfinite(known)),
            "deviation": 0.1, "seeds": 1, "source_layer": "a", "target_layer": "b",
        }
    )  # fmt: skip


def plane(values):
    """As `frames.loss_surface` gives it."""
    sides = {"alpha": PLACES, "alpha_low": PLACES, "alpha_high": [at + 1 for at in PLACES], "beta": 0.0}
    known = {"beta_low": -0.5, "beta_high": 0.5, "accuracy": 0.5, "images": 9}
    return table(values, **sides, **known, state=frames.states_of(pd.Series(values, dtype=float)))


def maps(values, measure):
    names = [f"net{i}" for i in PLACES]
    known = {"a": names, "b": "other", "run": "plain-20", "step": PLACES, "measure": measure, "low": 0.0, "high": 1.0}
    return pd.DataFrame(known | {"mean": values, "images": 9})


def compared(ratio, difference):
    """As `frames.compare.by_depth` and `course` give them."""
    known = {"a": 1.0, "b": 1.0, "low": 0.5, "high": 2.0, "least": -1.0, "most": 1.0, "note": "why"}
    runs = {"of": "both", "runs_a": 2, "runs_b": 2}
    return by_layer(FINE, ratio=ratio, difference=difference, **known | runs).assign(step=PLACES)


DRAWN = {  # chart: of values, and the marks that each of ILL has there
    "loss_chart": (lambda v: charts.loss_chart(curves(v), LOOKS), LOG),
    "accuracy_chart": (lambda v: charts.accuracy_chart(curves(FINE, v), LOOKS), LINEAR),
    "profile_chart": (lambda v: charts.profile_chart(by_layer(v, state=""), LOOKS, "output_grad_norm"), LOG),
    "slope_chart": (
        lambda v: charts.slope_chart(
            table(v, slope=v, low=-9.0, high=9.0, factor=1.0, layers=2, left_out=1).assign(step=PLACES), LOOKS
        ),
        LINEAR,
    ),
    "signal_chart": (lambda v: charts.signal_chart(by_layer(v), LOOKS, "output_std", (1.0, 7.0)), LOG),
    "signal_chart, linear": (lambda v: charts.signal_chart(by_layer(v), LOOKS, "zero_fraction", (0.0, 1.0)), LINEAR),
    "signal_chart, probed": (
        lambda v: charts.signal_chart(
            by_layer(v, low=v, high=v, note="why"), LOOKS, "effective_rank", (0.0, 7.0), interval=True
        ),
        LINEAR,
    ),
    "ratio_chart": (lambda v: charts.ratio_chart(compared(v, np.nan), "#000000", "output_std"), LOG),
    "ratio_chart, of either sign": (
        lambda v: charts.ratio_chart(compared(np.nan, v), "#000000", "output_mean", legend=False),
        LINEAR,
    ),
    "difference_chart": (lambda v: charts.difference_chart(compared(1.0, v), "#000000", "loss"), LINEAR),
    "heatmap_chart": (lambda v: charts.heatmap_chart(cells(v), "output_grad_norm", (-1, 1)), LOG),
    "similarity_chart": (lambda v: charts.similarity_chart(pairs(v), "one", "two"), UNKNOWN),
    "surface_chart": (lambda v: charts.surface_chart(plane(v), (-1, 1)), LOG),
    "reuse_chart": (lambda v: charts.reuse_chart(triangle(v), (0, 1), "nats"), LINEAR),
    "agreement_chart": (lambda v: charts.agreement_chart(maps(v, "rank correlation")), UNKNOWN),
    "drift_chart": (lambda v: charts.drift_chart(maps(v, "formed"), LOOKS), LINEAR),
    "curve_chart": (lambda v: charts.curve_chart(table(v).assign(step=PLACES), LOOKS, "path_norm"), LOG),
    "curve_chart, linear": (lambda v: charts.curve_chart(table(v).assign(step=PLACES), LOOKS, "nc3"), LINEAR),
    "spread_chart": (
        lambda v: charts.spread_chart(
            table(v, minimum=v, lower=0.1, median=0.2, upper=0.3, maximum=v).assign(step=PLACES)
        ),
        LINEAR,
    ),
    "pyramid_chart": (
        lambda v: charts.pyramid_chart(
            pd.DataFrame(
                {"stage": "c2", "level": [f"p{i}" for i in PLACES], "gradient_norm": v, "through_lateral": 1.0}
            )
        ),
        LINEAR,
    ),
}
NO_VALUES = {  # what draws whole numbers alone, or nothing that was measured
    *("parts_chart", "growth_chart"),  # of an architecture: parameters and channels
    *("sizes_chart", "order_chart"),  # yes or no; two shares, of which none is drawn where one is not known
    *("lifetimes_chart", "histogram_chart"),  # steps and channels; counts, whose bins of zero and NaN stand apart
    *("claim_chart", "scores_chart"),  # finite numbers alone; words above them say what cannot be told
    *("scale_chart", "linear_bar"),  # colours over the span of finite values
    *("axis_title", "colour_domain", "linear_domain", "log_axis", "log_span"),  # no charts
    *("ratio_span", "symmetric_axis"),
    *("Chart", "Unchecked", "alone", "as_csv", "unchecked"),  # files of them, see test_files
}


def marks(chart):
    """The rows of a chart's layers that have marks of their own, and the entries of their legends."""
    spec = chart.to_dict()
    rows, entries = [], []
    for layer in spec["layer"]:
        for channel in ("shape", "color"):
            encoding = layer["encoding"].get(channel, {})
            if encoding.get("field") == "mark":
                assert spec["resolve"]["scale"][channel] == "independent"
                assert len(encoding["scale"]["domain"]) == len(set(encoding["scale"]["range"])) or channel == "color"
                assert "mark" in [tip["field"] for tip in layer["encoding"]["tooltip"]]
                rows += spec["datasets"][layer["data"]["name"]]
                entries += encoding["scale"]["domain"] if encoding["legend"] else []
                for name in encoding["scale"]["domain"]:
                    title = palette.MARKS[name].title if name in palette.MARKS else name
                    assert title in encoding["legend"]["labelExpr"]
    return rows, entries


def test_every_chart_is_looked_at():
    assert {name.partition(",")[0] for name in DRAWN} | NO_VALUES == set(charts.__all__)


@pytest.mark.parametrize("name", DRAWN)
def test_each_value_that_cannot_be_drawn_has_a_mark_and_an_entry_in_the_legend(name):
    draw, wanted = DRAWN[name]
    rows, entries = marks(draw(ILL))
    assert sorted({row["mark"] for row in rows}) == sorted(entries) == sorted(wanted)


@pytest.mark.parametrize("name", DRAWN)
def test_a_healthy_table_has_neither_marks_nor_a_legend_of_them(name):
    chart = DRAWN[name][0](FINE)
    assert marks(chart) == ([], [])
    assert "resolve" not in chart.to_dict()


@pytest.mark.parametrize("name", DRAWN)
def test_a_table_without_a_single_number_is_drawn(name):
    rows, _ = marks(DRAWN[name][0]([np.nan] * len(ILL)))
    assert len(rows) >= len(ILL)


def test_of_no_rows_none_is_marked():
    """A run that was never tested has no row of accuracy, and its losses are drawn all the same."""
    found = marked(by_layer(FINE).iloc[:0])
    assert found.empty
    assert "mark" in found
    losses = curves(FINE)
    assert charts.accuracy_chart(losses[losses["split"] == "train"], LOOKS).to_dict()


def test_infinite_values_stand_at_the_upper_edge_and_the_others_at_the_lower_one():
    spec = charts.profile_chart(by_layer(ILL, state=""), LOOKS, "output_grad_norm").to_dict()
    at = {}
    for layer in spec["layer"]:
        if layer["encoding"].get("shape", {}).get("field") == "mark":
            at |= dict.fromkeys(layer["encoding"]["shape"]["scale"]["domain"], layer["encoding"]["y"]["value"])
    assert at.pop("∞") == 9
    assert list(at) == ["NaN", "−∞", "zero", "below zero"]
    assert all(place == {"expr": "height - 9"} for place in at.values())


def test_a_loss_inside_a_mean_is_marked_at_its_step():
    losses = np.ones(1000)
    losses[537] = np.inf
    own = {"accuracy": 0.5, "error": 0.5, "nonfinite": (~np.isfinite(losses)).astype(int), "split": "train"}
    train = frames.thinning.means(pd.DataFrame({"step": range(1000), "loss": losses} | own), 20).assign(**RUN)
    (row,), _ = marks(charts.loss_chart(train, LOOKS))
    assert (row["step"], row["mark"], row["nonfinite"]) == (537, "∞", 1)


def test_charts_of_a_run_that_diverged_are_valid_with_all_their_layers(record, tmp_path):
    runs = [record(tmp_path, nan_from=15, status="diverged"), record(tmp_path, family="residual")]
    looks = palette.styles(frames.describe(runs))
    layers = frames.layer_table(runs)
    drawn = [
        charts.loss_chart(frames.curves(runs), looks),
        charts.profile_chart(frames.gradient_profile(layers, 20), looks, "output_grad_norm"),
        charts.slope_chart(frames.gradient_slope(layers), looks, 20),
        charts.heatmap_chart(frames.gradient_heatmap(layers[layers["run"] == "plain-20"]), "output_grad_norm", (-1, 1)),
    ]
    for chart in drawn:
        assert isinstance(chart, alt.LayerChart)
        rows, entries = marks(chart)
        assert rows
        assert entries == ["NaN"]
