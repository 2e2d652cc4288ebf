"""From a program to two Python functions: straight lines of NumPy, as one would write backpropagation by hand.

The functions are put together as text, which can be read, printed and projected. It consists of names made here and of
the forms below, never of a user's text; functions and arrays go in by reference, under names of their own.
"""

import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from keyword import iskeyword
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from ..array_rules import linear, matmul, shape_of, sum_to, transpose
from ..primitive import Elementwise, Predicate
from .program import Program, Symbol, instructions

__all__ = ["Functions", "functions_of"]

_INFIX: dict[Any, str] = {
    **dict.fromkeys((np.add, operator.add), "+"),
    **dict.fromkeys((np.subtract, operator.sub), "-"),
    **dict.fromkeys((np.multiply, operator.mul), "*"),
    **dict.fromkeys((np.divide, operator.truediv), "/"),
}
_NEGATIVE = (np.negative, operator.neg)
_OF_THEIR_OWN = {*_INFIX, *_NEGATIVE, matmul.array, linear.array, sum_to.array}
"""Functions whose result is an array of its own, besides NumPy's ufuncs and the elementwise rows of the table."""


class Functions(NamedTuple):
    """A program as Python functions."""

    text: str
    """Both, as text."""
    forward: Callable[..., Any]
    """``forward(*inputs)`` gives the output and a tuple of what the way back needs."""
    reverse: Callable[..., Any]
    """``reverse(seed, kept)`` gives the gradients of the inputs, None for one that is not wanted."""


def functions_of(program: Program, name: str) -> Functions:
    """A program, written down under a name, which is an identifier."""
    writer = _Writer()
    forward = program.steps
    known = {*program.inputs, *forward}
    back = instructions(program.gradients, [*known, program.seed])
    needed = {x for step in back for x in step.parents} | {x for x in program.gradients if type(x) is Symbol}
    kept = [x for x in (*program.inputs, *forward) if x in needed]

    n = len(program.inputs) - len(program.captured)
    inputs = ", ".join([writer.name(x, "x" if i < n else "p") for i, x in enumerate(program.inputs)])
    lines = writer.lines(forward, [program.output, *kept], "v")
    saved = "(" + "".join(f"{writer.name(x)}, " for x in kept) + ")"
    lines.append(f"return {writer.result(program.output, shared=set(program.inputs))}, {saved}")
    text, run = writer.function(f"def {name}({inputs}):", lines)

    seed = writer.name(program.seed, "g")
    lines = [f"{saved} = kept"] if kept else []
    lines += writer.lines(back, program.gradients, "g")
    results = [writer.result(x, shared={*known, program.seed}) for x in program.gradients]
    lines.append(f"return [{', '.join(results)}]")
    text_back, run_back = writer.function(f"def {name}_reverse({seed}, kept):", lines)
    if any(x is not None for x in program.gradients):
        text += "\n\n" + text_back
    return Functions(text, run, run_back)


