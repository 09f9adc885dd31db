"""The button with which a run goes on that ended before its time."""

import pytest

from labapp.app import launch
from labapp.config import Experiment, LabError
from labapp.store import Run, resume_points
from labapp.training.loop import train
from tests.app.pages import ended
from tests.store.examples import edit
from tests.training.interrupted import assert_equal, interrupted
from tests.training.small import small

DIGITS = {"imageset": "digits", "steps": 8, "record_every": 3}


def buttons(app):
    return {button.key: button for button in app.button if (button.key or "").startswith("resume-")}


@pytest.mark.long
def test_a_run_goes_on_at_the_press_of_a_button(open_page, tmp_path):
    whole = train(small(**DIGITS, seed=1), tmp_path, run_id="whole")
    cut = interrupted(tmp_path, 6, **DIGITS, seed=1)
    app = open_page(tmp_path)
    assert list(buttons(app)) == ["resume-cut"]  # none for what is finished
    button = buttons(app)["resume-cut"]
    assert button.label.startswith("Resume: residual-8")
    assert "Goes on at step 5 of 8, where its state was kept last" in button.help
    button.click().run()
    assert not app.exception
    (job,) = launch.launches(tmp_path)
    assert job.arguments == ("resume", "cut")
    if launch.load(job.path).status == "running":
        with pytest.raises(LabError, match="run 'cut' is just being resumed"):
            launch.start(["resume", "cut"], tmp_path)
    assert ended(job).status == "finished", job.tail()
    assert_equal(whole, Run(cut.path))
    app.run()
    assert buttons(app) == {}


def test_what_cannot_go_on_says_why(open_page, tmp_path, monkeypatch):
    edit(interrupted(tmp_path, 2, run_id="lost", **DIGITS).path, status="diverged", message="the loss is not finite")
    bare = interrupted(tmp_path, 2, run_id="bare", keep_every=float("inf"), **DIGITS, checkpoints=0)
    assert not resume_points(bare.path)
    edit(interrupted(tmp_path, 2, run_id="mine", **DIGITS).path, environment={})
    mine = interrupted(tmp_path, 2, run_id="other", **DIGITS)
    somebodys = Experiment(net="somebodys:net", imageset="digits", steps=8)
    edit(mine.path, experiment=somebodys.model_dump(mode="json", include=somebodys.model_fields_set))
    app = open_page(tmp_path)
    found = buttons(app)
    assert set(found) == {"resume-lost", "resume-bare", "resume-mine"}
    assert found["resume-lost"].disabled
    assert "would diverge at the same step; train anew" in found["resume-lost"].help
    assert found["resume-bare"].label.startswith("Begin again: ")
    assert "No state of it was kept, so it begins again at step 0" in found["resume-bare"].help
    assert not found["resume-bare"].disabled
    assert found["resume-mine"].disabled
    assert "was recorded in a loop of its own" in found["resume-mine"].help
    assert any("labapp resume other --trust somebodys" in caption.value for caption in app.caption)
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    assert buttons(open_page(tmp_path)) == {}


def test_a_refusal_is_shown_in_its_words(open_page, tmp_path):
    interrupted(tmp_path, 2, **DIGITS)
    job = launch.start(["resume", "cut", "--keep-evry"], tmp_path)
    assert ended(job).status == "failed"
    app = open_page(tmp_path)
    assert "ended early: labapp: `labapp resume` has no option --keep-evry (did you mean" in app.error[0].value.replace(
        "\\", ""
    )
