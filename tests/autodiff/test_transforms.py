"""grad, jvp, hessian and the like: over plain functions, nested containers, and over each other."""

import inspect
from collections import OrderedDict
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import (
    SeedError,
    ShapeError,
    Tensor,
    Value,
    elementwise_grad,
    grad,
    gradients,
    hessian,
    hvp,
    jacobian,
    jvp,
    no_grad,
    value_and_grad,
    vjp,
)
from autodiff.node import MODES

D = grad  # the mathematicians' name, for the formulas below


# ---- nesting without confusing levels ---------------------------------------------------------------------------------


def forward(f):
    """Return the derivative of a function of one number by forward mode."""
    return lambda x: jvp(f, (x,), (1.0,))[1]


def reverse(f):
    """Return the derivative of a function of one number by a pulled-back 1."""
    return lambda x: vjp(f, x)[1](1.0)[0]


MODES_OF_D = {"grad": grad, "forward": forward, "reverse": reverse, "elementwise": elementwise_grad, "jacobian": jacobian}
outer_and_inner = pytest.mark.parametrize("inner", MODES_OF_D.values(), ids=MODES_OF_D)


@pytest.mark.parametrize("outer", MODES_OF_D.values(), ids=MODES_OF_D)
@outer_and_inner
class TestConfusion:
    """Well-known programs that confuse engines which tag only the innermost level, in every pair of modes."""

    def test_x_times_the_derivative_of_x_plus_y(self, outer, inner):
        """An engine that confuses levels says 2."""
        assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0

    def test_x_times_the_derivative_of_x_times_y(self, outer, inner):
        assert outer(lambda x: x * inner(lambda y: x * y)(2.0))(3.0) == 6.0

    def test_the_outer_variable_is_also_the_inner_point(self, outer, inner):
        """The inner derivative of y*y*x at y = x is 2*x*x."""
        assert outer(lambda x: inner(lambda y: y * y * x)(x))(3.0) == 12.0

    def test_the_inner_function_ignores_its_argument(self, outer, inner):
        assert outer(lambda x: inner(lambda y: x * x)(x) + x)(3.0) == 1.0

    def test_an_outer_intermediate_result_is_captured(self, outer, inner):
        """z = x**2; d/dx of d/dy(z**2 * y) is d/dx x**4."""

        def f(x):
            z = x * x
            return inner(lambda y: z * z * y)(5.0)

        assert outer(f)(2.0) == 32.0


def test_three_levels():
    assert D(lambda x: D(lambda y: D(lambda z: x * y * z)(3.0))(2.0))(1.0) == 1.0
    assert D(lambda x: x * D(lambda y: y * D(lambda z: x * y * z)(3.0))(2.0))(1.0) == 8.0  # x * 2*x*y at y = 2


@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_of_a_power_to_any_order(order):
    f, expected = (lambda x: x**5), 1.0
    for k in range(order):
        f, expected = D(f), expected * (5 - k)
    assert f(2.0) == expected * 2.0 ** (5 - order)


# ---- closed forms ------------------------------------------------------------------------------------------------------


def tanh_derivative(x, order):
    """Return the derivative of tanh at a float, in 60-digit arithmetic: it is an integer polynomial in t = tanh(x).

    p0 = t and p(n+1) = p'(n) * (1 - t**2), by the chain rule.
    """
    p = [0, 1]
    for _ in range(order):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [a - b for a, b in zip([*slope, 0, 0], [0, 0, *slope], strict=True)]
    with localcontext() as context:
        context.prec = 60
        e = (2 * Decimal(x)).exp()
        t = (e - 1) / (e + 1)
        total = Decimal(0)
        for c in reversed(p):
            total = total * t + c
        return float(total)


def test_the_closed_form_itself():
    assert tanh_derivative(0.0, 1) == 1.0
    assert [tanh_derivative(0.0, n) for n in range(1, 8)] == [1.0, 0.0, -2.0, 0.0, 16.0, 0.0, -272.0]


@pytest.mark.parametrize("order", range(7))
def test_tanh_differentiated_six_times_equals_its_closed_form(order):
    f = np.tanh
    for _ in range(order):
        f = elementwise_grad(f)
    x = np.linspace(-4.0, 4.0, 33)
    expected = np.array([tanh_derivative(a, order) for a in x])
    # The terms of p(n) cancel: rounding is relative to the largest derivative, of size 272 at order 7 and smaller before.
    np.testing.assert_allclose(f(x), expected, rtol=1e-12, atol=3e-14 * np.max(np.abs(expected)))
    assert abs(f(0.5) - tanh_derivative(0.5, order)) <= 3e-14 * np.max(np.abs(expected))


