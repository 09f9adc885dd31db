"""How do the sums of a step's forward passes become those of one step?"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from labapp.recording.board import GRADIENT, NONFINITE, OUTPUT, PATHS, SQUARE, WIDTH, Board, Link, Pending
from labapp.recording.change import Change
from labapp.recording.kernels import Slot
from labapp.recording.spread import Spread


@dataclass
class Sums:
    """The sums of one recorded step, possibly still on devices.

    Attributes:
        step: the optimizer step.
        table: (rows, WIDTH) float64.
        outputs, gradients, paths: (rows,) numbers of values behind the sums; known without a look at the data.
        alive: for each row the (C,) bytes that say which channels had a positive value.
        pending: what was left on devices.
        exponents: (row, "output" or "gradient") -> (256,) counts.
        samples: the same -> extremes and a sample of the values.
        links: block row -> its `Link`, where every forward pass of the step agrees on it.
        void: row -> why its gradient cannot be told.
        ill: by column (OUTPUT or GRADIENT) the rows whose values are not all finite, in the order in which they came.
        fed: row -> whether the input of the first such output was not finite either; None where it cannot be told.
        change: what the optimizer did and with which gradients.
        failed: whether training raised in the step: then it has no rows but those of `divergence`.
        instead: (largest magnitudes of gradients, sums) in order: what the step is where these are zeros.
        reset: whether it is one of them.
    """

    step: int
    table: np.ndarray
    outputs: np.ndarray
    gradients: np.ndarray
    paths: np.ndarray
    alive: dict[int, Tensor] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)
    exponents: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    samples: dict[tuple[int, str], Spread] = field(default_factory=dict)
    links: dict[int, Link] = field(default_factory=dict)
    void: dict[int, str] = field(default_factory=dict)
    ill: dict[int, list[int]] = field(default_factory=lambda: {OUTPUT: [], GRADIENT: []})
    fed: dict[int, bool | None] = field(default_factory=dict)
    change: Change | None = None
    failed: bool = False
    instead: list[tuple[list[Slot], "Sums"]] = field(default_factory=list)
    reset: bool = False

    def land(self) -> None:
        """Adds up what devices gave, once their buffers have been brought to the host."""
        for largest, other in reversed(self.instead):
            if not any(slot.numbers().any() for slot in largest):
                for name in (each.name for each in fields(self)):
                    if name not in ("step", "change", "failed", "instead", "reset"):
                        setattr(self, name, getattr(other, name))
                self.reset = True
                break
        self.instead = []
        for what, row, of, written in self.pending:
            numbers, key = written.numbers(), (row, str(of))
            if what == "sums":
                self.table[row, of : of + 4] += numbers
                if of in self.ill and numbers[NONFINITE] > 0:
                    self.ill[of].append(row)
            elif what == "alive":
                marks, known = torch.from_numpy(numbers), self.alive.get(row)
                self.alive[row] = marks if known is None or known.shape != marks.shape else known | marks
            elif what == "exponents":
                counts = torch.from_numpy(numbers.copy())
                self.exponents[key] = counts + self.exponents[key] if key in self.exponents else counts
            else:
                sample = Spread(*torch.from_numpy(numbers.copy()).tensor_split([2]))
                self.samples[key] = self.samples[key].joined(sample) if key in self.samples else sample
        self.pending = []
        if self.change is not None:
            self.change.land()


def joined(step: int, boards: Sequence[Board], rows: int) -> Sums:
    """The sums of the first `rows` rows over some forward passes."""
    sums = _joined(step, boards, rows)
    for largest in {id(each): each for board in boards for each in board.unless}.values():
        rest = [board for board in boards if all(each is not largest for each in board.unless)]
        sums.instead.append((largest, _joined(step, rest, rows)))
    return sums


def _joined(step: int, boards: Sequence[Board], rows: int) -> Sums:
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
        sums.pending += [one for one in board.pending if one.what != "alive" or board.channels[one.row]]
        sums.void |= board.void
        for offset, ill in board.ill.items():
            sums.ill[offset] += [row for row in ill if row < rows]
        if board.fed is not None:
            row, fed = board.fed
            sums.fed[row] = bool(sums.fed.get(row, fed) and fed) if fed is not None else sums.fed.get(row)
        for row, marks in board.alive(rows).items():
            known = sums.alive.get(row)
            sums.alive[row] = marks if known is None or known.numel() != marks.numel() else known | marks
        for key, counts in board.counted.items():
            sums.exponents[key] = counts + sums.exponents[key] if key in sums.exponents else counts
        for key, sample in board.samples.items():
            sums.samples[key] = sums.samples[key].joined(sample) if key in sums.samples else sample
    for block in set().union(*(board.links for board in boards)):
        found = {board.links.get(block) for board in boards if board.outputs[block]}
        if len(found) == 1 and (link := found.pop()) is not None:
            sums.links[block] = link
    return sums
