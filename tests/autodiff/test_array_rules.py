"""Every structural row and every composite: values as NumPy's, gradients as differences, both modes, second order.

The cases stand in array_cases.py; the first tests here make sure that nothing is left out.
"""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autodiff import Node, ShapeError, Tensor, Value, grad
from autodiff.forward import tangents
from autodiff.graph import topological_order
from autodiff.primitive import REGISTRY, Reduction

from .array_cases import BY_NAME, CASES, EXPECTED, REDUCTIONS, draw, row
from .numeric import assert_close, forward_along, gradients, reverse_by, six_point

DRAWS = 200  # drawn examples per operation, as promised

each_operation = pytest.mark.parametrize("name", BY_NAME)


def seed_like(y):
    """Return an upstream gradient without symmetries."""
    return np.asarray(np.cos(1.0 + np.arange(np.size(y)))).reshape(np.shape(y))


def directions_like(xs):
    return [np.asarray(np.sin(2.0 + np.arange(x.size)).reshape(x.shape) * (i + 1.0)) for i, x in enumerate(xs)]


def weighted(f, seed):
    """Return x -> <f(x), seed>, whose ordinary gradient is the pullback of the seed, and its rounding scale."""
    return lambda *xs: np.sum(f(*xs) * seed)


def coordinate_differences(f, xs, i):
    """Return the gradient of a scalar f by operand i, one coordinate at a time, and the noise in it."""
    total, noise = np.zeros(xs[i].shape), 0.0
    for at in np.ndindex(xs[i].shape):
        unit = np.zeros(xs[i].shape)
        unit[at] = 1.0
        total[at], bound = six_point(f, xs, i, unit)
        noise = max(noise, float(bound))
    return total, noise


@pytest.mark.promise(1)
def test_every_structural_row_and_every_composite_has_cases(figure):
    assert set(BY_NAME) == EXPECTED
    line = f"{len(BY_NAME)} structural rows and composites, {len(CASES)} cases, 9 checks each, {DRAWS} draws a row"
    print(f"\n{line}")
    figure(line)
    assert len(BY_NAME) >= 51
    assert len(CASES) >= 950


# ---- values and derivatives, for all cases of an operation at a time -----------------------------------------------


@pytest.mark.promise(10)
@each_operation
def test_value_and_shape_are_those_of_numpy(name, figure):
    for case in BY_NAME[name]:
        xs = draw(case)
        expected = np.asarray(case.reference(*xs))
        for y in (np.asarray(case.call(*xs)), case.call(*map(Tensor, xs)).data):
            largest = np.max(np.abs(expected), initial=1)
            share = assert_close(np.asarray(y), expected, 1e-14, 1e-14 * largest, label=case.label)
            figure("difference from NumPy / (1e-14 of the value + 1e-14 of the largest)", share, 1)


@pytest.mark.promise(2)
@each_operation
def test_gradient_is_the_difference_quotient_in_every_coordinate(name, figure):
    for case in BY_NAME[name]:
        xs = draw(case)
        seed = seed_like(case.reference(*xs))
        for i, got in enumerate(gradients(case.call, xs, seed)):
            expected, noise = coordinate_differences(weighted(case.reference, seed), xs, i)
            # 1e-10: what rounding leaves of terms that cancel within f
            share = assert_close(got, expected, 1e-7, noise + 1e-10, label=f"{case.label}, operand {i}")
            figure("error of the gradient / (1e-7 of it + rounding noise of the six-point difference)", share, 1)


def difference_along(f, xs, directions):
    """Return the derivative of a scalar f along directions of all its operands at once, and the noise in it."""
    # NumPy's arithmetic makes numbers of 0-d arrays
    line = lambda s: f(*[np.asarray(x + s * t) for x, t in zip(xs, directions, strict=True)])
    return six_point(line, [np.zeros(())], 0)


