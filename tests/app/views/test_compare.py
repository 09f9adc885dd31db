"""The Compare page: its answer, its pickers and their address, on runs of every state."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from labapp import palette
from labapp.app import compared
from labapp.app.views import compare
from labapp.frames.compare import CONFIGURATION, Side, by_depth, side, telling
from labapp.store import Run, list_runs
from tests.app.pages import choose, count_charts, drawn, named, texts
from tests.frames.compare.written import written

SHORTCUT = pd.DataFrame([("family", "plain", "residual")], columns=CONFIGURATION)


def of(name, runs=1):
    return Side(name, tuple(range(len(name), len(name) + runs)))


def first(ratio, low=np.nan, high=np.nan, note=""):
    numbers = {"ratio": ratio, "low": low, "high": high, "step": 300, "note": note}
    return next(pd.DataFrame([numbers]).itertuples())


@pytest.mark.parametrize(
    ("a", "b", "row", "said"),
    [
        (
            of("plain-56"),
            of("residual-56"),
            first(0.006),
            "residual-56 differs from plain-56 in the shortcut alone; its first layer receives 0.00600× the gradient "
            "at step 300. With one seed each, chance cannot be told from the difference.",
        ),
        (
            of("plain-56 (2 seeds)", 2),
            of("residual-56", 1),
            first(0.006),
            "residual-56 differs from plain-56 (2 seeds) in the shortcut alone; its first layer receives 0.00600× the "
            "gradient at step 300. With one seed of residual-56, chance cannot be told from the difference.",
        ),
        (
            of("p (2 seeds)", 2),
            of("r (3 seeds)!", 3),
            first(0.006, 0.004, 0.009),
            "r (3 seeds)! differs from p (2 seeds) in the shortcut alone; its first layer receives 0.00600× "
            "(0.00400 to 0.00900) the gradient at step 300. The difference is more than chance.",
        ),
        (
            of("p (2 seeds)", 2),
            of("r (3 seeds)!", 3),
            first(1.2, 0.8, 1.8),
            "r (3 seeds)! differs from p (2 seeds) in the shortcut alone; its first layer receives 1.20× "
            "(0.800 to 1.80) the gradient at step 300. Chance may have made that.",
        ),
        (
            of("p"),
            of("resid"),
            first(np.nan, note="not finite in B"),
            "resid differs from p in the shortcut alone; the gradient at its first layer cannot be compared at step "
            "300: it is not finite in B.",
        ),
        (
            of("p"),
            of("resid"),
            None,
            "resid differs from p in the shortcut alone; they recorded no gradient at a common step.",
        ),
        (of("p"), of("q"), None, "A and B are both p: nothing differs."),
    ],
)
def test_what_differs_between_these_two(a, b, row, said):
    assert compare.answer(a, b, SHORTCUT, row) == said


def test_the_most_telling_pair_of_the_chosen_runs_is_shown(archive, open_page):
    app = open_page(archive, "compare")
    plain, residual = named(archive, "plain-56"), named(archive, "residual-56")
    # the gradient is 1.2 ** (55 − d) against 1.06 ** (55 − d) at depth d
    ratio = palette.number((1.06 / 1.2) ** 54)
    assert app.title[0].value.startswith(
        f"residual-56 differs from plain-56 in the shortcut alone; its first layer receives {ratio}× the gradient at"
    )
    assert "With one seed each, chance cannot be told" in app.title[0].value
    assert (app.query_params["a"], app.query_params["b"]) == (plain.id, residual.id)
    assert app.dataframe[0].value.to_numpy().tolist() == [["family", "plain", "residual"]]


def test_the_address_holds_ids_and_opens_the_same_page_elsewhere(archive, open_page):
    app = open_page(archive, "compare")
    ids = [named(archive, name).id for name in ("residual-20", "dense-40")]
    app.multiselect(key="side-a").set_value(ids[:1]).run()
    app.multiselect(key="side-b").set_value(ids).run()
    assert not app.exception
    assert (app.query_params["a"], app.query_params["b"]) == (ids[0], ids)
    again = open_page(archive, a=ids[0], b=ids)
    again.switch_page("app/views/compare.py").run()
    assert again.title[0].value == app.title[0].value
    assert "differ in more than the seed" in " ".join(texts(again))
    again.button(key="swap").click().run()
    assert (again.query_params["a"], again.query_params["b"]) == (ids, ids[0])


def test_nonsense_in_the_address_is_a_sentence_and_the_rest_is_shown(archive, open_page):
    known = named(archive, "plain-20").id
    nonsense = "*b* <img src=x onerror=a()> " + "x" * 3000
    app = open_page(archive, "compare", a=[nonsense, known], b="../..", step="soon", signal="none")
    said = " ".join(warning.value for warning in app.warning)
    assert "which this page was to compare, is not in" in said
    assert "<img" not in said.replace("\\<img", "")
    assert app.title[0].value == "Two runs are compared, and a side has none yet."
    app.multiselect(key="side-b").set_value([named(archive, "plain-56").id]).run()
    assert app.title[0].value.startswith("plain-56 differs from plain-20 in the depth (20, 56) alone")


def test_what_is_drawn_is_what_was_measured(probed, open_page):
    plain, residual = named(probed, "plain-8"), named(probed, "residual-8")
    app = open_page(probed, "compare", a=plain.id, b=residual.id, step="2")
    app.select_slider(key="step").set_value(2).run()
    table = by_depth(side([plain]), side([residual]), "output_grad_norm", 2)
    shown = drawn(app, 4).set_index("layer")["value"]
    assert shown.to_dict() == pytest.approx(table.set_index("layer")["ratio"].to_dict(), rel=1e-9)
    app.selectbox(key="signal").set_value("Size of an update").run()
    app.selectbox(key="layers-compared").set_value("normalisations").run()
    table = by_depth(side([plain]), side([residual]), "update_ratio", 2, "norm")
    assert drawn(app, 4).set_index("layer")["value"].to_dict() == pytest.approx(
        table.set_index("layer")["ratio"].to_dict(), rel=1e-9
    )


@pytest.mark.parametrize("quantity", ["dead_share", "zero_fraction", "update_ratio", "output_std", "forward_ratio"])
def test_a_page_reads_two_steps_and_gives_what_all_of_them_give(probed, quantity):
    """Of a large run a page reads the step that is shown and the first one, not the whole table."""
    a, b = (side([run for run in list_runs(probed) if run.name == name]) for name in ("plain-8", "residual-8"))
    for at in compared.compared_steps(a.runs, b.runs).itertuples():
        whole = by_depth(a, b, quantity, at.step)
        found = compared.by_depth(a, b, quantity, at)
        pd.testing.assert_frame_equal(found, whole.reset_index(drop=True), check_dtype=bool(len(whole)))


def axes(app):
    """The vertical axes of the charts of layers, in the order of the page."""
    specs = [json.loads(element.proto.spec) for element in app.get("vega_lite_chart")]
    ys = [[layer.get("encoding", {}).get("y", {}) for layer in spec["layer"]] for spec in specs if "layer" in spec]
    titled = [y for each in ys for y in each if "B ÷ A" in str(y) or "B − A" in str(y)]
    return [y["scale"]["domain"] for y in titled if "scale" in y]


@pytest.mark.parametrize("rows", [pytest.param(4000, marks=pytest.mark.long), 0])
def test_axes_stand_still_while_steps_play(tmp_path, open_page, monkeypatch, rows):
    """Also where fewer steps are looked at than are played, as of a large net: then its ends are."""
    monkeypatch.setattr(compared, "ROWS", rows)
    steps = tuple(range(0, 60, 3))

    def layers(power):
        told = {"output_grad_norm": [(1.0 + step) ** power for step in steps]}
        return {name: told | {"output_mean": [power * step for step in steps]} for name in "xyz"}

    sides = [written(tmp_path, layers(power), steps=steps, seed=seed).id for seed, power in enumerate((1, 2, -0.5))]
    app = open_page(tmp_path, "compare", a=sides[0], b=sides)
    still = axes(app)
    assert len(still) >= 2
    app.button(key="play-step").click().run()
    seen = set()
    for _ in range(4):
        app.run()
        seen.add(app.select_slider(key="step").value)
        assert axes(app) == still
    assert len(seen) == 4


def test_seeds_are_one_side_with_an_interval(open_page, record, tmp_path):
    for seed in (0, 1, 2):
        record(tmp_path, seed=seed, growth=1.2 + 0.01 * seed)
        record(tmp_path, seed=seed, growth=1.1 + 0.01 * seed, family="residual")
    app = open_page(tmp_path, "compare")
    assert app.title[0].value.startswith("residual-20 (3 seeds) differs from plain-20 (3 seeds) in the shortcut alone")
    assert app.title[0].value.endswith("The difference is more than chance.")
    assert len(app.query_params["a"]) == len(app.query_params["b"]) == 3
    app.select_slider(key="step").set_value(10).run()
    assert " at step 10. " in app.title[0].value


def test_a_step_that_others_lack_is_told(open_page, tmp_path):
    layers = {name: {"output_grad_norm": 1.0} for name in "xyz"}
    a = written(tmp_path, layers, steps=(0, 100), seed=0)
    b = [
        written(tmp_path, layers, steps=steps, seed=1 + seed) for seed, steps in enumerate([(0, 95), (0, 95), (0, 100)])
    ]
    app = open_page(tmp_path, "compare", a=a.id, b=[run.id for run in b])
    said = " ".join(texts(app))
    assert "Compared at their nearest recorded step: plain-8 at step 100." in said
    assert "Left out, not recorded within 10 % of it: plain-8 (seed 3)." in said


def test_a_comparison_of_a_run_with_itself(archive, open_page):
    name = named(archive, "plain-20").id
    app = open_page(archive, "compare", a=name, b=name)
    assert app.title[0].value == "A and B are both plain-20: nothing differs."
    assert "No setting that may change a result differs." in texts(app)


def test_one_run_is_no_comparison(open_page, record, tmp_path):
    record(tmp_path)
    app = open_page(tmp_path, "compare")
    assert app.title[0].value == "A comparison needs a second run."
    assert count_charts(app) == 0


def test_an_empty_archive_says_what_to_do(open_page, tmp_path):
    app = open_page(tmp_path / "nothing", "compare")
    assert app.title[0].value == "Nothing is recorded here yet."


def test_no_choice_in_the_sidebar_leaves_the_sides_to_choose(archive, open_page):
    app = choose(open_page(archive, "compare"))
    assert app.title[0].value == "Two runs are compared, and a side has none yet."
    for letter, name in (("a", "plain-20"), ("b", "dense-40")):
        app.multiselect(key=f"side-{letter}").set_value([named(archive, name).id]).run()
    assert app.title[0].value.startswith("dense-40 differs from plain-20 in the family (plain, dense)")
    assert "layers are matched by relative depth" in " ".join(texts(app))


def test_a_diverged_run_is_told_with_its_reason(open_page, record, tmp_path):
    a, b = record(tmp_path), record(tmp_path, seed=1, nan_from=15, status="diverged")
    app = open_page(tmp_path, "compare", a=a.id, b=b.id)
    assert app.title[0].value.endswith("cannot be compared at step 30: it is not finite in B.")
    assert "Where it began" in app.warning[0].value
    app.select_slider(key="step").set_value(10).run()
    assert "receives 1.00× the gradient at step 10" in app.title[0].value


def test_a_run_that_is_being_written_is_drawn_again_by_itself(open_page, record, tmp_path):
    a, b = record(tmp_path), record(tmp_path, seed=1, status=None)
    app = open_page(tmp_path, "compare", a=a.id, b=b.id)
    assert "receives 1.00× the gradient" in app.title[0].value


@pytest.mark.parametrize("about", [{"layers": 0}, {"layers": 1}, {"recorded": (), "layers": 0}])
def test_runs_with_hardly_a_record(open_page, record, tmp_path, about):
    record(tmp_path, **{"steps": 30} | about)
    record(tmp_path, seed=1, **{"steps": 30} | about)
    app = open_page(tmp_path, "compare")
    assert app.title[0].value.startswith("plain-20 (seed 1) differs from plain-20 in the seed alone")


def test_a_run_that_is_removed_while_it_is_shown(archive, open_page):
    here, gone = named(archive, "plain-56"), named(archive, "residual-56")
    app = open_page(archive, "compare", a=here.id, b=gone.id)
    shutil.rmtree(gone.path)
    app.run()
    assert not app.exception
    assert app.title[0].value == "Two runs are compared, and a side has none yet."
    assert f"'{gone.id}', which this page was to compare, is not in" in app.warning[0].value


def test_a_damaged_run_is_named_and_the_others_can_be_compared(archive, open_page):
    victim = named(archive, "residual-56")
    part = next((victim.path / "layers").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    (archive / "torn").mkdir()
    (archive / "torn" / "run.json").write_text("{")
    app = open_page(archive, "compare", a=named(archive, "plain-20").id, b=named(archive, "residual-20").id)
    assert "torn" in app.warning[0].value
    assert app.title[0].value.startswith("residual-20 differs from plain-20 in the shortcut alone; its first layer")


def test_a_net_of_another_maker_is_compared(tmp_path, open_page):
    layers = {name: {"output_grad_norm": 1.0, "weight_norm": 1.0} for name in ("stem", "body", "head")}
    a = written(tmp_path, layers, family="foreign", net="torchvision:resnet18", depth=None)
    b = written(tmp_path, layers, family="foreign", net="torchvision:resnet34", depth=None)
    app = open_page(tmp_path, "compare", a=a.id, b=b.id)
    assert app.title[0].value.startswith("resnet34 differs from resnet18 in the net (torchvision:resnet18, ")


def test_the_most_telling_pair(record, tmp_path):
    few = {"recorded": (), "layers": 0}
    plain = [record(tmp_path, seed=seed, **few) for seed in (0, 1)]
    slow = record(tmp_path, learning_rate=0.01, width=8, **few)
    assert telling([]) == ([], [])
    assert telling(plain[:1]) == (plain[:1], [])
    assert telling(plain) == (plain[:1], plain[1:])
    assert telling([slow, *plain]) == (plain, [slow])  # the older is A
    residual = record(tmp_path, family="residual", **few)
    assert telling([residual, slow, *plain]) == (plain, [residual])  # one setting alone
    assert isinstance(telling([residual, slow])[0][0], Run)