def quadratic(m):
    return lambda x: x @ m @ x / 2


@given(st.integers(1, 5), st.integers(0, 10**6))
def test_half_x_m_x_gives_m_x_exactly(n, seed):
    """With integers every product is exact, so the answer must be too."""
    rng = np.random.default_rng(seed)
    m = rng.integers(-9, 10, (n, n)).astype(float)
    m = m + m.T
    x = rng.integers(-9, 10, n).astype(float)
    assert np.array_equal(grad(quadratic(m))(x), m @ x)
    assert np.array_equal(hessian(quadratic(m))(x), m)
    assert np.array_equal(hvp(quadratic(m), x, np.ones(n)), m @ np.ones(n))


def test_half_x_m_x_of_any_matrix_gives_the_symmetric_part():
    m = np.array([[1.0, 7.0], [3.0, 2.0]])
    x = np.array([2.0, -1.0])
    assert grad(quadratic(m))(x).tolist() == [-3.0, 8.0]
    assert hessian(quadratic(m))(x).tolist() == [[1.0, 5.0], [5.0, 2.0]]


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def network(x):
    w = np.cos(np.arange(12.0)).reshape(3, 4)
    return ad.logsumexp(np.tanh(x @ w) * 3.0) + np.sum(ad.sigmoid(x) * x[::-1])


def products(x):
    return np.prod(x) + np.linalg.norm(x) * np.mean(np.exp(x / 3))


functions = pytest.mark.parametrize("f", [rosenbrock, network, products])
points = st.lists(st.floats(-2, 2).filter(lambda a: abs(a) > 0.01), min_size=3, max_size=3).map(np.array)


@functions
@given(x=points)
def test_hessians_are_symmetric(f, x):
    h = hessian(f)(x)
    assert h.shape == (3, 3)
    assert np.max(np.abs(h - h.T)) <= 1e-12 * np.max(np.abs(h))  # a few roundings of the largest entry


@functions
@given(x=points, v=points)
def test_forward_over_reverse_equals_reverse_over_forward_and_reverse_over_reverse(f, x, v):
    expected = hessian(f)(x) @ v
    scale = np.max(np.abs(hessian(f)(x))) * np.max(np.abs(v))
    over_reverse = grad(lambda z: np.sum(grad(f)(z) * v))(x)
    over_forward = grad(lambda z: jvp(f, (z,), (v,))[1])(x)
    twice_forward = [jvp(lambda z: jvp(f, (z,), (v,))[1], (x,), (e,))[1] for e in np.eye(3)]
    for got in (hvp(f, x, v), over_reverse, over_forward, np.array(twice_forward)):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12 * scale)


@functions
@given(x=points, t=points)
def test_jvp_is_the_transpose_of_vjp(f, x, t):
    """<g, J t> == <J' g, t>, for a vector of outputs made of the function and its gradient."""

    def wide(z):
        return np.concatenate([np.tanh(z) * z[0], np.stack([f(z), z[1] * z[2]])])

    g = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    value, tangent = jvp(wide, (x,), (t,))
    again, back = vjp(wide, x)
    assert np.array_equal(value, again)
    left, right = g * tangent, back(g)[0] * t
    assert abs(left.sum() - right.sum()) <= 1e-12 * (np.abs(left).sum() + np.abs(right).sum())


@functions
@given(x=points)
def test_the_jacobian_of_the_gradient_is_the_hessian_by_rows_and_by_columns(f, x):
    by_columns = np.stack([jvp(grad(f), (x,), (e,))[1] for e in np.eye(3)], axis=-1)
    pull = vjp(grad(f), x)[1]
    by_rows = np.stack([pull(e)[0] for e in np.eye(3)])
    scale = np.max(np.abs(by_rows))
    np.testing.assert_allclose(hessian(f)(x), by_rows, atol=1e-12 * scale, rtol=0)
    np.testing.assert_allclose(by_columns, by_rows, atol=1e-12 * scale, rtol=0)


# ---- grad and value_and_grad -----------------------------------------------------------------------------------------


class Line(NamedTuple):
    slope: float
    offset: float


