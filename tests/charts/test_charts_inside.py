"""The pictures of Signals, Feature reuse, Representation and Architecture, read back from their specifications."""

import numpy as np
import pandas as pd
import pytest

from labapp import charts, frames, palette
from tests.charts.test_beyond import DRAWN, ILL
from tests.charts.test_charts import layers

RUNS = pd.DataFrame(
    {"run": ["plain-8", "residual-8"], "run_id": ["p", "r"], "family": ["plain", "residual"], "place": 0}
)
LOOKS = palette.styles(RUNS)


def drawn(chart):
    """Each layer of a chart: its mark, its encodings and its rows."""
    spec = chart.to_dict()
    return [
        (layer["mark"], layer["encoding"], spec["datasets"][(layer.get("data") or spec["data"])["name"]])
        for layer in spec.get("layer", [spec])
    ]


def fields(encodings):
    return [tip["field"] for tip in encodings.get("tooltip", [])]


def rows(quantity, values, state="finite", **more):
    """One quantity at one step, the same in both runs."""
    table = pd.DataFrame({"value": np.asarray(values, dtype=float), "depth": range(1, len(values) + 1)})
    table = table.assign(
        quantity=quantity, step=10, layer="stage1.block1.conv1", kind="conv", stage=1, block="", part=2.0, whole=8.0,
        relative_depth=np.linspace(0, 1, len(values)), state=state, **more,
    )  # fmt: skip
    return pd.concat([table.assign(run=run) for run in RUNS["run"]], ignore_index=True)


# signals


@pytest.mark.parametrize("quantity", frames.SIGNALS)
def test_a_signal_is_a_line_a_run_with_its_layers_named(quantity):
    (line, encodings, _), (point, shape, _), (_, hits, shown) = drawn(
        charts.signal_chart(rows(quantity, [0.1, 0.2, 0.3]), LOOKS, quantity, (0.1, 0.3))
    )
    assert (line["type"], point["type"]) == ("line", "point")
    assert encodings["color"]["scale"] == {"domain": list(LOOKS["run"]), "range": list(LOOKS["colour"])}
    assert encodings["strokeDash"]["scale"]["range"] == [dash or [1, 0] for dash in LOOKS["dash"]]
    assert shape["shape"]["field"] == "shape"
    assert fields(hits)[:7] == ["layer", "run", "run_id", "depth", "stage", "step", "value"]
    assert encodings["y"]["title"] == palette.quantity(quantity).unit
    assert len(shown) == 6


def test_shares_are_per_cent_and_say_of_how_many():
    *_, (_, hits, shown) = drawn(charts.signal_chart(rows("dead_share", [0, 0.25]), LOOKS, "dead_share", (0.25, 0.25)))
    assert [row["value"] for row in shown] == [0, 25, 0, 25]
    assert fields(hits)[-2:] == ["part", "whole"]


def test_updates_have_a_shaded_band_that_the_axis_holds():
    chart = charts.signal_chart(rows("update_ratio", [1e-3, 1e-3]), LOOKS, "update_ratio", (1e-3, 1e-3), frames.UPDATES)
    (band, encodings, edges), *_ = drawn(chart)
    assert band["type"] == "rect"
    assert edges == [{"value": 1e-4, "high": 1e-2}]
    low, high = encodings["y"]["scale"]["domain"]
    assert low < 1e-4 < 1e-2 < high


def test_what_a_log_axis_cannot_show_is_marked_at_its_edge():
    table = rows("output_std", [1.0, np.nan])
    cross, encodings, shown = drawn(charts.signal_chart(table, LOOKS, "output_std", (1.0, 1.0)))[-1]
    assert cross["type"] == "point"
    assert encodings["y"]["value"] == {"expr": "height - 9"}
    assert len(shown) == 2
    assert "mark" in fields(encodings)


