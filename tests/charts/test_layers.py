"""Do layers become one chart that stays the same one while its rows change, and is quickly made?"""

import json

import altair as alt
import pandas as pd
import pytest

from labapp import charts
from labapp.charts.layers import layered
from tests.charts.test_beyond import DRAWN, FINE, LOOKS, curves

TURNED = [FINE[0], *FINE[-2:0:-1], FINE[-1]]  # other rows with the same ends, so that the axes are the same


def described(chart):
    """What a chart is, whatever its rows are."""
    spec = chart.to_dict()
    spec.pop("datasets")
    for part in (spec, *spec["layer"]):
        part.get("data", {}).pop("name", None)
    return json.dumps(spec, sort_keys=True)


@pytest.mark.parametrize("name", DRAWN)
def test_other_rows_make_no_other_chart(name):
    """A browser keeps a chart whose description is as before, and begins any other from nothing."""
    draw, _ = DRAWN[name]
    assert TURNED != FINE
    assert described(draw(FINE)) == described(draw(TURNED))


@pytest.mark.parametrize("name", DRAWN)
def test_no_channel_has_its_class_looked_for(name, monkeypatch):
    """Where it is a mere string Altair goes over all classes of its schema, which takes longer than the whole chart."""

    def looked_for(cls, found, *_, **__):
        raise AssertionError(f"{cls.__name__} from {found}: give it as alt.{cls.__name__}(…)")

    monkeypatch.setattr(alt.SchemaBase, "from_dict", classmethod(looked_for))
    DRAWN[name][0](FINE)


def test_a_table_is_sent_once_and_parameters_stay_in_the_layer_that_has_them():
    spec = charts.loss_chart(curves(FINE), LOOKS).to_dict()
    assert "data" in spec
    assert [list(layer.get("params", ())) != [] for layer in spec["layer"]] == [True, False]
    zoom, focus = spec["layer"][0]["params"]
    assert (zoom["bind"], focus["bind"]) == ("scales", "legend")
    assert "params" not in spec
    rule = alt.Chart(pd.DataFrame({"value": [1]})).mark_rule()
    spec = layered([rule, *[alt.Chart(pd.DataFrame({"value": [2]})).mark_point()] * 2], height=100).to_dict()
    rows = {name: spec["datasets"][name] for name in (spec["data"]["name"], spec["layer"][0]["data"]["name"])}
    assert [*rows.values()] == [[{"value": 2}], [{"value": 1}]]
    assert ["data" in layer for layer in spec["layer"]] == [True, False, False]
