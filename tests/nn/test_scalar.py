"""Neuron, Layer and MLP: micrograd's page, and the same network over arrays."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff import Tensor, Value
from autodiff.primitive import REGISTRY, Elementwise
from nn import MLP, SGD, Layer, LeakyReLU, Linear, Neuron, Sequential, Tanh, activations, vectorize

from .recorded import recorded

# Every elementwise function of one argument that has a value everywhere
ACTIVATIONS = sorted(
    name
    for name, op in REGISTRY.items()
    if isinstance(op, Elementwise)
    and op.arity == 1
    and name in ad.__all__
    and np.all(np.isfinite([op(x) for x in (-3.0, -0.5, 0.25, 2.0)]))
)


def data(nodes):
    return [node.data for node in nodes]


def gradients(nodes):
    return [node.grad for node in nodes]


def uniform(seed, n):
    """Return numbers as the standard says they are drawn: by a generator of one's own, uniform in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1.0, 1.0, n).tolist()


# ---- neuron ---------------------------------------------------------------------------------------------------


def test_a_neuron_is_the_activation_of_its_weighted_sum():
    neuron = Neuron(3, activation="tanh")
    for w, number in zip(neuron.w, [1.0, 2.0, 3.0], strict=True):
        w.data = number
    neuron.b.data = -1.0
    assert neuron([0.0, 1.0, -1.0]).data == pytest.approx(np.tanh(-2.0), abs=1e-15)


def test_a_neuron_differentiates_by_weights_bias_and_inputs():
    neuron, x = Neuron(2, activation="tanh", rng=3), [Value(0.5), Value(-2.0)]
    neuron(x).backward()
    s = neuron.w[0].data * 0.5 + neuron.w[1].data * -2.0
    slope = 1.0 - np.tanh(s) ** 2
    np.testing.assert_allclose(gradients(neuron.w), [0.5 * slope, -2.0 * slope], rtol=1e-13)
    np.testing.assert_allclose(neuron.b.grad, slope, rtol=1e-13)
    np.testing.assert_allclose(gradients(x), [w.data * slope for w in neuron.w], rtol=1e-13)


def test_weights_are_uniform_in_minus_one_to_one_and_the_bias_is_zero():
    neuron = Neuron(20_000, rng=0)
    w = np.array(data(neuron.w))
    assert -1.0 <= w.min() < -0.999
    assert 0.999 < w.max() <= 1.0
    # Five standard deviations: of the mean, 1/sqrt(3n); of the variance 1/3, sqrt(4/45n)
    assert abs(w.mean()) < 5.0 / np.sqrt(3 * len(w))
    assert abs(w.var() - 1.0 / 3.0) < 5.0 * np.sqrt(4.0 / 45.0 / len(w))
    assert neuron.b.data == 0.0


def test_weights_are_decided_by_the_seed_or_generator():
    assert data(Neuron(4, rng=7).w) == uniform(7, 4)
    assert data(Neuron(4, rng=np.random.default_rng(7)).w) == uniform(7, 4)
    assert data(Neuron(4, rng=8).w) != uniform(7, 4)


def test_without_a_seed_every_neuron_is_another():
    assert data(Neuron(4).w) != data(Neuron(4).w)


def test_the_global_generators_are_neither_used_nor_moved():
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002  # it is what must not change
    vectorize(MLP(3, [4, 1]))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002  # likewise


def test_the_parameters_of_a_neuron_are_its_weights_then_its_bias():
    neuron = Neuron(2)
    assert neuron.parameters() == [*neuron.w, neuron.b]
    assert [name for name, _ in neuron.named_parameters()] == ["w.0", "w.1", "b"]


def test_relu_is_the_default_and_nonlin_False_leaves_it_out():
    bent, straight = Neuron(1, rng=0), Neuron(1, nonlin=False, rng=0)
    x = -np.sign(bent.w[0].data)
    assert bent([x]).data == 0.0
    assert straight([x]).data == -abs(straight.w[0].data)
    assert Neuron(1, False).nonlin is False  # positional, as in micrograd


