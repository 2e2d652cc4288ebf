"""From a graph to a program, and from a program to functions that run without one."""

from .compiled import CompiledFunction, compile, retrace

__all__ = ["CompiledFunction", "compile", "retrace"]
