"""What do a net's layers say during one step?

Forward hooks take the sums of each output and put a hook on the output tensor, which takes those of its gradient. At
the end of a residual block the sum is taken apart (`blocks`). A step that studies the net listens to every module, to
find out which places feed an activation and where branches end (`study`); the others only to the places that are
needed. A place that is heard for the first time later, or a changed net, is studied again.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack

from labapp.recording.blocks import Blocks
from labapp.recording.board import GRADIENT, LARGEST, OUTPUT, Board
from labapp.recording.calls import Calls
from labapp.recording.graph import RECTIFIERS, is_any, node_of
from labapp.recording.hooks import Hooks, Silent, in_backward, tensors_in
from labapp.recording.layout import channel_axis
from labapp.recording.passes import Passes
from labapp.recording.places import Spot
from labapp.recording.row import Row
from labapp.recording.study import Study
from labapp.recording.values import measurable
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
    """

    def __init__(self, weights: Weights, say: Callable[[str], None]) -> None:
        self.weights, self.say = weights, say
        self.rows: list[Row] = []
        self.shown: list[int] = []
        self.seconds = 0.0
        self.faults: dict[str, int] = {}
        self.skipped_outputs = 0
        self.felt: set[str] = set()
        self.passes = Passes(weights, say, self.fault)
        self.passes.ended = self._pass_ended  # type: ignore[method-assign]
        self.calls = Calls(self.passes)
        self.blocks = Blocks(self)
        self._index: dict[tuple[str, int], int] = {}
        self._spare: list[Board] = [Board(FIRST_ROWS)]
        self.implementation = self._spare[0].implementation
        self._studies = 0
        self._wrapped = 0
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
        self._wrapped = 0
        if self.studying or not self._functions:
            plan = self.study.everything() if self.studying else self.study.plan
            self._functions = [
                (
                    spot.module,
                    Silent(self._guarded, self.blocks.begins, spot) if spot.kind == "block" else None,
                    Silent(self._output, spot),
                )
                for spot in plan
            ]
        hooks.before(self.model, Silent(self._guarded, self._forward_begins))
        for module, before, after in self._functions:
            if before is not None:
                hooks.before(module, before)
            hooks.after(module, after)
        hooks.after(self.model, Silent(self._guarded, self._forward_ends))

    @property
    def fired(self) -> bool:
        """Whether any place gave an output in this step."""
        return self._wrapped > 0 or any(board.calls for board in self.passes.boards)

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
            self._index |= {(row.path, row.call): at for at, row in enumerate(self.rows)}
            self._studies += 1
            self._functions = []
            self.studying = False

    def release(self) -> None:
        """Lets go of the step's graph and tensors, however it ended."""
        self._spare = (self._spare + self.passes.boards)[:4] or [Board(FIRST_ROWS)]
        for board in self.passes.boards:
            board.held.clear()
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

    def _board(self) -> Board:
        board = self._spare.pop() if self._spare else Board(FIRST_ROWS)
        board.clear()
        self.passes.boards.append(board)
        self.calls.board = board
        return board

    def _forward_begins(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if in_backward() or self.passes.over or self._transformed():
            return
        self._sort_out_raised()
        self.origin.clear()
        self.axes.clear()
        self.blocks.begin()
        self.calls.forward_begins()
        if not self.calls.evaluating:
            self._board().complete = False

    def _forward_ends(self, module: nn.Module, args: tuple, output: Any) -> None:
        if in_backward() or self.passes.over or self._transformed():
            return
        board = self.calls.forward_ends()
        if board is not None:
            board.complete = True
            if self.studying:
                self.study.read_graph([tensor.grad_fn for tensor in tensors_in(output)], self.origin)

    def _transformed(self) -> bool:
        """Whether a transform of `torch.func` runs: a tensor then stands for a whole batch."""
        if peek_interpreter_stack() is None:
            return False
        self._wrapped += 1
        self.say("what the model does within torch.func (vmap, grad, …) is not recorded")
        return True

    def _sort_out_raised(self) -> None:
        """Forgets forward passes that did not return: their samples were not trained on, or come once more."""
        self.passes.look_back()
        raised = [board for board in self.passes.boards if board.complete is False and not board.felt]
        if raised:
            self.passes.boards[:] = [board for board in self.passes.boards if board not in raised]
            self._spare += raised

    # The two hooks that run most are guarded in place: a call more would be a tenth of what they cost.

    def _output(self, spot: Spot, module: nn.Module, args: tuple, output: Any) -> None:
        started = time.perf_counter()
        try:
            self._take(spot, args, output)
        except Exception as error:
            self.fault(error)
        self.seconds += time.perf_counter() - started

    def _take(self, spot: Spot, args: tuple, output: Any) -> None:
        """One output becomes numbers."""
        if self.passes.over or self._transformed():
            return
        if not isinstance(output, Tensor):
            found = list(tensors_in(output))
            self.skipped_outputs += max(len(found) - 1, 0)
            output = found[0] if found else None
        if self.studying:
            self.study.heard(spot.path)
        call = self.calls.number(spot.path, args, self._board)
        if call is None:
            return
        if output is None or not output.is_floating_point() or output.numel() == 0:
            self.skipped_outputs += 1
            return
        values = measurable(output)
        if values is None:
            self._wrapped += 1
            self.say(f"outputs that stand for numbers elsewhere ({type(output).__name__}) were not recorded")
            return
        board = self.calls.board
        index = self._row(spot, call, args, output, board)
        if index is None:
            return
        row = self.rows[index]
        if self.calls.repeated:  # its values are known; a gradient that comes is one of another loss
            if output.requires_grad:
                self._feels(board, index, args, output)
            return
        if output.requires_grad:
            self._follow(spot, index, board, args, output)
        if (row.rectified or self.studying) and output.dim() > 1 and row.axis < output.dim():
            board.moments(index, values, row.axis)
        else:
            board.energy(index, OUTPUT, values)
        if spot.path in self.chosen:
            if self.histograms:
                board.exponents(index, "output", values.detach())
            if self.spreads:
                board.spread(index, "output", values)

    def _follow(self, spot: Spot, index: int, board: Board, args: tuple, output: Tensor) -> None:
        """Listens to an output's gradient."""
        node = output.grad_fn
        if node is not None:
            # A block and its last activation, or a sequence and its last module, end in one node: the one asked for.
            known = self.origin.get(node)
            if known is None or self.rows[known].path not in self.chosen:
                self.origin[node] = index
            self.axes[node] = self.rows[index].axis
            if spot.kind == "block":
                self.blocks.ends(spot, index, board, output)
        self._feels(board, index, args, output)

    def _feels(self, board: Board, index: int, args: tuple, output: Tensor) -> None:
        """Puts the hook where an output's whole gradient arrives."""
        base = output._base if output._is_view() else None
        if base is not None and (base.grad_fn is None or base.numel() != output.numel()):
            base = None
        # An operation in place on a view takes its node, and so a hook there, out of the graph, or leaves it with the
        # second-order part of a gradient penalty. The base's stays.
        if base is not None and not any(base is given or given._base is base for given in tensors_in(args)):
            output = base
        self.hooks.gradient(output, partial(self._gradient, board, index))

    def _row(self, spot: Spot, call: int, args: tuple, output: Tensor, board: Board) -> int | None:
        index = self._index.get((spot.path, call))
        if index is None and len(self.rows) >= LARGEST:
            self.say(f"modules were called more than {LARGEST} times in a forward; the calls after that are missing")
            return None
        if index is None or not self.rows[index].heard:
            own = self.weights.of.get(spot.path)
            axis = channel_axis(spot.module, output, self.axes) if output.dim() else 0
            row = Row(spot.path, call, spot.kind, spot.block, axis, tuple(output.shape[1:]), own.size if own else 0)
            row.depth, row.stage = spot.depth, spot.stage
            row.rectified = is_any(node_of(output), RECTIFIERS)
            if index is None:
                index = self._index[spot.path, call] = len(self.rows)
                self.rows.append(row)
            else:
                self.rows[index] = row
            if not self.studying:
                self.study_again()
        board.reserve(index)
        return index

    # Backward --------------------------------------------------------------------------------------------------

    def _gradient(self, board: Board, index: int, gradient: Tensor) -> None:
        started = time.perf_counter()
        try:
            if self.passes.listening() and board.last_pass[index] != self.passes.number:
                self._feel(board, index, gradient)
        except Exception as error:
            self.fault(error)
        self.seconds += time.perf_counter() - started

    def _feel(self, board: Board, index: int, gradient: Tensor) -> None:
        """One output's gradient becomes numbers."""
        self.calls.cursor = None
        if board.last_pass[index]:
            board.void[index] = "two backward passes went through one output, so its gradient is not that of one loss"
        board.last_pass[index] = self.passes.number
        values = measurable(gradient)
        if values is None:
            return
        board.felt = True
        self.felt.add(self.rows[index].path)
        asked = self.rows[index].path in self.chosen
        if index in board.ends and not (self.histograms or self.spreads):
            board.held[index] = values.detach()
        else:
            board.energy(index, GRADIENT, values)
        if asked and self.histograms:
            board.exponents(index, "gradient", values)
        if asked and self.spreads:
            board.spread(index, "gradient", values)

    def _pass_ended(self) -> None:
        self.calls.pass_ended()
        self._guarded(self.blocks.pass_ended)
