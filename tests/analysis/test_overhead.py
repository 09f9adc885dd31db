"""Does the cost of recording come out of pairs, and reach a table, a figure and the raw data?"""

import numpy as np
import pandas as pd
import pytest
from torch import nn

from analysis import overhead
from labapp.figures import paper


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))


@pytest.mark.parametrize("label", list(overhead.OURS))
def test_every_use_of_the_recorder_is_timed_in_pairs(label):
    tool, steps = overhead.OURS[label]
    seconds = overhead.compare(net, pixels=8, count=4, tool=tool, steps=min(steps, 2), pairs=3)
    assert seconds.shape == (3, 2)
    assert (seconds > 0).all()


def test_the_table_is_made_of_medians_and_quartiles(tmp_path):
    ratios = [1.0, 1.1, 1.2, 1.4, 2.0]
    rows = [
        (n, t, "1", i, 0.1, 0.1 * r, r)
        for n in ("a", "b")
        for t in ("labapp, x", "other")
        for i, r in enumerate(ratios)
    ]
    pairs = pd.DataFrame(rows, columns=["net", "tool", "version", "pair", "bare", "recorded", "ratio"])
    table = overhead.summary(pairs)
    assert table["ratio"].tolist() == pytest.approx([1.2] * 4)
    assert table["ratio_25"].tolist() == pytest.approx([np.quantile(ratios, 0.25)] * 4)
    assert table["bare_ms"].tolist() == pytest.approx([100] * 4)
    with paper():
        written = overhead.draw(table, pairs, tmp_path)
    assert {path.name for path in written} >= {"overhead.png", "overhead.csv", "overhead-pairs.csv", "overhead.md"}
    assert "| other | 1.200 | 1.200 |" in (tmp_path / "overhead.md").read_text()
