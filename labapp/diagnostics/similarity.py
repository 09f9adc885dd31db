"""Which layers of one or two nets resemble each other?

Linear CKA (`labapp.diagnostics.linear_cka`) of all pairs of layers in one pass over the images: of one net with itself,
of two nets, or of one net at two checkpoints. A hook turns each layer's output into a Gram matrix (batch × batch) at
once, so memory is bounded by batch² × layers, whatever the number of images. Sums of HSIC over the batches give the
minibatch estimate (Nguyen, Raghu, Kornblith 2021, arXiv 2010.15327).

The interval is a bootstrap over batches, with the percentiles expanded for their small number (Hesterberg 2015,
arXiv 1411.5279, §4.4): a percentile interval from 8 batches would be about a quarter too narrow.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.linear_cka import LEAST_IMAGES, centred, half_gram, nothing_alike, nothing_in, whole
from labapp.diagnostics.measuring.copies import copied
from labapp.diagnostics.measuring.features import Images, batches
from labapp.diagnostics.measuring.interval import expanded_tail
from labapp.diagnostics.measuring.outputs import OutputReader
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.places import LayerSelection

ESTIMATORS = ("unbiased", "biased")
BATCH_SIZE = 32  # the spread of CKA from 512 images is 1.25 times that of one batch of 512; half the work of 64
GROUPS = 64  # sums of HSIC kept apart for the bootstrap; more batches than that share a group
LEAST_GROUPS = 5
REPLICATES = 1000
CONFIDENCE = 0.95


def similarity(
    model: nn.Module,
    images: Images,
    other: nn.Module | Mapping[str, Tensor] | None = None,
    *,
    layers: LayerSelection = None,
    other_layers: LayerSelection = None,
    estimator: str = "unbiased",
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    r"""CKA of all pairs of layers.

    Columns: layer, kind, depth, relative_depth, stage, block, the same with other_ before it, cka, low, high (the 95 %
    interval), images, batches, features, other_features (values an image), estimator, note. One row a pair.

    Args:
        model: A net.
        images: (N, C, H, W), mixed and cut into equal batches; or batches as a DataLoader gives them, taken as they
            come: then mix them yourself, since images of one class in a batch hide what tells classes apart.
        other: A second net on the same images, or a second state of the first one's weights. None: the net itself.
        layers: Which layers, see `labapp.recording.places.choose`; None takes `measuring.outputs.representations`.
        other_layers: The same for the other net; None takes what `layers` says.
        estimator: unbiased or biased.
        batch_size: Images in a batch, where `images` is a tensor.
        seed: Of the mixing and the bootstrap.
        progress: Called with the number of images done.

    Raises:
        LabError: For an unknown estimator or layer, for nets that cannot see the same images, or for too few images.

    Method:
        Meaning: Which layers tell the same images apart in the same way: of one net, of two, or of two checkpoints.
        Formula: $\mathrm{CKA} = \dfrac{\mathrm{HSIC}(K, L)}{\sqrt{\mathrm{HSIC}(K, K) \, \mathrm{HSIC}(L, L)}}$, K and
            L the Gram matrices of two layers' features.
        Source: Kornblith et al. 2019 (arXiv 1905.00414); the minibatch estimate: Nguyen, Raghu & Kornblith 2021 (arXiv
            2010.15327).
        Batch norm: Running statistics, as the net is used; at a checkpoint before training, which has none yet, those
            of 128 probe images, held fixed.
        Sampling: Batches of test images, the unbiased estimate; the interval is a bootstrap over batches, expanded for
            their small number.
        Fails: Dominated by the directions of largest variance: rescaling single features changes it. Two layers can be
            alike in CKA and differ in what they can tell apart.
    """
    if estimator not in ESTIMATORS:
        raise LabError(f"unknown estimator '{estimator}'; there are {' and '.join(ESTIMATORS)}")
    if batch_size < LEAST_IMAGES:
        raise LabError(f"a batch of {batch_size} images says nothing about similarity; take at least {LEAST_IMAGES}")
    if isinstance(other, Mapping):
        other = _with_weights(model, other)
    if other is model and other_layers is None:
        other = None
    sums = _Sums(estimator == "unbiased")
    done = 0
    with ExitStack() as stack:
        for net in [model] if other is None or other is model else [model, other]:
            stack.enter_context(undisturbed(net))
        stack.enter_context(torch.no_grad())
        readers = [stack.enter_context(OutputReader(model, layers))]
        if other is not None:
            readers.append(stack.enter_context(OutputReader(other, layers if other_layers is None else other_layers)))
        for batch in _mixed(images, batch_size, seed):
            done += len(batch)
            if len(batch) >= LEAST_IMAGES:
                sums.add([_grams(reader, batch) for reader in readers])
            if progress is not None:
                progress(done)
    if not sums.images:
        raise LabError(f"{done} images say nothing about similarity; give batches of at least {LEAST_IMAGES}")
    return _table(sums, readers, estimator, seed)


class _Sums:
    """HSIC of pairs of layers summed over batches, in up to GROUPS groups.

    Attributes:
        cross: for each group (A, B), HSIC between the layers of one side and of the other.
        own: for each group (A + B), HSIC of every layer with itself.
        features: (A + B), values an image.
        reasons: by layer, why a batch in which its features differ says nothing about it.
    """

    def __init__(self, unbiased: bool) -> None:
        self.unbiased, self.images, self.batches, self.smallest = unbiased, 0, 0, sys.maxsize
        self.cross: list[np.ndarray] = []
        self.own: list[np.ndarray] = []
        self.features: list[int] = []
        self.reasons: dict[int, str] = {}
        self._per_group = 1

    def add(self, read: list[tuple[Tensor, list[int]]]) -> None:
        """One batch: for each net the layers' Gram matrices (L, n, n) and numbers of features."""
        n = read[0][0].shape[-1]
        # a batch counts by its number of images
        parts = [n**0.5 * self._centred(grams) for grams, _ in read]
        cross = (parts[0] @ parts[-1].T).numpy()
        own = torch.cat([part.square().sum(1) for part in (parts[0], parts[-1])]).numpy()
        if self.batches % self._per_group:
            self.cross[-1] += cross
            self.own[-1] += own
        else:
            if len(self.cross) == GROUPS:
                self._pair_up()
            self.cross.append(cross)
            self.own.append(own)
        self.features = [*read[0][1], *read[-1][1]]
        self.batches += 1
        self.images += n
        self.smallest = min(self.smallest, n)
        for index, gram in enumerate([*read[0][0], *read[-1][0]]):
            if not own[index] and index not in self.reasons and bool(gram.any()):
                self.reasons[index] = nothing_alike(gram)

    def _centred(self, grams: Tensor) -> Tensor:
        """Centred Gram matrices as rows; 0 where all is rounding, which would else be compared."""
        found = centred(grams, unbiased=self.unbiased).flatten(1)
        own = found.square().sum(1)
        return found.where(~nothing_in(grams, own, torch.float32)[:, None] | own.isnan()[:, None], 0.0)

    def _pair_up(self) -> None:
        for sums in (self.cross, self.own):
            sums[:] = [first + second for first, second in zip(sums[::2], sums[1::2], strict=True)]
        self._per_group *= 2

    def estimate(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """CKA and the two ends of its interval, each (A, B)."""
        cross, own = np.stack(self.cross), np.stack(self.own)  # (G, A, B), (G, A + B)
        groups, layers, _ = cross.shape
        own_first, own_second = own[:, :layers], own[:, layers:]
        value = _ratio(cross.sum(0), own_first.sum(0)[:, None], own_second.sum(0))
        if groups < LEAST_GROUPS:
            return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
        drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=REPLICATES)
        weights = drawn.astype(float)  # (R, G): how often each group was drawn
        tail = expanded_tail(groups, CONFIDENCE)
        redrawn_first, redrawn_second = weights @ own_first, weights @ own_second  # (R, A), (R, B)
        ends = [  # a layer at a time: all replicates of all pairs at once would be the largest array here
            np.quantile(
                _ratio(weights @ cross[:, layer], redrawn_first[:, layer, None], redrawn_second),
                [tail, 1 - tail],
                axis=0,
            )
            for layer in range(layers)
        ]
        low, high = np.stack(ends, axis=1)
        return value, low, high


