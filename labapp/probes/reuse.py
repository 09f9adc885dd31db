"""Which earlier features does each layer use, by every weighting that the net has?

Beside a dense net's cells stand those of nets like it that have learnt nothing (`labapp.diagnostics.reuse_null`): DRAWS
of them are made of the same experiment with other seeds, and are asked once for all checkpoints.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

import pandas as pd
import torch

from labapp.config import Experiment, LabError
from labapp.diagnostics.block_ablation import block_ablation
from labapp.diagnostics.feature_reuse import WEIGHTINGS
from labapp.diagnostics.feature_reuse import feature_reuse as reuse_of
from labapp.diagnostics.measuring.batch_statistics import calibrated
from labapp.diagnostics.measuring.chains import chain_of
from labapp.diagnostics.reuse_null import DRAWS, beside
from labapp.diagnostics.reuse_observations import observations
from labapp.nets.ordered import net_for
from labapp.probes.catalogue import CHEAP
from labapp.probes.given import Given, probe_images

BY_WEIGHTS = ("weights", "bn-folded")  # no images go into the numbers themselves
ORDER = ["weighting", "block", "source", "target", "kind", "value", "null", "null_deviation", "images"]
NULL_SEED = 1 << 20  # of the first of these nets: far from the seeds that people choose
NULL_IMAGES = 32  # at most, that nets which have learnt nothing see: each is a mean over nets anyway


def feature_reuse(given: Given) -> pd.DataFrame:
    """Columns: weighting, block, source, target, kind, value, null, null_deviation, images.

    One row a weighting and cell. null and null_deviation, of untrained nets and over the column's mean, are NaN for
    ablation, and in nets whose layers have one source each.
    """
    images, labels = given.test.images, given.test.labels
    family = chain_of(given.net).family

    def measure(weighting: str) -> pd.DataFrame:
        if weighting == "ablation":
            table = beside(block_ablation(given.net, images, labels, progress=given.tell), ())
        else:
            table = reuse_of(given.net, weighting, images, labels)
            table = beside(table, _nulls_for(given, weighting) if family == "dense" else ())
        return table.assign(images=0 if weighting in BY_WEIGHTS else len(images))

    if family == "residual" and given.cheap:
        raise LabError("a residual net adds its features, so its weights alone tell nothing of their reuse")
    return _each(given, ("ablation",) if family == "residual" else _of(given, WEIGHTINGS), measure)[ORDER]


def reuse_observations(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.reuse_observations`; with the column weighting in front."""
    images, labels = given.test.images, given.test.labels
    shares = _of(given, WEIGHTINGS[:-1])  # ablation has values below 0, which are no shares

    def measure(weighting: str) -> pd.DataFrame:
        return observations(reuse_of(given.net, weighting, images, labels), _nulls_for(given, weighting))

    return _each(given, shares, measure)


def _nulls_for(given: Given, weighting: str) -> Sequence[pd.DataFrame]:
    channels, _, size = given.test.images.shape[1:]
    seen = min(len(given.test.images), NULL_IMAGES) if weighting not in CHEAP else 1
    return _nulls(given.experiment, weighting, seen, given.classes, int(size), int(channels))


@functools.lru_cache(maxsize=16)
def _nulls(
    experiment: Experiment, weighting: str, count: int, classes: int, size: int, channels: int
) -> list[pd.DataFrame]:
    """Tables of `feature_reuse` of an experiment's net with other first weights."""
    batch = probe_images(experiment, "test", count)
    tables = []
    for draw in range(DRAWS):
        with torch.random.fork_rng([]):
            torch.manual_seed(NULL_SEED + draw)
            net = net_for(experiment, num_classes=classes, image_size=size, in_channels=channels).eval()
        with calibrated(net, batch.images) if weighting != "weights" else nullcontext():
            tables.append(reuse_of(net, weighting, batch.images, batch.labels))
    return tables


def _of(given: Given, weightings: Sequence[str]) -> Sequence[str]:
    return [each for each in weightings if each in CHEAP] if given.cheap else weightings


def _each(given: Given, weightings: Iterable[str], measure: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    """The tables of several weightings as one; of those that cannot be measured, why."""
    tables = []
    for weighting in weightings:
        try:
            table = measure(weighting)
        except LabError as error:
            given.say(f"{weighting}: {error}")
            continue
        table.insert(0, "weighting", weighting)
        tables.append(table)
    if not tables:
        raise LabError("no weighting could be measured on this net")
    return pd.concat(tables, ignore_index=True)