@pytest.mark.promise(2)
@each_operation
def test_gradient_is_the_difference_quotient_for_two_hundred_draws(name, figure):
    """Along one direction a draw; the test above takes every coordinate, of one draw a case."""
    for number, case in zip(range(DRAWS), itertools.cycle(BY_NAME[name])):
        xs = draw(case, seed=2 + number)
        seed, directions = seed_like(case.reference(*xs)), directions_like(xs)
        got = sum(np.sum(g * t) for g, t in zip(gradients(case.call, xs, seed), directions, strict=True))
        expected, noise = difference_along(weighted(case.reference, seed), xs, directions)
        # 1e-10: what rounding leaves of terms that cancel within f
        share = assert_close(got, expected, 1e-7, noise + 1e-10, label=f"{case.label}, draw {number}")
        figure("error of the gradient / (1e-7 of it + rounding noise of the six-point difference)", share, 1)


@pytest.mark.promise(6)
@each_operation
def test_forward_mode_is_the_transpose_of_reverse_mode(name, figure):
    """<t, vjp(g)> = <jvp(t), g>, for each operand alone and for all together."""
    for case in BY_NAME[name]:
        xs = draw(case)
        seed, directions = seed_like(case.reference(*xs)), directions_like(xs)
        pulled = [g * t for g, t in zip(gradients(case.call, xs, seed), directions, strict=True)]
        for chosen in [*([i] for i in range(len(xs))), [*range(len(xs))]]:
            tangent = forward_along(case.call, xs, [t if i in chosen else None for i, t in enumerate(directions)])
            assert np.shape(tangent) == seed.shape
            terms = [pulled[i] for i in chosen]
            size = sum(np.sum(np.abs(term)) for term in terms) + np.sum(np.abs(tangent * seed))
            left, right = sum(np.sum(term) for term in terms), np.sum(tangent * seed)
            share = assert_close(left, right, 0.0, 1e-12 * size, label=f"{case.label}, operands {chosen}")
            figure("|<t, vjp(g)> - <jvp(t), g>|, relative to the sizes of the terms", share * 1e-12, 1e-12)


@pytest.mark.promise(3)
@each_operation
def test_second_order_is_the_difference_of_the_gradient(name, figure):
    for case in BY_NAME[name]:
        xs = draw(case)
        seed, directions = seed_like(case.reference(*xs)), directions_like(xs)

        def along(*xs, case=case, seed=seed, directions=directions):
            """The gradient along the directions: a number whose own gradient is the Hessian times them."""
            return sum(np.sum(g * t) for g, t in zip(gradients(case.call, xs, seed), directions, strict=True))

        for i, got in enumerate(hessian_times(case.call, xs, seed, directions)):
            expected, noise = coordinate_differences(along, xs, i)
            share = assert_close(got, expected, 1e-6, noise + 1e-9, label=f"{case.label}, operand {i}")
            figure("error of the second derivative / (1e-6 of it + rounding noise of the difference)", share, 1)


def hessian_times(f, xs, seed, directions):
    """Return the gradient of <vjp(seed), directions>, by reverse mode over reverse mode."""
    nodes = [Tensor(x) for x in xs]
    firsts = reverse_by(f(*nodes), nodes, seed, on_nodes=True)
    total = Tensor(0.0)
    for g, t in zip(firsts, directions, strict=True):
        total = total + row.sum(row.mul(g, t)) if isinstance(g, Node) else total
    return reverse_by(total, nodes)


def slope_along(f, directions):
    """Return the derivative of a function, whose result is a number, along directions of all its operands at once."""
    slopes = grad(f, tuple(range(len(directions))))
    return lambda *xs: sum(np.sum(g * t) for g, t in zip(slopes(*xs), directions, strict=True))


