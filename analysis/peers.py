"""What is timed beside a bare training step: uses of this recorder, and other tools that record less or differently.

A tool is a context manager that is given the net, the optimizer and a batch, and gives a function that runs one step
under it. Other tools do at every step what they do by default; each names the package that it needs, and
`pip install 'labapp[peers]'` installs them.

- TensorBoard: hooks as forum answers have them, two reductions or a histogram for each layer's output and gradient.
- wandb.watch: histograms of parameter gradients. It writes from a process of its own, whose CPU time is not seen.
- delve: covariance of each layer's output, and how many directions explain most of it.
- torchlens: a trace of every operation of a forward pass, run beside the step.
- torchinstruments: moments, quantiles and histograms of each module's output and its gradient, written to Parquet and
  TensorBoard twice a step. It is made for one sample a minute; the files are rewritten each time, so a step costs more
  the longer a run is.
- tracetorch-ml: moments of inputs and outputs, norms of gradients and latency of each module, the last step only. Its
  full backward hooks do not work where a module's output is changed in place, as torchvision's residual nets do.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import labapp
from labapp.recording import Recorder, every

Step = Callable[[], None]
Run = Callable[[Step], None]


@dataclass(frozen=True)
class Tool:
    """Something to time.

    Attributes:
        attach: gives, for as long as its context lasts, what runs a step under the tool.
        package: the distribution it needs besides this one, "" for none.
        steps: how many steps are timed as one, where the tool does not do the same at each.
    """

    attach: Callable[[nn.Module, torch.optim.Optimizer, Tensor], contextlib.AbstractContextManager[Run]]
    package: str = ""
    steps: int = 1

    @property
    def version(self) -> str | None:
        """The version of what is installed; None where it is not."""
        if not self.package:
            return labapp.__version__
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None


def recorder(when: Callable[[int], bool], steps: int = 1, **options: Callable[[int], bool]) -> Tool:
    """This package's recorder, every quantity but those that `options` add."""

    @contextlib.contextmanager
    def attach(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> Iterator[Run]:
        with Recorder(model, optimizer, when=when, **options) as attached:

            def run(step: Step) -> None:
                with attached.step():
                    step()

            yield run

    return Tool(attach, steps=steps)


def weight_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The convolutions and linear layers, which the hooks for TensorBoard are put on."""
    return [(path, m) for path, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def tensorboard(histograms: bool) -> Tool:
    """Hooks that write to TensorBoard: scalars of each layer's output and gradient, or their histograms."""

    @contextlib.contextmanager
    def attach(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> Iterator[Run]:
        from torch.utils.tensorboard import SummaryWriter

        with tempfile.TemporaryDirectory() as folder, contextlib.closing(SummaryWriter(folder)) as writer:
            at = [0]

            def hook(path: str) -> Callable[..., None]:
                def run(module: nn.Module, args: tuple, output: Tensor) -> None:
                    if histograms:
                        writer.add_histogram(f"output/{path}", output.detach(), at[0])
                    else:
                        writer.add_scalar(f"mean/{path}", output.mean().item(), at[0])
                        writer.add_scalar(f"std/{path}", output.std().item(), at[0])
                        writer.add_scalar(f"zeros/{path}", (output <= 0).float().mean().item(), at[0])

                return run

            layers = weight_layers(model)
            handles = [module.register_forward_hook(hook(path)) for path, module in layers]

            def run(step: Step) -> None:
                step()
                for path, module in layers:
                    if histograms:
                        writer.add_histogram(f"gradient/{path}", module.weight.grad, at[0])
                    else:
                        writer.add_scalar(f"gradient/{path}", module.weight.grad.norm().item(), at[0])
                at[0] += 1

            yield run
            for handle in handles:
                handle.remove()

    return Tool(attach, "tensorboard")


@contextlib.contextmanager
def wandb_watch(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> Iterator[Run]:
    """Histograms of all parameter gradients, offline."""
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        run_of = wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True, console="off"))
        run_of.watch(model, log="gradients", log_freq=1)

        def run(step: Step) -> None:
            step()
            run_of.log({"step": 0})

        yield run
        run_of.unwatch(model)
        run_of.finish()


@contextlib.contextmanager
def delve_saturation(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> Iterator[Run]:
    """Layer saturation."""
    from delve import SaturationTracker

    logging.getLogger("delve.logger").setLevel(logging.WARNING)  # it says which modules it leaves out
    with tempfile.TemporaryDirectory() as folder:
        tracker = SaturationTracker(f"{folder}/delve", save_to="csv", modules=model, device="cpu")

        def run(step: Step) -> None:
            step()
            tracker.add_saturations()

        yield run
        tracker.close()


@contextlib.contextmanager
def torchlens_trace(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> Iterator[Run]:
    """A trace of every operation of the forward pass, beside the step."""
    import torchlens

    trace = getattr(torchlens, "log_forward_pass", None) or torchlens.trace

    def run(step: Step) -> None:
        step()
        trace(model, images)

    yield run


@contextlib.contextmanager
def torchinstruments_observer(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> Iterator[Run]:
    """Statistics and histograms of all modules, at every forward instead of once a minute."""
    import torchinstruments as instruments

    with tempfile.TemporaryDirectory() as folder:
        instruments.inject_observer(
            model, output_dir=folder, sampler=instruments.AlwaysSampler(), error_policy=instruments.ErrorPolicy.RAISE
        )
        yield lambda step: step()
        instruments.remove_observer(model)


@contextlib.contextmanager
def tracetorch_session(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> Iterator[Run]:
    """Statistics, gradients and latency of all modules."""
    from tracetorch import TraceSession  # of tracetorch-ml; the distribution `tracetorch` is about spiking nets

    with TraceSession(model):
        yield lambda step: step()


OURS = "labapp"  # how the names of our own uses begin
TOOLS = {
    "labapp, every step": recorder(every(1)),
    "labapp, every 10th step": recorder(every(10), steps=10),
    "labapp, attached but idle": recorder(lambda step: step == 0),
    "labapp, histograms every 10th": recorder(every(1), steps=10, histograms=every(10)),
    "TensorBoard scalars": tensorboard(histograms=False),
    "TensorBoard histograms": tensorboard(histograms=True),
    "wandb.watch, offline": Tool(wandb_watch, "wandb"),
    "delve, saturation": Tool(delve_saturation, "delve"),
    "torchlens, trace": Tool(torchlens_trace, "torchlens"),
    "torchinstruments, every step": Tool(torchinstruments_observer, "torchinstruments"),
    "tracetorch-ml, session": Tool(tracetorch_session, "tracetorch-ml"),
}
