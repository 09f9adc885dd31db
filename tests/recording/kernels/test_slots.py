"""Where numbers of a device wait: do they survive growth, a flush in the middle of a step, and mixed kinds?"""

import pytest
import torch

from labapp.recording.kernels import slots
from labapp.recording.kernels.slots import Buffers

HERE = torch.device("cpu")


def write(buffer, value, count, dtype=None):
    slot, out = buffer.take(count, dtype)
    assert not out.any()  # launches add to it
    out.fill_(value)
    return slot


def test_numbers_of_any_kind_come_home_in_one_copy(monkeypatch):
    monkeypatch.setattr(slots, "FIRST", 8)
    buffers = Buffers()
    buffer = buffers.of(HERE)
    kinds = [None, torch.float32, torch.int64, torch.float32]
    for _ in range(3):  # the block is laid out anew while numbers are in it, and used again
        written = [(n, write(buffer, n, n % 7 + 1, kinds[n % 4])) for n in range(40)]
        with pytest.raises(RuntimeError, match="had not been brought"):
            written[0][1].numbers()
        buffers.land()
        for n, slot in written:
            assert slot.numbers().tolist() == [n] * (n % 7 + 1)
    assert buffers.memory == buffer.memory == 8 * 128  # 8 words at first, doubled until all had room
    assert buffers.of(HERE) is buffer


def test_a_flush_in_the_middle_of_a_step_loses_nothing():
    buffers = Buffers()
    first = write(buffers.of(HERE), 1.0, 3)
    buffers.land()
    second = write(buffers.of(HERE), 2.0, 3)
    buffers.land()
    buffers.land()  # nothing since
    assert first.numbers().tolist() == [1.0] * 3
    assert second.numbers().tolist() == [2.0] * 3


def test_every_second_number():
    buffers = Buffers()
    slot, out = buffers.of(HERE).take(6, torch.float32)
    out.copy_(torch.arange(6.0))
    buffers.land()
    assert slot._replace(at=slot.at + 4, size=2, step=3).numbers().tolist() == [1.0, 4.0]
