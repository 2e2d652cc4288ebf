"""Promise 9: the stable functions and their gradients against 50-digit arithmetic, which knows no overflow.

A value may be 4 units in the last place off for |x| <= 700, a gradient 1e-13 of itself wherever it exceeds 1e-300.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff import Tensor, Value

from . import exact
from .exact import mp

pytestmark = pytest.mark.promise(9)

ULPS, RELATIVE, TINY = 4, 1e-13, 1e-300
LARGEST = 700.0


def numbers(seed=9):
    """Return numbers of all sizes from 1e-300 to 700 of either sign, and a grid over the whole range."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(np.log(TINY), np.log(LARGEST), 1000))
    every = [rng.choice([-1, 1], 1000) * sizes, rng.uniform(-40, 40, 500), np.linspace(-LARGEST, LARGEST, 281)]
    return np.concatenate([*every, [0.0, -0.0]])


NUMBERS = numbers()


def ulps(got, expected):
    """Return how many units in the last place a float is away from a 50-digit number."""
    unit = mp.mpf(float(np.spacing(np.abs(float(expected)))))
    return float(abs(mp.mpf(float(got)) - expected) / unit)


def relative_error(got, expected):
    """Return the relative error of a float, or 0 where the 50-digit number is too small to be judged."""
    return float(abs(mp.mpf(float(got)) - expected) / abs(expected)) if abs(expected) > TINY else 0.0


def judge(figure, name, measure, unit, limit, got, expected):
    """Record the worst error and demand that it is within the limit; say where it is if not."""
    errors = [measure(a, b) for a, b in zip(np.ravel(got), expected, strict=True)]
    worst = int(np.argmax(errors))
    figure(f"{name}, {unit}", errors[worst], limit)
    assert errors[worst] <= limit, f"{name}: {np.ravel(got)[worst]!r}, exactly {mp.nstr(expected[worst], 20)}"


def judge_values(figure, name, got, expected):
    judge(figure, f"value of {name}", ulps, "units in the last place", ULPS, got, expected)


def judge_gradients(figure, name, got, expected):
    judge(figure, f"gradient of {name}", relative_error, "relative error", RELATIVE, got, expected)


def by_tensor(f, *xs):
    """Return value and gradient of an elementwise function by its first operand, from one Tensor."""
    x = Tensor(xs[0])
    y = f(x, *xs[1:])
    y.backward(np.ones(y.shape))
    return y.data, x.grad


def by_values(f, *xs):
    """Return the same from one Value a number."""
    points = [(Value(x), *rest) for x, *rest in zip(*[x.tolist() for x in xs], strict=True)]
    results = [f(*point) for point in points]
    for y in results:
        y.backward()
    return np.array([y.data for y in results]), np.array([point[0].grad for point in points])


both_kinds = pytest.mark.parametrize("differentiate", [by_tensor, by_values])

# ---- functions of one number -----------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("name", exact.ELEMENTWISE)
def test_a_stable_function_has_the_value_and_the_gradient_of_50_digits(name, differentiate, figure):
    value, slope = exact.ELEMENTWISE[name]
    xs = NUMBERS[NUMBERS > -1] if name == "log1p" else NUMBERS
    assert len(xs) >= 1000
    got, gradient = differentiate(getattr(ad, name), xs)
    judge_values(figure, name, got, [value(mp.mpf(x)) for x in xs.tolist()])
    judge_gradients(figure, name, gradient, [slope(mp.mpf(x)) for x in xs.tolist()])