def test_an_interval_is_shaded_where_there_is_one():
    table = rows("intrinsic_dimension", [3.0, 4.0], low=2.0, high=5.0)
    (area, encodings, shown), *_, (_, hits, _) = drawn(
        charts.signal_chart(table, LOOKS, "intrinsic_dimension", (0, 5), interval=True)
    )
    assert area["type"] == "area"
    assert (encodings["y"]["field"], encodings["y2"]["field"]) == ("low", "high")
    assert {row["high"] for row in shown} == {5.0}
    assert fields(hits)[-2:] == ["low", "high"]
    none = charts.signal_chart(table.assign(low=np.nan, high=np.nan), LOOKS, "effective_rank", (0, 5), interval=True)
    assert [mark["type"] for mark, _, _ in drawn(none)] == ["line", "point", "point"]


# feature reuse


def triangle(kind="classifier", seeds=1):
    table = pd.DataFrame(
        [(1, s, t, kind if t == 3 else "layer", s + t / 10) for t in (1, 2, 3) for s in range(t)],
        columns=["block", "source", "target", "kind", "value"],
    )
    return table.assign(
        raw=table["value"], deviation=0.1, seeds=seeds, source_layer="block1.layer1", target_layer="head.classifier"
    )


@pytest.mark.parametrize(("kind", "sign"), [("transition", "T"), ("classifier", "C")])
def test_a_triangle_has_a_square_a_pair_and_a_frame_for_what_comes_behind(kind, sign):
    (square, encodings, shown), (frame, around, framed) = drawn(charts.reuse_chart(triangle(kind), (0, 1), "nats"))
    assert (square["type"], frame["type"], frame["filled"]) == ("rect", "rect", False)
    assert len(shown) == 6
    assert encodings["x"]["sort"] == ["1", "2", sign]
    assert encodings["y"]["sort"] == ["in", "1", "2"]
    assert [row["column"] for row in framed] == [sign]
    assert around["y2"]["value"] == {"expr": "height"}
    assert fields(encodings)[:4] == ["source_layer", "target_layer", "kind", "raw"]


def test_a_triangle_of_several_seeds_tells_their_spread():
    (_, encodings, _), *_ = drawn(charts.reuse_chart(triangle(seeds=3), (0, 1), "nats"))
    assert fields(encodings)[-2:] == ["deviation", "seeds"]


def test_a_cell_without_value_is_grey():
    _, encodings, shown = drawn(charts.reuse_chart(triangle().assign(value=np.nan), (0, 1), "nats"))[-1]
    assert encodings["color"]["scale"]["range"] == [palette.MUTED]
    assert len(shown) == len(triangle())


@pytest.mark.parametrize(
    ("values", "signed", "scale", "domain"),
    [
        ([0.2, 0.4], False, "raw", (0, 0.4)),
        ([-0.5, 0.2], True, "raw", (-0.5, 0.5)),
        ([0.2, 0.4], False, "column maximum", (0, 1)),
        ([-0.5, 0.2], True, "column maximum", (-1, 1)),
        ([-0.5, 0.2], True, "column min–max", (0, 1)),
        ([np.nan, np.inf], False, "raw", (0, 1)),
        ([], True, "raw", (-1, 1)),
    ],
)
def test_colours_span_what_the_scale_promises(values, signed, scale, domain):
    assert charts.linear_domain(pd.Series(values, dtype=float), signed, scale) == domain
    (_, encodings, shown), *_ = drawn(charts.linear_bar(domain))
    colours = palette.DIVERGING if domain[0] < 0 else palette.SEQUENTIAL
    assert encodings["color"]["scale"]["range"] == list(colours)
    assert (shown[0]["low"], shown[-1]["high"]) == pytest.approx(domain)


# representation


def square(cka):
    table = pd.DataFrame([(i, j) for i in range(40) for j in range(40)], columns=["row", "column"])
    return table.assign(
        cka=cka, low=0.1, high=0.9, images=60, note="", layer=[f"stage1.block{i}.branch.conv1" for i in table["row"]],
        other_layer=[f"stage1.block{i}.branch.conv1" for i in table["column"]],
    )  # fmt: skip


