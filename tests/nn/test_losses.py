"""The losses: values, gradients, what they refuse, and large numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn
from autodiff import ShapeError, Tensor, Value
from nn import MLP, functional, losses
from nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    Chi2Loss,
    CrossEntropyLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LogisticLoss,
    MSELoss,
    NLLLoss,
)

from .recorded import assert_near, recorded

ELEMENTWISE = [MSELoss, BCEWithLogitsLoss]
EVERY_LOSS = [*ELEMENTWISE, CrossEntropyLoss]


def value_and_gradient(loss, prediction, target, dtype=np.float64):
    """Return what a loss is and its gradient by the prediction."""
    prediction = Tensor(prediction, dtype=dtype)
    out = loss(prediction, target)
    out.backward()
    assert out.shape == ()
    return out.item(), prediction.grad


# ---- values and gradients -------------------------------------------------------------------------------------


def test_squared_errors_are_averaged_over_all_elements():
    value, gradient = value_and_gradient(MSELoss(), [[1.0, 2.0], [3.0, 4.0]], np.array([[1.0, 4.0], [0.0, 4.5]]))
    assert value == (0.0 + 4.0 + 9.0 + 0.25) / 4
    np.testing.assert_array_equal(gradient, [[0.0, -1.0], [1.5, -0.25]])


def test_binary_cross_entropy_is_that_of_the_sigmoid():
    logits, target = np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.0, 0.25])
    p = 1.0 / (1.0 + np.exp(-logits))
    value, gradient = value_and_gradient(BCEWithLogitsLoss(), logits, target)
    assert value == pytest.approx(np.mean(-target * np.log(p) - (1.0 - target) * np.log(1.0 - p)), rel=1e-14)
    np.testing.assert_allclose(gradient, (p - target) / 3.0, rtol=1e-14)


def test_cross_entropy_is_that_of_the_softmax():
    logits, labels = np.array([[2.0, -1.0, 3.0], [0.0, 1.0, 0.5]]), np.array([2, 0])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p[0], [0.26538793, 0.01321289, 0.72139918], atol=5e-9)
    value, gradient = value_and_gradient(CrossEntropyLoss(), logits, labels)
    assert value == pytest.approx(-(np.log(p[0, 2]) + np.log(p[1, 0])) / 2.0, rel=1e-14)
    np.testing.assert_allclose(gradient, (p - np.eye(3)[labels]) / 2.0, rtol=1e-13)


def test_the_target_may_be_a_node_and_gets_its_gradient():
    target = Tensor([1.0, 5.0])
    MSELoss()(np.array([2.0, 3.0]), target).backward()
    np.testing.assert_array_equal(target.grad, [-1.0, 2.0])
    probabilities = Tensor([[0.5, 0.5]])
    CrossEntropyLoss()(Tensor([[0.0, 1.0]]), probabilities).backward()
    log_softmax = np.array([0.0, 1.0]) - math.log(1.0 + math.e)
    np.testing.assert_allclose(probabilities.grad, [-log_softmax], rtol=1e-14)


def test_class_numbers_are_the_same_as_rows_with_a_single_one():
    logits, labels = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    one = value_and_gradient(CrossEntropyLoss(), logits, labels)
    for targets in (labels.tolist(), labels.astype(np.uint8)):
        other = value_and_gradient(CrossEntropyLoss(), logits, targets)
        assert other[0] == one[0]
        np.testing.assert_array_equal(other[1], one[1])
    for targets in (np.eye(3)[labels], np.eye(3)[labels] == 1.0):  # another formula, so other roundings
        other = value_and_gradient(CrossEntropyLoss(), logits, targets)
        assert other[0] == pytest.approx(one[0], rel=1e-15)
        np.testing.assert_allclose(other[1], one[1], rtol=2e-15)


def test_probabilities_mix_the_losses_of_the_classes():
    logits = np.array([[0.3, -0.2, 1.0]])
    mixed, _ = value_and_gradient(CrossEntropyLoss(), logits, [[0.2, 0.5, 0.3]])
    pure = [value_and_gradient(CrossEntropyLoss(), logits, [k])[0] for k in range(3)]
    assert mixed == pytest.approx(np.dot([0.2, 0.5, 0.3], pure), rel=1e-14)


def test_classes_are_along_the_last_axis_whatever_the_rank():
    logits, labels = np.random.default_rng(1).normal(size=(2, 3, 4)), np.array([[0, 1, 2], [3, 3, 0]])
    value, gradient = value_and_gradient(CrossEntropyLoss(), logits, labels)
    flat, flat_gradient = value_and_gradient(CrossEntropyLoss(), logits.reshape(6, 4), labels.ravel())
    assert value == pytest.approx(flat, rel=1e-14)
    np.testing.assert_allclose(gradient.reshape(6, 4), flat_gradient, rtol=1e-14)
    single, _ = value_and_gradient(CrossEntropyLoss(), [0.0, 0.0], 1)
    assert single == pytest.approx(math.log(2.0), rel=1e-15)


def test_adding_a_number_to_all_logits_of_a_row_changes_nothing():
    logits, labels = np.array([[1.0, 2.0, 4.0]]), [1]
    one, other = (value_and_gradient(CrossEntropyLoss(), logits + shift, labels) for shift in (0.0, 1000.0))
    assert one[0] == pytest.approx(other[0], rel=1e-13)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-12)


@given(st.floats(-30.0, 30.0), st.floats(0.0, 1.0))
def test_binary_cross_entropy_is_cross_entropy_of_two_classes(logit, probability):
    binary, slope = value_and_gradient(BCEWithLogitsLoss(), [logit], [probability])
    double, slopes = value_and_gradient(CrossEntropyLoss(), [[0.0, logit]], [[1.0 - probability, probability]])
    assert binary == pytest.approx(double, rel=1e-12, abs=1e-12)
    assert slope[0] == pytest.approx(slopes[0, 1], abs=1e-14)


# ---- every module is its function -----------------------------------------------------------------------------

SIGNS, LABELS = np.array([[1, -1, 1], [-1, -1, 1]]), np.array([2, 0])
MODULES = [
    (MSELoss, {}, "mse_loss", None),
    (MSELoss, {"half": True, "reduction": "sum"}, "mse_loss", None),
    (L1Loss, {"reduction": "none"}, "l1_loss", None),
    (HuberLoss, {"delta": 0.1}, "huber_loss", None),
    (Chi2Loss, {"sigma": [0.5, 1.0, 2.0]}, "chi2_loss", None),
    (BCELoss, {"reduction": "sum"}, "binary_cross_entropy", None),
    (BCEWithLogitsLoss, {"reduction": "none"}, "binary_cross_entropy_with_logits", None),
    (CrossEntropyLoss, {"reduction": "sum"}, "cross_entropy", LABELS),
    (CrossEntropyLoss, {"weight": [1.0, 2.0, 3.0], "ignore_index": 0}, "cross_entropy", LABELS),
    (CrossEntropyLoss, {"label_smoothing": 0.1}, "cross_entropy", LABELS),
    (NLLLoss, {"weight": [1.0, 2.0, 3.0], "ignore_index": 0}, "nll_loss", LABELS),
    (LogisticLoss, {"reduction": "sum"}, "logistic_loss", SIGNS),
    (HingeLoss, {"reduction": "sum"}, "hinge_loss", SIGNS),
    (KLDivLoss, {"reduction": "batchmean"}, "kl_div", None),
    (KLDivLoss, {"log_target": True}, "kl_div", None),
]


@pytest.mark.parametrize(("loss", "options", "name", "target"), MODULES)
def test_a_module_keeps_the_options_for_its_function(loss, options, name, target):
    prediction = Tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    target = np.array([[0.25, 0.5, 0.25], [0.3, 0.3, 0.4]]) if target is None else target
    np.testing.assert_array_equal(
        loss(**options)(prediction, target).data, getattr(functional, name)(prediction, target, **options).data
    )


def test_every_loss_is_there_as_a_module_and_as_a_function():
    modules = {loss for loss, *_ in MODULES}
    assert {loss.__name__ for loss in modules} == set(losses.__all__)
    functions = {name for _, _, name, _ in MODULES}
    assert functions | {"l1_penalty", "l2_penalty"} == set(functional.__all__)


@pytest.mark.parametrize(("loss", "line"), [
    (MSELoss(half=True), "MSELoss(half=True)"),
    (MSELoss(reduction="sum"), "MSELoss(reduction='sum')"),
    (HuberLoss(delta=2.0), "HuberLoss(delta=2.0)"),
    (Chi2Loss(0.5), "Chi2Loss(sigma=0.5)"),
    (CrossEntropyLoss(label_smoothing=0.1, ignore_index=-1), "CrossEntropyLoss(ignore_index=-1, label_smoothing=0.1)"),
    (KLDivLoss(), "KLDivLoss()"),
])  # fmt: skip
def test_a_loss_shows_the_options_that_are_not_the_usual_ones(loss, line):
    assert repr(loss) == line


@pytest.mark.parametrize("loss", [loss for loss in {loss for loss, *_ in MODULES} if loss is not Chi2Loss])
def test_an_unknown_reduction_is_refused_at_once(loss):
    with pytest.raises(ValueError, match=f"^{loss.__name__}: reduction must be one of mean, .*, got 'median'$"):
        loss(reduction="median")


def test_options_out_of_range_are_refused_at_once():
    with pytest.raises(ValueError, match="HuberLoss: delta must be greater than 0, got 0"):
        HuberLoss(delta=0)
    with pytest.raises(ValueError, match="Chi2Loss: sigma must be greater than 0, got -1"):
        Chi2Loss(-1)
    with pytest.raises(ValueError, match=r"CrossEntropyLoss: label_smoothing must be in \[0, 1\], got 2"):
        CrossEntropyLoss(label_smoothing=2)
    with pytest.raises(ValueError, match="MSELoss: reduction must be one of mean, sum, none, got 'batchmean'"):
        MSELoss(reduction="batchmean")


# ---- what may be given ----------------------------------------------------------------------------------------


def test_lists_and_numbers_are_compared_like_arrays():
    assert MSELoss()([1.0, 2.0], [1.0, 4.0]).item() == 2.0
    assert MSELoss()(Tensor([1.0, 2.0]), [1, 4]).item() == 2.0
    assert MSELoss()(np.array([1, 2]), [0.5, 2.0]).item() == 0.125
    assert BCEWithLogitsLoss()([0.0], [True]).item() == pytest.approx(math.log(2.0), rel=1e-15)


@pytest.mark.parametrize("loss", ELEMENTWISE)
def test_the_loss_of_a_Value_is_a_Value(loss):
    mlp = MLP(2, [3, 1], activation="tanh", rng=0)
    y = mlp([0.5, -1.0])
    out = loss()(y, 1.0)
    out.backward()
    _, expected = value_and_gradient(loss(), [y.data], [1.0])
    assert type(out) is Value
    assert y.grad == pytest.approx(expected[0], rel=1e-14)
    assert mlp.layers[1].neurons[0].b.grad == y.grad


def test_a_list_of_Values_is_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"Tensor\.from_values"):
        MSELoss()([Value(1.0)], [1.0])


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_a_loss_has_no_parameters_and_one_line(loss):
    assert loss().parameters() == []
    assert repr(loss()) == f"{loss.__name__}()"


@pytest.mark.promise(7)
@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.bool_, list])
@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_float32_stays_float32(loss, dtype):
    target = np.array([[0, 1], [1, 0]])
    if loss is CrossEntropyLoss and dtype in (np.int64, list):
        target = np.array([1, 0])
    target = target.tolist() if dtype is list else target.astype(np.float32 if dtype is np.float64 else dtype)
    prediction = Tensor([[0.5, -1.0], [2.0, 0.25]], dtype=np.float32)
    out = loss()(prediction, target)
    out.backward()
    assert (out.dtype, prediction.grad.dtype) == (np.float32, np.float32)
    exact, gradient = value_and_gradient(loss(), prediction.data, target)
    assert out.item() == pytest.approx(exact, rel=1e-6)
    np.testing.assert_allclose(prediction.grad, gradient, rtol=1e-6, atol=1e-7)


@pytest.mark.promise(14)
def test_neither_predictions_nor_targets_are_changed():
    for loss, target in ((MSELoss(), np.eye(2)), (BCEWithLogitsLoss(), np.eye(2)), (CrossEntropyLoss(), np.eye(2))):
        prediction = Tensor([[1.0, 2.0], [3.0, 5.0]])
        loss(prediction, target).backward()
        np.testing.assert_array_equal(target, np.eye(2))
        np.testing.assert_array_equal(prediction.data, [[1.0, 2.0], [3.0, 5.0]])


# ---- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [((4, 1), (4,)), ((4,), (4, 1)), ((2, 3), (3, 2)), ((3,), ()), ((0,), (1,))])
@pytest.mark.parametrize("loss", ELEMENTWISE)
def test_shapes_that_would_broadcast_are_refused_with_both_shapes(loss, shapes):
    for prediction in (Tensor(np.zeros(shapes[0])), np.zeros(shapes[0])):
        for target in (Tensor(np.zeros(shapes[1])), np.zeros(shapes[1])):
            with pytest.raises(ShapeError) as caught:
                loss()(prediction, target)
            assert f"needs predictions and targets of one shape, got {shapes[0]} and {shapes[1]};" in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 4), (2,), (2, 3, 1)])
def test_probabilities_need_the_shape_of_the_logits(shape):
    for target in (np.zeros(shape), Tensor(np.zeros(shape))):
        if shape == (2,) and isinstance(target, np.ndarray):
            continue  # read as class numbers, see below
        with pytest.raises(ShapeError) as caught:
            CrossEntropyLoss()(Tensor(np.zeros((2, 3))), target)
        assert f"got (2, 3) and {shape};" in str(caught.value)


@pytest.mark.parametrize("labels", [[0, 1, 2], [[0], [1]], 0, [[0, 0, 1], [1, 0, 0]]])
def test_class_numbers_need_one_number_a_row(labels):
    with pytest.raises(ShapeError) as caught:
        CrossEntropyLoss()(Tensor(np.zeros((2, 3))), labels)
    assert f"logits have shape (2, 3), so class numbers need shape (2,), got {np.shape(labels)}" in str(caught.value)


@pytest.mark.parametrize(("labels", "found"), [([0, 3], "0 .. 3"), ([-1, 1], "-1 .. 1"), ([7, -7], "-7 .. 7")])
def test_a_class_number_out_of_range_is_refused(labels, found):
    with pytest.raises(ValueError, match=rf"^cross_entropy: class numbers must be in 0 \.\. 2, got {found}$"):
        CrossEntropyLoss()(Tensor(np.zeros((2, 3))), np.array(labels))


def test_class_numbers_that_are_not_integers_are_refused():
    with pytest.raises(TypeError, match=r"class numbers must be integers, got float64; convert with \.astype\(int\)$"):
        CrossEntropyLoss()(Tensor(np.zeros((2, 3))), np.array([0.0, 1.0]))


def test_one_number_is_no_row_of_logits():
    with pytest.raises(ShapeError, match=r"needs logits of shape \(batch, classes\), got one number"):
        CrossEntropyLoss()(Tensor(0.0), 0)


# ---- large and infinite numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("logit", "target", "value", "slope"), [
    (1e4, 1.0, 0.0, 0.0),
    (1e4, 0.0, 1e4, 1.0),
    (-1e4, 1.0, 1e4, -1.0),
    (-1e4, 0.0, 0.0, 0.0),
    (1e4, 0.5, 5e3, 0.5),
    (-1e4, 0.5, 5e3, -0.5),
])  # fmt: skip
def test_binary_cross_entropy_of_large_logits_is_its_limit(logit, target, value, slope, dtype):
    out, gradient = value_and_gradient(BCEWithLogitsLoss(), [logit], np.array([target], dtype), dtype)
    assert out == value
    assert gradient[0] == pytest.approx(slope, rel=0.0, abs=1e-25)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("logits", "label", "value", "gradient"), [
    ([1e4, -1e4, 0.0], 0, 0.0, [0.0, 0.0, 0.0]),
    ([1e4, -1e4, 0.0], 1, 2e4, [1.0, -1.0, 0.0]),
    ([1e4, -1e4, 0.0], 2, 1e4, [1.0, 0.0, -1.0]),
    ([-1e4, -1e4, -1e4], 1, math.log(3.0), [1 / 3, -2 / 3, 1 / 3]),
    ([0.0, -np.inf, 0.0], 0, math.log(2.0), [-0.5, 0.0, 0.5]),
])  # fmt: skip
def test_cross_entropy_of_large_logits_is_its_limit(logits, label, value, gradient, dtype):
    out, found = value_and_gradient(CrossEntropyLoss(), [logits], [label], dtype)
    rounding = float(np.finfo(dtype).eps)
    assert out == pytest.approx(value, rel=4 * rounding)
    np.testing.assert_allclose(found, [gradient], rtol=4 * rounding, atol=0.0)


def test_small_losses_keep_their_digits():
    assert value_and_gradient(BCEWithLogitsLoss(), [40.0], [1.0])[0] == pytest.approx(math.exp(-40.0), rel=1e-14)
    assert value_and_gradient(BCEWithLogitsLoss(), [-700.0], [0.0])[0] == pytest.approx(math.exp(-700.0), rel=1e-12)


# ---- PyTorch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", recorded("losses"), ids=lambda case: case["loss"])
def test_losses_and_gradients_are_those_that_PyTorch_gave(case):
    value, gradient = value_and_gradient(getattr(nn, case["loss"])(), case["prediction"], np.array(case["target"]))
    assert_near(value, case["value"])
    assert_near(gradient, case["gradient"])
