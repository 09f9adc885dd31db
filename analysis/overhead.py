"""What does recording cost, and what do other tools cost that record less?

A bare training step and a recorded one, in turn, on the same net and batch: one pair gives one ratio, and the median of
the pairs with the range of their middle half is what is reported. Three uses: every step, every 10th step (ten steps
against ten), and attached but idle. Beside them, where they are installed (`pip install 'labapp[peers]'`), other tools
at every step, doing what they do.

    python -m analysis.overhead --out assets
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from analysis.publish import publish
from labapp import palette
from labapp.figures import WIDTH, paper
from labapp.nets import build
from labapp.recording import Recorder, every

NETS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # net, pixels, images
    "ResNet-20": (lambda: build("residual", depth=20), 32, 64),
    "ResNet-56": (lambda: build("residual", depth=56), 32, 64),
    "DenseNet-BC-40": (lambda: build("dense", depth=40, bottleneck=True, compression=0.5), 32, 64),
    "torchvision ResNet-18": (lambda: torchvision.models.resnet18(num_classes=10), 64, 32),
}
Step = Callable[[], None]
Tool = Callable[[nn.Module, torch.optim.Optimizer, Tensor], contextlib.AbstractContextManager[Callable[[Step], None]]]


@contextlib.contextmanager
def labapp(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, when: Callable[[int], bool], **options):
    """Our recorder; the first recorded step, which studies the net, is over before the clock starts."""
    with Recorder(model, optimizer, when=when, **options) as recorder:

        def run(step: Step) -> None:
            with recorder.step():
                step()

        run(lambda: train(model, optimizer, images))
        yield run


def every_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> contextlib.AbstractContextManager:
    """All quantities but histograms, every step."""
    return labapp(model, optimizer, images, every(1))


def every_tenth(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor
) -> contextlib.AbstractContextManager:
    """All quantities but histograms, every 10th step."""
    return labapp(model, optimizer, images, every(10))


def idle(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> contextlib.AbstractContextManager:
    """Attached, and recording nothing."""
    return labapp(model, optimizer, images, lambda step: step == 0)


def with_histograms(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor
) -> contextlib.AbstractContextManager:
    """All quantities every step, histograms at every 10th of them."""
    return labapp(model, optimizer, images, every(1), histograms=every(10))


def weight_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """What the other tools are pointed at."""
    return [(path, m) for path, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@contextlib.contextmanager
def tensorboard(model: nn.Module, histograms: bool) -> Iterator[Callable[[Step], None]]:
    """The usual hooks of a forum answer: scalars of each output and gradient, or their histograms, to TensorBoard."""
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

        handles = [module.register_forward_hook(hook(path)) for path, module in weight_layers(model)]

        def run(step: Step) -> None:
            step()
            for path, module in weight_layers(model):
                if histograms:
                    writer.add_histogram(f"gradient/{path}", module.weight.grad, at[0])
                else:
                    writer.add_scalar(f"gradient/{path}", module.weight.grad.norm().item(), at[0])
            at[0] += 1

        yield run
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def wandb_watch(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> Iterator[Callable[[Step], None]]:
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
def delve_saturation(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor
) -> Iterator[Callable[[Step], None]]:
    """Layer saturation."""
    from delve import SaturationTracker

    with tempfile.TemporaryDirectory() as folder:
        tracker = SaturationTracker(f"{folder}/delve", save_to="csv", modules=model, device="cpu")

        def run(step: Step) -> None:
            step()
            tracker.add_saturations()

        yield run
        tracker.close()


@contextlib.contextmanager
def torchlens_trace(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor
) -> Iterator[Callable[[Step], None]]:
    """A trace of every operation of the forward pass, beside the step."""
    import torchlens

    trace = getattr(torchlens, "log_forward_pass", None) or torchlens.trace

    def run(step: Step) -> None:
        step()
        trace(model, images)

    yield run


OURS: dict[str, tuple[Tool, int]] = {
    "labapp, every step": (every_step, 1),
    "labapp, every 10th step": (every_tenth, 10),
    "labapp, attached but idle": (idle, 1),
    "labapp, histograms every 10th": (with_histograms, 10),
}
PEERS: dict[str, tuple[str, Tool]] = {
    "TensorBoard scalars": ("tensorboard", lambda m, o, x: tensorboard(m, False)),
    "TensorBoard histograms": ("tensorboard", lambda m, o, x: tensorboard(m, True)),
    "wandb.watch, offline": ("wandb", wandb_watch),
    "delve, saturation": ("delve", delve_saturation),
    "torchlens, trace": ("torchlens", torchlens_trace),
}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> None:
    """One bare training step."""
    labels = torch.arange(len(images), device=images.device) % 10
    optimizer.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()


def compare(make: Callable[[], nn.Module], pixels: int, count: int, tool: Tool, steps: int, pairs: int) -> np.ndarray:
    """(pairs, 2) seconds of `steps` bare steps and of as many instrumented ones, in turn."""
    torch.manual_seed(0)
    model = make().train()
    images = torch.randn(count, 3, pixels, pixels)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

    def one() -> None:
        train(model, optimizer, images)

    seconds = np.empty((pairs, 2))
    bare_model = make().train()  # hooks stay on the other one between its turns
    bare_model.load_state_dict(model.state_dict())
    bare_optimizer = torch.optim.SGD(bare_model.parameters(), 0.01, momentum=0.9)

    def bare() -> None:
        train(bare_model, bare_optimizer, images)

    for _ in range(2):
        bare()
        one()
    with tool(model, optimizer, images) as run:
        run(one)
        for pair in range(pairs):
            for turn in (0, 1) if pair % 2 else (1, 0):
                started = time.perf_counter()
                for _ in range(steps):
                    if turn:
                        run(one)
                    else:
                        bare()
                seconds[pair, turn] = time.perf_counter() - started
    return seconds / steps


def measure(nets: list[str], pairs: int) -> pd.DataFrame:
    """One row a pair: net, tool, version, pair, bare, recorded (seconds a step), ratio."""
    rows = []
    for name in nets:
        make, pixels, count = NETS[name]
        tools: dict[str, tuple[Tool, int, str]] = {
            label: (tool, steps, importlib.metadata.version("labapp")) for label, (tool, steps) in OURS.items()
        }
        for label, (package, tool) in PEERS.items():
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                tools[label] = (tool, 1, importlib.metadata.version(package))
        for label, (tool, steps, version) in tools.items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # other people's
                    seconds = compare(make, pixels, count, tool, steps, max(3, pairs // (3 if steps > 1 else 1)))
            except Exception as error:
                print(f"{name}: {label} {version} failed: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
                continue
            for pair, (bare, recorded) in enumerate(seconds):
                rows.append((name, label, version, pair, bare, recorded, recorded / bare))
            ratios = seconds[:, 1] / seconds[:, 0]
            print(f"{name}: {label}: {np.median(ratios):.3f}", flush=True)  # noqa: T201
    return pd.DataFrame(rows, columns=["net", "tool", "version", "pair", "bare", "recorded", "ratio"])


def summary(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a (net, tool): median ratio, the middle half of the ratios, milliseconds of a bare step."""
    groups = pairs.groupby(["net", "tool"], sort=False)
    return pd.DataFrame(
        {
            "version": groups["version"].first(),
            "pairs": groups.size(),
            "bare_ms": groups["bare"].median() * 1e3,
            "ratio": groups["ratio"].median(),
            "ratio_25": groups["ratio"].quantile(0.25),
            "ratio_75": groups["ratio"].quantile(0.75),
        }
    ).reset_index()


