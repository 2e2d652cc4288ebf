"""The command line: ``autodiff "(a+b)*(b+1)" a=2 b=1`` differentiates an expression and shows every node.

Exit codes: 0 success; 1 the result or one of its derivatives is not finite; 2 the call was not understood, and the
message says where and what to do. An expression is read as a syntax tree of which only numbers, names, arithmetic
and calls of our own functions are let through; nothing is ever evaluated as Python.
"""

import argparse
import ast
import difflib
import importlib.metadata
import json
import keyword
import math
import re
import sys
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .draw import render
from .errors import ExpressionError
from .graph import topological_order
from .primitive import REGISTRY, Elementwise, Primitive
from .value import Value

__all__ = ["main"]

LONGEST_TEXT = 10_000
DEEPEST = 100
MOST_NODES = 2_000
LARGEST_EXPONENT = 1e6

CONSTANTS = {"pi": math.pi, "e": math.e}
ALIASES = {"ln": "log", "pow": "power", "asin": "arcsin", "acos": "arccos", "atan": "arctan"}
OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "power",
    ast.USub: "neg",
}
REMEDIES: dict[type[ast.AST], str] = {
    ast.BitXor: "^ is no power here; write ** instead",
    ast.FloorDiv: "// is not supported; write floor(a / b)",
    ast.Mod: "% is not supported; write a - b * floor(a / b)",
    ast.MatMult: "@ is not supported; numbers are multiplied with *",
    ast.Compare: "comparisons are not supported; see maximum, minimum, step and clip",
    ast.BoolOp: "and, or are not supported; see maximum and minimum",
    ast.IfExp: "if ... else is not supported; see where(condition, a, b)",
    ast.Attribute: "a name with a dot is not supported; write sin(x), not math.sin(x)",
    ast.Subscript: "indexing is not supported; give each number a name of its own",
    ast.Tuple: "one expression is expected, not several; write 1.5 for a decimal number, not 1,5",
    ast.NamedExpr: "names get their values after the expression, as in: a=2 b=1",
    ast.Starred: "* in front of an argument is not supported; write the arguments one by one",
}
UNSUPPORTED = "this is not supported; use numbers, names, + - * / **, and functions such as sin(x)"


