"""Who attaches a hook, and who takes it away again? Only this file, and only its own.

Module *backward* hooks are never used: they wrap a module's inputs and outputs and fail on in-place operations. A
forward hook sees the output; a hook on that tensor sees its gradient; a hook on an autograd node sees what one path
sends back.
"""

import functools
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd import Variable
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle


class Silent(functools.partial[Any]):
    """A hook that copies and pickles as a function that does nothing, so that a model can be copied within a step.

    The stand-in is made of the standard library alone: whoever loads such a model needs no labapp.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial, (sys.audit, "labapp.recording")

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return functools.partial(sys.audit, "labapp.recording")

    __copy__ = __reduce__


class Hooks:
    """The hooks of one recorded step. Removes every one of its own on exit, whatever happened, and touches no other.

    A hook is put where `register_forward_hook`, `register_forward_pre_hook` and `Tensor.register_hook` put it, with a
    number from the same counter, but without a `RemovableHandle` each: two weak references for each of 100 hooks a step
    cost more than all the arithmetic of the small layers of a ResNet-20.
    """

    def __init__(self) -> None:
        self._placed: list[tuple[dict[int, Any], int]] = []
        self._handles: list[Any] = []

    def _put(self, hooks: dict[int, Any], function: Callable[..., Any]) -> int:
        number = RemovableHandle.next_id
        RemovableHandle.next_id = number + 1
        hooks[number] = function
        self._placed.append((hooks, number))
        return number

    def before(self, module: nn.Module, function: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]) -> None:
        """Calls ``function(module, args, kwargs)`` before the module's forward."""
        number = self._put(module._forward_pre_hooks, function)
        module._forward_pre_hooks_with_kwargs[number] = True
        self._placed.append((module._forward_pre_hooks_with_kwargs, number))

    def after(
        self, module: nn.Module, function: Callable[[nn.Module, tuple[Any, ...], Any], None], always: bool = False
    ) -> None:
        """Calls ``function(module, args, output)`` after the module's forward; `always`, even where that raised."""
        number = self._put(module._forward_hooks, function)
        if always:
            module._forward_hooks_always_called[number] = True
            self._placed.append((module._forward_hooks_always_called, number))

    def stepping(
        self,
        before: Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None],
        after: Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], None],
    ) -> None:
        """Calls ``before`` and ``after`` around the step of *every* optimizer, also of one inside a wrapper."""
        self._handles += around_steps(before, after)

    def gradient(self, tensor: Tensor, function: Callable[[Tensor], None]) -> None:
        """Calls ``function(gradient)`` once the gradient of this tensor, as it is now, is complete."""
        hooks: Any = tensor._backward_hooks
        if hooks is None:
            hooks = tensor._backward_hooks = OrderedDict()
            if tensor.grad_fn is not None:
                tensor.grad_fn._register_hook_dict(tensor)
        self._put(hooks, function)

    def node(self, node: Any, function: Callable[[tuple[Any, ...], tuple[Any, ...]], None]) -> None:
        """Calls ``function(grad_inputs, grad_outputs)`` after this autograd node has run."""
        self._handles.append(node.register_hook(function))

    def into(self, node: Any, function: Callable[[tuple[Any, ...]], None]) -> None:
        """Calls ``function(grad_outputs)`` before this autograd node runs."""
        self._handles.append(node.register_prehook(function))

    def remove(self) -> None:
        """Removes the hooks; may be called twice."""
        placed, self._placed = self._placed, []
        handles, self._handles = self._handles, []
        for hooks, number in placed:
            hooks.pop(number, None)
        for handle in handles:
            handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.remove()


def around_steps(
    before: Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None],
    after: Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], None],
) -> list[Any]:
    """Calls ``before`` and ``after`` around the step of every optimizer, until the handles are removed."""
    return [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]


def found_before(module: nn.Module, kinds: tuple[type, ...]) -> list[Any]:
    """The hooks of these kinds that run before a module's forward, whoever attached them."""
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, kinds)]


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
            yield from tensors_in(getattr(output, name, None))
