"""The reverse pass: from a root and a seed to the gradient of every node the root depends on.

It is the lecture's rule and nothing more: walk the graph from the root towards the leaves; what arrives at a
node, times the local derivative of an edge, is sent down that edge; what arrives over several edges is summed.

The pass is pure: it writes to no node. It runs on plain data, or, with ``on_nodes=True``, on the nodes
themselves; then the gradients are recorded like any other computation and can be differentiated again.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from .array_rules import broadcast_to, like, reshape, shape_of, size_of
from .graph import clock, topological_order
from .primitive import Elementwise, Reduction
from .rules import add

__all__ = ["pull", "reverse"]


def _owners_of_a_local() -> int:
    probe = np.empty(0)
    return sys.getrefcount(probe)


_ONE_OWNER = _owners_of_a_local()  # what getrefcount says of an array that only a local variable holds
Watcher = Callable[[Any, int, Any], None]


def reverse(
    root: Any,
    seed: Any,
    *,
    wanted: Collection[Any] | None = None,
    on_nodes: bool = False,
    keep: bool = True,
    watch: Watcher | None = None,
) -> dict[Any, Any]:
    """{node: d root / d node, times the seed}, in the order in which the gradients became known.

    Args:
        root: the node to differentiate.
        seed: the gradient of the root: a float or array like its data; a node for ``on_nodes``.
        wanted: differentiate only along paths to these nodes; None means to every leaf.
        on_nodes: compute on nodes instead of their data, so that the result can be differentiated.
        keep: False drops the gradients of inner nodes as soon as they have been sent on.
        watch: called as ``watch(node, position, contribution)`` for every edge.

    Raises StaleGraphError if data was rebound after it was used.
    """
    order = topological_order(root)
    active = None if wanted is None else _on_path(order, wanted)
    grads: dict[Any, Any] = {root: seed}
    plain, now = not on_nodes and watch is None and active is None, clock.now
    with np.errstate(all="ignore"):  # a derivative may well be inf or nan; detect_anomaly tells where
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
            if plain and type(g) is float and type(op) is Elementwise:
                _pull_floats(node, op, g, grads)
                continue
            operands = node.operands
            xs, use = [], []
            for x in operands:
                constant = type(x) is np.ndarray or type(x) is float
                xs.append(x if constant or on_nodes else x._data)
                use.append(not constant and (active is None or x in active))
            spare = plain and not keep and type(g) is np.ndarray and g.base is None and sys.getrefcount(g) == _ONE_OWNER
            for i, c in pull(op, g, node if on_nodes else node._data, xs, node._params or {}, use, spare):
                if watch is not None:
                    watch(node, i, c)
                parent = operands[i]
                grads[parent] = add(grads[parent], c) if parent in grads else c
            c = None  # the next node's gradient may be this very array, and is then its own only if we let go
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
    y, params = node._data, node._params or {}
    operands = node.operands
    xs = [x if type(x) is float else x._data for x in operands]
    if op.arity is None:
        edges = zip(operands, op.partials(y, *xs), strict=True)
    else:
        edges = zip(operands, op.partials, strict=True)
    for x, partial in edges:
        if type(x) is not float:
            slope = partial if type(partial) is float else partial(y, *xs, **params)
            grads[x] = grads.get(x, 0.0) + g * slope


def pull(
    op: Any, g: Any, y: Any, xs: Any, params: dict[str, Any], use: Sequence[bool], spare: bool = False
) -> Iterator[tuple[int, Any]]:
    """(position, gradient) for each operand in use, when g arrives at y = op(*xs); nothing where it is zero.

    Args:
        op: the primitive.
        g, y, xs: upstream gradient, output and operands: all plain data, or nodes among them.
        params: the metadata the operation was called with.
        use: for each operand whether its gradient is wanted; nothing is computed for the others.
        spare: nobody else has g, and it may be overwritten.
    """
    kind = type(op)
    if kind is Elementwise:
        slopes = [lambda *_, s=s: s for s in op.partials(y, *xs)] if op.arity is None else op.partials
        for i, slope in enumerate(slopes):
            if use[i] and (c := _scaled(g, slope, y, xs, params, spare and op.arity == 1)) is not None:
                yield i, like(c, xs[i])
    elif kind is Reduction:
        if op.averaged and (size := size_of(xs[0])):
            g = (g.item() if type(g) is np.ndarray and g.ndim == 0 else g) * (size_of(y) / size)
        if shape_of(y) and (kept := op.kept(params, shape_of(xs[0]))) != shape_of(y):
            g, y = reshape(g, shape=kept), reshape(y, shape=kept)
        for i, weight in enumerate(op.weights):
            if use[i]:
                yield i, like(_spread(g, weight, y, xs, params), xs[i])
    elif op.arity is None:
        for i, c in enumerate(op.pullbacks(g, y, *xs, **params)):
            if use[i]:
                yield i, like(c, xs[i])
    else:
        for i, back in enumerate(op.pullbacks):
            if use[i] and back is not None:
                yield i, like(back(g, y, *xs, **params), xs[i])


def _scaled(g: Any, slope: Any, y: Any, xs: Any, params: dict[str, Any], spare: bool) -> Any:
    """g times a partial, without multiplying by a constant 1, -1 or 0; in g's own memory if that is to spare."""
    if type(slope) is float:
        return g if slope == 1.0 else -g if slope == -1.0 else None if slope == 0.0 else g * slope
    slope = slope(y, *xs, **params)
    if spare and type(slope) is np.ndarray and slope.shape == g.shape and slope.dtype in (g.dtype, bool):
        return np.multiply(g, slope, out=g)
    return g * slope


def _spread(g: Any, weight: Any, y: Any, xs: Any, params: dict[str, Any]) -> Any:
    """g sent back through a reduction, to every element by its weight."""
    w = weight if type(weight) is float else weight(y, *xs, **params)
    return broadcast_to(g if w == 1.0 else g * w, shape=shape_of(xs[0])) if type(w) is float else g * w
