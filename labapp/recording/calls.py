"""Which call of a module in its forward pass is this, and is it a checkpoint that runs it once more?"""

from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from labapp.recording.board import Board
from labapp.recording.hooks import in_backward, tensors_in
from labapp.recording.passes import Passes
from labapp.recording.values import measurable


def _memory_of(args: tuple[Any, ...]) -> tuple[int, StorageWeakRef | None]:
    """Where the first tensor of a call lies, and whether that memory is still its own."""
    first = next(tensors_in(args), None)
    if first is None:
        return 0, None
    plain = measurable(first)
    return first.data_ptr(), None if plain is None else StorageWeakRef(plain.untyped_storage())


class Calls:
    """The calls of a net's modules in one step.

    A forward begins where that of the whole net does; where that is never called (Lightning's `training_step`, or
    `model.forward`), with the first call after a backward pass. A checkpointed segment is run once more within the
    backward pass: after a first run with a graph it is ignored, after one without (reentrant) it is matched to that
    by the memory of its input, from which on modules follow in the same order.

    Attributes:
        board: of the forward that runs.
        evaluating: whether the whole net was called without a graph: an evaluation within the step.
        checkpointed: paths that a backward pass ran anew.
        unmatched: those of which it cannot be told which call that was.
        cursor: where in the log of a board a segment that is run anew has got to; None once gradients flow again.
        feels: the board to which a gradient came last in this backward pass.
        repeated: whether the call was run anew before: by a checkpoint within the checkpoint, or for another loss.
    """

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self.checkpointed: set[str] = set()
        self.unmatched: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """Forgets the step before."""
        self.board: Board = None  # type: ignore[assignment]
        self.evaluating = self.repeated = False
        self._whole = False
        self._fresh = True
        self.cursor: tuple[Board, int] | None = None
        self.feels: Board | None = None

    def forward_begins(self) -> None:
        """The whole net is called."""
        self.evaluating = not torch.is_grad_enabled()
        self._whole, self._fresh = True, False

    def forward_ends(self) -> Board | None:
        """The whole net has returned: the board of that forward, None for an evaluation."""
        board = None if self.evaluating else self.board
        self._whole = self.evaluating = False
        self._fresh = True
        return board

    def pass_ended(self) -> None:
        """A backward pass has ended."""
        self._fresh = True
        self.cursor = self.feels = None

    def number(self, path: str, args: tuple[Any, ...], new_board: Callable[[], Board]) -> int | None:
        """Which call of the module in its forward this is; None for one that is not to be recorded."""
        graph, self.repeated = torch.is_grad_enabled(), False
        if in_backward():
            found = self._again(path, args)
            if found is None or not graph:
                return None
            return self._matched(*found)
        if self.evaluating or not (graph or self._whole):
            return None
        if self.passes.running is not None:
            self.passes.look_back()
        if self.board is None or (self._fresh and not self._whole and self.board.felt):
            new_board()
            self._fresh = False
        board = self.board
        call = board.calls[path] = board.calls.get(path, 0) + 1
        if graph:
            return call
        self._log(board, path, args, len(board.log))
        board.log.append((path, call))
        return None

    def _log(self, board: Board, path: str, args: tuple[Any, ...], at: int) -> None:
        """Notes where the input of a call lies that a checkpoint may run anew."""
        address, memory = _memory_of(args)
        board.log_at.setdefault((path, address), []).append((at, memory))

    def _again(self, path: str, args: tuple[Any, ...]) -> tuple[Board, int] | None:
        """Where in a board's log the call stands that a checkpoint runs anew; None where it cannot be told."""
        found = self._logged(path, _memory_of(args)[0])
        if found is not None:
            board, at = found
            self.cursor = board, at + 1
            if not torch.is_grad_enabled():  # a checkpoint within it, which will run it once more from this input
                self._log(board, path, args, at)
        if torch.is_grad_enabled():
            self.checkpointed.add(path)
        return found

    def _logged(self, path: str, address: int) -> tuple[Board, int] | None:
        if self.cursor is not None:
            board, at = self.cursor
            if at < len(board.log) and board.log[at][0] == path:
                return board, at
        latest = self.passes.boards[::-1]  # an earlier one may have had its input at the same address
        boards = [self.feels] if self.feels is not None else latest
        for board in (*boards, *latest):
            # Memory that was given back since may by now hold the input of another call.
            noted = board.log_at.get((path, address), ())
            if places := [at for at, memory in noted if memory is None or not memory.expired()]:
                return board, next((at for at in reversed(places) if at not in board.replayed), places[-1])
        logged = [(board, at) for board in boards for at, (p, _) in enumerate(board.log) if p == path]
        first = [(board, at) for board, at in logged if at not in board.replayed] or logged
        # Where it ran with a graph too, this may be a call that is recorded already.
        if len(first) == 1 and len(logged) == sum(board.calls.get(path, 0) for board in boards):
            return first[0]
        if logged:
            self.unmatched.add(path)
        return None

    def _matched(self, board: Board, at: int) -> int:
        self.board = board
        self.repeated = at in board.replayed
        board.replayed.add(at)
        return board.log[at][1]
