"""Derivatives of derivatives: levels that are never confused, closed forms, and modes that agree with each other.

Holds the second half of promise 3 (symmetric Hessians) and of promise 6 (jvp against vjp), for whole programs.
"""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import Node, elementwise_grad, grad, hessian, hvp, jacobian, jvp, vjp

from .autodiff.numeric import assert_close

D = grad  # the mathematicians' name, for the formulas below

# ---- nesting without confusing levels --------------------------------------------------------------------------------


def forward(f):
    """Return the derivative of a function of one number by forward mode."""
    return lambda x: jvp(f, (x,), (1.0,))[1]


def reverse(f):
    """Return the derivative of a function of one number by a pulled-back 1."""
    return lambda x: vjp(f, x)[1](1.0)[0]


MODES_OF_D = {"grad": grad, "forward": forward, "reverse": reverse, "each": elementwise_grad, "jacobian": jacobian}
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
    assert D(lambda x: D(lambda y: y * D(lambda z: x * z)(3.0))(2.0))(1.0) == 1.0  # the innermost skips a level
    assert D(lambda x: x * D(lambda y: y * D(lambda z: x * y * z)(3.0))(2.0))(1.0) == 8.0  # x * 2*x*y at y = 2


@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_of_a_power_to_any_order(order):
    f, expected = (lambda x: x**5), 1.0
    for k in range(order):
        f, expected = D(f), expected * (5 - k)
    assert f(2.0) == expected * 2.0 ** (5 - order)


# ---- closed forms ----------------------------------------------------------------------------------------------------


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
    # The terms of p(n) cancel: rounding is relative to the largest value, which is 16 at order 5.
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


@pytest.mark.promise(3)
@functions
@given(x=points)
def test_hessians_are_symmetric(f, figure, x):
    h = hessian(f)(x)
    assert h.shape == (3, 3)
    asymmetry = np.max(np.abs(h - h.T)) / np.max(np.abs(h))
    figure("asymmetry of a Hessian, relative to its largest entry", asymmetry, 1e-12)
    assert asymmetry <= 1e-12  # a few roundings of the largest entry


@pytest.mark.promise(3)
@functions
@given(x=points, v=points)
def test_forward_over_reverse_equals_reverse_over_forward_and_reverse_over_reverse(f, figure, x, v):
    expected = hessian(f)(x) @ v
    scale = np.max(np.abs(hessian(f)(x))) * np.max(np.abs(v))
    over_reverse = grad(lambda z: np.sum(grad(f)(z) * v))(x)
    over_forward = grad(lambda z: jvp(f, (z,), (v,))[1])(x)
    twice_forward = [jvp(lambda z: jvp(f, (z,), (v,))[1], (x,), (e,))[1] for e in np.eye(3)]
    for got in (hvp(f, x, v), over_reverse, over_forward, np.array(twice_forward)):
        share = assert_close(got, expected, 1e-12, 1e-12 * scale)
        figure("difference between products with a Hessian / (1e-12 of them + 1e-12 of the terms)", share, 1)


@pytest.mark.promise(6)
@functions
@given(x=points, t=points)
def test_jvp_is_the_transpose_of_vjp(f, figure, x, t):
    """<g, J t> == <J' g, t>, for a vector of outputs made of the function and its gradient."""

    def wide(z):
        return np.concatenate([np.tanh(z) * z[0], np.stack([f(z), z[1] * z[2]])])

    g = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    value, tangent = jvp(wide, (x,), (t,))
    again, back = vjp(wide, x)
    assert np.array_equal(value, again)
    left, right = g * tangent, back(g)[0] * t
    difference = abs(left.sum() - right.sum()) / (np.abs(left).sum() + np.abs(right).sum())
    figure("|<g, jvp(t)> - <vjp(g), t>|, relative to the sizes of the terms", difference, 1e-12)
    assert difference <= 1e-12


@functions
@given(x=points)
def test_the_jacobian_of_the_gradient_is_the_hessian_by_rows_and_by_columns(f, x):
    by_columns = np.stack([jvp(grad(f), (x,), (e,))[1] for e in np.eye(3)], axis=-1)
    pull = vjp(grad(f), x)[1]
    by_rows = np.stack([pull(e)[0] for e in np.eye(3)])
    scale = np.max(np.abs(by_rows))
    np.testing.assert_allclose(hessian(f)(x), by_rows, atol=1e-12 * scale, rtol=0)
    np.testing.assert_allclose(by_columns, by_rows, atol=1e-12 * scale, rtol=0)


def test_an_inner_gradient_walks_no_further_than_its_own_inputs():
    """Descent by inner gradients, differentiated by its start: the work grows with the steps, not their square."""

    def visited_by(steps):
        visits = 0
        parents = Node.parents

        def counted(node):
            nonlocal visits
            visits += 1
            return parents.__get__(node)

        def descend(a):
            x = a
            for _ in range(steps):
                x = x - 0.01 * grad(lambda z: z * z * a)(x)
            return x

        try:
            Node.parents = property(counted)
            grad(descend)(1.0)
        finally:
            Node.parents = parents
        return visits

    assert visited_by(80) < 2.5 * visited_by(40)
