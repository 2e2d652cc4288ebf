"""Linear, Embedding, Flatten, Identity and Dropout."""

import math

import numpy as np
import pytest

import nn
from autodiff import ShapeError, Tensor, Value
from nn import SGD, Linear, ReLU, Sequential, Tanh
from nn.layers import Dropout, Embedding, Flatten, Identity

from .golden_layers import assert_as_recorded, cases, name_of


def filled(weight, bias=None):
    """Return a Linear with these numbers."""
    weight = np.array(weight, dtype=float)
    layer = Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = np.array(bias, dtype=float)
    return layer


# ---- Linear ---------------------------------------------------------------------------------------------------


def test_a_linear_layer_is_x_times_the_transposed_weight_plus_the_bias():
    layer = filled([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0.5, -0.5, 1.0])
    np.testing.assert_array_equal(layer(np.array([[1.0, 0.0], [1.0, -1.0]])).data, [[1.5, 2.5, 6.0], [-0.5, -1.5, 0.0]])


def test_the_weight_has_one_row_an_output():
    layer = Linear(2, 3, rng=0)
    assert (layer.weight.shape, layer.bias.shape) == ((3, 2), (3,))
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]


def test_weight_and_bias_are_uniform_in_one_over_the_root_of_the_inputs():
    layer = Linear(25, 4000, rng=0)
    for numbers in (layer.weight.data, layer.bias.data):
        assert -0.2 <= numbers.min() < -0.199
        assert 0.199 < numbers.max() <= 0.2
        # Five standard deviations of the mean and of the variance of uniform numbers in +-0.2
        assert abs(numbers.mean()) < 5.0 * 0.2 / math.sqrt(3 * numbers.size)
        assert abs(numbers.var() - 0.04 / 3.0) < 5.0 * 0.04 * math.sqrt(4.0 / 45.0 / numbers.size)


def test_the_seed_or_the_generator_decides_the_parameters():
    first, again, other = (Linear(3, 2, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.weight.data, again.weight.data)
    np.testing.assert_array_equal(first.bias.data, again.bias.data)
    assert not np.any(first.weight.data == other.weight.data)
    rng = np.random.default_rng(1)
    one, two = Linear(3, 2, rng=rng), Linear(3, 2, rng=rng)
    np.testing.assert_array_equal(one.weight.data, first.weight.data)
    assert not np.any(two.weight.data == one.weight.data)


def test_without_a_bias_there_is_one_parameter():
    layer = filled([[2.0, 1.0]])
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    np.testing.assert_array_equal(layer(np.array([[1.0, 3.0]])).data, [[5.0]])
    layer(np.array([[1.0, 3.0], [10.0, 30.0]])).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, [[11.0, 33.0]])
    assert repr(layer) == "Linear(in_features=2, out_features=1, bias=False)"


def test_the_seed_gives_the_same_weight_with_and_without_bias():
    np.testing.assert_array_equal(Linear(3, 2, rng=1).weight.data, Linear(3, 2, False, rng=1).weight.data)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(2,), (5, 2), (4, 5, 2), (1, 2), (0, 2), (3, 0, 2)])
def test_inputs_of_any_rank_are_mapped_along_their_last_axis(shape, bias):
    layer, rng = Linear(2, 3, bias, rng=0), np.random.default_rng(1)
    x, upstream = Tensor(rng.normal(size=shape)), rng.normal(size=(*shape[:-1], 3))
    y = layer(x)
    y.backward(upstream)
    w = layer.weight.data
    rows, g = x.data.reshape(-1, 2), upstream.reshape(-1, 3)
    assert y.shape == (*shape[:-1], 3)
    offset = layer.bias.data if bias else 0.0
    np.testing.assert_allclose(y.data.reshape(-1, 3), rows @ w.T + offset, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(layer.weight.grad, g.T @ rows, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(x.grad, (upstream @ w).reshape(shape), rtol=1e-13, atol=1e-14)
    if bias:
        np.testing.assert_allclose(layer.bias.grad, g.sum(axis=0), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("x", [[1, 2], (1.0, 2.0), [[1, 2], [3, 4]], np.array([[1, 2]]), np.array([True, False])])
def test_lists_integers_and_booleans_are_inputs_too(x):
    layer = filled([[1.0, 2.0]], [0.5])
    expected = np.asarray(x, dtype=float) @ [[1.0], [2.0]] + 0.5
    np.testing.assert_array_equal(layer(x).data, expected)
    assert layer(x).dtype == np.float64


@pytest.mark.parametrize("bias", [True, False])
def test_a_plain_array_gets_no_gradient_but_the_parameters_do(bias):
    layer, x = Linear(2, 1, bias, rng=0), np.array([[1.0, 2.0]])
    layer(x).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, x)
    np.testing.assert_array_equal(x, [[1.0, 2.0]])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (5, 4), (2, 5, 1), (2, 0), ()])
