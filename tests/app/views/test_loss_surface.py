"""Loss surfaces on the page Gradient flow: beside each other, on one scale of colours."""

import json

import numpy as np

from labapp.store import list_runs
from tests.frames.test_surface import plane


def test_two_planes_stand_beside_each_other_on_one_scale_of_colours(archive, open_page):
    runs = {run.experiment.family: run for run in list_runs(archive)}
    chosen = [runs["plain"], runs["residual"]]
    chosen[0].write_probe("loss_surface", 40, plane(lambda a, b: np.where(a > 0.9, np.nan, 1 + 1e6 * a**2)))
    chosen[1].write_probe("loss_surface", 40, plane(lambda a, b: 0.1 + a**2 + b**2))
    app = open_page(archive, "gradient_flow", more="Loss surface", runs=[run.id for run in chosen])
    specs = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    planes = [spec for spec in specs if "α, lengths of filters" in json.dumps(spec, ensure_ascii=False)]
    assert len(planes) == 2
    domains = [
        layer["encoding"]["color"]["scale"]["domain"]
        for spec in planes
        for layer in spec["layer"]
        if layer["encoding"].get("color", {}).get("type") == "quantitative"
    ]
    assert domains == [[-1, 2]] * 2  # from the least loss to 100
    said = next(caption.value for caption in app.caption if "of the plane" in caption.value)
    assert "is 1.00 in the middle, 1 × 10⁶ at most and below that of guessing (2.30) in 20 % of the plane" in said
    assert ", not finite at 5 points; the loss of" in said
    assert "is 0.100 in the middle, 2.10 at most and below that of guessing (2.30) in 100 % of the plane" in said
