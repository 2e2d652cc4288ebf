"""BatchNorm1d and LayerNorm."""

import numpy as np
import pytest

from autodiff import ShapeError, Tensor, grad, gradients, hessian, jvp
from autodiff.testing import check_rule
from nn.normalization import BatchNorm1d, LayerNorm, normalized, standardized

from .golden_layers import assert_as_recorded, cases, name_of


def drawn(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("axis", [(0,), (1,), (0, 1)])
def test_the_operation_behind_passes_every_check_of_the_kit(axis):
    rng = np.random.default_rng(1)
    assert check_rule(normalized, drawn(4, 3), rng.normal(size=3), rng.normal(size=3), axis=axis, eps=1e-2).ok
    assert check_rule(
        normalized, drawn(2, 3, 2), rng.normal(size=(3, 1)), rng.normal(size=(3, 1)), axis=(0, 2), eps=0.1
    ).ok


@pytest.mark.parametrize(("w", "b"), [((3,), (4, 3)), ((4, 3), (3,)), ((4, 1), (3,)), ((1, 3), (4, 1))])
def test_weight_and_bias_may_change_along_different_axes(w, b):
    rng = np.random.default_rng(1)
    for axis in [(0,), (1,)]:
        assert check_rule(normalized, drawn(4, 3), rng.normal(size=w), rng.normal(size=b), axis=axis, eps=1e-2).ok


@pytest.mark.parametrize("layer", [BatchNorm1d(3), LayerNorm(3)])
def test_a_second_backward_on_the_same_graph_adds_exactly_the_same_gradients(layer):
    x, seed = Tensor(drawn(4, 3)), np.random.default_rng(1).normal(size=(4, 3))
    y = layer(x * x)
    y.backward(seed, keep_grads=False)
    nodes = [x, layer.weight, layer.bias]
    once = [node.grad.copy() for node in nodes]
    y.backward(seed)
    for node, grad_ in zip(nodes, once, strict=True):
        np.testing.assert_array_equal(node.grad, 2.0 * grad_)
    assert not any(np.shares_memory(a.grad, b.grad) for a in nodes for b in [*nodes, y] if a is not b)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
def test_of_plain_data_the_gradient_by_a_parameter_can_be_differentiated_again(shape):
    norm, x = BatchNorm1d(3), drawn(*shape)
    (once,) = gradients(norm(x).sum(), [norm.weight], create_graph=True)
    assert isinstance(once, Tensor)
    np.testing.assert_allclose(once.data, np.zeros(3), atol=1e-14)  # what is standardised adds up to 0
    (twice,) = gradients(once.sum(), [norm.weight])
    np.testing.assert_array_equal(twice, np.zeros(3))


@pytest.mark.parametrize("part", ["x", "weight", "bias"])
def test_batch_norm_has_the_same_tangent_and_gradient_for_one_operand_alone(part):
    norm, x = BatchNorm1d(3), drawn(4, 3)
    at = {"x": x, "weight": np.array([2.0, -1.0, 0.5]), "bias": np.array([1.0, 0.0, -1.0])}

    def loss(changed):
        w, b = (changed if name == part else at[name] for name in ("weight", "bias"))
        known = standardized(x, (0,), norm.eps)
        return (normalized(changed if part == "x" else x, w, b, axis=(0,), eps=norm.eps, known=known) ** 3).sum()

    direction = np.random.default_rng(2).normal(size=at[part].shape)
    slope = (grad(loss)(at[part]) * direction).sum()
    assert jvp(loss, (at[part],), (direction,))[1] == pytest.approx(slope, rel=1e-12)  # a few roundings


def test_what_is_standardised_already_and_handed_over_changes_neither_values_nor_gradients_of_any_order():
    x, w = drawn(4, 2), np.array([2.0, -1.0])
    known = standardized(x, (0,), 1e-2)

    def loss(x, known=None):
        return (normalized(x, w, 0.5, axis=(0,), eps=1e-2, known=known) ** 3).sum()

    np.testing.assert_allclose(loss(x, known), loss(x), rtol=1e-13)
    for derivative in (grad, hessian):
        expected = derivative(loss)(x)
        # A few roundings of numbers of size 1 to 10
        np.testing.assert_allclose(derivative(lambda x: loss(x, known))(x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.promise(24)
def test_batch_norm_normalises_by_the_biased_and_keeps_the_unbiased_variance():
    x, norm = drawn(5, 3), BatchNorm1d(3, eps=0.0)
    y = norm(x)
    np.testing.assert_allclose(y.data, (x - x.mean(axis=0)) / x.std(axis=0), rtol=1e-13)
    np.testing.assert_allclose(norm.running_mean, 0.1 * x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(norm.running_var, 0.9 + 0.1 * x.var(axis=0, ddof=1), rtol=1e-13)
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2)])
def test_a_batch_of_integers_is_normalised_as_the_same_numbers_in_float64(shape, dtype):
    x = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    for layer in (BatchNorm1d(3), BatchNorm1d(3).eval(), LayerNorm(shape[-1])):
        np.testing.assert_allclose(layer(x).data, layer(x.astype(float)).data, rtol=1e-13, atol=1e-13)  # roundings


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("data", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_running_estimates_keep_their_dtype_whatever_the_batches_have(dtype, data, affine, momentum):
    norm, x = BatchNorm1d(2, dtype=dtype, affine=affine, momentum=momentum), np.arange(6).reshape(3, 2).astype(data)
    before = norm.state_dict()
    for _ in range(2):
        norm(x)
    after = norm.state_dict()
    assert {name: array.dtype for name, array in after.items()} == {name: a.dtype for name, a in before.items()}
    assert norm.load_state_dict(before).missing_keys == []
    # The mean of each column is 2 and 3, the unbiased variance 4; of 0.1 of it twice 0.19 arrives. float32 has 24 bits
    arrived = 1.0 if momentum is None else 0.19
    np.testing.assert_allclose(after["running_mean"], arrived * np.array([2.0, 3.0]), rtol=1e-6)
    np.testing.assert_allclose(after["running_var"], arrived * 4.0 + 1.0 - arrived, rtol=1e-6)


@pytest.mark.promise(24)
@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1)])
def test_one_value_a_channel_raises_in_training_and_works_in_eval(shape):
    norm, x = BatchNorm1d(3), drawn(*shape)
    with pytest.raises(ValueError, match="needs more than one value for each channel in training") as caught:
        norm(x)
    assert str(shape) in str(caught.value)
    assert norm.num_batches_tracked == 0
    assert norm.eval()(x).shape == shape