CONTAINERS = [
    ([2.0, 5.0], lambda p: p[0] ** 2 * p[1], [20.0, 4.0]),
    ((2.0, 5.0), lambda p: p[0] ** 2 * p[1], (20.0, 4.0)),
    ({"w": 2.0, "b": 5.0}, lambda p: p["w"] ** 2 * p["b"], {"w": 20.0, "b": 4.0}),
    (Line(2.0, 5.0), lambda p: p.slope**2 * p.offset, Line(20.0, 4.0)),
    (OrderedDict(b=5.0, w=2.0), lambda p: p["w"] ** 2 * p["b"], OrderedDict(b=4.0, w=20.0)),
    ({"deep": [(2.0,), {"x": 5.0}], "no": []}, lambda p: p["deep"][0][0] ** 2 * p["deep"][1]["x"],
     {"deep": [(20.0,), {"x": 4.0}], "no": []}),
]  # fmt: skip


@pytest.mark.parametrize(("point", "f", "expected"), CONTAINERS, ids=lambda x: type(x).__name__)
def test_the_gradient_has_the_form_of_its_argument(point, f, expected):
    got = grad(f)(point)
    assert got == expected
    assert type(got) is type(expected)
    assert value_and_grad(f)(point) == (20.0, expected)
    assert jacobian(f)(point) == expected


def test_arrays_inside_containers():
    x = {"w": np.array([[1.0, 2.0]]), "b": [np.array(3.0), 4]}
    got = grad(lambda p: np.sum(p["w"] * p["b"][0]) * p["b"][1])(x)
    assert got["w"].tolist() == [[12.0, 12.0]]
    assert got["b"][0].tolist() == 12.0
    assert got["b"][1] == 9.0
    assert type(got["b"][1]) is float


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [(0, 35.0), (1, 14.0), (-1, 10.0), ((0,), (35.0,)), ((2, 0), (10.0, 35.0)), ([0, 1], (35.0, 14.0)), (np.int64(1), 14.0)],
)
def test_argnums_choose_the_arguments(argnums, expected):
    f = lambda x, y, z: x * y * z
    assert grad(f, argnums)(2.0, 5.0, 7.0) == expected
    assert value_and_grad(f, argnums)(2.0, 5.0, 7.0) == (70.0, expected)


def test_argnums_out_of_range_are_an_index_error_that_says_so():
    with pytest.raises(IndexError, match="argnums=2, but the function was called with 2 positional arguments"):
        grad(lambda x, y: x, 2)(1.0, 2.0)
    with pytest.raises(IndexError, match="argnums"):
        grad(lambda x=1.0: x)()


@pytest.mark.parametrize("transform", [elementwise_grad, jacobian, hessian])
def test_several_argnums_are_not_silently_reduced_to_one(transform):
    try:
        both = transform(lambda x, y: x * x * y, (0, 1))(2.0, 5.0)
    except (TypeError, ValueError):
        return
    assert len(both) == 2


def test_the_other_arguments_stay_as_they_are():
    """A constant argument reaches the function untouched; keyword arguments are passed on."""
    seen = []

    def f(x, mode, *, power):
        seen.append((mode, power))
        return x**power

    assert grad(f)(2.0, "words", power=3) == 12.0
    assert seen == [("words", 3)]


@pytest.mark.parametrize("f", [lambda x: x * x, np.square, ad.square, lambda x: (ad.exp(2 * np.log(x)))])
def test_python_arithmetic_numpy_and_our_functions_are_all_differentiable(f):
    assert abs(grad(f)(3.0) - 6.0) <= 1e-14  # exp(2 log x) rounds
    np.testing.assert_allclose(elementwise_grad(f)(np.array([1.0, 3.0])), [2.0, 6.0], rtol=1e-14)


def test_plain_python_control_flow_is_fine():
    def newton_root(a):
        x = a
        while abs(x * x - a) > 1e-14:
            x = (x + a / x) / 2
        return x if x > 0 else -x

    assert abs(grad(newton_root)(2.0) - 0.5 / np.sqrt(2.0)) <= 1e-12


def test_name_docstring_and_signature_are_those_of_the_function():
    def loss(w, *, rate=0.1):
        """A loss."""
        return w * rate

    for transform in (grad, value_and_grad, elementwise_grad, jacobian, hessian):
        assert transform(loss).__name__ == "loss"
        assert transform(loss).__doc__ == "A loss."
        assert str(inspect.signature(transform(loss))) == "(w, *, rate=0.1)"


