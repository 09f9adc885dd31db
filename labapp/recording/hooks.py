"""Who attaches a hook, and who takes it away again? Only this file, and only its own.

Module *backward* hooks are never used: they wrap a module's inputs and outputs and fail on in-place operations. A
forward hook sees the output; a hook on that tensor sees its gradient; a hook on an autograd node sees what one path
sends back.
"""

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Variable
from torch.optim import Optimizer


class Hooks:
    """The hooks of one recorded step. Removes every one of its own on exit, whatever happened, and touches no other."""

    def __init__(self) -> None:
        self._handles: list[Any] = []

    def before(self, module: nn.Module, function: Callable[[nn.Module, tuple, dict], None]) -> None:
        """Calls ``function(module, args, kwargs)`` before the module's forward."""
        self._handles.append(module.register_forward_pre_hook(function, with_kwargs=True))

    def after(self, module: nn.Module, function: Callable[[nn.Module, tuple, Any], None]) -> None:
        """Calls ``function(module, args, output)`` after the module's forward."""
        self._handles.append(module.register_forward_hook(function))

    def stepping(self, optimizer: Optimizer, function: Callable[[Optimizer, tuple, dict], None]) -> None:
        """Calls ``function(optimizer, args, kwargs)`` when the optimizer is about to step."""
        self._handles.append(optimizer.register_step_pre_hook(function))

    def gradient(self, tensor: Tensor, function: Callable[[Tensor], None]) -> None:
        """Calls ``function(gradient)`` once the gradient of this tensor, as it is now, is complete."""
        self._handles.append(tensor.register_hook(function))

    def node(self, node: Any, function: Callable[[tuple, tuple], None]) -> None:
        """Calls ``function(grad_inputs, grad_outputs)`` after this autograd node has run."""
        self._handles.append(node.register_hook(function))

    def remove(self) -> None:
        """Removes the hooks; may be called twice."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()

    def __enter__(self) -> "Hooks":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.remove()


def after_backward(function: Callable[[], None]) -> None:
    """Calls the function when the running backward pass has ended, gradients summed and, under DDP, reduced.

    Queued twice, because DDP queues the end of its reduction during the pass and callbacks run in order.
    """
    queue = Variable._execution_engine.queue_callback
    queue(lambda: queue(function))


def in_backward() -> bool:
    """Whether a backward pass is running in this thread (a checkpointed segment is then run anew)."""
    return torch._C._current_graph_task_id() != -1


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