@pytest.mark.promise(24)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
def test_a_fresh_batch_norm_in_eval_is_the_identity_up_to_eps(shape):
    x = drawn(*shape)
    np.testing.assert_allclose(BatchNorm1d(3, eps=0.0).eval()(x).data, x, rtol=1e-15)
    np.testing.assert_allclose(BatchNorm1d(3).eval()(x).data, x / np.sqrt(1.0 + 1e-5), rtol=1e-15)


@pytest.mark.promise(24)
def test_eval_twice_gives_the_same_and_changes_nothing():
    norm = BatchNorm1d(3)
    norm(drawn(6, 3))
    norm.eval()
    before = norm.state_dict()
    first, second = norm(drawn(4, 3)), norm(drawn(4, 3))
    np.testing.assert_array_equal(first.data, second.data)
    for name, array in norm.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_constant_channel_becomes_zero_and_its_gradient_stays_finite():
    x = Tensor(np.full((8, 2), 0.1))
    y = BatchNorm1d(2)(x)
    (y * drawn(8, 2)).sum().backward()
    assert np.abs(y.data).max() < 1e-12  # the mean of 0.1s is off by a rounding, which eps divides by 0.003
    assert np.all(np.isfinite(x.grad))


def test_without_momentum_the_estimates_are_the_mean_over_all_batches():
    norm, batches = BatchNorm1d(2, momentum=None), np.random.default_rng(1).normal(size=(3, 5, 2))
    for batch in batches:
        norm(batch)
    np.testing.assert_allclose(norm.running_mean, batches.mean(axis=(0, 1)), rtol=1e-13)
    np.testing.assert_allclose(norm.running_var, batches.var(axis=1, ddof=1).mean(axis=0), rtol=1e-13)


