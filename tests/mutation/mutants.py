"""The mutants of a rule table: its source with one small fault each, of a kind that people make.

Numbers change by one, by a factor of 1.0005 or in their sign; operators, comparisons and functions give way to their
nearest relatives; operands are exchanged, dropped or mistaken for one another; calls lose their function or a keyword;
conditions are always or never met; a local derivative becomes 0 or 1; a statement or a result is left out.

Left alone, because no test of a derivative can tell: strings (names, symbols, LaTeX, messages), annotations,
decorators (a cache changes no result), imports, and what a ``raise`` says. Nor are operands exchanged that are the
same, or those of a commutative function, which changes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

# What may be mistaken for what, by the module it stands in: "a-b" goes both ways, "a>b" one way.
RELATIVES = {
    "": "add-sub mul-div sin-cos sinh-cosh exp-expm1 sqrt-square maximum-minimum softmax-log_softmax between-raised "
    "sum_to-broadcast_to sum>mean share>greater sign_of>positive sign>tanh sigmoid>tanh hypot>maximum tanh>sin "
    "reciprocal>neg normal_cdf>sigmoid log>expm1 zero_base>equal",
    "np": "add-subtract multiply-divide sin-cos sinh-cosh exp-expm1 log-log1p log2-log10 sqrt-square maximum-minimum "
    "max-min argmax-argmin floor-ceil greater-greater_equal isfinite-isnan zeros-ones arcsin-arccos var-std tan>tanh "
    "tanh>arctan exp2>exp cbrt>sqrt rint>floor round>floor equal>not_equal arcsinh>arctan arctan>tanh arccosh>arcsinh "
    "arctanh>arcsin arctan2>hypot hypot>maximum logaddexp>maximum abs>negative negative>positive sign>positive "
    "sum>mean cumsum>cumprod reciprocal>negative",
    "math": "exp-expm1 atan2-hypot atan-tanh log>log1p asinh>atan erfc>erf sqrt>cbrt",
    "floats": "sin-cos sinh-cosh exp-expm1 log-log1p log2-log10 sqrt-square maximum-minimum floor-ceil arcsin-arccos "
    "div-power tan>sin exp2>exp cbrt>sqrt rint>floor arccosh>log arctanh>arcsin reciprocal>sqrt sign>relu "
    "relu>sigmoid sigmoid>softplus softplus>relu logaddexp>maximum",
    "operator": "add-sub mul>truediv neg>pos abs>pos gt>ge eq>ne",
}
COMMUTATIVE = {"add", "mul", "equal", "maximum", "minimum", "hypot", "logaddexp", "max", "result_type"}
OPERATORS: dict[type, tuple[str, ...]] = {
    ast.Add: ("-",), ast.Sub: ("+",), ast.Mult: ("/",), ast.Div: ("*",), ast.FloorDiv: ("/",), ast.Mod: ("+",),
    ast.Pow: ("*",), ast.BitAnd: ("|",), ast.BitOr: ("&",), ast.And: ("or",), ast.Or: ("and",),
    ast.Gt: (">=", "<"), ast.GtE: (">", "<="), ast.Lt: ("<=", ">"), ast.LtE: ("<", ">="), ast.Eq: ("!=",),
    ast.NotEq: ("==",), ast.Is: ("is not",), ast.IsNot: ("is",), ast.In: ("not in",), ast.NotIn: ("in",),
}  # fmt: skip
REGISTERING = {"elementwise", "array_op", "reduction", "predicate", "_mean_of"}
UNTOUCHED = {"symbol", "latex", "source", "strict"}  # keywords that only people read, or that guard against no input
# Calls that only ask: without them, or with their arguments exchanged, the line says nothing at all
ASKING = {"getattr", "hasattr", "isinstance", "type", "len", "range", "zip", "shape_of", "size_of", "next", "iter"}
MODULES = {"np", "math", "floats", "operator", "builtins", "itertools"}


def _relatives() -> dict[str, str]:
    """{"np.add": "np.subtract", ...}."""
    table = {}
    for module, pairs in RELATIVES.items():
        prefix = f"{module}." if module else ""
        for pair in pairs.split():
            one, other = pair.replace(">", "-").split("-")
            table[prefix + one] = prefix + other
            if "-" in pair:
                table[prefix + other] = prefix + one
    return table


RELATIVE = _relatives()


class Mutant(NamedTuple):
    """One small fault: the bytes from start to end of the table's source give way to others."""

    row: str  # the row or the helper that it stands in
    kind: str
    line: int
    function: int  # the first line of the innermost function that it stands in, or 0
    before: str  # the lines it touches
    after: str
    start: int
    end: int
    text: bytes

    @property
    def name(self) -> str:
        """What identifies the mutant as long as its lines stay as they are, wherever they stand."""
        return f"{self.row}: {self.before} -> {self.after}"

    def applied_to(self, source: str) -> str:
        """The source with the fault in it."""
        whole = source.encode()
        return (whole[: self.start] + self.text + whole[self.end :]).decode()


UNCHANGED = Mutant("", "no change", 0, 0, "", "", 0, 0, b"")


