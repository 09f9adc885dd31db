"""How do the sums of a step's forward passes become those of one step?"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from labapp.recording.board import GRADIENT, NONFINITE, OUTPUT, PATHS, SQUARE, WIDTH, Board, Link
from labapp.recording.change import Change
from labapp.recording.spread import Spread


@dataclass
class Sums:
    """The sums of one recorded step, possibly still on the device.

    Attributes:
        step: the optimizer step.
        table: (rows, WIDTH) float64.
        outputs, gradients, paths: (rows,) numbers of values behind the sums; known without a look at the data.
        alive: for each row the (C,) bytes that say which channels had a positive value.
        pending: what `Portable` left on a device, as (row, offset, tensor).
        exponents: (row, "output" or "gradient") -> (256,) counts.
        samples: the same -> extremes and a sample of the values.
        links: block row -> its `Link`, where every forward pass of the step agrees on it.
        void: row -> why its gradient cannot be told.
        ill: by column (OUTPUT or GRADIENT) the rows whose values are not all finite, in the order in which they came.
        fed: row -> whether the input of the first such output was not finite either; None where it cannot be told.
        change: what the optimizer did and with which gradients.
        failed: whether training raised in the step: then it has no rows but those of `divergence`.
    """

    step: int
    table: np.ndarray
    outputs: np.ndarray
    gradients: np.ndarray
    paths: np.ndarray
    alive: dict[int, Tensor] = field(default_factory=dict)
    pending: list[tuple[int, int, Tensor]] = field(default_factory=list)
    exponents: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    samples: dict[tuple[int, str], Spread] = field(default_factory=dict)
    links: dict[int, Link] = field(default_factory=dict)
    void: dict[int, str] = field(default_factory=dict)
    ill: dict[int, list[int]] = field(default_factory=lambda: {OUTPUT: [], GRADIENT: []})
    fed: dict[int, bool | None] = field(default_factory=dict)
    change: Change | None = None
    failed: bool = False

    def land(self) -> None:
        """Brings everything to the host: one copy a device for all sums."""
        by_device: dict[torch.device, list[tuple[int, int, Tensor]]] = {}
        for entry in self.pending:
            by_device.setdefault(entry[2].device, []).append(entry)
        for entries in by_device.values():
            landed = torch.cat([tensor.detach().reshape(-1).double() for _, _, tensor in entries]).cpu().numpy()
            at = 0
            for row, offset, tensor in entries:
                columns = tensor.shape[-1]  # of one line, or of several that add up to it
                line = landed[at : at + tensor.numel()].reshape(-1, columns).sum(0)
                self.table[row, offset : offset + columns] += line
                if offset in self.ill and line[NONFINITE] > 0:
                    self.ill[offset].append(row)
                at += tensor.numel()
        self.pending.clear()
        self.alive = {row: marks.cpu() for row, marks in self.alive.items()}
        self.exponents = {key: counts.cpu() for key, counts in self.exponents.items()}
        if self.change is not None:
            self.change.land()


def joined(step: int, boards: Sequence[Board], rows: int) -> Sums:
    """The sums of the first `rows` rows over some forward passes."""

    def counted(name: str) -> np.ndarray:
        numbers = np.zeros(rows, dtype=np.int64)
        for board in boards:
            found = getattr(board, name)[:rows]
            numbers[: len(found)] += np.array(found, dtype=np.int64)
        return numbers

    table = np.zeros((rows, WIDTH))
    sums = Sums(step, table, counted("outputs"), counted("gradients"), counted("paths"))
    for board in boards:
        here = board.table[:rows].numpy()
        table[: len(here)] += here
        for block, end in board.shared:
            table[end, GRADIENT + SQUARE] += here[block, PATHS + 2]
            table[end, GRADIENT + NONFINITE] += here[block, PATHS + 3]
        sums.pending += board.pending
        sums.void |= board.void
        for offset, ill in board.ill.items():
            sums.ill[offset] += [row for row in ill if row < rows]
        if board.fed is not None:
            row, fed = board.fed
            sums.fed[row] = bool(sums.fed.get(row, fed) and fed) if fed is not None else sums.fed.get(row)
        for row, marks in board.alive(rows).items():
            known = sums.alive.get(row)
            if known is None or known.numel() != marks.numel():
                sums.alive[row] = marks
            else:
                sums.alive[row] = known.to(marks.device) | marks
        for key, counts in board.counted.items():
            sums.exponents[key] = counts + sums.exponents[key].to(counts.device) if key in sums.exponents else counts
        for key, sample in board.samples.items():
            sums.samples[key] = sums.samples[key].joined(sample) if key in sums.samples else sample
    for block in set().union(*(board.links for board in boards)):
        found = {board.links.get(block) for board in boards if board.outputs[block]}
        if len(found) == 1 and (link := found.pop()) is not None:
            sums.links[block] = link
    return sums
