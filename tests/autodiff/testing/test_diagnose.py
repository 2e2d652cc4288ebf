"""`diagnose` on small gradients that can be checked by eye; whole backward passes are in tests/promises."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import Tensor, Value
from autodiff.testing.diagnose import MISTAKES, Diagnosis, diagnose
from autodiff.testing.mistakes import FEW, ReversePass

RIGHT = np.array([[1.5, -2.25, 0.7], [3.1, 0.45, -1.3]])


def names(found):
    """Return every explanation's name, the preferred one first."""
    return [found.mistake, *(other.mistake for other in found.others)]


# ---- right or wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mine", [RIGHT, RIGHT.tolist(), Tensor(RIGHT), RIGHT[:, ::-1][:, ::-1]])
def test_a_gradient_equal_to_the_reference_is_right(mine):
    found = diagnose(mine, RIGHT)
    assert found == Diagnosis(True, None, "The largest difference is 0.")
    assert str(found) == "right. The largest difference is 0."


@given(seed=st.integers(0, 2**32 - 1), power=st.integers(-6, 6))
def test_an_error_below_1e_6_of_each_element_is_none(seed, power):
    rng = np.random.default_rng(seed)
    right = 10.0**power * rng.normal(size=(3, 4))
    assert diagnose(right * (1 + 9e-7 * rng.uniform(-1, 1, size=right.shape)), right).correct
    assert not diagnose(right * (1 + 1e-5 * rng.choice([-1, 1], size=right.shape)), right).correct


def test_a_small_element_is_compared_with_itself_not_with_the_largest():
    assert not diagnose(np.array([1e6, 2.0]), np.array([1e6, 1.0])).correct
    assert diagnose(np.array([1.0, 1e-9]), np.array([1.0, 2e-9])).correct  # the error of a difference quotient


def test_what_rounding_leaves_of_zero_is_zero():
    assert diagnose(np.array([1e-17, -3e-16]), np.zeros(2)).correct
    assert diagnose(0.0, 1e-17).correct
    assert not diagnose(np.array([1e-10, 0.0]), np.zeros(2)).correct


def test_the_same_infinite_or_undefined_elements_are_right_and_others_are_not():
    right = np.array([np.inf, np.nan, 1.0])
    assert diagnose(right.copy(), right).correct
    found = diagnose(np.array([np.inf, 2.0, 1.0]), right)
    assert not found.correct
    assert (found.mistake, found.evidence) == (None, "The reference itself is not finite, so nothing can be said.")
    assert not diagnose(np.array([np.inf, np.nan, 7.0]), right).correct


def test_a_single_precision_gradient_is_judged_by_the_precision_of_the_reference():
    digits = np.array([1.00001, -0.50001, 2.00002])
    mine = digits.astype(np.float32)
    right = digits + np.array([1e-5, 2e-5, -1e-5])
    assert diagnose(mine, right.astype(np.float32)).correct
    assert names(diagnose(mine, right)) == ["computed in low precision"]
    assert diagnose(mine * np.float32(2), right.astype(np.float32)).mistake == "off by a factor"


def test_an_empty_gradient_is_right_in_the_right_shape_only():
    assert diagnose(np.zeros((0, 3)), np.zeros((0, 3))).correct
    assert not diagnose(np.zeros((0, 3)), np.zeros((3, 0))).correct


# ---- names that two arrays are enough for ------------------------------------------------------------------------

COLUMN = np.array([0.7, -1.2, 3.4, 2.2])
CUBE = np.arange(1.0, 19.0).reshape(3, 2, 3) ** 0.5
NEARLY = RIGHT * [[1.0004, 1.0001, 1], [0.9998, 1, 1.0003]]

