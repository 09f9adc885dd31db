"""How much does the loss rise when one block no longer reads what an earlier block has computed?

    block_ablation(model, images, labels)       # block, source, target, value, kind

Cell (s, l) is L(without s, as seen by l) − L, with L the mean cross-entropy of the images: everything is as in the
whole net, but for what target l reads.

* Residual nets. By Veit et al. 2016 (arXiv 1605.06431, §3) the unravelled net lets every block read the sum of what all
  blocks before it have added. Here l reads the stream that would have arrived without the branch of block s, all other
  branches giving what they gave; in pre-activation form inside a stage that is x_l − F(x_s). Source 0 is the stem: the
  stream then starts from zero. The last target is the classifier. The whole net is one block of the table.
* Dense nets. Layer l reads zeros in place of the maps of source s, as `feature_reuse` numbers them.
* Plain nets and VGG. Block (or layer) l reads one source, the one before; it reads zeros.

Unit: nats, in evaluation mode. A source that adds nothing, or to which l gives no weight, has 0 up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.measuring.chains import Chain, dense_layers, run_units, taken_apart
from labapp.diagnostics.measuring.conditions import labelled_batches, require_classes, require_labelled
from labapp.diagnostics.measuring.splits import through

AblatedCell = tuple[int, int, int, str]  # block, source, target, kind
AblatedCells = Iterator[tuple[AblatedCell, Tensor]]


def block_ablation(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 64,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """The change of the loss when a target no longer reads a source.

    Args:
        model: A residual, dense, plain or VGG net, the lab's, torchvision's or timm's.
        images: (N, C, H, W), normalised.
        labels: (N,).
        batch_size: Images at a time.
        progress: Told the share that is done.

    Returns:
        One row a cell: block, source, target, value (change of the mean cross-entropy), kind of the target (block,
        layer, transition, classifier).
    """
    images, labels = require_labelled(images, labels)
    loss, done = 0.0, 0
    sums: dict[AblatedCell, float] = {}
    with taken_apart(model, images) as chain, torch.no_grad():
        cells_of = {"residual": _residual, "dense": _dense}.get(chain.family, _plain)
        for x, y in labelled_batches(images, labels, batch_size):
            scores = chain.run(x)
            require_classes(scores, y)
            loss += _total(scores, y)
            for cell, ablated in cells_of(chain, x):
                sums[cell] = sums.get(cell, 0.0) + _total(ablated, y)
            done += len(x)
            if progress:
                progress(done / len(images))
    if not sums:
        raise LabError(f"this net has no blocks whose sources could be taken away; it has {len(chain.units)} units")
    rows = [
        {"block": block, "source": source, "target": target, "value": (total - loss) / len(images), "kind": kind}
        for (block, source, target, kind), total in sums.items()
    ]
    return pd.DataFrame(rows).sort_values(["block", "target", "source"], ignore_index=True)


def _total(scores: Tensor, labels: Tensor) -> float:
    return F.cross_entropy(scores.double(), labels, reduction="sum").item()


def _residual(chain: Chain, x: Tensor) -> AblatedCells:
    places = chain.blocks
    inputs, branches = chain.traced(x)
    for source in range(len(places) + 1):
        if source == 0:
            at = places[0]
            seen = torch.zeros_like(inputs[at])  # the stream that comes without the source
        else:
            at = places[source - 1]
            parts = chain.units[at].parts
            if parts is None:
                continue
            seen = parts.join(through(parts.shared, inputs[at]))
            at += 1
        for number, unit in enumerate(chain.units[at:], start=at):
            if unit.parts:
                shared = through(unit.parts.shared, seen)
                changed = unit.parts.join(
                    through(unit.parts.shared, inputs[number]), through(unit.parts.branch, shared)
                )
                target = places.index(number) + 1
                yield (1, source, target, "block"), run_units(chain.units[number + 1 :], changed)
                seen = unit.parts.join(shared, branches[number])
            elif number < places[-1]:
                seen = unit.run(seen)
            else:
                break
        yield (1, source, len(places) + 1, "classifier"), run_units(chain.units[places[-1] + 1 :], seen)


def _dense(chain: Chain, x: Tensor) -> AblatedCells:
    block = 0
    last = chain.blocks[-1]
    for at, unit in enumerate(chain.units):
        if at not in chain.blocks:
            x = unit.run(x)
            continue
        block += 1
        layers = dense_layers(unit.modules[0])
        rest = chain.units[at + 1 :]
        features = [x]
        for layer in layers:
            features.append(layer(features))
        for target, layer in enumerate(layers, start=1):
            for source in range(target):
                changed = [*features[:target], layer(_without(features[:target], source))]
                for later in layers[target:]:
                    changed.append(later(changed))
                yield (block, source, target, "layer"), run_units(rest, torch.cat(changed, 1))
        kind = "classifier" if at == last else "transition"
        for source in range(len(features)):
            yield (block, source, len(features), kind), run_units(rest, torch.cat(_without(features, source), 1))
        x = torch.cat(features, 1)


def _without(features: list[Tensor], source: int) -> list[Tensor]:
    return [torch.zeros_like(map_) if number == source else map_ for number, map_ in enumerate(features)]


def _plain(chain: Chain, x: Tensor) -> AblatedCells:
    places = chain.blocks
    of_layers = chain.family == "vgg"
    for at, unit in enumerate(chain.units):
        if at in places[1:]:
            target = places.index(at) + 1
            kind = "block" if not of_layers else "classifier" if at == places[-1] else "layer"
            yield (1, target - 1, target, kind), run_units(chain.units[at:], torch.zeros_like(x))
        x = unit.run(x)
