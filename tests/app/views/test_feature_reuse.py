"""The Feature reuse page on real small runs."""

import pytest

from tests.app.pages import choose, count_charts, named, texts


def test_feature_reuse_sets_the_dense_net_beside_the_residual_one(probed, open_page):
    app = open_page(probed, "feature_reuse")
    assert app.title[0].value.startswith("At step 6 a layer of dense-10 reads its strongest source 1.0")
    assert count_charts(app) == 2 + 3 + 1  # two colour bars, three blocks, and the residual net
    assert "**residual-8**, mean of 2 seeds" in texts(app)
    assert app.subheader[0].value == "The paper's four observations"
    said = [text for text in texts(app) if text.startswith(":material/")]
    table = named(probed, "dense-10").probe("reuse_observations", 6)
    table = table[table["weighting"] == "weights"]
    expected = {True: "**seen**", False: "**not seen**", None: "**cannot be told**"}
    assert [text.partition(": ")[2] for text in said] == [expected[seen] for seen in table["seen"]]
    # after six steps nothing is learnt: what the title and the cards say is what chance does
    assert "untrained nets" in app.title[0].value or "as chance would" in app.title[0].value
    assert sum("; untrained nets " in text for text in texts(app)) == table["number"].notna().sum()
    assert any("chance alone: ±" in text and "from net to net" in text for text in texts(app))
    assert app.segmented_control(key="reuse-scale").value == "column mean"


@pytest.mark.parametrize("weighting", ["bn-folded", "activation", "gradient", "ablation"])
def test_weightings_and_scales_can_be_shared(probed, open_page, weighting):
    app = open_page(probed, "feature_reuse", weighting=weighting, **{"reuse-scale": "raw"})
    assert app.segmented_control(key="weighting").value == weighting
    assert app.segmented_control(key="reuse-scale").value == "raw"
    assert count_charts(app) == 6
    assert ("Read off the weights, because ablation has no shares." in texts(app)) == (weighting == "ablation")


def test_a_residual_net_alone_has_its_ablation(probed, open_page):
    run = named(probed, "residual-8")
    app = choose(open_page(probed, "feature_reuse"), run)
    table = run.probe("feature_reuse", 6)
    worst = table[table["source"] > 0].groupby("source")["value"].mean().max()
    assert ("is missed by those behind it" in app.title[0].value) == (worst <= 0)
    assert count_charts(app) == 2
    assert not app.subheader


def test_plain_nets_read_one_source_each(probed, open_page):
    app = choose(open_page(probed, "feature_reuse"), named(probed, "plain-8"))
    assert app.title[0].value == "All 8 layers of plain-8 read one source each, the layer before."
    assert count_charts(app) == 0
