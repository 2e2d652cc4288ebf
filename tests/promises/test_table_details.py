"""Details of the rule tables: each test here kills mutants (tests/mutation) that survived all others."""

import itertools
import warnings

import numpy as np
import pytest

import autodiff as ad
from autodiff import Tensor, Value, array_rules
from autodiff.primitive import REGISTRY, Elementwise, Reduction
from tests.autodiff.array_cases import REDUCTIONS
from tests.autodiff.numeric import assert_close, assert_within_ulps, gradients, reverse_by

ROWS = {name: row for name, row in REGISTRY.items() if isinstance(row, Elementwise)}

# ---- where a row says that it may be differentiated ----------------------------------------------------------------

BORDERS = [
    (name, i, border)
    for name, row in ROWS.items()
    for i, interval in enumerate(row.domain)
    for border in interval
    if np.isfinite(border)
]
# The other operand, where the border is a border for only some of its values
BESIDES = {"arctan2": 0.0, "power": -1.0}


def size_of_derivative(name, i, x):
    """Return the largest of |f| and |f'| by operand i at x: infinite where either is not a number."""
    operands = [BESIDES.get(name, 1.0)] * len(ROWS[name].domain)
    operands[i] = x
    with np.errstate(all="ignore"):
        y, slope = ROWS[name](*operands), gradients(ROWS[name], [np.array(value) for value in operands])[i]
    return np.nan_to_num(np.maximum(np.abs(y), np.abs(slope)), nan=np.inf)


@pytest.mark.promise(8)
@pytest.mark.parametrize(("name", "i", "border"), BORDERS)
def test_a_domain_ends_just_where_the_operation_or_its_derivative_does(name, i, border):
    inward = 1.0 if border == ROWS[name].domain[i][0] else -1.0
    assert size_of_derivative(name, i, border + 1e-6 * inward) < 1e13
    assert size_of_derivative(name, i, border) > 1e15  # tan's pole is no float: next to it tan is 1.6e16


AT_KINKS = {
    "cbrt": [(0.0,)], "abs": [(0.0,)], "relu": [(0.0,)], "leaky_relu": [(0.0,)], "elu": [(0.0,)], "selu": [(0.0,)],
    "softsign": [(0.0,)], "sign": [(0.0,)], "step": [(0.0,)],
    "floor": [(-2.0,), (0.0,), (3.0,)], "ceil": [(-2.0,), (0.0,), (3.0,)], "round": [(-1.5,), (0.5,), (2.5,)],
    "hypot": [(0.0, 0.0)], "arctan2": [(0.0, 0.0)], "maximum": [(3.0, 3.0)], "minimum": [(-3.0, -3.0)],
    "clip": [(-1.0, -1.0, 2.0), (2.0, -1.0, 2.0), (1.5, 1.0, 1.0)],
}  # fmt: skip
BESIDE_KINKS = {
    "floor": [(0.5,), (2.75,)], "ceil": [(0.5,), (2.75,)], "round": [(1.0,), (2.25,)],
    "hypot": [(2.0, 0.0), (0.0, 2.0), (-2.0, 0.0), (0.0, -2.0)], "arctan2": [(2.0, 0.0), (0.0, 2.0), (-2.0, 0.0)],
    "maximum": [(3.0, -3.0), (3.0, 2.0), (0.0, 2.0), (2.0, 0.0)], "minimum": [(3.0, -3.0), (0.0, 2.0), (2.0, 0.0)],
    "clip": [(0.0, -1.0, 2.0), (1.0, -1.0, 3.0), (0.5, -2.0, 1.0), (3.0, -1.0, 2.0), (-3.0, -1.0, 2.0),
             (1.0, 0.0, 3.0), (1.0, -3.0, 0.0), (0.0, 1.0, 2.0)],
}  # fmt: skip


@pytest.mark.promise(8)
def test_kinks_are_known_where_they_are_and_only_there():
    assert {name for name, row in ROWS.items() if row.kinks is not None} == set(AT_KINKS)
    for name, points in AT_KINKS.items():
        assert [float(ROWS[name].kinks(*point)) for point in points] == [0.0] * len(points), name
    for name in AT_KINKS:
        row = ROWS[name]
        for point in BESIDE_KINKS.get(name, [(1.0,), (-2.0,)]):
            assert float(row.kinks(*point)) != 0.0, f"{name}{point}"


