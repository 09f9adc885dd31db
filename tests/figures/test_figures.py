"""The table to be drawn, read back from the axes."""

import html

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import Normalize, to_rgb

from labapp import figures, frames, palette


@pytest.fixture
def ax():
    return plt.subplots(layout="constrained")[1]


def nets(*families):
    runs = pd.DataFrame({"run": families, "run_id": families, "family": families, "place": 0})
    return palette.styles(runs).assign(net=families)


def table(**columns):
    return pd.DataFrame(columns)


def test_a_curve_is_drawn_in_per_cent_with_its_familys_colour_and_line(ax):
    data = table(step=[0, 1, 0, 1], error=[0.9, 0.5, 0.9, 0.1], net=["plain", "plain", "residual", "residual"])
    assert figures.curve(data=data, x="step", y="error", hue="net", ax=ax, styles=nets("plain", "residual")) is ax
    plain, residual = ax.lines
    np.testing.assert_allclose(plain.get_ydata(), [90, 50])
    np.testing.assert_allclose(residual.get_ydata(), [90, 10])
    assert to_rgb(plain.get_color()) == to_rgb(palette.FAMILIES["plain"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step (optimizer updates)", "error (%)")
    assert not ax.collections


def test_seeds_become_a_mean_with_their_whole_range(ax):
    data = table(step=[0, 0, 1, 1], error=[0.4, 0.6, 0.1, 0.3], net="plain")
    figures.curve(data=data, x="step", y="error", hue="net", ax=ax, styles=nets("plain"))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [50, 20])
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (pytest.approx(10), pytest.approx(60))


def test_a_loss_is_not_a_percentage(ax):
    figures.curve(
        data=table(step=[0, 1], loss=[2.0, 1.0], net="vgg"), x="step", y="loss", hue="net", ax=ax, styles=nets("vgg")
    )
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [2, 1])


def test_a_profile_is_logarithmic_and_averages_logarithms(ax):
    data = table(relative_depth=[0, 0, 1, 1], value=[1.0, 100.0, 1.0, 1.0], net="plain")
    figures.profile(data=data, x="relative_depth", y="value", hue="net", ax=ax, styles=nets("plain"))
    assert ax.get_yscale() == "log"
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [10, 1])


def drawn_pixels(ax, visible):
    for line in ax.lines:
        line.set_visible(visible)
    ax.figure.canvas.draw()
    return int((np.asarray(ax.figure.canvas.buffer_rgba())[..., :3].min(axis=-1) < 250).sum())


def test_theory_is_dots_below_the_lines_in_their_colours_and_in_the_legend(ax):
    data = table(relative_depth=[0, 0, 1, 1, 0, 1], value=[1.0, 100, 1, 1, 5, 6], net=["plain"] * 4 + ["dense"] * 2)
    styles = nets("plain", "dense")
    assert figures.dots(data=data, x="relative_depth", y="value", hue="net", ax=ax, styles=styles) is ax
    plain, dense = ax.lines
    np.testing.assert_allclose(plain.get_ydata(), [10, 1])
    assert [to_rgb(line.get_color()) for line in ax.lines] == [to_rgb(palette.FAMILIES[net]) for net in styles["net"]]
    assert dense.get_zorder() < 2  # of lines
    figures.legend(ax.figure, "net", styles, theory=True)
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == ["plain", "dense", "theory"]
    without = drawn_pixels(ax, visible=False)
    assert drawn_pixels(ax, visible=True) > without  # a dash of no length would leave nothing on paper


def test_a_profile_marks_what_it_cannot_draw(ax):
    data = table(relative_depth=[0, 0.5, 1], value=[1.0, np.nan, 0.0], net="dense")
    figures.profile(data=data, x="relative_depth", y="value", hue="net", ax=ax, styles=nets("dense"))
    for marker, at in (("x", 0.5), ("o", 1)):
        mark = next(line for line in ax.lines if line.get_marker() == marker and "beyond" in line.get_label())
        np.testing.assert_allclose(mark.get_xdata(), [at])
        assert to_rgb(mark.get_color()) == to_rgb(palette.FAMILIES["dense"])


def test_a_profile_without_a_single_number(ax):
    data = table(relative_depth=[0, 1], value=[np.nan, np.nan], net="dense")
    figures.profile(data=data, x="relative_depth", y="value", hue="net", ax=ax, styles=nets("dense"))
    ax.figure.canvas.draw()


def test_log_ticks_can_be_read(ax):
    data = table(relative_depth=[0, 1], value=[1e-7, 1e4], net="plain")
    figures.profile(data=data, x="relative_depth", y="value", hue="net", ax=ax, styles=nets("plain"))
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert 3 <= len(labels) <= 7
    assert "10⁻⁶" in labels
    assert not ax.yaxis.get_minorticklocs().size


def test_a_heatmap_shows_every_cell_of_its_table(ax, record, tmp_path):
    run = record(tmp_path, nan_from=25, status="diverged")
    cells = frames.gradient_heatmap(frames.layer_table([run]))
    norm = Normalize(-1, 2)
    figures.heatmap(data=cells, x="step", y="depth", hue="value", ax=ax, norm=norm)
    mesh = ax.collections[0]
    assert mesh.get_array().shape == (19, 4)
    np.testing.assert_allclose(mesh.get_array()[:, 0], cells[cells["step"] == 0].sort_values("depth")["value"])
    assert mesh.get_array().mask[:, 3].all()  # not finite: cells of their own lie there
    assert [to_rgb(patch.get_facecolor()) for patch in ax.patches] == [to_rgb(palette.ALARM)] * 19
    assert {patch.get_x() for patch in ax.patches} == {30}
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], [0, 10, 20, 30, 40])
    assert mesh.norm is norm


