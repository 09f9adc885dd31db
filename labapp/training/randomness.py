"""What is drawn at random while a net trains, and how is it taken up again?

The loop draws everything from seeds of its own, step by step. A net that draws besides, from torch, numpy or Python,
does so from generators that are seeded as well before every step; their states are kept for what it draws in between.
"""

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed torch on all devices, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that others' nets draw from
    random.seed(seed)


def random_states(device: torch.device) -> dict[str, Any]:
    """The states of the generators that a net on a device may draw from, as tensors and numbers."""
    _, keys, position, gaussian, cached = np.random.get_state()  # noqa: NPY002
    version, internal, gauss = random.getstate()
    found = {
        "torch": torch.get_rng_state(),
        "numpy": [torch.from_numpy(np.array(keys, dtype=np.int64)), int(position), int(gaussian), float(cached)],
        "python": [version, torch.tensor(internal), gauss],
    }
    if device.type == "cuda":
        found["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        found["device"] = torch.mps.get_rng_state()
    return found


def set_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Take the states of `random_states` up again; that of another kind of device is passed over."""
    torch.set_rng_state(states["torch"])
    keys, position, gaussian, cached = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, gaussian, cached))  # noqa: NPY002
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal.tolist()), gauss))
    if (own := states.get("device")) is not None:
        if device.type == "cuda":
            torch.cuda.set_rng_state(own, device)
        elif device.type == "mps":
            torch.mps.set_rng_state(own)


@contextlib.contextmanager
def randomness_of_its_own(device: torch.device) -> Iterator[None]:
    """Leave the caller's generators as they were before the block."""
    before = random_states(device)
    try:
        yield
    finally:
        set_random_states(before, device)