class _Writer:
    """It gives names to the symbols of a program and to what they are computed with, and writes lines with them."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}  # of symbols, arrays and functions, by id
        self._named: list[Any] = []  # all of them, alive, so that no id is given twice
        self._things: dict[str, Any] = {
            "array": np.array,
            "asarray": np.asarray,
            "float": float,
        }  # what the text finds by name
        self._letters: Counter[str] = Counter()
        self._ones: dict[Any, Any] = {}

    def function(self, head: str, lines: list[str]) -> tuple[str, Callable[..., Any]]:
        """The text of a function made of such lines, and the function."""
        text = "\n    ".join([head, *lines]) + "\n"
        module = compile(text, f"<program {head[4:-1]}>", "exec", dont_inherit=True)
        (code,) = (part for part in module.co_consts if isinstance(part, CodeType))
        return text, FunctionType(code, self._things)

    # ---- names ----

    def name(self, x: Symbol, letter: str = "") -> str:
        """The name of a symbol; the first time it gets a letter and a number."""
        if id(x) not in self._names:
            self._call(x, f"{letter}{self._letters[letter]}")
            self._letters[letter] += 1
        return self._names[id(x)]

    def _call(self, x: Any, name: str) -> None:
        self._names[id(x)] = name
        self._named.append(x)

    def _thing(self, thing: Any, name: str) -> str:
        """The name under which the text finds an array or a function."""
        if id(thing) not in self._names:
            name = re.sub(r"\W|^_+|^(?=\d)", "", name) or "kernel"
            while name in self._things or name == "kept" or iskeyword(name) or re.fullmatch(r"[gpvx]\d+", name):
                name += "_"
            self._call(thing, name)
            self._things[name] = thing
        return self._names[id(thing)]

    def _operand(self, x: Any) -> str:
        if type(x) is Symbol:
            return self.name(x)
        plain = type(x) in (int, bool, str, type(None)) or (type(x) is float and np.isfinite(x))
        if type(x) is tuple:
            return "(" + "".join(f"{self._operand(part)}, " for part in x) + ")"
        return repr(x) if plain else self._thing(x, f"c{len(self._things)}")

    # ---- lines ----

    def lines(self, steps: Sequence[Symbol], results: Sequence[Any], letter: str) -> list[str]:
        """A line or two for every instruction. Those in results must last.

        An array may be written over where it is used for the only time: a view of it would be another use, so none is
        left, and what is not an array of ours (an input, a view, the result of a kernel that may return one) is not
        written over at all.
        """
        uses = Counter(x for step in steps for x in step.parents)
        last = {x for x in results if type(x) is Symbol}
        uses.update(last)
        lines: list[str] = []
        own: set[Symbol] = set()
        for step in steps:
            written = self._overwritten(step, uses, own)
            if written is not None:
                (other,) = [x for x in step.operands if x is not written]
                self._call(step, self.name(written))
                lines.append(f"{self.name(step)} {_INFIX[step.function]}= {self._operand(other)}")
            elif _is_transposition(step) and step not in last:
                self._call(step, f"{self._operand(step.operands[0])}.T")
            else:
                name = self.name(step, letter)
                lines += [f"{name} = {self._form(step)}", *self._added(step, name)]
            function, op = step.function, step.op
            ours = isinstance(op, Elementwise) or _is_users(step) or isinstance(function, np.ufunc)
            if ours or function in _OF_THEIR_OWN:
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

    def _form(self, step: Symbol) -> str:
        """The instruction as NumPy is written by hand, where there is such a form; else as a call of the kernel."""
        function, operands, options = step.function, step.operands, step.options
        xs = [self._operand(x) for x in operands]
        if function in _INFIX and not options:
            form = f"{xs[0]} {_INFIX[function]} {xs[1]}"
        elif function in _NEGATIVE and not options:
            form = f"-{xs[0]}"
        elif _is_transposition(step):
            form = f"{xs[0]}.T"
        elif function is matmul.array and _dimensions(step) == [2, 2]:
            form = f"{xs[0]}.dot({xs[1]})"
        elif _is_affine(step):
            form = f"{xs[0]}.dot({xs[1]}.T)"
        elif function is sum_to.array and _dimensions(step) == [2] and options["shape"] == operands[0].shape[1:]:
            n, dtype = len(operands[0]), operands[0].dtype
            ones = self._thing(self._ones.setdefault((n, dtype), np.ones(n, dtype)), f"ones{n}")
            form = f"{ones}.dot({xs[0]})"
        else:
            form = self._call_of(step, xs)
        if type(step._data) is not float and not step.shape and not form.startswith("array("):
            form = f"asarray({form})"  # NumPy makes scalars of arrays without axes
        return form

    def _call_of(self, step: Symbol, xs: list[str]) -> str:
        """The instruction as a call of its kernel, with what the engine does before and after one."""
        name = step.op.name if step.op else getattr(step.function, "__name__", "kernel")
        no_kernel = step.op is not None and type(step._data) is float and step.function is not step.op.scalar
        if no_kernel:  # none for floats
            xs = [f"asarray({x})" for x in xs]
        if all(key.isidentifier() and not iskeyword(key) for key in step.options):
            xs = [*xs, *(f"{key}={self._operand(value)}" for key, value in step.options.items())]
        else:
            xs = [*xs, f"**{self._thing(step.options, 'options')}"]
        call = f"{self._thing(step.function, name)}({', '.join(xs)})"
        if _is_users(step) or no_kernel:  # a user's kernel may return an integer, or a user's array
            return f"float({call})" if type(step._data) is float else f"array({call})"
        return call

    def _added(self, step: Symbol, name: str) -> list[str]:
        """A second line, if there is one."""
        return [f"{name} += {self._operand(step.operands[2])}"] if _is_affine(step) else []

    def result(self, x: Any, shared: set[Symbol]) -> str:
        """The output or a gradient, as an array of its own."""
        name = self._operand(x)
        array = isinstance(x._data if type(x) is Symbol else x, np.ndarray)
        return f"{name}.copy()" if array and (type(x) is not Symbol or x in shared) else name


def _is_users(step: Symbol) -> bool:
    """Whether it is an operation of a user's."""
    return step.op is not None and not step.op.built_in and type(step.op) is not Predicate


def _dimensions(step: Symbol) -> list[int]:
    return [len(shape_of(x)) for x in step.operands]


def _is_transposition(step: Symbol) -> bool:
    """Whether it exchanges the two axes of a matrix."""
    return step.function is transpose.array and _dimensions(step) == [2] and step.options.get("axes") in (None, (1, 0))


def _is_affine(step: Symbol) -> bool:
    """Whether it is x w' + b of two matrices and a vector of one dtype."""
    fits = step.function is linear.array and _dimensions(step) == [2, 2, 1]
    return fits and len({x.dtype for x in step.operands}) == 1
