"""What does the autograd graph say about structure: which layer feeds a rectifier, where does a sum join two paths?

A graph is read, never changed. Nodes are what ``tensor.grad_fn`` gives; an edge is ``(node, index)``, as in
``node.next_functions``. What is found holds for any net, written with modules or with functions, in place or not.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.graph import get_gradient_edge

Node = Any


def node_of(tensor: Tensor) -> Node:
    """The autograd node that made a tensor, or that takes the gradient of a leaf; None where no gradient is wanted."""
    if tensor.grad_fn is not None or not tensor.requires_grad:
        return tensor.grad_fn
    return get_gradient_edge(tensor).node


LIMIT = 400  # nodes of one block; a block larger than this is not taken apart

ACTIVATIONS = (
    *("ReluBackward", "HardtanhBackward", "ThresholdBackward"),
    *("TanhBackward", "SigmoidBackward", "GeluBackward", "LeakyReluBackward", "EluBackward", "SiluBackward"),
    *("HardswishBackward", "HardsigmoidBackward", "MishBackward", "SoftplusBackward", "PreluKernelBackward"),
)
POINTWISE = (*ACTIVATIONS, "NativeDropoutBackward", "ViewBackward", "AliasBackward", "ToCopyBackward")


def is_any(node: Node, names: tuple[str, ...]) -> bool:
    """Whether the node is one of these operations."""
    return node is not None and node.name().startswith(names)


def rectifies(node: Node) -> bool:
    """Whether the node is an operation that gives exactly zero for every value up to zero, and for none above.

    ReLU; ReLU6, which is a hard tanh from 0 on; a leaky ReLU without a slope. A hard tanh from −1 on, a hard swish or
    a threshold that is not at zero silences no half-line from zero down, so shares of zeros would mean nothing there.
    """
    if node is None:
        return False
    name = node.name()
    if name.startswith("HardtanhBackward"):
        return bool(node._saved_min_val == 0 and node._saved_max_val > 0)
    if name.startswith("LeakyReluBackward"):
        return bool(node._saved_negative_slope == 0)
    return bool(name.startswith("ReluBackward"))


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
            if rectifies(node):
                rectified |= rows
        stack.extend(following)
    return rectified, activated


class Split(NamedTuple):
    """A sum of two paths that start at one tensor: how its gradient comes back through each of them.

    `branch` and `shortcut` are ``(node, index)``: the gradient that this path sends into the common tensor is
    ``grad_inputs[index]`` of the node. `branch_end` and `shortcut_end` are the nodes of the two summands.
    """

    branch: tuple[Node, int]
    shortcut: tuple[Node, int]
    branch_end: Node
    shortcut_end: Node


class Route(NamedTuple):
    """The way from a block's output to the parts of its `Split`, as the edges to take: the same at every step.

    `branch` and `shortcut` lead from the addition to the node whose edge, the last one, enters the common tensor.
    """

    add: int
    branch: tuple[int, ...]
    shortcut: tuple[int, ...]


def follow(output: Tensor, route: Route, start: Node) -> Split | None:
    """The `Split` at the end of a known route; None if the graph is another one by now."""
    add = output.grad_fn
    if add is start:
        return None  # the block returned its input
    for _ in range(route.add):
        add = add.next_functions[0][0] if add is not None and add.next_functions else None
    if add is None or not add.name().startswith("AddBackward"):
        return None
    ends = []
    for path in (route.branch, route.shortcut):
        node: Node = add
        for at in path[:-1]:
            if node is None or at >= len(node.next_functions):
                return None
            node = node.next_functions[at][0]
        if node is None or path[-1] >= len(node.next_functions):
            return None
        ends.append((node, path[-1]))
    if ends[0][0].next_functions[ends[0][1]] != ends[1][0].next_functions[ends[1][1]]:
        return None
    following = add.next_functions
    return Split(ends[0], ends[1], following[route.branch[0]][0], following[route.shortcut[0]][0])


def find_route(output: Tensor, start: Node) -> Route | None:
    """Takes apart the sum that ends a residual block; None where branch and shortcut cannot be told apart.

    From the addition, each of the two paths is followed until they meet. A path can be told from the other if exactly
    one of its edges enters the common part, and both enter at the same tensor. The path with fewer parameters is the
    shortcut.

    Args:
        output: what the block returned.
        start: the node of the block's input, where the walk ends.
    """
    add, skipped = output.grad_fn, 0
    while add is not None and not add.name().startswith("AddBackward"):
        if add is start or not is_any(add, POINTWISE):
            return None
        add, skipped = add.next_functions[0][0], skipped + 1
    if add is None or add is start or len(add.next_functions) != 2:
        return None  # without an addition of its own: the block returned its input, or something else than a sum
    walks = [reach(add, side, start) for side in (0, 1)]
    if walks[0] is None or walks[1] is None:
        return None
    common = walks[0][0].keys() & walks[1][0].keys()
    entries = []
    for side, (ways, weights) in enumerate(walk for walk in walks if walk is not None):
        if add.next_functions[side][0] in common:  # the summand is the common tensor itself
            found: list[tuple[tuple[int, ...], Any]] = [((side,), add.next_functions[side])]
        else:
            found = [
                ((*way, at), target)
                for node, way in ways.items()
                if node not in common
                for at, target in enumerate(node.next_functions)
                if target[0] in common
            ]
        if len(found) != 1:
            return None
        entries.append((found[0], (weights, len(ways))))
    (first, size_of_first), (second, size_of_second) = entries
    if first[1] != second[1]:
        return None
    paths = (first[0], second[0]) if size_of_first >= size_of_second else (second[0], first[0])
    return Route(skipped, *paths)


def reach(add: Node, side: int, stop: Node) -> tuple[dict[Node, tuple[int, ...]], int] | None:
    """The nodes behind one side of an addition back to `stop`, which is included, each with the edges that lead there.

    Beside them the number of parameters met. None beyond `LIMIT` nodes.
    """
    ways: dict[Node, tuple[int, ...]] = {}
    weights = 0
    stack: list[tuple[Node, tuple[int, ...]]] = [(add.next_functions[side][0], (side,))]
    while stack:
        node, way = stack.pop()
        if node is None or node in ways:
            continue
        if node is not stop and node.name().endswith("AccumulateGrad"):
            weights += 1
            continue
        ways[node] = way
        if len(ways) > LIMIT:
            return None
        if node is not stop:
            stack.extend((following, (*way, at)) for at, (following, _) in enumerate(node.next_functions))
    return ways, weights
