import itertools
import tomllib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import labapp
from labapp import palette

PAGES = {"light": "#FFFFFF", "light sidebar": "#F8F8F7", "dark": "#171614", "dark sidebar": "#21201D"}

# Machado, Oliveira & Fernandes 2009, full severity, in linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
def test_families_stay_apart_for_every_kind_of_sight(sight):
    seen = [lab(np.array(SIGHT[sight]) @ linear(colour)) for colour in palette.FAMILIES.values()]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15  # 2.3 is just noticeable


@pytest.mark.parametrize("page", PAGES)
def test_families_stand_out_from_every_page(page):
    # WCAG 2.1, 1.4.11: graphical objects
    assert min(contrast(colour, PAGES[page]) for colour in palette.FAMILIES.values()) >= 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_white_text_on_the_accent_can_be_read(theme):
    assert contrast(palette.ACCENT[theme], "#FFFFFF") >= 4.5


@pytest.mark.parametrize("sight", SIGHT)
def test_cells_that_the_scale_has_no_colour_for_stand_out_from_it(sight):
    own = [lab(np.array(SIGHT[sight]) @ linear(colour)) for colour in {m.colour for m in palette.MARKS.values()}]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(own, 2)) > 15
    for colours in (palette.SEQUENTIAL, palette.DIVERGING):
        scale = mpl.colors.LinearSegmentedColormap.from_list("", list(colours))(np.linspace(0, 1, 100))
        seen = [lab(np.array(SIGHT[sight]) @ linear(to_hex(colour))) for colour in scale]
        assert min(np.linalg.norm(a - b) for a, b in itertools.product(own, [*seen, lab(linear(palette.MUTED))])) > 15


@pytest.mark.parametrize(
    ("log", "names"), [(True, ["", "zero", "below zero", "NaN", "∞", "−∞"]), (False, ["", "", "", "NaN", "∞", "−∞"])]
)
def test_what_an_axis_cannot_show_has_a_mark(log, names):
    assert palette.beyond([1.0, 0.0, -1.0, np.nan, np.inf, -np.inf], log) == names
    assert len({(mark.shape, mark.marker) for mark in palette.MARKS.values()}) == len(palette.MARKS)


def test_heatmaps_use_the_published_colour_maps():
    for own, name in ((palette.SEQUENTIAL, "viridis"), (palette.DIVERGING, "RdBu_r")):
        assert list(own) == [to_hex(mpl.colormaps[name](x)).upper() for x in np.linspace(0, 1, 10)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_streamlit_theme_has_the_same_colours(theme):
    path = Path(labapp.__file__).parent / ".streamlit" / "config.toml"
    look = tomllib.loads(path.read_text())["theme"][theme]
    hues = dict(zip(("orange", "blue", "green", "violet"), palette.FAMILIES.values(), strict=False))
    assert {hue: look[f"{hue}Color"] for hue in hues} == hues
    assert {hue: look[f"{hue}TextColor"] for hue in hues} == hues
    assert look["grayColor"] == palette.FAMILIES["foreign"]
    assert look["primaryColor"] == palette.ACCENT[theme]
    assert look["chartCategoricalColors"] == list(palette.FAMILIES.values())
    assert look["chartSequentialColors"] == list(palette.SEQUENTIAL)
    assert look["chartDivergingColors"] == list(palette.DIVERGING)


def test_an_unknown_family_is_foreign():
    assert palette.colour("transformer") == palette.FAMILIES["foreign"]


def runs(*rows):
    return pd.DataFrame(rows, columns=["run", "family", "place"]).assign(run_id="id")


def test_colour_is_family_and_line_is_the_place_in_it():
    table = palette.styles(runs(("a", "plain", 1), ("b", "plain", 0), ("c", "residual", 0)))
    assert list(table["run"]) == ["a", "b", "c"]
    assert list(table["colour"]) == [palette.FAMILIES[f] for f in ("plain", "plain", "residual")]
    assert list(table["dash"]) == [[6, 3], [], []]
    assert list(table["marker"]) == ["s", "o", "o"]


def test_a_look_does_not_depend_on_the_other_runs():
    all_of_them = [(f"r{i}", "plain", i) for i in range(20)]
    whole = palette.styles(runs(*all_of_them)).set_index("run")
    for chosen in (all_of_them[3:4], all_of_them[5::3]):
        few = palette.styles(runs(*chosen)).set_index("run")
        assert few.to_dict("index") == whole.loc[few.index].to_dict("index")


def test_more_than_six_runs_of_a_family_are_told_apart():
    table = palette.styles(runs(*((f"r{i}", "plain", i) for i in range(84))))
    assert len(set(table["dash"].map(tuple)[:12])) == 12
    assert len(set(zip(table["dash"].map(tuple), table["marker"], strict=True))) == 84
    assert len(set(zip(table["dash"].map(tuple), table["shape"], strict=True))) == 84


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.95678, "0.957"),
        (1.2, "1.20"),
        (28.04, "28.0"),
        (12345, "12,300"),
        (9999, "10,000"),
        (0.00123, "0.00123"),
        (1.234e-7, "1.23 × 10⁻⁷"),
        (2e7, "2 × 10⁷"),
        (-0.0789, "−0.0789"),
        (float("nan"), "NaN"),
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_have_three_significant_digits(value, shown):
    assert palette.number(value) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0.956, "95.6 %"), (1, "100 %"), (0.0, "0 %"), (float("nan"), "no value")]
)
def test_percent(fraction, shown):
    assert palette.percent(fraction) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(3.21, "3.2 s"), (41, "41 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (float("nan"), "–")],
)
def test_duration(seconds, shown):
    assert palette.duration(seconds) == shown


def test_long_layer_names_keep_both_ends():
    name = "stages.2.blocks.8.branch.conv2.weight"
    assert palette.short(name, 20) == "stages.2.…nv2.weight"
    assert len(palette.short(name, 20)) == 20
    assert palette.short("stem", 20) == "stem"


@pytest.mark.parametrize(
    ("low", "high"), [(1e-12, 1e7), (0.3, 45), (0.011, 0.019), (1.0, 1.02), (1e-3, 1e2), (5e-9, 6e-9)]
)
def test_log_ticks_are_few_round_and_inside(low, high):
    ticks = palette.log_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert all(low * (1 - 1e-9) <= tick <= high * (1 + 1e-9) for tick in ticks)
    assert len({palette.tick_label(tick) for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("tick", "label"), [(0.01, "0.01"), (100.0, "100"), (1e-7, "10⁻⁷"), (1e5, "10⁵"), (0.2, "0.2"), (3e-5, "3 × 10⁻⁵")]
)
def test_tick_labels(tick, label):
    assert palette.tick_label(tick) == label
