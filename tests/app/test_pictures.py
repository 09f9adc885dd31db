"""Has every quantity that is recorded or measured a picture on a page?"""

import ast
import json
from pathlib import Path

import pytest

import labapp
from labapp import palette
from labapp.probes.catalogue import CATALOGUE
from labapp.store import Run
from labapp.store.schema import QUANTITIES, TABLES
from tests.app import full_record
from tests.app.pages import choose, go, named

VIEWS = Path(labapp.__file__).parent / "app" / "views"
PAGES = {
    "Overview": "overview",
    "Gradient flow": "gradient_flow",
    "Signals": "signals",
    "Grad-CAM": "gradcam",
    "Feature reuse": "feature_reuse",
    "Representation": "representation",
    "Architecture": "architecture",
}
# where a column is to be seen: page, tab ("" above the tabs), and what a chart there is of: the name of a quantity, or
# a column that an axis or hovering shows
WHOLE, LIVES, MAGNITUDES = "The whole gradient", "Lives of channels", "Magnitudes"
SEEN = {
    "layers": {
        "weight_norm": ("signals", "Weights and means", "weight_norm"),
        "weight_grad_norm": ("gradient_flow", "weights", "weight_grad_norm"),
        "update_ratio": ("signals", "", "update_ratio"),
        "output_mean": ("signals", "Weights and means", "output_mean"),
        "output_std": ("signals", "", "output_std"),
        "zero_fraction": ("signals", "", "zero_fraction"),
        "dead_channels": ("signals", "", "dead_share"),
        "output_grad_norm": ("gradient_flow", "", "output_grad_norm"),
        "nonfinite": ("signals", "Not finite", "nonfinite"),
        "branch_norm": ("signals", "", "forward_ratio"),
        "shortcut_norm": ("signals", "", "forward_ratio"),
        "branch_grad_norm": ("signals", "", "backward_ratio"),
        "shortcut_grad_norm": ("signals", "", "backward_ratio"),
        "branch_shortcut_grad_cosine": ("gradient_flow", "Branch and shortcut", "branch_shortcut_grad_cosine"),
        "gradient_signal_to_noise": ("gradient_flow", "Noise", "gradient_signal_to_noise"),
    },
    "steps": {
        "loss": ("overview", "", "loss"),
        "accuracy": ("overview", "How they trained", "train_accuracy"),
        "learning_rate": ("overview", "How they trained", "learning_rate"),
        "grad_norm": ("gradient_flow", WHOLE, "grad_norm"),
        "seconds": ("overview", "How they trained", "seconds"),
        "images_per_second": ("overview", "How they trained", "images_per_second"),
    },
    "evals": {
        "split": ("overview", "", "accuracy"),
        "loss": ("overview", "", "loss"),
        "accuracy": ("overview", "", "accuracy"),
    },
    "totals": {
        name: ("gradient_flow", WHOLE, name) for name in ("grad_norm", "grad_norm_used", "loss_scale", "skipped")
    },
    "lifetimes": {"channel": ("signals", LIVES, "channel"), "event": ("signals", LIVES, "ended")},
    "histograms": {
        "of": ("signals", MAGNITUDES, "range"),
        "exponent": ("signals", MAGNITUDES, "range"),
        "count": ("signals", MAGNITUDES, "count"),
    },
    "spreads": {
        "of": ("signals", MAGNITUDES, "median"),
        **{name: ("signals", MAGNITUDES, name) for name in ("minimum", "lower", "median", "upper", "maximum")},
    },
    "divergence": {},  # said in words on every page, see `labapp.app.diverged`
}
PLACE = {"step", "layer", "kind", "depth", "relative_depth", "stage", "block"}  # what a row is of; hovering tells it
MEASURED = {  # of the quantities that are measured when asked for: the tab, and what its charts are of
    "neural_collapse": ("Neural collapse", ["nc1", "nc2_norms", "nc2_angles", "nc3", "nc4"]),
    "shattering": ("Shattering", ["gradient_cosine"]),
    "autocorrelation": ("Shattering", ["autocorrelation"]),
    "path_gradients": ("Lengths of paths", ["path_share", "path_norm"]),
    "loss_surface": ("Loss surface", ["surface_loss"]),
    "lesions": ("Without a block", ["loss_change"]),
    "permutations": ("Blocks in another order", ["loss_reordered"]),
    "gradient_split": ("Branch and shortcut", ["shortcut_share"]),
    "map_scores": ("Kept scores", ["map_energy", "map_change"]),
    "singular_values": ("Branch and shortcut", ["smallest_singular_value", "largest_singular_value"]),
}
ASKED = [name for name, spec in CATALOGUE.items() if spec.asked]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """An archive of the runs of `full_record`."""
    root = tmp_path_factory.mktemp("full") / "runs"
    full_record.recorded(root)
    full_record.probed(root, [*ASKED, "similarity", "by_depth", "feature_reuse"])
    return root


def subjects(app):
    """What the charts of a page are of: columns on axes, in colours and behind tooltips, and the titles of these."""
    found = set()
    for chart in app.get("vega_lite_chart"):
        stack = [json.loads(chart.proto.spec)]
        while stack:
            node = stack.pop()
            if isinstance(node, list):
                stack += node
            elif isinstance(node, dict):
                stack += node.values()
                found |= {node[key] for key in ("field", "title") if isinstance(node.get(key), str)}
    return found


