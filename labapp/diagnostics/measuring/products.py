"""How many multiply-adds does a net do, and which of its modules does them?

Hooks see a module that is called; an attention reads its projections' weights without calling them, and a scripted
part runs without hooks. So products are counted where they are computed, one operation of torch at a time, and told to
the module that runs. Counted is what meets a weight (or a buffer, or what is computed from these alone): a product of
two things that depend on the image, as between the queries and keys of an attention, is none of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

BEHIND_A_SUM = (torch.ops.aten.addmm, torch.ops.aten.baddbmm)  # their first argument is added


class Products(TorchDispatchMode):
    """Tells every product with a weight: `tell(multiply_adds)`, the moment it is computed."""

    def __init__(self, net: nn.Module, tell: Callable[[int], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's own has no types
        self._tell = tell
        self._kept: list[Tensor] = []  # so that no memory of a weight passes to something else
        self._of_weights = set[int]()
        for tensor in (*net.parameters(), *net.buffers()):
            self._note(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not any(self._fixed(tensor) for tensor in given):
            return result
        if all(self._fixed(tensor) for tensor in given):
            for made in tree_leaves(result):
                if isinstance(made, Tensor):
                    self._note(made)
        elif func.overloadpacket is torch.ops.aten.mkldnn_rnn_layer:  # one layer of an LSTM: every step, both matrices
            steps = math.prod(args[0].shape[:2])
            self._tell(steps * (args[1].numel() + args[2].numel()))
        elif func.overloadpacket in flop_registry:
            first = 1 if func.overloadpacket in BEHIND_A_SUM else 0
            if any(self._fixed(factor) for factor in args[first : first + 2]):
                self._tell(flop_registry[func.overloadpacket](*args, **kwargs, out_val=result) // 2)
        return result

    def _note(self, tensor: Tensor) -> None:
        where = _memory(tensor)
        if where is not None and where not in self._of_weights:
            self._of_weights.add(where)
            self._kept.append(tensor)

    def _fixed(self, tensor: Tensor) -> bool:
        return _memory(tensor) in self._of_weights


def _memory(tensor: Tensor) -> int | None:
    """Which memory a tensor lies in: the same for a weight and its views, also on the meta device."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse tensors have none
        return None
