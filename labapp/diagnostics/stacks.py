"""Why small kernels in a stack and not a large one?

n convolutions of 3×3, one behind another, see 1 + 2n positions a side, as one kernel of that size does, with n · 9 ·
C² weights against (1 + 2n)² · C² and n activations against one. Simonyan & Zisserman 2014 (arXiv 1409.1556), §2.3: for
three layers 27 C² against 49 C².
"""

import pandas as pd

from labapp.config import LabError

COMPARED = ((2, 3), (1, 5), (3, 3), (1, 7))  # layers and kernel; each stack before the kernel that sees as much


def stacks(channels: int = 64) -> pd.DataFrame:
    """The table of both comparisons.

    Columns: stack, layers, kernel, receptive_field (positions a side), weights (from C to C channels, without bias;
    also the multiply-adds a position), activations. One row a stack.

    Method:
        Meaning: What a stack of 3×3 convolutions costs beside one kernel that sees as much.
        Formula: n layers of $9 C^2$ weights see $1 + 2n$ positions a side; one kernel needs $(1 + 2n)^2 C^2$.
        Source: Simonyan & Zisserman 2014 (arXiv 1409.1556), §2.3.
        Batch norm: None is read: only the architecture is asked.
        Sampling: None: arithmetic.
        Fails: Counts weights, not what the rectifiers between the layers of the stack add.
    """
    if channels < 1:
        raise LabError(f"channels must be at least 1, not {channels}")
    return pd.DataFrame(
        {
            "stack": f"{layers} × {kernel}×{kernel}",
            "layers": layers,
            "kernel": kernel,
            "receptive_field": 1 + layers * (kernel - 1),
            "weights": layers * kernel**2 * channels**2,
            "activations": layers,
        }
        for layers, kernel in COMPARED
    )