FACTOR, BATCH, TOO_MANY = "off by a factor", "not summed over the batch", "summed over an axis too many"
SEEN_IN_TWO_ARRAYS = [
    (None, RIGHT, "no gradient returned", "The gradient is None."),
    (0 * RIGHT, RIGHT, "all zeros", "Every element is 0"),
    (np.where(RIGHT > 3, np.nan, RIGHT), RIGHT, "nan or inf", "Element (1, 0) is nan or inf; the rest is right."),
    (np.full((2, 3), np.inf), RIGHT, "nan or inf", "6 of 6 elements, the first at (0, 0), are nan or inf."),
    (-RIGHT, RIGHT, "sign flipped", "Yours is -1 times the right gradient"),
    (-2.5, 2.5, "sign flipped", "Yours is -1 times the right gradient"),
    (RIGHT * [1, -1, 1], RIGHT, "sign flipped in part", "Column 1 is of the wrong sign"),
    (2 * COLUMN, COLUMN, FACTOR, "Yours is 2 times the right gradient (residual 0)."),
    (-0.5 * COLUMN, COLUMN, FACTOR, "Yours is -0.5 times the right gradient"),
    (COLUMN / 4, COLUMN, FACTOR, "Yours is 0.25 times the right gradient, 1/n with n = 4, the length of axis 0 of the"),
    (8 * COLUMN, COLUMN, FACTOR, "Yours is 8 times the right gradient, 2n with n = 4, the length of axis 0 of the gr"),
    (6 * RIGHT, RIGHT, FACTOR, "Yours is 6 times the right gradient, and n = 6 is the number of elements of the grad"),
    (3.7 * RIGHT, RIGHT, FACTOR, "Yours is 3.7 times the right gradient (residual"),
    (RIGHT / np.linalg.norm(RIGHT), RIGHT, FACTOR, "Yours is 0.227596 times the right gradient, 1 / its norm: it was"),
    (RIGHT.T, RIGHT, "transposed", "The transpose of yours is the right gradient"),
    (CUBE.transpose(1, 2, 0), CUBE, "axes permuted", "np.transpose(yours, (2, 0, 1)) is the right gradient"),
    (RIGHT.T.reshape(2, 3), RIGHT, "reshaped instead of transposed", "Yours is the transpose of the right gradient"),
    (RIGHT.ravel(), RIGHT, "wrong shape", "The numbers are right, but the shape is (6,) instead of (2, 3)"),
    (RIGHT, RIGHT.sum(axis=0), BATCH, "The sum of yours over axis 0 (of length 2) is the right gradient"),
    (RIGHT, RIGHT.mean(axis=0), BATCH, "The mean of yours over axis 0 (of length 2) is the right gradient"),
    (RIGHT, RIGHT.sum(), BATCH, "The sum of yours is the right gradient"),
    (RIGHT.sum(axis=1), RIGHT, TOO_MANY, "Yours is the sum of the right gradient over axis 1"),
    (0 * RIGHT + RIGHT.mean(axis=0), RIGHT, TOO_MANY, "Yours is the mean of the right gradient over axis 0, in every"),
    (RIGHT * [0, 1, 0], RIGHT, "one row or column only", "Only index 1 of axis 1 is right, everything else is 0"),
    (RIGHT * [0, 1, 1], RIGHT, "some entries missing", "Column 0 is 0, and the rest is right"),
    (COLUMN * [1, 0, 0, 1], COLUMN, "some entries missing", "Elements 1, 2 are 0, and the rest is right"),
    (COLUMN * [1, 1, 1, 0], COLUMN, "some entries missing", "Element 3 is 0, and the rest is right"),
    (CUBE * [[[1]], [[0]], [[1]]], CUBE, "some entries missing", "In axis 0, slice 1 is 0, and the rest is right"),
    (RIGHT[:, ::-1], RIGHT, "axis reversed", "Yours is right in the opposite order along axis 1"),
    (np.roll(COLUMN, 1), COLUMN, "axis permuted", "The slices of yours along axis 0 are right, but shifted by 1"),
    (np.trunc(10 * RIGHT), 10 * RIGHT, "truncated to integers", "Yours is the right gradient without its decimals"),
    (RIGHT + 0.125, RIGHT, "off by a constant", "Yours is the right gradient plus 0.125"),
    (RIGHT * [[1.5], [1.1]], RIGHT, "off by a factor per row or column", "Along axis 0 yours is the right gradient t"),
    (NEARLY, RIGHT, "accurate to a few digits only", "Every element agrees, but only to 0.0004 of itself."),
    (RIGHT + np.eye(2, 3), RIGHT, "right but for some entries", "2 of 6 elements, the first at (0, 0), are wrong"),
]


@pytest.mark.parametrize(("mine", "right", "mistake", "evidence"), SEEN_IN_TWO_ARRAYS)
def test_two_arrays_show(mine, right, mistake, evidence):
    found = diagnose(mine, right)
    assert found.mistake == mistake
    assert found.evidence.startswith(evidence)
    assert found.remedy == MISTAKES[mistake]
    assert not found.correct


def test_an_argument_shows_what_two_arrays_do_not():
    x, w, scale = np.array([0.5, -1.5, 2.5]), np.array([1.0, -3.0, 2.0]), 3.7
    found = diagnose(w * x, x, args=(np.ones(3), w, scale))
    assert found.mistake == "off by an elementwise factor"
    assert found.evidence.startswith("Yours is the right gradient times args[1] (")
    found = diagnose(x / w, x, args=(np.ones(3), w))
    assert found.evidence.startswith("Yours is the right gradient divided by args[1] (")
    found = diagnose(scale * x, x, args=(np.ones(3), w, scale))
    assert found.mistake == "off by a factor"
    assert found.evidence.startswith("Yours is the right gradient times args[2] = 3.7 (")
    found = diagnose(5 * x, x, args=(np.ones(3), np.ones((5, 3))))
    assert found.evidence.startswith(
        "Yours is 5 times the right gradient, and n = 5 is the length of axis 0 of args[1] "
    )