def cross_entropies(target, differentiate):
    """Return (value, gradient, 50-digit value, 50-digit gradient) of the loss at every logit.

    The target is a number, or None for another one at every logit.
    """
    targets = np.random.default_rng(5).uniform(0, 1, len(NUMBERS)) if target is None else np.full(len(NUMBERS), target)
    # The gradient sigmoid(z) - t has a zero, if t is not 0 or 1. Close to it the last digit of z decides.
    judged = (target in (0, 1)) | (np.abs(1 / (1 + np.exp(-NUMBERS)) - targets) > 2e-3)
    logits, targets = NUMBERS[judged], targets[judged]
    assert len(logits) >= 1000
    points = [(mp.mpf(z), mp.mpf(t)) for z, t in zip(logits.tolist(), targets.tolist(), strict=True)]
    return (
        *differentiate(ad.binary_cross_entropy_with_logits, logits, targets),
        [exact.binary_cross_entropy(z, t) for z, t in points],
        [exact.binary_cross_entropy_slope(z, t) for z, t in points],
    )


@both_kinds
@pytest.mark.parametrize("target", [0.0, 1.0, 0.25, None])
def test_binary_cross_entropy_has_the_value_of_50_digits(target, differentiate, figure):
    got, _, expected, _ = cross_entropies(target, differentiate)
    judge_values(figure, "binary cross-entropy", got, expected)


@both_kinds
@pytest.mark.parametrize("target", [0.0, 1.0, 0.25, None])
def test_binary_cross_entropy_has_the_gradient_of_50_digits(target, differentiate, figure):
    _, got, _, expected = cross_entropies(target, differentiate)
    judge_gradients(figure, "binary cross-entropy", got, expected)


@pytest.mark.parametrize("kind", [Value, lambda x: Tensor([x])], ids=["Value", "Tensor"])
@pytest.mark.parametrize("x", [1e4, -1e4])
def test_stable_functions_stay_finite_at_ten_thousand(kind, x, figure):
    functions = {name: getattr(ad, name) for name in exact.ELEMENTWISE}
    for target in (0.0, 0.5, 1.0):
        functions[f"cross-entropy {target}"] = lambda z, t=target: ad.binary_cross_entropy_with_logits(z, t)
        functions[f"logistic error {target}"] = lambda z, t=target: ad.logistic_error(z, t)
    without_value = {"expm1"} if x > 0 else {"log1p"}  # e**10000 is no float, and log(1 - 10000) no number
    for name in functions.keys() - without_value:
        node = kind(x)
        y = functions[name](node)
        y.backward()
        assert np.all(np.isfinite(y.data)), f"{name}({x}) = {y.data}"
        assert np.all(np.isfinite(node.grad)), f"gradient of {name} at {x}: {node.grad}"
    figure(f"functions finite at {x:g}: {len(functions) - 1}")


# ---- functions of a row of numbers -----------------------------------------------------------------------------------


def rows_of_numbers(differences_exact):
    """Return rows of one to six logits, in all more than 1000 numbers up to 700 whose size has a random exponent.

    With exact differences all numbers of a row are multiples of 2**-30, so that x - max(x) is not rounded.
    """
    rng = np.random.default_rng(11)
    scales = np.exp(rng.uniform(np.log(1e-9), np.log(LARGEST), 340))
    rows = [rng.uniform(-1, 1, 1 + i % 6) * scale for i, scale in enumerate(scales)]
    return [np.round(x * 2.0**30) / 2.0**30 for x in rows] if differences_exact else rows


def judge_row_functions(figure, rows, names):
    expected = {"logsumexp": lambda x: [exact.logsumexp(x)], "softmax": exact.softmax, "log_softmax": exact.log_softmax}
    assert sum(map(len, rows)) >= 1000
    precise = [[mp.mpf(x) for x in row.tolist()] for row in rows]
    for name in names:
        got = np.hstack([np.ravel(getattr(ad, name)(row)) for row in rows])
        judge_values(figure, name, got, [v for row in precise for v in expected[name](row)])
    losses = [[float(ad.softmax_cross_entropy(x, unit)) for unit in np.eye(len(x))] for x in rows]
    expected_losses = [exact.cross_entropy(row, i) for row in precise for i in range(len(row))]
    judge_values(figure, "softmax cross-entropy", np.hstack(losses), expected_losses)


