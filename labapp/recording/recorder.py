"""How does one training step become one row a layer?

    with Recorder(model, optimizer, when=every(10)) as recorder:
        for x, y in loader:
            with recorder.step():
                optimizer.zero_grad()
                loss_function(model(x), y).backward()
                optimizer.step()
    recorder.table()

Hooks exist only inside a recorded step, so an idle step costs two function calls. Nothing is stored on a module, no tensor
outlives its step, nothing in the hook path reads a value back to Python, and the weights come out bit for bit as without.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from labapp.config import LabError
from labapp.recording import graph
from labapp.recording.board import GRADIENT, INPUT, Board, Row, Sums, quantities
from labapp.recording.hooks import Hooks, after_backward, in_backward
from labapp.recording.places import Layers, Spot, choose, find_spots
from labapp.recording.schedule import Schedule, every

FLUSH_STEPS = 20
FLUSH_SECONDS = 2.0
CAPACITY = 4  # rows for each place, so that a module may be called several times in a forward


class RecorderWarning(UserWarning):
    """Something is missing from the record; training itself was not touched."""


class Sink(Protocol):
    """Where rows go: `labapp.store.RunWriter`, or anything with these two methods."""

    def describe(self, layers: list[dict[str, Any]], recorder: dict[str, Any]) -> None:
        """Takes what is known about the places, and how the recorder does."""

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Appends rows to a table."""