@pytest.mark.promise(3)
@each_operation
def test_third_order_is_the_difference_of_the_second(name, figure):
    for case in BY_NAME[name]:
        xs = draw(case)
        directions = directions_like(xs)
        second = slope_along(slope_along(weighted(case.call, seed_like(case.reference(*xs))), directions), directions)
        expected, noise = difference_along(second, xs, directions)
        got = slope_along(second, directions)(*xs)
        # 1e-8: what rounding leaves of terms that cancel within the second derivative
        share = assert_close(got, expected, 1e-4, noise + 1e-8, label=case.label)
        figure("error of the third derivative / (1e-4 of it + rounding noise of the difference)", share, 1)


@pytest.mark.promise(3)
@each_operation
def test_forward_over_reverse_is_reverse_over_reverse(name, figure):
    for case in BY_NAME[name]:
        xs = draw(case)
        seed, directions = seed_like(case.reference(*xs)), directions_like(xs)
        nodes = [Tensor(x) for x in xs]
        firsts = reverse_by(case.call(*nodes), nodes, seed, on_nodes=True)
        found = tangents([g for g in firsts if isinstance(g, Node)], dict(zip(nodes, directions, strict=True)))
        expected = hessian_times(case.call, xs, seed, directions)
        for x, g, h in zip(xs, firsts, expected, strict=True):
            got = found.get(g, np.zeros(x.shape)) if isinstance(g, Node) else np.zeros(x.shape)
            scale = np.max(np.abs(h), initial=1.0)
            share = assert_close(got, h, 1e-11, 1e-11 * scale, label=case.label)
            figure("difference of the two ways / (1e-11 of the derivative + 1e-11 of its largest)", share, 1)


@pytest.mark.promise(7, 14)
@each_operation
def test_gradients_are_fresh_arrays_like_their_operands_and_nothing_is_changed(name, figure):
    for case in BY_NAME[name]:
        xs = draw(case)
        for x in xs:
            x.flags.writeable = False
        nodes = [Tensor(x) for x in xs]
        y = case.call(*nodes)
        seed = seed_like(y.data)
        seed.flags.writeable = False
        if not isinstance(y, Node) or y.op is None:
            continue
        before = np.array(y.data)
        if isinstance(y, Value):
            seed = float(seed)
        y.backward(seed)
        assert np.array_equal(y.data, before)
        everything = [*xs, np.asarray(seed), np.asarray(y.data), *(node.data for node in nodes)]
        for x, node in zip(xs, nodes, strict=True):
            assert node.grad.shape == x.shape, case.label
            assert node.grad.dtype == x.dtype, case.label
            assert type(node.grad) is np.ndarray
            assert np.array_equal(node.data, x)
            others = [np.asarray(other.grad) for other in topological_order(y) if other is not node]
            for other in [*everything, *others]:
                assert not np.shares_memory(node.grad, other), f"{case.label}: a gradient shares memory"
            figure("gradient with the shape and dtype of its operand, in memory of its own")


@each_operation
def test_layout_in_memory_makes_no_difference(name):
    """Reversed, strided and Fortran-ordered operands give what contiguous ones give."""
    for case in BY_NAME[name]:
        xs = draw(case)
        expected = np.asarray(case.call(*xs))
        expected_gradients = gradients(case.call, xs, seed_like(expected))
        for remade in (reversed_view, strided_view, fortran_ordered):
            views = [remade(x) for x in xs]
            assert_close(np.asarray(case.call(*views)), expected, 1e-14, 1e-14, label=case.label)
            seed = remade(seed_like(expected))
            got = gradients(case.call, views, seed)
            for a, b in zip(got, expected_gradients, strict=True):
                assert_close(a, b, 1e-13, 1e-13 * np.max(np.abs(b), initial=1), label=case.label)


def reversed_view(x):
    """Return an equal array with negative strides."""
    whole = (slice(None, None, -1),) * x.ndim
    return x[whole].copy()[whole] if x.ndim else x


def fortran_ordered(x):
    return np.array(x, order="F")


