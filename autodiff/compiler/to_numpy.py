"""From a program to two Python functions: straight lines of NumPy, as one would write backpropagation by hand.

The functions are put together as text, which can be read, printed and projected. It consists of names made here and of
the forms below, never of a user's text; functions and arrays go in by reference, under names of their own.
"""

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from ..array_rules import linear, matmul, shape_of, sum_to, transpose
from ..primitive import Elementwise
from .program import Program, Symbol, instructions

__all__ = ["Functions"]

_INFIX: dict[Any, str] = {
    **dict.fromkeys((np.add, operator.add), "+"),
    **dict.fromkeys((np.subtract, operator.sub), "-"),
    **dict.fromkeys((np.multiply, operator.mul), "*"),
    **dict.fromkeys((np.divide, operator.truediv), "/"),
}
_NEGATIVE = (np.negative, operator.neg)
_OF_THEIR_OWN = {*_INFIX, *_NEGATIVE, matmul.array, linear.array, sum_to.array}
"""Functions whose result is an array of its own, besides NumPy's and the elementwise rows of the table."""


class Functions:
    """A program as Python functions.

    Args:
        program: what to write down.
        name: of the function, an identifier.

    Attributes:
        text: both as text.
        forward: ``forward(*inputs)`` gives the output and a tuple of what the way back needs.
        reverse: ``reverse(seed, kept)`` gives the gradients of the inputs, None for one that is not wanted.
    """

    def __init__(self, program: Program, name: str) -> None:
        self._names: dict[int, str] = {}  # of symbols, arrays and functions, by id
        self._things: dict[str, Any] = {"asarray": np.asarray, "float": float}
        self._named: list[Any] = []  # alive, so that no id is given twice
        forward = instructions([program.output], program.inputs)
        known = {*program.inputs, *forward}
        back = instructions(program.gradients, [*known, program.seed])
        needed = {x for step in back for x in step.parents} | {x for x in program.gradients if type(x) is Symbol}
        kept = [x for x in (*program.inputs, *forward) if x in needed]

        inputs = ", ".join([self._name(x, "x") for x in program.inputs])
        lines = self._lines(forward, [program.output, *kept])
        saved = "(" + "".join(f"{self._name(x)}, " for x in kept) + ")"
        lines.append(f"return {self._result(program.output, shared=set(program.inputs))}, {saved}")
        self.forward, self.text = self._function(f"def {name}({inputs}):", lines)

        seed = self._name(program.seed, "g")
        lines = [f"{saved} = kept"] if kept else []
        lines += self._lines(back, program.gradients)
        results = [self._result(x, shared={*known, program.seed}) for x in program.gradients]
        lines.append(f"return [{', '.join(results)}]")
        self.reverse, text = self._function(f"def {name}_reverse({seed}, kept):", lines)
        if any(x is not None for x in program.gradients):
            self.text += "\n\n" + text

    def _function(self, head: str, lines: list[str]) -> tuple[Callable[..., Any], str]:
        """A function made of such lines, and its text."""
        text = "\n    ".join([head, *lines]) + "\n"
        module = compile(ast.parse(text), f"<program {head[4:-1]}>", "exec")
        (code,) = (part for part in module.co_consts if isinstance(part, CodeType))
        return FunctionType(code, self._things), text

    # ---- names ----

    def _name(self, x: Any, letter: str = "v") -> str:
        """The name of a symbol."""
        if id(x) not in self._names:
            self._names[id(x)] = f"{letter}{len(self._named)}"
            self._named.append(x)
        return self._names[id(x)]

    def _thing(self, thing: Any, name: str) -> str:
        """The name under which the text finds an array or a function."""
        if id(thing) not in self._names:
            name = re.sub(r"\W|^_+|^(?=\d)", "", name) or "kernel"
            while name in self._things or re.fullmatch(r"[gvx]\d+", name):
                name += "_"
            self._names[id(thing)], self._things[name] = name, thing
            self._named.append(thing)
        return self._names[id(thing)]

    def _operand(self, x: Any) -> str:
        if type(x) is Symbol:
            return self._name(x)
        plain = type(x) in (int, bool, str, type(None)) or (type(x) is float and np.isfinite(x))
        if type(x) is tuple:
            return "(" + "".join(f"{self._operand(part)}, " for part in x) + ")"
        return repr(x) if plain else self._thing(x, f"c{len(self._named)}")

    # ---- lines ----

    def _lines(self, steps: Sequence[Symbol], results: Sequence[Any]) -> list[str]:
        """A line or two for every instruction. Those in results must last, as must everything used later."""
        uses = Counter(x for step in steps for x in step.parents)
        uses.update(x for x in results if type(x) is Symbol)
        lines: list[str] = []
        own: set[Symbol] = set()
        for step in steps:
            written = self._overwritten(step, uses, own)
            if written is None:
                lines += self._written(step)
            else:
                (other,) = [x for x in step.operands if x is not written]
                self._names[id(step)] = self._name(written)
                self._named.append(step)
                lines.append(f"{self._name(written)} {_INFIX[step.function]}= {self._operand(other)}")
            function, op = step.function, step.op
            table = isinstance(op, Elementwise) and op.built_in
            if table or isinstance(function, np.ufunc) or function in _OF_THEIR_OWN:
                own.add(step)
        return lines

    def _overwritten(self, step: Symbol, uses: Counter[Symbol], own: set[Symbol]) -> Symbol | None:
        """The operand over which the result may be written: an array of ours that nobody else needs."""
        sign, shape = _INFIX.get(step.function), step.shape
        if sign is None or not shape or step.options or step.operands[0] is step.operands[-1]:
            return None
        for x in step.operands if sign in "+*" else step.operands[:1]:
            if type(x) is Symbol and x in own and uses[x] == 1 and (x.shape, x.dtype) == (shape, step.dtype):
                return x
        return None

    def _written(self, step: Symbol) -> list[str]:
        """The instruction as NumPy is written by hand, where there is such a form; else as a call of the kernel."""
        function, operands, options = step.function, step.operands, step.options
        xs, y = [self._operand(x) for x in operands], self._name(step)
        dims = [len(shape_of(x)) for x in operands]
        if function in _INFIX and not options:
            form = f"{xs[0]} {_INFIX[function]} {xs[1]}"
        elif function in _NEGATIVE and not options:
            form = f"-{xs[0]}"
        elif function is transpose.array and dims == [2] and options.get("axes") in (None, (1, 0)):
            form = f"{xs[0]}.T"
        elif function is matmul.array and dims == [2, 2]:
            form = f"{xs[0]}.dot({xs[1]})"
        elif function is linear.array and dims == [2, 2, 1] and len({x.dtype for x in operands}) == 1:
            return [f"{y} = {xs[0]}.dot({xs[1]}.T)", f"{y} += {xs[2]}"]
        elif function is sum_to.array and dims == [2] and options["shape"] == operands[0].shape[1:]:
            ones = self._thing(_ones(len(operands[0]), operands[0].dtype), f"ones{len(operands[0])}")
            return [f"{y} = {ones}.dot({xs[0]})"]
        else:
            op = step.op.name if step.op else getattr(function, "__name__", "kernel")
            from_array = step.op is not None and type(step._data) is float and function is not step.op.scalar
            if from_array:  # the row has no kernel for floats
                xs = [f"asarray({x})" for x in xs]
            arguments = [*xs, *(f"{name}={self._operand(value)}" for name, value in options.items())]
            form = f"{self._thing(function, op)}({', '.join(arguments)})"
            form = f"float({form})" if from_array else form
        if type(step._data) is not float and not step.shape:
            form = f"asarray({form})"  # NumPy makes scalars of arrays without axes
        return [f"{y} = {form}"]

    def _result(self, x: Any, shared: set[Symbol]) -> str:
        """The output or a gradient, as an array of its own."""
        name = self._operand(x)
        if type(x) is Symbol and type(x._data) is np.ndarray:
            foreign = x in shared or (x.op is not None and not x.op.built_in)
            return f"{name}.copy()" if foreign else name
        return f"{name}.copy()" if isinstance(x, np.ndarray) else name


def _ones(n: int, dtype: Any) -> Any:
    ones = np.ones(n, dtype)
    ones.flags.writeable = False
    return ones
