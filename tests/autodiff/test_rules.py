"""Every elementwise row of the table: its derivatives of three orders, its broadcasting, its kernels' agreement.

The tests walk the registry, so an operation cannot be added without being tested.
"""

import ast
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor, Value, grad
from autodiff import sum as ad_sum

from . import kink_table
from .elementwise_cases import CASES, CLEARANCE, ROWS, clear_of_kinks, draw
from .numeric import (
    SECOND_ZERO,
    assert_close,
    assert_within_ulps,
    complex_step,
    derivative,
    forward_along,
    gradients,
    on_grid,
    reverse_by,
    six_point,
)

EXAMPLES = 400  # drawn points per operation; 200 are promised

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
SEVERAL = {name: case for name, case in CASES.items() if len(case.domain) > 1}
each_of_several = pytest.mark.parametrize("case", SEVERAL.values(), ids=SEVERAL)

# Inputs at which kernels for floats and for arrays have differed in other libraries
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, np.inf, -np.inf, np.nan, 1e308, -1e308, 1e-308, -1e-308, 5e-324, 40.0]


def paths(arity, order):
    """Return the operands to differentiate by, one after the other; mixed orders once."""
    return itertools.combinations_with_replacement(range(arity), order)


# ---- derivatives ---------------------------------------------------------------------------------------------------


def check_first_order(case, xs, figure):
    """Reverse mode against the complex step at 1e-12, or the six-point difference at 1e-7."""
    for i, got in enumerate(gradients(case.call, xs)):
        label = f"{case.name} by operand {i}"
        if case.complex_kernel is not None:
            share = assert_close(got, complex_step(case.complex_kernel, xs, i), 1e-12, label=label)
            figure("relative error of the first derivative against the complex step", share * 1e-12, 1e-12)
        else:
            expected, noise = six_point(case.call, xs, i)
            share = assert_close(got, expected, 1e-7, noise, label=label)
            figure(
                "error of the first derivative / (1e-7 of it + rounding noise of the six-point difference)", share, 1
            )


@pytest.mark.promise(2)
@each_case
def test_first_derivative_is_that_of_the_kernel(case, figure):
    check_first_order(case, draw(case, EXAMPLES), figure)


@pytest.mark.promise(2)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.complex_kernel is not None])
def test_first_derivative_is_exact_close_to_the_border_of_the_domain_and_far_out(name, figure):
    check_first_order(CASES[name], draw(CASES[name], EXAMPLES, margin=1e-3, largest=200.0), figure)


@pytest.mark.promise(2)
@each_case
@settings(max_examples=25)
@given(data=st.data())
def test_first_derivative_holds_for_whatever_hypothesis_finds(case, figure, data):
    bounds = [(max(low, -30.0) + CLEARANCE, min(high, 30.0) - CLEARANCE) for low, high in case.domain]
    point = st.tuples(*(st.floats(low, high) for low, high in bounds))
    points = data.draw(st.lists(point, min_size=1, max_size=8))
    xs = [on_grid(column) for column in zip(*points, strict=True)]
    clear = clear_of_kinks(case, xs)
    check_first_order(case, [x[clear] for x in xs], figure)


@pytest.mark.promise(3)
@each_case
def test_second_derivative_is_the_difference_of_the_first(case, figure):
    xs = draw(case, EXAMPLES)
    for i, j in paths(len(xs), 2):
        expected, noise = six_point(lambda *at, i=i: derivative(case.call, at, (i,)), xs, j)
        got = derivative(case.call, xs, (i, j))
        share = assert_close(got, expected, 1e-6, noise, label=f"{case.name} by operands {i}, {j}")
        figure("error of the second derivative / (1e-6 of it + rounding noise of the difference)", share, 1)
        swapped = derivative(case.call, xs, (j, i))
        assert_close(swapped, got, 1e-12, 1e-300 + 1e-14 * np.abs(derivative(case.call, xs, (i,))), label="mixed")


