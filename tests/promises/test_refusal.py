"""Promise 30: the kit refuses to judge where there is no derivative, counts what it skips, and fails if it is too much.

Refusing is not blindness: just beside a kink, as near as a few of the shortest steps, it judges like everywhere.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientError
from autodiff.testing import check_gradients, check_rule

pytestmark = pytest.mark.promise(30)

RIGHT, WRONG, KINK, ILL = "right", "wrong", "kink", "ill-conditioned"


class Point(NamedTuple):
    """A function, a point, a derivative somebody claims it has there, and what the kit has to say."""

    name: str
    f: Callable[[float], float]
    x: float
    claimed: float
    verdict: str


def real(f):
    """Return f for real numbers only, so that no complex step helps."""
    return lambda x: float(f(float(x)))


STEP = real(lambda x: x > 0)
ABS = real(abs)
RELU = real(lambda x: max(x, 0.0))
SQUARED_RELU = real(lambda x: max(x, 0.0) ** 2)
SIGNED_SQUARE = real(lambda x: x * abs(x))
SQRT = real(lambda x: math.sqrt(x) if x >= 0 else math.nan)
LOG = real(lambda x: math.log(x) if x > 0 else math.nan)
SLANTED = real(lambda x: x + 1e-3 * abs(x - 0.7))
HIGH = real(lambda x: 1e12 + x)

POINTS = [
    # corners
    Point("abs", ABS, 0.0, 0.0, KINK),
    Point("abs", ABS, 0.0, 1.0, KINK),
    Point("relu", RELU, 0.0, 0.0, KINK),
    Point("relu", RELU, 0.0, 1.0, KINK),
    Point("a slight corner", SLANTED, 0.7, 1.0, KINK),
    Point("|x|**1.5", real(lambda x: abs(x) ** 1.5), 0.0, 0.0, KINK),
    Point("sqrt(|x|)", real(lambda x: math.sqrt(abs(x))), 0.0, 0.0, KINK),
    Point("cbrt", real(np.cbrt), 0.0, math.inf, KINK),
    Point("triangle wave", real(lambda x: abs(x - round(x))), 2.5, 0.0, KINK),
    # jumps
    Point("step", STEP, 0.0, 0.0, KINK),
    Point("floor", real(math.floor), 3.0, 0.0, KINK),
    Point("a small jump", real(lambda x: x + 1e-3 * (x > 2)), 2.0, 1.0, KINK),
    Point("a jump between two slopes", real(lambda x: x if x < 1 else 3 * x), 1.0, 1.0, KINK),
    # values that are not finite beside the point
    Point("sqrt", SQRT, 0.0, math.inf, KINK),
    Point("log", LOG, 0.0, math.inf, KINK),
    Point("1 / x", real(lambda x: 1 / x if x else math.inf), 0.0, -math.inf, KINK),
    Point("log too near 0", LOG, 1e-12, 1e12, KINK),
    # beside a corner or a jump everything is judged, rightly
    *(Point("abs", ABS, x, sign, RIGHT) for x in (1e-3, 1e-5, 1e-7, -1e-7) for sign in [math.copysign(1, x)]),
    *(Point("abs", ABS, x, claimed, WRONG) for x, claimed in ((1e-5, -1.0), (1e-7, 0.0), (-1e-7, 1.0))),
    Point("relu", RELU, 1e-7, 1.0, RIGHT),
    Point("relu", RELU, -1e-7, 0.0, RIGHT),
    Point("relu", RELU, -1e-7, 1.0, WRONG),
    Point("a slight corner", SLANTED, 0.7 + 1e-6, 1.001, RIGHT),
    Point("a slight corner", SLANTED, 0.7 + 1e-6, 0.999, WRONG),
    Point("step", STEP, 1e-5, 0.0, RIGHT),
    Point("step", STEP, 1e-5, 1.0, WRONG),
    Point("sqrt", SQRT, 1e-5, 0.5 / math.sqrt(1e-5), RIGHT),
    Point("sqrt", SQRT, 1e-5, 1.001 * 0.5 / math.sqrt(1e-5), WRONG),
    Point("log", LOG, 1e-5, 1e5, RIGHT),
    Point("log", LOG, 1e-5, 1.0, WRONG),
    # once differentiable: there is a derivative, but no curvature to bound the error with
    Point("x|x|", SIGNED_SQUARE, 0.0, 0.0, ILL),
    Point("x|x|", SIGNED_SQUARE, 0.0, 1.0, WRONG),
    Point("x|x| + x", real(lambda x: x * abs(x) + x), 0.0, 1.0, RIGHT),
    Point("x|x|", SIGNED_SQUARE, 1e-5, 2e-5, RIGHT),
    Point("squared relu", SQUARED_RELU, 0.0, 0.0, ILL),
    Point("squared relu", SQUARED_RELU, 0.0, 1.0, WRONG),
    Point("squared relu + x", real(lambda x: max(x, 0.0) ** 2 + x), 0.0, 1.0, RIGHT),
    # rounding drowns the difference
    Point("1e12 + x", HIGH, 2.0, 1.0, ILL),
    Point("1e12 + x", HIGH, 2.0, 1.5, ILL),
    Point("1e12 + x", HIGH, 2.0, 1e6, WRONG),
    Point("1e12 + x, for complex numbers too", lambda x: 1e12 + x, 2.0, 1.0, RIGHT),
    Point("rounded to 6 digits", real(lambda x: round(math.sin(x), 6)), 0.3, math.cos(0.3), ILL),
    Point("a float32 function", real(lambda x: np.sin(np.float32(x))), 0.3, math.cos(0.3), ILL),
    # huge curvature
    Point("sin(1e4 x)", real(lambda x: math.sin(1e4 * x)), 1.3, 1e4 * math.cos(1.3e4), RIGHT),
    Point("sin(1e4 x)", real(lambda x: math.sin(1e4 * x)), 1.3, 1e4 * math.sin(1.3e4), WRONG),
    Point("exp(100 x)", real(lambda x: math.exp(100 * x)), 2.0, 100 * math.exp(200), RIGHT),
    Point("1 / (x - 1)", real(lambda x: 1 / (x - 1)), 1.0001, -1e8, RIGHT),
    Point("a narrow bell", real(lambda x: math.exp(-(((x - 1) / 1e-3) ** 2))), 1.0005, -1e3 * math.exp(-0.25), RIGHT),
    # zero, where symmetry or cancellation makes it
    Point("x**2", real(lambda x: x * x), 0.0, 0.0, RIGHT),
    Point("cos", real(math.cos), 0.0, 0.0, RIGHT),
    Point("cos", real(math.cos), 0.0, 1e-3, WRONG),
    Point("a constant", real(lambda x: 5.0), 0.3, 0.0, RIGHT),
    Point("a constant", real(lambda x: 5.0), 0.3, 1e-6, WRONG),
]


@pytest.mark.parametrize("point", POINTS, ids=lambda p: f"{p.name} at {p.x:g}, claimed {p.claimed:.3g}")
def test_the_verdict_at_a_difficult_point(point, figure):
    # right elsewhere, if f is not random: what is judged is this point alone
    gradient = lambda x: point.claimed if x == point.x else math.nan
    try:
        report = check_gradients(point.f, point.x, gradient=gradient)
    except GradientError as error:
        report = error.report
    assert report.comparisons[0].verdict == point.verdict
    figure("difficult points judged, refused or contradicted as they should be")


def test_what_is_skipped_is_counted_and_more_than_a_fifth_of_it_fails(figure):
    x = np.array([0.0, 0.0, *np.linspace(-1.7, 1.9, 8)])
    report = check_gradients(lambda x: np.sum(ad.relu(x)), x)
    assert [len(report.comparisons), len(report.skipped)] == [20, 4]  # each in reverse and in forward mode
    assert {c.index for c in report.skipped} == {(0,), (1,)}
    assert "20 derivatives compared, 4 skipped" in str(report)
    x[2] = 0.0
    with pytest.raises(
        GradientError, match="could not be judged: 6 not differentiable here, of 20 derivatives"
    ) as failure:
        check_gradients(lambda x: np.sum(ad.relu(x)), x)
    report = failure.value.report
    assert not report.wrong
    assert len(report.skipped) == 6
    figure("skipped, of 20 derivatives", 4, 4)


def test_a_refusal_says_why_and_what_to_do(figure):
    with pytest.raises(GradientError) as failure:
        check_gradients(abs, 0.0, modes="reverse")
    assert str(failure.value) == (
        "abs: could not be judged: 1 not differentiable here, of 1 derivatives; choose other points. First of them: "
        "gradient by argument 0 (x)\n"
        "  mine       0\n"
        "  verdict    not differentiable here: a corner, a jump, or values that are not finite beside this point"
    )
    figure("refusals that say why")


def test_an_operation_is_judged_beside_its_kinks_and_not_at_them(figure):
    report = check_rule(ad.relu)
    at_the_kink = [c for c in report.comparisons if c.argument.endswith("relu(0)")]
    assert [c.verdict for c in at_the_kink if c.part == "gradient"] == ["kink"]
    assert len(report.skipped) >= 1
    assert all(c in at_the_kink for c in report.skipped)
    figure(f"derivatives of relu refused: {len(report.skipped)} of {len(report.comparisons)}")


def test_an_operation_that_is_rough_everywhere_cannot_be_judged(figure):
    staircase = lambda x: np.round(x, 5)
    rough = ad.elementwise("rough", lambda x: float(staircase(x)), staircase, 1.0)
    with pytest.raises(GradientError, match="rough: could not be judged") as failure:
        check_rule(rough)
    report = failure.value.report
    assert not report.wrong
    figure(f"derivatives of a staircase refused: {len(report.skipped)} of {len(report.comparisons)}")
