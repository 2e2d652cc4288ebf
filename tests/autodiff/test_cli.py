"""The command line: tables, JSON, pictures, errors that help, and nothing that runs foreign code."""

import importlib.metadata
import json
import math
import os
import random
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autodiff import ExpressionError, cli
from autodiff.cli import main
from autodiff.primitive import REGISTRY, Elementwise


@pytest.fixture
def run(capsys):
    """Return a function that runs the command line and returns its exit code, output and complaints."""

    def run(*words):
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def as_json(run):
    """Return a function that runs the command line with --json and returns what it printed, decoded."""

    def as_json(*words):
        code, out, err = run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return as_json


# ---- what it shows ----------------------------------------------------------------------------------------------


def test_the_table_of_the_lecture(run):
    code, out, err = run("(a+b)*(b+1)", "a=2", "b=1")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["name", "expression", "value", "derivative"],
        ["a", "input", "2", "2"],
        ["b", "input", "1", "5"],
        ["v1", "a+b", "3", "2"],
        ["v2", "b+1", "2", "3"],
        ["result", "(a+b)*(b+1)", "6", "1"],
    ]


def test_json_has_value_gradients_and_every_node(as_json):
    answer = as_json("(a+b)*(b+1)", "a=2", "b=1")
    assert list(answer) == ["value", "gradients", "nodes"]
    assert (answer["value"], answer["gradients"]) == (6.0, {"a": 2.0, "b": 5.0})
    assert answer["nodes"][3] == {
        "name": "v2",
        "expression": "b+1",
        "operation": "add",
        "operands": ["b", 1.0],
        "value": 2.0,
        "gradient": 3.0,
    }
    assert [node["name"] for node in answer["nodes"]] == ["a", "b", "v1", "v2", "result"]


def test_check_adds_central_differences(run, as_json):
    _, out, _ = run("sin(a)*b", "a=1", "b=3", "--check")
    assert out.splitlines()[0].endswith("derivative  central difference  difference")
    for node in as_json("sin(a)**2*b/(a+b)", "a=1", "b=3", "--check")["nodes"]:
        assert node["central_difference"] == pytest.approx(node["gradient"], rel=1e-8)
        assert node["difference"] == abs(node["central_difference"] - node["gradient"])


def test_check_shows_that_a_kink_is_one(as_json):
    (node, _) = as_json("maximum(a, 2*a)", "a=0", "--check")["nodes"][::2][:2]
    assert node["name"] == "a"
    assert node["gradient"] == pytest.approx(node["central_difference"]) == 1.5


def test_svg_draws_the_graph(run, tmp_path):
    path = tmp_path / "graph.svg"
    code, _, err = run("(a+b)*(b+1)", "a=2", "b=1", "--svg", str(path))
    assert (code, err) == (0, "")
    shown = [text.text for text in ET.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")]
    assert {"a", "b", "v1", "v2", "result", "grad 5.0000"} <= set(shown)


def test_an_input_that_is_not_used_has_derivative_zero(as_json):
    assert as_json("a*a", "a=3", "b=1", "--check")["gradients"] == {"a": 6.0, "b": 0.0}


def test_an_expression_of_one_name_or_one_number(as_json):
    assert as_json("a", "a=3")["gradients"] == {"a": 1.0}
    assert as_json("1+2") == {
        "value": 3.0,
        "gradients": {},
        "nodes": [
            {"name": "result", "expression": "1+2", "operation": None, "operands": [], "value": 3.0, "gradient": 1.0}
        ],
    }


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("a*b", "a=-2", "b=1e-3"), -0.002),
        (("-a", "a=2"), -2.0),
        (("-(-a)**2", "a=-3"), -9.0),
        (("+a", "a=+2"), 2.0),
        (("cos(x)", "x=pi"), -1.0),
        (("ln(e)",), 1.0),
        (("e*2", "e=5"), 10.0),
        (("pow(a,3)+asin(0)+acos(1)+atan(0)", "a=2"), 8.0),
        (("a *\n b\t+ 1", "a = 2", "b= 3"), 7.0),
        (("2**-1", "--check"), 0.5),
        (("é*ﬁ", "é=2", "fi=3"), 6.0),
        (("where(step(a), a, 10*a)", "a=-1"), -10.0),
        (("result+v1*2", "v1=2", "result=1"), 5.0),
    ],
)
def test_expressions_and_values_of_many_kinds(as_json, words, value):
    assert as_json(*words)["value"] == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("option", ["--jsn", "--check=3", "--svg"])
def test_options_that_do_not_exist_are_errors(option, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["a", "a=1", option])
    assert stop.value.code == 2
    assert "autodiff: error:" in capsys.readouterr().err