def test_a_shape_mismatch_names_the_layer_and_both_numbers(shape, bias):
    with pytest.raises(ShapeError) as caught:
        Linear(2, 7, bias)(np.zeros(shape))
    layer = f"Linear(in_features=2, out_features=7, bias={bias})"
    assert str(caught.value) == f"{layer} takes inputs of shape (..., 2), got {shape}"


def test_a_mismatch_inside_a_network_names_the_layer_that_does_not_fit():
    net = Sequential(Linear(8, 4), ReLU(), Linear(5, 3))
    words = (
        r"^Linear\(in_features=5, out_features=3.* \(\.\.\., 5\), got \(100, 4\)\nin module 2 of a Sequential: Linear$"
    )
    with pytest.raises(ShapeError, match=words):
        net(np.zeros((100, 8)))


def test_a_list_of_Values_is_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"Tensor\.from_values"):
        Linear(2, 1)([Value(1.0), Value(2.0)])
    a, layer = Value(1.0), filled([[3.0, 4.0]], [0.0])
    layer(Tensor.from_values([a, 2.0])).backward()
    assert a.grad == 3.0


@pytest.mark.parametrize("sizes", [(-1, 3), (3, -1)])
def test_negative_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=rf"^Linear needs sizes of at least 0, got {sizes[0]} and {sizes[1]}$"):
        Linear(*sizes)


def test_a_layer_without_inputs_gives_its_bias():
    layer = Linear(0, 2, rng=0)
    layer.bias.data = np.array([1.0, -1.0])
    np.testing.assert_array_equal(layer(np.zeros((2, 0))).data, [[1.0, -1.0], [1.0, -1.0]])


def test_a_layer_without_outputs_is_a_layer():
    layer = Linear(2, 0, rng=0)
    assert layer(np.zeros((3, 2))).shape == (3, 0)


def test_a_parameter_is_of_the_dtype_asked_for_and_not_an_integer():
    assert [p.dtype for p in Linear(2, 3, dtype=np.float32).parameters()] == [np.float32, np.float32]
    with pytest.raises(TypeError, match="dtype must be floating, got int64"):
        Linear(2, 3, dtype=np.int64)


@pytest.mark.promise(7)
@pytest.mark.parametrize("bias", [True, False])
def test_float32_stays_float32_through_a_network_and_ten_steps(bias):
    kinds = [nn.ReLU(), nn.LeakyReLU(), nn.ELU(), nn.SELU(), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Softplus(), Tanh()]
    parts = [part for act in kinds for part in (Linear(3, 3, bias, rng=1, dtype=np.float32), act)]
    net = Sequential(*parts, Linear(3, 1, bias, rng=2, dtype=np.float32))
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    optimizer, loss = SGD(net.parameters(), 0.05, momentum=0.9), nn.MSELoss()
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        out = loss(net(x), np.ones((6, 1), np.float32))
        out.backward()
        assert {out.dtype} | {p.grad.dtype for p in net.parameters()} == {np.dtype(np.float32)}
        optimizer.step()
        losses.append(out.item())
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float32)}
    assert losses[-1] < losses[0]