def test_logsumexp_softmax_and_its_logarithm_have_the_values_of_50_digits_where_differences_are_exact(figure):
    """exp turns an absolute error of x - max(x) into a relative one, so these must be differences without rounding."""
    judge_row_functions(figure, rows_of_numbers(differences_exact=True), ["logsumexp", "softmax", "log_softmax"])


def test_softmax_and_its_logarithm_have_the_values_of_50_digits_whatever_the_logits(figure):
    judge_row_functions(figure, rows_of_numbers(differences_exact=False), ["softmax", "log_softmax"])


def test_logsumexp_has_the_value_and_the_gradient_of_50_digits_whatever_its_operands(figure):
    """Rounded differences do no harm: what they make uncertain is small beside the largest operand.

    Only where that and the logarithm cancel, as in logsumexp([-log(2), -log(2)]) = 0, is it not; the drawn rows keep
    away from there, where the last digit of an operand decides.
    """
    rows = rows_of_numbers(differences_exact=False)
    precise = [[mp.mpf(x) for x in row.tolist()] for row in rows]
    got, gradients = [], []
    for row in rows:
        x = Tensor(row)
        y = ad.logsumexp(x)
        y.backward()
        got.append(y.data)
        gradients.append(x.grad)
    judge_values(figure, "logsumexp", got, [exact.logsumexp(row) for row in precise])
    judge_gradients(figure, "logsumexp", np.hstack(gradients), [p for row in precise for p in exact.softmax(row)])


def derivatives(f, x):
    """Return the matrix of derivatives of a vector of results, one reverse pass a row."""
    rows = []
    for i in range(len(x)):
        node = Tensor(x)
        f(node).backward(np.eye(len(x))[i])
        rows.append(node.grad)
    return np.array(rows)


def loss_of_each_label(x):
    """Return the cross-entropies of one row of logits for every label."""
    return ad.stack([ad.softmax_cross_entropy(x, unit) for unit in np.eye(x.size)])


JACOBIANS = {
    "softmax": (ad.softmax, exact.softmax_jacobian),
    "log_softmax": (ad.log_softmax, exact.log_softmax_jacobian),
    "softmax cross-entropy": (
        loss_of_each_label,
        lambda row: [exact.cross_entropy_slope(row, i) for i in range(len(row))],
    ),
}


def judge_jacobians(figure, name, by_its_own_logit):
    f, expected = JACOBIANS[name]
    got, right = [], []
    for row in rows_of_numbers(differences_exact=False):
        chosen = np.equal(*np.indices((len(row), len(row)))) == by_its_own_logit
        got.append(derivatives(f, row)[chosen])
        found = expected([mp.mpf(x) for x in row.tolist()])
        right += [found[i][j] for i, j in np.argwhere(chosen).tolist()]
    assert len(right) >= 1000
    judge_gradients(figure, f"{name}, by {'its own' if by_its_own_logit else 'another'} logit", np.hstack(got), right)


@pytest.mark.parametrize("name", JACOBIANS)
def test_a_probability_differentiated_by_another_logit_has_the_gradient_of_50_digits(name, figure):
    judge_jacobians(figure, name, by_its_own_logit=False)


@pytest.mark.parametrize("name", JACOBIANS)
def test_a_probability_differentiated_by_its_own_logit_has_the_gradient_of_50_digits(name, figure):
    judge_jacobians(figure, name, by_its_own_logit=True)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_functions_of_a_row_stay_finite_at_ten_thousand(scale, figure):
    x = np.array([0.0, 1.0, 0.5]) * scale
    functions = [
        ad.logsumexp,
        ad.softmax,
        ad.log_softmax,
        *(lambda x, i=i: ad.softmax_cross_entropy(x, np.eye(3)[i]) for i in range(3)),
    ]
    for f in functions:
        node = Tensor(x)
        y = f(node)
        y.backward(np.ones(y.shape))
        assert np.all(np.isfinite(y.data))
        assert np.all(np.isfinite(node.grad))
    figure(f"functions of a row finite at {scale:g}: {len(functions)}")