def strided_view(x):
    """Return an equal array that is every other element of a larger one."""
    big = np.full(tuple(2 * n for n in x.shape), np.nan)
    every_other = (slice(None, None, 2),) * x.ndim
    big[every_other] = x
    return np.asarray(big[every_other])


@pytest.mark.promise(7)
@each_operation
def test_float32_stays_float32(name, figure):
    for case in BY_NAME[name]:
        if name in ("from_values", "item", "cast"):  # from and to Values, which are Python floats; a cast is explicit
            continue
        xs = [x.astype(np.float32) for x in draw(case)]
        nodes = [Tensor(x) for x in xs]
        y = case.call(*nodes)
        assert y.data.dtype == np.float32, case.label
        wide = [x.astype(np.float64) for x in xs]
        seed = seed_like(y.data).astype(np.float32)
        for got, expected in zip(
            reverse_by(y, nodes, seed), gradients(case.call, wide, seed.astype(float)), strict=True
        ):
            assert got.dtype == np.float32, case.label
            # 24 bits are 6e-8; sums of ten terms and a softmax or a std lose two digits of them
            share = assert_close(got, expected, 2e-5, 2e-5 * np.max(np.abs(expected), initial=1), label=case.label)
            figure("error of a float32 gradient / (2e-5 of it + 2e-5 of the largest)", share, 1)


# ---- what Hypothesis finds -----------------------------------------------------------------------------------------


@pytest.mark.promise(2)
@settings(max_examples=150)
@given(data=st.data())
def test_any_basic_index_returns_its_gradient_to_the_elements_it_named(figure, data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    check_index(shape, index, figure)


@pytest.mark.promise(2)
@settings(max_examples=150)
@given(data=st.data())
def test_any_integer_index_accumulates_over_repeated_elements(figure, data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
    check_index(shape, index, figure)


@pytest.mark.promise(2)
@settings(max_examples=100)
@given(data=st.data())
def test_any_boolean_mask_returns_its_gradient_to_the_elements_it_chose(figure, data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    check_index(shape, data.draw(hnp.arrays(bool, shape)), figure)


def check_index(shape, index, figure):
    x = np.arange(1.0, 1.0 + np.prod(shape, dtype=int)).reshape(shape)
    t = Tensor(x)
    y = t[index]
    assert np.array_equal(y.data, x[index])
    seed = seed_like(y.data)
    y.backward(seed)
    expected = np.zeros(x.size)
    places = np.arange(x.size).reshape(shape)[index]
    for place, g in zip(np.ravel(places), np.ravel(seed), strict=True):
        expected[place] += g
    share = assert_close(t.grad, expected.reshape(shape), 1e-14, 1e-15)
    figure("error of the gradient of an index / (1e-14 of it + 1e-15)", share, 1)


@pytest.mark.promise(2)
@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(sorted(REDUCTIONS)))
def test_any_reduction_over_any_axes_is_differentiated(figure, data, name):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=3))
    axes = data.draw(st.sets(st.integers(-len(shape), len(shape) - 1)) if shape else st.just(set()))
    axes = tuple(axis for axis in axes if axis % max(len(shape), 1) - len(shape) not in axes or axis < 0)
    params = {"axis": axes, "keepdims": data.draw(st.booleans())}
    x = np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) * 0.11 - 0.9
    seed, t = seed_like(REDUCTIONS[name](x, **params)), directions_like([x])[0]
    (got,) = gradients(lambda x: REGISTRY[name](x, **params), [x], seed)
    expected, noise = six_point(weighted(lambda x: REDUCTIONS[name](x, **params), seed), [x], 0, t)
    share = assert_close(np.sum(got * t), expected, 1e-7, noise + 1e-9, label=f"{name} {shape} {params}")
    figure("error of the gradient / (1e-7 of it + rounding noise of the six-point difference)", share, 1)


# ---- corner cases that need their own words ------------------------------------------------------------------------


