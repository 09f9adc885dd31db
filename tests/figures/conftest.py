"""Figures as for a paper, without a screen."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from labapp import figures


@pytest.fixture(autouse=True)
def screenless():
    mpl.use("agg")
    with figures.paper():
        yield
    plt.close("all")