# ---- powers --------------------------------------------------------------------------------------------------------


@pytest.mark.promise(8)
@pytest.mark.parametrize("exponent", [2.0, 2.001, 1.999, -2.0, 1.0, 3.0])
def test_only_the_exponent_2_is_a_square(exponent):
    x = np.array([0.5, 1.5, 3.0])
    assert_within_ulps(ad.power(x, exponent), np.exp(exponent * np.log(x)), 8)


@pytest.mark.promise(8)
@pytest.mark.parametrize(
    ("base", "exponent", "mixed"),
    [
        (0.0, 3.0, 0.0),  # a**(b-1) * (1 + b * log(a)) goes to 0
        (0.0, 1.5, 0.0),
        (2.0, 0.0, 0.5),  # a**-1
        (1.0002e-100, 0.0, 1 / 1.0002e-100),
        (1e-90, 0.0, 1e90),
        (-2.0, 0.0, np.nan),  # there is no log(a)
    ],
)
def test_a_power_differentiated_by_base_and_exponent_has_the_limit(base, exponent, mixed):
    for first, second in [(0, 1), (1, 0)]:
        for operands in [(np.array(base), np.array(exponent)), (base, exponent)]:
            with np.errstate(all="ignore"):
                got = ad.grad(ad.grad(ad.power, first), second)(*operands)
            assert_close(got, np.array(mixed), 1e-12, label=f"by {first}, then {second} at {operands}")


@pytest.mark.promise(8)
@pytest.mark.parametrize("kind", [Value, Tensor])
@pytest.mark.parametrize(("base", "exponent", "slope"), [(0.0, 1.0, 1.0), (1e-200, 1.0, 1.0), (0.0, 2.0, 0.0)])
def test_near_0_only_the_exponent_0_has_no_slope_also_if_it_is_a_node(kind, base, exponent, slope):
    a, b = kind(base), kind(exponent)
    (a**b).backward()
    assert float(a.grad) == slope


@pytest.mark.promise(8)
@pytest.mark.parametrize("base", [1e-160, -1e-160, 1e-320, 0.0, 1e-50, 2.0])
def test_a_power_0_has_no_slope_and_no_curvature_however_small_the_base(base):
    """Its derivatives hold base**-1 and base**-2, which may overflow, times 0."""
    for x in (base, np.array(base)):
        assert ad.grad(ad.power)(x, 0.0) == 0.0
        assert ad.grad(ad.grad(ad.power))(x, 0.0) == 0.0


# ---- the length of a vector, and minus infinity ----------------------------------------------------------------------


@pytest.mark.promise(3)
@pytest.mark.parametrize(("point", "curvature"), [((0.0, 2.0), [[0.5, 0], [0, 0]]), ((-4.0, 0.0), [[0, 0], [0, 0.25]])])
def test_hypot_is_curved_across_the_axes_and_straight_along_them(point, curvature):
    assert ad.hessian(lambda x: ad.hypot(x[0], x[1]))(np.array(point)).tolist() == curvature


@pytest.mark.promise(8)
@pytest.mark.parametrize(
    ("a", "b", "slopes"),
    [
        (-np.inf, -np.inf, (0.0, 0.0)),
        (-np.inf, 1.0, (0.0, 1.0)),
        (1.0, -np.inf, (1.0, 0.0)),
        (-np.inf, np.nan, (np.nan, np.nan)),
        (np.nan, -np.inf, (np.nan, np.nan)),
    ],
)
def test_logaddexp_of_minus_infinity_has_a_slope_and_no_curvature_and_does_not_hide_a_nan(a, b, slopes):
    for operands in [(a, b), (np.array(a), np.array(b))]:
        nodes = [Tensor(x) if isinstance(x, np.ndarray) else Value(x) for x in operands]
        with np.errstate(invalid="ignore"):  # NumPy warns of a nan
            got = reverse_by(ad.logaddexp(*nodes), nodes)
            curvature = [ad.grad(ad.grad(ad.logaddexp, i), j)(*operands) for i in (0, 1) for j in (0, 1)]
        assert_close(np.array(got, float), np.array(slopes), 0.0)
        assert_close(np.array(curvature, float), np.full(4, slopes[0] * 0.0), 0.0)


