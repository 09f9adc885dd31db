"""Does an explanation depend on what the net has learnt?

Weights are replaced by first weights, layer after layer from the output down, and after each layer the maps are
computed again and compared with those of the trained net: Spearman's ρ of the signed and of the absolute values, and
SSIM of the absolute values on one range. An explanation that still looks the same when every weight is random explains
the image, not the net.

Adebayo et al. 2018, *Sanity Checks for Saliency Maps* (arXiv 1810.03292), §4, cascading randomisation. The class
asked about must be held fixed by the caller, as there. A normalisation's running statistics belong to its layer and
are replaced with it.

The verdict takes ρ of the maps as they are, and averages it over the whole cascade, because the methods that fail do
so half-way: guided backpropagation hardly changes until the lowest layers are random too. It is *depends on the
weights* if the interval of that number's mean over the images lies between −½ and ½, *does not* if it lies outside,
*undecided* if it crosses. ½ is a convention: below it less than a quarter of the variance of the ranks is shared.
Where an image shows one bright thing on a plain ground, any map that follows the input keeps a high ρ and fails.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.interval import Interval, mean_interval
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.rank_correlation import rank_correlation
from labapp.diagnostics.ssim import ssim, to_unit_range
from labapp.recording.hooks import Hooks
from labapp.recording.places import kind_of

DEPENDS, DOES_NOT, UNDECIDED = "depends on the weights", "does not depend on the weights", "undecided"
THRESHOLD = 0.5

Explain = Callable[[nn.Module], Tensor]  # a net to its maps (N, H, W) of the same images and classes


@dataclass(frozen=True)
class Sanity:
    """How the maps changed while the net was made random; row l of a table: after `layers[l]` and all above it."""

    layers: list[str]
    signed: Tensor  # (L, N), Spearman's ρ with the trained net's map
    absolute: Tensor  # (L, N), ρ of the absolute values
    ssim: Tensor  # (L, N), of the absolute values on one range

    @property
    def interval(self) -> Interval:
        """Of the mean over images of the signed ρ, averaged over the cascade: what the verdict comes from."""
        return mean_interval(self.signed.nanmean(0))

    @property
    def verdict(self) -> str:
        """*depends on the weights*, *does not depend on the weights*, or *undecided* where the interval crosses ½."""
        _, low, high, _ = self.interval
        if low > -THRESHOLD and high < THRESHOLD:
            return DEPENDS
        if low >= THRESHOLD or high <= -THRESHOLD:
            return DOES_NOT
        return UNDECIDED  # also where there is no interval

    def rows(self) -> list[dict[str, Any]]:
        """A tidy table: randomised (how many layers), layer, measure, mean, low, high, images."""
        tables = {"signed": self.signed, "absolute": self.absolute, "ssim": self.ssim}
        return [
            {"randomised": number, "layer": layer, "measure": measure, **mean_interval(table[number - 1]).columns}
            for number, layer in enumerate(self.layers, start=1)
            for measure, table in tables.items()
        ]


def sanity_check(
    model: nn.Module,
    explain: Explain,
    images: Tensor,
    *,
    fresh: nn.Module | None = None,
    checks: int | None = None,
    seed: int = 0,
) -> Sanity:
    """Compare a net's maps with those of the same net, made random from the top.

    The net itself is not changed; the cascade runs through a copy.

    Args:
        model: The trained net.
        explain: A net to maps (N, H, W), always of the same images and classes, such as
            `lambda net: gradcam(net, images, classes, layer)[layer]`.
        images: (N, C, H, W), on which the order of execution is found.
        fresh: The same net with first weights, such as its checkpoint of step 0 or one of another seed; None draws them
            (`restarted`).
        checks: At most so many comparisons, evenly spread over the layers, as each costs a new explanation; None makes
            one a layer.
        seed: Of the first weights, where `fresh` is None.
    """
    groups = weight_layers(model, images)
    if not groups:
        raise LabError("this net has no weights that could be made random")
    fresh = fresh if fresh is not None else restarted(model, seed)
    net = copy.deepcopy(model)
    trained = explain(model).detach()
    ends = _spread(len(groups), checks)
    layers, signed, absolute, looks = [], [], [], []
    for number, (name, paths) in enumerate(reversed(groups.items()), start=1):
        for path in paths:
            _replace(net.get_submodule(path), fresh, path)
        if number not in ends:
            continue
        maps = explain(net).detach()
        layers.append(name)
        signed.append(rank_correlation(trained, maps))
        absolute.append(rank_correlation(trained.abs(), maps.abs()))
        looks.append(ssim(to_unit_range(trained), to_unit_range(maps)))
    return Sanity(layers, torch.stack(signed).cpu(), torch.stack(absolute).cpu(), torch.stack(looks).cpu())


def weight_layers(model: nn.Module, images: Tensor) -> dict[str, list[str]]:
    """The weight layers in order of execution: {path: [itself, and the norms and other weights up to the next one]}."""
    paths = [path for path, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    ran: dict[str, None] = {}

    def note(path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        ran.setdefault(path)

    with undisturbed(model), torch.no_grad(), Hooks() as hooks:
        for path in paths:
            hooks.after(model.get_submodule(path), partial(note, path))
        model(images[:1].clone())
    groups: dict[str, list[str]] = {}
    for path in ran:
        if not groups or kind_of(model.get_submodule(path)) in ("conv", "linear"):
            groups[path] = []
        next(reversed(groups.values())).append(path)
    return groups


def restarted(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy with new random weights in every layer.

    Convolutions and linear layers draw He's, which keep the size of the signal also where normalisations start with the
    statistics (0, 1); all else starts as PyTorch starts it.
    """
    net = copy.deepcopy(model).cpu()  # one seed, the same weights on every device
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        for module in net.modules():
            restart = getattr(module, "reset_parameters", None)
            if callable(restart):
                restart()
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif not callable(restart):
                for parameter in module.parameters(recurse=False):  # of a class that does not say how it starts
                    if parameter.numel() > 1:
                        parameter.copy_(torch.randn(parameter.shape) * float(parameter.std()))
    return net


def _replace(module: nn.Module, fresh: nn.Module, path: str) -> None:
    try:
        source = fresh.get_submodule(path)
        with torch.no_grad():
            for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                tensor.copy_(source.get_parameter(name) if name in module._parameters else source.get_buffer(name))
    except (AttributeError, RuntimeError) as error:
        raise LabError(f"the untrained net is not of the same kind: its '{path}' does not fit ({error})") from None


def _spread(layers: int, checks: int | None) -> set[int]:
    """After how many layers to compare: evenly spread, and always after the last."""
    count = layers if checks is None else max(1, min(checks, layers))
    return {round(layers * (number + 1) / count) for number in range(count)}
