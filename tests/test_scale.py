"""The growth that `tests.scale` tells: of times that are a power of the size, that power."""

import numpy as np
import pandas as pd
import pytest

from labapp.store import find_run
from tests.scale import growth, long_run


def test_growth_is_the_exponent():
    sizes = np.array([1000, 2000, 5000, 10_000])
    rows = [{"what": str(power), "size": n, "cpu_seconds": 3e-5 * n**power} for n in sizes for power in (0, 0.5, 1, 2)]
    assert growth(pd.DataFrame(rows)).to_dict() == pytest.approx({"0": 0, "0.5": 0.5, "1": 1, "2": 2}, abs=1e-9)


def test_a_long_run_holds_each_layer_at_each_step(tmp_path):
    long_run(tmp_path, layers=7, steps=45, chunk=70)
    found = find_run("long", tmp_path).matrices(["output_std"])
    assert found.there.shape == (45, 7)
    assert found.there.all()
