"""What a report says, word for word, and how one derivative is judged."""

import math

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientError
from autodiff.testing import check_gradients, check_rule
from autodiff.testing.report import Comparison, Reference, Report, compared


def comparison(mine=2.0, value=2.0, verdict="right", index=(1, 0), error=1e-9, allowed=2e-6):
    return Comparison("gradient", "argument 0 (w)", index, mine, Reference(value, error, 7.6e-6), allowed, verdict)


def judge(mine, value, error=1e-10, tolerance=1e-6, scale=0.0, unit=1.0, kink=False, exact=False):
    """Return the verdict on one derivative."""
    reference = Reference(value, error, 7.6e-6)
    return compared("gradient", "x", (), mine, reference, tolerance, scale, unit, kink, exact).verdict


# ---- one derivative --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "case"),
    [
        ("right", {"mine": 2.1 + 1e-6, "value": 2.1}),
        ("wrong", {"mine": 2.1 + 3e-6, "value": 2.1}),
        ("wrong", {"mine": -2.1, "value": 2.1}),
        ("wrong", {"mine": math.nan, "value": 2.1}),
        ("wrong", {"mine": math.inf, "value": 2.1}),
        ("kink", {"mine": 7.3, "value": 2.1, "kink": True}),
        # a reference too uncertain proves nothing, unless the difference is ten times its uncertainty
        ("ill-conditioned", {"mine": 2.1, "value": 2.1, "error": 0.01}),
        ("ill-conditioned", {"mine": 2.19, "value": 2.1, "error": 0.01}),
        ("wrong", {"mine": 2.3, "value": 2.1, "error": 0.01}),
        # what is next to nothing in a large gradient is judged in units of that gradient
        ("ill-conditioned", {"mine": 1e-9, "value": 1.3e-9}),
        ("right", {"mine": 1e-9, "value": 1.3e-9, "scale": 1.0, "error": 1e-9}),
        # zero, up to the rounding of values of size 1
        ("right", {"mine": 0.0, "value": 3e-11}),
        ("ill-conditioned", {"mine": 0.0, "value": 3e-11, "unit": 1e-6}),
        ("wrong", {"mine": 1e-4, "value": 3e-11}),
        # no tolerance but the error of the reference, where that is confirmed by a complex step
        ("right", {"mine": 2.1 + 1e-10, "value": 2.1, "exact": True}),
        ("wrong", {"mine": 2.1 + 1e-7, "value": 2.1, "exact": True}),
        # rounded to float32, which a tolerance of 1e-6 would let pass
        ("wrong", {"mine": float(np.float32(0.7)), "value": 0.7}),
        ("right", {"mine": 0.75, "value": 0.75 + 1e-10}),
    ],
)
def test_the_verdict_on_one_derivative(verdict, case):
    assert judge(**case) == verdict


def test_a_comparison_has_both_errors():
    off = comparison(mine=3.0, value=2.0)
    assert [off.error, off.relative_error] == [1.0, 0.5]
    assert comparison(mine=1.0, value=0.0).relative_error == math.inf
    assert comparison(mine=0.0, value=0.0).relative_error == 0.0


@pytest.mark.parametrize(
    ("index", "place"),
    [((1, 0), "argument 0 (w) at (1, 0)"), ((), "argument 0 (w)"), (None, "argument 0 (w), along a direction")],
)
def test_the_place_of_an_element_of_a_number_and_of_a_direction(index, place):
    assert comparison(index=index).place == place


# ---- reports ---------------------------------------------------------------------------------------------------------


def test_the_worst_is_the_one_farthest_off_for_what_is_allowed_a_wrong_one_first():
    slightly, badly, nan = (comparison(mine, verdict="wrong") for mine in (2.1, 5.0, math.nan))
    fine = comparison(mine=2.0 + 1e-6)
    kink = comparison(mine=9.0, verdict="kink")
    assert Report("f", [fine, slightly, badly, kink]).worst is badly
    assert Report("f", [badly, nan, slightly]).worst is nan
    assert Report("f", [comparison(), fine, kink]).worst is fine
    assert Report("f", [kink]).worst is kink
    assert Report("f").worst is None


