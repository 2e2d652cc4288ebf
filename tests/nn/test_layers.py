"""Linear, the activation modules and Sequential."""

import math

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff import ShapeError, Tensor, Value
from nn import SGD, Activation, Linear, Module, ReLU, Sequential, Tanh

from .recorded import assert_near, install, recorded

# The options that golden/make_golden.py gave to PyTorch's modules
OPTIONS = {"LeakyReLU": {"negative_slope": 0.2}, "ELU": {"alpha": 0.7}}

FORMULAS = {
    "ReLU": lambda x: max(0.0, x),
    "LeakyReLU": lambda x: x if x > 0.0 else 0.01 * x,
    "ELU": lambda x: x if x > 0.0 else math.exp(x) - 1.0,
    "SELU": lambda x: 1.0507009873554805 * (x if x > 0.0 else 1.6732632423543772 * (math.exp(x) - 1.0)),
    "GELU": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2.0)),
    "SiLU": lambda x: x / (1.0 + math.exp(-x)),
    "Sigmoid": lambda x: 1.0 / (1.0 + math.exp(-x)),
    "Tanh": math.tanh,
    "Softplus": lambda x: math.log(1.0 + math.exp(x)),
    "Softsign": lambda x: x / (1.0 + abs(x)),
}


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
    with pytest.raises(ShapeError, match=r"^Linear\(in_features=5, out_features=3.* \(\.\.\., 5\), got \(100, 4\)$"):
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
    kinds = [getattr(nn, name)(**OPTIONS.get(name, {})) for name in FORMULAS]
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


# ---- activations ----------------------------------------------------------------------------------------------


def test_every_activation_module_of_the_package_is_in_these_tests():
    modules = {
        name for name in nn.__all__ if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), Activation)
    }
    assert modules - {"Activation"} == set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_module_computes_its_formula_element_by_element(name):
    x = np.array([[-3.0, -1.0, -0.25], [0.5, 1.0, 2.75]])
    expected = np.vectorize(FORMULAS[name])(x)
    module = getattr(nn, name)()
    np.testing.assert_allclose(module(Tensor(x)).data, expected, rtol=1e-13)
    np.testing.assert_allclose(module(x), expected, rtol=1e-13)
    assert module(Value(-0.25)).data == pytest.approx(expected[0, 2], rel=1e-13)
    assert module.parameters() == []


def test_an_activation_has_options_and_shows_them():
    x = np.array([-2.0, 3.0])
    np.testing.assert_array_equal(nn.LeakyReLU(0.5)(x), [-1.0, 3.0])
    np.testing.assert_allclose(nn.ELU(2.0)(x), [2.0 * math.expm1(-2.0), 3.0], rtol=1e-15)
    assert repr(nn.LeakyReLU(0.5)) == "LeakyReLU(negative_slope=0.5)"
    assert repr(nn.ELU()) == "ELU(alpha=1.0)"
    assert [repr(module) for module in (ReLU(), Tanh(), nn.SiLU())] == ["ReLU()", "Tanh()", "SiLU()"]


def test_any_function_becomes_a_module():
    np.testing.assert_array_equal(Activation(ad.arctan)(np.array([0.0, np.inf])), [0.0, math.pi / 2])
    np.testing.assert_array_equal(Activation(ad.leaky_relu, negative_slope=0.25)(np.array([-4.0])), [-1.0])
    assert repr(Activation(ad.arctan)) == "Activation(arctan)"
    assert repr(Activation(ad.leaky_relu, negative_slope=0.25)) == "Activation(leaky_relu, negative_slope=0.25)"

    def squared(x):
        return x * x

    x = Tensor([1.0, 3.0])
    Activation(squared)(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 6.0])
    assert repr(Activation(squared)) == "Activation(squared)"


# ---- Sequential -----------------------------------------------------------------------------------------------


def test_a_sequential_applies_its_modules_in_order():
    net = Sequential(filled([[1.0, 1.0]], [-4.0]), ReLU(), filled([[2.0]], [1.0]))
    np.testing.assert_array_equal(net(np.array([[1.0, 2.0], [3.0, 4.0]])).data, [[1.0], [7.0]])


def test_an_empty_sequential_is_the_identity():
    x = np.ones(2)
    assert Sequential()(x) is x
    assert Sequential().parameters() == []
    assert repr(Sequential()) == "Sequential()"


def test_parameters_are_named_by_position():
    net = Sequential(Linear(2, 4), Sequential(ReLU(), Linear(4, 3, bias=False)), Tanh(), Linear(3, 1))
    names = [name for name, _ in net.named_parameters()]
    assert names == ["0.weight", "0.bias", "1.1.weight", "3.weight", "3.bias"]
    assert net.parameters() == [net[0].weight, net[0].bias, net[1][1].weight, net[3].weight, net[3].bias]


def test_indexing_gives_a_module_from_either_end():
    first, act, last = Linear(2, 4), ReLU(), Linear(4, 1)
    net = Sequential(first, act, last)
    assert (net[0], net[1], net[2], net[-1]) == (first, act, last, last)
    assert net[2].weight.shape == (1, 4)
    for index in (3, -4):
        with pytest.raises(IndexError):
            net[index]


def test_slicing_gives_a_sequential_that_shares_the_modules():
    net = Sequential(filled([[2.0]]), ReLU(), filled([[3.0]]))
    head = net[:2]
    assert type(head) is Sequential
    assert list(head) == [net[0], net[1]]
    assert list(net[::-1]) == [net[2], net[1], net[0]]
    assert len(net[5:]) == 0
    np.testing.assert_array_equal(net[2:](head(np.array([[1.5]]))).data, net(np.array([[1.5]])).data)
    net[0].weight.data = np.array([[-2.0]])
    np.testing.assert_array_equal(head(np.array([[-1.5]])).data, [[3.0]])


def test_length_and_iteration():
    modules = [Linear(2, 2), ReLU(), Tanh()]
    assert len(Sequential(*modules)) == 3
    assert list(Sequential(*modules)) == modules


@pytest.mark.parametrize("other", [ad.relu, ReLU, [ReLU()], None, math.tanh])
def test_what_is_no_module_is_refused(other):
    with pytest.raises(TypeError, match=r"^Sequential takes modules, got .*: wrap functions in Activation$"):
        Sequential(ReLU(), other)


def test_a_module_of_ones_own_is_as_good():
    class Double(Module):
        def forward(self, x):
            return x * 2.0

    np.testing.assert_array_equal(Sequential(Double(), Double())(np.array([1.5])), [6.0])


def test_the_repr_of_a_network_shows_its_layers():
    assert repr(Sequential(Linear(8, 4), ReLU(), Linear(4, 2))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=8, out_features=4, bias=True)\n"
        "  (1): ReLU()\n"
        "  (2): Linear(in_features=4, out_features=2, bias=True)\n"
        ")"
    )


# ---- PyTorch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMULAS)
def test_a_network_computes_and_differentiates_as_PyTorch_did(name):
    golden = recorded("layers")
    case = golden["cases"][name]
    net = Sequential(Linear(3, 4), getattr(nn, name)(**OPTIONS.get(name, {})), Linear(4, 2))
    install(net, golden["parameters"])
    x = Tensor(golden["x"])
    y = net(x)
    (y * np.array(golden["weights"])).sum().backward()
    assert_near(y.data, case["y"])
    assert_near(x.grad, case["x_grad"])
    for parameter, p in net.named_parameters():
        assert_near(p.grad, case["gradients"][parameter])