@pytest.mark.parametrize("f", [lambda x: 5, lambda x: 5.0, lambda x: np.float64(5), lambda x: np.array(5.0)])
def test_a_constant_function_has_gradient_zero(f):
    for x, zero in ((2.0, 0.0), (np.ones((2, 3)), np.zeros((2, 3))), (np.ones(2, np.float32), np.zeros(2))):
        value, slope = value_and_grad(f)(x)
        assert value == 5.0
        assert type(slope) is type(zero)
        assert np.array_equal(slope, zero)
        assert getattr(slope, "dtype", None) == getattr(x, "dtype", None)
        assert np.array_equal(hvp(f, x, x), zero)
        assert not np.any(hessian(f)(x))
        assert jvp(f, (x,), (x,))[1] == 0.0


def test_an_unused_argument_has_gradient_zero():
    assert grad(lambda x, y: x * x, (0, 1))(3.0, np.ones(2))[1].tolist() == [0.0, 0.0]
    assert grad(lambda p: p["a"] * 2)({"a": 1.0, "b": [1.0, 2.0]}) == {"a": 2.0, "b": [0.0, 0.0]}
    assert vjp(lambda x, y: x, 1.0, 2.0)[1](1.0) == (1.0, 0.0)
    assert jvp(lambda x, y: x, (1.0, 2.0), (0.0, 1.0)) == (1.0, 0.0)


@pytest.mark.parametrize("f", [lambda x: x, lambda x: (x[0], x[1]), lambda x: x[:0], lambda x: []])
def test_a_function_that_returns_more_or_fewer_than_one_number_is_refused(f):
    for transform in (grad, value_and_grad, hessian):
        with pytest.raises(SeedError, match="one number.*use jacobian or vjp"):
            transform(f)(np.ones(2))


@pytest.mark.parametrize("f", [lambda x: None, lambda x: "loss", lambda x: {1.0}])
def test_a_function_that_returns_no_number_is_refused(f):
    """A forgotten `return` must not look like a gradient of zero."""
    with pytest.raises((TypeError, SeedError)):
        grad(f)(1.0)


@pytest.mark.parametrize("x", ["a", None, 1j, [1.0, "a"], np.array(["a"]), np.array([1j])], ids=repr)
def test_arguments_that_are_no_real_numbers_are_refused(x):
    with pytest.raises(TypeError, match="real number"):
        grad(lambda z: 1.0)(x)


# ---- results -----------------------------------------------------------------------------------------------------------


def plain(tree):
    """Yield the leaves of nested containers."""
    for branch in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(branch, (dict, list, tuple)):
            yield from plain(branch)
        else:
            yield branch


@pytest.mark.parametrize("f", [lambda x: x, lambda x: x[::-1], lambda x: x.T, lambda x: [x, x], lambda x: x * 1.0])
def test_results_are_plain_and_own_their_memory(f):
    x, g = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    y, back = vjp(f, x)
    seeds = [g, g] if isinstance(y, list) else g
    results = list(plain([y, back(seeds), back(seeds), *jvp(f, (x,), (g,)), jacobian(f)(x)]))
    assert all(type(result) is np.ndarray for result in results)
    arrays = [x, g, *results]
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[:i])
    assert (x.tolist(), g.tolist()) == ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])


def test_values_are_floats_for_floats_and_arrays_for_arrays():
    assert type(value_and_grad(lambda x: x * 2)(1)[0]) is float
    assert type(grad(lambda x: x * 2)(np.float32(1.0))) is float
    value, slope = value_and_grad(lambda x: x.sum())(np.ones(2))
    assert (type(value), type(slope)) == (np.ndarray, np.ndarray)
    assert grad(np.sum)(np.arange(3)).dtype == np.float64


def test_float32_stays_float32_through_every_transform():
    x, f = np.ones(2, np.float32), lambda z: (z * z * z).sum()
    wide = lambda z: np.concatenate([z, z * 2.0])
    results = [
        *value_and_grad(f)(x), grad(f)(x), elementwise_grad(np.exp)(x), hessian(f)(x), hvp(f, x, np.ones(2)),
        *jvp(f, (x,), (np.ones(2),)), vjp(np.sin, x)[1](np.ones(2))[0], jacobian(wide)(x), jacobian(f)(x),
    ]  # fmt: skip
    assert [result.dtype for result in results] == [np.float32] * len(results)


# ---- vjp and jvp ----------------------------------------------------------------------------------------------------


def test_vjp_returns_the_value_and_one_entry_an_argument():
    y, back = vjp(lambda x, p: {"a": x * p[0], "b": [p[1] * 2]}, 3.0, (4.0, np.ones(2)))
    assert y["a"] == 12.0
    assert y["b"][0].tolist() == [2.0, 2.0]
    by_x, by_p = back({"a": 10.0, "b": [np.array([1.0, 3.0])]})
    assert by_x == 40.0
    assert by_p[0] == 30.0
    assert by_p[1].tolist() == [2.0, 6.0]