def _ratio(cross: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CKA; NaN where a layer has no similarity with itself, because all its features are the same."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return cross / np.sqrt(first * second)


def _grams(reader: OutputReader, images: Tensor) -> tuple[Tensor, list[int]]:
    """One forward pass: the layers' Gram matrices (L, n, n) and how many features each has."""
    halves: list[tuple[Tensor, Tensor]] = []
    sizes: list[int] = []

    def on_output(index: int, output: Tensor) -> None:
        if len(output) != len(images):
            name = reader.positions()[index].layer
            raise LabError(f"{name} makes {len(output)} rows of {len(images)} images; choose layers that keep them")
        halves.append(half_gram(output))
        sizes.append(output[0].numel())

    reader.read(images, on_output)
    if not halves:
        raise LabError("none of the chosen layers ran in a forward pass; choose others")
    products, powers = zip(*halves, strict=True)
    return whole(torch.stack(products), torch.stack(powers)), sizes


def _with_weights(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    twin = copied(model)
    try:
        twin.load_state_dict(state)
    except RuntimeError as error:
        raise LabError(f"these weights are of another net: {str(error).splitlines()[-1].strip()}") from None
    return twin


def _mixed(images: Images, batch_size: int, seed: int) -> Iterator[Tensor]:
    """A tensor's images in random order and batches of nearly equal size; batches as they come."""
    if not isinstance(images, Tensor):
        yield from batches(images, batch_size)
        return
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(images)))
    for part in order.tensor_split(max(1, round(len(images) / batch_size))):
        yield images[part.to(images.device)]


