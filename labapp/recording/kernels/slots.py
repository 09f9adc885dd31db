"""Where do the numbers of recorded steps lie on a device, until one copy brings them all to the host?

One block of memory a device, laid out once. Each launch gets a slot of its own and writes to it; nothing is read, added
up or moved before the flush, which copies what is used in one go. The host adds the slots up, in float64.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

FIRST = 1 << 15  # words of 8 bytes to begin with; a block that was too small is twice as large from then on
NARROW = ("mps",)  # devices without float64
STREAMED = ("cuda", "xpu")  # devices to whose copies nobody waits, into memory that stays where it is
KINDS = {torch.float64: np.float64, torch.float32: np.float32, torch.int64: np.int64}


class Page:
    """What was written between two flushes.

    Attributes:
        host: its bytes, once they have been brought.
    """

    def __init__(self) -> None:
        self.host: np.ndarray | None = None


class Slot(NamedTuple):
    """Numbers of one kind that a launch writes: every `step`-th from the byte `at` of a page on."""

    page: Page
    at: int
    size: int
    dtype: torch.dtype
    step: int = 1

    def numbers(self) -> np.ndarray:
        """(size,) numbers.

        Raises:
            RuntimeError: before the page has been brought to the host.
        """
        host = self.page.host
        if host is None:
            raise RuntimeError("numbers of a device were asked for that had not been brought to the host")
        kind = np.dtype(KINDS[self.dtype])
        last = self.at + (self.step * (self.size - 1) + 1) * kind.itemsize
        return host[self.at : last].view(kind)[:: self.step]


class Written(NamedTuple):
    """A slot, and how the host makes of it what was asked for."""

    slot: Slot
    read: Callable[[np.ndarray], np.ndarray]

    def numbers(self) -> np.ndarray:
        """What `read` makes of the slot's numbers."""
        return self.read(self.slot.numbers())


class DeviceBuffer:
    """The block of one device.

    Attributes:
        wide: the widest floating-point numbers that the device has.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.wide = torch.float32 if device.type in NARROW else torch.float64
        self._page, self._used = Page(), 0
        self._host: Tensor | None = None
        self._lay(FIRST)

    def _lay(self, words: int) -> None:
        with torch.inference_mode(False), torch.no_grad():
            self._memory = torch.zeros(words * 8 // self.wide.itemsize, dtype=self.wide, device=self.device)
            self._words = words
            self._as = {self.wide: self._memory}

    def take(self, count: int, dtype: torch.dtype | None = None) -> tuple[Slot, Tensor]:
        """A slot of so many numbers, `wide` ones unless said, and the (count,) zeros on the device to write to."""
        dtype = dtype or self.wide
        at, last = self._used, self._used + -(-count * dtype.itemsize // 8)
        if last > self._words:
            self._grow(last)
        self._used = last
        if dtype not in self._as:
            self._as[dtype] = self._memory.view(dtype)
        return Slot(self._page, 8 * at, count, dtype), self._as[dtype].narrow(0, at * 8 // dtype.itemsize, count)

    def _grow(self, words: int) -> None:
        before, used = self._memory, self._used * 8 // self.wide.itemsize
        self._lay(max(words, 2 * self._words))
        self._memory[:used].copy_(before[:used])

    @property
    def memory(self) -> int:
        """Its bytes."""
        return 8 * self._words

    @property
    def used(self) -> bool:
        """Whether anything was written since the last copy."""
        return self._used > 0

    def send(self) -> None:
        """Has what was written copied to the host, from where slots can be read once it has `arrived`."""
        used, streamed = self._used * 8 // self.wide.itemsize, self.device.type in STREAMED
        if self._host is None or len(self._host) < used:
            self._host = torch.empty(len(self._memory), dtype=self.wide, device="cpu", pin_memory=streamed)
        self._host[:used].copy_(self._memory[:used], non_blocking=streamed)
        self._memory[:used].zero_()

    def arrived(self) -> None:
        """Waits for what was sent; the next slots are of another page."""
        if self._host is None:
            return
        if self.device.type in STREAMED:
            torch.accelerator.current_stream(self.device).synchronize()
        used = self._used * 8 // self.wide.itemsize
        self._page.host = self._host[:used].numpy().view(np.uint8).copy()  # what was sent is written over next time
        self._page, self._used = Page(), 0


class Buffers:
    """A buffer for each device on which anything was recorded."""

    def __init__(self) -> None:
        self._of: dict[torch.device, DeviceBuffer] = {}

    def of(self, device: torch.device) -> DeviceBuffer:
        """That of one device."""
        found = self._of.get(device)
        if found is None:
            found = self._of[device] = DeviceBuffer(device)
        return found

    @property
    def memory(self) -> int:
        """Bytes on all devices together."""
        return sum(buffer.memory for buffer in self._of.values())

    def land(self) -> None:
        """Brings everything to the host: one copy a device, all under way before the first is waited for."""
        buffers = [buffer for buffer in self._of.values() if buffer.used]
        for buffer in buffers:
            buffer.send()
        for buffer in buffers:
            buffer.arrived()