class Recorder:
    """Records gradients, activations and updates of any net while it trains.

    Args:
        model: the net, bare or in DistributedDataParallel.
        optimizer: its optimizer; needed to know what clipping and loss scaling did before the step.
        when: which optimizer steps to record: `every(n)`, `log_spaced(points, total)` or any ``f(step) -> bool``.
        sink: where rows go (a `RunWriter`); None keeps them in memory for `table()`.
        layers: which places to record, see `labapp.recording.places.choose`.
        scaler: the GradScaler in use, if any: recorded gradients are divided by the scale in force.
        histograms: at which of the recorded steps to take histograms of magnitudes too.
        gradient_noise: compare the gradients of the micro-batches of a step (needs gradient accumulation).
        budget: the share of training time that recording may take; a scheduled step is left out while it has taken more.
        first_step: the number of the first optimizer step, for a resumed run.

    Raises:
        LabError: for a model that cannot be recorded; the model is left as it was.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        *,
        when: Schedule | None = None,
        sink: Sink | None = None,
        layers: Layers = None,
        scaler: Any = None,
        histograms: Schedule | None = None,
        gradient_noise: bool = False,
        budget: float | None = None,
        first_step: int = 0,
    ) -> None:
        self.ddp = isinstance(model, nn.parallel.DistributedDataParallel)
        self.model, self.compiled = unwrap(model)
        self.optimizer, self.when, self.sink, self.scaler = optimizer, when or every(10), sink, scaler
        self.histograms, self.gradient_noise, self.budget = histograms, gradient_noise, budget
        if budget is not None and not 0 < budget <= 1:
            raise LabError(
                f"budget={budget!r}: give the share of training time recording may take, above 0 and at most 1"
            )
        self.parameters = [p for p in self.model.parameters() if p.is_floating_point()]
        if not self.parameters:
            raise LabError("this model has no parameters, so there is nothing that trains and nothing to record")
        if optimizer is not None:
            own = {id(p) for p in self.model.parameters()}
            if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
                raise LabError("the optimizer holds no parameter of this model; give the optimizer that trains it")
        self.spots = find_spots(self.model)
        self.default_layers = layers is None
        self.chosen = choose(self.spots, layers)
        self.board = Board(max(64, CAPACITY * sum(1 for _ in self.model.modules())))
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.skipped_outputs = 0
        self._index: dict[tuple[str, int], int] = {}
        self._place_weights()
        self._plan: list[tuple[Spot, bool]] | None = None  # None until one recorded step has shown the net's structure
        self._shown: list[int] = []
        self._next = first_step
        self._entered = self._inside = self._closed = False
        self._landed: list[Sums] = []
        self._tables: dict[str, list[dict[str, np.ndarray]]] = {}
        self._alive_before: dict[int, np.ndarray] = {}
        self._faults: dict[str, int] = {}
        self._sink_error: BaseException | None = None
        self._flushed = time.perf_counter()
        self._own = self._setup = self._spent = 0.0
        self._recorded = self._stretched = 0

    def _place_weights(self) -> None:
        """Which tensors are whose weights: a layer's own parameters whose name says weight."""
        position = {id(p): i for i, p in enumerate(self.parameters)}
        self.weights: list[Tensor] = []
        self._weights_of: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {}
        for spot in self.spots:
            own = list(spot.module.named_parameters(recurse=False))
            named = [p for name, p in own if "weight" in name and p.is_floating_point()]
            first = len(self.weights)
            self.weights += [p.detach() for p in named]  # shares memory with the parameter, whatever the optimizer does
            count = sum(p.numel() for _, p in own)
            if spot.kind == "block":
                count = sum(p.numel() for p in spot.module.parameters())
            places = tuple(range(first, len(self.weights)))
            self._weights_of[spot.path] = (places, tuple(position[id(p)] for p in named), count)
        self._before = [torch.empty_like(w) for w in self.weights]

    # The user's side -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._entered:
            raise LabError("this recorder has been entered already; make a new one for a second `with` block")
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """One optimizer step: forward and backward passes of all its micro-batches, and ``optimizer.step()``.

        Raises:
            LabError: outside the recorder's `with` block, or inside another step.
        """
        if not self._entered or self._closed:
            raise LabError("recorder.step() was called outside `with Recorder(…) as recorder:`; put the loop inside it")
        if self._inside:
            raise LabError("recorder.step() was called inside another step; one `with recorder.step():` holds one step")
        number, self._next = self._next, self._next + 1
        started = time.perf_counter()
        self._inside = True
        try:
            if self._due(number):
                with self._recording(number):
                    yield
            else:
                yield
        finally:
            self._inside = False
            self._spent += time.perf_counter() - started
        if self._landed and (len(self._landed) >= FLUSH_STEPS or self._late()):
            self.flush()

    def table(self, name: str = "layers") -> pd.DataFrame:
        """The rows kept in memory, one a (step, layer): ``layers``, ``totals``, ``lifetimes`` or ``histograms``.

        Raises:
            LabError: if the rows went to a sink.
        """
        self.flush()
        if self.sink is not None and self._sink_error is None:
            raise LabError(
                "the rows went to the sink; read them there, for example with labapp.store.Run(path).layers()"
            )
        parts = self._tables.get(name, [])
        if not parts:
            return pd.DataFrame()
        return pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The places that are recorded, in order of execution; known after the first recorded step."""
        return [
            {
                "index": at,
                "path": row.layer,
                "kind": row.kind,
                "depth": row.depth,
                "relative_depth": row.relative_depth,
                "stage": row.stage,
                "block": row.block,
                "shape": list(row.shape),
                "parameters": row.parameters,
                "rectified": row.rectified,
                "split": row.split,
            }
            for at, row in enumerate(self.rows[i] for i in self._shown)
        ]

    @property
    def cost(self) -> dict[str, Any]:
        """What recording took: seconds, share of the time spent in steps, and how it was done."""
        work = self._spent - self._own - self._setup
        return {
            "recorded_steps": self._recorded,
            "left_out_for_budget": self._stretched,
            "seconds": round(self._own, 6),
            "setup_seconds": round(self._setup, 6),
            "step_seconds": round(self._spent, 6),
            "share": round(self._own / work, 6) if work > 0 else None,
            "kernels": self.board.implementation,
            "notes": list(self.notes),
        }

    def close(self) -> None:
        """Writes what is left and says what went wrong, once. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        if self._sink_error is not None:
            kept = "the rows it did not take are in recorder.table()"
            self._warn(f"the recorder's sink failed ({self._sink_error}); training went on and {kept}")
        for fault, times in self._faults.items():
            self._warn(
                f"a hook of the recorder failed {times} times ({fault}); the numbers it should have taken are NaN"
            )

    def flush(self) -> None:
        """Brings what was recorded to the host, in one copy, and hands it to the sink or keeps it."""
        started = time.perf_counter()
        landed, self._landed = self._landed, []
        self._flushed = started
        if not landed:
            return
        for sums in landed:
            sums.land()
        if self.ddp:
            from labapp.recording.joined import join

            if not join(landed, self.rows):
                return  # rank 0 writes for all
        for name, columns in self._columns(landed).items():
            self._hand_over(name, columns)
        self._own += time.perf_counter() - started
        if self.sink is not None and self._sink_error is None:
            try:
                self.sink.describe(self.layers, self.cost)
            except Exception as error:
                self._sink_error = error

    # One recorded step -----------------------------------------------------------------------------------------

    def _due(self, step: int) -> bool:
        if not self.when(step):
            return False
        work = self._spent - self._own - self._setup
        if self.budget is not None and self._recorded > 1 and self._own > self.budget * work:
            self._stretched += 1
            return False
        return True

    def _late(self) -> bool:
        # Under DDP every process has to flush at the same step, so only the count decides.
        return not self.ddp and time.perf_counter() - self._flushed > FLUSH_SECONDS

    @contextlib.contextmanager
    def _recording(self, step: int) -> Iterator[None]:
        clock = time.perf_counter
        started = clock()
        own = self._own
        self._begin(step)
        with Hooks() as self._hooks:
            self._attach()
            self._own += clock() - started
            yield
        started = clock()
        self._end(step)
        self._own += clock() - started
        if self._recorded == 0:  # the first recorded step finds the structure out; the later ones do not
            self._setup += self._own - own
            self._own = own
            self._report_silence()
        self._recorded += 1

    def _begin(self, step: int) -> None:
        self.board.clear()
        self._calls: dict[str, int] = {}
        self._recalls: dict[str, int] = {}
        self._origin: dict[Any, int] = {}
        self._roots: list[Any] = []
        self._links: dict[int, tuple[int | None, int | None]] = {}
        self._starts: dict[str, tuple[Any, int]] = {}
        self._queued = False
        self._backwards = 0
        self._gradients: Tensor | None = None
        self._clipped: Tensor | None = None
        self._micro: Tensor | None = None
        self._kept: list[Tensor] | None = None
        self._versions: list[int] = []
        self._scale: Tensor | None = None
        self._stepped = False
        self._counting = self.histograms is not None and self.histograms(step)
        with torch.no_grad():
            torch._foreach_copy_(self._before, self.weights)

    def _attach(self) -> None:
        self._hooks.before(self.model, self._forward_begins)
        if self.optimizer is not None:
            self._hooks.stepping(self.optimizer, self._optimizer_steps)
        if self.compiled:
            return
        if self._plan is None:
            known = {spot.path: spot for spot in self.spots}
            plan = [
                (known.get(path) or Spot(path, module, "part"), True)
                for path, module in self.model.named_modules()
                if path and not isinstance(module, nn.ModuleList | nn.ModuleDict)
            ]
        else:
            plan = self._plan
        for spot, gradient in plan:
            if spot.kind == "block":
                self._hooks.before(spot.module, partial(self._guard, self._block_begins, spot))
            self._hooks.after(spot.module, partial(self._output, spot, gradient))
        self._hooks.after(self.model, self._forward_ends)

    def _guard(self, function: Callable[..., None], *args: Any) -> None:
        """A fault of ours never raises into the user's training; it is counted and told at the end."""
        started = time.perf_counter()
        try:
            function(*args)
        except Exception as error:
            self._fault(error)
        self._own += time.perf_counter() - started

    def _fault(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._faults[text] = self._faults.get(text, 0) + 1

    def _forward_begins(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not in_backward():
            self._calls.clear()
            self._origin.clear()

    def _forward_ends(self, module: nn.Module, args: tuple, output: Any) -> None:
        if self._plan is None and torch.is_grad_enabled() and not in_backward():
            self._guard(self._study, [t.grad_fn for t in tensors_in(output)])

    def _output(self, spot: Spot, gradient: bool, module: nn.Module, args: tuple, output: Any) -> None:
        if not torch.is_grad_enabled():
            return  # an evaluation inside the step, or the first run of a checkpointed segment
        started = time.perf_counter()
        try:
            self._take(spot, gradient, output)
        except Exception as error:
            self._fault(error)
        self._own += time.perf_counter() - started

    def _take(self, spot: Spot, gradient: bool, output: Any) -> None:
        call = self._call(spot.path)
        if call is None:
            return
        if not isinstance(output, Tensor):
            found = list(tensors_in(output))
            self.skipped_outputs += max(len(found) - 1, 0)
            if not found:
                return
            output = found[0]
        if not output.is_floating_point() or output.numel() == 0:
            self.skipped_outputs += 1
            return
        index = self._row(spot, call, output)
        if index is None:
            return
        values = output.detach()
        row = self.rows[index]
        if output.grad_fn is not None:
            known = self._origin.get(output.grad_fn)
            # A block and its last activation, or a sequence and its last module, end in one node: the one asked for counts.
            if known is None or self.rows[known].path not in self.chosen:
                self._origin[output.grad_fn] = index
            if spot.kind == "block":
                self._block_ends(spot, index, output)
        if gradient and output.requires_grad:
            self._hooks.gradient(output, partial(self._gradient, index))
        if values.dim() > 1 and (row.rectified or self._plan is None):
            self.board.moments(index, values, row.axis)
        else:
            self.board.energy(index, 0, values)
        if self._counting and spot.path in self.chosen:
            self.board.exponents(index, "output", values)

    def _call(self, path: str) -> int | None:
        """Which call of this module in this forward it is; None if the call was recorded and is only run anew."""
        if in_backward():
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
        last = spot.kind == "linear" or type(spot.module).__name__.startswith(("LayerNorm", "RMSNorm"))
        axis = output.dim() - 1 if last or output.dim() < 3 or (output.dim() == 3 and spot.kind != "conv") else 1
        weights, gradients, count = self._weights_of.get(spot.path, ((), (), 0))
        if call > 1:
            weights, gradients = (), ()
        row = Row(
            *(spot.path, call, spot.kind, spot.block, axis, tuple(output.shape[1:]), count),
            *(spot.depth, spot.stage),
            weights=weights,
            gradients=gradients,
        )
        row.rectified = graph.is_any(output.grad_fn, graph.RECTIFIERS)
        self._index[spot.path, call] = index = len(self.rows)
        self.rows.append(row)
        return index

    def _gradient(self, index: int, gradient: Tensor) -> None:
        started = time.perf_counter()
        try:
            self.board.energy(index, GRADIENT, gradient)
            if self._counting and self.rows[index].path in self.chosen:
                self.board.exponents(index, "gradient", gradient)
            self._backward_runs()
        except Exception as error:
            self._fault(error)
        self._own += time.perf_counter() - started

    def _backward_runs(self) -> None:
        if not self._queued:
            self._queued = True
            after_backward(self._backward_ended)

    # Residual blocks -------------------------------------------------------------------------------------------

    def _block_begins(self, spot: Spot, module: nn.Module, args: tuple, kwargs: dict) -> None:
        given = next(tensors_in((args, kwargs)), None)
        if given is None or given.grad_fn is None or not torch.is_grad_enabled():
            return
        source = self._origin.get(given.grad_fn, -1)
        if source < 0 and not in_backward():
            index = self._index.get((spot.path, self._calls.get(spot.path, 0) + 1))
            if index is None:  # the first time, before the block has a row
                index = -2
                self._input = given.detach()
            else:
                self.board.energy(index, INPUT, given.detach())
        self._starts[spot.path] = (given.grad_fn, source)

    def _block_ends(self, spot: Spot, index: int, output: Tensor) -> None:
        row = self.rows[index]
        start, source = self._starts.pop(spot.path, (None, -1))
        given, self._input = getattr(self, "_input", None), None
        if start is None:
            return
        found = graph.split(output, start)
        if found is None:
            row.split = row.split or "sum"
            return
        row.split = "branch+shortcut"
        if found.shortcut_end is start and source < 0:
            shortcut = None
            if given is not None:
                self.board.energy(index, INPUT, given)
        else:
            shortcut = self._origin.get(found.shortcut_end)
            if shortcut is None:
                row.split = "sum"
                return
        self._links[index] = (self._origin.get(found.branch_end), shortcut)
        parts: list[Tensor | None] = [None, None]
        for which, (node, at) in enumerate((found.branch, found.shortcut)):
            self._hooks.node(node, partial(self._path_gradient, index, parts, which, at))

    def _path_gradient(self, index: int, parts: list, which: int, at: int, inputs: tuple, outputs: tuple) -> None:
        started = time.perf_counter()
        try:
            parts[which] = inputs[at]
            if parts[0] is not None and parts[1] is not None:
                self.board.inner(index, parts[0], parts[1])
                parts[:] = [None, None]
        except Exception as error:
            self._fault(error)
        self._own += time.perf_counter() - started

    # Parameters ------------------------------------------------------------------------------------------------

    def _backward_ended(self) -> None:
        self._queued = False
        self._recalls.clear()
        self._guard(self._read_gradients)

    def _read_gradients(self) -> None:
        self._backwards += 1
        if self.scaler is not None and self.scaler.is_enabled() and getattr(self.scaler, "_scale", None) is not None:
            self._scale = self.scaler._scale.detach().clone()
        present = [p.grad for p in self.parameters if p.grad is not None and p.grad.layout is torch.strided]
        with torch.no_grad():
            self._gradients = self._norms([p.grad for p in self.parameters])
            if self.gradient_noise:
                fresh = present if self._kept is None else torch._foreach_sub(present, self._kept)
                squares = self._norms(fresh) ** 2
                full = squares.new_full((len(self.parameters),), 0.0)
                full[[i for i, p in enumerate(self.parameters) if p.grad is not None]] = squares
                self._micro = full if self._micro is None else self._micro + full
                self._kept = [g.clone() for g in present]
        self._versions = [g._version for g in present]

    @staticmethod
    def _norms(gradients: list[Tensor | None]) -> Tensor:
        """(P,) norms of the gradients that are there, NaN for those that are not."""
        present = [g.detach() for g in gradients if g is not None and g.layout is torch.strided]
        if not present:
            return torch.full((len(gradients),), torch.nan)
        norms = torch.stack(torch._foreach_norm(present, 2, dtype=torch.float32))
        if len(present) == len(gradients):
            return norms
        full = norms.new_full((len(gradients),), torch.nan)
        full[[i for i, g in enumerate(gradients) if g is not None and g.layout is torch.strided]] = norms
        return full

    def _optimizer_steps(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        self._guard(self._before_step)

    def _before_step(self) -> None:
        self._stepped = True
        if self._gradients is None:
            self._read_gradients()
            return
        present = [p.grad for p in self.parameters if p.grad is not None and p.grad.layout is torch.strided]
        if [g._version for g in present] != self._versions:  # clipped or unscaled since the backward pass ended
            with torch.no_grad():
                self._clipped = self._norms([p.grad for p in self.parameters])

    def _end(self, step: int) -> None:
        if self._gradients is None and any(p.grad is not None for p in self.parameters):
            self._read_gradients()
        with torch.no_grad():
            norms = torch._foreach_norm(self._before, 2, dtype=torch.float32)
            torch._foreach_sub_(self._before, self.weights)
            changes = torch._foreach_norm(self._before, 2, dtype=torch.float32)
        sums = self.board.take(step)
        if self.weights:
            sums.weights = (torch.stack(norms), torch.stack(changes))
        sums.gradients, sums.clipped, sums.scale = self._gradients, self._clipped, self._scale
        sums.micro, sums.backwards, sums.links = self._micro, self._backwards, dict(self._links)
        sums.skipped = self.optimizer is not None and not self._stepped
        if self._plan is None and not self.compiled:
            self._study([])
        if self.compiled and not self.rows:
            self._rows_without_outputs()
        self._origin, self._starts, self._kept, self._roots = {}, {}, None, []
        self._landed.append(sums)

    # What the first recorded step shows ------------------------------------------------------------------------

    def _study(self, roots: list[Any]) -> None:
        """Decides, from one forward pass, which places to keep listening to and where they stand in the net."""
        rectified, activated = graph.feeds([*roots, *self._origin], self._origin)
        for index in rectified:
            self.rows[index].rectified = True
        ends = {end for pair in self._links.values() for end in pair if end is not None}
        branches = {pair[0] for pair in self._links.values()}
        keep: set[int] = set()
        for index, row in enumerate(self.rows):
            if row.path not in self.chosen:
                continue
            graphless = not self._origin
            if (
                self.default_layers
                and row.kind == "norm"
                and not (index in activated or index in branches or graphless)
            ):
                continue
            keep.add(index)
        self._shown = sorted(keep, key=lambda i: self._order(i))
        shown, needed = {self.rows[i].path for i in keep}, {self.rows[i].path for i in ends}
        known = {spot.path: spot for spot in self.spots}
        modules = dict(self.model.named_modules())
        self._plan = [
            (known.get(path) or Spot(path, modules[path], "part"), path in shown)
            for path in modules
            if path in shown or path in needed
        ]
        self._number(self._shown)

    def _order(self, index: int) -> tuple:
        row = self.rows[index]
        declared = row.depth is not None
        return (row.depth if declared else index, index)

    def _number(self, shown: list[int]) -> None:
        """Depth, stage and relative depth of a net that declares no places, by the order of execution."""
        if any(row.depth is None for row in (self.rows[i] for i in shown)):
            depth, sizes = 0, []
            for row in self.rows:  # rows were made in order of execution
                depth += row.kind in {"conv", "linear"} and row.call == 1
                size = row.shape[1:] if row.axis == 1 and len(row.shape) > 1 else None
                if row.kind in {"conv", "block"} and size and size not in sizes:
                    sizes.append(size)
                row.depth, row.stage = max(depth, 1), max(len(sizes), 1)
        last = max((row.depth or 1 for row in self.rows), default=1)
        for row in self.rows:
            row.relative_depth = ((row.depth or 1) - 1) / (last - 1) if last > 1 else 0.0

    def _rows_without_outputs(self) -> None:
        for spot in self.spots:
            weights, gradients, count = self._weights_of[spot.path]
            if spot.path in self.chosen and weights:
                row = Row(spot.path, 1, spot.kind, spot.block, 1, (), count, spot.depth, spot.stage)
                row.weights, row.gradients = weights, gradients
                self._index[spot.path, 1] = len(self.rows)
                self.rows.append(row)
        self._shown = list(range(len(self.rows)))
        self._number(self._shown)

    def _report_silence(self) -> None:
        """Says, once, what did not fire; a place that is silent would otherwise be missed without a word."""
        if self.compiled:
            self._note(
                "the model is compiled, so only weights, gradients and updates are recorded; record before compiling"
            )
            return
        fired = {row.path for row in self.rows}
        silent = [spot.path for spot in self.spots if spot.path in self.chosen and spot.path not in fired]
        if silent:
            named = ", ".join(silent[:8]) + (f" and {len(silent) - 8} more" if len(silent) > 8 else "")
            self._note(f"{len(silent)} layers gave no output in the first recorded step and are not recorded: {named}")
        if not self._stepped and self.optimizer is not None and self.scaler is None:
            self._note("optimizer.step() was not called inside recorder.step(); update ratios are zero")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._warn(text)

    @staticmethod
    def _warn(text: str) -> None:
        warnings.warn(text, RecorderWarning, stacklevel=2)

    # Rows ------------------------------------------------------------------------------------------------------

    def _columns(self, landed: list[Sums]) -> dict[str, dict[str, Any]]:
        rows = [self.rows[i] for i in self._shown]
        count = len(rows)
        parts = [quantities(sums, self.rows, self._shown) for sums in landed]
        layers: dict[str, Any] = {
            "step": np.repeat(np.array([s.step for s in landed], dtype=np.int64), count),
            "layer": [row.layer for row in rows] * len(landed),
            "kind": [row.kind for row in rows] * len(landed),
            "depth": np.tile(np.array([row.depth for row in rows], dtype=np.int64), len(landed)),
            "relative_depth": np.tile(np.array([row.relative_depth for row in rows]), len(landed)),
            "stage": np.tile(np.array([row.stage for row in rows], dtype=np.int64), len(landed)),
            "block": [row.block for row in rows] * len(landed),
        }
        layers |= {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in parts[0]}
        tables = {"layers": layers, "totals": self._totals(landed)}
        if lifetimes := self._lifetimes(landed):
            tables["lifetimes"] = lifetimes
        if histograms := self._histograms(landed):
            tables["histograms"] = histograms
        return tables

    def _totals(self, landed: list[Sums]) -> dict[str, Any]:
        """One row a recorded step: the norm of the whole gradient, before clipping and, where it differs, as it was used."""

        def total(norms: Tensor | None, scale: float = 1.0) -> float:
            return float(np.sqrt(np.nansum(norms.double().cpu().numpy() ** 2))) / scale if norms is not None else np.nan

        scales = [float(s.scale) if s.scale is not None else 1.0 for s in landed]
        return {
            "step": np.array([s.step for s in landed], dtype=np.int64),
            "grad_norm": np.array(
                [total(s.gradients, c) for s, c in zip(landed, scales, strict=True)], dtype=np.float32
            ),
            "grad_norm_used": np.array([total(s.clipped) for s in landed], dtype=np.float32),
            "loss_scale": np.array(scales, dtype=np.float32),
            "skipped": np.array([s.skipped for s in landed], dtype=np.int64),
        }

    def _lifetimes(self, landed: list[Sums]) -> dict[str, Any]:
        """Rows (step, layer, channel, event) where a channel died or came to life since the record before."""
        found: dict[str, list] = {"step": [], "layer": [], "channel": [], "event": []}
        for sums in landed:
            for index in self._shown:
                now = sums.alive.get(index)
                if now is None or not self.rows[index].rectified:
                    continue
                before = self._alive_before.get(index, np.ones_like(now))
                if before.shape == now.shape:
                    for channel in np.flatnonzero((before > 0) != (now > 0)):
                        found["step"].append(sums.step)
                        found["layer"].append(self.rows[index].layer)
                        found["channel"].append(int(channel))
                        found["event"].append("revived" if now[channel] else "died")
                self._alive_before[index] = now
        return found if found["step"] else {}

    def _histograms(self, landed: list[Sums]) -> dict[str, Any]:
        """Rows (step, layer, of, exponent, count): count values with 2^exponent ≤ |x| < 2^(exponent+1).

        Exponent −127 holds zero and subnormal values, 128 holds NaN and infinite ones.
        """
        found: dict[str, list] = {"step": [], "layer": [], "of": [], "exponent": [], "count": []}
        shown = set(self._shown)
        for sums in landed:
            for (index, what), counts in sums.exponents.items():
                if index not in shown:
                    continue
                for field in np.flatnonzero(counts):
                    found["step"].append(sums.step)
                    found["layer"].append(self.rows[index].layer)
                    found["of"].append(what)
                    found["exponent"].append(int(field) - 127)
                    found["count"].append(int(counts[field]))
        return found if found["step"] else {}

    def _hand_over(self, name: str, columns: dict[str, Any]) -> None:
        if self.sink is not None and self._sink_error is None:
            try:
                self.sink.write(name, columns)
                return
            except Exception as error:  # the sink's fault must not end the user's training
                self._sink_error = error
        self._tables.setdefault(name, []).append(columns)


def unwrap(model: nn.Module) -> tuple[nn.Module, bool]:
    """The user's own module inside DistributedDataParallel and torch.compile, and whether it is compiled.

    Raises:
        LabError: for anything that is no module, and for DataParallel, whose replicas hooks do not see.
    """
    if isinstance(model, nn.DataParallel):
        raise LabError(
            "DataParallel makes new replicas each step, which no hook can follow; use DistributedDataParallel"
        )
    if not isinstance(model, nn.Module):
        raise LabError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    compiled = False
    while True:
        if hasattr(model, "_orig_mod"):
            model, compiled = model._orig_mod, True
        elif isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            break
    return model, compiled or any(getattr(m, "_compiled_call_impl", None) is not None for m in model.modules())


def tensors_in(output: Any) -> Iterator[Tensor]:
    """The floating-point tensors in a module's output: of tuples, lists, dictionaries and dataclasses, in order."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors_in(value)
    elif isinstance(output, tuple | list):
        for value in output:
            yield from tensors_in(value)
    elif hasattr(output, "__dataclass_fields__"):
        for name in output.__dataclass_fields__:
            yield from tensors_in(getattr(output, name))
