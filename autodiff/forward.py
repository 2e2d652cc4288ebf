"""The forward-mode pass: from tangents of some nodes to the tangents of everything computed from them.

It reads the same rows as the reverse pass: a partial is multiplied by a tangent instead of a gradient, a
reduction's weight is summed over instead of spread, and a linear operation is applied to the tangent itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .array_rules import broadcast_to, like, reshape, shape_of, size_of
from .array_rules import sum as sum_along
from .graph import clock, topological_order
from .primitive import ArrayOp, Elementwise, Primitive, Reduction
from .rules import add, mul

__all__ = ["push", "tangents"]


def tangents(roots: Sequence[Any], seeds: Mapping[Any, Any], *, on_nodes: bool = False) -> dict[Any, Any]:
    """{node: directional derivative} for every node that depends on a seeded one.

    Args:
        roots: the outputs; everything they depend on is walked.
        seeds: {node: its tangent}, each like the node's data.
        on_nodes: compute on nodes instead of their data, so that the result can be differentiated.

    Raises StaleGraphError if data was rebound after it was used.
    """
    found: dict[Any, Any] = dict(seeds)
    for node in topological_order(*roots, stop=seeds):
        if node.op is None or node in found:
            continue
        operands = node.operands
        ts = [found.get(x) if hasattr(x, "_data") else None for x in operands]
        if any(t is not None for t in ts):
            if node._recorded != clock.now:
                node._check_current()
            xs = operands if on_nodes else [x._data if hasattr(x, "_data") else x for x in operands]
            t = push(node.op, ts, node if on_nodes else node._data, xs, node._params)
            if t is not None:
                found[node] = t
    return found


def push(op: Primitive, ts: Sequence[Any], y: Any, xs: Any, params: dict[str, Any] | None) -> Any:
    """The tangent of y = op(*xs) for operand tangents ts (None: constant); None if it is zero throughout."""
    params = params or {}
    total = None
    for term in _terms(op, ts, y, xs, params):
        if term is not None:
            total = term if total is None else add(total, term)
    if total is None:
        return None
    return like(total if shape_of(total) == shape_of(y) else broadcast_to(total, shape=shape_of(y)), y)


def _terms(op: Primitive, ts: Sequence[Any], y: Any, xs: Any, params: dict[str, Any]) -> list[Any]:
    """What each operand's tangent adds to the tangent of y."""
    if isinstance(op, Elementwise):
        slopes = op.partials(y, *xs, **params) if op.arity is None else op.partials
        return [t if t is None else _along(t, s, y, xs, params) for t, s in zip(ts, slopes, strict=True)]
    if isinstance(op, Reduction):
        kept = op.kept(params, shape_of(xs[0]))
        y_kept = reshape(y, shape=kept) if shape_of(y) != kept else y
        if op.averaged and (size := size_of(xs[0])):
            ts = [t if t is None else mul(t, size_of(y) / size) for t in ts]
        where = {"axis": params.get("axis", op.default_axis), "keepdims": params.get("keepdims", False)}
        return [
            t if t is None else sum_along(_along(t, w, y_kept, xs, params), **where)
            for t, w in zip(ts, op.weights, strict=True)
        ]
    assert isinstance(op, ArrayOp)  # there are three kinds of row
    if op.arity is None:
        if op.pushforwards[0] is not None:
            return [op.pushforwards[0](ts, y, *xs, **params)]
        return [op(*(np.zeros(shape_of(x)) if t is None else t for t, x in zip(ts, xs, strict=True)), **params)]
    moving = [None if op.pullbacks[i] is None else t for i, t in enumerate(ts)]  # where's condition has no derivative
    return [t if t is None else _through(op, i, t, y, xs, params) for i, t in enumerate(moving)]


def _along(t: Any, slope: Any, y: Any, xs: Any, params: dict[str, Any]) -> Any:
    """A tangent times a partial, without multiplying by a constant 1 or 0."""
    if type(slope) is float:
        return t if slope == 1.0 else None if slope == 0.0 else mul(t, slope)
    return mul(t, slope(y, *xs, **params) if callable(slope) else slope)


def _through(op: ArrayOp, i: int, t: Any, y: Any, xs: Any, params: dict[str, Any]) -> Any:
    """Operand i's tangent through its pushforward, or through the operation itself if it is linear there."""
    pushforward = op.pushforwards[i]
    if pushforward is not None:
        return pushforward(t, y, *xs, **params)
    return op(*xs[:i], t, *xs[i + 1 :], **params)
