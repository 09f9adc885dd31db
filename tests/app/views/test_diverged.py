"""What pages say of runs that diverged."""

import pytest

from labapp import frames
from labapp.app.diverged import where
from labapp.training.loop import train
from tests.app.pages import texts
from tests.training.small import small

PAGES = (None, "gradient_flow", "signals")


@pytest.fixture(scope="session")
def ill_archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("ill") / "runs"
    train(small(steps=4, record_every=2), root)
    return root, train(small(norm="none", learning_rate=1e4, steps=20, record_every=7), root)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_where_it_began_and_what_was_seen_before(ill_archive, page, open_page):
    root, run = ill_archive
    app = open_page(root, page)
    (said,) = (warning.value for warning in app.warning)
    first = frames.evidence(run)
    assert said.startswith("**Where it began**\n\nresidual-8 (no norm")
    assert "): In step 2: the output of " in said
    assert first["layer"] in said
    assert "At step 0, recorded before, the largest update was " in said
    assert "The last finite loss, of step 2, was " in said


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_healthy_runs_says_nothing(archive, page, open_page):
    assert not [text for text in texts(open_page(archive, page)) if "Where it began" in text]


def test_the_table_says_what_the_loss_became(ill_archive, open_page):
    root, _ = ill_archive
    assert sorted(open_page(root).dataframe[0].value["status"]) == ["diverged (loss NaN)", "finished"]


def test_many_are_not_told_one_by_one(record, tmp_path, open_page):
    for seed in range(5):
        record(tmp_path, nan_from=15, status="diverged", seed=seed)
    (said,) = (warning.value for warning in open_page(tmp_path).warning)
    assert said.count("the loss became NaN") == 3
    assert said.endswith("2 more of the chosen runs diverged.")


KNOWN = dict.fromkeys(["before", "update_ratio", "update_layer", "quantity", "value", "loss", "loss_step"])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "In step 3: X became NaN. No step was recorded before it."),
        ({"before": 2}, "In step 3: X became NaN."),
        (
            {"before": 2, "update_ratio": 1.5, "update_layer": "stem", "quantity": "weight_norm", "value": 7.0},
            "In step 3: X became NaN. At step 2, recorded before, the largest update was 1.50 times the weights (of "
            "stem); the weights of X had a norm of 7.00.",
        ),
        (
            {"before": 1_000, "loss": 12.5, "loss_step": 1_001},
            "In step 3: X became NaN. The last finite loss, of step 1,001, was 12.5.",
        ),
        (
            {"what": "loss", "before": 2, "recorded": False},
            "In step 3: X became NaN; its layers were not recorded.",
        ),
        (
            {"what": "loss", "before": 2, "recorded": True},
            "In step 3: X became NaN; every output that was recorded of it is finite.",
        ),
    ],
)
def test_what_is_not_known_is_not_said(found, said):
    assert where(KNOWN | {"note": "in step 3: X became NaN", "what": "output", "layer": "X"} | found) == said
