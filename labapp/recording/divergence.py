"""Where did values that are not finite begin: in a layer's output, on the way back, in an update?

A training is ill in a step whose weights are NaN or infinite, or a gradient that its optimizer takes is. A step that a
loss scaler refuses for its gradients alone is healthy, and so is an output that was infinite from the beginning, by
design (masked scores), as long as what comes back is finite. After a step in which all was finite each kind of value
has one row, where it was first seen, in the order in which a step makes them: the first of them is where it began. The
counts are those of the `layers` table: nothing is read twice, except the input of the first output that is not finite.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from labapp.recording.board import GRADIENT, NONFINITE, OUTPUT, SQUARE
from labapp.recording.change import Change
from labapp.recording.hooks import tensors_in
from labapp.recording.kernels import readable
from labapp.recording.row import Row
from labapp.recording.sums import Sums

WHATS = ("weight", "output", "loss", "output gradient", "weight gradient", "used gradient", "updated weight")


class Origin(NamedTuple):
    """Where one kind of value was first not finite in a step.

    Attributes:
        step: the optimizer step.
        what: one of `WHATS`; "weight" is of before the step, "used gradient" is as the optimizer takes it (clipped).
        layer: its name; "" of a loss.
        kind: "nan" or "inf".
        places: how many layers have such values.
        input: of an output: "finite", "not finite", or "" where it was not seen.
        after: the last recorded step before in which everything was finite; -1 where there is none.
        note: where it began, in words that follow "it began".
    """

    step: int
    what: str
    layer: str
    kind: str
    places: int = 1
    input: str = ""
    after: int = -1
    note: str = ""

    def told(self, more: str = "") -> "Origin":
        """The same with its note; `more` is what else is known of it."""
        return self._replace(note=_words(self) + more)

    def since(self, after: int) -> "Origin":
        """The same, told with a later step that is known to have left everything finite."""
        return self._replace(note=self.note.replace(_words(self), _words(self._replace(after=after))))


def began(origins: Sequence[Origin]) -> Origin:
    """The first of them since all was finite; what is of the forward pass comes before the loss.

    A loss may be infinite while all outputs and gradients are finite: where there is one, it began there at the latest.
    """
    losses = [origin.step - 1 for origin in origins if origin.what == "loss"]
    since = min([max(origin.after for origin in origins), *losses])
    turn = {"weight": 0, "output": 0, "loss": 1}
    return min((one for one in origins if one.step > since), key=lambda one: (one.step, turn.get(one.what, 2)))


def _words(origin: Origin) -> str:
    step, layer, after = origin.step, origin.layer, origin.after
    became = "became infinite" if origin.kind == "inf" else "became NaN"
    if origin.what == "weight":
        if after < 0:
            return f"before step {step}: the weights of {layer} were {became.removeprefix('became ')} already"
        if after == step - 1:
            return f"between step {after} and step {step}, by no recorded update: the weights of {layer} {became}"
        when = (
            f"the update of step {step - 1}" if after == step - 2 else f"an update of steps {after + 1} to {step - 1}"
        )
        return f"in {when}: the weights of {layer} {became}"
    if origin.what == "updated weight":
        return f"in the update of step {step}: the weights of {layer} {became}"
    subject = {
        "output": f": the output of {layer} {became}",
        "loss": f": the loss {became}",
        "output gradient": f" on the way back: the gradient at the output of {layer} {became}",
        "weight gradient": f" on the way back: the gradient of the weights of {layer} {became}",
        "used gradient": f": the gradient of the weights of {layer} {became} before the optimizer took it",
    }
    return f"in step {step}{subject[origin.what]}"


class Ill(NamedTuple):
    """The first layer with weights, or gradients of them, that are not finite."""

    row: int  # in the order of execution
    path: str
    norm: float
    places: int  # in how many layers


class Divergence:
    """Follows the recorded steps of a training, and tells where it became ill.

    Attributes:
        first: where it began; None while all is finite.
        after: the last recorded step in which all was; -1 where there was none.
    """

    def __init__(self) -> None:
        self.first: Origin | None = None
        self.after = -1
        self._ill: set[str] = set()  # what was in the last recorded step
        self._shown: set[int] = set()
        self._fine: set[int] = set()  # rows whose outputs were finite once

    @property
    def now(self) -> Origin | None:
        """Where it began, of a training that is ill now."""
        return self.first if self._ill - {"output"} else None

    def table(
        self, landed: Sequence[Sums], rows: Sequence[Row], shown: Sequence[int], usual: set[int]
    ) -> dict[str, Any]:
        """The `divergence` table: the fields of `Origin`, empty of a healthy training.

        Args:
            landed: the steps' sums.
            rows: what the sums are of.
            shown: those that are in the tables, of which places are counted.
            usual: rows whose outputs are not finite in healthy steps either; added to.
        """
        found: list[Origin] = []
        self._shown = set(shown)
        for sums in landed:
            origins = self._origins(sums, rows, usual)
            found += [one for one in origins if one.what not in self._ill]
            self._ill = {one.what for one in origins}
            if "updated weight" in self._ill:
                self._ill.add("weight")  # of the next step
            if origins:
                self.first = self.first or origins[0]
            elif not sums.failed:
                self.first, self.after = None, sums.step
        return {name: [getattr(one, name) for one in found] for name in Origin._fields} if found else {}

    def _origins(self, sums: Sums, rows: Sequence[Row], usual: set[int]) -> list[Origin]:
        outputs, back = (_in_order(sums, offset) for offset in (OUTPUT, GRADIENT))
        forward = [row for row in outputs if row not in usual]
        weights = _of_weights(sums.change, rows) if sums.change is not None else {}
        heard = set(map(int, np.flatnonzero(sums.outputs)))
        if _is_healthy(sums, forward, bool(back), weights):
            if not back:
                usual.update(set(forward) - self._fine)  # so it was from the beginning, and does no harm
            forward = [row for row in forward if row in self._fine]
            back, weights = [], {}
        self._fine |= heard.difference(outputs)
        found: list[Origin] = []
        if "weight" in weights:
            found.append(self._weight(sums.step, "weight", weights["weight"], back, False))
        if forward:
            found.append(self._output(sums, rows, forward, bool(found)))
        ill = weights.get("weight gradient")
        returned = []
        if back:
            returned.append((back[0], 1, self._gradient(sums, rows, back)))
        if ill is not None:
            origin = self._weight(sums.step, "weight gradient", ill, back, not found)
            returned.append((ill.row, 0, origin))
        found += [origin for *_, origin in sorted(returned, reverse=True)]  # what stands further behind comes first
        for what in ("used gradient", "updated weight"):
            if what in weights:
                found.append(self._weight(sums.step, what, weights[what], back, not found))
        return found

    def _weight(self, step: int, what: str, ill: Ill, felt: list[int], first: bool) -> Origin:
        origin = Origin(step, what, ill.path, _kind(ill.norm), ill.places, after=self.after)
        more = ""
        if first and what == "weight gradient" and ill.row not in felt:
            more = ", though the gradient at its output was finite"
        elif first and what == "updated weight":
            more = ", though every gradient was finite"
        others = "did those of another layer" if ill.places == 2 else f"did those of {ill.places - 1} others"
        return origin.told(more + (f", as {others}" if ill.places > 1 else ""))

    def _output(self, sums: Sums, rows: Sequence[Row], ill: list[int], weights: bool) -> Origin:
        first = ill[0]
        fed = sums.fed.get(first)
        origin = Origin(
            sums.step, "output", rows[first].layer, _kind(sums.table[first, OUTPUT + SQUARE]), self._count(ill),
            "" if fed is None else "not finite" if fed else "finite", self.after,
        )  # fmt: skip
        if weights or fed is None:
            return origin.told(", the first that was not finite")
        if not fed:
            return origin.told(f", though its input{' and weights were' if rows[first].parameters else ' was'} finite")
        before = [int(row) for row in np.flatnonzero(sums.outputs[:first]) if row not in ill]
        if not before:
            return origin.told("; what the net was given was not finite")
        return origin.told(f"; so was its input, behind {rows[before[-1]].layer}, whose output was finite")

    def _count(self, ill: list[int]) -> int:
        return max(1, len(self._shown.intersection(ill)))

    def _gradient(self, sums: Sums, rows: Sequence[Row], ill: list[int]) -> Origin:
        first = ill[0]
        value = sums.table[first, GRADIENT + SQUARE]
        origin = Origin(
            sums.step, "output gradient", rows[first].layer, _kind(value), self._count(ill), after=self.after
        )
        behind = [int(row) for row in first + 1 + np.flatnonzero(sums.gradients[first + 1 :]) if row not in ill]
        if not behind:
            return origin.told(", the first to come back from the loss")
        return origin.told(f", that at the output of {rows[behind[0]].layer} behind it was finite")


def _is_healthy(sums: Sums, forward: list[int], back: bool, weights: Mapping[str, Ill]) -> bool:
    """Whether the training goes on as if nothing had been, though some values were not finite."""
    if not (forward or back or weights):
        return True
    if "weight" in weights or "updated weight" in weights:
        return False
    heard, change = np.flatnonzero(sums.outputs), sums.change
    back = back or bool(weights)
    if back and not (change is not None and change.skipped):
        return False  # the optimizer takes them
    if not back and (sums.gradients.any() or (change is not None and change.present.any())):
        return True  # what came back was finite
    # nothing came back, or it was refused: it depends on what the net gave
    return not (len(heard) and int(heard[-1]) in forward)


def _in_order(sums: Sums, offset: int) -> list[int]:
    """The rows whose values are not all finite, in the order in which they came; of other processes as they stand."""
    ill = np.flatnonzero(sums.table[:, offset + NONFINITE] > 0)
    if not len(ill):
        return []
    known = dict.fromkeys(row for row in sums.ill[offset] if sums.table[row, offset + NONFINITE] > 0)
    return list(known | dict.fromkeys(map(int, ill if offset == OUTPUT else ill[::-1])))


def _of_weights(change: Change, rows: Sequence[Row]) -> dict[str, Ill]:
    """The first layer for each kind of value of weights that is not finite somewhere."""
    before, moved = change.weights[:, 0], change.weights[:, 1]
    ill = {
        "weight": ("weights", change.known & ~np.isfinite(before), before),
        "weight gradient": ("gradients", change.present & ~np.isfinite(change.gradients), change.gradients),
        "updated weight": ("weights", change.known & np.isfinite(before) & ~np.isfinite(moved), moved),
    }
    if change.used is not None:
        fine = np.isfinite(change.gradients)
        ill["used gradient"] = ("gradients", change.seen & fine & ~np.isfinite(change.used), change.used)
    found = {}
    for what, (of, bad, norms) in ill.items():
        if not bad.any():
            continue
        at = {row.path: place for place, row in reversed(list(enumerate(rows)))}
        places = sorted(
            (at.get(path, len(rows)), path, position)
            for path, own in change.of.items()
            for position in getattr(own, of)
            if bad[position]
        )
        if places:
            row, path, position = places[-1 if what == "weight gradient" else 0]  # the last layer's comes first
            found[what] = Ill(row, path, float(norms[position]), len({path for _, path, _ in places}))
    return found


def _kind(value: float) -> str:
    """Of a sum of squares: infinite values alone make it infinite, a NaN makes it NaN."""
    return "inf" if np.isinf(value) else "nan"


@torch.no_grad()
def fed_ill(args: tuple[Any, ...], output: Tensor) -> bool | None:
    """Whether a module was given values that are not finite; None where that cannot be told any more."""
    given = list(tensors_in(args))
    own = output.untyped_storage().data_ptr()
    if not given or not all(map(readable, given)) or any(t.untyped_storage().data_ptr() == own for t in given):
        return None
    return not all(bool(torch.isfinite(tensor).all()) for tensor in given)