def test_a_gradient_for_a_target_distribution_is_minus_the_log_probability():
    x, t = np.array([[0.0, 1.0, 3.0]]), np.array([[0.2, 0.3, 0.5]])
    nodes = [Tensor(x), Tensor(t)]
    by_logits, by_targets = reverse_by(row.softmax_cross_entropy(*nodes), nodes)
    p = np.exp(x) / np.exp(x).sum()
    assert_close(by_logits, p - t, 1e-14, 1e-15)
    assert_close(by_targets, -np.log(p), 1e-14)


@pytest.mark.promise(8)
def test_a_target_of_0_at_a_logit_of_minus_infinity_contributes_nothing():
    x = Tensor([[0.0, -np.inf, 0.0]])
    loss = row.softmax_cross_entropy(x, np.array([[0.5, 0.0, 0.5]]))
    assert_close(loss.data, [np.log(2)], 1e-15)
    loss.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0, 0.0]]


def test_softmax_with_one_infinite_logit_is_certain():
    with np.errstate(all="ignore"):
        y = row.softmax(np.array([1.0, -np.inf, 1.0]))
    assert y.tolist() == [0.5, 0.0, 0.5]


def test_the_variance_of_too_few_numbers_has_a_nan_gradient_as_its_value_is_nan():
    for op in (row.var, row.std):
        x = Tensor([1.0])
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's "Degrees of freedom <= 0"
            y = op(x, ddof=1)
            y.backward()
        assert np.isnan(y.data)
        assert np.isnan(x.grad).tolist() == [True]


@pytest.mark.parametrize("shape", [(3,), (1, 4, 3), ()])
def test_a_linear_map_refuses_a_weight_that_is_no_matrix(shape):
    with pytest.raises(ShapeError, match=r"the weight must have shape \(out, in\)"):
        REGISTRY["linear"](np.ones((2, 3)), Tensor(np.ones(shape)), 0.5)


@pytest.mark.parametrize("bias", [0.5, np.float64(0.5), np.array(0.5), Value(0.5), Tensor(0.5), Tensor([0.5] * 4)])
def test_a_linear_map_takes_any_bias_that_broadcasts(bias):
    x, w = Tensor(np.ones((2, 3))), Tensor(np.full((4, 3), 2.0))
    y = row.linear(x, w, bias)
    assert y.data.tolist() == np.full((2, 4), 6.5).tolist()
    y.sum().backward()
    assert x.grad.tolist() == np.full((2, 3), 8.0).tolist()
    if isinstance(bias, Node):
        assert np.sum(bias.grad) == 8.0
        bias.zero_grad()


def test_an_array_times_a_tensor_is_recorded_whichever_comes_first():
    a, x = np.array([[1.0, 2.0], [3.0, 4.0]]), Tensor([1.0, -1.0])
    for y, expected in ((a @ x, [4.0, 6.0]), (x @ a, [3.0, 7.0]), (np.matmul(a, x), [4.0, 6.0])):
        x.zero_grad()
        y.sum().backward()
        assert x.grad.tolist() == expected


def test_a_value_and_a_tensor_in_one_operation_give_a_tensor_and_each_its_own_gradient():
    v, t = Value(3.0), Tensor([1.0, 2.0])
    y = v * t
    assert type(y) is Tensor
    y.sum().backward()
    assert type(v.grad) is float
    assert v.grad == 3.0
    assert t.grad.tolist() == [3.0, 3.0]


def test_a_reduction_of_the_table_keeps_its_promise_of_a_weight():
    """Forward mode sums what reverse mode spreads: a Reduction stores no second derivative rule."""
    reductions = {name for name, op in REGISTRY.items() if isinstance(op, Reduction)}
    losses = {"softmax_cross_entropy", "mean_squared_error", "mean_binary_cross_entropy_with_logits"}
    assert reductions == {*REDUCTIONS, *losses}
