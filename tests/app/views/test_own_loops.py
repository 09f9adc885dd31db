"""A run of somebody's own loop opens on the pages: ten lines around a torchvision model, and a Lightning Trainer."""

import pytest
import torch
import torch.nn.functional as F
import torchvision

from labapp.callbacks import record_run
from labapp.store import list_runs
from tests.app.pages import count_charts

TEN_LINES = """
from labapp.callbacks import record_run
model = torchvision.models.resnet18(num_classes=10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
with record_run(model, optimizer, "runs") as run:
    for images, labels in loader:
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss)
"""
CHARTS = {"gradient_flow": 5, "signals": 6}


def loader():
    made = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 3, 32, 32, generator=made), torch.randint(0, 10, (4,), generator=made)) for _ in range(11)]


def require_pages(open_page, root, charts, words):
    (run,) = list_runs(root)
    assert run.status == "finished"
    app = open_page(root)
    assert app.title[0].value.startswith(words["overview"])
    assert len(app.dataframe[0].value) == 1
    for page in ("gradient_flow", "signals"):
        app = open_page(root, page)
        assert app.title[0].value.startswith(words[page])
        assert count_charts(app) == charts[page], page


def test_ten_lines_around_a_torchvision_model_are_a_run_in_the_app(tmp_path, monkeypatch, open_page):
    assert len(TEN_LINES.strip().splitlines()) == 10
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(TEN_LINES, {"torch": torch, "torchvision": torchvision, "loader": loader()})
    words = {
        "overview": "None of the chosen runs has a test accuracy yet.",
        "gradient_flow": "At step 0",
        "signals": "At step ",
    }
    require_pages(open_page, tmp_path / "runs", CHARTS, words)


@pytest.mark.filterwarnings("ignore:The .* does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning's use of torch
def test_a_lightning_trainer_makes_a_run_in_the_app(tmp_path, open_page):
    pl = pytest.importorskip("pytorch_lightning", reason="Lightning is not installed: pip install 'labapp[lightning]'")
    from labapp.callbacks.lightning import LightningCallback

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = torchvision.models.resnet18(num_classes=10)

        def training_step(self, batch, number):
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch, number):
            self.log("val_acc", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.05)

    given = torch.utils.data.DataLoader(loader(), batch_size=None)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    callbacks = [LightningCallback(tmp_path)]
    pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=callbacks, **quiet).fit(Module(), given, given)
    words = {"overview": "ResNet reaches ", "gradient_flow": "At step 0", "signals": "At step "}
    require_pages(open_page, tmp_path, CHARTS, words)


def test_two_loops_are_compared_by_what_they_told(tmp_path, open_page):
    class Other(torch.nn.Sequential):
        pass

    for make in (torch.nn.Sequential, Other):
        model = make(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        with record_run(model, optimizer, tmp_path) as run:
            F.cross_entropy(model(torch.randn(4, 3, 8, 8)), torch.arange(4)).backward()
            optimizer.step()
            run.log(loss=2.0)
            run.evaluated(accuracy=0.5)
    title = open_page(tmp_path).title[0].value
    assert title.startswith(
        "Both nets end at 50 % on held-out images with the same recipe as far as their loops told it."
    )