def test_names_of_steps_avoid_those_of_inputs(as_json):
    names = [node["name"] for node in as_json("result+v1*2", "v1=2", "result=1")["nodes"]]
    assert names == ["v1", "result", "v2", "v3"]


def test_every_elementwise_operation_of_the_table_can_be_called(run):
    fixed = [op for op in REGISTRY.values() if isinstance(op, Elementwise) and op.arity]
    assert len(fixed) >= 50
    for op in fixed:
        operands = [str(min(max(0.3, low + 0.5), high - 0.25)) for low, high in op.domain]
        names = "abc"[: op.arity]
        code, _, err = run(f"{op.name}({','.join(names)})", *map("{}={}".format, names, operands))
        assert (op.name, code, err) == (op.name, 0, "")


# ---- exit code 1: not finite ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("1/x", "x=0"), "the result is inf"),
        (("log(x)", "x=-1"), "the result is nan"),
        (("exp(x)", "x=1e9"), "the result is inf"),
        (("sqrt(x)", "x=0"), "the derivative by x is inf"),
        (("x", "x=1e999"), "the result is inf"),
    ],
)
def test_what_is_not_finite_gives_exit_code_1(run, words, complaint):
    code, out, err = run(*words)
    assert code == 1
    assert complaint in err
    assert out.startswith("name")


def test_json_has_null_for_what_is_not_finite(run):
    code, out, _ = run("1/x", "x=0", "--json", "--check")
    assert code == 1
    assert json.loads(out, parse_constant=pytest.fail)["value"] is None


# ---- exit code 2: the message has the column and the remedy -----------------------------------------------------


@pytest.mark.parametrize(
    ("words", "column", "remedy"),
    [
        (("(a+bb)*b", "a=2", "b=1"), 4, "did you mean 'b'?"),
        (("(a+c)*b", "a=2", "b=1"), 4, "give it a value: c=1"),
        (("é+ß*x", "é=2", "ß=1"), 5, "give it a value: x=1"),
        (("a^2", "a=2"), 2, "write ** instead"),
        (("(é) ^ 2", "é=2"), 5, "write ** instead"),
        (("a//2", "a=2"), 2, "floor(a / b)"),
        (("a%2", "a=2"), 2, "floor(a / b)"),
        (("2*sinn(a)", "a=2"), 3, "did you mean 'sin'?"),
        (("2*foo(a)", "a=2"), 3, "autodiff --help lists them"),
        (("sin(a, a)", "a=2"), 1, "sin takes 1 argument, got 2"),
        (("hypot(a)", "a=2"), 1, "hypot takes 2 arguments, got 1"),
        (("sin(x=a)", "a=2"), 1, "without a name"),
        (("sin(*a)", "a=2"), 5, "one by one"),
        (("1+sin", "a=2"), 3, "write sin(...)"),
        (("a(2)", "a=2"), 1, "write products with *"),
        (("(a)(2)", "a=2"), 1, "write products with *"),
        (("math.sin(a)", "a=2"), 1, "write sin(x), not math.sin(x)"),
        (("2a", "a=2"), 1, "write a product with *"),
        (("a b", "a=2", "b=2"), 3, "is an operator missing"),
        (("a*", "a=2"), 3, "is an operator missing"),
        (("(a+1", "a=2"), 1, "balance the brackets"),
        (("a+1)", "a=2"), 4, "balance the brackets"),
        (("1,5",), 1, "write 1.5"),
        (("a<1", "a=2"), 1, "maximum"),
        (("a if a else 2", "a=2"), 1, "where"),
        (("a=2",), 2, "after the expression"),
        (("",), 1, "an example: (a+b)*(b+1) a=2 b=1"),
        (("'a'",), 1, "use numbers, names"),
        (("2j",), 1, "use numbers, names"),
        (("True",), 1, "use numbers, names"),
        (("a", "a=2x"), 3, "write a product with *"),
        (("a", "a="), 3, "something is missing"),
        (("a", "a=b"), 3, "a value is made of numbers, pi and e"),
        (("a", "3=b"), 1, "cannot be a name"),
        (("a", "if=2"), 1, "cannot be a name"),
        (("a", "a=1", "a=2"), 1, "give it only once"),
        (("a", "+", "b"), 1, "needs quotes"),
        (("a**(10**7)", "a=2"), 1, "the exponent is larger than 1e+06"),
        (("1" + 400 * "0",), 1, "too large"),
        (("a\x00", "a=2"), 2, "remove it"),
        (("a+\ud800", "a=2"), 3, "remove it"),
        (("nosuchcommand",), 1, "pip install the package that brings it"),
    ],
)
def test_errors_name_the_column_and_the_remedy(run, words, column, remedy):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"autodiff: column {column}")
    assert remedy in err


