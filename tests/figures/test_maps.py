"""Maps as colours: one colour, one value."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labapp import palette
from labapp.figures import maps
from labapp.figures.maps import figure, scale


def rgb(colour):
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def test_the_ends_of_the_scale_have_the_palettes_colours():
    shown = maps.colours(np.array([[-9.0, -2.0, 0.0, 2.0, 9.0]]), 2.0, signed=True)[0]
    assert shown[0].tolist() == shown[1].tolist() == rgb(palette.DIVERGING[0])
    assert shown[3].tolist() == shown[4].tolist() == rgb(palette.DIVERGING[-1])
    shown = maps.colours(np.array([[-1.0, 0.0, 2.0]]), 2.0, signed=False)[0]
    assert shown.tolist() == [rgb(palette.SEQUENTIAL[at]) for at in (0, 0, -1)]


def test_what_is_not_finite_is_alarming():
    shown = maps.colours(np.array([[np.nan, np.inf, 0.0]]), 1.0, signed=False)[0]
    assert shown[0].tolist() == shown[1].tolist() == rgb(palette.ALARM)


@given(st.floats(1e-6, 1e6))
def test_the_even_scale_does_not_depend_on_the_nets_units(factor):
    values = np.arange(-4.0, 5.0).reshape(3, 3)
    np.testing.assert_allclose(maps.scaled(values * factor, "even"), maps.scaled(values, "even"), rtol=1e-9)
    assert np.abs(maps.scaled(values, "even")).mean() == pytest.approx(1)


def test_a_map_of_zeros_stays_so():
    assert not maps.scaled(np.zeros((2, 2)), "even").any()
    assert maps.scale_limit([np.zeros((2, 2))], "score") == 1
    assert maps.scale_limit([], "score") == 1
    assert maps.scale_limit([np.array([[np.nan, -3.0]])], "score") == 3


@given(st.integers(0, 2**36 - 1))
def test_the_outline_is_every_edge_between_inside_and_outside(bits):
    mask = np.array([bits >> at & 1 for at in range(36)], bool).reshape(6, 6)
    padded = np.pad(mask, 1).astype(int)
    edges = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    lengths = [abs(bx - ax) + abs(by - ay) for (ax, ay), (bx, by) in maps.outline(mask)]
    assert sum(lengths) == edges


def test_a_blend_is_the_grey_picture_below_and_the_colours_above():
    picture = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    over = np.full((4, 4, 3), (0, 0, 255), np.uint8)
    assert maps.blend(picture, over, 0.0, 8)[0, 0].tolist() == [76, 76, 76]
    assert maps.blend(picture, over, 1.0, 8)[7, 7].tolist() == [0, 0, 255]
    assert maps.enlarged(picture, 10).shape == (8, 8, 3)
    assert maps.at_most(picture, 2).shape == (2, 2, 3)
    assert maps.at_most(picture, 9) is picture


def test_pictures_and_maps_come_back_from_their_bytes():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(maps.png(picture)))), picture)
    assert maps.address(picture).startswith("data:image/png;base64,")
    evidence = {"residual-8/step-3/gradcam/stage1.block1": np.arange(6.0).reshape(2, 3)}
    (name,) = found = np.load(io.BytesIO(maps.raw(evidence)))
    assert np.array_equal(found[name], evidence[name])


@pytest.mark.parametrize(
    ("values", "energy", "words"),
    [
        ([0.0, 1.0], 0.5, "50 % inside"),
        ([0.0, 1.0], np.nan, ""),
        ([0.0, -1.0], np.nan, "no evidence"),
        ([np.nan, 1.0], np.nan, "not finite"),
    ],
)
def test_what_stands_under_a_map(values, energy, words):
    assert maps.energy_words(np.array([values]), energy) == words


@pytest.fixture
def sheet():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    values = np.random.default_rng(1).normal(size=(8, 8))
    cells = [maps.Cell(values, "stage1", "3 % inside"), maps.Cell(2 * values), None]
    return maps.Sheet(picture, [maps.MapRow("plain-8", cells, "3: 90 %")], np.eye(8, dtype=bool), title="image 0")


@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_sheet_becomes_a_file_and_always_the_same(sheet, kind, begins):
    content = figure.encoded(sheet, kind)
    assert content.startswith(begins)
    assert content == figure.encoded(sheet, kind)


def test_words_stay_words_in_an_svg(sheet):
    content = figure.encoded(sheet, "svg").decode()
    assert all(words in content for words in ("plain-8", "3 % inside", "times an evenly spread map", "image 0"))


def test_all_cells_of_a_sheet_share_one_scale(sheet):
    by_score = maps.Sheet(sheet.picture, sheet.rows, scale="score")
    assert by_score.limit == pytest.approx(2 * np.abs(sheet.rows[0].cells[0].values).max())
    assert sheet.limit == scale.EVEN_LIMIT
    once, twice = (sheet.shown(cell) for cell in sheet.rows[0].cells[:2])
    assert np.array_equal(once, twice)  # on the even scale a map's size does not count
