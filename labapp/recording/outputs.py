"""How does one output of a module become numbers, and its gradient?

The sums are taken within the hooks; no tensor is kept. A hook on the output *tensor* sees the gradient of the value as
it is now, before anything changes it in place.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack

from labapp.recording.board import GRADIENT, LARGEST, OUTPUT, Board
from labapp.recording.divergence import fed_ill
from labapp.recording.graph import node_of, rectifies
from labapp.recording.hooks import tensors_in
from labapp.recording.kernels import readable
from labapp.recording.layout import channel_axis
from labapp.recording.places import Spot
from labapp.recording.row import Row
from labapp.recording.values import measurable

if TYPE_CHECKING:
    from labapp.recording.listener import Listener


class Outputs:
    """The hooks on modules and on the tensors that they return."""

    def __init__(self, listener: "Listener") -> None:
        self._net = listener

    # The two hooks that run most are guarded in place: a call more would be a tenth of what they cost.

    def hear(self, spot: Spot, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Hook after a module's forward."""
        started = time.perf_counter()
        try:
            self._take(spot, args, output)
        except Exception as error:
            self._net.fault(error)
        self._net.seconds += time.perf_counter() - started

    def _take(self, spot: Spot, args: tuple[Any, ...], output: Any) -> None:
        """One output becomes numbers."""
        net = self._net
        if net.passes.over or (peek_interpreter_stack() is not None and net.transformed()):
            return
        if not isinstance(output, Tensor):
            found = list(tensors_in(output))
            net.skipped_outputs += max(len(found) - 1, 0)
            output = found[0] if found else None
        if net.studying:
            net.study.heard(spot.path)
        call = net.calls.number(spot.path, args, net.new_board)
        if call is None:
            return
        if output is None or not output.is_floating_point() or output.numel() == 0:
            net.skipped_outputs += 1
            return
        values: Tensor | None = output
        host = readable(output)
        if not host:
            values = measurable(output)
            host = values is not None and readable(values)
        if values is None:
            net.wrapped += 1
            net.say(f"outputs that stand for numbers elsewhere ({type(output).__name__}) were not recorded")
            return
        board = net.calls.board
        index = net.index.get((spot.path, call))
        if index is None or index >= board.rows or not net.rows[index].heard:
            index = self._new_row(spot, call, output, board)
            if index is None:
                return
        row = net.rows[index]
        if net.calls.repeated:  # its values are known; a gradient that comes is one of another loss
            if output.requires_grad:
                self._feels(board, index, args, output)
            return
        if output.requires_grad:
            self._follow(spot, index, board, args, output)
        axis = row.axis
        if (row.rectified or net.studying) and axis is not None and 1 < output.dim() > axis:
            board.moments(index, values, axis, host)
        else:
            board.energy(index, OUTPUT, values, host)
        if host and board.is_ill(index, OUTPUT) and board.fed is None and index not in net.usual:
            board.fed = index, fed_ill(args, values)
        if (net.histograms or net.spreads) and spot.path in net.chosen:
            if net.histograms:
                board.exponents(index, "output", values.detach())
            if net.spreads:
                board.spread(index, "output", values)

    def _follow(self, spot: Spot, index: int, board: Board, args: tuple[Any, ...], output: Tensor) -> None:
        """Listens to an output's gradient."""
        net = self._net
        node = output.grad_fn
        if node is not None:
            # A block and its last activation, or a sequence and its last module, end in one node: the one asked for.
            known = net.origin.get(node)
            if known is None or net.rows[known].path not in net.chosen:
                net.origin[node] = index
            axis = net.rows[index].axis
            if axis is not None:
                net.axes[node] = axis
            if spot.kind == "block":
                net.blocks.ends(spot, index, board, output)
        if not net.studying and spot.path not in net.study.shown:
            return  # only where a branch or a shortcut ends
        self._feels(board, index, args, output)

    def _feels(self, board: Board, index: int, args: tuple[Any, ...], output: Tensor) -> None:
        """Puts the hook where an output's whole gradient arrives."""
        base = output._base if output._is_view() else None
        whole = base is not None and base.grad_fn is not None and base.numel() == output.numel()
        if base is not None and whole and not any(base is given or given._base is base for given in tensors_in(args)):
            # An operation in place on a view takes its node, and so a hook there, out of the graph, or leaves it with
            # the second-order part of a gradient penalty. The base's stays.
            output = base
        self._net.hooks.gradient(output, partial(self._gradient, board, index))

    def _new_row(self, spot: Spot, call: int, output: Tensor, board: Board) -> int | None:
        """The row of a call that was not heard before, or for which the board has no room; None beyond the last."""
        net = self._net
        index = net.index.get((spot.path, call))
        if index is None and len(net.rows) >= LARGEST:
            net.say(f"modules were called more than {LARGEST} times in a forward; the calls after that are missing")
            return None
        if index is None or not net.rows[index].heard:
            own = net.weights.of.get(spot.path)
            axis = channel_axis(spot.module, output, net.axes) if output.dim() else 0
            row = Row(spot.path, call, spot.kind, spot.block, axis, tuple(output.shape[1:]), own.size if own else 0)
            row.depth, row.stage = spot.depth, spot.stage
            row.rectified = rectifies(node_of(output))
            if axis is None and row.rectified and spot.path in net.chosen:
                net.say("of some outputs it cannot be told which axis holds the channels: they have no dead channels")
            if index is None:
                index = net.index[spot.path, call] = len(net.rows)
                net.rows.append(row)
            else:
                net.rows[index] = row
            if not net.studying:
                net.study_again()
        board.reserve(index)
        return index

    def _gradient(self, board: Board, index: int, gradient: Tensor) -> None:
        started = time.perf_counter()
        try:
            if self._net.passes.listening() and board.last_pass[index] != self._net.passes.number:
                self._feel(board, index, gradient)
        except Exception as error:
            self._net.fault(error)
        self._net.seconds += time.perf_counter() - started

    def _feel(self, board: Board, index: int, gradient: Tensor) -> None:
        """One output's gradient becomes numbers."""
        net = self._net
        net.calls.cursor, net.calls.feels = None, board  # what is run anew next is another segment, of this forward
        if board.last_pass[index]:
            board.void[index] = "two backward passes went through one output, so its gradient is not that of one loss"
        board.last_pass[index] = net.passes.number
        values: Tensor | None = gradient
        host = readable(gradient)
        if not host:
            values = measurable(gradient)
            host = values is not None and readable(values)
        if values is None:
            return
        board.felt = True
        path = net.rows[index].path
        net.felt.add(path)
        more = net.histograms or net.spreads
        if index in board.ends and not more:
            board.held[index] = values.detach()
        else:
            board.energy(index, GRADIENT, values, host)
            if host:
                board.is_ill(index, GRADIENT)
        if more and path in net.chosen:
            if net.histograms:
                board.exponents(index, "gradient", values)
            if net.spreads:
                board.spread(index, "gradient", values)
