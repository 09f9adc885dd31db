import math

import pytest
import torch

from labapp.diagnostics.map_agreement import agreement, drift, drift_table, formed, map_correlation, map_overlap

SEEDED = torch.Generator().manual_seed(0)


def test_a_net_agrees_with_itself():
    maps = torch.randn(4, 8, 8, generator=SEEDED)
    torch.testing.assert_close(map_correlation(maps, maps.exp()), torch.ones(4))
    torch.testing.assert_close(map_overlap(maps, maps.exp()), torch.ones(4))
    assert map_overlap(maps, -maps).tolist() == [0] * 4


def test_overlap_by_hand():
    a = torch.tensor([[[5.0, 4.0, 0.0, 0.0]]])
    b = torch.tensor([[[5.0, 0.0, 4.0, 0.0]]])
    torch.testing.assert_close(map_overlap(a, b, share=0.5), torch.tensor([1 / 3]))
    assert math.isnan(map_overlap(a, torch.full_like(b, math.nan)))


def test_random_maps_overlap_as_chance_has_it():
    a, b = torch.rand(2, 300, 16, 16, generator=SEEDED)
    assert float(map_overlap(a, b).mean()) == pytest.approx(0.2 / (2 - 0.2), abs=0.01)
    assert abs(float(map_correlation(a, b).mean())) < 0.02


def test_maps_of_different_resolution_can_be_compared():
    coarse = torch.rand(3, 4, 4, generator=SEEDED)
    fine = torch.nn.functional.interpolate(coarse[:, None], (12, 12), mode="bilinear")[:, 0]
    torch.testing.assert_close(map_correlation(coarse, fine), torch.ones(3))
    torch.testing.assert_close(map_overlap(fine, coarse), torch.ones(3))


def test_table_of_pairs():
    maps = {name: torch.randn(5, 6, 6, generator=SEEDED) for name in ("plain-20", "residual-20", "dense-40")}
    rows = agreement(maps)
    assert len(rows) == 3 * 2
    assert list(rows[0]) == ["a", "b", "measure", "mean", "low", "high", "images"]
    assert {(row["a"], row["b"]) for row in rows} == {
        ("plain-20", "residual-20"),
        ("plain-20", "dense-40"),
        ("residual-20", "dense-40"),
    }
    assert all(row["low"] <= row["mean"] <= row["high"] and row["images"] == 5 for row in rows)


def test_drift_over_checkpoints():
    first, last = torch.rand(2, 4, 6, 6, generator=SEEDED)
    maps = torch.stack([first, last, last * 2, -last])
    moved = drift(maps)
    assert moved.shape == (3, 4)
    torch.testing.assert_close(moved[1], torch.zeros(4))
    torch.testing.assert_close(moved[2], torch.full((4,), 2.0))
    torch.testing.assert_close(formed(maps)[1:], torch.tensor([[-1.0], [-1.0], [1.0]]).expand(3, 4))


def test_drift_table_has_no_drift_at_its_first_step():
    maps = torch.rand(3, 4, 6, 6, generator=SEEDED)
    rows = drift_table([0, 10, 300], maps)
    assert [(row["step"], row["measure"]) for row in rows] == [
        (10, "drift"),
        (300, "drift"),
        (0, "formed"),
        (10, "formed"),
        (300, "formed"),
    ]
    assert rows[-1]["mean"] == pytest.approx(1)
    assert [row["measure"] for row in drift_table([0], maps[:1])] == ["formed"]
