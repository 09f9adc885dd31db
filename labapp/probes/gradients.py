"""How are gradients made up: from paths, past shortcuts, from one example to the next? And what lies around a net?

Before training the running statistics of batch norms say nothing. There each example's own gradient is taken with the
statistics of the probe images, held fixed, and that of a batch's mean loss as training takes it, through the statistics
(`labapp.diagnostics.measuring.batch_statistics`).
"""

from __future__ import annotations

import pandas as pd
import torch

from labapp.config import LabError
from labapp.diagnostics import identity_mapping as identity
from labapp.diagnostics import lesions as lesioned
from labapp.diagnostics import level_gradients as levels
from labapp.diagnostics import loss_surface as surface
from labapp.diagnostics import path_lengths as paths
from labapp.diagnostics import shattering as shattered
from labapp.diagnostics.measuring.batch_statistics import BATCH
from labapp.diagnostics.measuring.chains import chain_of
from labapp.nets.pyramid import pyramid
from labapp.probes.given import SEED, Given

POINTS, LAGS = 64, 24  # on the line between two images
PLANE = 21  # points along each axis of a loss surface
CHANNELS = 32  # of the pyramid's levels: 256 are the paper's, for images of 800 pixels


def shattering(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.shattering.gradient_cosine`; of every convolution."""
    table = shattered.gradient_cosine(given.net, given.test.images, train=given.untrained)
    return _relative(table)


def autocorrelation(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.shattering.gradient_autocorrelation`; of every convolution."""
    if len(given.test.images) < 2:
        raise LabError("a line of inputs joins two images, so one is too few")
    first, second = given.test.images[:2]
    table = shattered.gradient_autocorrelation(
        given.net, first, second, "conv", points=POINTS, lags=LAGS, train=given.untrained
    )
    return _relative(table)


def _relative(table: pd.DataFrame) -> pd.DataFrame:
    """With the column relative_depth behind depth: 0 for the image, 1 for the last layer listed."""
    last = max(table["depth"].max(), 1)
    table.insert(list(table).index("depth") + 1, "relative_depth", table["depth"] / last)
    return table


def path_gradients(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.path_lengths`; with effective_length and decay, the same in all rows."""
    batch = given.test
    table = paths.path_gradients(
        given.net, batch.images, batch.labels, train=given.untrained, seed=SEED, progress=given.tell
    )
    return table.assign(
        effective_length=paths.effective_path_length(table),
        decay=paths.decay(table),
        images=len(batch.images),
        batch_norm=BATCH if given.untrained else given.batch_norm,
    )


def loss_surface(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.loss_surface`."""
    batch = given.test
    return surface.loss_surface(
        given.net, batch.images, batch.labels, points=PLANE, train=given.untrained, seed=SEED, progress=given.tell
    )


def lesions(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.lesions`; with the block's position through the net."""
    batch = given.test
    table = lesioned.lesions(given.net, batch.images, batch.labels, progress=given.tell)
    deleted = list(table["block"][table["lesion"] == "delete"])
    table.insert(3, "position", [deleted.index(block) + 1 if block in deleted else 0 for block in table["block"]])
    return table.assign(images=len(batch.images), chance=1 / given.classes)


def permutations(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.lesions.permutations`."""
    batch = given.test
    table = lesioned.permutations(given.net, batch.images, batch.labels, seed=SEED)
    return table.assign(images=len(batch.images), chance=1 / given.classes)


def gradient_split(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.identity_mapping`; with the block's position through the net."""
    return _placed(given, identity.gradient_split(given.net, given.test.images, given.test.labels))


def singular_values(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.identity_mapping.block_singular_values`; with the columns span and position."""
    tables = []
    for number, span in enumerate(identity.SPANS):
        table = identity.block_singular_values(given.net, given.test.images, span=span, seed=SEED)
        table.insert(0, "span", span)
        tables.append(table)
        given.tell((number + 1) / len(identity.SPANS))
    return _placed(given, pd.concat(tables, ignore_index=True))


def _placed(given: Given, table: pd.DataFrame) -> pd.DataFrame:
    """With the column position behind block: its number among the net's blocks, from 1."""
    chain = chain_of(given.net)
    blocks = [chain.units[at].path for at in chain.blocks]
    positions = [blocks.index(block) + 1 for block in table["block"]]
    table.insert(list(table).index("block") + 1, "position", positions)
    return table


def level_gradients(given: Given) -> pd.DataFrame:
    """See `labapp.diagnostics.level_gradients`; of a new pyramid on the net's weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(SEED)
        fpn = pyramid(given.net, channels=CHANNELS).eval()
    return levels.level_gradients(fpn, given.test.images, seed=SEED)
