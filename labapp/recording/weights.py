"""What did one optimizer step do to the weights, and with which gradient?

Gradients are read when the backward pass has ended, so after accumulation and after DDP's all-reduce, and before
clipping; once more when the optimizer steps, if something changed them in between. All norms of a kind are one fused
call.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labapp.recording.board import Sums
from labapp.recording.kernels import norms
from labapp.recording.places import Spot


class Weights:
    """The parameters of a net and the weights of its places, before and after a step.

    Attributes:
        parameters: every floating-point parameter.
        weights: the weights of the places.
        of: path -> (positions in `weights`, positions of the same tensors in `parameters`, number of parameters).
    """

    def __init__(self, model: nn.Module, spots: list[Spot], scaler: Any, noise: bool) -> None:
        self.parameters = [p for p in model.parameters() if p.is_floating_point()]
        self.scaler, self.noise = scaler, noise
        position = {id(p): i for i, p in enumerate(self.parameters)}
        self.weights: list[Tensor] = []
        self.of: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {}
        for spot in spots:
            own = list(spot.module.named_parameters(recurse=False))
            named = [p for name, p in own if "weight" in name and id(p) in position]
            first = len(self.weights)
            self.weights += named
            count = sum(p.numel() for p in (spot.module.parameters() if spot.kind == "block" else (p for _, p in own)))
            self.of[spot.path] = (tuple(range(first, len(self.weights))), tuple(position[id(p)] for p in named), count)
        self._before: list[Tensor] = []

    def begin(self) -> None:
        """Keeps the weights as they are before the step."""
        if not self._before:
            self._before = [torch.empty_like(w) for w in self.weights]
        self.stepped = False
        self.backwards = 0
        self._gradients: Tensor | None = None
        self._used: Tensor | None = None
        self._micro: Tensor | None = None
        self._kept: list[Tensor] | None = None
        self._scale: Tensor | None = None
        self._versions: list[int] = []
        self._there: list[bool] = []
        with torch.no_grad():
            torch._foreach_copy_(self._before, self.weights)

    def gradients_complete(self) -> None:
        """Reads the gradients at the end of a backward pass; the last pass of a step counts."""
        self.backwards += 1
        if self.scaler is not None and self.scaler.is_enabled() and self.scaler._scale is not None:
            self._scale = self.scaler._scale.detach().clone()  # the scale in force in this backward
        gradients = [p.grad for p in self.parameters]
        self._there = [g is not None and g.layout is torch.strided for g in gradients]
        present = [g for g, there in zip(gradients, self._there, strict=True) if there and g is not None]
        with torch.no_grad():
            self._gradients = self._norms(present)
            if self.noise and present:
                self._add_micro_batch(present)
        self._versions = [g._version for g in present]

    def before_step(self) -> None:
        """Reads the gradients again where they were clipped or unscaled since the backward pass ended."""
        self.stepped = True
        if self._gradients is None:
            self.gradients_complete()
            return
        present = self._present()
        if [g._version for g in present] != self._versions:
            with torch.no_grad():
                self._used = self._norms(present)

    def end(self, sums: Sums) -> None:
        """Adds the step's norms to its sums."""
        if self._gradients is None and self._present():
            self.gradients_complete()
        if self.weights:
            with torch.no_grad():
                sums.weights = norms(self.weights, self._before)
        sums.gradients, sums.used, sums.scale = self._gradients, self._used, self._scale
        sums.micro, sums.backwards = self._micro, self.backwards
        sums.present = np.array(self._there, dtype=bool)
        self._kept = None

    def _present(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None and p.grad.layout is torch.strided]

    def _norms(self, present: list[Tensor]) -> Tensor:
        """(P,) norms of the parameters' gradients, NaN for those that have none."""
        if not present:
            return torch.full((len(self.parameters),), torch.nan)
        return self._spread(norms(present)[0])

    def _spread(self, values: Tensor) -> Tensor:
        if len(values) == len(self.parameters):
            return values
        full = values.new_full((len(self.parameters),), torch.nan)
        full[torch.tensor(self._there, device=full.device)] = values
        return full

    def _add_micro_batch(self, present: list[Tensor]) -> None:
        fresh = list(torch._foreach_sub(present, self._kept)) if self._kept else present
        squares = self._spread(norms(fresh)[0] ** 2)
        self._micro = squares if self._micro is None else self._micro + squares
        self._kept = [g.clone() for g in present]