@pytest.mark.parametrize(
    ("added", "mistake", "evidence"),
    [
        (-0.3, "regularisation term missing", "Yours minus the right gradient is -0.3 * w, w being the argument"),
        (0.3, "regularisation term too large", "Yours minus the right gradient is 0.3 * w, w being the argument"),
    ],
)
def test_a_difference_proportional_to_the_argument_is_a_penalty(added, mistake, evidence):
    w, right = np.array([1.0, -3.0, 2.0]), np.array([0.5, -1.5, 2.5])
    found = diagnose(right + added * w, right, args=(w,))
    assert names(found) == [mistake]
    assert found.evidence.startswith(evidence)
    assert diagnose(right + added * np.sign(w), right, args=(w,)).mistake == mistake


def test_a_gradient_proportional_to_the_argument_is_off_by_a_factor_not_by_a_penalty():
    w = np.array([1.0, -3.0, 2.0])
    assert names(diagnose(2 * w, w, args=(w,))) == ["off by a factor"]


# ---- names that need the function --------------------------------------------------------------------------------


def branches(x):
    """Use x three times."""
    return np.sin(x) * 2.0 + np.exp(x) + x**3.0


def test_one_path_of_three_left_out_is_named_with_its_place():
    found = diagnose(2 * np.cos(0.5) + 3 * 0.5**2, f=branches, args=(0.5,))
    assert names(found) == ["a term left out"]
    assert found.evidence == (
        "A reverse pass that leaves out what goes to operand 0, at exp (operation 3 of 6), gives these numbers "
        "(residual 0)."
    )


@pytest.mark.parametrize("kept", [2 * np.cos(0.5), np.exp(0.5), 3 * 0.5**2])
def test_one_path_of_three_kept_was_overwritten_by_the_others(kept):
    found = diagnose(kept, f=branches, args=(0.5,))
    assert found.mistake == "overwritten instead of accumulated"


def test_mistakes_are_found_for_values_tensors_floats_and_arrays():
    for wrap in (float, Value):
        found = diagnose(wrap(1.0 * 2.0), f=lambda x, c: np.tanh(x) * c, args=(wrap(0.4), 2.0))
        assert found.mistake == "missing activation derivative"
    for wrap in (np.array, Tensor):
        x = [0.4, -1.2]
        found = diagnose(wrap([2.0, 3.0]), f=lambda x, c: np.sum(np.tanh(x) * c), args=(wrap(x), np.array([2.0, 3.0])))
        assert "missing activation derivative" in names(found)


def test_the_argument_is_counted_from_the_end_too():
    f = lambda c, x: np.sum(c * np.sin(x))
    c, x = np.array([2.0, 3.0, -1.0]), np.array([0.4, -1.2, 0.9])
    assert diagnose(c * np.cos(x), f=f, args=(c, x), argnum=-1).correct
    found = diagnose(c * np.cos(np.sin(x)), f=f, args=(c, x), argnum=-1)
    assert names(found) == ["activation derivative taken at the output instead of the input"]


def test_a_function_written_out_in_simple_operations_is_recognised():
    def swish(x):
        return np.sum(x / (1 + np.exp(-x)))

    def hyperbolic(x):
        return np.sum((np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)) * np.array([1.0, -2.0, 3.0]))

    x = np.array([0.4, -1.2, 2.0])
    found = diagnose(ad.elementwise_grad(ad.silu)(ad.silu(x)), f=swish, args=(x,))
    assert names(found) == ["activation derivative taken at the output instead of the input"]
    assert "takes the derivative of silu at its output" in found.evidence
    found = diagnose((1 - x**2) * [1.0, -2.0, 3.0], f=hyperbolic, args=(x,))
    assert names(found) == ["activation derivative taken at the input instead of the output"]


def test_a_mistake_in_every_use_of_an_operation_is_found():
    def twice(x):
        return np.sum(np.tanh(np.tanh(x) * 2.0))

    x = np.array([0.4, -1.2, 2.0])
    h = np.tanh(x) * 2
    slope = lambda z: 1 - np.tanh(np.tanh(z)) ** 2
    found = diagnose(slope(h) * 2 * slope(x), f=twice, args=(x,))
    assert names(found) == ["activation derivative taken at the output instead of the input"]
    assert "at all 2 places" in found.evidence
    found = diagnose(slope(h) * 2 * (1 - np.tanh(x) ** 2), f=twice, args=(x,))
    assert "at tanh (operation 3 of 4)" in found.evidence