@pytest.mark.promise(3)
@each_case
def test_third_derivative_is_the_difference_of_the_second(case, figure):
    xs = draw(case, EXAMPLES)
    for path in paths(len(xs), 3):
        expected, noise = six_point(lambda *at, path=path: derivative(case.call, at, path[:2]), xs, path[2])
        got = derivative(case.call, xs, path)
        share = assert_close(got, expected, 1e-4, noise, label=f"{case.name} by operands {path}")
        figure("error of the third derivative / (1e-4 of it + rounding noise of the difference)", share, 1)


@pytest.mark.promise(6)
@each_case
def test_forward_mode_is_reverse_mode(case, figure):
    xs = draw(case, EXAMPLES)
    directions = [np.cos(x + i) for i, x in enumerate(xs)]
    terms = [g * t for g, t in zip(gradients(case.call, xs), directions, strict=True)]
    for i, term in enumerate(terms):
        alone = [t if k == i else None for k, t in enumerate(directions)]
        share = assert_close(forward_along(case.call, xs, alone), term, 1e-14, label=f"{case.name} along operand {i}")
        figure("relative difference of forward and reverse mode", share * 1e-14, 1e-14)
    size = sum(np.abs(term) for term in terms)
    share = assert_close(forward_along(case.call, xs, directions), sum(terms), 0.0, 1e-14 * size, label=case.name)
    figure("relative difference of forward and reverse mode", share * 1e-14, 1e-14)


# ---- shapes --------------------------------------------------------------------------------------------------------

SIDES = [shape for n in range(3) for shape in itertools.product((0, 1, 2, 3), repeat=n)]
FEW_SIDES = [(), (1,), (3,), (0,), (2, 1), (2, 3), (1, 0)]


def broadcastable(shapes):
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def summed_to(g, shape):
    """Sum a gradient over the axes along which a shape was broadcast, one axis at a time."""
    while g.ndim > len(shape):
        g = np.sum(g, axis=0)
    for axis, n in enumerate(shape):
        if n == 1 and g.shape[axis] != 1:
            g = np.sum(g, axis=axis, keepdims=True)
    return g


@pytest.mark.promise(7)
@each_of_several
def test_gradient_of_a_broadcast_operand_is_the_sum_over_its_copies(case, figure):
    arity = len(case.domain)
    checked = 0
    for shapes in itertools.product(SIDES if arity == 2 else FEW_SIDES[: 7 if arity == 3 else 3], repeat=arity):
        big = broadcastable(shapes)
        if big is None:
            continue
        checked += 1
        xs = [x.reshape(shape) for x, shape in zip(scattered(case, shapes), shapes, strict=True)]
        seed = np.cos(np.arange(np.prod(big, dtype=int))).reshape(big)
        got = gradients(case.call, xs, seed)
        wide = gradients(case.call, [np.broadcast_to(x, big).copy() for x in xs], seed)
        for x, g, each in zip(xs, got, wide, strict=True):
            assert g.shape == x.shape
            assert g.dtype == x.dtype
            expected = summed_to(each, x.shape)
            noise = 1e-13 * np.max(np.abs(each), initial=0)
            share = assert_close(g, expected, 1e-13, noise, label=f"{case.name} {shapes}")
            figure("difference from the sum over the copies / (1e-13 of it + 1e-13 of the largest)", share, 1)
    assert checked >= 60


def scattered(case, shapes):
    """Return one flat array an operand, as long as its shape asks; broadcast points need not be clear of kinks."""
    points = draw(case, max(int(np.prod(shape)) for shape in shapes) or 1)
    return [x[: int(np.prod(shape))] for x, shape in zip(points, shapes, strict=True)]