def test_the_caret_stands_under_the_column(run):
    for expression in ("(a+bb)", "é+" * 50 + "bb"):
        _, _, err = run(expression, "a=1", "é=1")
        _, line, caret = err.rstrip("\n").split("\n")
        assert line[caret.index("^") :].startswith("bb")


def test_nothing_given_shows_the_help(run):
    code, out, _ = run()
    assert code == 2
    assert "arctan2" in out
    assert "usage: autodiff" in out


def test_a_picture_that_cannot_be_written_is_an_error(run, tmp_path):
    code, _, err = run("a", "a=1", "--svg", str(tmp_path / "missing" / "graph.svg"))
    assert code == 2
    assert "No such file" in err


def test_messages_contain_nothing_that_a_terminal_obeys(run):
    _, _, err = run("a", "\x1b[2J=1")
    assert "\x1b" not in err
    _, _, err = run("\x1b[2J")
    assert "\x1b" not in err


# ---- limits -----------------------------------------------------------------------------------------------------


@pytest.mark.promise(26)
@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("a" + " " * 9_998 + "\n", True),
        ("a*" * 5_000 + "a", False),
        ("+".join(["a"] * 100), True),
        ("+".join(["a"] * 101), False),
        ("sin(" * 99 + "a" + ")" * 99, True),
        ("sin(" * 100 + "a" + ")" * 100, False),
        ("(" * 150 + "a" + ")" * 150, True),
        ("(" * 4_000 + "a" + ")" * 4_000, False),
        ("-" * 9_999 + "a", False),
        ("+".join(["a"] * 4_999), False),
        ("a**" * 3_000 + "a", False),
        ("maximum(" * 1_000, False),
        ("[" * 5_000, False),
        ("+".join("(" + "+".join(["a"] * 39) + ")" for _ in range(25)), True),  # 1 949 numbers and operations
        ("+".join("(" + "+".join(["a"] * 39) + ")" for _ in range(27)), False),
    ],
)
def test_long_and_deep_expressions_are_refused_in_time(run, expression, accepted):
    code, _, err = run(expression, "a=0.001")
    assert code == (0 if accepted else 2)
    assert accepted or any(word in err for word in ("deeper", "longer", "more than", "brackets"))


def test_limits_hold_under_a_low_recursion_limit():
    code = """if True:
        import sys
        from autodiff.cli import main
        sys.setrecursionlimit(200)
        sys.exit(main(["sin(" * 99 + "a" + ")" * 99, "a=1", "--json"]))
    """
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stderr == ""


@pytest.mark.promise(26)
def test_constant_exponents_up_to_a_million(run):
    assert run("a**1e6", "a=1.000001")[0] == 0
    assert run("a**1000001", "a=1.000001")[0] == 2
    assert run("a**b", "a=1.0", "b=1e7")[0] == 0  # an input is no constant


@pytest.mark.promise(26)
@pytest.mark.parametrize(
    "attack",
    [
        "__import__('os').system('echo')",
        "().__class__.__bases__[0].__subclasses__()",
        "[x for x in (1,2)]",
        "(lambda: 1)()",
        "eval('1')",
        "exec('1')",
        "open('file')",
        "f'{1}'",
        "a.__class__",
        "(a:=1)",
        "await_(1)",
        "{1: 2}",
        "9**9**9**9",
    ],
)
def test_nothing_but_arithmetic_is_let_through(run, attack):
    code, out, _ = run(attack, "a=1")
    assert (code, out) == (2, "")


# ---- drawn expressions ------------------------------------------------------------------------------------------

POINT = {"a": 0.5, "b": -1.25, "c": 3.0}
LEAVES = st.sampled_from(
    [("a", lambda a, b, c: a), ("b", lambda a, b, c: b), ("c", lambda a, b, c: c), ("1.5", lambda a, b, c: 1.5)]
)
TWO = {
    "+": lambda f, g: lambda *x: f(*x) + g(*x),
    "-": lambda f, g: lambda *x: f(*x) - g(*x),
    "*": lambda f, g: lambda *x: f(*x) * g(*x),
    "/": lambda f, g: lambda *x: f(*x) / g(*x),
}
ONE = {"sin": math.sin, "tanh": math.tanh, "arctan": math.atan, "cos": math.cos, "exp": math.exp}


def combined(parts):
    """Draw an operation on drawn expressions: its text, and the same as a Python function made without parsing."""

    def binary(drawn):
        symbol, (left, f), (right, g) = drawn
        return f"({left}{symbol}{right})", TWO[symbol](f, g)

    def unary(drawn):
        name, (inner, f) = drawn
        return f"{name}({inner})", lambda *x: ONE[name](f(*x))

    return (
        st.tuples(st.sampled_from(sorted(TWO)), parts, parts).map(binary)
        | st.tuples(st.sampled_from(sorted(ONE)), parts).map(unary)
        | parts.map(lambda drawn: (f"-({drawn[0]})", lambda *x: -drawn[1](*x)))
    )


