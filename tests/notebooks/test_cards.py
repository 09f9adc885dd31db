"""How what the recorder, a claim and a diagnosis say shows itself in a notebook."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from labapp.claims import CLAIMS, judge, verdicts
from labapp.frames.diagnosis import diagnose
from labapp.recording import Recorder, every
from labapp.recording.examine import examine
from labapp.recording.guard import RecorderWarning
from labapp.store import look
from tests.notebooks.reading import require_whole


@pytest.fixture
def examined():
    return examine(resnet18(num_classes=4), torch.randn(2, 3, 32, 32), torch.tensor([0, 1]), pairs=1)


def test_a_report_says_what_is_recorded_and_what_is_not(examined):
    report = examined.report
    for read in (require_whole(report._repr_html_()), require_whole(examined._repr_html_())):
        assert f"{len(report.layers)} places are recorded" in read.words
        assert "8 of 8 blocks into branch and shortcut" in read.words
        assert "relu, layer*.*.relu (8)" in read.words
    assert "recorded step" in read.words
    assert repr(report).startswith(f"Report({len(report.layers)} places: ")
    assert "in place: relu" in repr(report)
    assert len(repr(report)) < 400


def test_a_report_of_nothing_special():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    with Recorder(model, when=every(1)) as recorder, recorder.step():
        model(torch.ones(1, 2)).sum().backward()
    assert "nothing stands in the way" in require_whole(recorder.report()._repr_html_()).words


def test_names_of_modules_are_text():
    model = nn.Sequential()
    model.add_module("<b>x", nn.Linear(2, 2))
    model.add_module("<i>y", nn.Linear(2, 2))
    with pytest.warns(RecorderWarning), Recorder(model, when=every(1)) as recorder, recorder.step():
        model[0](torch.ones(1, 2)).sum().backward()
    assert "<i>y" in require_whole(recorder.report()._repr_html_()).words


def test_a_judgement_has_a_row_a_number(archive):
    judged = verdicts(CLAIMS["degradation"], look(archive))[0]
    read = require_whole(judged._repr_html_())
    assert judged.verdict in read.words
    assert judged.claim.statement in read.words
    assert read.tags.count("tr") == 1 + len(judged.parts)
    assert repr(judged) == f"Judgement(degradation: {judged.verdict})"
    assert repr(judged.claim).startswith("Claim(degradation: ")


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.name)
def test_every_claim_can_be_shown_without_a_number(claim):
    assert "no data" in require_whole(judge(claim, [])._repr_html_()).words


def test_a_diagnosis_ranks_its_findings(record, tmp_path):
    told = diagnose(record(tmp_path, growth=3.0, depth=56))
    read = require_whole(told._repr_html_())
    assert told.findings
    assert read.tags.count("tr") == 1 + len(told.findings)
    assert told.findings[0].title in read.words
