"""What do a net's layers say during one step?

Forward hooks take the sums of each output and put a hook on the output tensor, which takes those of its gradient. At
the end of a residual block the sum is taken apart, and hooks on two autograd nodes take the gradient each path sends
back. The first recorded step listens to every module, to find out which places feed an activation and where branches
end; the later ones only to the places that are needed.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from labapp.recording import graph
from labapp.recording.board import GRADIENT, INPUT, PATHS, SQUARE, Board, Row, Sums
from labapp.recording.hooks import Hooks, after_backward, in_backward, tensors_in
from labapp.recording.places import Spot

CAPACITY = 4  # rows for each module, so that one may be called several times in a forward


class Listener:
    """The hooks of a net's forward and backward passes, and the rows that they fill.

    Attributes:
        rows: one for each (module path, number of the call in a forward), in order of first execution.
        shown: the rows that were asked for, in order of depth; known after the first recorded step.
        seconds: time spent in hooks.
        faults: what went wrong in a hook, and how often; never raised into training.
        skipped_outputs: outputs that were no floating-point tensor, or tensors of a tuple after the first.
        shared: block row -> row of its branch's end, where both have one gradient, which is then read once.
        checkpointed: paths that a backward pass ran anew; keyword_only: blocks that get their input by keyword.
    """

    def __init__(
        self, model: nn.Module, spots: list[Spot], chosen: set[str], default: bool, weights_of: dict[str, tuple]
    ) -> None:
        self.model, self.spots, self.chosen, self.default, self.weights_of = model, spots, chosen, default, weights_of
        self.board = Board(max(64, CAPACITY * sum(1 for _ in model.modules())))
        self.rows: list[Row] = []
        self.shown: list[int] = []
        self.links: dict[int, tuple[int | None, int | None]] = {}
        self.seconds = 0.0
        self.faults: dict[str, int] = {}
        self.skipped_outputs = 0
        self.checkpointed: set[str] = set()
        self.keyword_only: set[str] = set()
        self.shared: dict[int, int] = {}
        self._index: dict[tuple[str, int], int] = {}
        self._plan: list[tuple[Spot, bool]] | None = None  # (module, whether its gradient is wanted), once it is known
        self._calls: dict[str, int] = {}
        self._recalls: dict[str, int] = {}
        self._origin: dict[Any, int] = {}  # autograd node -> the row whose output it made
        self._starts: dict[str, tuple[Any, int | None, Tensor | None]] = {}

    # A step ----------------------------------------------------------------------------------------------------

    def begin(self, hooks: Hooks, histograms: bool, backward_ended: Callable[[], None]) -> None:
        """Attaches the hooks of one step."""
        self.board.clear()
        self._calls.clear()
        self._recalls.clear()
        self.links = {}
        self._hooks, self._histograms, self._backward_ended, self._queued = hooks, histograms, backward_ended, False
        hooks.before(self.model, self._forward_begins)
        if self._plan is None:
            self._functions = self._made_for(self._everything())
        for module, before, after in self._functions:
            if before is not None:
                hooks.before(module, before)
            hooks.after(module, after)
        if self._plan is None:
            hooks.after(self.model, partial(self._guarded, self._forward_ends))
            self._order: dict[str, int] = {}
            self._rectified: set[int] = set()
            self._activated: set[int] = set()

    @property
    def fired(self) -> bool:
        """Whether any place gave an output in this step."""
        return bool(self._calls or self._recalls)

    def end(self) -> None:
        """Lets go of the step's graph."""
        if self._plan is None:
            self._read_graph([])
            self._study()
        self._origin.clear()
        self._starts.clear()

    def _everything(self) -> list[tuple[Spot, bool]]:
        known = {spot.path: spot for spot in self.spots}
        return [
            (known.get(path) or Spot(path, module, "part"), True)
            for path, module in self.model.named_modules()
            if path and type(module) not in (nn.ModuleList, nn.ModuleDict)  # they are never called
        ]

    def _made_for(self, plan: list[tuple[Spot, bool]]) -> list[tuple[nn.Module, Any, Any]]:
        """(module, hook before, hook after) of each place, made once."""
        return [
            (
                spot.module,
                partial(self._guarded, self._block_begins, spot) if spot.kind == "block" else None,
                partial(self._output, spot, gradient),
            )
            for spot, gradient in plan
        ]

    def _guarded(self, function: Callable[..., None], *args: Any) -> None:
        """Runs the body of a hook: times it, and keeps a fault of ours out of the user's training."""
        started = time.perf_counter()
        try:
            function(*args)
        except Exception as error:
            self._fault(error)
        self.seconds += time.perf_counter() - started

    def _fault(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self.faults[text] = self.faults.get(text, 0) + 1

    # Forward ---------------------------------------------------------------------------------------------------

    def _forward_begins(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not in_backward():
            self._calls.clear()
            self._origin.clear()

    def _forward_ends(self, module: nn.Module, args: tuple, output: Any) -> None:
        if torch.is_grad_enabled() and not in_backward():
            self._read_graph([tensor.grad_fn for tensor in tensors_in(output)])

    # The two hooks that run most are guarded in place: a call more would be a tenth of what they cost.

    def _output(self, spot: Spot, gradient: bool, module: nn.Module, args: tuple, output: Any) -> None:
        started = time.perf_counter()
        try:
            self._take(spot, gradient, output)
        except Exception as error:
            self._fault(error)
        self.seconds += time.perf_counter() - started

    def _take(self, spot: Spot, gradient: bool, output: Any) -> None:
        """One output becomes numbers."""
        if self._plan is None:
            self._order.setdefault(spot.path, len(self._order))
        if not torch.is_grad_enabled():
            return  # an evaluation inside the step, or the first run of a reentrant checkpoint
        call = self._call(spot.path)
        if call is None:
            return
        if not isinstance(output, Tensor):
            found = list(tensors_in(output))
            self.skipped_outputs += max(len(found) - 1, 0)
            output = found[0] if found else None
        if output is None or not output.is_floating_point() or output.numel() == 0:
            self.skipped_outputs += 1
            return
        index = self._row(spot, call, output)
        if index is None:
            return
        row = self.rows[index]
        if output.requires_grad:
            node = output.grad_fn
            if node is not None:
                known = self._origin.get(node)
                # A block and its last activation, or a sequence and its last module, end in one node: the one asked
                # for.
                if known is None or self.rows[known].path not in self.chosen:
                    self._origin[node] = index
                if spot.kind == "block":
                    self._block_ends(spot, index, output)
            if gradient:
                self._hooks.gradient(output, partial(self._gradient, index))
        if (row.rectified or self._plan is None) and output.dim() > 1:
            self.board.moments(index, output, row.axis)
        else:
            self.board.energy(index, 0, output)
        if self._histograms and spot.path in self.chosen:
            self.board.exponents(index, "output", output.detach())

    def _call(self, path: str) -> int | None:
        """Which call of this module in this forward it is; None if a checkpoint runs anew what has been recorded."""
        if in_backward():
            self.checkpointed.add(path)
            call = self._recalls[path] = self._recalls.get(path, 0) + 1
            return None if call <= self._calls.get(path, 0) else call
        call = self._calls[path] = self._calls.get(path, 0) + 1
        return call

    def _row(self, spot: Spot, call: int, output: Tensor) -> int | None:
        index = self._index.get((spot.path, call))
        if index is not None:
            return index
        if len(self.rows) == self.board.rows:
            self.skipped_outputs += 1
            return None
        weights, gradients, count = self.weights_of.get(spot.path, ((), (), 0))
        channels_last = spot.kind == "linear" or type(spot.module).__name__.startswith(("LayerNorm", "RMSNorm"))
        by_channel = output.dim() > 3 or (output.dim() == 3 and spot.kind == "conv")
        row = Row(
            path=spot.path,
            call=call,
            kind=spot.kind,
            block=spot.block,
            axis=1 if by_channel and not channels_last else output.dim() - 1,
            shape=tuple(output.shape[1:]),
            parameters=count,
            depth=spot.depth,
            stage=spot.stage,
            rectified=graph.is_any(output.grad_fn, graph.RECTIFIERS),
            weights=weights if call == 1 else (),
            gradients=gradients if call == 1 else (),
        )
        self._index[spot.path, call] = index = len(self.rows)
        self.rows.append(row)
        return index

    # Backward --------------------------------------------------------------------------------------------------

    def _gradient(self, index: int, gradient: Tensor) -> None:
        started = time.perf_counter()
        try:
            self.board.energy(index, GRADIENT, gradient)
            if self._histograms and self.rows[index].path in self.chosen:
                self.board.exponents(index, "gradient", gradient)
            if not self._queued:
                self._queued = True
                after_backward(self._after_backward)
        except Exception as error:
            self._fault(error)
        self.seconds += time.perf_counter() - started

    def _after_backward(self) -> None:
        self._queued = False
        self._recalls.clear()
        self._guarded(self._backward_ended)

    # Residual blocks -------------------------------------------------------------------------------------------

    def _block_begins(self, spot: Spot, module: nn.Module, args: tuple, kwargs: dict) -> None:
        """Keeps the node of a block's input; the input itself until the block ends if no recorded place made it."""
        given = next(tensors_in((args, kwargs)), None)
        if given is not None and next(tensors_in(args), None) is None:
            self.keyword_only.add(spot.path)
        if given is not None and given.grad_fn is not None and torch.is_grad_enabled():
            source = self._origin.get(given.grad_fn)
            self._starts[spot.path] = (given.grad_fn, source, None if source is not None else given.detach())

    def _block_ends(self, spot: Spot, index: int, output: Tensor) -> None:
        row = self.rows[index]
        start, source, given = self._starts.pop(spot.path, (None, None, None))
        if start is None:
            return
        found = graph.follow(output, row.route) if row.route else None
        if found is None:
            row.route = graph.find_route(output, start)
            found = graph.follow(output, row.route) if row.route else None
        shortcut = source
        if found is not None and found.shortcut_end is not start:
            shortcut, given = self._origin.get(found.shortcut_end), None
        if found is None or (shortcut is None and given is None):
            row.split = row.split or "sum"
            return
        row.split = "branch+shortcut"
        if given is not None:
            self.board.energy(index, INPUT, given)
        self.links[index] = (self._origin.get(found.branch_end), shortcut)
        parts: list[Tensor | None] = [None, None]
        for which, (node, at) in enumerate((found.branch, found.shortcut)):
            self._hooks.node(node, partial(self._guarded, self._path_gradient, index, parts, which, at))

    def _path_gradient(self, index: int, parts: list, which: int, at: int, inputs: tuple, outputs: tuple) -> None:
        parts[which] = inputs[at]
        if parts[0] is not None and parts[1] is not None:
            self.board.inner(index, parts[0], parts[1])
            parts[:] = [None, None]

    # What the first recorded step shows ------------------------------------------------------------------------

    def _read_graph(self, roots: list[Any]) -> None:
        rectified, activated = graph.feeds([*roots, *self._origin], self._origin)
        self._rectified |= rectified
        self._activated |= activated

    def _study(self) -> None:
        """Decides which places to keep listening to and where they stand in the net."""
        for index in self._rectified:
            self.rows[index].rectified = True
        branches = {branch for branch, _ in self.links.values()}
        ends = {end for pair in self.links.values() for end in pair if end is not None}

        def wanted(index: int, row: Row) -> bool:
            # By default a norm counts if it feeds an activation or ends a branch; without a graph none can be told.
            idle = row.kind == "norm" and self._activated and index not in self._activated | branches
            return row.path in self.chosen and not (self.default and idle)

        keep = [index for index, row in enumerate(self.rows) if wanted(index, row)]
        self._number()
        keep += self._silent_rows()
        self.shown = sorted(keep, key=self._rank)
        shown, needed = {self.rows[i].path for i in keep}, {self.rows[i].path for i in ends}
        self._plan = [
            (spot, spot.path in shown) for spot, _ in self._everything() if spot.path in shown or spot.path in needed
        ]
        self._functions = self._made_for(self._plan)

    def share(self, sums: Sums) -> None:
        """Finds, in the first step, the branches that only their sum uses: their gradient is that of the sum.

        It is measured, not assumed: both were read in that step, and are the same. A histogram needs it to itself.
        """
        if self._plan is None or self._histograms or sums.pending:
            return
        for block, (branch, _) in sums.links.items():
            if branch is None or self.rows[block].split != "branch+shortcut" or sums.values[branch, 1] == 0:
                continue
            own, through = sums.table[branch, GRADIENT + SQUARE], sums.table[block, PATHS + 2]
            if abs(own - through) <= 1e-5 * own:
                self.shared[block] = branch
        paths = {self.rows[branch].path for branch in self.shared.values()}
        self._plan = [(spot, gradient and spot.path not in paths) for spot, gradient in self._plan]
        self._functions = self._made_for(self._plan)

    def _rank(self, index: int) -> tuple[int, int, int]:
        row = self.rows[index]
        return row.depth or 0, self._order.get(row.path, -1), index

    def _number(self) -> None:
        """Depth and stage of a net that declares no places, from the order of execution; relative depth of any net."""
        depth = 0
        sizes: list[tuple[int, ...]] = []
        for row in sorted(self.rows, key=lambda row: self._order[row.path]):
            depth += row.kind in {"conv", "linear"} and row.call == 1
            size = row.shape[1:]
            if row.kind in {"conv", "block"} and row.axis == 1 and size not in sizes:
                sizes.append(size)
            if row.depth is None:
                row.depth, row.stage = max(depth, 1), max(len(sizes), 1)
        place(self.rows)

    def _silent_rows(self) -> list[int]:
        """Rows for places whose weights are used without the module being called: these can still be recorded."""
        fired = {row.path: row for row in self.rows}
        depth, stage = 0, 1
        added = []
        for spot in self.spots:  # in order of definition, which is the best that is known of where they stand
            if spot.path in fired:
                depth, stage = fired[spot.path].depth or depth, fired[spot.path].stage or stage
                continue
            weights, gradients, count = self.weights_of[spot.path]
            if spot.path in self.chosen and weights:
                depth += not fired  # nothing was called at all, so order is all there is
                at = (spot.depth or max(depth, 1), spot.stage or stage)
                row = Row(spot.path, 1, spot.kind, spot.block, 1, (), count, *at)
                row.weights, row.gradients = weights, gradients
                added.append(len(self.rows))
                self.rows.append(row)
        place(self.rows)
        return added

    def without_outputs(self) -> None:
        """Settles the places where no hook can listen (a compiled model): only weights are recorded."""
        self.shown = self._silent_rows()


def place(rows: list[Row]) -> None:
    """relative_depth = (depth − 1) / (L − 1), so that nets of different depth share an axis."""
    last = max((row.depth or 1 for row in rows), default=1)
    for row in rows:
        row.relative_depth = ((row.depth or 1) - 1) / (last - 1) if last > 1 else 0.0