# ---- kernels -------------------------------------------------------------------------------------------------------

# At a million every kernel must know how to avoid what overflows on the way
FAR_OUT = {
    "elu": (1e6, -1.0), "selu": (1.0507009873554805e6, -1.0507009873554805 * 1.6732632423543772), "relu": (1e6, 0.0),
    "leaky_relu": (1e6, -1e4), "sigmoid": (1.0, 0.0), "log_sigmoid": (0.0, -1e6), "softplus": (1e6, 0.0),
    "tanh": (1.0, -1.0), "sech2": (0.0, 0.0), "gelu": (1e6, 0.0), "silu": (1e6, 0.0), "normal_cdf": (1.0, 0.0),
    "softsign": (1e6 / 1000001, -1e6 / 1000001), "arcsinh": (np.arcsinh(1e6), -np.arcsinh(1e6)),
    "arctan": (np.arctan(1e6), -np.arctan(1e6)),
}  # fmt: skip


@pytest.mark.promise(9)
@pytest.mark.parametrize("name", FAR_OUT)
def test_far_out_an_activation_has_its_limit_without_a_warning(name, figure):
    """pytest turns NumPy's warnings of an overflow into errors."""
    for points in ([np.array([1e6, -1e6])], [1e6, -1e6]):
        got = np.hstack([ROWS[name](x) for x in points])
        distance = assert_within_ulps(got, np.array(FAR_OUT[name]), 4, label=name)
        figure("error of an activation at a million, in ulp", distance, 4)
        nodes = [Tensor(x) if isinstance(x, np.ndarray) else Value(x) for x in points]
        slopes = np.hstack([reverse_by(ROWS[name](x), [x])[0] for x in nodes])
        assert np.all(np.abs(slopes) <= 1.1), name


@pytest.mark.promise(7)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_the_slope_of_the_binary_cross_entropy_is_right_in_every_precision(dtype):
    """A pass in the dtype itself: exp overflows somewhere else in each."""
    z = np.array([-600.0, -80.0, -9.0, -1.0, 0.0, 1.0, 9.0, 80.0, 600.0])
    z = z[np.abs(z) < np.log(np.finfo(dtype).max)].astype(dtype)
    for t, kind in itertools.product((0.0, 1.0), (dtype, np.float32)):  # between 0 and 1 a difference would be rounded
        target = np.full(z.shape, t, kind)
        slope = gradients(REGISTRY["binary_cross_entropy_with_logits"], [z, target])[0]
        wide = z.astype(np.longdouble)
        expected = ((1 - t) - t * np.exp(-wide)) / (1 + np.exp(-wide))
        assert slope.dtype == dtype
        limits = np.finfo(dtype)
        rounding = 4 * limits.eps  # eight roundings of eps / 2 at most
        np.testing.assert_allclose(slope, expected.astype(dtype), rtol=rounding, atol=limits.smallest_subnormal)


# ---- one number, and no keyword ------------------------------------------------------------------------------------


@pytest.mark.promise(5)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_of_one_number_is_that_of_an_array_of_one(name):
    row = REGISTRY[name]
    expected = float(row(np.array([3.0]))), *(float(g[0]) for g in gradients(row, [np.array([3.0])]))
    x = Value(3.0)
    y = row(x)
    y.backward()
    assert (row(3.0), float(row(np.array(3.0)))) == (expected[0],) * 2
    assert (y.data, x.grad) == expected


@pytest.mark.promise(5)
@pytest.mark.parametrize("operands", [(2.0, 0.5), (np.array(2.0), 0.5), (2.0, np.array(0.5))])
def test_a_mean_loss_takes_a_float_beside_an_array_of_one_number(operands):
    assert REGISTRY["mean_squared_error"](*operands) == 2.25
    got = REGISTRY["mean_binary_cross_entropy_with_logits"](*operands)
    assert_close(got, np.asarray(np.log1p(np.exp(2.0)) - 1.0), 1e-15)