def test_the_activation_is_a_name_or_any_function_of_a_Value():
    x = [0.3, -0.7]
    expected = np.tanh(np.dot(uniform(5, 2), x))
    for choice in ("tanh", ad.tanh, np.tanh, Value.tanh, lambda v: v.tanh(), Tanh()):
        assert Neuron(2, activation=choice, rng=5)(x).data == pytest.approx(expected, rel=1e-15)


def test_a_module_or_its_class_is_an_activation_too():
    x = [0.3, -0.7]
    s = np.dot(uniform(5, 2), x)
    assert Neuron(2, activation=LeakyReLU(0.2), rng=5)(x).data == pytest.approx(s if s > 0 else 0.2 * s, rel=1e-15)
    assert Neuron(2, activation=Tanh, rng=5)(x).data == pytest.approx(np.tanh(s), rel=1e-15)


def test_every_activation_module_for_one_number_serves_a_neuron_as_its_function_does():
    chosen = {"Arctan": "arctan", "GELU": "gelu", "LogSigmoid": "log_sigmoid", "Softsign": "softsign", "Step": "step"}
    for module, function in chosen.items():
        one = Neuron(3, activation=getattr(activations, module)(), rng=1)([1.0, -2.0, 0.5])
        other = Neuron(3, activation=function, rng=1)([1.0, -2.0, 0.5])
        assert one.data == other.data


def test_the_perceptron_fires_where_its_weighted_sum_is_positive():
    perceptron = Neuron(2, activation="step")
    for p, number in zip(perceptron.parameters(), (1.0, 1.0, -1.5), strict=True):
        p.data = number
    assert [perceptron(x).data for x in ([0, 0], [0, 1], [1, 0], [1, 1])] == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("choice", ["nope", "add", "sum", "softmax", "Value", "", 3, None])
def test_what_is_no_activation_is_refused_by_name(choice):
    with pytest.raises(ValueError, match=f"^unknown activation {choice!r}; name an elementwise function"):
        Neuron(2, activation=choice)


@pytest.mark.parametrize("x", [[1.0], [1.0, 2.0, 3.0], [], np.ones(3), (Value(1.0),)])
def test_a_wrong_number_of_inputs_is_an_error_with_both_numbers(x):
    with pytest.raises(ValueError, match=rf"^ReLUNeuron\(2\) takes 2 inputs, got {len(x)}$"):
        Neuron(2)(x)
    with pytest.raises(ValueError, match=rf"takes 2 inputs, got {len(x)}$"):
        MLP(2, [3, 1])(x)


def test_a_number_instead_of_a_list_is_an_error_that_shows_it():
    with pytest.raises(TypeError, match=r"^ReLUNeuron\(1\) takes a sequence of 1 inputs, got 0\.5$"):
        Neuron(1)(0.5)


def test_inputs_may_be_numbers_arrays_or_Values():
    neuron = Neuron(2, nonlin=False, rng=1)
    first = neuron([2, -3]).data
    assert first == pytest.approx(np.dot(uniform(1, 2), [2.0, -3.0]), abs=1e-15)
    for x in ((2.0, -3.0), np.array([2, -3]), np.array([2.0, -3.0], np.float32), [Value(2.0), -3.0]):
        out = neuron(x)
        assert type(out) is Value
        assert out.data == first


def test_a_neuron_without_inputs_gives_its_bias():
    neuron = Neuron(0)
    out = neuron([])
    out.backward()
    assert out.data == 0.0
    assert neuron.parameters() == [neuron.b]


# ---- layer and network ----------------------------------------------------------------------------------------


def test_a_layer_gives_a_list_and_with_one_neuron_its_Value():
    x = [0.5, -1.0]
    layer = Layer(2, 3, nonlin=False, rng=2)
    assert data(layer(x)) == pytest.approx(np.reshape(uniform(2, 6), (3, 2)) @ x, abs=1e-15)
    single = Layer(2, 1, nonlin=False, rng=2)(x)
    assert type(single) is Value
    assert single.data == pytest.approx(np.dot(uniform(2, 2), x), abs=1e-15)