def test_similarity_names_some_layers_shortened_and_all_of_them_whole_on_hover():
    (tile, encodings, shown), *rest = drawn(charts.similarity_chart(square(0.5), "one", "two"))
    assert tile["type"] == "rect"
    assert not rest
    assert len(shown) == 1600 <= frames.MARKS
    assert encodings["y"]["scale"]["domain"] == [39.5, -0.5]  # the image is above
    assert encodings["color"]["scale"]["domain"] == [0, 1]
    assert len(encodings["x"]["axis"]["values"]) <= 8
    assert palette.short("stage1.block0.branch.conv1", 16) in encodings["x"]["axis"]["labelExpr"]
    assert fields(encodings)[:5] == ["layer", "other_layer", "cka", "low", "high"]
    assert shown[0]["layer"] == "stage1.block0.branch.conv1"


def test_pairs_without_value_are_grey():
    table = square(0.5)
    table.loc[:9, "cka"] = np.nan
    (_, _, known), (_, grey, unknown) = drawn(charts.similarity_chart(table, "one", "two"))
    assert (len(known), len(unknown), grey["color"]["scale"]["range"]) == (1590, 10, [palette.MUTED])


# architecture


def test_a_bar_holds_every_part_and_its_name_tells_the_share_of_linear_layers():
    parts = pd.DataFrame(
        {
            "run": "vgg-16", "run_id": "v", "family": "vgg", "part": ["stage 1", "stage 2", "linear"],
            "order": [1, 2, 1002],
            "parameters": [1, 10, 89], "share": [0.01, 0.1, 0.89], "start": [0, 0.01, 0.11], "end": [0.01, 0.11, 1],
            "layers": 2,
        }
    )  # fmt: skip
    (bar, encodings, shown), _, (_, _, named) = drawn(charts.parts_chart(parts))
    assert bar["type"] == "bar"
    assert {row["name"] for row in shown} == {"vgg-16, FC 89 %"}
    assert {row["colour"] for row in shown} == {palette.colour("vgg")}
    assert [row["strength"] for row in shown] == pytest.approx([0.5, 0.75, 1])
    assert [row["part"] for row in named] == ["stage 2", "linear"]  # a name needs room
    assert fields(encodings) == ["run", "run_id", "part", "parameters", "percent", "layers"]


def test_the_pyramid_is_numbers_on_colours_the_coarsest_level_above():
    table = pd.DataFrame(
        [(level, stage, 1.0, 0.5) for level in ("p2", "p3") for stage in ("conv2_x", "conv3_x")],
        columns=["level", "stage", "gradient_norm", "through_lateral"],
    )
    (_, encodings, shown), (text, _, _) = drawn(charts.pyramid_chart(table))
    assert encodings["y"]["sort"] == ["p3", "p2"]
    assert (text["type"], len(shown)) == ("text", 4)


def test_growth_tells_what_each_part_adds():
    table = pd.DataFrame(
        {"step": [0, 1, 2], "part": ["stem", "layer", "transition"], "block": 1, "layer": "a", "channels_in": 3,
         "channels_new": 4, "channels": [16, 20, 10], "compression": [np.nan, np.nan, 0.5]}
    )  # fmt: skip
    _, (point, encodings, shown) = drawn(charts.growth_chart(table))
    assert point["color"] == palette.colour("dense")
    assert {"layer", "part", "channels", "compression"} <= set(fields(encodings))
    assert [row["channels"] for row in shown] == [16, 20, 10]


@pytest.mark.parametrize("name", DRAWN)
def test_layers_agree_whether_runs_have_a_legend(name):
    """Vega warns of layers of which one disables the legend that another has, and picks either."""
    spec = DRAWN[name][0](ILL).to_dict()
    shared = [
        layer["encoding"][channel]
        for layer in spec["layer"]
        for channel in ("color", "strokeDash")
        if layer["encoding"].get(channel, {}).get("field") == "run"
    ]
    assert len({encoding["legend"] is None for encoding in shared}) <= 1


def zooms(spec):
    return [param for layer in spec["layer"] for param in layer.get("params", []) if param.get("bind") == "scales"]