def test_a_fifth_may_be_skipped_and_no_more():
    kinks, fine = [comparison(verdict="kink")], [comparison()]
    enough, too_few = Report("f", kinks + 4 * fine), Report("f", kinks + 3 * fine)
    assert [enough.judged, enough.ok] == [True, True]
    assert [too_few.judged, too_few.ok] == [False, False]
    assert [len(enough.skipped), len(enough.wrong)] == [1, 0]
    assert not Report("f", 4 * fine + kinks, most_skipped=0.1).judged


def test_one_wrong_derivative_or_one_problem_is_enough():
    assert not Report("f", 99 * [comparison()] + [comparison(verdict="wrong")]).ok
    assert not Report("f", 99 * [comparison()], ["the arguments were changed"]).ok
    assert Report("f").ok


def test_merging_takes_over_everything():
    first = Report("f", [comparison()], ["a problem"])
    first.merge(Report("g", [comparison(verdict="kink")], ["another"], diagnosis="sign flipped"))
    assert [c.verdict for c in first.comparisons] == ["right", "kink"]
    assert first.problems == ["a problem", "another"]
    assert first.diagnosis == "sign flipped"
    assert first.name == "f"


# ---- word for word ---------------------------------------------------------------------------------------------------


def square_loss(w):
    return np.sum(w**2)


def text(check, *args, **options):
    """Return the report but for the diagnosis, whose words are tested with it."""
    try:
        found = str(check(*args, **options))
    except GradientError as error:
        found = str(error)
    return found.partition("\n  likely ")[0]


def test_the_report_of_a_right_gradient():
    assert text(check_gradients, square_loss, np.array([1.0, 2.5]), gradient=lambda w: 2 * w) == (
        "square_loss: right (2 derivatives compared; largest error 0, gradient by argument 0 (w) at (0,))"
    )


def test_the_report_of_a_wrong_gradient():
    assert text(check_gradients, square_loss, np.array([1.3, 2.5]), gradient=lambda w: np.array([2.6, -5.0])) == (
        "square_loss: wrong gradient by argument 0 (w) at (1,)\n"
        "  mine       -5\n"
        "  reference  5   (six-point difference and complex step, step 1.5e-05, error below 2e-09)\n"
        "  error      10, relative 2; allowed 2e-09\n"
        "  verdict    wrong: 1 wrong of 2 derivatives compared"
    )


def test_the_report_of_a_problem():
    assert text(check_gradients, square_loss, np.array([1.3, 2.5]), gradient=lambda w: (2 * w)[None]) == (
        "square_loss: the gradient by argument 0 (w) has shape (1, 2), but the argument has (2,)"
    )


def test_the_diagnosis_stands_below_the_numbers_in_lines_that_are_not_too_long():
    report = Report(
        "f", problems=["has two faults", "and a third"], diagnosis="sign flipped. " + 12 * "Evidence. " + "\n  remedy"
    )
    assert str(report) == (
        "f: has two faults\n"
        "f: and a third\n"
        "  likely     sign flipped. Evidence. Evidence. Evidence. Evidence. Evidence. Evidence. Evidence.\n"
        "             Evidence. Evidence. Evidence. Evidence. Evidence.\n"
        "  remedy"
    )


def test_the_report_of_a_point_that_cannot_be_judged():
    assert text(check_gradients, lambda x: np.abs(x), 0.0, modes="reverse", name="f") == (
        "f: could not be judged: 1 not differentiable here, of 1 derivatives; choose other points. First of them: "
        "gradient by argument 0 (x)\n"
        "  mine       0\n"
        "  verdict    not differentiable here: a corner, a jump, or values that are not finite beside this point"
    )


def test_the_report_of_a_wrong_operation():
    half = ad.elementwise("half_square", lambda x: x * x, np.square, lambda y, x: x)
    assert text(check_rule, half, points=1) == (
        "half_square: wrong gradient by operand 0 at half_square(-3.67221)\n"
        "  mine       -3.67221\n"
        "  reference  -7.34442   (complex step, step 1e-20, error below 0)\n"
        "  error      3.67, relative 0.5; allowed 7e-12\n"
        "  verdict    wrong: 1 wrong of 1 derivatives compared"
    )