def test_parameters_go_layer_by_layer_neuron_by_neuron_weights_then_bias():
    mlp = MLP(2, [3, 1], rng=4)
    expected = [p for layer in mlp.layers for neuron in layer.neurons for p in [*neuron.w, neuron.b]]
    assert mlp.parameters() == expected
    drawn = np.random.default_rng(4)
    numbers = [[*drawn.uniform(-1.0, 1.0, n).tolist(), 0.0] for n in (2, 2, 2, 3)]
    assert data(expected) == [number for neuron in numbers for number in neuron]


@pytest.mark.parametrize(("nin", "nouts", "count"), [(3, [4, 4, 1], 41), (2, [16, 16, 1], 337), (4, [8, 3], 67)])
def test_a_network_has_n_in_plus_1_times_n_out_parameters_a_layer(nin, nouts, count):
    assert len(MLP(nin, nouts).parameters()) == count


def test_a_network_with_one_output_returns_a_Value_and_with_several_a_list():
    assert type(MLP(2, [3, 1])([1.0, 2.0])) is Value
    out = MLP(2, [3, 2])([1.0, 2.0])
    assert type(out) is list
    assert [type(y) for y in out] == [Value, Value]


def test_the_activation_follows_every_layer_but_the_last():
    mlp = MLP(2, [3, 2, 2], activation="tanh")
    followed = [[neuron.nonlin for neuron in layer.neurons] for layer in mlp.layers]
    assert followed == [[True, True, True], [True, True], [False, False]]


def test_a_list_of_activations_has_one_for_each_layer_and_None_for_none():
    mlp = MLP(2, [3, 2, 1], activation=["arctan", None, "sigmoid"], rng=0)
    assert [layer.neurons[0].nonlin for layer in mlp.layers] == [True, False, True]
    x = np.array([0.5, -1.0])
    for layer, f in zip(mlp.layers, (np.arctan, lambda s: s, lambda s: 1.0 / (1.0 + np.exp(-s))), strict=True):
        x = f(np.array([data(n.w) for n in layer.neurons]) @ x + data([n.b for n in layer.neurons]))
    assert mlp([0.5, -1.0]).data == pytest.approx(x.item(), rel=1e-13)
    assert_equal_networks(mlp, np.array([[0.5, -1.0], [2.0, 0.1]]))
    with pytest.raises(ValueError, match=r"^MLP needs one activation for each of its 2 layers, got 1$"):
        MLP(2, [3, 1], activation=["tanh"])


def test_a_hidden_layer_may_have_one_neuron():
    mlp = MLP(2, [1, 1, 2], activation="tanh", rng=0)
    x = [0.5, -1.0]
    w = [[n.b.data, *data(n.w)] for layer in mlp.layers for n in layer.neurons]
    h = np.tanh(np.dot(w[0][1:], x))
    g = np.tanh(w[1][1] * h)
    assert data(mlp(x)) == pytest.approx([w[2][1] * g, w[3][1] * g], abs=1e-15)
    mlp(x)[0].backward()
    assert mlp.layers[2].neurons[0].w[0].grad == pytest.approx(g, rel=1e-14)


def test_a_network_needs_a_layer():
    with pytest.raises(ValueError, match="at least one layer, got none"):
        MLP(2, [])


def test_a_tuple_of_sizes_is_as_good_as_a_list():
    assert data(MLP(2, (3, 1), rng=0).parameters()) == data(MLP(2, [3, 1], rng=0).parameters())


def test_the_repr_is_that_of_micrograd():
    assert repr(Neuron(2)) == "ReLUNeuron(2)"
    assert repr(Neuron(2, nonlin=False)) == "LinearNeuron(2)"
    assert repr(Neuron(2, activation="tanh")) == "tanhNeuron(2)"
    assert repr(Neuron(2, activation=Tanh())) == "TanhNeuron(2)"
    assert repr(Layer(2, 2)) == "Layer of [ReLUNeuron(2), ReLUNeuron(2)]"
    assert repr(MLP(2, [2, 1])) == "MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]"


