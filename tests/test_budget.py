"""The size budget: over it means a missing idea, not a smaller font."""

import ast
import io
import tokenize

FILE, FUNCTION, CORE = 400, 50, 1800

CORE_MODULES = {
    "autodiff.errors",
    "autodiff.floats",
    "autodiff.shapes",
    "autodiff.graph",
    "autodiff.primitive",
    "autodiff.rules",
    "autodiff.array_rules",
    "autodiff.functions",
    "autodiff.backward",
    "autodiff.forward",
    "autodiff.node",
    "autodiff.value",
    "autodiff.tensor",
}

LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def docstring_lines(tree):
    """Return the lines of all strings that stand alone as statements: docstrings, also those of attributes."""
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.update(range(node.lineno, node.end_lineno + 1))
    return lines


def code_lines(text):
    """Return the numbers of the lines that hold code: no blanks, comments or docstrings."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines - docstring_lines(ast.parse(text))


def functions(tree):
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def function_size(function, lines):
    return len(lines.intersection(range(function.lineno, function.end_lineno + 1)))


def test_the_counter_sees_code_and_nothing_else():
    text = '''"""Docstring,
of two lines."""

# a comment
LIMIT = 1  # another
"""An attribute's docstring."""


def f(
    x,
):
    """Docstring."""

    return """a string
that is code"""
'''
    assert sorted(code_lines(text)) == [5, 9, 10, 11, 14, 15]
    (f,) = functions(ast.parse(text))
    assert function_size(f, code_lines(text)) == 5


def test_no_file_is_longer_than_400_lines_of_code(modules, figure):
    sizes = {module.name: len(code_lines(module.path.read_text(encoding="utf-8"))) for module in modules}
    largest = max(sizes, key=sizes.get)
    figure(f"largest file: {largest}, {sizes[largest]} of {FILE} lines of code")
    assert {name: size for name, size in sizes.items() if size > FILE} == {}


def test_no_function_is_longer_than_50_lines_of_code(modules, figure):
    sizes = {}
    for module in modules:
        lines = code_lines(module.path.read_text(encoding="utf-8"))
        for function in functions(module.tree):
            sizes[f"{module.name}:{function.lineno} {function.name}"] = function_size(function, lines)
    longest = max(sizes, key=sizes.get)
    figure(f"longest function: {longest}, {sizes[longest]} of {FUNCTION} lines of code")
    assert {name: size for name, size in sizes.items() if size > FUNCTION} == {}


def test_the_core_is_at_most_1800_lines_of_code(modules, figure):
    core = [module for module in modules if module.name in CORE_MODULES]
    assert {module.name for module in core} == CORE_MODULES
    size = sum(len(code_lines(module.path.read_text(encoding="utf-8"))) for module in core)
    figure(f"core of the engine (L0-L6): {size} of {CORE} lines of code")
    assert size <= CORE
