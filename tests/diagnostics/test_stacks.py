import pytest
from torch import nn

from labapp.config import LabError
from labapp.diagnostics.stacks import stacks


def test_the_table_of_the_paper():
    table = stacks(64).set_index("stack")
    assert table.weights.to_dict() == {"2 × 3×3": 73_728, "1 × 5×5": 102_400, "3 × 3×3": 110_592, "1 × 7×7": 200_704}
    assert table.receptive_field.tolist() == [5, 5, 7, 7]
    assert table.activations.tolist() == [2, 1, 3, 1]
    assert table.weights["3 × 3×3"] / table.weights["1 × 7×7"] == pytest.approx(27 / 49)


def test_weights_are_those_of_real_layers():
    for row in stacks(5).itertuples():
        layers = [nn.Conv2d(5, 5, row.kernel, bias=False) for _ in range(row.layers)]
        assert row.weights == sum(layer.weight.numel() for layer in layers)


def test_no_channels():
    with pytest.raises(LabError, match="at least 1"):
        stacks(0)
