"""Pictures of a graph. ``draw_dot`` makes one as a ``graphviz.Digraph``, ``render`` writes one to a file."""

from .dot import draw_dot, render

__all__ = ["draw_dot", "render"]