def test_entries_of_a_dict_are_matched_by_key_not_by_position():
    f = lambda d: d["a"] * d["b"]
    assert jvp(f, ({"a": 2.0, "b": 3.0},), ({"b": 0.0, "a": 1.0},)) == (6.0, 3.0)
    _, back = vjp(lambda x: {"a": x, "b": x * x}, 2.0)
    assert back({"b": 10.0, "a": 1.0}) == (41.0,)
    with pytest.raises(ShapeError):
        back({"a": 1.0, "c": 1.0})


@pytest.mark.parametrize("g", [1.0, np.ones(3), np.ones((2, 1)), [np.ones(2), np.ones(2)]], ids=repr)
def test_a_gradient_that_does_not_fit_the_output_is_refused(g):
    _, back = vjp(lambda x: x * 2.0, np.ones(2))
    with pytest.raises(ShapeError, match="the gradient given to vjp_fn"):
        back(g)
    assert back(np.ones(2))[0].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("tangents", [(1.0,), (np.ones(3),), (np.ones(2), np.ones(2)), ()], ids=repr)
def test_tangents_that_do_not_fit_the_arguments_are_refused(tangents):
    with pytest.raises(ShapeError, match="the tangents given to jvp"):
        jvp(lambda x: x * 2.0, (np.ones(2),), tangents)


def test_vjp_of_nothing_is_zero():
    assert vjp(lambda x: [], 2.0)[1]([]) == (0.0,)
    assert vjp(lambda: 3.0)[1](1.0) == ()


# ---- jacobian and hessian --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out_shape", [(), (1,), (2, 3), (0,)])
@pytest.mark.parametrize("in_shape", [(), (1,), (3, 2), (0,)])
def test_a_jacobian_has_the_output_axes_first_whichever_mode_runs(in_shape, out_shape):
    n, m = int(np.prod(out_shape)), int(np.prod(in_shape))
    weights = np.arange(1.0, 1.0 + n * m).reshape(n, m)
    x = np.arange(1.0, 1.0 + m).reshape(in_shape)
    x = x if in_shape else float(x)
    f = lambda z: np.reshape(weights @ np.reshape(z, (m,)), out_shape)
    if not in_shape:
        f = lambda z: np.reshape(weights[:, 0], out_shape) * z
    assert np.array_equal(jacobian(f)(x), weights.reshape(out_shape + in_shape))


def test_a_jacobian_of_containers_nests_outputs_outside():
    got = jacobian(lambda p: [p["a"] * p["b"], p["a"]])({"a": 2.0, "b": np.ones(2)})
    assert got[0]["a"].tolist() == [1.0, 1.0]
    assert got[0]["b"].tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert got[1]["a"] == 1.0
    assert got[1]["b"].tolist() == [0.0, 0.0]


def test_a_hessian_of_containers_is_a_dict_of_dicts():
    got = hessian(lambda p: p["a"] ** 2 * p["b"])({"a": 2.0, "b": 3.0})
    assert got == {"a": {"a": 6.0, "b": 4.0}, "b": {"a": 4.0, "b": 0.0}}


def test_a_hessian_of_a_matrix_argument_has_four_axes():
    h = hessian(lambda x: (x**3).sum())(np.array([[1.0, 2.0]]))
    assert h.shape == (1, 2, 1, 2)
    assert h[0, :, 0].tolist() == [[6.0, 0.0], [0.0, 12.0]]


def test_third_derivatives_of_an_array_function():
    third = jacobian(hessian(lambda x: x[0] ** 2 * x[1]))(np.array([3.0, 5.0]))
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 1] = expected[0, 1, 0] = expected[1, 0, 0] = 2.0
    assert np.array_equal(third, expected)


def test_the_hessian_vector_product_checks_its_vector():
    with pytest.raises(ShapeError):
        hvp(lambda x: x**3, 2.0, np.ones(2))


# ---- elementwise_grad ------------------------------------------------------------------------------------------------


def test_elementwise_grad_differentiates_at_every_element():
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert elementwise_grad(lambda z: z**3)(x).tolist() == [[0.0, 3.0], [12.0, 27.0]]
    assert elementwise_grad(lambda z, w: z * w, 1)(x, x).tolist() == x.tolist()
    assert elementwise_grad(lambda z: [z, z * z])(3.0) == 7.0
    assert elementwise_grad(lambda z: 1.0)(x).tolist() == [[0.0, 0.0], [0.0, 0.0]]