def test_charts_over_steps_zoom_only_with_the_shift_key_so_that_the_page_scrolls():
    specs = {name: draw(ILL).to_dict() for name, (draw, _) in DRAWN.items()}
    zoomed = {name: spec for name, spec in specs.items() if zooms(spec)}
    assert {"loss_chart", "slope_chart", "heatmap_chart", "curve_chart", "spread_chart"} <= set(zoomed)
    for spec in zoomed.values():
        (zoom,) = zooms(spec)
        assert zoom["select"]["encodings"] == ["x"]
        assert zoom["select"]["zoom"] == "wheel![event.shiftKey]"
        assert zoom["select"]["translate"].startswith("[pointerdown[event.shiftKey]")
        for layer in spec["layer"]:  # what is zoomed out of the plot is cut
            if layer["encoding"].get("x", {}).get("field") in ("step", "end"):
                assert layer["mark"].get("clip"), layer["mark"]


def test_sizes_that_a_net_takes_are_filled_and_the_others_crossed():
    table = pd.DataFrame({"size": [16, 32], "accepted": [False, True], "positions": [0, 4], "note": ["why", ""]})
    (_, squares, rows), (_, crosses, _) = layers(charts.sizes_chart(table, "vgg"))
    assert [row["strength"] > 0 for row in rows] == [False, True]
    assert [row["sign"] for row in rows] == ["×", ""]
    assert [tip["field"] for tip in squares["tooltip"]] == ["size", "verdict", "positions", "note"]
    assert crosses["text"]["field"] == "sign"


def test_the_order_of_positions_is_two_points_of_which_the_second_has_an_interval():
    table = pd.DataFrame([{"accuracy": 0.8, "accuracy_permuted": 0.5, "low": 0.4, "high": 0.6}])
    (_, rule, rows), (_, points, _) = layers(charts.order_chart(table, "vgg"))
    assert [row["accuracy"] for row in rows] == [80, 50]
    assert [(row["low"], row["high"]) for row in rows] == [(None, None), (40, 60)]
    assert (rule["x"]["field"], rule["x2"]["field"]) == ("low", "high")
    assert points["x"]["scale"]["domain"] == [0, 100]


# claims and scores of maps


@pytest.mark.parametrize(("above", "shaded"), [(True, (1.0, None)), (False, (None, 1.0))])
def test_a_claim_shows_its_seeds_its_interval_and_the_side_it_has_to_lie_on(above, shaded):
    numbers = pd.DataFrame({"seed": [0, 1, 2], "value": [2.0, 3.0, 4.0], "mean": 3.0, "low": 1.5, "high": 4.5})
    chart = charts.claim_chart(numbers, "%", 1.0, above, "#2E7D32", log=False)
    side, rule, interval, mean, seeds = drawn(chart)
    assert [row["value"] for row in seeds[2]] == [2.0, 3.0, 4.0]
    assert (interval[2][0]["low"], interval[2][0]["high"], mean[2][0]["mean"]) == (1.5, 4.5, 3.0)
    assert rule[2] == [{"value": 1.0}]
    domain = seeds[1]["x"]["scale"]["domain"]
    assert all(layer[1]["x"]["scale"]["domain"] == domain for layer in (side, rule, interval, mean))
    assert domain[0] < 1.0 < 4.5 < domain[1]
    ends = (side[2][0]["from"], side[2][0]["to"])
    assert ends == tuple(edge if known is None else known for known, edge in zip(shaded, domain, strict=True))


def test_scores_of_maps_are_points_with_intervals_and_leave_out_what_cannot_be_told():
    known = {"of": ["trained", "new weights"], "value": [0.3, np.nan], "low": [0.2, np.nan], "high": [0.4, np.nan]}
    table = pd.DataFrame(known | {"run": "plain-8", "run_id": "p", "step": 9, "images": 60, "note": ["", "why"]})
    (rule, _, _), (point, encodings, shown) = drawn(charts.scores_chart(table, LOOKS, "map_energy"))
    assert (rule["type"], point["type"]) == ("rule", "point")
    assert [(row["value"], row["row"]) for row in shown] == [(30.0, "trained · plain-8")]
    assert encodings["x"]["title"] == palette.quantity("map_energy").title
