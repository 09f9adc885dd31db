"""Which places of a net are worth listening to, and where in the net do they stand? Read off one whole step."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from labapp.recording import graph
from labapp.recording.board import Board
from labapp.recording.places import WHOLE, ExecutionOrder, Spot, closed_parts, relative_depth
from labapp.recording.row import Row
from labapp.recording.weights import Weights


class Study:
    """What steps that listened to every module have shown.

    Attributes:
        plan: the places to listen to in the other steps.
        shown: paths of those that were asked for, whose gradients are wanted too.
        closed: paths of compiled or scripted parts, whose inside no hook hears.
        idle: paths of norms that were left out, because they feed no activation and end no branch.
    """

    def __init__(
        self, model: nn.Module, spots: list[Spot], chosen: set[str], default: bool, rows: list[Row], weights: Weights
    ) -> None:
        self.spots, self.chosen, self.default, self.rows, self.weights = spots, chosen, default, rows, weights
        self.closed = closed_parts(model)
        inside = tuple(f"{path}." for path in self.closed)
        known = {spot.path: spot for spot in spots}
        whole = known.get(WHOLE)
        # A compiled part called through its wrapper is heard from outside; one compiled in place is not.
        silent = {path for path, part in self.closed.items() if getattr(part, "_compiled_call_impl", None) is not None}
        self._everything = ([whole] if whole else []) + [
            known.get(path) or Spot(path, module, "part")
            for path, module in model.named_modules()
            if path
            and path not in silent
            and not path.startswith(inside)
            and "parametrizations" not in path.split(".")
            and type(module) not in (nn.ModuleList, nn.ModuleDict)  # they are never called
        ]
        self.plan: list[Spot] = []
        self.idle: set[str] = set()
        self.shown: set[str] = set()
        self.order: dict[str, int] = {}
        self._known_order: list[str] = []
        self._rectified: set[int] = set()
        self._activated: set[int] = set()
        self._ends: set[int] = set()
        self._branches: set[int] = set()

    def begin(self) -> None:
        """A step that studies the net begins."""
        self._known_order, self.order = list(self.order), {}

    def everything(self) -> list[Spot]:
        """Every module that can be heard."""
        return self._everything

    def heard(self, path: str) -> None:
        """Notes the order of execution."""
        self.order.setdefault(path, len(self.order))

    def read_graph(self, roots: Sequence[Any], origin: dict[Any, int]) -> None:
        """Finds which places feed an activation."""
        rectified, activated = graph.feeds([*roots, *origin], origin)
        self._rectified |= rectified
        self._activated |= activated

    def settle(self, boards: Sequence[Board]) -> list[int]:
        """Decides which places to keep listening to and where they stand in the net: the rows to show, by depth."""
        self._keep_order()
        for index in self._rectified:
            self.rows[index].rectified = True
        for board in boards:
            for branch, shortcut in board.links.values():
                self._branches |= {branch} - {None}  # type: ignore[arg-type]
                self._ends |= {branch, shortcut} - {None}  # type: ignore[arg-type]
        keep = [index for index, row in enumerate(self.rows) if row.path in self.chosen and not self._idle(index, row)]
        shown, needed = {self.rows[i].path for i in keep}, {self.rows[i].path for i in self._ends}
        self.shown = shown | {spot.path for spot in self.spots if spot.path in self.chosen - set(self.order)}
        self.idle = {row.path for row in self.rows if row.path in self.chosen} - shown
        self._number()
        keep = list({*keep, *self._silent_rows()})  # a place may have been silent before
        # What was asked for and has not been heard yet may still be: it is listened to in every step.
        heard = set(self.order)
        self.plan = [
            spot
            for spot in self._everything
            if spot.path in shown or spot.path in needed or (spot.path in self.chosen and spot.path not in heard)
        ]
        return sorted(keep, key=self._rank)

    def without_outputs(self) -> list[int]:
        """Settles the places where no hook can listen (a compiled model): only weights are recorded."""
        return self._silent_rows()

    def _keep_order(self) -> None:
        """Puts what was heard before and not in this step where it stood: behind what ran before it."""
        order = list(self.order)
        for at, path in enumerate(self._known_order):
            if path not in self.order:
                before = self._known_order[at - 1] if at else None
                order.insert(order.index(before) + 1 if before in order else 0, path)
        self.order = {path: at for at, path in enumerate(order)}

    def _idle(self, index: int, row: Row) -> bool:
        # By default a norm counts if it feeds an activation or ends a branch; without a graph none can be told.
        other = self._activated and index not in self._activated | self._branches
        return bool(self.default and row.kind == "norm" and row.path in self.order and other)

    def _rank(self, index: int) -> tuple[int, int, int]:
        row = self.rows[index]
        return row.depth or 0, self.order.get(row.path, -1), index

    def _number(self) -> None:
        """Depth and stage of a net that declares no places, from the order of execution; relative depth of any net."""
        declared = {spot.path for spot in self.spots if spot.depth is not None}
        order = ExecutionOrder()
        for row in sorted(self.rows, key=lambda row: self.order.get(row.path, len(self.order))):
            depth, stage = order.after(row.kind, row.call, (0, *row.shape), row.axis)
            if row.path not in declared:
                row.depth, row.stage = depth, stage
        place(self.rows)

    def _silent_rows(self) -> list[int]:
        """Rows for places whose weights are used without the module being called: these can still be recorded."""
        by_path = {row.path: at for at, row in enumerate(self.rows)}
        depth, stage = 0, 1
        found = []
        for spot in self.spots:  # in order of definition, which is the best that is known of where they stand
            known = by_path.get(spot.path)
            if known is not None and spot.path in self.order:
                depth, stage = self.rows[known].depth or depth, self.rows[known].stage or stage
                continue
            own = self.weights.of[spot.path]
            if spot.path in self.chosen and own.weights:
                depth += not self.order  # nothing was called at all, so order is all there is
                if known is None:
                    known = len(self.rows)
                    self.rows.append(Row(spot.path, 1, spot.kind, spot.block, 1, (), own.size, heard=False))
                row = self.rows[known]
                row.depth, row.stage = spot.depth or max(depth, 1), spot.stage or stage
                found.append(known)
        place(self.rows)
        return found


def place(rows: list[Row]) -> None:
    """Gives rows their relative depth."""
    last = max((row.depth or 1 for row in rows), default=1)
    for row in rows:
        row.relative_depth = relative_depth(row.depth or 1, last)
