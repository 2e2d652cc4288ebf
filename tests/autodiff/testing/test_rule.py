"""check_rule: what it draws, what it accepts, and what it holds of an operation besides its derivatives."""

import math
import re

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientError
from autodiff.primitive import REGISTRY
from autodiff.testing import check_rule

X = np.array([[0.7, -1.3, 0.4], [1.9, 0.2, -0.8]])


def failure(*args, **options):
    with pytest.raises(GradientError) as caught:
        check_rule(*args, **options)
    return str(caught.value)


def cube(**facts):
    """Return a right row."""
    return ad.elementwise("cube", lambda x: x**3, lambda x: x**3, lambda y, x: 3 * ad.square(x), **facts)


def points_of(report):
    """Return the points at which the first derivative was judged."""
    places = [c.argument for c in report.comparisons if c.argument.startswith("operand 0 at")]
    return [tuple(map(float, place.rpartition("(")[2][:-1].split(", "))) for place in places]


def hypotenuse(**facts):
    return ad.elementwise(
        "hypotenuse",
        math.hypot,
        np.hypot,
        lambda y, a, b: ad.div(a, y),
        lambda y, a, b: ad.div(b, y),
        kinks=ad.hypot,
        **facts,
    )


# ---- where it looks --------------------------------------------------------------------------------------------------


def test_200_points_of_all_sizes_are_drawn_special_ones_among_them():
    points = [x for (x,) in points_of(check_rule(cube()))]
    assert len(points) == 200
    assert {0.0, 1.0, -1.0, 0.5, 2.0, -3.0} <= set(points)
    assert sum(abs(x) > 10 for x in points) >= 5
    assert sum(abs(x) < 0.1 for x in points) >= 5


def test_a_report_shows_the_very_point():
    row = cube()
    report = check_rule(row)
    slopes = [c.mine for c in report.comparisons if c.part == "gradient" and c.argument.startswith("operand")]
    assert slopes == [ad.grad(row)(x) for (x,) in points_of(report)]


def test_points_lie_inside_the_domain():
    row = ad.elementwise("root", ad.floats.sqrt, np.sqrt, lambda y, x: 0.5 / y, domain=[(0.0, np.inf)])
    assert all(x > 0 for (x,) in points_of(check_rule(row)))
    row = ad.elementwise(
        "angle", ad.floats.arcsin, np.arcsin, lambda y, x: 1 / ad.sqrt(1 - x * x), domain=[(-1.0, 1.0)]
    )
    assert all(-1 < x < 1 for (x,) in points_of(check_rule(row)))
    below = ad.elementwise(
        "log_minus", lambda x: math.log(-x), lambda x: np.log(-x), lambda y, x: 1 / x, domain=[(-np.inf, 0.0)]
    )
    assert all(x < 0 for (x,) in points_of(check_rule(below)))


def test_special_points_meet_in_every_combination_of_two_operands():
    points = points_of(check_rule(hypotenuse(domain=[(0.0, np.inf), (-np.inf, np.inf)])))
    assert {(a, b) for a in (0.5, 1.0, 2.0) for b in (0.0, 1.0, -1.0, 0.5, 2.0, -3.0)} <= set(points)