class Change(NamedTuple):
    """A node of the syntax tree and the text to stand in its place."""

    kind: str
    node: ast.AST
    text: str


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a table's source, in the order of its lines."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    whole, found = source.encode(), {}
    for statement in ast.parse(source).body:
        for kind, node, text in _changes_below(statement, ()):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            first, last = starts[node.lineno - 1], starts[node.end_lineno]
            touched = whole[first:last], whole[first:start] + text.encode() + whole[end:last]
            before, after = (" ".join(part.decode().split()) for part in touched)
            place = _name(statement), kind, node.lineno, _function_around(node, statement)
            mutant = Mutant(*place, before, after, start, end, text.encode())
            found.setdefault(mutant.name, mutant)  # two faults that give the same line are one mutant
    return sorted(found.values(), key=lambda mutant: (mutant.start, mutant.end))


def _function_around(node: ast.AST, statement: ast.stmt) -> int:
    """The first line of the innermost function that contains a node, as its code object counts it, or 0."""
    line, begin, end = 0, (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
    for function in ast.walk(statement):  # from the outside inwards
        if isinstance(function, (ast.FunctionDef, ast.Lambda)) and function is not node:
            inside = (function.lineno, function.col_offset) <= begin
            if inside and end <= (function.end_lineno, function.end_col_offset):
                line = min(part.lineno for part in (function, *getattr(function, "decorator_list", ())))
    return line


def _name(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign):
        return ast.unparse(statement.targets[0])
    return getattr(statement, "name", "")


def registered_names(source: str) -> dict[str, set[str]]:
    """For each row, and each helper, the names under which the rows that it belongs to are registered."""
    statements = {_name(statement): statement for statement in ast.parse(source).body if _name(statement)}
    names, mentions = {}, {}
    for row, statement in statements.items():
        call = getattr(statement, "value", None)
        registers = isinstance(call, ast.Call) and ast.unparse(call.func) in REGISTERING - {"predicate"}
        names[row] = {call.args[0].value} if registers else set()
        mentions[row] = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - {row}

    def users(helper: str, seen: set[str]) -> set[str]:
        found = set(names[helper])
        for row in statements if not found else ():
            if helper in mentions[row] and row not in seen:
                found |= users(row, {*seen, row})
        return found

    return {row: users(row, {row}) for row in statements}


# ---- where the faults are ------------------------------------------------------------------------------------------


def _changes_below(node: ast.AST, operands: tuple[str, ...]) -> Iterator[Change]:
    """Every change of a node and of what it contains, inside a function with these operands."""
    for kinds, changes in CHANGES.items():
        if isinstance(node, kinds):
            yield from changes(node)
    yield from _mistaken(node, operands)
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        operands = tuple(a.arg for a in (*node.args.posonlyargs, *node.args.args))
    for part in _parts(node):
        yield from _changes_below(part, operands)


def _mistaken(node: ast.AST, operands: tuple[str, ...]) -> Iterator[Change]:
    """The next operand for an operand, the first for a result."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in operands[:-1]:
        yield Change("operand", node, operands[operands.index(node.id) + 1])
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in operands[1:]:
        yield Change("operand", node, operands[0])
    elif (
        isinstance(node, ast.Return) and operands and node.value is not None and ast.unparse(node.value) != operands[0]
    ):
        yield Change("result", node.value, operands[0])


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """The children of a node in which to look for faults."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Raise, ast.JoinedStr)):
        return
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        yield from _defaults(node)
        yield from node.body if isinstance(node, ast.FunctionDef) else [node.body]
    elif isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name):
            yield node.func
        yield from node.args
        yield from (keyword.value for keyword in node.keywords if keyword.arg not in UNTOUCHED)
    elif isinstance(node, ast.AnnAssign):
        yield from [node.value] if node.value is not None else []
    else:
        yield from ast.iter_child_nodes(node)


def _defaults(node: ast.Lambda | ast.FunctionDef) -> list[ast.expr]:
    """The default values of a function's parameters, but for those that it takes for form's sake and never reads."""
    body = node.body if isinstance(node.body, list) else [node.body]
    read = {name.id for part in body for name in ast.walk(part) if isinstance(name, ast.Name)}
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    values = [None] * (len(parameters) - len(node.args.defaults) - len(node.args.kw_defaults))
    values += [*node.args.defaults, *node.args.kw_defaults]
    return [value for name, value in zip(parameters, values, strict=True) if value is not None and name.arg in read]


def _in_place(node: ast.AST) -> str:
    """The text of an expression, in parentheses if it might come apart among operators."""
    text = ast.unparse(node)
    return text if isinstance(node, (ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript)) else f"({text})"