def test_a_list_given_to_a_float32_layer_becomes_float32():
    assert Linear(2, 1, dtype=np.float32)([1.0, 2.0]).dtype == np.float32


def test_a_layer_has_n_in_plus_1_times_n_out_parameters():
    net = Sequential(Linear(784, 512, rng=0), ReLU(), Linear(512, 512, rng=0), ReLU(), Linear(512, 10, rng=0))
    counts = [sum(p.size for p in layer.parameters()) for layer in net]
    assert counts == [401_920, 0, 262_656, 0, 5_130]
    assert sum(p.size for p in net.parameters()) == 669_706


def test_the_repr_shows_the_sizes():
    assert repr(Linear(2, 3)) == "Linear(in_features=2, out_features=3, bias=True)"


# ---- Embedding, Flatten, Identity -----------------------------------------------------------------------------


def test_an_embedding_looks_up_rows_and_adds_up_the_gradients_of_repeated_ones():
    table = Embedding(4, 2, rng=0)
    table.weight.data = np.arange(8.0).reshape(4, 2)
    y = table([[3, 0], [3, 3]])
    np.testing.assert_array_equal(y.data, [[[6.0, 7.0], [0.0, 1.0]], [[6.0, 7.0], [6.0, 7.0]]])
    y.sum().backward()
    np.testing.assert_array_equal(table.weight.grad, [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [3.0, 3.0]])
    assert repr(table) == "Embedding(4, 2)"