def test_the_seed_chooses_the_points_and_their_number_can_be_given():
    row = cube()
    first, again, other = (points_of(check_rule(row, points=20, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 20


def test_example_operands_are_judged_instead_of_drawn_ones():
    report = check_rule(cube(), X)
    assert {c.argument for c in report.comparisons} == {"argument 0", "argument 0 in float32"}
    assert {c.index for c in report.comparisons} == set(np.ndindex(2, 3))
    assert check_rule(cube(), 0.7).ok
    assert check_rule(cube(), [1, 2]).ok


def test_an_operation_on_arrays_needs_no_operands_if_it_takes_common_ones():
    double = ad.array_op("double", lambda x: 2 * x, lambda g, y, x: 2 * g)
    report = check_rule(double)
    shapes = {c.argument for c in report.comparisons if "tie" not in c.argument and "float32" not in c.argument}
    assert shapes == {f"argument 0 (operands of shape {shape})" for shape in ("(2, 3)", "(3, 3)", "(4,)")}


def test_an_operation_whose_operands_cannot_be_guessed_asks_for_them():
    with pytest.raises(
        TypeError, match=r"reshape takes none of the operands tried; give examples: check_rule\(reshape"
    ):
        check_rule(REGISTRY["reshape"])
    assert check_rule(REGISTRY["reshape"], X, shape=(3, 2)).ok


def test_an_operation_without_any_derivative_is_refused():
    constant = ad.array_op("constant", np.ones_like, None)
    with pytest.raises(TypeError, match="constant has no derivative by any operand"):
        check_rule(constant, X)


def test_a_condition_stays_a_condition():
    chosen = ad.array_op(
        "chosen", lambda x, mask: x[mask], lambda g, y, x, mask: ad.scatter(g, index=mask, shape=x.shape), None,
        pushforwards=[lambda t, y, x, mask: ad.getitem(t, index=mask), None],
    )  # fmt: skip
    report = check_rule(chosen, X, X > 0)
    assert {c.argument.split()[1] for c in report.comparisons} == {"0"}


def test_a_reduction_is_judged_along_axes_too():
    kernel = lambda x, axis=None, keepdims=False: np.sum(x * x, axis, keepdims=keepdims)
    report = check_rule(ad.reduction("energy", kernel, lambda y, x, **params: 2 * x))
    assert {"(axis=0", "(axis=-1"} <= {part for c in report.comparisons for part in c.argument.replace(",", "").split()}
    ignoring = ad.reduction("ignoring", lambda x, axis=None, keepdims=False: np.var(x, axis, keepdims=keepdims),
                            lambda y, x, **params: 2 * (x - ad.mean(x)) / x.size)  # fmt: skip
    assert "argument 0 (axis=0, operands of shape (2, 3)) at" in failure(ignoring)
    assert check_rule(ad.sum, 0.7).ok


# ---- what it holds besides derivatives -------------------------------------------------------------------------------


def test_the_third_derivative_is_judged():
    parts = {c.part for c in check_rule(cube()).comparisons}
    assert {"gradient", "second derivative", "third derivative", "forward mode"} == parts


def test_operands_are_also_judged_where_they_broadcast_and_where_they_are_one():
    variants = {c.argument for c in check_rule(hypotenuse()).comparisons if c.argument.startswith("argument")}
    assert {name.partition(") ")[2] for name in variants} == {
        "", "in float32", "where they broadcast", "where all operands are one"
    }  # fmt: skip


def test_the_kernels_for_floats_and_arrays_are_one_function():
    odd = ad.elementwise("odd", lambda x: x * 1.001, lambda x: 1.0 * x, 1.0)
    assert re.search(r"odd: at odd\(1\): the kernel for floats gives 1\.001, that for arrays 1\.0", failure(odd))
    pair = ad.array_op("pair", np.add, lambda g, *_: g, lambda g, *_: g, scalar=lambda a, b: a - b)
    assert re.search(r"pair: at pair\(.+\): the kernel for floats gives", failure(pair))
    log = ad.elementwise("school_log", math.log, np.log, lambda y, x: 1 / x)
    assert "floats raise ValueError where arrays do not; write it with autodiff's functions" in failure(log)


def test_a_partial_of_floats_is_a_float():
    numpys = ad.elementwise("numpys", math.sin, np.sin, lambda y, x: np.cos(x))
    assert "of floats its partial 0 is a float64; write it with autodiff's functions" in failure(numpys)
    # of bool or int, as of a comparison, floats make floats
    sign = ad.elementwise(
        "ramp", lambda x: max(x, 0.0), lambda x: np.maximum(x, 0), lambda y, x: ad.primitive.raw(x) > 0
    )
    assert check_rule(sign).ok


def test_nothing_that_a_rule_is_given_may_change():
    def greedy(g, *_):
        if isinstance(g, np.ndarray):
            g *= 2.0
            return g
        return 2.0 * g

    assert "its pullback 0 changes an array that it is given" in failure(ad.array_op("greedy", lambda x: 2 * x, greedy))
    emptied = ad.array_op("emptied", lambda x: x.fill(0.0) or np.zeros_like(x), lambda g, y, x: 0 * g)
    assert "its kernel changes an array that it is given" in failure(emptied)


def test_no_array_is_returned_twice():
    shared = np.empty((2, 3))
    buffered = ad.array_op("buffered", lambda x: np.multiply(2, x, out=shared if x.shape == (2, 3) else None),
                           lambda g, y, x: 2 * g)  # fmt: skip
    assert "its kernel writes over the array that it returned before" in failure(buffered, X)


def test_float32_stays_float32():
    wide = ad.array_op("wide", lambda x: 2.0 * x.astype(np.float64), lambda g, y, x: 2.0 * g)
    assert "its kernel gives float64 for float32" in failure(wide)
    assert check_rule(REGISTRY["cast"], X, dtype=np.float64).ok  # which is asked for it


def test_a_pullback_is_linear_and_zero_for_zero():
    total = lambda pullback: ad.array_op("total", np.sum, pullback)
    spread = lambda g, x: ad.broadcast_to(g, shape=x.shape)
    assert "the pullback is not linear" in failure(total(lambda g, y, x: spread(ad.abs(g), x)))
    assert "the pullback is not linear" in failure(total(lambda g, y, x: spread(g * g, x)))
    assert "the pullback of a zero gradient is not zero" in failure(total(lambda g, y, x: spread(g, x) + 1e-13))
    assert check_rule(total(lambda g, y, x: spread(g, x))).ok


def test_forward_mode_is_the_transpose_of_reverse_mode():
    """Where the operation is large, both are judged along a few directions only; this compares them as a whole."""
    many = np.random.default_rng(0).normal(size=(10, 10))
    half = ad.array_op("half", lambda x: 0.5 * x, lambda g, y, x: 0.5 * g, pushforwards=[lambda t, y, x: 0.5 * t])
    assert check_rule(half, many).ok
    tilted = ad.array_op(
        "tilted", lambda x: 0.5 * x, lambda g, y, x: 0.5 * g, pushforwards=[lambda t, y, x: 0.5000001 * t]
    )
    assert "wrong forward mode" in failure(tilted, many)
