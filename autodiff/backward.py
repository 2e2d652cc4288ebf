"""The reverse pass: from a root and a seed to the gradient of every node the root depends on.

It is the lecture's rule and nothing more: walk the graph from the root towards the leaves; what arrives at a
node, times the local derivative of an edge, is sent down that edge; what arrives over several edges is summed.

The pass is pure: it writes to no node. It runs on plain data, or, with ``on_nodes=True``, on the nodes
themselves; then the gradients are recorded like any other computation and can be differentiated again.
"""

import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from .array_rules import broadcast_to, like, reshape, shape_of, size_of
from .graph import clock, topological_order
from .primitive import ArrayOp, Elementwise, Reduction
from .rules import add

__all__ = ["pull", "reverse"]


def _owners_of_a_local() -> int:
    probe = np.empty(0)
    return sys.getrefcount(probe)


_ONE_OWNER = _owners_of_a_local()  # what getrefcount says of an array that only a local variable holds
_CONSTANT = (float, np.ndarray)  # the types of operands that are not nodes
Watcher = Callable[[Any, int, Any], None]


@np.errstate(all="ignore")  # a derivative may well be inf or nan; detect_anomaly tells where
def reverse(
    root: Any,
    seed: Any,
    *,
    wanted: Collection[Any] | None = None,
    stop: Collection[Any] = (),
    on_nodes: bool = False,
    keep: bool = True,
    watch: Watcher | None = None,
) -> dict[Any, Any]:
    """{node: d root / d node, times the seed}, in the order in which the gradients became known.

    Args:
        root: the node to differentiate.
        seed: the gradient of the root: a float or array like its data; a node for ``on_nodes``.
        wanted: differentiate only along paths to these nodes; None means to every leaf.
        stop: nodes below which nothing is wanted, a set; the walk ends there.
        on_nodes: compute on nodes instead of their data, so that the result can be differentiated.
        keep: False drops the gradients of inner nodes as soon as they have been sent on.
        watch: called as ``watch(node, position, contribution)`` for every edge.

    Raises StaleGraphError if data was rebound after it was used.
    """
    order = topological_order(root, stop=stop)
    active = None if wanted is None else _on_path(order, wanted)
    grads: dict[Any, Any] = {root: seed}
    plain, now = not on_nodes and watch is None and active is None, clock.now
    for node in reversed(order):
        op = node.op
        if op is None:
            # a leaf may be reached only over edges whose derivative is zero
            if node not in grads and (active is None or node in active):
                grads[node] = node._zero()
            continue
        g = grads.get(node) if keep else grads.pop(node, None)
        if g is None:
            continue
        if node._recorded != now:
            node._check_current()
        kind = type(g)
        if plain and kind is float and type(op) is Elementwise:
            _pull_floats(node, op, g, grads)
            continue
        spare = plain and not keep and kind is np.ndarray and g.base is None and sys.getrefcount(g) == _ONE_OWNER
        spare = spare and (op.arity == 1 or type(node._right) is np.ndarray)  # only one operand receives a gradient
        operands, params, y = node.operands, node._params or {}, node if on_nodes else node._data
        xs = operands if on_nodes else [x if type(x) in _CONSTANT else x._data for x in operands]
        edges = _pull_all(op, g, y, xs, params) if op.arity is None else None
        for i, x in enumerate(operands):
            if type(x) in _CONSTANT or (active is not None and x not in active):
                continue
            c = pull(op, g, y, xs, params, i, spare) if edges is None else edges[i]
            if c is not None:
                data = xs[i]
                if not (type(c) is type(data) is np.ndarray and c.dtype is data.dtype and c.shape == data.shape):
                    c = like(c, data)
                if watch is not None:
                    watch(node, i, c)
                grads[x] = add(grads[x], c) if x in grads else c
        c = edges = None  # what they hold may be the next node's gradient, which is then to spare if we let go
    return grads


def _on_path(order: list[Any], wanted: Collection[Any]) -> set[Any]:
    """The nodes through which something wanted is reached."""
    active = set(wanted)
    for node in order:
        if not active.isdisjoint(node.parents):
            active.add(node)
    return active


def _pull_floats(node: Any, op: Elementwise, g: float, grads: dict[Any, Any]) -> None:
    """The same step for an elementwise operation on floats, where speed is decided."""
    y, operands, params = node._data, node.operands, node._params or {}
    xs = [x if type(x) is float else x._data for x in operands]
    get = grads.get
    if op.arity is None:
        for x, slope in zip(operands, op.partials(y, *xs, **params), strict=True):
            if type(x) is not float:
                grads[x] = get(x, 0.0) + g * slope
        return
    for x, partial in zip(operands, op.partials, strict=True):
        if type(x) is not float:
            slope = partial if type(partial) is float else partial(y, *xs, **params)
            if slope is not partial or slope != 0.0:  # constant zero: nothing comes through, not even inf * 0
                grads[x] = get(x, 0.0) + g * slope


def pull(op: Any, g: Any, y: Any, xs: Any, params: dict[str, Any], i: int, spare: bool = False) -> Any:
    """What operand i receives when g arrives at y = op(*xs); None if that is zero. Not for variadic operations.

    Args:
        op: the primitive.
        g, y, xs: upstream gradient, output and operands: all plain data, or nodes among them.
        params: the metadata the operation was called with.
        i: the operand's position.
        spare: nobody else has g, this is the only operand that receives a gradient, and g may be overwritten.
    """
    kind = type(op)
    if kind is ArrayOp:
        if (back := op.pullbacks[i]) is None:
            return None
        c = back(g, y, *xs, **params)
        return c if op.fresh else _own(c)
    if kind is Reduction:
        return _spread(op, g, y, xs, params, i)
    slope = op.partials[i]
    if type(slope) is float:
        return g if slope == 1.0 else -g if slope == -1.0 else None if slope == 0.0 else g * slope
    slope = slope(y, *xs, **params)
    if spare and type(slope) is np.ndarray and slope.shape == g.shape and slope.dtype in (g.dtype, bool):
        return np.multiply(g, slope, out=g)
    return g * slope


def _own(c: Any) -> Any:
    """A user's rule may return a user's array."""
    return c.copy() if hasattr(c, "copy") else c


def _pull_all(op: Any, g: Any, y: Any, xs: Any, params: dict[str, Any]) -> Sequence[Any]:
    """The same for all operands of a variadic operation at once."""
    if type(op) is ArrayOp:
        edges = op.pullbacks(g, y, *xs, **params)
        return edges if op.fresh else list(map(_own, edges))
    return [g * slope for slope in op.partials(y, *xs, **params)]


def _spread(op: Any, g: Any, y: Any, xs: Any, params: dict[str, Any], i: int) -> Any:
    """g sent back through a reduction, to every element by its weight."""
    x = xs[i]
    shape, reduced = shape_of(x), shape_of(y)
    if op.averaged and (size := size_of(x)):
        g = (g.item() if type(g) is np.ndarray and not reduced else g) * (size_of(y) / size)
    if reduced and (kept := op.kept(params, shape)) != reduced:
        g, y = reshape(g, shape=kept), reshape(y, shape=kept)
    weight = op.weights[i]
    if type(weight) is float:
        return broadcast_to(g if weight == 1.0 else g * weight, shape=shape)
    return g * weight(y, *xs, **params)