def test_the_padding_vector_is_zero_and_gets_no_gradient():
    table = Embedding(3, 2, padding_idx=1, rng=0)
    y = table(np.array([1, 2, 1]))
    np.testing.assert_array_equal(y.data[[0, 2]], np.zeros((2, 2)))
    y.sum().backward()
    np.testing.assert_array_equal(table.weight.grad, [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert repr(table) == "Embedding(3, 2, padding_idx=1)"


def test_an_embedding_is_standard_normal_and_decided_by_its_seed():
    weight = Embedding(1000, 20, rng=3).weight.data
    n = weight.size
    # Five standard deviations of the mean, 1/sqrt(n), and of the variance, sqrt(2/n)
    assert abs(weight.mean()) < 5.0 / math.sqrt(n)
    assert abs(weight.var() - 1.0) < 5.0 * math.sqrt(2.0 / n)
    np.testing.assert_array_equal(weight, Embedding(1000, 20, rng=3).weight.data)


def test_changing_the_indices_afterwards_does_not_change_the_gradient():
    table, indices = Embedding(3, 1, rng=0), np.array([0, 0])
    y = table(indices)
    indices[:] = 2
    y.sum().backward()
    np.testing.assert_array_equal(table.weight.grad, [[2.0], [0.0], [0.0]])


@pytest.mark.parametrize("wrong", [[0.0], np.array([True]), Tensor([1.0])])
def test_an_embedding_takes_integers(wrong):
    with pytest.raises(TypeError, match=r"^Embedding\(3, 2\) takes integers, got"):
        Embedding(3, 2)(wrong)


@pytest.mark.parametrize("wrong", [[3], [-1], [[0, 7]]])
def test_an_integer_out_of_range_is_refused_with_the_range(wrong):
    with pytest.raises(ValueError, match=r"^Embedding\(3, 2\) takes integers in 0 \.\. 2, got"):
        Embedding(3, 2)(wrong)


def test_sizes_of_an_embedding_are_checked():
    with pytest.raises(ValueError, match="sizes of at least 0, got -1 and 2"):
        Embedding(-1, 2)
    with pytest.raises(ValueError, match=r"padding_idx must be in 0 \.\. 2, got 3"):
        Embedding(3, 2, padding_idx=3)


def test_an_embedding_of_nothing_is_empty():
    assert Embedding(3, 2)([]).shape == (0, 2)


def test_flatten_merges_all_axes_but_the_batch_and_gives_the_gradient_its_shape_back():
    x = Tensor(np.arange(12.0).reshape(2, 3, 2))
    y = Flatten()(x)
    np.testing.assert_array_equal(y.data, np.arange(12.0).reshape(2, 6))
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad, 2.0 * x.data)
    assert Flatten(-2, -1)(np.zeros((2, 3, 4, 5))).shape == (2, 3, 20)
    assert Flatten(0)(np.zeros((2, 3, 4))).shape == (24,)
    assert Flatten()([[1, 2], [3, 4]]).shape == (2, 2)
    assert Flatten()(np.zeros((0, 3, 4))).shape == (0, 12)
    assert repr(Flatten()) == "Flatten(start_axis=1, end_axis=-1)"


@pytest.mark.parametrize("flatten", [Flatten(), Flatten(2, 1), Flatten(0, 3)])
def test_flatten_of_axes_that_are_not_there_is_an_error(flatten):
    with pytest.raises(ShapeError, match=r"got an input of shape \(3,\)$"):
        flatten(np.zeros(3))


def test_the_identity_gives_the_very_same_thing():
    x = Tensor([1.0])
    assert Identity()(x) is x
    assert repr(Identity()) == "Identity()"


# ---- Dropout --------------------------------------------------------------------------------------------------


@pytest.mark.promise(24)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_dropout_in_training_drops_and_scales_and_sends_the_gradient_through_the_same_mask(p):
    x = Tensor(np.linspace(1.0, 2.0, 1000))
    y = Dropout(p, rng=0)(x)
    y.sum().backward()
    kept = y.data != 0.0
    np.testing.assert_allclose(y.data[kept], x.data[kept] / (1.0 - p) if p < 1.0 else [], rtol=1e-15)
    np.testing.assert_array_equal(x.grad, np.where(kept, 1.0 / (1.0 - p) if p < 1.0 else 0.0, 0.0))
    # Five standard deviations of a binomial count
    assert abs(kept.sum() - (1.0 - p) * 1000) <= 5.0 * math.sqrt(1000 * p * (1.0 - p))


@pytest.mark.promise(24)
def test_dropout_preserves_the_mean_within_five_sigma_over_a_million_numbers(figure):
    for p in (0.1, 0.5, 0.9):
        y = Dropout(p, rng=1)(np.ones(1_000_000))
        # A number is 0 or 1/(1-p), so its standard deviation is sqrt(p/(1-p))
        off = float(abs(y.mean() - 1.0) / math.sqrt(p / (1.0 - p) / y.size))
        figure("mean of a million numbers after dropout, off in standard deviations", off, 5.0)
        assert off < 5.0


@pytest.mark.promise(24)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_dropout_in_evaluation_is_the_identity_and_draws_nothing(p):
    dropout, x = Dropout(p, rng=2).eval(), Tensor([1.0, 2.0])
    before = dropout.rng.bit_generator.state
    assert dropout(x) is x
    assert dropout(x) is x
    assert dropout.rng.bit_generator.state == before


def test_dropout_draws_a_new_mask_at_every_call_from_its_own_generator():
    dropout, again = Dropout(0.5, rng=3), Dropout(0.5, rng=3)
    x = np.ones(100)
    first, second = dropout(x), dropout(x)
    assert np.any(first != second)
    np.testing.assert_array_equal(again(x), first)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002  # it is what must not change
    dropout(x)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002  # likewise


def test_dropout_keeps_float32_and_takes_Values_lists_and_any_shape():
    assert Dropout(0.5, rng=0)(Tensor([1.0, 2.0], dtype=np.float32)).dtype == np.float32
    assert Dropout(0.5, rng=0)([1, 2]).shape == (2,)
    assert Dropout(0.5, rng=0)(np.ones((2, 0, 3))).shape == (2, 0, 3)
    assert repr(Dropout(0.2)) == "Dropout(p=0.2)"


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_probability_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match=r"^Dropout needs a probability in \[0, 1\], got"):
        Dropout(p)


# ---- PyTorch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("Linear", "Embedding", "Flatten"), ids=name_of)
def test_a_layer_computes_and_differentiates_as_PyTorch_did(case):
    assert_as_recorded(case)
