"""Which backward passes belong to the gradient that the optimizer will see?

Squares add up only over samples that are told apart. A step may hold passes that are not part of it at all
(`torch.autograd.grad` inside a gradient penalty), passes whose gradients were thrown away again (the first of SAM's
two, a step that a loss scaler refused), and several through one output. Each is recognised here, as it begins.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.graph import get_gradient_edge

from labapp.recording.board import Board
from labapp.recording.hooks import after_backward
from labapp.recording.weights import Weights

OF_THE_LOSS, OTHER, IGNORED = "of the loss", "other", "ignored"
RESET = (
    "the gradients of a backward pass were set to zero before the optimizer stepped: "
    "the record is of the passes after that"
)


class Running(functools.partial[Any]):
    """What ends a backward pass: held by torch's queue alone, so it is gone when the pass has ended or raised."""


class Passes:
    """The backward passes of one step.

    Attributes:
        boards: one for each forward pass of the step.
        kind: of the pass that runs: it gives the loss's gradient to parameters, or it is another, or it comes too late.
        over: whether the optimizer has stepped: what follows belongs to another update.
        number: of the running pass, from 1.
        running: gives what ends the pass that runs, None once that has raised; None where no pass runs.
    """

    def __init__(self, weights: Weights, said: Callable[[str], None], fault: Callable[[Exception], None]) -> None:
        self.weights, self._say, self._fault = weights, said, fault
        self.boards: list[Board] = []
        self.begin()

    def begin(self) -> None:
        """Forgets the step before."""
        self.boards = []
        self.kind = ""
        self.over = False
        self.running: Callable[[], Running | None] | None = None
        self._trained = False
        self.number = 0
        self._accumulators: dict[int, Any] = {}

    def listening(self) -> bool:
        """Whether the numbers of the running pass count; called by each hook on a gradient."""
        running = self.running
        if running is None or running() is None:
            self.look_back()
            self._begins()
        return self.kind != IGNORED

    def look_back(self) -> None:
        """Forgets what a pass gave that raised: its gradients are incomplete."""
        if self.running is None or self.running() is not None:
            return
        self.running = None
        if self.kind == IGNORED:
            return
        self._say("a backward pass that raised was left out of the step's record")
        for board in self.boards:
            rows = [row for row, last in enumerate(board.last_pass) if last == self.number]
            if rows:
                settled = board.settled
                board.forget_gradients()
                if settled:
                    board.void |= dict.fromkeys(rows, "a second backward pass through one output raised")
        self.ended()

    def _begins(self) -> None:
        self.number += 1
        running = Running(self._ends)
        self.running = weakref.ref(running)
        after_backward(running)
        if self.over:
            self.kind = IGNORED
        elif not self._reaches_parameters():
            self.kind = IGNORED if self._trained else OTHER
        else:
            self.kind = OF_THE_LOSS
            if not self._trained:
                for board in self.boards:
                    board.forget_gradients()
            elif reset := self.weights.were_reset():
                felt = [board for board in self.boards if board.felt]
                if isinstance(reset, list):  # that is seen when they have landed
                    for board in felt:
                        board.unless.append(reset)
                else:
                    self._say(RESET)
                    self.boards[:] = [board for board in self.boards if not board.felt]
            self._trained = True

    def _ends(self) -> None:
        self.running = None
        try:  # torch calls this within the user's backward()
            if self.kind == OF_THE_LOSS:
                self.weights.pass_ended()
            for board in self.boards:
                board.read_held()
                board.settled = board.settled or board.felt
            self.ended()
        except Exception as error:
            self._fault(error)

    def ended(self) -> None:
        """What else happens when a pass has ended; replaced by the listener."""

    def _reaches_parameters(self) -> bool:
        """Whether the running pass accumulates into any parameter; `torch.autograd.grad` does not."""
        if self.weights.sharded:  # it accumulates into whole ones that come and go
            return True
        try:
            for position, parameter in enumerate(self.weights.parameters):
                if not parameter.requires_grad:
                    continue
                if position not in self._accumulators:
                    self._accumulators[position] = get_gradient_edge(parameter).node
                if torch._C._will_engine_execute_node(self._accumulators[position]):
                    return True
            return False
        except RuntimeError:  # torch refuses to say for a leaf whose gradient autograd.grad was asked for
            return False

    def release(self) -> None:
        """Lets go of the step's graph."""
        self._accumulators = {}
        self.running = None