def test_running_estimates_are_buffers_and_not_parameters():
    norm = BatchNorm1d(2)
    assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]
    assert list(norm.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(BatchNorm1d(2, affine=False, track_running_stats=False).state_dict()) == []


def test_float32_stays_float32_through_both_normalisations():
    x = Tensor(drawn(4, 3), dtype=np.float32)
    for norm in (BatchNorm1d(3, dtype=np.float32), LayerNorm(3, dtype=np.float32)):
        y = norm(x)
        y.sum().backward()
        assert {y.dtype, x.grad.dtype, norm.weight.grad.dtype} == {np.dtype(np.float32)}
    batch = BatchNorm1d(3, dtype=np.float32)
    batch(x)
    assert {batch.running_mean.dtype, batch.running_var.dtype} == {np.dtype(np.float32)}
    assert batch.eval()(x).dtype == np.float32


@pytest.mark.parametrize("shape", [(3,), (4, 2), (4, 2, 3), (2, 3, 4, 5), ()])
def test_other_shapes_are_refused_by_batch_norm(shape):
    with pytest.raises(ShapeError, match=r"takes inputs of shape \(batch, 3\) or \(batch, 3, length\), got") as caught:
        BatchNorm1d(3)(np.zeros(shape))
    assert str(caught.value).endswith(f"got {shape}")


@pytest.mark.parametrize("shape", [(2,), (4, 2), ()])
def test_other_shapes_are_refused_by_layer_norm(shape):
    with pytest.raises(ShapeError, match=r"takes inputs of shape \(\.\.\., 3\), got"):
        LayerNorm(3)(np.zeros(shape))
    with pytest.raises(ShapeError, match=r"takes inputs of shape \(\.\.\., 3, 4\), got"):
        LayerNorm([3, 4])(np.zeros(shape))


def test_layer_norm_is_the_same_in_training_and_evaluation_and_takes_one_example():
    norm, x = LayerNorm(4, eps=0.0), drawn(4)
    np.testing.assert_allclose(norm(x).data, (x - x.mean()) / x.std(), rtol=1e-13)
    np.testing.assert_array_equal(norm.eval()(x).data, norm.train()(x).data)


def test_the_repr_shows_the_options():
    assert repr(BatchNorm1d(3)) == "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"
    assert repr(LayerNorm([3, 4])) == "LayerNorm((3, 4), eps=1e-05, elementwise_affine=True)"


def test_lists_of_numbers_are_inputs_too():
    np.testing.assert_allclose(BatchNorm1d(1, eps=0.0)([[1], [3]]).data, [[-1.0], [1.0]])
    np.testing.assert_allclose(LayerNorm(2, eps=0.0)([1, 3]).data, [-1.0, 1.0])


@pytest.mark.parametrize("case", cases("BatchNorm1d", "LayerNorm"), ids=name_of)
def test_a_normalisation_computes_and_differentiates_as_PyTorch_did(case):
    assert_as_recorded(case)


def test_a_network_with_both_trains_beside_PyTorchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch itself: pip install torch")
    ours, theirs = BatchNorm1d(4), torch.nn.BatchNorm1d(4).double()
    rng = np.random.default_rng(5)
    for _ in range(10):
        x = rng.normal(size=(6, 4))
        ours(x)
        theirs(torch.tensor(x))
    for name, expected in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("layer", [lambda: LayerNorm(3), lambda: BatchNorm1d(3, track_running_stats=False).eval()])
def test_an_empty_batch_has_zero_gradients(layer):
    layer = layer()
    with np.errstate(all="ignore"):
        layer(Tensor(np.ones((0, 3)))).sum().backward()
    assert [p.grad.tolist() for p in layer.parameters()] == [[0.0] * 3, [0.0] * 3]