def test_two_backward_passes_add_and_zero_grad_forgets():
    mlp = MLP(2, [3, 1], activation="tanh", rng=0)
    loss = mlp([1.0, -1.0])
    loss.backward()
    once = gradients(mlp.parameters())
    assert any(once)
    loss.backward()
    assert gradients(mlp.parameters()) == [2.0 * g for g in once]
    mlp.zero_grad()
    assert gradients(mlp.parameters()) == [0.0] * len(once)


def test_the_network_of_a_seed_is_learnt_from_four_points():
    """The example that micrograd's readers know: 3-4-4-1 with tanh, four points, targets +-1."""
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    ys = [1.0, -1.0, -1.0, 1.0]
    mlp = MLP(3, [4, 4, 1], activation="tanh", rng=0)
    optimizer = SGD(mlp.parameters(), lr=0.05)
    for _ in range(200):
        loss = sum((mlp(x) - y) ** 2 for x, y in zip(xs, ys, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.data < 1e-3
    assert np.sign([mlp(x).data for x in xs]).tolist() == ys


# ---- micrograd ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", recorded("micrograd"), ids=lambda case: str([case["nin"], *case["nouts"]]))
def test_outputs_and_gradients_are_those_that_micrograd_gave(case):
    mlp = MLP(case["nin"], case["nouts"])
    for p, number in zip(mlp.parameters(), case["parameters"], strict=True):
        p.data = number
    x = [Value(number) for number in case["x"]]
    out = mlp(x)
    out = out if isinstance(out, list) else [out]
    sum(y * y for y in out).backward()
    # A few roundings apart, because micrograd adds in another order
    np.testing.assert_allclose(data(out), case["out"], rtol=1e-13)
    np.testing.assert_allclose(gradients(mlp.parameters()), case["gradients"], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(gradients(x), case["x_gradients"], rtol=1e-13, atol=1e-15)
    assert repr(mlp) == case["repr"]


@pytest.mark.parametrize("seed", range(5))
def test_a_network_trained_beside_micrograds_keeps_its_weights(seed):
    micrograd = pytest.importorskip("micrograd.nn", reason="pip install micrograd")
    ours, theirs = MLP(2, [5, 5, 1], rng=seed), micrograd.MLP(2, [5, 5, 1])
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.data = mine.data
    for x in np.random.default_rng(seed).normal(size=(20, 2)).tolist():
        losses = []
        for net in (ours, theirs):
            net.zero_grad()
            loss = (net(x) - 1.0) ** 2
            loss.backward()
            losses.append(loss.data)
            for p in net.parameters():
                p.data -= 0.01 * p.grad
        assert losses[0] == pytest.approx(losses[1], rel=1e-11)
        np.testing.assert_allclose(gradients(ours.parameters()), gradients(theirs.parameters()), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(data(ours.parameters()), data(theirs.parameters()), rtol=1e-11)


# ---- vectorize ------------------------------------------------------------------------------------------------


def both_ways(mlp, xs):
    """Return outputs and gradients by all parameters and inputs: number by number, and as arrays in the same order."""
    net, batch, rows = vectorize(mlp), Tensor(xs), [[Value(x) for x in row] for row in xs]
    out = [mlp(row) for row in rows]
    out = [row if isinstance(row, list) else [row] for row in out]
    sum(y * (i + 1.0) for i, y in enumerate(y for row in out for y in row)).backward()
    y = net(batch)
    y.backward(np.arange(1.0, y.size + 1).reshape(y.shape))
    scalar = [data(row) for row in out], gradients(mlp.parameters()), [gradients(row) for row in rows]
    linears = [module for module in net if isinstance(module, Linear)]
    by_neuron = [np.column_stack([linear.weight.grad, linear.bias.grad]).ravel() for linear in linears]
    return scalar, (y.data, np.concatenate(by_neuron), batch.grad)


def assert_equal_networks(mlp, xs):
    for scalar, tensor in zip(*both_ways(mlp, xs), strict=True):
        np.testing.assert_allclose(tensor, scalar, rtol=1e-12, atol=1e-12)


def test_there_are_activations_to_try():
    assert len(ACTIVATIONS) >= 30
    assert {"relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "softplus", "softsign"} <= set(ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_vectorized_network_gives_the_same_values_and_gradients(activation):
    mlp = MLP(3, [4, 2], activation=activation, rng=1)
    assert_equal_networks(mlp, np.random.default_rng(2).uniform(-0.9, 0.9, (3, 3)))


@settings(max_examples=30)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(1, 4), st.integers(0, 2**32))
def test_networks_of_any_shape_are_vectorized(sizes, batch, seed):
    mlp = MLP(sizes[0], sizes[1:], activation="tanh", rng=seed)
    assert_equal_networks(mlp, np.random.default_rng(seed).normal(size=(batch, sizes[0])))


def test_a_trained_network_is_vectorized_with_its_present_weights_and_biases():
    mlp = MLP(2, [3, 1], rng=0)
    for i, p in enumerate(mlp.parameters()):
        p.data = 0.1 * i - 0.5
    net = vectorize(mlp)
    np.testing.assert_allclose(net[0].weight.data, [[-0.5, -0.4], [-0.2, -0.1], [0.1, 0.2]], atol=1e-15)
    np.testing.assert_allclose(net[0].bias.data, [-0.3, 0.0, 0.3], atol=1e-15)
    np.testing.assert_allclose(net[2].weight.data, [[0.4, 0.5, 0.6]], atol=1e-15)
    np.testing.assert_allclose(net[2].bias.data, [0.7], atol=1e-15)


def test_a_frozen_network_is_vectorized_with_its_weights():
    mlp = MLP(2, [3, 1], rng=0)
    expected = vectorize(mlp).state_dict()
    for name, array in vectorize(mlp.freeze()).state_dict().items():
        np.testing.assert_array_equal(array, expected[name])


def test_vectorize_copies_so_that_neither_network_changes_the_other():
    mlp = MLP(2, [3, 1], rng=0)
    before, net = data(mlp.parameters()), vectorize(mlp)
    for p in net.parameters():
        p.data += 1.0
    assert data(mlp.parameters()) == before
    copied = [p.data.copy() for p in net.parameters()]
    for p in mlp.parameters():
        p.data = 9.0
    assert all(np.array_equal(p.data, old) for p, old in zip(net.parameters(), copied, strict=True))


def test_both_networks_walk_the_same_path_of_gradient_descent():
    mlp = MLP(2, [4, 1], activation="tanh", rng=3)
    net = vectorize(mlp)
    xs = np.random.default_rng(4).normal(size=(6, 2))
    ys = xs[:, :1] * xs[:, 1:]
    scalar, tensor = SGD(mlp.parameters(), 0.1, momentum=0.9), SGD(net.parameters(), 0.1, momentum=0.9)
    for _ in range(50):
        scalar.zero_grad()
        tensor.zero_grad()
        one = sum((mlp(x) - y) ** 2 for x, y in zip(xs.tolist(), ys.ravel().tolist(), strict=True)) / 6.0
        other = ((net(xs) - ys) ** 2).mean()
        one.backward()
        other.backward()
        scalar.step()
        tensor.step()
        assert one.data == pytest.approx(other.item(), rel=1e-10)
    assert one.data < 0.2


def test_the_vectorized_network_is_linear_layers_and_activations_in_turn():
    assert repr(vectorize(MLP(2, [3, 1], activation="tanh"))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): Activation(tanh)\n"
        "  (2): Linear(in_features=3, out_features=1, bias=True)\n"
        ")"
    )
    assert type(vectorize(MLP(2, [3, 1], activation=Tanh()))[1]) is Tanh


def test_a_function_of_ones_own_is_vectorized_too():
    assert_equal_networks(MLP(2, [3, 1], activation=lambda v: v * v + 1.0, rng=0), np.array([[0.5, -1.5], [2.0, 0.1]]))


@pytest.mark.parametrize("other", [None, Neuron(2), Sequential(), MLP])
def test_vectorize_takes_an_MLP_and_nothing_else(other):
    with pytest.raises(TypeError, match=rf"^vectorize takes an nn\.MLP, got {type(other).__name__}$"):
        vectorize(other)


def test_the_layer_sizes_of_an_mlp_are_a_list():
    with pytest.raises(TypeError, match=r"MLP\(2, \[3, 1\]\)"):
        MLP(2, 3)