class Row(NamedTuple):
    """What is shown of one node."""

    name: str
    expression: str
    node: Any
    difference: float | None
    """The derivative of the result by this node as a central difference, if it was asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    >>> main(["a*a", "a=3"])
    name    expression  value  derivative
    a       input           3           6
    result  a*a             9           1
    0
    """
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to fail
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0].isidentifier():
        for command in importlib.metadata.entry_points(group="autodiff.commands", name=words[0]):
            return int(command.load()(words[1:]))
    parser = _parser()
    if not words:
        parser.print_help()
        return 2
    options = parser.parse_intermixed_args([_shield(word) for word in words])
    try:
        return _differentiate(options)
    except (ExpressionError, ImportError, OSError) as error:
        print(f"autodiff: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autodiff",
        description="Differentiate an expression, and show the value and the derivative at every step.",
        epilog='example: autodiff "(a+b)*(b+1)" a=2 b=1\n'
        "autodiff demo trains a network; see autodiff demo --help\n\n"
        f"{textwrap.fill('functions: ' + ', '.join(sorted(_functions())), 100)}\n"
        f"constants: {', '.join(CONSTANTS)}\n\n"
        "exit code: 0 success, 1 the result or a derivative is not finite, 2 the call was not understood",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("expression", nargs="?", default="", help="numbers, names, + - * / **, functions; in quotes")
    parser.add_argument("values", nargs="*", metavar="name=value", help="such as a=2, b=-1e-3 or c=pi/2")
    parser.add_argument("--json", action="store_true", help="print JSON; numbers that are not finite become null")
    parser.add_argument("--svg", metavar="FILE", help="draw the graph into FILE")
    parser.add_argument("--check", action="store_true", help="compare with central differences")
    return parser


def _shield(word: str) -> str:
    """An expression that begins with a minus, such as -a*b, is no option: argparse is shown a blank before it."""
    option = re.fullmatch(r"-h|--([a-z].*)?", word, re.DOTALL)
    return f" {word}" if word.startswith("-") and not option else word


def _differentiate(options: argparse.Namespace) -> int:
    inputs = _inputs(options.values)
    with np.errstate(all="ignore"):
        root, sources = _Reader(re.sub("^ -", "-", options.expression), inputs).read()
        _backward(root)
        rows = list(_rows(root, inputs, sources, options.check))
    if options.json:
        print(json.dumps(_as_json(root, inputs, rows), indent=2))
    else:
        print(_as_table(rows, options.check))
    if options.svg:
        names = {row.name: row.node for row in rows}
        render(root, options.svg, format="svg", names=names, max_nodes=2 * MOST_NODES)
    return _finite(root, inputs)


def _backward(root: Any) -> None:
    try:
        root.backward()
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ExpressionError(f"column 1: there is no derivative for these values: {error}; try others") from None


def _finite(root: Any, inputs: dict[str, Value]) -> int:
    """0, or 1 after saying which number is not finite."""
    problems = [] if math.isfinite(root.data) else [f"the result is {root.data}"]
    problems += [f"the derivative by {name} is {x.grad}" for name, x in inputs.items() if not math.isfinite(x.grad)]
    for problem in problems:
        print(f"autodiff: {problem}", file=sys.stderr)
    return 1 if problems else 0


# ---- reading ----------------------------------------------------------------------------------------------------


def _functions() -> dict[str, Primitive]:
    """What may be called: every elementwise operation of the table, where, and a few usual names."""
    found: dict[str, Primitive] = {"where": REGISTRY["where"]}
    found |= {name: op for name, op in REGISTRY.items() if isinstance(op, Elementwise) and op.arity is not None}
    return found | {alias: found[name] for alias, name in ALIASES.items()}


def _inputs(words: Sequence[str]) -> dict[str, Value]:
    """The names that were given values: ["a=2"] makes {"a": Value(2.0)}."""
    inputs: dict[str, Value] = {}
    for word in words:
        given, equals, _ = word.strip().partition("=")
        name = unicodedata.normalize("NFKC", given.strip())  # as Python does with names in expressions
        if not equals:
            raise ExpressionError(
                f"column 1 of {_shown(word)!r}: expected name=value; an expression that contains blanks needs quotes"
            )
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ExpressionError(f"column 1 of {_shown(word)!r}: {_shown(name)!r} cannot be a name; use letters")
        if name in inputs:
            raise ExpressionError(f"column 1 of {_shown(word)!r}: {name} has a value already; give it only once")
        root, _ = _Reader(word.strip(), None, start=len(given) + 1).read()
        inputs[name] = Value(root.data, name=name)
    return inputs


class _Reader:
    """Reads one expression into nodes.

    Args:
        text: the expression; from ``start`` on if something stands before it.
        inputs: the nodes that names stand for; None where there are no names but those of constants.
    """

    def __init__(self, text: str, inputs: dict[str, Value] | None, *, start: int = 0) -> None:
        self.shown = "".join(" " if c.isspace() else c for c in text)
        self.start = start + len(self.shown[start:]) - len(self.shown[start:].lstrip())
        self.text = self.shown[self.start :].rstrip()
        self.inputs = inputs
        self.functions = _functions()
        self.sources: dict[Any, str] = {}

    def read(self) -> tuple[Any, dict[Any, str]]:
        """The result as a node, and the piece of text that each node came from.

        Raises ExpressionError. Nothing here recurses, however the text is nested.
        """
        results: dict[ast.AST, Any] = {}
        for part in reversed(self._parts(self._parse())):
            result = self._result(part, results)
            if isinstance(result, Value) and not result.is_leaf:
                self.sources.setdefault(result, self._piece(part))
            results[part] = result
        root = result if isinstance(result, Value) else Value(result)
        if root.is_leaf and not root.name:
            self.sources[root] = self.text
        return root, self.sources

    def error(self, column: int, problem: str) -> ExpressionError:
        """The error to raise for a problem at a column of the text, counted from 0."""
        column += self.start
        first = max(0, column - 60)
        line = _shown(self.shown[first : first + 100])
        return ExpressionError(f"column {column + 1}: {problem}\n  {line}\n  {' ' * (column - first)}^")

    def _parse(self) -> ast.expr:
        if len(self.text) > LONGEST_TEXT:
            raise self.error(LONGEST_TEXT, f"the text is longer than {LONGEST_TEXT} characters; shorten it")
        if not self.text:
            raise self.error(0, "something is missing here; an example: (a+b)*(b+1) a=2 b=1")
        unfit = next((i for i, c in enumerate(self.text) if not c.isprintable()), None)
        if unfit is not None:
            raise self.error(unfit, "an invisible character; remove it")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's remarks on text that we refuse anyway
                return ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            column = min(error.offset - 1, len(self.text)) if error.offset else len(self.text)
            raise self.error(column, self._syntax_remedy(error.msg, column)) from None
        except (RecursionError, MemoryError):
            raise self.error(0, f"nested deeper than {DEEPEST} levels; split it up") from None

    def _syntax_remedy(self, message: str, column: int) -> str:
        if self.text[column : column + 1] == "=":
            return REMEDIES[ast.NamedExpr]
        if "nested" in message:
            return f"nested deeper than {DEEPEST} levels; split it up"
        if "decimal literal" in message:
            return f"{message}; write a product with *, as in 2*a"
        if "(" in message or ")" in message:
            return f"{message}; balance the brackets"
        return f"{message}; is an operator missing, such as the * of 2*a, or a number?"

    def _column(self, part: Any) -> int:
        """Where a part begins, in characters; ast counts bytes."""
        return len(self.text.encode()[: part.col_offset].decode())

    def _piece(self, part: Any) -> str:
        return self.text.encode()[part.col_offset : part.end_col_offset].decode()

    def _parts(self, tree: ast.expr) -> list[Any]:
        """Every part of the expression, each before what it is made of; raises if one is not allowed."""
        parts = []
        waiting = [(tree, 1)]
        while waiting:
            part, depth = waiting.pop()
            if depth > DEEPEST:
                advice = "group a long sum with brackets, as in (a+b)+(c+d)"
                raise self.error(self._column(part), f"nested deeper than {DEEPEST} levels; {advice}")
            parts.append(part)
            if len(parts) > MOST_NODES:
                raise self.error(self._column(part), f"more than {MOST_NODES} numbers and operations; split it up")
            waiting += [(inner, depth + 1) for inner in reversed(self._made_of(part))]
        return parts

    def _made_of(self, part: ast.expr) -> list[ast.expr]:
        """What a part is made of; raises if it is of a kind that is not allowed, or an unknown name."""
        match part:
            case ast.Constant(value=int() | float()) if not isinstance(part.value, bool):
                return []
            case ast.Name():
                self._named(part)
                return []
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return [part.operand]
            case ast.BinOp() if type(part.op) in OPERATORS:
                return [part.left, part.right]
            case ast.BinOp():
                raise self.error(self._operator_column(part), REMEDIES.get(type(part.op), UNSUPPORTED))
            case ast.Call(func=ast.Name()):
                self._function(part)
                return part.args
            case ast.Call():
                problem = REMEDIES.get(type(part.func), "only functions can be called; write products with *")
                raise self.error(self._column(part), problem)
        raise self.error(self._column(part), REMEDIES.get(type(part), UNSUPPORTED))

    def _operator_column(self, part: ast.BinOp) -> int:
        """Where the operator stands: after the left operand and its closing brackets."""
        before = self.text.encode()[: part.left.end_col_offset].decode()
        after = self.text[len(before) :]
        return len(before) + next((i for i, c in enumerate(after) if c not in ") "), 0)

    def _result(self, part: Any, results: dict[ast.AST, Any]) -> Any:
        """The value of a part: a float, or a node if it depends on an input."""
        match part:
            case ast.Constant():
                try:
                    return float(part.value)  # type: ignore[arg-type]  # _made_of let only numbers through
                except OverflowError:
                    raise self.error(self._column(part), "too large; write it as a float, as in 1e300") from None
            case ast.Name():
                return self._named(part)
            case ast.UnaryOp(op=ast.UAdd()):
                return results[part.operand]
            case ast.UnaryOp():
                return self._apply(REGISTRY["neg"], part, [results[part.operand]])
            case ast.BinOp():
                op = REGISTRY[OPERATORS[type(part.op)]]
                return self._apply(op, part, [results[part.left], results[part.right]])
        return self._apply(self._function(part), part, [results[argument] for argument in part.args])

    def _named(self, part: ast.Name) -> Any:
        name, inputs = part.id, self.inputs or {}
        if name in inputs:
            return inputs[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in self.functions:
            problem = f"{name} is a function; write {name}(...)"
        elif self.inputs is None:
            problem = f"unknown name {_shown(name)!r}; a value is made of numbers, {' and '.join(CONSTANTS)}"
        else:
            close = _close(name, [*inputs, *CONSTANTS])
            problem = f"unknown name {_shown(name)!r}{close}; give it a value: {_shown(name)}=1"
            if name == self.text and not inputs:
                problem += "; or, if it is to be a command, pip install the package that brings it"
        raise self.error(self._column(part), problem)

    def _function(self, part: Any) -> Primitive:
        """The operation that a call names; raises unless its arguments fit."""
        name = part.func.id
        op = self.functions.get(name)
        if name in (self.inputs or CONSTANTS):
            problem = f"{_shown(name)} is no function; write products with *"
        elif op is None:
            problem = f"unknown function {_shown(name)!r}{_close(name, self.functions)}; autodiff --help lists them"
        elif part.keywords:
            problem = "arguments go without a name, as in sin(x)"
        elif op.arity != len(part.args):
            problem = f"{name} takes {op.arity} argument{'s'[: op.arity != 1]}, got {len(part.args)}"
        else:
            return op
        raise self.error(self._column(part), problem)

    def _apply(self, op: Primitive, part: Any, operands: list[Any]) -> Any:
        if op.name == "power" and isinstance(operands[1], float) and abs(operands[1]) > LARGEST_EXPONENT:
            raise self.error(self._column(part), f"the exponent is larger than {LARGEST_EXPONENT:g}; use exp and log")
        try:
            return op(*operands)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self.error(self._column(part), f"{op.name} failed: {error}; try other values") from None


def _close(name: str, candidates: Any) -> str:
    """A question whether another name was meant, if there is one that resembles it."""
    match = difflib.get_close_matches(name, candidates, 1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _shown(text: str) -> str:
    """Text of the user in a message: short, and without what a terminal would obey."""
    text = text if len(text) <= 100 else text[:97] + "..."
    return "".join(c if c.isprintable() else "?" for c in text)


# ---- showing ----------------------------------------------------------------------------------------------------


def _rows(root: Any, inputs: dict[str, Value], sources: dict[Any, str], check: bool) -> Iterator[Row]:
    """Inputs as they were given, then every step, the result last."""
    order = topological_order(root)
    differences = _central_differences(order) if check else {}
    given = set(inputs.values())
    names = (f"v{i}" for i in range(1, len(order) + len(inputs) + 1))
    free = (name for name in names if name not in inputs)
    for name, node in inputs.items():
        yield Row(name, "input", node, differences.get(node, 0.0) if check else None)
    for node in order:
        if node not in given:
            name = "result" if node is root and "result" not in inputs else next(free)
            yield Row(name, sources[node], node, differences.get(node))


def _central_differences(order: list[Any]) -> dict[Any, float]:
    """(f(x + h) - f(x - h)) / 2h for the last node as a function of each node."""
    slopes = {}
    for i, node in enumerate(order):
        h = np.finfo(float).eps ** (1 / 3) * max(1.0, abs(node.data))  # the best compromise of both errors
        high, low = node.data + h, node.data - h
        slopes[node] = float(np.subtract(_replay(order[i:], high), _replay(order[i:], low)) / (high - low))
    return slopes


def _replay(order: list[Any], x: float) -> float:
    """The value of the last node if the first one were x."""
    changed: dict[Any, float] = {order[0]: x}
    for node in order[1:]:
        if any(parent in changed for parent in node.parents):
            xs = [changed.get(p, p.data) if isinstance(p, Value) else p for p in node.operands]
            try:
                changed[node] = node.op(*xs, **node.params)
            except ArithmeticError:
                return math.nan
    return changed.get(order[-1], float(order[-1].data))


def _as_table(rows: list[Row], check: bool) -> str:
    """Lines of columns: text to the left, numbers to the right."""
    table = [["name", "expression", "value", "derivative"]]
    table += [[row.name, _shortened(row.expression), f"{row.node.data:.10g}", f"{row.node.grad:.10g}"] for row in rows]
    if check:
        table[0] += ["central difference", "difference"]
        for line, row in zip(table[1:], rows, strict=True):
            line += [f"{row.difference:.10g}", f"{_gap(row):.1e}"]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for line in table:
        cells = [
            f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _gap(row: Row) -> float:
    return float(abs(row.node.grad - (row.difference or 0.0)))


def _shortened(text: str) -> str:
    """An expression that fits a table."""
    text = " ".join(text.split())
    return _shown(text if len(text) <= 48 else f"{text[:30]} ... {text[-13:]}")


def _as_json(root: Any, inputs: dict[str, Value], rows: list[Row]) -> dict[str, Any]:
    names = {row.node: row.name for row in rows}
    nodes = []
    for row in rows:
        entry = {
            "name": row.name,
            "expression": row.expression,
            "operation": row.node.op.name if row.node.op else None,
            "operands": [names[x] if isinstance(x, Value) else _number(x) for x in row.node.operands],
            "value": _number(row.node.data),
            "gradient": _number(row.node.grad),
        }
        if row.difference is not None:
            entry |= {"central_difference": _number(row.difference), "difference": _number(_gap(row))}
        nodes.append(entry)
    gradients = {name: _number(x.grad) for name, x in inputs.items()}
    return {"value": _number(root.data), "gradients": gradients, "nodes": nodes}


def _number(x: float) -> float | None:
    """JSON has no nan and no infinity."""
    return x if math.isfinite(x) else None