# ---- under no_grad, and next to nodes of the user -------------------------------------------------------------------------


def test_transforms_work_inside_no_grad_and_do_not_leak():
    with no_grad():
        modes = MODES.get()
        assert grad(lambda x: x**3)(2.0) == 12.0
        assert hessian(rosenbrock)(np.ones(2)).tolist() == [[802.0, -400.0], [-400.0, 200.0]]
        assert jvp(lambda x: x * x, (3.0,), (1.0,)) == (9.0, 6.0)
        assert MODES.get() == modes
        assert (Value(1.0) * 2.0).is_leaf
    assert MODES.get() == ()


def test_no_grad_inside_the_function_makes_a_constant():
    def f(x):
        with no_grad():
            weight = x * x
        return weight * x

    assert grad(f)(3.0) == 9.0


def test_leaves_made_inside_the_function_are_constants_and_the_result_is_plain():
    assert grad(lambda x: x.detach() * x)(3.0) == 3.0
    assert grad(lambda x: x * Value(2.0))(3.0) == 2.0
    assert grad(lambda x: D(lambda y: y * y * x)(2.0))(1.0) == 4.0


def test_a_captured_node_is_a_constant_to_a_transform_and_a_variable_to_gradients():
    """A gradient penalty: the slope at x of w * x**2 is 2wx, whose derivative by w is 2x."""
    w, x = Value(3.0), Value(2.0)
    plain = grad(lambda z: w * z * z)(2.0)
    assert type(plain) is float
    assert plain == 12.0
    slope = gradients(w * x * x, x, create_graph=True)
    assert slope.data == 12.0
    assert gradients(slope, w) == 4.0


def test_a_node_as_argument_gives_a_recorded_result():
    x = Tensor([1.0, 2.0])
    slope = grad(lambda z: (z**3).sum())(x)
    assert slope.data.tolist() == [3.0, 12.0]
    slope.sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_the_arguments_grad_is_never_touched():
    x = Tensor([1.0, 2.0])
    grad(lambda z: (z**3).sum())(x)
    jacobian(lambda z: z * 2)(x)
    assert x.grad is None


# ---- gradients: the query form -----------------------------------------------------------------------------------------


def test_gradients_by_leaves_and_by_inner_nodes_in_the_form_of_the_query():
    a, b, other = Value(2.0), Value(1.0), Tensor([1.0, 2.0])
    c, d = a + b, b + 1
    e = c * d
    got = gradients(e, {"leaves": [a, b], "inner": (c, d), "root": e, "other": other})
    assert got["leaves"] == [2.0, 5.0]
    assert got["inner"] == (2.0, 3.0)
    assert got["root"] == 1.0
    assert got["other"].tolist() == [0.0, 0.0]
    assert all(node.grad == 0.0 for node in (a, b, c, d, e))


def test_gradients_take_a_seed():
    t, v = Tensor([1.0, 2.0]), Value(3.0)
    assert gradients(t * v, v, seed=[10.0, 1.0]) == 12.0
    with pytest.raises(SeedError):
        gradients(t * v, v)
    with pytest.raises(SeedError):
        gradients(t * v, v, seed=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_gradients_with_create_graph_to_third_order(kind):
    x = kind(2.0)
    y = x**4 + ad.exp(x)
    e2 = float(np.exp(2.0))
    for expected in (32.0 + e2, 48.0 + e2, 48.0 + e2):
        y = gradients(y, x, create_graph=True)
        assert type(y) is kind
        assert abs(y.item() - expected) <= 1e-14 * expected
    assert x.grad == (0.0 if kind is Value else None)
    y.backward()  # the fourth: 24 + e**x
    assert abs(float(np.asarray(x.grad)) - (24.0 + e2)) <= 1e-14 * (24.0 + e2)


def test_gradients_of_something_else_than_nodes_are_refused():
    v = Value(1.0)
    for output, inputs in ((1.0, v), (v, 1.0), (v, [v, None]), (v, "v")):
        with pytest.raises(TypeError, match="output node and input nodes"):
            gradients(output, inputs)


def test_gradients_results_share_no_memory():
    t, seed = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
    first, second = gradients(t + t.detach() * 0.0, [t, t], seed=seed)
    first[:] = 7.0
    assert (second.tolist(), seed.tolist(), t.data.tolist()) == ([3.0, 4.0], [3.0, 4.0], [1.0, 2.0])