def _table(sums: _Sums, readers: list[OutputReader], estimator: str, seed: int) -> pd.DataFrame:
    own = np.sum(sums.own, axis=0)
    first = len(readers[0].positions())
    why = [sums.reasons.get(index, "all images have the same features") for index in range(len(own))]
    left = _side(readers[0], sums, own[:first], sums.features[:first], why[:first])
    right = _side(readers[-1], sums, own[first:], sums.features[first:], why[first:])
    table = left.merge(right.add_prefix("other_"), how="cross")
    shape = len(left), len(right)
    for name, values in zip(("cka", "low", "high"), sums.estimate(seed), strict=True):
        whole = np.full(shape, np.nan)
        whole[: values.shape[0], : values.shape[1]] = values  # layers that never ran stand at the end
        table[name] = whole.ravel()
    notes = [
        "; ".join(dict.fromkeys(note for note in pair if note))
        for pair in zip(table.pop("note"), table.pop("other_note"), strict=True)
    ]
    if len(sums.cross) < LEAST_GROUPS:
        few = f"{len(sums.cross)} batches of images; an interval needs at least {LEAST_GROUPS}"
        notes = ["; ".join(filter(None, (note, few))) for note in notes]
    return table.assign(images=sums.images, batches=sums.batches, estimator=estimator, note=notes)


def _side(reader: OutputReader, sums: _Sums, own: np.ndarray, sizes: list[int], why: list[str]) -> pd.DataFrame:
    """One net's layers, with what there is to say about each."""

    def note(name: str, itself: float, size: int, reason: str) -> str:
        if not np.isfinite(itself):
            return f"{name}: its features are not finite"
        if itself == 0:
            return f"{name}: {reason}"
        if sums.unbiased and sums.images < size:
            return f"{sums.images} images for up to {max(sums.features)} features: read the interval"
        if not sums.unbiased and sums.smallest < size:
            return f"batches of {sums.smallest} images for up to {max(sums.features)} features: biased upwards"
        return ""

    positions, silent = reader.positions(), reader.silent()
    notes = [note(place.layer, *numbers) for place, *numbers in zip(positions, own, sizes, why, strict=True)]
    return pd.DataFrame([*positions, *silent]).assign(
        features=[*sizes, *[0] * len(silent)],
        note=[*notes, *[f"{place.layer}: it never ran in a forward pass" for place in silent]],
    )
