"""What do a net's layers say during one step?

Forward hooks take the sums of each output and of its gradient (`outputs`); at the end of a residual block the sum is
taken apart (`blocks`). A step that studies the net listens to every module, to find out which places feed an activation
and where branches end (`study`); the others only to the places that are needed. A place that is heard for the first
time later, or a changed net, is studied again.
"""

import time
from collections.abc import Callable
from typing import Any

from torch import nn
from torch._C._functorch import peek_interpreter_stack

from labapp.recording.blocks import Blocks
from labapp.recording.board import Board
from labapp.recording.calls import Calls
from labapp.recording.hooks import Hooks, Silent, in_backward, tensors_in
from labapp.recording.outputs import Outputs
from labapp.recording.passes import Passes
from labapp.recording.places import Spot
from labapp.recording.row import Row
from labapp.recording.study import Study
from labapp.recording.weights import Weights

FIRST_ROWS = 64
STUDIES = 8  # of one net as it is; one that is another in each step is not studied for ever


class Listener:
    """The hooks of a net's forward and backward passes, and the rows that they fill.

    Attributes:
        rows: one for each (module path, number of the call in a forward), in order of first execution.
        shown: the rows that were asked for, in order of depth; known after the first recorded step.
        seconds: time spent in hooks.
        faults: what went wrong in a hook, and how often; never raised into training.
        skipped_outputs: outputs that were no floating-point tensor, or tensors of a tuple after the first.
        felt: paths to whose outputs a gradient ever came.
        usual: rows whose outputs are not finite in a healthy training either, such as masked scores of −∞.
        wrapped: outputs of this step that stand for numbers elsewhere.
    """

    def __init__(self, weights: Weights, say: Callable[[str], None]) -> None:
        self.weights, self.say = weights, say
        self.rows: list[Row] = []
        self.shown: list[int] = []
        self.seconds = 0.0
        self.faults: dict[str, int] = {}
        self.skipped_outputs = 0
        self.felt: set[str] = set()
        self.usual: set[int] = set()
        self.passes = Passes(weights, say, self.fault)
        self.passes.ended = self._pass_ended  # type: ignore[method-assign]
        self.calls = Calls(self.passes)
        self.blocks = Blocks(self)
        self.outputs = Outputs(self)
        self.index: dict[tuple[str, int], int] = {}  # (path, call) -> row
        self._spare: list[Board] = [Board(FIRST_ROWS, weights.launches)]
        self.implementation = self._spare[0].implementation
        self._studies = 0
        self.wrapped = 0
        self.hooks = Hooks()

    def refresh(self, model: nn.Module, spots: list[Spot], chosen: set[str], default: bool) -> None:
        """Looks at the net anew: at first, and after modules of it were replaced."""
        self.model, self.spots, self.chosen = model, spots, chosen
        self.study = Study(model, spots, chosen, default, self.rows, self.weights)
        self._functions: list[tuple[nn.Module, Any, Any]] = []
        self.studying = True
        self._studies = 0

    # A step ----------------------------------------------------------------------------------------------------

    def begin(self, hooks: Hooks, histograms: bool, spreads: bool) -> None:
        """Attaches the hooks of one step."""
        self.passes.begin()
        self.calls.begin()
        self.blocks.begin()
        if self.studying:
            self.study.begin()
        self.origin: dict[Any, int] = {}  # autograd node -> the row whose output it made
        self.axes: dict[Any, int] = {}  # the same -> the axis of its channels
        self.hooks, self.histograms, self.spreads = hooks, histograms, spreads
        self.wrapped = 0
        if self.studying or not self._functions:
            plan = self.study.everything() if self.studying else self.study.plan
            self._functions = [
                (
                    spot.module,
                    Silent(self._guarded, self.blocks.begins, spot) if spot.kind == "block" else None,
                    Silent(self.outputs.hear, spot),
                )
                for spot in plan
            ]
        hooks.before(self.model, Silent(self._guarded, self._root_is_called, hooks))
        for module, before, after in self._functions:
            if before is not None:
                hooks.before(module, before)
            hooks.after(module, after)
        hooks.after(self.model, Silent(self._guarded, self._forward_ends))

    @property
    def fired(self) -> bool:
        """Whether any place gave an output in this step."""
        return self.wrapped > 0 or any(board.calls for board in self.passes.boards)

    def boards(self) -> list[Board]:
        """The forward passes of the step whose samples count: those that returned and whose gradient came."""
        self._sort_out_raised()
        boards = self.passes.boards
        if any(board.felt for board in boards):
            without = [board for board in boards if not board.felt]
            if without:
                self.say("a forward pass without a backward pass of its own was left out of the step's record")
            return [board for board in boards if board.felt]
        return boards

    def end(self) -> None:
        """Learns from the step what it showed about the net."""
        if self.studying:
            self.study.read_graph([], self.origin)
            self.shown = self.study.settle(self.passes.boards)
            self.index |= {(row.path, row.call): at for at, row in enumerate(self.rows)}
            self._studies += 1
            self._functions = []
            self.studying = False

    def release(self) -> None:
        """Lets go of the step's graph and tensors, however it ended."""
        self._spare = (self._spare + self.passes.boards)[:4] or [Board(FIRST_ROWS, self.weights.launches)]
        for board in self.passes.boards:
            board.let_go()
        self.passes.begin()
        self.passes.release()
        self.calls.begin()
        self.blocks.begin()
        self.origin, self.axes, self.hooks = {}, {}, Hooks()

    def study_again(self) -> None:
        """Has the next recorded step listen to everything, since the net shows something new."""
        if self._studies < STUDIES:
            self.studying = True

    def _guarded(self, function: Callable[..., None], *args: Any) -> None:
        """Runs the body of a hook: times it, and keeps a fault of ours out of the user's training."""
        started = time.perf_counter()
        try:
            function(*args)
        except Exception as error:
            self.fault(error)
        self.seconds += time.perf_counter() - started

    def fault(self, error: Exception) -> None:
        """Counts a fault of ours; the step in which it happened has no record."""
        text = f"{type(error).__name__}: {error}"
        self.faults[text] = self.faults.get(text, 0) + 1

    # Forward ---------------------------------------------------------------------------------------------------

    def new_board(self) -> Board:
        """A board for the forward pass that begins."""
        board = self._spare.pop() if self._spare else Board(FIRST_ROWS, self.weights.launches)
        board.clear()
        self.passes.boards.append(board)
        self.calls.board = board
        return board

    def _root_is_called(self, hooks: Hooks, module: nn.Module, args: tuple[Any, ...], kwargs: Any = None) -> None:
        # torch still calls a hook of a step that another hook has ended just before, and then without keywords.
        if hooks is self.hooks:
            self.forward_begins()

    def forward_begins(self) -> None:
        """The forward of the whole net begins."""
        if in_backward() or self.passes.over or self.transformed():
            return
        self._sort_out_raised()
        self.origin.clear()
        self.axes.clear()
        self.blocks.begin()
        self.calls.forward_begins()
        if not self.calls.evaluating:
            self.new_board().complete = False

    def _forward_ends(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if in_backward() or self.passes.over or self.transformed():
            return
        board = self.calls.forward_ends()
        if board is not None:
            board.complete = True
            if self.studying:
                self.study.read_graph([tensor.grad_fn for tensor in tensors_in(output)], self.origin)

    def transformed(self) -> bool:
        """Whether a transform of `torch.func` runs: a tensor then stands for a whole batch."""
        if peek_interpreter_stack() is None:
            return False
        self.wrapped += 1
        self.say("what the model does within torch.func (vmap, grad, …) is not recorded")
        return True

    def _sort_out_raised(self) -> None:
        """Forgets forward passes that did not return: their samples were not trained on, or come once more."""
        self.passes.look_back()
        raised = [board for board in self.passes.boards if board.complete is False and not board.felt]
        if raised:
            self.passes.boards[:] = [board for board in self.passes.boards if board not in raised]
            self._spare += raised

    def _pass_ended(self) -> None:
        self.calls.pass_ended()
        self._guarded(self.blocks.pass_ended)