def test_a_spike_inside_a_cell_survives_on_paper(ax, record, tmp_path):
    table = frames.layer_table([record(tmp_path, recorded=tuple(range(100)), steps=100)])
    table.loc[(table["step"] == 50) & (table["depth"] == 7), "value"] = 1e9
    cells = frames.gradient_heatmap(table, marks=19 * 11)
    figures.heatmap(data=cells, x="step", y="depth", hue="value", ax=ax, norm=Normalize(-3, 9))
    mesh = ax.collections[0]
    assert mesh.get_array().max() == pytest.approx(9)
    cell = cells[cells["extreme"] > 8].iloc[0]
    assert (mesh.get_array() == mesh.get_array().max()).sum() == 1
    edges = mesh.get_coordinates()[0, :, 0]
    assert np.isclose(edges, cell["step"]).any()
    assert np.isclose(edges, cell["step_end"] - (cell["step_end"] - cell["step"]) / 3).any()


def test_one_colour_bar_and_one_legend_a_figure(ax):
    figures.colour_bar(ax.figure, [ax], Normalize(-3, 2), "gradient (norm)")
    figures.legend(ax.figure, "net", nets("plain", "residual"), markers=True)
    bar = ax.figure.axes[-1]
    ax.figure.canvas.draw()
    assert "10⁻²" in [label.get_text() for label in bar.get_yticklabels()]
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["plain", "residual"]


def test_the_colour_scale_is_the_screens():
    for relative, colours in ((False, palette.SEQUENTIAL), (True, palette.DIVERGING)):
        ends = figures.colormap(relative)([0.0, 1.0])[:, :3]
        np.testing.assert_allclose(ends, [to_rgb(colours[0]), to_rgb(colours[-1])], atol=1e-6)


def test_paper_leaves_the_settings_as_they_were():
    before = mpl.rcParams["font.size"]
    with figures.paper():
        mpl.rcParams["font.size"] = 99
    assert mpl.rcParams["font.size"] == before


def test_a_matrix_has_its_first_row_above_and_shows_what_is_not_finite(ax):
    data = table(target=[1, 2, 2, 3], source=[0, 0, 1, 2], value=[1.0, 0.5, np.nan, 0.25])
    assert figures.matrix(data=data, x="target", y="source", hue="value", ax=ax, norm=Normalize(0, 1)) is ax
    mesh = ax.collections[0]
    assert mesh.get_array().shape == (3, 3)
    np.testing.assert_allclose(mesh.get_array()[0, :2], [1, 0.5])
    assert mesh.get_array().mask.sum() == 6  # five pairs that are not there, one without a value
    (grey,) = ax.patches
    assert grey.get_xy() == (1.5, 0.5)
    assert to_rgb(grey.get_facecolor()) == to_rgb(palette.MUTED)
    low, high = ax.get_ylim()
    assert low > high


def test_whole_columns_are_framed(ax):
    figures.frame_columns(ax, table(target=[7], first=[0], last=[6]))
    (frame,) = ax.patches
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((6.5, -0.5), 1, 7)
    assert not frame.get_fill()


def test_a_trace_is_linear_and_marks_what_it_cannot_draw(ax):
    data = table(relative_depth=[0, 0.5, 1], value=[-1.0, np.inf, 3.0], net="vgg")
    figures.trace(data=data, x="relative_depth", y="value", hue="net", ax=ax, styles=nets("vgg"))
    assert ax.get_yscale() == "linear"
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [-1, 3])
    crosses = next(line for line in ax.lines if line.get_marker() == "^")
    np.testing.assert_allclose(crosses.get_xdata(), [0.5])


def test_shares_are_one_bar_a_net_from_above(ax):
    data = table(net=["a", "a", "b"], part=["conv", "linear", "conv"], start=[0, 0.7, 0], end=[0.7, 1, 1])
    figures.shares(data=data, y="net", hue="part", ax=ax, colours={"conv": "#000000", "linear": "#FF0000"})
    bars = sorted((bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_width()) for bar in ax.patches)
    np.testing.assert_allclose(bars, [(0, 0, 0.7), (0, 0.7, 0.3), (1, 0, 1)])
    low, high = ax.get_ylim()
    assert low > high


def test_a_scale_without_powers_says_its_own_numbers(ax):
    figures.colour_bar(ax.figure, [ax], Normalize(0, 1), "linear CKA", powers=False)
    ax.figure.canvas.draw()
    assert "0.2" in [label.get_text() for label in ax.figure.axes[-1].get_yticklabels()]


@pytest.mark.parametrize("name", ["$x$", "a_{1}$\\frac{$", "_hidden", "<b>", "[red]", "a\\b"])
def test_a_name_is_text_in_a_figure(ax, name, tmp_path):
    """Dollars would be a formula, which fails where it is none; a label with _ in front would be left out."""
    data = table(step=[0, 1], error=[0.9, 0.5], net=[name, name])
    styles = nets("plain").assign(net=name)
    figures.curve(data=data, x="step", y="error", hue="net", ax=ax, styles=styles)
    ax.set_title(name)
    figures.legend(ax.figure, "net", styles)
    ax.figure.savefig(tmp_path / "figure.svg")
    drawn = html.unescape((tmp_path / "figure.svg").read_text())
    assert drawn.count(f">{name}</text>") + drawn.count(f"> {name}</text>") == 2