def is_among(quantity, there):
    about = palette.quantity(quantity)
    return bool({quantity, about.title, about.unit or about.name} & there)


def test_the_list_of_pictures_knows_every_recorded_table_and_column(full):
    run = Run(full / "recorded")
    tables = set(run.tables()) | set(TABLES) | {"divergence"}
    assert set(SEEN) == tables, "a new table needs a picture on a page, and a line here"
    for name in tables - {"divergence"}:
        columns = set(run.table(name)) if name in run.tables() else set()
        columns |= set(TABLES[name].names) if name in TABLES else set()
        assert columns - PLACE == set(SEEN[name]), f"a new column of '{name}' needs a picture, and a line here"
    assert set(QUANTITIES) == set(SEEN["layers"])


def test_every_recorded_column_has_its_picture(full, open_page):
    wanted = {}
    for table, columns in SEEN.items():
        for column, (page, tab, quantity) in columns.items():
            wanted.setdefault((page, tab), []).append((f"{table}.{column}", quantity))
    app, shown = open_page(full, runs="recorded", trained="true"), "overview"
    for (page, tab), columns in sorted(wanted.items(), key=lambda entry: (entry[0][0] != shown, entry[0])):
        if page != shown:
            app, shown = go(app, page), page
        if tab and page != "overview":
            app.session_state["gradient" if tab == "weights" else "more"] = tab
            app.run()
            assert not app.exception, app.exception[0].stack_trace
        there = subjects(app)
        for column, quantity in columns:
            if column == "layers.nonfinite":  # nothing was: that is said
                assert any(f"none in {full_record.STEPS} recorded steps" in caption.value for caption in app.caption)
                continue
            assert is_among(quantity, there), f"{column} is not to be seen on {page}, {tab or 'at first'}"


def test_every_quantity_of_the_catalogue_has_a_page_that_speaks_of_it():
    sources = {page: list(VIEWS.glob(f"{file}*.py")) for page, file in PAGES.items()}
    for name, spec in CATALOGUE.items():
        assert spec.page in PAGES, f"'{name}' has no page that shows it"
        words = {
            node.value
            for path in sources[spec.page]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert name in words, f"the page {spec.page} never asks for '{name}'"
    assert set(MEASURED) == set(ASKED), "a quantity that is measured when asked for needs its tab here"


@pytest.mark.parametrize("name", MEASURED)
def test_every_quantity_that_is_asked_for_has_its_picture(full, open_page, name):
    tab, quantities = MEASURED[name]
    app = open_page(full, PAGES[CATALOGUE[name].page], runs="probed", more=tab)
    there = subjects(app)
    for quantity in quantities:
        assert is_among(quantity, there)
        assert palette.quantity(quantity).meaning


def test_a_picture_says_its_number_to_who_cannot_see_it_and_says_it_once(full, open_page):
    app = open_page(full, "signals", runs="recorded", more=LIVES)
    (said,) = (each.value for each in app.caption if "died at some time" in each.value)
    assert not any(said in beside.proto.body for beside in app.get("html"))  # which would be read out a second time
    assert said.startswith("2 channels died at some time, the first in ")
    assert said.endswith("; all came back")


def test_only_the_open_tab_is_drawn(full, open_page):
    app = open_page(full, "signals", runs="recorded", more=MAGNITUDES)
    assert "range" in subjects(app)
    assert "ended" not in subjects(app)


def test_nonsense_for_a_tab_in_the_address_is_the_first_tab(full, open_page):
    app = open_page(full, "signals", runs="recorded", more="nonsense")
    assert "ended" in subjects(app)


def test_what_was_not_measured_has_a_button_and_what_cannot_be_a_reason(trained, open_page):
    app = choose(open_page(trained, "gradient_flow", more="Lengths of paths"), named(trained, "residual-8"))
    assert any("not measured yet" in markdown.value for markdown in app.markdown)
    assert app.button(key="probe-path_gradients").label == "Measure"
    choose(app, named(trained, "plain-8"))
    said = "path lengths speak of sums of paths, which only residual nets have; this one is plain."
    assert f"Nothing to measure here: {said}" in [caption.value for caption in app.caption]


def test_runs_without_checkpoints_say_so(full, open_page):
    app = open_page(full, "gradient_flow", runs="recorded", more="Lengths of paths")
    assert any("residual-8 kept no checkpoint to measure" in caption.value for caption in app.caption)


def test_a_slider_in_a_tab_plays_to_its_end(full, open_page):
    app = open_page(full, "gradient_flow", runs="recorded", more="Noise")
    key = "more-gradient_signal_to_noise"
    app.select_slider(key=key).set_value(0).run()
    app.button(key=f"play-{key}").click().run()
    seen = [app.run().select_slider(key=key).value for _ in range(full_record.STEPS + 1)]
    assert seen == sorted(seen)
    assert seen[-1] == full_record.STEPS - 1
    assert app.button(key=f"play-{key}").label == "Play"