@pytest.mark.promise(10)
@each_of_several
def test_operands_that_do_not_broadcast_raise_what_numpy_raises(case, figure):
    shapes = [(2,), (3,), *[()] * (len(case.domain) - 2)]
    xs = [np.ones(shape) for shape in shapes]
    for operands in (xs, [Tensor(x) for x in xs]):
        with pytest.raises(ValueError, match=r"\(2,\)"):
            case.call(*operands)
        figure("call refused with NumPy's kind of error")


# ---- the same operand twice; constants -----------------------------------------------------------------------------


def diagonal_points(case):
    """Return points x at which f(x, x, ...) is inside the domain."""
    low = max(max(low for low, _ in case.domain), -4.0) + CLEARANCE
    high = min(min(high for _, high in case.domain), 4.0) - CLEARANCE
    return on_grid(np.random.default_rng(3).uniform(low, high, 50))


TWICE = {
    name: case for name, case in SEVERAL.items() if max(a for a, _ in case.domain) < min(b for _, b in case.domain)
}


@pytest.mark.parametrize("case", TWICE.values(), ids=TWICE)
def test_an_operand_given_several_times_receives_the_sum_over_its_places(case):
    x = diagonal_points(case)
    count = len(case.domain)
    (got,) = gradients(lambda x: case.call(*[x] * count), [x])
    assert_close(got, sum(gradients(case.call, [x] * count)), 1e-14, 1e-14, label=case.name)
    if case.name not in ("where", "clip"):  # at x = x they jump or have a kink
        expected, noise = six_point(lambda x: case.call(*[x] * count), [x], 0)
        assert_close(got, expected, 1e-7, noise + 1e-11, label=case.name)
    value = Value(float(x[0]))
    case.call(*[value] * count).backward()
    assert_close(value.grad, got[0], 1e-14, 1e-14, label=case.name)


@each_of_several
@pytest.mark.parametrize("kind", [Value, Tensor])
def test_constant_operands_give_the_same_and_are_not_recorded(case, kind):
    points = [x[:1] for x in draw(case, 1)] if kind is Value else draw(case, 20)
    xs = [float(x[0]) for x in points] if kind is Value else points
    everything = [kind(x) for x in xs]
    expected = reverse_by(case.call(*everything), everything)
    for active in range(len(xs)):
        node = kind(xs[active])
        y = case.call(*[node if i == active else x for i, x in enumerate(xs)])
        if case.name != "where":  # its condition is a constant operand too, and there is no node for it
            assert y.parents == (node,)
        assert_close(y.data, case.call(*xs), 0.0, label=f"{case.name}, node at {active}")
        assert_close(reverse_by(y, [node])[0], expected[active], 0.0, label=f"{case.name}, node at {active}")


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.arity in (2, 3)])
def test_no_gradient_is_computed_for_a_constant(name, monkeypatch):
    row, case = ROWS[name], CASES[name]
    xs = draw(case, 5)
    for active in range(len(xs)):
        node = Tensor(xs[active])
        y = row(*[node if i == active else x for i, x in enumerate(xs)])
        (expected,) = reverse_by(y, [node])

        def refuse(*_, **__):
            raise AssertionError("a partial was computed for a constant")

        with monkeypatch.context() as patch:
            patch.setattr(row, "partials", [p if i == active else refuse for i, p in enumerate(row.partials)])
            assert_close(reverse_by(y, [node])[0], expected, 0.0)


OPERATORS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "power": lambda a, b: a**b,
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("kind", [Value, Tensor])
@pytest.mark.parametrize("number", [3, 3.0, np.float64(3.0), np.float32(3.0), np.int64(3), True, np.array(3.0)])
def test_operators_take_numbers_on_either_side(name, kind, number):
    apply, row = OPERATORS[name], ROWS[name]
    if kind is Value and isinstance(number, np.ndarray):
        number = number[()]
    for x, y in ((node := kind(2.0), apply(node, number)), (node := kind(2.0), apply(number, node))):
        assert type(y) is kind
        first = y.operands[0] is x
        pair = (2.0, float(number)) if first else (float(number), 2.0)
        y.backward()
        assert_within_ulps(y.data, row(*pair), 1)
        expected = gradients(row, [np.array(v) for v in pair])[0 if first else 1]
        assert_within_ulps(x.grad, expected, 2)