@pytest.mark.promise(1)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_without_an_axis_is_that_over_all_axes(name):
    x = np.array([[0.5, 2.0, 1.0], [3.0, -1.0, 4.0]])
    bare, full = REGISTRY[name], lambda x: REGISTRY[name](x, axis=(0, 1), keepdims=False)
    assert_within_ulps(bare(x), full(x), 2)
    assert_close(ad.grad(bare)(x), ad.grad(full)(x), 1e-14)
    assert_close(ad.hessian(bare)(x), ad.hessian(full)(x), 1e-13, 1e-15)
    assert_close(ad.jvp(bare, (x,), (np.cos(x),))[1], ad.jvp(full, (x,), (np.cos(x),))[1], 1e-14)


def test_every_reduction_is_one_of_these():
    losses = {"softmax_cross_entropy", "mean_squared_error", "mean_binary_cross_entropy_with_logits"}
    assert {name for name, row in REGISTRY.items() if isinstance(row, Reduction)} == {*REDUCTIONS, *losses}


@pytest.mark.promise(5)
@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("item", {}, 2.5),
        ("cast", {"dtype": np.float32}, 2.5),
        ("reshape", {"shape": ()}, 2.5),
        ("transpose", {}, 2.5),
        ("broadcast_to", {"shape": (2,)}, [2.5, 2.5]),
        ("sum_to", {"shape": ()}, 2.5),
    ],
)
def test_layout_operations_take_a_plain_number(name, params, expected):
    assert np.asarray(REGISTRY[name](2.5, **params)).tolist() == expected


@pytest.mark.promise(5)
def test_from_values_takes_floats_and_arrays_of_one_number_and_gives_float64():
    gathered = REGISTRY["from_values"]
    for operands in ([1.5, 2.5], [np.array(1.5), 2.5], [np.array(1.5, np.float32), np.array(2.5, np.float32)]):
        y = gathered(*operands)
        assert y.tolist() == [1.5, 2.5]
        assert y.dtype == np.float64


@pytest.mark.parametrize(
    ("x", "shape"),
    [(1.0, ()), (2, ()), (np.ones((2, 3)), (2, 3)), (Value(1.0), ()), (Tensor([1.0]), (1,)), ([[1.0], [2.0]], (2, 1))],
)
def test_numbers_arrays_nodes_and_lists_have_the_shape_of_their_array(x, shape):
    assert array_rules.shape_of(x) == shape
    assert isinstance(x, list) or array_rules.size_of(x) == np.prod(shape)


CUBE = np.cos(np.arange(24.0)).reshape(2, 3, 4)


@pytest.mark.promise(1)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_cross_entropy"])
def test_without_an_axis_softmax_and_its_relatives_go_along_the_last(name):
    row = REGISTRY[name]
    xs = [CUBE, np.abs(CUBE[::-1])][: row.arity]
    bare, last = row, lambda *xs: row(*xs, axis=-1)
    assert_close(bare(*xs), last(*xs), 1e-15)
    seed, tangents = np.sin(1.0 + bare(*xs)), tuple(np.sin(x + 2.0) for x in xs)
    for got, expected in zip(gradients(bare, xs, seed), gradients(last, xs, seed), strict=True):
        assert_close(got, expected, 1e-14, 1e-16)
    assert_close(ad.jvp(bare, tuple(xs), tangents)[1], ad.jvp(last, tuple(xs), tangents)[1], 1e-14, 1e-16)


@pytest.mark.promise(1)
def test_without_an_axis_cumsum_runs_through_all_elements():
    x = Tensor(CUBE)
    y = REGISTRY["cumsum"](x)
    assert y.data.tolist() == np.cumsum(CUBE).tolist()
    y.backward(np.ones(24))
    assert x.grad.tolist() == np.arange(24.0, 0.0, -1.0).reshape(CUBE.shape).tolist()


# ---- nothing, and minus infinity -----------------------------------------------------------------------------------


