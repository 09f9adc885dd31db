"""Where do one step's numbers lie between the hook that takes them and the flush that reads them?

A row a place, a column a sum. Only sums are kept, because sums join: over the micro-batches of one optimizer step,
and over the processes of one DDP run. `tables` turns them into the recorded quantities, on the host.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from labapp.recording.graph import Route
from labapp.recording.kernels import Compiled, Portable, library

# Offsets of the columns: four sums of the output, its gradient and a block's input; then of the paths' gradients.
OUTPUT, GRADIENT, INPUT, PATHS, WIDTH = 0, 4, 8, 12, 16
SUM, SQUARE, POSITIVE, NONFINITE = range(4)


@dataclass
class Sums:
    """The sums of one recorded step, possibly still on the device.

    Attributes:
        step: the optimizer step.
        table: (rows, WIDTH) float64.
        values: (rows, 2) number of output and of gradient values behind the sums; known without a look at the data.
        alive: for each row the (C,) bytes that say which channels had a positive value.
        pending: what `Portable` left on a device, as (flat position, tensor) pairs.
        masks: the same for `alive`.
        exponents: (row, "output" or "gradient") -> (256,) counts.
        links: block row -> (row of the branch's end, row of the shortcut's end, None where that is the block's input).
        shared: block row -> row of the branch's end whose gradient is the one that came through the shortcut.
        weights: norms of the weights before the step, and of their changes.
        gradients: norms of all parameters' gradients after the backward pass; `present` says which had one.
        used: the same as the optimizer saw them, where something changed them in between.
        micro: sums of the squared gradient norms of the micro-batches, of which there were `backwards`.
        scale: the loss scale in force.
        skipped: whether the optimizer did not step.
    """

    step: int
    table: np.ndarray
    values: np.ndarray
    alive: dict[int, np.ndarray]
    pending: list[tuple[int, Tensor]] = field(default_factory=list)
    masks: list[tuple[int, Tensor]] = field(default_factory=list)
    exponents: dict[tuple[int, str], np.ndarray | Tensor] = field(default_factory=dict)
    links: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)
    weights: tuple[Tensor, Tensor] | None = None
    gradients: Tensor | None = None
    used: Tensor | None = None
    present: np.ndarray | None = None
    micro: Tensor | None = None
    backwards: int = 0
    scale: Tensor | None = None
    skipped: bool = False

    def land(self) -> None:
        """Brings everything to the host: one copy for all sums, one for all masks."""
        if self.pending:
            flat = self.table.reshape(-1)
            landed = torch.cat([t.detach().reshape(-1) for _, t in self.pending]).cpu().double().numpy()
            at = 0
            for position, tensor in self.pending:
                flat[position : position + tensor.numel()] += landed[at : at + tensor.numel()]
                at += tensor.numel()
            self.pending.clear()
        if self.masks:
            landed = torch.cat([mask for _, mask in self.masks]).cpu().numpy()
            at = 0
            for row, mask in self.masks:
                part = landed[at : at + mask.numel()].astype(np.uint8)
                self.alive[row] = self.alive[row] | part if row in self.alive else part
                at += mask.numel()
            self.masks.clear()
        for block, branch in self.shared.items():
            if self.values[block, 1]:
                self.table[branch, GRADIENT + SQUARE : GRADIENT + NONFINITE + 1] = (
                    *(self.table[block, PATHS + 2], 0),
                    self.table[block, PATHS + 3],
                )
                self.values[branch, 1] = self.values[branch, 0]
        self.exponents = {
            key: counts.cpu().numpy() if isinstance(counts, Tensor) else counts
            for key, counts in self.exponents.items()
        }


class Board:
    """Takes the numbers of one step at a time."""

    def __init__(self, rows: int) -> None:
        found, self.implementation = library()
        self.compiled = Compiled(found) if found else None
        self.portable = Portable()
        self.rows = rows
        self._table = torch.zeros(rows, WIDTH, dtype=torch.float64, device="cpu")
        self._slots = self._table.view(-1, 4).unbind()  # of row r, the columns from offset o: slot 4r + o/4
        self._alive: dict[int, Tensor] = {}
        self.clear()

    def clear(self) -> None:
        """Empties the board for the next step."""
        self._table.zero_()
        self._values = [0] * (2 * self.rows)
        self._channels: dict[int, int] = {}  # row -> channels, 0 where two calls of the step differ
        self._marked: set[int] = set()  # rows whose channels are marked in `_alive`
        self._counted: dict[tuple[int, str], Tensor] = {}
        self._pending: list[tuple[int, Tensor]] = []
        self._masks: list[tuple[int, Tensor]] = []

    def moments(self, row: int, tensor: Tensor, axis: int) -> None:
        """The four sums of a layer's output, and which channels along `axis` had a positive value.

        Where two calls of one step differ in their number of channels, no channel is marked for that row.
        """
        channels = tensor.shape[axis]
        if self._channels.setdefault(row, channels) != channels:
            self._channels[row] = 0
            self.energy(row, OUTPUT, tensor)
            return
        self._values[2 * row] += tensor.numel()
        if self.compiled and self.compiled.takes(tensor):
            if row not in self._marked:
                if row not in self._alive or self._alive[row].numel() != channels:
                    self._alive[row] = torch.empty(channels, dtype=torch.uint8, device="cpu")
                self._alive[row].zero_()
                self._marked.add(row)
            self.compiled.moments(tensor, axis, self._slots[4 * row], self._alive[row])
        else:
            sums, living = self.portable.moments(tensor, axis)
            self._pending.append((WIDTH * row + OUTPUT, sums))
            self._masks.append((row, living))

    def energy(self, row: int, offset: int, tensor: Tensor) -> None:
        """The sums of any tensor, into the columns from `offset`: all four of an output, else squares and bad ones."""
        if offset != INPUT:
            self._values[2 * row + offset // 4] += tensor.numel()
        if self.compiled and self.compiled.takes(tensor):
            reduce = self.compiled.energy if offset == OUTPUT else self.compiled.square
            reduce(tensor, self._slots[4 * row + offset // 4])
        else:
            sums = self.portable.energy(tensor) if offset == OUTPUT else self.portable.square(tensor)
            self._pending.append((WIDTH * row + offset, sums))

    def inner(self, row: int, branch: Tensor, shortcut: Tensor) -> None:
        """⟨b,s⟩, ⟨b,b⟩, ⟨s,s⟩ of the two paths' gradients, and the NaN and infinite values of s."""
        if self.compiled and self.compiled.takes(branch) and self.compiled.takes(shortcut):
            self.compiled.inner(branch, shortcut, self._slots[4 * row + PATHS // 4])
        else:
            self._pending.append((WIDTH * row + PATHS, self.portable.inner(branch, shortcut)))

    def exponents(self, row: int, what: str, tensor: Tensor) -> None:
        """The histogram of magnitudes in powers of two."""
        key = (row, what)
        counts = self._counted.get(key)
        if self.compiled and self.compiled.takes(tensor):
            if counts is None or not counts.is_cpu:
                counts = torch.zeros(256, dtype=torch.int64, device="cpu") if counts is None else counts.cpu()
                self._counted[key] = counts
            self.compiled.exponents(tensor, counts)
        else:
            found = self.portable.exponents(tensor)
            self._counted[key] = found if counts is None else counts.to(found.device) + found

    def take(self, step: int, rows: int) -> Sums:
        """The sums of the first `rows` rows, copied off the board."""
        return Sums(
            step,
            self._table[:rows].numpy().copy(),
            np.array(self._values[: 2 * rows], dtype=np.int64).reshape(rows, 2),
            {row: self._alive[row].numpy().copy() for row in self._marked if self._channels[row]},
            self._pending,
            [(row, living) for row, living in self._masks if self._channels[row]],
            dict(self._counted),
        )


@dataclass
class Row:
    """One place as it is recorded: what stands in run.json about it, and how its sums are to be read."""

    path: str
    call: int
    kind: str
    block: str
    axis: int
    shape: tuple[int, ...]
    parameters: int
    depth: int | None = None
    stage: int | None = None
    relative_depth: float = 0.0
    rectified: bool = False  # its values meet a rectifier, or come from one: a value of zero or less is a zero
    route: Route | None = None  # of a block: where its sum is found in the graph
    split: str = ""  # for a block: "branch+shortcut", or "sum" where the two cannot be told apart
    weights: tuple[int, ...] = ()  # positions in the list of weight tensors
    gradients: tuple[int, ...] = ()  # positions of the same tensors in the list of all parameters

    @property
    def layer(self) -> str:
        """The path, with ``#2`` for the second call in a forward pass, and so on."""
        return self.path if self.call == 1 else f"{self.path}#{self.call}"

    def about(self) -> dict[str, object]:
        """What stands in run.json about this place."""
        return {
            "path": self.layer,
            "kind": self.kind,
            "depth": self.depth,
            "relative_depth": self.relative_depth,
            "stage": self.stage,
            "block": self.block,
            "shape": list(self.shape),
            "parameters": self.parameters,
            "rectified": self.rectified,
            "split": self.split,
        }