# ---- a float, a 0-d array, a Value and a 0-d Tensor are one thing --------------------------------------------------


def special_points(case):
    """Return every special number, or every combination of a few for several operands."""
    numbers = SPECIAL if len(case.domain) < 3 else [0.0, -0.0, 1.5, -1.0, np.inf, -np.inf, np.nan, 1e308]
    if len(case.domain) > 3:
        return [tuple(np.roll(numbers, k)[: len(case.domain)].tolist()) for k in range(len(numbers))]
    return itertools.product(numbers, repeat=len(case.domain))


@pytest.mark.promise(5)
@each_case
def test_a_float_and_a_0d_array_give_the_same_value_and_gradient_everywhere(case, figure):
    with np.errstate(all="ignore"):
        for point in [*special_points(case), *zip(*[x.tolist() for x in draw(case, 50)], strict=True)]:
            label = f"{case.name}{point}"
            as_float = case.call(*point)
            as_array = case.call(*map(np.array, point))
            values, tensors = [*map(Value, point)], [*map(Tensor, point)]
            v, t = case.call(*values), case.call(*tensors)
            assert type(as_float) is float
            assert type(as_array) is np.ndarray
            assert type(v.data) is float
            assert type(t.data) is np.ndarray
            for other in (as_array, v.data, t.data):
                figure("units in the last place between values", assert_within_ulps(as_float, other, 2, label=label), 2)
            v.backward()
            t.backward()
            for i, (a, b) in enumerate((x.grad, z.grad) for x, z in zip(values, tensors, strict=True)):
                assert type(a) is float
                assert type(b) is np.ndarray
                # four operations of half an ulp or more each, of which some cancel: not quite 2 ulp
                distance = assert_within_ulps(a, b, 8, label=f"gradient {i} of {label}")
                figure("units in the last place between gradients", distance, 8)


@pytest.mark.promise(5)
@pytest.mark.skipif(not SECOND_ZERO, reason="on this processor NumPy's maximum of 0.0 and -0.0 is not the second")
@each_case
def test_a_zero_has_the_same_sign_for_a_float_and_an_array(case, figure):
    with np.errstate(all="ignore"):
        for point in special_points(case):
            as_float, as_array = case.call(*point), case.call(*map(np.array, point))
            if as_float == 0:
                assert np.signbit(as_float) == np.signbit(as_array), f"{case.name}{point}"
                figure("zero with the same sign for a float and an array")


@pytest.mark.promise(5)
@each_case
def test_second_derivative_of_a_value_is_that_of_a_tensor(case, figure):
    xs = draw(case, 10)
    for i, j in paths(len(xs), 2):
        expected = derivative(case.call, xs, (i, j))
        for n, point in enumerate(zip(*[x.tolist() for x in xs], strict=True)):
            values = [*map(Value, point)]
            (first,) = reverse_by(case.call(*values), [values[i]], on_nodes=True)
            second = reverse_by(first, [values[j]], on_nodes=True)[0] if isinstance(first, Value) else 0.0
            got = second.data if isinstance(second, Value) else second
            share = assert_close(np.asarray(got), expected[n], 1e-12, 1e-15, label=f"{case.name} by {i}, {j}")
            figure("difference of second derivatives / (1e-12 of them + 1e-15)", share, 1)


@pytest.mark.promise(7)
@each_case
def test_float32_stays_float32_and_agrees_with_float64(case, figure):
    xs = [x.astype(np.float32) for x in draw(case, EXAMPLES, largest=4.0)]
    wide = [x.astype(np.float64) for x in xs]
    nodes = [Tensor(x) for x in xs]
    y = case.call(*nodes)
    assert y.data.dtype == np.float32
    # 24 bits are 6e-8; the derivatives condition that by up to some hundred at these points
    assert_close(y.data, case.call(*wide), 2e-5, 1e-6, label=case.name)
    for got, expected in zip(reverse_by(y, nodes), gradients(case.call, wide), strict=True):
        assert got.dtype == np.float32
        share = assert_close(got, expected, 5e-5, 1e-6, label=case.name)
        figure("error of a float32 gradient / (5e-5 of it + 1e-6)", share, 1)


