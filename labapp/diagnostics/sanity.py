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

Method:
    Meaning: Whether an explanation depends on what the net has learnt.
    Formula: Spearman's ρ (and SSIM) of maps of the trained net and of the net whose weights are replaced, layer by
        layer from the output.
    Source: Adebayo et al. 2018 (arXiv 1810.03292), §4.
    Batch norm: Its running statistics belong to its layer and are replaced with it.
    Sampling: Test images with the class held fixed; the verdict is by the interval of their mean between −½ and ½.
    Fails: ½ is a convention. Where an image shows one bright thing on a plain ground, any map that follows the input
        keeps a high ρ.
    Command: labapp explain RUN --index 0
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labapp.config import LabError
from labapp.diagnostics.measuring.copies import copied, restarted
from labapp.diagnostics.measuring.interval import Interval, mean_interval
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.rank_correlation import rank_correlation
from labapp.diagnostics.ssim import ssim, to_unit_range
from labapp.recording.hooks import Hooks
from labapp.recording.places import kind_of, owns_parameters, require_open

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
    net = copied(model)
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
    """The weight layers in order of execution: {path: [itself, and the norms and other weights up to the next one]}.

    Every weight of the net is in one of them. Weights that are used without their layer being called, as an attention
    uses its projections', belong to the module that ran around them; weights that a module has beside its parts (a
    position embedding, a scale) to the first of these parts.
    """
    require_open(model)
    modules = {path: module for path, module in model.named_modules() if "parametrizations" not in path.split(".")}
    ran: dict[str, None] = {}

    def note(path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        ran.pop(path, None)  # of several calls the last counts: it is the first that the cascade reaches
        ran[path] = None

    with undisturbed(model), torch.no_grad(), Hooks() as hooks:
        for path, module in modules.items():
            hooks.after(module, partial(note, path))
        model(images[:1].clone())
    held: dict[str, list[str]] = {}  # a path that ran -> its own weights', and those of parts that were not called
    for path, module in modules.items():
        if owns_parameters(module):
            held.setdefault(next(around for around in _outwards(path) if around in ran or not around), []).append(path)
    groups: dict[str, list[str]] = {}
    group_of: dict[str, str] = {}
    for path in [path for path in ran if path in held and not _inside(path, held)]:
        kinds = {kind_of(modules[each]) for each in held[path]}
        if not groups or kinds & {"conv", "linear", "attention", "recurrent"}:
            groups[path] = []
        group_of[path] = next(reversed(groups))
        groups[group_of[path]] += held[path]
    order = list(groups)
    for path in [path for path in held if path not in group_of]:
        parts = [group_of[part] for part in _inside(path, group_of)]
        groups[min(parts, key=order.index) if parts else order[0]] += held[path]
    return groups


def _outwards(path: str) -> Iterator[str]:
    """A path and those of all modules around it, up to the net itself, ""."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _inside(path: str, others: Iterable[str]) -> list[str]:
    """Those of other paths that lie inside one."""
    return [other for other in others if other != path and (not path or other.startswith(f"{path}."))]


def _replace(module: nn.Module, fresh: nn.Module, path: str) -> None:
    computed = parametrize.is_parametrized(module)
    parts = module.parametrizations.named_modules(prefix=f"{path}.parametrizations".lstrip(".")) if computed else ()  # type: ignore[union-attr]
    try:
        for where, part in ((path, module), *parts):
            source = fresh.get_submodule(where)
            new = dict((*source.named_parameters(recurse=False), *source.named_buffers(recurse=False)))
            with torch.no_grad():
                for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
                    tensor.copy_(new[name])
    except (AttributeError, KeyError, RuntimeError) as error:
        raise LabError(f"the untrained net is not of the same kind: its '{path}' does not fit ({error})") from None


def _spread(layers: int, checks: int | None) -> set[int]:
    """After how many layers to compare: evenly spread, and always after the last."""
    count = layers if checks is None else max(1, min(checks, layers))
    return {round(layers * (number + 1) / count) for number in range(count)}