def draw(table: pd.DataFrame, pairs: pd.DataFrame, out: Path) -> list[Path]:
    """Write overhead.{png,svg,pdf,csv}, the pairs behind it and the table as Markdown."""
    nets = list(table["net"].unique())
    tools = list(table["tool"].unique())[::-1]
    columns = min(2, len(nets))
    rows_of_panels = -(-len(nets) // columns)
    size = (WIDTH, 0.6 + rows_of_panels * (0.35 + 0.19 * len(tools)))
    figure, axes = plt.subplots(
        *(rows_of_panels, columns), figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    top = max(1.2, float(table["ratio_75"].max()) * 1.1)
    for ax, net in zip(axes.flat, nets, strict=False):
        rows = table[table["net"] == net].set_index("tool").reindex(tools)
        ours = [tool.startswith("labapp") for tool in tools]
        for mine, colour in ((True, palette.colour("residual")), (False, palette.colour("foreign"))):
            at = [i for i, own in enumerate(ours) if own is mine]
            part = rows.iloc[at]
            spread = np.abs(part[["ratio_25", "ratio_75"]].to_numpy().T - part["ratio"].to_numpy())
            ax.errorbar(part["ratio"], at, xerr=spread, fmt="o", ms=4, color=colour, lw=1)
        ax.axvline(1, color="0.6", lw=0.8, zorder=0)
        ax.set(title=net, xscale="log", xlim=(0.96, top))
        ax.set_xticks([tick for tick in (1, 1.2, 1.5, 2, 3, 5, 10) if tick < top])
        ax.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    for ax in axes.flat[len(nets) :]:
        ax.set_visible(False)
    axes[0, 0].set_yticks(range(len(tools)), tools)
    figure.supxlabel("step time over a bare step (median, middle half of the pairs)", fontsize="medium")
    written = publish(figure, table, out, "overhead")
    raw, text = out / "overhead-pairs.csv", out / "overhead.md"
    pairs.to_csv(raw, index=False, float_format="%.6g")
    wide = table.pivot_table(index="tool", columns="net", values="ratio", sort=False)
    lines = [
        "| step time over a bare step | " + " | ".join(wide.columns) + " |",
        "|---" * (len(wide.columns) + 1) + "|",
    ]
    lines += [
        f"| {tool} | " + " | ".join("–" if np.isnan(v) else f"{v:.3f}" for v in row) + " |"
        for tool, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    text.write_text("\n".join(lines) + "\n")
    return [*written, raw, text]


def main() -> int:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="figures", type=Path, metavar="DIR", help="where the files go (figures)")
    parser.add_argument(
        "--nets", nargs="+", choices=list(NETS), default=list(NETS), metavar="NET", help=", ".join(NETS)
    )
    parser.add_argument("--pairs", type=int, default=30, help="pairs of steps for each tool (30)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads for torch (all cores)")
    options = parser.parse_args()
    if options.pairs < 3 or options.threads < 1:
        parser.error("--pairs takes 3 or more, --threads 1 or more")
    mpl.use("agg")
    torch.set_num_threads(options.threads)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot write into {options.out}: {error.strerror}; choose another --out")
    pairs = measure(options.nets, options.pairs)
    with paper():
        written = draw(summary(pairs), pairs, options.out)
    print(*written, sep="\n")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