def _numbers(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield Change("truth value", node, str(not value))
    elif isinstance(value, int):
        yield from (Change("number", node, str(n)) for n in (value + 1, value - 1) if value or n > 0)
    elif isinstance(value, float):
        texts = [repr(value * 1.0005), f"(-{value!r})"] if value else ["1.0"]
        yield from (Change("number", node, text) for text in texts)


def _unary(node: ast.UnaryOp) -> Iterator[Change]:
    if not (isinstance(node.operand, ast.Constant) and isinstance(node.operand.value, float)):  # _numbers does these
        yield Change("sign or not left out", node, _in_place(node.operand))


def _binary(node: ast.BinOp) -> Iterator[Change]:
    left, right = _in_place(node.left), _in_place(node.right)
    yield from (Change("operator", node, f"({left} {sign} {right})") for sign in OPERATORS[type(node.op)])
    yield from (Change("operand left out", node, text) for text in (left, right))


def _comparisons(node: ast.Compare) -> Iterator[Change]:
    terms = [_in_place(term) for term in (node.left, *node.comparators)]
    signs = [ast.unparse(ast.Compare(ast.Name("a"), [op], [ast.Name("b")]))[2:-2] for op in node.ops]
    for i, op in enumerate(node.ops):
        for sign in OPERATORS[type(op)]:
            changed = [*signs[:i], sign, *signs[i + 1 :]]
            text = terms[0] + "".join(f" {s} {term}" for s, term in zip(changed, terms[1:], strict=True))
            yield Change("comparison", node, f"({text})")


def _conjunctions(node: ast.BoolOp) -> Iterator[Change]:
    word = " or " if isinstance(node.op, ast.Or) else " and "
    terms = [_in_place(term) for term in node.values]
    other = f" {OPERATORS[type(node.op)][0]} "
    yield Change("operator", node, f"({other.join(terms)})")
    for i in range(len(terms)):
        yield Change("operand left out", node, f"({word.join([*terms[:i], *terms[i + 1 :]])})")


def _conditions(node: ast.If | ast.IfExp | ast.While) -> Iterator[Change]:
    answers = ["False"] if isinstance(node, ast.While) else ["True", "False"]  # while True would never end
    yield from (Change("condition", node.test, answer) for answer in answers)


def _filters(node: ast.comprehension) -> Iterator[Change]:
    yield from (Change("condition", test, "True") for test in node.ifs)


def _functions(node: ast.Lambda | ast.FunctionDef) -> Iterator[Change]:
    for default in _defaults(node):
        if isinstance(default, ast.Constant) and default.value is None:
            yield Change("default", default, "0")
    first = [a.arg for a in node.args.args[:2]]
    if isinstance(node, ast.Lambda) and ("y" in first or first[:1] in (["g"], ["t"])):  # a rule, not a kernel
        yield from (Change("derivative", node.body, text) for text in ("0.0", "1.0"))


def _attributes(node: ast.Attribute) -> Iterator[Change]:
    if ast.unparse(node) in RELATIVE:
        yield Change("function", node, RELATIVE[ast.unparse(node)])


def _statements(node: ast.Expr | ast.AugAssign) -> Iterator[Change]:
    if isinstance(node, ast.AugAssign):
        sign = OPERATORS[type(node.op)][0]
        yield Change("operator", node, f"{ast.unparse(node.target)} {sign}= {ast.unparse(node.value)}")
    if isinstance(node, ast.AugAssign) or isinstance(node.value, ast.Call):  # else it is a docstring
        yield Change("statement left out", node, "pass")


def _calls(node: ast.Call) -> Iterator[Change]:
    function, arguments = ast.unparse(node.func), node.args
    for keyword in (keyword for keyword in node.keywords if keyword.arg not in UNTOUCHED):
        yield Change("keyword left out", keyword, "**{}")
    if function in REGISTERING:
        rules = arguments[3 if function == "elementwise" else 2 :]
        if len(rules) == 2 and ast.dump(rules[0]) != ast.dump(rules[1]):
            yield Change("exchanged", node, _call(function, [*arguments[:-2], *reversed(rules)], node.keywords))
        return
    if function in ASKING:
        return
    if function in RELATIVE and isinstance(node.func, ast.Name):
        yield Change("function", node, _call(RELATIVE[function], arguments, node.keywords))
    module, _, verb = function.rpartition(".")
    if len(arguments) >= 2 and verb not in COMMUTATIVE and ast.dump(arguments[-1]) != ast.dump(arguments[-2]):
        exchanged = [*arguments[:-2], arguments[-1], arguments[-2]]
        yield Change("exchanged", node, _call(function, exchanged, node.keywords))
    receiver = [node.func.value] if isinstance(node.func, ast.Attribute) and module not in MODULES else []
    for argument in (*receiver, *arguments):
        if not isinstance(argument, ast.Starred):
            yield Change("only an operand", node, _in_place(argument))


def _call(function: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> str:
    return f"{function}({', '.join(map(ast.unparse, [*arguments, *keywords]))})"


CHANGES = {
    ast.Constant: _numbers,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.Compare: _comparisons,
    ast.BoolOp: _conjunctions,
    (ast.If, ast.IfExp, ast.While): _conditions,
    ast.comprehension: _filters,
    (ast.Lambda, ast.FunctionDef): _functions,
    ast.Attribute: _attributes,
    (ast.Expr, ast.AugAssign): _statements,
    ast.Call: _calls,
}