@pytest.mark.promise(8)
@pytest.mark.parametrize("name", ["var", "std", "mean", "norm", "sum", "prod"])
@pytest.mark.parametrize("axis", [0, 1, (0, 1), None])
def test_a_reduction_of_nothing_has_a_gradient_of_nothing(name, axis):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's "Mean of empty slice"
        assert gradients(lambda x: REGISTRY[name](x, axis=axis), [np.ones((2, 0))])[0].shape == (2, 0)


@pytest.mark.promise(8)
def test_where_all_terms_are_minus_infinity_logsumexp_has_no_curvature_either():
    with np.errstate(all="ignore"):
        assert ad.hessian(ad.logsumexp)(np.full(2, -np.inf)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.promise(9)
def test_the_slope_of_a_probability_near_1_keeps_its_digits_in_every_row_of_a_batch(figure):
    """It is p * (1 - p), where 1 - p is exp(-40) and no difference of floats is."""
    x = np.zeros((3, 2))
    x[:, 0] = 40.0
    slopes = gradients(ad.softmax, [x], np.array([[1.0, 0.0]] * 3))[0]
    expected = np.exp(-40.0) / (1.0 + np.exp(-40.0)) ** 2
    share = assert_close(slopes, np.array([[expected, -expected]] * 3), 1e-13)
    figure("relative error of the slope of a probability near 1", share * 1e-13, 1e-13)


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operands", [(2.0, np.ones((3, 2))), (np.ones((4, 2)), 2.0), (np.ones(2), np.ones(2))])
def test_linear_takes_an_array_and_a_matrix_and_nothing_else(operands):
    with pytest.raises(ad.ShapeError, match="linear"):
        REGISTRY["linear"](*operands, 1.0)


@pytest.mark.parametrize("operands", [(2.0, np.ones((2, 2))), (np.ones((2, 2)), 2.0), (2.0, 2.0)])
def test_matmul_takes_no_numbers(operands):
    with pytest.raises(ad.ShapeError, match="matmul"):
        REGISTRY["matmul"](*operands)


# ---- einsum --------------------------------------------------------------------------------------------------------


@pytest.mark.promise(1)
@pytest.mark.parametrize("formula", ["aa->", "aa,b->b", "aab,c->b", "abb,b->ba", "bb,aa->ab"])
def test_a_repeated_letter_is_differentiated_whatever_the_letters_are(formula):
    """The rule needs letters that occur nowhere in the formula: not even the first of the alphabet are safe."""
    shapes = [(2,) * len(term) for term in formula.partition("->")[0].split(",")]
    xs = [np.cos(1.0 + np.arange(np.prod(shape))).reshape(shape) for shape in shapes]
    for i, got in enumerate(gradients(lambda *xs: ad.einsum(formula, *xs), xs)):
        for at in np.ndindex(xs[i].shape):
            unit = np.zeros(xs[i].shape)
            unit[at] = 1.0
            expected = np.sum(np.einsum(formula, *xs[:i], unit, *xs[i + 1 :]))
            assert_close(got[at], expected, 1e-14, 1e-15, label=f"{formula}, operand {i} at {at}")


INF, NAN = np.inf, np.nan


@pytest.mark.promise(8)
@pytest.mark.parametrize(
    ("row", "logsumexp", "log_softmax"),
    [
        ([INF, 0.0], INF, [NAN, -INF]),
        ([INF, INF], INF, [NAN, NAN]),
        ([INF, -INF], INF, [NAN, -INF]),
        ([-INF, -INF], -INF, [-INF, -INF]),
        ([-INF, 0.0], 0.0, [-INF, 0.0]),
        ([NAN, INF], NAN, [NAN, NAN]),
    ],
)
def test_rows_with_infinities_have_the_values_of_the_limits_or_nan(row, logsumexp, log_softmax):
    """Those of SciPy, but for the logarithms of a row of -inf, which are -inf here and nan there."""
    x = np.array(row)
    np.testing.assert_equal(REGISTRY["logsumexp"](x), logsumexp)
    with np.errstate(invalid="ignore"):
        np.testing.assert_equal(np.logaddexp(*row), logsumexp)
    np.testing.assert_array_equal(REGISTRY["log_softmax"](x), log_softmax)
