"""grad, jvp, hessian and the like: arguments, containers, results and errors.

Transforms of transforms are tested in tests/test_higher_order.py.
"""

import inspect
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest

import autodiff as ad
from autodiff import (
    NoGraphError,
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
    [
        (0, 35.0),
        (1, 14.0),
        (-1, 10.0),
        ((0,), (35.0,)),
        ((2, 0), (10.0, 35.0)),
        ([0, 1], (35.0, 14.0)),
        (np.int64(1), 14.0),
    ],
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


@pytest.mark.parametrize("f", [lambda x: x * x, np.square, ad.square, lambda x: ad.exp(2 * np.log(x))])
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
        with pytest.raises(SeedError, match=r"one number.*use jacobian or vjp"):
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


# ---- results ---------------------------------------------------------------------------------------------------------


def plain(tree):
    """Yield the leaves of nested containers."""
    for branch in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(branch, (dict, list, tuple)):
            yield from plain(branch)
        else:
            yield branch


@pytest.mark.promise(14)
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


@pytest.mark.promise(7)
def test_float32_stays_float32_through_every_transform():
    x, f = np.ones(2, np.float32), lambda z: (z * z * z).sum()
    wide = lambda z: np.concatenate([z, z * 2.0])
    results = [
        *value_and_grad(f)(x), grad(f)(x), elementwise_grad(np.exp)(x), hessian(f)(x), hvp(f, x, np.ones(2)),
        *jvp(f, (x,), (np.ones(2),)), vjp(np.sin, x)[1](np.ones(2))[0], jacobian(wide)(x), jacobian(f)(x),
    ]  # fmt: skip
    assert [result.dtype for result in results] == [np.float32] * len(results)


# ---- vjp and jvp -----------------------------------------------------------------------------------------------------


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
    assert vjp(lambda x: [], np.ones(2))[1]([])[0].tolist() == [0.0, 0.0]
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


@pytest.mark.parametrize(("x", "shape"), [(np.ones(500), ()), (2.0, (500,))], ids=["one output", "one input"])
def test_a_jacobian_needs_one_pass_where_one_is_enough(x, shape):
    calls = []
    triple = ad.elementwise("counted_triple", lambda x: 3.0 * x, lambda x: 3.0 * x, lambda y, x: calls.append(1) or 3.0)
    got = jacobian(lambda z: np.broadcast_to(np.sum(triple(z)), shape))(x)
    assert np.array_equal(got, np.full(500, 3.0))
    assert len(calls) == 1


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


# ---- under no_grad, and next to nodes of the user --------------------------------------------------------------------


def test_transforms_work_inside_no_grad_and_do_not_leak():
    with no_grad():
        modes = MODES.get()
        assert grad(lambda x: x**3)(2.0) == 12.0
        assert hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0])).tolist() == [[10.0, 6.0], [6.0, 0.0]]
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
    assert grad(lambda x: grad(lambda y: y * y * x)(2.0))(1.0) == 4.0


def test_a_node_that_the_function_closes_over_is_a_constant():
    w, t = Value(3.0), Tensor([1.0, 2.0])
    assert grad(lambda x: w * x * x)(2.0) == 12.0
    assert jvp(lambda x: t * x, (1.0,), (1.0,))[1].tolist() == [1.0, 2.0]
    assert (w.grad, t.grad) == (0.0, None)


@pytest.mark.parametrize("fails", [False, True])
def test_an_input_that_outlives_its_run_is_a_constant_afterwards(fails):
    kept = []

    def f(x):
        kept.append(x)
        return 1 // 0 if fails else x * x

    if fails:
        with pytest.raises(ZeroDivisionError):
            grad(f)(2.0)
    else:
        assert grad(f)(2.0) == 4.0
    assert grad(lambda y: y * kept[0])(1.0) == 2.0


def test_a_gradient_penalty_the_slope_at_a_node_is_differentiated_by_what_the_function_closes_over():
    """The slope at x of w * x**2 is 2wx, whose derivative by w is 2x and by x is 2w."""
    w, x = Value(3.0), Value(2.0)
    slope = grad(lambda z: w * z * z)(x)
    assert slope.data == 12.0
    slope.backward()
    assert (w.grad, x.grad) == (4.0, 6.0)


@pytest.mark.parametrize("transform", [grad, elementwise_grad, jacobian])
def test_a_node_among_the_other_arguments_gives_a_recorded_result(transform):
    f = lambda z, weight: weight * z * z
    for by_position in (True, False):
        w = Value(3.0)
        slope = transform(f)(2.0, w) if by_position else transform(f)(2.0, weight=w)
        slope.backward()
        assert (slope.data, w.grad) == (12.0, 4.0)


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


# ---- gradients: the query form ---------------------------------------------------------------------------------------


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


@pytest.mark.promise(14)
def test_gradients_results_share_no_memory():
    t, seed = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
    first, second = gradients(t + t.detach() * 0.0, [t, t], seed=seed)
    first[:] = 7.0
    assert (second.tolist(), seed.tolist(), t.data.tolist()) == ([3.0, 4.0], [3.0, 4.0], [1.0, 2.0])


def test_gradients_refuse_a_node_that_recorded_nothing():
    x = Value(2.0)
    with no_grad():
        y = x * x
    with pytest.raises(NoGraphError, match="no_grad"):
        gradients(y, x)


def test_gradients_refuse_a_recorded_seed_of_another_shape():
    x = Tensor([1.0, 2.0])
    with pytest.raises(SeedError, match=r"\(2,\)"):
        gradients(x * x, x, seed=Tensor([[1.0, 1.0], [1.0, 1.0]]), create_graph=True)


def test_an_argument_named_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        grad(lambda x, y: x * y, (0, -2))(2.0, 3.0)
