"""Walking a graph. A graph is any set of objects with ``.parents``, a sequence of such objects.

Backward, forward mode, drawing and compiling all walk through here. Nothing recurses: a chain of a
million nodes is walked under any recursion limit.
"""

import threading
from collections.abc import Collection
from typing import Any

__all__ = ["ancestors", "clock", "topological_order"]


class Clock:
    """Counts the rebindings of any node's data.

    A node knows when it was recorded and when it was last rebound, so one comparison tells whether anything at all
    has changed since it was recorded.
    """

    now = 0
    _lock = threading.Lock()

    def tick(self) -> int:
        """One more rebinding; returns its time."""
        with self._lock:
            self.now += 1
            return self.now


clock = Clock()


def topological_order(*roots: Any, stop: Collection[Any] = ()) -> list[Any]:
    """Every node that a root depends on, each once, parents before children; roots come last.

    Args:
        roots: where to start.
        stop: nodes whose parents are not looked at, a set; what lies below them is left out.

    >>> from autodiff import Value
    >>> a, b = Value(2.0, name="a"), Value(1.0, name="b")
    >>> c = a * b
    >>> [node.name or node.op.name for node in topological_order(c + a)]
    ['a', 'b', 'mul', 'add']
    """
    order: list[Any] = []
    seen: set[Any] = set()
    stack: list[Any] = list(roots[::-1])
    while stack:
        node = stack.pop()
        if node is None:  # everything below the node under this mark has been placed
            order.append(stack.pop())
        elif node not in seen:
            seen.add(node)
            parents = () if stop and node in stop else node.parents
            if not parents:
                order.append(node)
            elif len(parents) < 4:
                stack += (node, None, *parents[::-1])
            else:
                stack += (node, None, *[p for p in parents[::-1] if p not in seen])
    return order


def ancestors(node: Any) -> set[Any]:
    """Every node that ``node`` depends on, itself not included."""
    return set(topological_order(node)[:-1])
