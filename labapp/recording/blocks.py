"""What comes through the branch of a residual block, and what through its shortcut, forward and backward?"""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack

from labapp.recording import graph
from labapp.recording.board import INPUT, Board, Link
from labapp.recording.hooks import Silent, tensors_in
from labapp.recording.kernels import readable
from labapp.recording.places import Spot
from labapp.recording.values import measurable

if TYPE_CHECKING:
    from labapp.recording.listener import Listener


class Blocks:
    """Takes the sum at the end of each residual block apart, in every step anew.

    Attributes:
        keyword_only: paths of blocks that get their input by keyword.
    """

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self.keyword_only: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """Forgets the forward before."""
        self._starts: dict[str, tuple[Any, int | None, Tensor | None]] = {}
        self._parts: list[list[Tensor | None]] = []

    def begins(self, spot: Spot, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keeps the node of a block's input; the input itself until the block ends if no recorded place made it."""
        if peek_interpreter_stack() is not None:
            return
        given = next(tensors_in((args, kwargs)), None)
        if given is not None and next(tensors_in(args), None) is None:
            self.keyword_only.add(spot.path)
        if given is None or not torch.is_grad_enabled():
            return
        node = graph.node_of(given)
        if node is not None:
            source = self._listener.origin.get(node)
            self._starts[spot.path] = (node, source, None if source is not None else given.detach())

    def ends(self, spot: Spot, index: int, board: Board, output: Tensor) -> None:
        """Finds the two paths behind a block's output and listens to the gradients that they send back."""
        listener, row = self._listener, self._listener.rows[index]
        start, source, given = self._starts.pop(spot.path, (None, None, None))
        if start is None:
            return
        found = graph.follow(output, row.route, start) if row.route else None
        if found is None:
            route = graph.find_route(output, start)
            found = graph.follow(output, route, start) if route else None
            row.route = route or row.route
        shortcut = source
        if found is not None and found.shortcut_end is not start:
            shortcut, given = listener.origin.get(found.shortcut_end), None
        plain = measurable(given) if given is not None else None
        if found is None or (shortcut is None and plain is None):
            row.split = row.split or "sum"
            return
        row.split = "branch+shortcut"
        if plain is not None:
            board.energy(index, INPUT, plain, readable(plain))
        branch = listener.origin.get(found.branch_end)
        board.links[index] = Link(branch, shortcut)
        if branch is not None:
            board.ends[branch] = index
        elif row.branched and not listener.studying:
            listener.study_again()  # the branch ends in another module than it did
        row.branched = row.branched or branch is not None
        parts: list[Tensor | None] = [None, None]
        self._parts.append(parts)
        for which, (node, at) in enumerate((found.branch, found.shortcut)):
            listener.hooks.node(
                node, Silent(listener._guarded, partial(self._path_gradient, board, index, parts, which, at))
            )

    def _path_gradient(
        self,
        board: Board,
        index: int,
        parts: list[Any],
        which: int,
        at: int,
        inputs: tuple[Any, ...],
        outputs: tuple[Any, ...],
    ) -> None:
        if not self._listener.passes.listening() or inputs[at] is None:
            return
        parts[which] = inputs[at]
        branch, shortcut = (measurable(part) if part is not None else None for part in parts)
        if branch is not None and shortcut is not None:
            if board.paths[index]:
                board.void[index] = "two backward passes went through one block"
            board.inner(index, branch, shortcut)
            parts[:] = [None, None]

    def pass_ended(self) -> None:
        """Lets go of gradients whose counterpart never came."""
        for parts in self._parts:
            parts[:] = [None, None]