def test_a_large_graph_is_searched_for_mistakes_in_every_use_only():
    def chain(x):
        for _ in range(FEW):
            x = np.tanh(x) * 1.5 + x * 0.01
        return x

    def backward(x, slope):
        g = 1.0
        for _ in range(FEW):
            g *= 1.5 * slope(x) + 0.01
            x = np.tanh(x) * 1.5 + x * 0.01
        return g

    assert len(ReversePass(chain, (0.3,), 0).order) > FEW
    assert diagnose(backward(0.3, lambda x: 1 - np.tanh(x) ** 2), f=chain, args=(0.3,)).correct
    found = diagnose(backward(0.3, lambda x: 1 - np.tanh(np.tanh(x)) ** 2), f=chain, args=(0.3,))
    assert names(found) == ["activation derivative taken at the output instead of the input"]


def test_a_gradient_after_all_parameters_have_moved_is_told_from_one_where_one_has():
    def loss(w, b, x):
        return np.mean((np.tanh(x @ w) + b) ** 2)

    rng = np.random.default_rng(0)
    w, b, x = rng.normal(size=3), 0.4, rng.normal(size=(6, 3))
    dw, db = ad.grad(loss, (0, 1))(w, b, x)
    found = diagnose(ad.grad(loss)(w - 0.1 * dw, b, x), f=loss, args=(w, b, x))
    assert found.evidence.startswith("The gradient at args[0] - 0.1 * the gradient by it instead of args[0]")
    found = diagnose(ad.grad(loss)(w - 0.1 * dw, b - 0.1 * db, x), f=loss, args=(w, b, x))
    assert found.mistake == "taken at other values"
    assert found.evidence.startswith("The gradient at args[0], args[1] - 0.1 * the gradient by it instead of")
    before = ad.grad(loss)(w, b, x)
    found = diagnose(before, f=loss, args=(w - 0.05 * dw, b, x))
    assert found.evidence.startswith("The gradient at args[0] + 0.05 * your gradient instead of args[0]")


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(ad.concatenate([x, x * 2.0]) ** 2.0),
        lambda x: np.sum(ad.einsum("i,i->i", x, np.exp(x))),
        lambda x: ad.weighted_sum(0.5, x[0], x[1], x[2], x[1], x[2], 2.0),
        lambda x: np.max(x) * np.sum(np.abs(x)) + ad.norm(x) + np.prod(x),
        lambda x: np.sum(ad.linear(ad.reshape(x, shape=(1, 3)), np.eye(3) + 1.0, x)) + ad.logsumexp(x),
        lambda x: np.sum(np.where(x > 0, x, x * x)) + np.var(x) + np.sum(np.cumsum(x[::-1]) ** 2.0),
    ],
)
def test_the_pass_without_a_mistake_is_our_gradient_and_every_mistake_runs(f):
    x = np.array([0.4, -1.2, 2.0])
    opened = ReversePass(f, (x,), 0)
    np.testing.assert_allclose(opened.run(), ad.grad(f)(x), rtol=1e-14)
    guesses = list(opened.guesses())
    assert len(guesses) > 5
    assert {guess.mistake for guess in guesses} <= set(MISTAKES)
    assert all(np.shape(guess.predicted) == x.shape for guess in guesses)


def test_a_function_that_ignores_the_argument_has_gradient_zero():
    f = lambda x, y: y * 2.0
    assert diagnose(0.0, f=f, args=(1.0, 2.0)).correct
    assert diagnose(5.0, f=f, args=(1.0, 2.0)).mistake is None


# ---- what is said, and what is not -------------------------------------------------------------------------------


def test_every_explanation_of_a_single_number_is_listed():
    """Halved, or one of two equal contributions lost: nobody can tell from one number."""
    found = diagnose(1.0, f=lambda a: a + a, args=(3.0,))
    assert found.mistake == "off by a factor"
    assert "overwritten instead of accumulated" in names(found)
    assert "a term left out" in names(found)


def test_mistakes_that_coincide_are_all_listed_the_preferred_one_first():
    found = diagnose(np.array([[4.0, 4.0]]), np.array([[2.0, 2.0]]))
    assert names(found) == ["off by a factor", "summed over an axis too many"]
    half_a_turn = np.array([[5.0, 2.0], [2.0, 5.0]]), np.array([[2.0, 5.0], [5.0, 2.0]])
    assert names(diagnose(*half_a_turn)) == ["axis reversed"]
    found = diagnose(np.array([[2.0, -2.0], [2.0, -2.0]]), np.array([[2.0, 2.0], [-2.0, -2.0]]))
    assert names(found) == ["transposed", "sign flipped in part"]


