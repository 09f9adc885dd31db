"""Where do the numbers of one forward pass lie between the hooks that take them and the flush that reads them?

A row a place, a column a sum. Only sums are kept, because sums join: over the forward passes of one optimizer step
(micro-batches), and over the processes of one DDP run. `sums` joins them, `tables` turns them into quantities.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from labapp.recording.kernels import Compiled, Launches, Portable, Slot, Written, library, of_second, readable
from labapp.recording.spread import SIZE, Spread, spread_of

# Offsets of the columns: four sums of the output, its gradient and a block's input; then of the paths' gradients.
OUTPUT, GRADIENT, INPUT, PATHS, WIDTH = 0, 4, 8, 12, 16
SUM, SQUARE, POSITIVE, NONFINITE = range(4)
LARGEST = 1 << 16  # rows; a loop unrolled further is recorded up to here
TOGETHER, HELD = 32, 1 << 26  # gradients, and bytes of them, on devices whose squares are taken together


class Link(NamedTuple):
    """A residual block in one forward pass: the rows at which its two paths end.

    None where no place ends there; for the shortcut, where it is the block's own input.
    """

    branch: int | None
    shortcut: int | None


class Pending(NamedTuple):
    """What was left on a device.

    `what` it is: "sums" for the columns from `of`, "alive" of a row; "exponents" or "spread" of "output" or "gradient".
    """

    what: str
    row: int
    of: Any
    written: Written


class Board:
    """The sums of one forward pass, and of the backward passes through its outputs.

    Attributes:
        calls: how often each module was called in this forward.
        links: block row -> its `Link`.
        void: row -> why its gradient cannot be told.
        complete: whether the forward of the whole net returned; None where it was never called as a whole.
        felt: whether any gradient came.
        settled: whether it came in a backward pass that has ended.
        shared: (block, end of its branch) rows that have one gradient, read once.
        ill: by column (OUTPUT or GRADIENT) the rows whose values are not all finite, in the order in which they came;
            of values in the machine's memory, the others are looked at when they land (`Sums.land`).
        fed: (row, whether its input was not finite either) of the first such output, None where it cannot be told.
        log: (path, call) of what a reentrant checkpoint ran without a graph, in order.
        replayed: positions in it that a backward pass has run anew.
        pending: what is still on devices.
        unless: the largest magnitudes of the gradients, a slot a device, as each later pass began that found them
            changed in place: zeros where they were thrown away.
    """

    def __init__(self, rows: int, launches: Launches | None = None) -> None:
        found, self.implementation = library()
        self.compiled = Compiled(found) if found else None
        self.portable = Portable()
        self.launches = launches or Launches()
        self.rows = rows
        self._alive: dict[int, Tensor] = {}
        self._marks: dict[int, int] = {}  # their addresses
        self._lay(torch.zeros(rows, WIDTH, dtype=torch.float64, device="cpu"))
        self.clear()

    def _lay(self, table: Tensor) -> None:
        self.table = table
        self._address = table.data_ptr()  # 8 bytes a column; the table is never resized, only replaced
        self._array: Any = table.numpy()
        self._numbers: memoryview = self._array.reshape(-1).data  # one number is read in a tenth of torch's time

    def _at(self, row: int, offset: int) -> int:
        """Where four columns of a row lie in memory."""
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of {self.rows}")
        return self._address + 8 * (WIDTH * row + offset)

    def clear(self) -> None:
        """Empties the board for another forward pass."""
        self.table.zero_()
        self.outputs, self.gradients, self.inputs, self.paths = (
            [0] * self.rows for _ in range(4)
        )  # values behind sums
        self.calls: dict[str, int] = {}
        self.links: dict[int, Link] = {}
        self.void: dict[int, str] = {}
        self.complete: bool | None = None
        self.felt = self.settled = False
        self.last_pass = [0] * self.rows  # in which a row's gradient came
        self.ends: dict[int, int] = {}  # row of a branch's end -> its block
        self.held: dict[int, Tensor] = {}  # row of a branch's end -> its gradient, until that of the sum is known
        self.shared: set[tuple[int, int]] = set()
        self.ill: dict[int, list[int]] = {OUTPUT: [], GRADIENT: []}
        self.fed: tuple[int, bool | None] | None = None
        self.log: list[tuple[str, int]] = []
        self.log_at: dict[tuple[str, int], list[tuple[int, Any]]] = {}
        self.replayed: set[int] = set()
        self.channels: dict[int, int] = {}  # row -> channels, 0 where two calls differ
        self._marked: set[int] = set()  # rows whose channels are marked in `_alive`
        self.counted: dict[tuple[int, str], Tensor] = {}
        self.samples: dict[tuple[int, str], Spread] = {}
        self.pending: list[Pending] = []
        self.unless: list[list[Slot]] = []
        self._together: dict[torch.device, list[tuple[int, Tensor]]] = {}
        self._masks: list[tuple[int, Tensor]] = []

    def reserve(self, row: int) -> None:
        """Makes room for a row."""
        if row < self.rows:
            return
        more = max(self.rows, row + 1 - self.rows)
        self._lay(torch.cat([self.table, self.table.new_zeros(more, WIDTH)]))
        for values in (self.outputs, self.gradients, self.inputs, self.paths, self.last_pass):
            values.extend([0] * more)
        self.rows += more

    def forget_gradients(self) -> None:
        """Empties what backward passes gave: they turned out not to be those of the training loss."""
        self.table[:, GRADIENT:INPUT] = 0
        self.table[:, PATHS:] = 0
        self.gradients, self.paths, self.last_pass = ([0] * self.rows for _ in range(3))
        self.held.clear()
        self.shared.clear()
        self._together.clear()
        self.pending = [one for one in self.pending if one.of not in (GRADIENT, PATHS, "gradient")]
        for kept in (self.counted, self.samples):
            for key in [key for key in kept if key[1] == "gradient"]:
                del kept[key]
        self.void.clear()
        self.ill[GRADIENT].clear()
        self.felt = self.settled = False

    # What hooks take -------------------------------------------------------------------------------------------

    def moments(self, row: int, tensor: Tensor, axis: int, host: bool) -> None:
        """The four sums of a layer's output, and which channels along `axis` had a positive value.

        Where two calls of one row differ in their number of channels, no channel is marked. `host` says that the hook
        which runs found the tensor `readable`.
        """
        channels = tensor.shape[axis]
        if self.channels.setdefault(row, channels) != channels:
            self.channels[row] = 0
            self.energy(row, OUTPUT, tensor, host)
            return
        self.outputs[row] += tensor.numel()
        if host and self.compiled and tensor.dtype is torch.float32:
            if row not in self._marked:
                if row not in self._alive or self._alive[row].numel() != channels:
                    self._alive[row] = torch.empty(channels, dtype=torch.uint8, device="cpu")
                    self._marks[row] = self._alive[row].data_ptr()
                self._alive[row].zero_()
                self._marked.add(row)
            self.compiled.by_channel(tensor, axis, self._at(row, OUTPUT), self._marks[row])
        elif host:
            found, living = self.portable.moments(tensor, axis)
            self._array[row, OUTPUT : OUTPUT + 4] += found.numpy()
            self._masks.append((row, living))
        else:
            sums, marks = self.launches.moments(tensor, axis)
            self.pending += Pending("sums", row, OUTPUT, sums), Pending("alive", row, OUTPUT, marks)

    def energy(self, row: int, offset: int, tensor: Tensor, host: bool) -> None:
        """The four sums of any tensor, into the columns from `offset`; of all but outputs the squares only."""
        counted = self.outputs if offset == OUTPUT else self.gradients if offset == GRADIENT else self.inputs
        counted[row] += tensor.numel()
        if host and self.compiled and tensor.dtype is torch.float32:
            self.compiled.flat(tensor, self._at(row, offset), offset == OUTPUT)
        elif host:
            sums = self.portable.energy(tensor) if offset == OUTPUT else self.portable.square(tensor)
            self._array[row, offset : offset + 4] += sums.numpy()
        elif offset == GRADIENT:
            self._gather(row, tensor)
        else:
            found = self.launches.energy(tensor) if offset == OUTPUT else self.launches.squares([tensor])[0]
            self.pending.append(Pending("sums", row, offset, found))

    def _gather(self, row: int, gradient: Tensor) -> None:
        """Holds a gradient on a device until there are some: their squares are taken together."""
        together = self._together.setdefault(gradient.device, [])
        together.append((row, gradient.detach()))
        held = sum(tensor.numel() * tensor.element_size() for _, tensor in together)
        if len(together) >= TOGETHER or held >= HELD or self.launches.at_once(gradient):
            self._square(gradient.device)

    def _square(self, device: torch.device) -> None:
        together = self._together.pop(device)
        found = self.launches.squares([gradient for _, gradient in together])
        self.pending += [Pending("sums", row, GRADIENT, sums) for (row, _), sums in zip(together, found, strict=True)]

    def inner(self, row: int, branch: Tensor, shortcut: Tensor) -> None:
        """⟨b,s⟩, ⟨b,b⟩, ⟨s,s⟩ of the two paths' gradients, and the NaN and infinite values of s.

        A held gradient of the branch's end that is the shortcut's is not read again: ⟨s,s⟩ is its square.
        """
        self.paths[row] += branch.numel()
        link = self.links.get(row)
        end = link.branch if link is not None else None
        held = self.held.pop(end, None) if end is not None else None
        one = held is not None and held.data_ptr() == shortcut.data_ptr() and held.shape == shortcut.shape
        if held is not None and end is not None and not one:
            self.energy(end, GRADIENT, held, readable(held))
        elif one and end is not None:
            self.gradients[end] += shortcut.numel()
        if self.compiled and self.compiled.takes(branch) and self.compiled.takes(shortcut):
            self.compiled.inner(branch, shortcut, self._at(row, PATHS), checked=True)
        elif readable(branch) and readable(shortcut):
            self._array[row, PATHS : PATHS + 4] += self.portable.inner(branch, shortcut).numpy()
        else:
            found = self.launches.inner(branch, shortcut)
            self.pending.append(Pending("sums", row, PATHS, found))
            if one and end is not None:
                self.pending.append(Pending("sums", end, GRADIENT, of_second(found)))
            return
        if one and end is not None:
            self.shared.add((row, end))

    def is_ill(self, row: int, offset: int) -> bool:
        """Whether any of a row's values was NaN or infinite, as far as its sums have landed; kept in `ill` then."""
        if not self._numbers[WIDTH * row + offset + NONFINITE]:
            return False
        self.ill[offset].append(row)
        return True

    def read_held(self) -> None:
        """Reads the gradients of branches whose sum did not tell its own, and those that were held for others."""
        held, self.held = self.held, {}
        for row, gradient in held.items():
            self.energy(row, GRADIENT, gradient, readable(gradient))
        for device in list(self._together):
            self._square(device)

    def let_go(self) -> None:
        """Forgets tensors that nobody read."""
        self.held.clear()
        self._together.clear()

    def exponents(self, row: int, what: str, tensor: Tensor) -> None:
        """The histogram of magnitudes in powers of two."""
        key = (row, what)
        if self.compiled and self.compiled.takes(tensor):
            if key not in self.counted:
                self.counted[key] = torch.zeros(256, dtype=torch.int64, device="cpu")
            self.compiled.exponents(tensor, self.counted[key], checked=True)
        elif readable(tensor):
            found = self.portable.exponents(tensor)
            self.counted[key] = found + self.counted[key] if key in self.counted else found
        else:
            self.pending.append(Pending("exponents", row, what, self.launches.exponents(tensor)))

    def spread(self, row: int, what: str, tensor: Tensor) -> None:
        """Minimum and maximum, and values from which quartiles are estimated."""
        if not readable(tensor):
            self.pending.append(Pending("spread", row, what, self.launches.spread(tensor, SIZE)))
            return
        key = (row, what)
        found = spread_of(tensor)
        self.samples[key] = found if key not in self.samples else self.samples[key].joined(found)

    def alive(self, rows: int) -> dict[int, Tensor]:
        """For each row the (C,) bytes that say which channels had a positive value, as far as they have landed."""
        found = {row: self._alive[row].clone() for row in self._marked if row < rows and self.channels[row]}
        for row, living in self._masks:
            if self.channels[row]:
                here = living.to(torch.uint8)
                found[row] = here if row not in found else found[row] | here
        return found