@pytest.mark.promise(7)
@pytest.mark.parametrize("number", [2.0, np.float64(2.0), 2, np.array(2.0)])
def test_a_number_does_not_widen_float32(number):
    x = Tensor(np.array([1.0, 2.0], dtype=np.float32))
    y = (x * 3.0 + number) / 7.0 if not isinstance(number, np.ndarray) else x * 3.0
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32


# ---- kinks: promises.md, section 2 ---------------------------------------------------------------------------------

each_kink = pytest.mark.parametrize("kink", kink_table.KINKS, ids=[f"{k.name} at {k.at}" for k in kink_table.KINKS])


# Reductions of arrays have no Value form
KINDS = [
    (kink, kind) for kink in kink_table.KINKS for kind in (Value, Tensor) if kind is Tensor or not kink.arrays_only
]


@pytest.mark.promise(8)
@pytest.mark.parametrize(
    ("kink", "kind"), KINDS, ids=[f"{kink.name} at {kink.at}, {kind.__name__}" for kink, kind in KINDS]
)
def test_the_derivative_at_a_kink_is_the_convention(kink, kind, figure):
    with np.errstate(all="ignore"):
        nodes = [kind(x) for x in kink.at]
        y = kink.call(*nodes)
        for got, expected in zip(reverse_by(y, nodes), kink.gradient, strict=True):
            distance = assert_within_ulps(got, np.asarray(expected, dtype=float), 2, label=kink.name)
            figure("units in the last place from the convention", distance, 2)


@pytest.mark.promise(8)
@each_kink
def test_grad_of_plain_numbers_is_the_same_convention(kink, figure):
    """By `autodiff.grad`, with plain numbers or arrays in and out."""
    with np.errstate(all="ignore"):
        at = [np.array(x) if kink.arrays_only else x for x in kink.at]
        total = lambda *xs: ad_sum(kink.call(*xs)) if kink.arrays_only else kink.call(*xs)
        for i, expected in enumerate(kink.gradient):
            got = grad(total, argnums=i)(*at)
            assert isinstance(got, np.ndarray if kink.arrays_only else float)
            distance = assert_within_ulps(got, np.asarray(expected, dtype=float), 2, label=kink.name)
            figure("units in the last place from the convention", distance, 2)


@pytest.mark.promise(8)
@pytest.mark.parametrize("row", kink_table.HIGHER, ids=[row[0] for row in kink_table.HIGHER])
def test_second_and_third_derivatives_at_a_kink_are_the_convention(row, figure):
    _, f, at, second, third = row
    for x in (np.array(at), np.array([at, at])):
        for path, expected in (((0, 0), second), ((0, 0, 0), third)):
            distance = assert_within_ulps(derivative(f, [x], path), np.full(x.shape, expected))
            figure("units in the last place from the convention", distance, 2)


@pytest.mark.parametrize("a", [1.0, 2.5, 1e-3])
def test_the_derivative_of_a_power_by_base_and_exponent_is_there_at_exponent_0(a):
    """d2/da db a**b = a**(b-1) * (1 + b*log(a)), 1/a at b = 0, although d/da is 0 there."""
    xs = [np.array(a), np.array(0.0)]
    for path in ((0, 1), (1, 0)):
        assert_within_ulps(derivative(ROWS["power"], xs, path), np.array(1.0 / a))


def test_clip_between_equal_bounds_is_constant_in_x_and_has_slope_1_in_both_bounds():
    for x in (-1.0, 0.0, 1.0):
        slopes = [float(g) for g in gradients(ROWS["clip"], [np.array(x), np.array(0.0), np.array(0.0)])]
        assert slopes == [0.0, 0.0, 1.0]