def test_two_samples_are_told_from_a_forgotten_factor_of_two_by_listing_both():
    w, x = np.array([0.5, -1.0, 2.0]), np.array([[1.0, 2.0, 0.3], [3.0, -4.0, 1.1]])
    found = diagnose(2 * x.T @ (x @ w), f=lambda w, x: np.mean((x @ w) ** 2), args=(w, x))
    assert names(found)[:2] == ["sum instead of mean", "off by a factor"]


def test_the_text_is_short_and_lists_three_of_the_other_explanations():
    many = Diagnosis(False, "transposed", "E.", "R.", tuple(diagnose(1.0, f=lambda a: a + a, args=(3.0,)).others) * 3)
    lines = str(many).splitlines()
    assert lines[:2] == ["transposed. E.", "  remedy     R."]
    assert [line[:13] for line in lines[2:]] == ["  also fits  "] * 4
    assert len(lines) == 6


def test_what_is_not_recognised_is_said_plainly():
    rng = np.random.default_rng(0)
    mine, right = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    found = diagnose(mine, right)
    assert (found.correct, found.mistake, found.others) == (False, None, ())
    assert str(found).startswith(
        "wrong, but none of the mistakes that I know. The largest difference is 1.37 at (1, 0): "
    )
    assert found.evidence.endswith(": 0.104900117 instead of -1.26542147.")
    assert found.remedy == "Give f and args as well: then mistakes inside the reverse pass can be named too."
    assert diagnose(rng.normal(size=4), right).evidence == "Its shape is (4,), the argument's is (2, 3)."


def test_a_function_of_another_framework_does_no_harm():
    def foreign(x):
        if not isinstance(x, np.ndarray):
            raise AttributeError("no attribute 'requires_grad'")
        return x.sum()

    args, right = (np.ones(3),), np.array([1.0, 2.0, 3.5])
    assert diagnose(-right, right, f=foreign, args=args).mistake == "sign flipped"
    found = diagnose(np.array([7.0, 1.0, -3.0]), right, f=foreign, args=args)
    assert found.remedy == "f does not run on autodiff's nodes, so only the two gradients could be compared."


def test_a_rule_of_the_users_that_raises_ends_the_search_and_says_so():
    def slope(*operands):
        raise ZeroDivisionError(f"{len(operands)} operands")

    broken = ad.elementwise("broken", lambda x: x, lambda x: x, slope)
    found = diagnose(1.234, 0.777, f=lambda x: broken(x) * 2.0, args=(1.0,))
    assert found.mistake is None
    assert found.remedy == ("The search inside the reverse pass ended early, with ZeroDivisionError: 2 operands.")
    assert diagnose(-0.777, 0.777, f=lambda x: broken(x) * 2.0, args=(1.0,)).mistake == "sign flipped"


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(TypeError, match="diagnose needs the right gradient, or f and args"):
        diagnose(1.0)
    with pytest.raises(TypeError, match="diagnose needs the right gradient, or f and args"):
        diagnose(1.0, f=np.sin)
    with pytest.raises(TypeError, match="a gradient is a number or an array of numbers, got str: 'abc'"):
        diagnose("abc", 1.0)
    with pytest.raises(TypeError, match="got complex"):
        diagnose(1j, 1.0)
    with pytest.raises(ad.SeedError):
        diagnose(np.ones(3), f=np.sin, args=(np.ones(3),))


def test_nothing_that_is_given_is_changed():
    x, right = np.array([0.4, -1.2, 2.0]), np.array([1.0, 2.0, 3.0])
    mine = right[::-1].copy()
    keep = [x.copy(), right.copy(), mine.copy()]
    diagnose(mine, right, f=lambda x: np.sum(np.tanh(x) ** 2), args=(x,))
    for now, before in zip([x, right, mine], keep, strict=True):
        np.testing.assert_array_equal(now, before)


def test_a_diagnosis_is_found_under_no_grad_too():
    with ad.no_grad():
        found = diagnose(1.0, f=lambda x: np.tanh(x) ** 2, args=(0.4,))
        missing = diagnose(2 * np.tanh(0.4), f=lambda x: np.tanh(x) ** 2, args=(0.4,))
    assert not found.correct
    assert missing.mistake == "missing activation derivative"


def test_a_diagnosis_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        diagnose(1.0, 1.0).correct = False
