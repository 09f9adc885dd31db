"""What does the autograd graph say about structure: which layer feeds a rectifier, where does a sum join two paths?

A graph is read, never changed. Nodes are what ``tensor.grad_fn`` gives; an edge is ``(node, index)``, as in
``node.next_functions``. What is found holds for any net, written with modules or with functions, in place or not.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

Node = Any
LIMIT = 400  # nodes of one block; a block larger than this is not taken apart

RECTIFIERS = ("ReluBackward", "HardtanhBackward", "ThresholdBackward")
ACTIVATIONS = (
    *RECTIFIERS,
    *("TanhBackward", "SigmoidBackward", "GeluBackward", "LeakyReluBackward", "EluBackward", "SiluBackward"),
    *("HardswishBackward", "HardsigmoidBackward", "MishBackward", "SoftplusBackward", "PreluKernelBackward"),
)
POINTWISE = (*ACTIVATIONS, "NativeDropoutBackward", "ViewBackward", "AliasBackward", "ToCopyBackward")


def is_any(node: Node, names: tuple[str, ...]) -> bool:
    """Whether the node is one of these operations."""
    return node is not None and node.name().startswith(names)


def edge(tensor: Tensor) -> tuple[Node, int] | None:
    """Where the tensor's gradient goes: its node and which of the node's outputs it is; None without a gradient."""
    return (tensor.grad_fn, tensor.output_nr) if tensor.grad_fn is not None else None


def feeds(roots: Iterable[Node], places: Mapping[Node, int]) -> tuple[set[int], set[int]]:
    """The places whose output goes into a rectifier, and into an activation of any kind.

    Args:
        roots: the nodes of the net's outputs.
        places: the node of each place's output, with its row.
    """
    rectified: set[int] = set()
    activated: set[int] = set()
    stack, seen = [n for n in roots if n is not None], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        following = [n for n, _ in node.next_functions if n is not None]
        if is_any(node, ACTIVATIONS):
            rows = {places[n] for n in following if n in places}
            activated |= rows
            if is_any(node, RECTIFIERS):
                rectified |= rows
        stack.extend(following)
    return rectified, activated


class Split(NamedTuple):
    """A sum of two paths that start at one tensor: how its gradient comes back through each of them.

    `branch` and `shortcut` are ``(node, index)``: the gradient that this path sends into the common tensor is
    ``grad_inputs[index]`` of the node. `branch_end` and `shortcut_end` are the nodes of the two summands.
    """

    add: Node
    branch: tuple[Node, int]
    shortcut: tuple[Node, int]
    branch_end: Node
    shortcut_end: Node
    identity: bool


def split(output: Tensor, start: Node) -> Split | None:
    """Takes apart the sum that ends a residual block; None where branch and shortcut cannot be told apart.

    From the addition, each of the two paths is followed until they meet. A path can be told from the other if exactly
    one of its edges enters the common part, and both enter at the same tensor. The path with fewer parameters is the
    shortcut.

    Args:
        output: what the block returned.
        start: the node of the block's input, where the walk ends.
    """
    add = output.grad_fn
    while add is not None and not add.name().startswith("AddBackward"):
        if not is_any(add, POINTWISE):
            return None
        add = add.next_functions[0][0]
    if add is None or len(add.next_functions) != 2:
        return None
    paths = [reach(ends[0], start) for ends in add.next_functions]
    if paths[0] is None or paths[1] is None:
        return None
    common = paths[0][0] & paths[1][0]
    entries = []
    for side, (nodes, _) in enumerate(p for p in paths if p is not None):
        if add.next_functions[side][0] in common:  # the summand is the common tensor itself
            entries.append((add, side, add.next_functions[side]))
            continue
        found = [
            (node, at, target)
            for node in nodes - common
            for at, target in enumerate(node.next_functions)
            if target[0] in common
        ]
        if len(found) != 1:
            return None
        entries.append(found[0])
    if entries[0][2] != entries[1][2]:
        return None
    sizes = [(weights, len(nodes)) for nodes, weights in (p for p in paths if p is not None)]
    branch = 1 if sizes[1] > sizes[0] else 0
    shortcut = 1 - branch
    return Split(
        add=add,
        branch=entries[branch][:2],
        shortcut=entries[shortcut][:2],
        branch_end=add.next_functions[branch][0],
        shortcut_end=add.next_functions[shortcut][0],
        identity=entries[shortcut][0] is add,
    )


def reach(node: Node, stop: Node) -> tuple[set[Node], int] | None:
    """The nodes from here back to `stop`, which is included, and the number of parameters met; None beyond `LIMIT`."""
    nodes: set[Node] = set()
    weights = 0
    stack = [node]
    while stack:
        node = stack.pop()
        if node is None or node in nodes:
            continue
        if node.name().endswith("AccumulateGrad"):
            weights += 1
            continue
        nodes.add(node)
        if len(nodes) > LIMIT:
            return None
        if node is not stop:
            stack.extend(following for following, _ in node.next_functions)
    return nodes, weights