def slope(f, i, h):
    """Return the derivative of f by its i-th argument as a difference of step h."""
    up, down = list(POINT.values()), list(POINT.values())
    up[i] += h
    down[i] -= h
    return (f(*up) - f(*down)) / (up[i] - down[i])


@given(st.recursive(LEAVES, combined, max_leaves=12))
def test_values_are_those_of_python_and_derivatives_those_of_differences(drawn):
    text, f = drawn
    try:
        expected = f(*POINT.values())
        slopes = [(slope(f, i, 1e-5), slope(f, i, 2e-5)) for i in range(3)]
    except ArithmeticError:  # Python raises where IEEE arithmetic has inf and nan
        assume(False)
    assume(abs(expected) < 1e3)
    inputs = cli._inputs([f"{name}={x}" for name, x in POINT.items()])
    root, _ = cli._Reader(text, inputs).read()
    root.backward()
    assert root.data == pytest.approx(expected, rel=1e-12, abs=1e-12)
    for x, (fine, coarse) in zip(inputs.values(), slopes, strict=True):
        if abs(fine - coarse) <= 1e-6 * max(1.0, abs(fine)):  # where the differences can be trusted
            assert x.grad == pytest.approx(fine, rel=1e-5, abs=1e-5)


CHARACTERS = "ab12.+-*/()^,=e _'\"\\[]{}<>!@#%&|~:;\n\té∂日\x00\ud800\x1b"


def test_expressions_with_typing_errors_never_give_a_traceback(run):
    random_ = random.Random(0)
    seeds = ["(a+b)*(b+1)", "sin(a)**2+hypot(a, b)", "-a*log(b/2)", "where(step(a), clip(a, 0, 1), exp(-b))", "a**b"]
    codes = []
    for _ in range(600):
        text = list(random_.choice(seeds))
        for _ in range(random_.randint(1, 4)):
            at = random_.randrange(len(text) + 1)
            text[at : at + random_.randint(0, 2)] = random_.choices(CHARACTERS, k=random_.randint(0, 3))
        mutated = "".join(text)
        try:
            code, out, err = run(mutated, f"a={random_.choice(['2', '-1', '1e308', '0'])}", "b=1")
        except SystemExit as stop:  # argparse stops so when it meets an unknown option
            assert mutated.startswith("--")
            code, out, err = stop.code, "", "column"
        codes.append(code)
        assert code in (0, 1, 2)
        assert "Traceback" not in out + err
        assert code != 2 or ("column" in err and not out)
    assert codes.count(0) > 20
    assert codes.count(2) > 200


@pytest.mark.promise(26)
@given(st.text(st.characters(), max_size=30), st.text(st.characters(), max_size=10))
def test_any_text_is_read_or_refused(text, value):
    try:
        root, _ = cli._Reader(text, cli._inputs([f"a={value}"])).read()
    except ExpressionError as error:
        shown = str(error)
    else:
        shown = f"column of {root.data:f}"
    assert shown.startswith("column ")


def test_every_function_at_extreme_values_gives_a_number_or_a_message(run):
    for name, op in cli._functions().items():
        for values in (["1e300", "-1e300", "1e300"], ["0", "0", "0"], ["-1e308", "1e308", "5e-324"]):
            names = "abc"[: op.arity]
            code, _, err = run(f"{name}({','.join(names)})", *map("{}={}".format, names, values))
            assert code in (0, 1) or "column" in err


# ---- the command ------------------------------------------------------------------------------------------------


def test_python_m_autodiff_is_the_command():
    command = [sys.executable, "-W", "error", "-m", "autodiff"]
    ran = subprocess.run([*command, "a*b", "a=2", "b=4", "--json"], check=True, capture_output=True, text=True)
    assert json.loads(ran.stdout)["gradients"] == {"a": 4.0, "b": 2.0}
    ran = subprocess.run([*command, "a*x", "a=2"], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")


def test_a_terminal_without_unicode_gets_escapes():
    command = [sys.executable, "-m", "autodiff", "β*β", "β=2"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(command, check=True, capture_output=True, env=environment)
    assert rb"\u03b2" in ran.stdout


class Lent:
    """What importlib.metadata finds of a package that lends a command."""

    @staticmethod
    def load():
        return lambda words: len(words)


def test_other_packages_lend_commands(monkeypatch, run):
    def entry_points(*, group, name):
        return [Lent()] if (group, name) == ("autodiff.commands", "count") else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert run("count", "one", "--two", "3")[0] == 3
    assert run("a", "a=1")[0] == 0
