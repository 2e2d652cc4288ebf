"""Losses as functions: every option against PyTorch, the ends of their domains, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import ShapeError, Tensor, Value
from autodiff.testing import check_gradients, check_rule
from nn import functional
from nn.functional import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    chi2_loss,
    cross_entropy,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    l1_penalty,
    l2_penalty,
    logistic_loss,
    mse_loss,
    nll_loss,
)

from .recorded import assert_near, recorded

GOLDEN = recorded("loss_options")
ELEMENTWISE = {
    "mse_loss": {},
    "l1_loss": {},
    "huber_loss": {},
    "chi2_loss": {"sigma": 0.5},
    "binary_cross_entropy": {},
    "binary_cross_entropy_with_logits": {},
    "logistic_loss": {},
    "hinge_loss": {},
    "kl_div": {},
}
OF_CLASSES = {"cross_entropy": {}, "nll_loss": {}}


def operands(name, dtype=np.float64):
    """Return a prediction and a target, each in the domain of a loss."""
    prediction, target = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]), np.array([[0.25, 0.4, 0.35], [0.3, 0.25, 0.45]])
    if name in ("logistic_loss", "hinge_loss"):
        target = np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
    if name in ("kl_div", "nll_loss"):
        prediction = np.log(prediction)
    return prediction.astype(dtype), np.array([2, 0]) if name in OF_CLASSES else target.astype(dtype)


def value_and_gradient(loss, prediction, target, dtype=np.float64, **options):
    """Return what a loss is and its gradient by the prediction."""
    prediction = Tensor(prediction, dtype=dtype)
    out = loss(prediction, target, **options)
    out.backward(np.ones(out.shape))
    return out.data, prediction.grad


# ---- PyTorch ----------------------------------------------------------------------------------------------------


def judge(loss, prediction, target, options):
    """Return ours what make_losses.judge returns of PyTorch."""
    p, t = Tensor(prediction), target
    if target.dtype.kind == "f" and loss not in ("logistic_loss", "hinge_loss"):
        t = Tensor(target)
    value = getattr(functional, loss)(p, t, **options)
    value.backward(np.arange(1.0, value.size + 1.0).reshape(value.shape))
    return {"value": value.data, "gradient": p.grad, "target_gradient": t.grad if isinstance(t, Tensor) else None}


def assert_same(ours, theirs):
    for what in ("value", "gradient", "target_gradient"):
        if ours[what] is None:
            assert theirs[what] is None
        else:
            assert_near(ours[what], theirs[what])


@pytest.mark.parametrize("loss", [*ELEMENTWISE, *OF_CLASSES])
def test_values_and_gradients_with_every_option_are_those_that_PyTorch_gave(loss):
    cases = [case for case in GOLDEN["cases"] if case["loss"] == loss]
    assert len(cases) >= 3
    assert {case["options"]["reduction"] for case in cases} >= {"mean", "sum", "none"}
    for case in cases:
        prediction, target = (np.array(GOLDEN["operands"][case[which]]) for which in ("prediction", "target"))
        assert_same(judge(loss, prediction, target, case["options"]), case)


def test_the_recorded_cases_are_many():
    assert len(GOLDEN["cases"]) == 230


def test_values_and_gradients_are_those_that_PyTorch_gives():
    pytest.importorskip("torch", reason="the live comparison needs PyTorch; the recorded one above does not")
    from .golden import make_losses

    drawn = make_losses.draw(1)
    for loss, prediction, target, options in make_losses.cases():
        here = judge(loss, drawn[prediction], drawn[target], options)
        assert_same(here, make_losses.judge(loss, drawn[prediction], drawn[target], options))


# ---- values ----------------------------------------------------------------------------------------------------


def test_the_half_sum_of_squares_has_the_error_as_gradient():
    value, gradient = value_and_gradient(mse_loss, [1.0, 2.0], np.array([4.0, 2.5]), half=True, reduction="sum")
    assert value == (9.0 + 0.25) / 2
    np.testing.assert_array_equal(gradient, [-3.0, -0.5])


def test_huber_is_a_parabola_inside_and_its_tangent_outside():
    prediction = [-3.0, -1.5, 0.0, 0.5, 1.5, 10.0]
    terms, gradient = value_and_gradient(huber_loss, prediction, np.zeros(6), delta=1.5, reduction="none")
    np.testing.assert_array_equal(terms, [3.375, 1.125, 0.0, 0.125, 1.125, 13.875])
    np.testing.assert_array_equal(gradient, [-1.5, -1.5, 0.0, 0.5, 1.5, 1.5])


def test_the_curvature_of_huber_is_one_inside_also_at_zero_and_none_outside():
    bend = ad.grad(ad.grad(lambda x: huber_loss(x, 0.0)))
    assert [bend(x) for x in (0.0, 0.5, -0.5, 2.0, -2.0)] == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_chi_squared_counts_errors_in_standard_deviations():
    sigma = np.array([0.5, 2.0])
    value, gradient = value_and_gradient(chi2_loss, [1.0, 3.0], np.array([2.0, -1.0]), sigma=sigma)
    assert value == 4.0 + 4.0
    np.testing.assert_array_equal(gradient, [-8.0, 2.0])
    assert chi2_loss(Value(1.0), 2.0, 0.5).data == 4.0


def test_the_slope_is_zero_at_the_kinks():
    assert value_and_gradient(l1_loss, [1.0], np.array([1.0]))[1] == 0.0
    assert value_and_gradient(hinge_loss, [1.0], np.array([1.0]))[1] == 0.0


def test_logistic_loss_is_the_binary_cross_entropy_of_labels_zero_and_one():
    scores, labels = np.array([0.3, -2.0, 40.0]), np.array([1, -1, -1])
    other = value_and_gradient(binary_cross_entropy_with_logits, scores, (1 + labels) / 2)
    for mine, theirs in zip(value_and_gradient(logistic_loss, scores, labels), other, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-15)


def test_negative_log_likelihood_of_log_softmax_is_the_cross_entropy():
    logits, labels = np.random.default_rng(0).normal(size=(2, 5, 3)), np.array([[0, 2, 1, 1, 0], [2, 2, 9, 0, 1]])
    options = {"weight": [1.0, 0.5, 3.0], "ignore_index": 9}
    for reduction in ("mean", "sum", "none"):
        one = value_and_gradient(cross_entropy, logits, labels, reduction=reduction, **options)
        other = value_and_gradient(
            lambda z, t, **kw: nll_loss(ad.log_softmax(z), t, **kw), logits, labels, reduction=reduction, **options
        )
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


def test_the_divergence_of_a_distribution_from_itself_is_zero():
    p = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]])
    with np.errstate(divide="ignore"):
        logs = np.log(p)
    assert kl_div(logs[:1], p[:1], reduction="sum") == 0.0
    assert kl_div(np.maximum(logs, -1e300), p, reduction="batchmean") == 0.0


# ---- promise: label smoothing, weights, ignored rows --------------------------------------------------------------


def test_label_smoothing_mixes_the_labels_with_equal_shares():
    logits, labels = np.array([[2.0, -1.0, 3.0], [0.5, 0.0, -1.0]]), np.array([2, 0])
    smooth = np.eye(3)[labels] * 0.7 + 0.1  # y (1 - a) + a / k for a = 0.3 and k = 3
    for targets in (labels, np.eye(3)[labels]):
        value, gradient = value_and_gradient(cross_entropy, logits, targets, label_smoothing=0.3)
        expected, slope = value_and_gradient(cross_entropy, logits, smooth)
        np.testing.assert_allclose(value, expected, rtol=1e-15)
        np.testing.assert_allclose(gradient, slope, rtol=1e-14)


def test_class_weights_make_a_weighted_mean():
    logits, labels, weight = np.random.default_rng(0).normal(size=(4, 3)), np.array([0, 1, 2, 1]), [1.0, 4.0, 0.0]
    rows = cross_entropy(logits, labels, reduction="none")
    expected = np.average(rows, weights=np.array(weight)[labels])
    assert cross_entropy(logits, labels, weight=weight) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize("weight", [None, [2.0, 1.0, 0.5]])
@pytest.mark.parametrize("garbage", [0.0, np.nan, np.inf])
def test_ignored_rows_leave_both_numerator_and_denominator(loss, weight, garbage):
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 5))
    logs[[1, 4]] = garbage
    labels, seen = np.array([0, -1, 2, 1, -1]), [0, 2, 3]
    for reduction in ("mean", "sum"):
        options = {"weight": weight, "reduction": reduction}
        value, gradient = value_and_gradient(loss, logs, labels, ignore_index=-1, **options)
        alone, slope = value_and_gradient(loss, logs[seen], labels[seen], **options)
        assert value == pytest.approx(alone, rel=1e-15)
        np.testing.assert_allclose(gradient[seen], slope, rtol=1e-15)
        assert not gradient[[1, 4]].any()
    each, _ = value_and_gradient(loss, logs, labels, ignore_index=-1, reduction="none", weight=weight)
    assert each.shape == (5,)
    assert not each[[1, 4]].any()


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_the_mean_of_no_rows_is_nan_and_moves_nothing(loss):
    for labels, options in (([-1, -1], {"ignore_index": -1}), ([1, 1], {"weight": [1.0, 0.0]})):
        value, gradient = value_and_gradient(loss, np.log(np.full((2, 2), 0.5)), labels, **options)
        assert math.isnan(value)
        if "weight" not in options:
            np.testing.assert_array_equal(gradient, np.zeros((2, 2)))
        assert value_and_gradient(loss, np.log(np.full((2, 2), 0.5)), labels, reduction="sum", **options)[0] == 0.0


def test_a_class_number_may_be_ignored_even_if_it_exists():
    logits = np.array([[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]])
    value, gradient = value_and_gradient(cross_entropy, logits, np.array([1, 0, 1]), ignore_index=0)
    assert value == pytest.approx(cross_entropy(logits[[0, 2]], np.array([1, 1])), rel=1e-15)
    np.testing.assert_array_equal(gradient[1], [0.0, 0.0])


# ---- promise: the ends of the domain ---------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[0], [[0.25, 0.0, 0.75]]])
def test_a_logit_of_minus_infinity_with_label_0_costs_nothing(labels):
    with_it, gradient = value_and_gradient(cross_entropy, [[1.0, -np.inf, 0.5]], labels)
    without, slope = value_and_gradient(cross_entropy, [[1.0, 0.5]], labels if labels == [0] else [[0.25, 0.75]])
    assert with_it == without
    np.testing.assert_array_equal(gradient, [[slope[0, 0], 0.0, slope[0, 1]]])


def test_a_logit_of_minus_infinity_for_the_right_class_costs_infinitely_much():
    assert cross_entropy(np.array([[0.0, -np.inf]]), [1]) == np.inf
    assert cross_entropy(np.array([[0.0, -np.inf]]), [0], label_smoothing=0.1) == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_losses_of_extreme_scores_are_their_limits(size, dtype):
    scores, labels = np.array([size, size, -size, -size], dtype), np.array([1.0, -1.0, 1.0, -1.0], dtype)
    limits = np.array([0.0, size, size, 0.0], dtype)
    for loss, target, limit in (
        (logistic_loss, labels, limits),
        (hinge_loss, labels, np.where(limits > 0, limits + dtype(1), 0)),
        (binary_cross_entropy_with_logits, (labels + 1) / 2, limits),
    ):
        terms, gradient = value_and_gradient(loss, scores, target, dtype, reduction="none")
        np.testing.assert_array_equal(terms, limit)
        # nearly 0 is enough: the slope is taken no further out than exp is far from overflow
        np.testing.assert_allclose(gradient, [0.0, 1.0, -1.0, 0.0], rtol=0.0, atol=1e-37)
    terms, gradient = value_and_gradient(huber_loss, scores, np.zeros(4, dtype), dtype, reduction="none")
    np.testing.assert_array_equal(gradient, [1.0, 1.0, -1.0, -1.0])
    np.testing.assert_array_equal(terms, np.abs(scores) - dtype(0.5))


def test_certain_probabilities_cost_nothing_if_right_and_everything_if_wrong():
    right, gradient = value_and_gradient(binary_cross_entropy, [0.0, 1.0], np.array([0.0, 1.0]), reduction="none")
    np.testing.assert_array_equal(right, [0.0, 0.0])
    np.testing.assert_array_equal(gradient, [1.0, -1.0])  # the slopes of -log(1 - p) at 0 and of -log(p) at 1
    with np.errstate(divide="ignore"):  # the logarithm of 0 that is meant here
        wrong, gradient = value_and_gradient(binary_cross_entropy, [0.0, 1.0], np.array([1.0, 0.0]), reduction="none")
    np.testing.assert_array_equal(wrong, [np.inf, np.inf])
    np.testing.assert_array_equal(gradient, [-np.inf, np.inf])


def test_small_probabilities_keep_their_digits():
    for p in (1e-20, 1e-310):  # the second so small that 1 / p overflows
        value, gradient = value_and_gradient(binary_cross_entropy, [p], np.array([0.0]))
        assert value == pytest.approx(p, rel=1e-15, abs=0.0)
        assert gradient == [1.0]


def test_the_divergence_where_the_target_is_impossible_is_zero():
    logs = np.array([[-np.inf, 0.0], [math.log(0.5), math.log(0.5)]])
    target = np.array([[0.0, 1.0], [0.0, 1.0]])
    with np.errstate(divide="ignore"):
        log_target = np.log(target)
    for given_target, options in ((target, {}), (log_target, {"log_target": True})):
        terms, gradient = value_and_gradient(kl_div, logs, given_target, reduction="none", **options)
        np.testing.assert_array_equal(terms, [[0.0, 0.0], [0.0, math.log(2.0)]])
        np.testing.assert_array_equal(gradient, [[0.0, -1.0], [0.0, -1.0]])


# ---- gradients of any order, kinds and dtypes --------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_CLASSES])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_first_and_second_derivatives_are_those_of_differences(name, reduction):
    prediction, target = operands(name)
    options = {**ELEMENTWISE, **OF_CLASSES}[name]
    loss = getattr(functional, name)
    check_gradients(lambda p: loss(p, target, reduction=reduction, **options), prediction, order=2)


@given(st.floats(-3.0, 3.0), st.sampled_from([-1.0, 1.0]))
def test_the_loss_of_a_Value_is_that_of_a_Tensor(x, y):
    for name, options in ELEMENTWISE.items():
        p, t = (abs(x) / 3.0, (y + 1.0) / 2.0) if name in ("binary_cross_entropy", "kl_div") else (x, y)
        if name == "binary_cross_entropy" and p in (0.0, 1.0):
            continue  # infinite, and tested above
        loss, value = getattr(functional, name), Value(p)
        expected, slope = value_and_gradient(loss, [p], np.array([t]), **options)
        for reduction in ("mean", "sum", "none"):
            value.zero_grad()
            out = loss(value, t, reduction=reduction, **options)
            assert type(out) is Value
            out.backward()
            assert out.data == pytest.approx(expected[0] if expected.shape else float(expected), rel=1e-14, abs=1e-15)
            assert value.grad == pytest.approx(slope[0], rel=1e-14, abs=1e-15)


@pytest.mark.promise(7)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_CLASSES])
def test_float32_stays_float32(name, reduction):
    options = {**ELEMENTWISE, **OF_CLASSES}[name] | {"reduction": reduction}
    variants = [{}]
    if name in OF_CLASSES:
        variants += [{"weight": [1.0, 2.0, 0.5]}, {"ignore_index": 0}]
    if name == "cross_entropy":
        variants.append({"label_smoothing": 0.1, "weight": np.array([1.0, 2.0, 0.5]), "ignore_index": 0})
    if name == "mse_loss":
        variants.append({"half": True})
    for variant in variants:
        out, gradient = value_and_gradient(
            getattr(functional, name), *operands(name, np.float32), np.float32, **options, **variant
        )
        exact, slope = value_and_gradient(getattr(functional, name), *operands(name), **options, **variant)
        assert (out.dtype, gradient.dtype) == (np.float32, np.float32)
        # a handful of roundings of numbers around 1
        np.testing.assert_allclose(out, exact, rtol=2e-6, atol=2e-7)
        np.testing.assert_allclose(gradient, slope, rtol=2e-6, atol=2e-7)


@pytest.mark.promise(14)
@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_CLASSES])
def test_neither_predictions_nor_targets_nor_options_are_changed(name):
    prediction, target = operands(name)
    weight = np.array([1.0, 2.0, 3.0])
    options = {"weight": weight, "ignore_index": 0} if name in OF_CLASSES else ELEMENTWISE[name]
    node = Tensor(prediction)
    before = prediction.copy(), target.copy()
    out = getattr(functional, name)(node, target, reduction="none", **options)
    out.backward(np.ones(out.shape))
    np.testing.assert_array_equal(node.data, before[0])
    np.testing.assert_array_equal(prediction, before[0])
    np.testing.assert_array_equal(target, before[1])
    np.testing.assert_array_equal(weight, [1.0, 2.0, 3.0])


def test_plain_arrays_give_plain_numbers():
    for name, options in (ELEMENTWISE | OF_CLASSES).items():
        out = getattr(functional, name)(*operands(name), **options)
        assert not isinstance(out, (Tensor, Value))
        each = getattr(functional, name)(*operands(name), reduction="none", **options)
        assert type(each) is np.ndarray
        assert each.shape == ((2, 3) if name in ELEMENTWISE else (2,))


# ---- penalties ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_penalties_add_up_all_parameters(kind):
    parameters = [Tensor([1.0, -2.0]), Tensor([[0.5], [0.0]])]
    if kind is Value:
        parameters = [Value(1.0), Value(-2.0), Value(0.5), Value(0.0)]
    for penalty, expected, slopes in (
        (l1_penalty, 0.35, [0.1, -0.1, 0.1, 0.0]),
        (l2_penalty, 0.525, [0.2, -0.4, 0.1, 0.0]),
    ):
        for p in parameters:
            p.zero_grad()
        out = penalty(parameters, 0.1)
        out.backward()
        assert out.item() == pytest.approx(expected, rel=1e-15)
        np.testing.assert_allclose(np.concatenate([np.ravel(p.grad) for p in parameters]), slopes, rtol=1e-15)


def test_penalties_keep_float32_and_refuse_nothing_at_all():
    assert l2_penalty([Tensor(np.ones(3, np.float32))], 0.1).dtype == np.float32
    for penalty in (l1_penalty, l2_penalty):
        with pytest.raises(ValueError, match=rf"{penalty.__name__} got no parameters; pass model.parameters\(\)"):
            penalty([])


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [((4, 1), (4,)), ((4,), (4, 1)), ((2, 3), (3, 2)), ((3,), ()), ((0,), (1,))])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_shapes_that_would_broadcast_are_refused_with_both_shapes(name, shapes):
    for prediction in (Tensor(np.ones(shapes[0])), np.ones(shapes[0])):
        for target in (Tensor(np.ones(shapes[1])), np.ones(shapes[1])):
            with pytest.raises(ShapeError) as caught:
                getattr(functional, name)(prediction, target, **ELEMENTWISE[name])
            message = f"{name} needs predictions and targets of one shape, got {shapes[0]} and {shapes[1]}"
            hint = "write target[:, None]" if shapes == ((4, 1), (4,)) else "reshape one of them"
            assert str(caught.value) == f"{message}; {hint}"


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_CLASSES])
def test_unknown_reductions_are_refused_with_the_known_ones(name):
    options = {**ELEMENTWISE, **OF_CLASSES}[name]
    known = "mean, batchmean, sum, none" if name == "kl_div" else "mean, sum, none"
    with pytest.raises(ValueError, match=f"^{name}: reduction must be one of {known}, got 'median'$"):
        getattr(functional, name)(*operands(name), reduction="median", **options)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan])
def test_options_out_of_range_are_refused(delta):
    with pytest.raises(ValueError, match="huber_loss: delta must be greater than 0"):
        huber_loss([1.0], [1.0], delta=delta)
    with pytest.raises(ValueError, match="chi2_loss: sigma must be greater than 0"):
        chi2_loss([1.0, 2.0], [1.0, 2.0], [1.0, delta])
    with pytest.raises(ValueError, match=r"cross_entropy: label_smoothing must be in \[0, 1\]"):
        cross_entropy([[1.0, 2.0]], [1], label_smoothing=delta - 0.5)


@pytest.mark.parametrize("shape", [(2,), (3, 1), (1, 2, 3), (4, 2, 3)])
def test_a_sigma_that_does_not_fit_is_refused_with_both_shapes(shape):
    with pytest.raises(ShapeError) as caught:
        chi2_loss(np.ones((2, 3)), np.ones((2, 3)), np.ones(shape))
    assert f"sigma of shape {shape} does not broadcast to predictions of shape (2, 3)" in str(caught.value)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.nan])
def test_what_is_no_probability_is_refused_with_the_way_out(wrong):
    with pytest.raises(ValueError, match=r"takes probabilities in \[0, 1\], .*use binary_cross_entropy_with_logits"):
        binary_cross_entropy(Tensor([0.5, wrong]), np.zeros(2))


def test_a_negative_target_probability_is_refused():
    with pytest.raises(ValueError, match=r"kl_div takes probabilities, got -0.5; for logarithms set log_target"):
        kl_div(np.zeros(2), np.array([-0.5, 0.5]))


@pytest.mark.parametrize("loss", [logistic_loss, hinge_loss])
@pytest.mark.parametrize("labels", [[0, 1], [0.5, 1.0], [-1.0, np.nan]])
def test_labels_other_than_minus_one_and_one_are_refused(loss, labels):
    with pytest.raises(ValueError, match=f"{loss.__name__} takes labels -1 and 1; for 0 and 1 use"):
        loss(Tensor([1.0, 2.0]), labels)


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_wrong_class_weights_are_refused_with_both_numbers(loss):
    with pytest.raises(ShapeError, match=r"one weight for each of 3 classes, got weights of shape \(2,\)"):
        loss(np.zeros((2, 3)), [0, 1], weight=[1.0, 2.0])


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize(("labels", "found"), [([0, 3], "0 .. 3"), ([-1, 1], "-1 .. 1"), ([7, -100], "7 .. 7")])
def test_a_class_number_out_of_range_is_refused(loss, labels, found):
    with pytest.raises(ValueError, match=rf"^{loss.__name__}: class numbers must be in 0 \.\. 2, got {found}$"):
        loss(Tensor(np.zeros((2, 3))), np.array(labels))


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_class_numbers_of_the_wrong_shape_or_kind_are_refused(loss):
    with pytest.raises(ShapeError, match=r"logits have shape \(2, 3\), so class numbers need shape \(2,\), got \(3,\)"):
        loss(Tensor(np.zeros((2, 3))), [0, 1, 2])
    with pytest.raises(ShapeError, match=r"; the classes go last: np\.moveaxis\(logits, 1, -1\)$"):
        loss(Tensor(np.zeros((2, 3, 4))), np.zeros((2, 4), int))
    assert loss(np.moveaxis(Tensor(np.zeros((2, 3, 4))), 1, -1), np.zeros((2, 4), int)).shape == ()
    with pytest.raises(TypeError, match=r"class numbers must be integers, got float64; convert with \.astype\(int\)$"):
        loss(Tensor(np.zeros((2, 3))), np.array([0.0, 1.0]))
    with pytest.raises(ShapeError, match=r"needs logits of shape \(batch, classes\), got one number"):
        loss(Tensor(0.0), 0)


def test_probabilities_have_no_class_number_to_ignore():
    with pytest.raises(ValueError, match="ignore_index goes with class numbers; these targets are probabilities"):
        cross_entropy(np.zeros((1, 2)), np.array([[0.5, 0.5]]), ignore_index=0)


# ---- the usual cross-entropy as one node ----------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_one_node_of_the_usual_cross_entropy_follows_the_rules_of_every_operation(rows, classes, seed):
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(rows, classes)), rng.integers(classes, size=rows)
    assert check_rule(functional.mean_label_cross_entropy, x, labels=labels).ok


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_class_numbers_give_the_same_as_probabilities_of_0_and_1_in_every_order(rows, classes, seed):
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(scale=3.0, size=(rows, classes)), rng.integers(classes, size=rows)
    one = lambda z: cross_entropy(z, labels)
    other = lambda z: cross_entropy(z, np.eye(classes)[labels])
    assert one(x) == pytest.approx(other(x), rel=1e-14)
    for derivative in (ad.grad, ad.hessian):
        np.testing.assert_allclose(derivative(one)(x), derivative(other)(x), rtol=1e-12, atol=1e-15)
    direction = rng.normal(size=x.shape)
    # Forward mode adds up the same products as the gradient times the direction, each with a few roundings
    products = ad.grad(one)(x) * direction
    assert ad.jvp(one, (x,), (direction,))[1] == pytest.approx(products.sum(), abs=1e-14 * np.abs(products).sum())


@given(st.integers(1, 4), st.integers(1, 5), st.sampled_from([1.0, 30.0, 1e3, 1e200]), st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_known_of_the_labels_changes_neither_value_nor_gradient(dtype, rows, classes, scale, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=rows)
    x = (rng.uniform(-1.0, 1.0, (rows, classes)) * min(scale, 1e37 if dtype == np.float32 else scale)).astype(dtype)
    x[rng.random(x.shape) < 0.1] = -np.inf
    x[rng.random(x.shape) < 0.02] = np.inf
    x[rng.random(x.shape) < 0.02] = np.nan
    known = functional.label_costs(x, labels)
    results = []
    for handed in (known, None):
        logits = Tensor(x)
        loss = functional.mean_label_cross_entropy(logits, labels=labels, known=handed)
        loss.backward()
        assert loss.dtype == logits.grad.dtype == dtype
        results.append((loss.data, logits.grad))
    assert (known is not None) == np.isfinite(results[1][0])
    # exp(x) carries the rounding of x, so up to 745 units in the last place (of float32: 104)
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1000 * np.finfo(dtype).eps, atol=10 * np.finfo(dtype).tiny)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([[-np.inf, 0.0, 1.0]], [1]),
        ([[-np.inf, 0.0, 1.0]], [0]),
        ([[-np.inf, -np.inf, -np.inf], [0.0, 0.0, 1.0]], [1, 2]),
        ([[np.inf, 0.0, 1.0], [0.0, 0.0, 1.0]], [0, 0]),
        ([[np.inf, 0.0, 1.0]], [1]),
        ([[np.nan, 0.0, 1.0]], [1]),
        ([[8e307, -8e307, 0.0], [1e200, 0.0, 0.0]], [0, 0]),
        ([[-1e308, -1e308, -1e308]], [0]),
        ([[3e38, 0.0, 0.0]], [1]),
    ],
)
def test_the_mean_cross_entropy_is_the_sum_by_the_number_of_rows_also_at_infinity_and_silent(logits, labels):
    results = []
    for reduction, n in (("mean", 1), ("sum", len(labels))):
        x = Tensor(logits)
        loss = cross_entropy(x, np.array(labels), reduction=reduction) / n
        loss.backward()
        results.append((loss.data, x.grad))
    for mean, total in zip(*results, strict=True):
        np.testing.assert_allclose(mean, total, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int64, np.uint64, bool])
def test_logits_that_are_no_floats_are_taken_as_float64(dtype):
    logits = np.array([[100, 0, 3], [0, 1, 0]]).astype(dtype)
    loss = cross_entropy(logits, np.array([1, 0]))
    assert loss.dtype == np.float64
    assert loss == pytest.approx(cross_entropy(logits.astype(float), np.array([1, 0])), rel=1e-14)


def test_many_rows_of_float16_keep_their_gradient():
    logits = Tensor(np.ones((30_000, 3), np.float16))
    cross_entropy(logits, np.ones(30_000, int)).backward()
    # float16 has steps of 6e-8 there
    np.testing.assert_allclose(logits.grad[0], np.array([1, -2, 1]) / 90_000, atol=1e-7)


def test_labels_that_change_after_the_loss_do_not_change_its_gradient():
    x, labels = Tensor([[1.0, 2.0], [0.5, 0.0]]), np.array([0, 1])
    loss = cross_entropy(x, labels)
    labels[:] = 1
    loss.backward()
    np.testing.assert_allclose(x.grad, ad.grad(lambda x: cross_entropy(x, [0, 1]))(x.data), rtol=1e-15)


def test_the_usual_cross_entropy_is_one_node_and_near_certainty_loses_no_digit():
    logits = Tensor([[40.0, 0.0, -3.0], [0.0, -np.inf, 1.0]])
    loss = cross_entropy(logits, np.array([0, 2]))
    assert loss.parents == (logits,)
    loss.backward()
    p = np.exp(-40.0) + np.exp(-43.0)  # of the two other classes; 1 - softmax would give 0
    assert logits.grad[0, 0] == pytest.approx(-p / 2, rel=1e-14)
    assert logits.grad[1, 1] == 0.0
    assert loss.item() == pytest.approx((np.log1p(p) + np.log1p(np.exp(-1.0))) / 2, rel=1e-15)