# ---- count ---------------------------------------------------------------------------------------------------------


# ---- the language of the rules: design.md, section 2 ---------------------------------------------------------------

SHAPE_ARITHMETIC = {"shape_of", "reduced_size", "range", "len"}  # calls inside which operands are only measured
CONSTANTS = {"zeros", "ones", "eye", "arange"}  # NumPy's makers of constants, whose argument is a shape


# The plain answer of a predicate may be counted; there is no derivative to lose
EXEMPT = {("_ties", "np.sum")}


def rules_of(tree):
    """Yield every rule: a function of y (a partial, a weight), of g and y (a pullback), t and y (a pushforward)."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Lambda, ast.FunctionDef)):
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
            if names[:1] == ["y"] or (names[1:2] == ["y"] and names[0] in ("g", "t", "ts")):
                yield node, {*names, *([node.args.vararg.arg] if node.args.vararg else [])}


def mentions(node, names):
    """Whether an expression computes with one of the names; measuring its shape is not computing with it."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SHAPE_ARITHMETIC:
        return False
    if isinstance(node, ast.Name):
        return node.id in names
    return any(mentions(child, names) for child in ast.iter_child_nodes(node))


def offences(tree):
    found = []
    for rule, operands in rules_of(tree):
        for node in ast.walk(rule):
            if isinstance(node, ast.Attribute) and node.attr in ("data", "_data"):
                found.append(f"{node.lineno}: .{node.attr}")
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "math"):
                call = f"{node.value.id}.{node.attr}"
                constant = node.attr in CONSTANTS or call in ("math.sqrt", "math.pi")
                if not constant and (getattr(rule, "name", ""), call) not in EXEMPT:
                    found.append(f"{node.lineno}: {call}")
            raising = isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Div, ast.Pow, ast.FloorDiv, ast.Mod))
            if raising and mentions(node, operands):
                found.append(f"{node.lineno}: a bare {type(node.op).__name__}")
    return sorted(found)


@pytest.mark.parametrize("name", ["rules", "array_rules"])
def test_rules_speak_verbs(name, root):
    """No .data and no np., which would cut the graph; no bare / or **, which raise for floats where arrays give inf."""
    tree = ast.parse((root / "autodiff" / f"{name}.py").read_text(encoding="utf-8"))
    assert sum(1 for _ in rules_of(tree)) >= 20
    assert offences(tree) == []


def test_the_search_for_offences_finds_planted_ones():
    planted = "f = lambda y, x: np.cos(x)\ng = lambda y, x: 1.0 / x\ndef h(g, y, x):\n    return g * x.data ** 2\n"
    assert offences(ast.parse(planted)) == ["1: np.cos", "2: a bare Div", "4: .data", "4: a bare Pow"]
    allowed = "f = lambda y, x, *, axis=None: 1.0 / (reduced_size(shape_of(x), axis) or 1)\nk = lambda x: np.cos(x)\n"
    assert offences(ast.parse(allowed)) == []


@pytest.mark.promise(1, 2)
def test_every_elementwise_row_is_a_case_and_their_number_does_not_fall(figure):
    assert set(ROWS) <= set(CASES)
    per_case = [
        name for name, test in globals().items() if name.startswith("test_") and "case" in test.__code__.co_varnames
    ]
    checks = len(per_case) * len(CASES) + len(KINDS) + len(kink_table.KINKS)
    line = f"{len(ROWS)} elementwise rows, {len(CASES)} cases, {checks} checks on {EXAMPLES} drawn points a case"
    print(f"\n{line}")
    figure(line)
    assert len(ROWS) >= 55
    assert len(CASES) >= 68
    assert len(kink_table.KINKS) >= 60
    assert checks >= 1000
    assert EXAMPLES >= 200
