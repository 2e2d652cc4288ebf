"""The numbers of five lectures on neural networks, to the last digit printed there.

Numbers are quoted as text, because the text says how many digits are meant.
"""

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

import autodiff as ad
from autodiff import Tensor, Value, elementwise_grad, grad, gradients, value_and_grad
from nn import (
    MLP,
    SGD,
    Activation,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Layer,
    Linear,
    Neuron,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)


def assert_printed(got, text):
    """Compare numbers, or rows of numbers, with what a lecture prints: equal to half a unit of the last digit."""
    printed = [Decimal(word) for word in text.split()]
    numbers = np.ravel(got).tolist()
    assert len(numbers) == len(printed)
    for number, decimal in zip(numbers, printed, strict=True):
        assert abs(Decimal(number) - decimal) <= Decimal(1).scaleb(decimal.as_tuple().exponent) / 2, (number, decimal)


def data(nodes):
    return [data(node) if isinstance(node, list) else node.data for node in nodes]


def grads(nodes):
    return [grads(node) if isinstance(node, list) else node.grad for node in nodes]


def filled(layer, weight, bias):
    """Return a Linear with these numbers; the rows of weight are inputs, as lectures write it."""
    layer.weight.data, layer.bias.data = np.array(weight, float).T, np.array(bias, float)
    return layer


def test_the_comparison_with_printed_digits_sees_a_wrong_last_digit():
    assert_printed([0.5903780, -3.42e-06], "0.5903780 -3.42e-06")
    with pytest.raises(AssertionError):
        assert_printed(0.5903781, "0.5903780")
    with pytest.raises(AssertionError):
        assert_printed([1.0, 2.0], "1.0")


# ---- 000: feed-forward networks -------------------------------------------------------------------------------


def xor_points(noise, seed=0):
    """Return 200 points around the corners (+-1, +-1), and 1 where both coordinates have one sign, else 0."""
    rng = np.random.default_rng(seed)
    x = np.sign(rng.normal(size=(200, 2))) + noise * rng.normal(size=(200, 2))
    return x, (x.prod(axis=1, keepdims=True) > 0).astype(float)


def accuracy(scores, labels):
    return np.mean((scores > 0.0) == (labels > 0.5))


def train(net, x, y, *, steps, batch, rng):
    """Minimise the binary cross-entropy by batches drawn without replacement, with rate 0.1."""
    optimizer, loss = SGD(net.parameters(), lr=0.1), BCEWithLogitsLoss()
    for _ in range(steps):
        rows = rng.choice(len(x), batch, replace=False)
        optimizer.zero_grad()
        loss(net(x[rows]), y[rows]).backward()
        optimizer.step()
    return loss(net(x), y).item()


def test_xor_by_hand_with_two_hidden_units():
    mlp = MLP(2, [2, 1])
    for p, number in zip(mlp.parameters(), [1.0, 1.0, 0.0, -1.0, -1.0, 0.0, 1.0, 1.0, -1.0], strict=True):
        p.data = number
    assert [mlp(corner).data for corner in ([1, 1], [-1, -1], [1, -1], [-1, 1])] == [1.0, 1.0, -1.0, -1.0]
    x, y = xor_points(0.1)
    assert accuracy(np.array([[mlp(row).data] for row in x.tolist()]), y) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_xor_is_learnt_by_a_2_4_1_network(seed):
    x, y = xor_points(0.1)
    rng = np.random.default_rng(seed)
    net = Sequential(Linear(2, 4, rng=rng), ReLU(), Linear(4, 1, rng=rng))
    loss = train(net, x, y, steps=2500, batch=64, rng=rng)
    assert accuracy(net(x).data, y) == 1.0
    assert loss < 0.02
    probability = Sequential(*net, Sigmoid())(x).data
    assert np.mean(-y * np.log(probability) - (1.0 - y) * np.log(1.0 - probability)) == pytest.approx(loss, rel=1e-12)


def test_one_linear_neuron_cannot_learn_xor():
    x, y = xor_points(0.1)
    net = Linear(2, 1, rng=0)
    loss = train(net, x, y, steps=1000, batch=64, rng=np.random.default_rng(0))
    assert loss > 0.65  # guessing has log 2 = 0.693
    assert accuracy(net(x).data, y) < 0.8


@pytest.mark.parametrize("w", [0.5, 1.0, 2.0])
def test_along_a_chain_of_neurons_gradients_vanish_or_explode_with_the_weight(w):
    chain, x = MLP(1, [1] * 20), Value(1.0)
    for p, number in zip(chain.parameters(), [w, 0.0] * 20, strict=True):
        p.data = number
    chain([x]).backward()
    assert x.grad == w**20


def test_along_a_chain_of_saturated_neurons_gradients_vanish():
    chain, x = MLP(1, [1] * 20, activation="tanh"), Value(1.0)
    for p in chain.parameters():
        p.data = 2.0
    chain([x]).backward()
    assert 0.0 < x.grad < 1e-40


# ---- 001: the graph of five nodes -----------------------------------------------------------------------------


def five_nodes(a, b):
    c = a + b
    d = b + 1
    return c, d, c * d


@pytest.mark.parametrize("node", [Value, Tensor])
def test_five_nodes_have_the_derivatives_of_the_lecture(node):
    a, b = node(2.0), node(1.0)
    c, d, e = five_nodes(a, b)
    e.backward()
    assert (c.item(), d.item(), e.item()) == (3.0, 2.0, 6.0)
    assert (a.grad, b.grad) == (2.0, 5.0)
    assert (c.grad, d.grad, e.grad) == (2.0, 3.0, 1.0)
    assert b.grad == c.grad * 1.0 + d.grad * 1.0 == 2.0 * 1.0 + 3.0 * 1.0  # the sum over both paths


def test_transforms_differentiate_the_five_nodes_without_showing_one():
    def e(a, b):
        return five_nodes(a, b)[-1]

    assert (grad(e, 0)(2.0, 1.0), grad(e, 1)(2.0, 1.0)) == (2.0, 5.0)
    assert value_and_grad(e, (0, 1))(2.0, 1.0) == (6.0, (2.0, 5.0))
    assert grad(lambda p: e(p["a"], p["b"]))({"a": 2.0, "b": 1.0}) == {"a": 2.0, "b": 5.0}
    a, b = Value(2.0), Value(1.0)
    assert [g if isinstance(g, float) else g.data for g in gradients(e(a, b), [a, b])] == [2.0, 5.0]


# ---- 001: the network by hand ---------------------------------------------------------------------------------

X, W, V = [5.0, 3.0], [[1.0, -1.0, 3.0], [2.0, 2.0, -1.0]], [0.1, 0.5, -0.1]


def assert_as_printed(h, y, loss):
    """Compare every number of the forward and backward pass with the lecture; the gradients come with W and V."""
    assert_printed(data(h) if isinstance(h, list) else h.data, "0.99998 0.73106 0.99999")
    assert_printed(y.data, "0.5903780")
    assert_printed(loss.data, "0.52699227")
    assert_printed(y.grad, "-1.6938300")
    assert_printed(grads(h) if isinstance(h, list) else h.grad, "-0.0409622 -0.2048110 0.0409622")


DJ_DV = "-0.40961516 -0.29945768 -0.40961948"
DJ_DW = "-3.42057777e-06 -2.01341432e-01 1.25838681e-06 -2.05234666e-06 -1.20804859e-01 7.55032084e-07"


def scalar_network(x, w, v):
    """Return the hidden units and the score, in Python arithmetic on numbers or Values."""
    h = [ad.sigmoid(x[0] * w[0][j] + x[1] * w[1][j]) for j in range(3)]
    return h, ad.sigmoid(h[0] * v[0] + h[1] * v[1] + h[2] * v[2])


def test_the_network_by_hand_with_Values():
    w, v = [[Value(number) for number in row] for row in W], [Value(number) for number in V]
    h, y = scalar_network(X, w, v)
    loss = -ad.log(y)
    loss.backward()
    assert_as_printed(h, y, loss)
    assert_printed(grads(v), DJ_DV)
    assert_printed(grads(w), DJ_DW)


def test_the_network_by_hand_with_Tensors():
    w, v = Tensor(W), Tensor(V)
    h = ad.sigmoid(np.array(X) @ w)
    y = ad.sigmoid(h @ v)
    loss = -ad.log(y)
    loss.backward()
    assert_as_printed(h, y, loss)
    assert_printed(v.grad, DJ_DV)
    assert_printed(w.grad, DJ_DW)


def test_the_network_by_hand_with_layers_of_neurons():
    hidden, output = Layer(2, 3, activation="sigmoid"), Neuron(3, activation="sigmoid")
    for neuron, weights in zip([*hidden.neurons, output], [*np.transpose(W).tolist(), V], strict=True):
        for w, number in zip(neuron.w, weights, strict=True):
            w.data = number
    h = hidden(X)
    y = output(h)
    loss = -ad.log(y)
    loss.backward()
    assert_as_printed(h, y, loss)
    assert_printed(grads(output.w), DJ_DV)
    assert_printed(np.transpose([grads(neuron.w) for neuron in hidden.neurons]), DJ_DW)


def test_the_network_by_hand_with_modules():
    first, second = filled(Linear(2, 3), W, np.zeros(3)), filled(Linear(3, 1), np.reshape(V, (3, 1)), [0.0])
    h = Sequential(first, Sigmoid())(np.array([X]))
    score = second(h)
    loss = BCEWithLogitsLoss()(score, np.array([[1.0]]))
    loss.backward()
    assert_printed(ad.sigmoid(score.data), "0.5903780")
    assert_printed(loss.data, "0.52699227")
    assert_printed(h.grad, "-0.0409622 -0.2048110 0.0409622")
    assert_printed(second.weight.grad, DJ_DV)
    assert_printed(first.weight.grad.T, DJ_DW)


def test_the_network_by_hand_with_a_transform():
    def loss(parameters, x):
        return -np.log(scalar_network(x, *parameters)[1])

    value, (dw, dv) = value_and_grad(loss)([W, V], X)
    assert_printed(value, "0.52699227")
    assert_printed(dv, DJ_DV)
    assert_printed(dw, DJ_DW)


def by_hand(steps):
    """Return the losses and scores along gradient descent of rate 0.1, differentiated on paper."""
    x, w, v = np.array(X), np.array(W), np.array(V)
    losses, scores = [], []
    for _ in range(steps):
        h = 1.0 / (1.0 + np.exp(-x @ w))
        y = 1.0 / (1.0 + np.exp(-h @ v))
        losses.append(-np.log(y))
        scores.append(y)
        error = y - 1.0
        w, v = w - 0.1 * np.outer(x, error * v * h * (1.0 - h)), v - 0.1 * error * h
    return losses, scores


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_a_hundred_steps_on_one_sample_lower_the_loss_towards_zero(kind):
    if kind is Value:
        w, v = [[Value(number) for number in row] for row in W], [Value(number) for number in V]
        optimizer = SGD([p for row in [*w, v] for p in row], lr=0.1)
    else:
        w, v = Tensor(W), Tensor(V)
        optimizer = SGD([w, v], lr=0.1)
    losses, scores = [], []
    for _ in range(100):
        y = scalar_network(X, w, v)[1] if kind is Value else ad.sigmoid(ad.sigmoid(np.array(X) @ w) @ v)
        loss = -ad.log(y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        scores.append(y.item())
    np.testing.assert_allclose([losses, scores], by_hand(100), rtol=1e-12)
    assert np.all(np.diff(losses) < 0.0)
    assert np.all(np.diff(scores) > 0.0)
    assert_printed(losses[0], "0.52699227")
    assert losses[-1] < 0.05


# ---- 002: networks seen four ways -----------------------------------------------------------------------------


def test_one_unit_of_lecture_002():
    x, w, b = [0.0, 1.0, -1.0], [1.0, 2.0, 3.0], -1.0
    neuron = Neuron(3, activation="tanh")
    for p, number in zip(neuron.parameters(), [*w, b], strict=True):
        p.data = number
    assert neuron(x).data == -0.9640275800758169
    unit = Sequential(filled(Linear(3, 1), np.reshape(w, (3, 1)), [b]), Tanh())
    assert unit(np.array(x)).item() == pytest.approx(-0.9640275800758169, rel=1e-15)


def test_one_layer_of_lecture_002():
    x, w, b = [[1.0, 0.5], [-1.0, 1.0]], [[1.0, -1.0, 1.0], [2.0, 0.0, 1.0]], [-1.0, 1.0, 0.0]
    printed = "0.73105858 0.5 0.81757448 0.5 0.88079708 0.5"
    assert_printed(Sequential(filled(Linear(2, 3), w, b), Sigmoid())(x).data, printed)
    layer = Layer(2, 3, activation="sigmoid")
    numbers = [number for j in range(3) for number in (w[0][j], w[1][j], b[j])]
    for p, number in zip(layer.parameters(), numbers, strict=True):
        p.data = number
    assert_printed([data(layer(row)) for row in x], printed)


def test_softmax_of_lecture_002_alone_and_in_the_loss():
    printed = "0.26538793 0.01321289 0.72139918"
    assert_printed(ad.softmax(np.array([2.0, -1.0, 3.0])), printed)
    logits = Tensor([2.0, -1.0, 3.0])
    assert_printed(ad.softmax(logits).data, printed)
    CrossEntropyLoss()(logits, 1).backward()
    assert_printed(logits.grad + np.array([0.0, 1.0, 0.0]), printed)


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (2, 3), (8, 4), (784, 10)])
def test_a_layer_has_n_in_plus_one_times_n_out_parameters(n_in, n_out):
    assert len(Layer(n_in, n_out).parameters()) == (n_in + 1) * n_out
    assert sum(p.size for p in Linear(n_in, n_out).parameters()) == (n_in + 1) * n_out


# ---- 003: multilayer perceptrons ------------------------------------------------------------------------------


def test_the_gradient_of_the_quadratic_form_is_M_x_exactly():
    rng = np.random.default_rng(0)
    m, x = rng.integers(-9, 10, (6, 6)).astype(float), rng.integers(-9, 10, 6).astype(float)
    m += m.T
    forms = [
        lambda x: x @ m @ x / 2.0,
        lambda x: np.dot(x, np.dot(m, x)) / 2.0,
        lambda x: np.sum(m * np.outer(x, x)) / 2,
    ]
    for form in forms:
        np.testing.assert_array_equal(grad(form)(x), m @ x)


@pytest.mark.parametrize("f", [np.tanh, ad.tanh], ids=["np.tanh", "autodiff.tanh"])
def test_tanh_is_differentiated_six_times(f):
    x = np.linspace(-3.0, 3.0, 61)
    polynomial = np.polynomial.Polynomial([0.0, 1.0])  # in t = tanh x, whose derivative is 1 - t**2
    for order in range(1, 7):
        f = elementwise_grad(f)
        polynomial = polynomial.deriv() * np.polynomial.Polynomial([1.0, 0.0, -1.0])
        np.testing.assert_allclose(f(x), polynomial(np.tanh(x)), rtol=0.0, atol=1e-13 * 4.0**order)


def arctan_network(parameters, x):
    """Return the outputs of a network, arctan after every layer, from nested lists [[W, b], [W, b], ...]."""
    for w, b in parameters:
        x = np.arctan(x @ w + b)
    return x


def logistic_loss(parameters, x, y):
    return np.mean(np.log(1.0 + np.exp(-y * arctan_network(parameters, x))))


def backward_by_hand(parameters, x, y):
    """Return the gradients of the logistic loss in the same nested lists, differentiated on paper."""
    inputs, sums = [x], []
    for w, b in parameters:
        sums.append(inputs[-1] @ w + b)
        inputs.append(np.arctan(sums[-1]))
    upstream = -y / (1.0 + np.exp(y * inputs[-1])) / len(y)
    found = []
    for (w, _), a, s in zip(reversed(parameters), reversed(inputs[:-1]), reversed(sums), strict=True):
        delta = upstream / (1.0 + s * s)
        found.append([a.T @ delta, delta.sum(axis=0)])
        upstream = delta @ w.T
    return found[::-1]


def random_network(sizes, seed=0):
    """Return parameters, inputs in the unit square, and labels +-1."""
    rng = np.random.default_rng(seed)
    parameters = [[rng.normal(size=pair), rng.normal(size=pair[1])] for pair in pairwise(sizes)]
    return parameters, rng.uniform(size=(400, 2)), rng.choice([-1.0, 1.0], (400, 1))


def arctan_modules(parameters):
    """Return the network of nested lists as a Sequential."""
    return Sequential(*(f for w, b in parameters for f in (filled(Linear(*w.shape), w, b), Activation(ad.arctan))))


DEPTHS = [[2, 1], [2, 15, 1], [2, 8, 1], [2, 3, 4, 1], [2, 4, 5, 8, 4, 1]]


@pytest.mark.parametrize("sizes", DEPTHS, ids=str)
def test_the_gradient_by_nested_lists_is_that_of_the_backward_pass_by_hand_in_every_layer(sizes):
    parameters, x, y = random_network(sizes)
    value, found = value_and_grad(logistic_loss)(parameters, x, y)
    assert value == pytest.approx(logistic_loss(parameters, x, y), rel=1e-15)
    expected = backward_by_hand(parameters, x, y)
    assert [type(layer) for layer in found] == [list] * (len(sizes) - 1)
    for layer, by_hand_layer in zip(found, expected, strict=True):
        for g, e in zip(layer, by_hand_layer, strict=True):
            assert np.abs(e).max() > 1e-4  # so that 1e-15 says something
            np.testing.assert_allclose(g, e, rtol=0.0, atol=1e-15)


@pytest.mark.parametrize("sizes", DEPTHS, ids=str)
def test_the_same_network_of_modules_has_the_same_gradients(sizes):
    parameters, x, y = random_network(sizes)
    net = arctan_modules(parameters)
    ad.softplus(net(x) * -y).mean().backward()
    for linear, (w, b) in zip(net[::2], backward_by_hand(parameters, x, y), strict=True):
        np.testing.assert_allclose(linear.weight.grad.T, w, rtol=0.0, atol=1e-15)
        np.testing.assert_allclose(linear.bias.grad, b, rtol=0.0, atol=1e-15)


def two_arcs(n=400, seed=0):
    """Return n points of two interlaced arcs in the unit square, and labels +-1."""
    rng = np.random.default_rng(seed)
    radius, angle = 1.0 + 0.1 * rng.uniform(size=n), np.pi / 2.0 + np.pi * rng.uniform(size=n)
    points = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])
    label = np.where(np.arange(n) < n // 2, 1.0, -1.0)
    points[label < 0] += np.column_stack([np.ones(n // 2), -0.7 - 2.0 * points[label < 0, 1]])
    low, high = points.min(axis=0), points.max(axis=0)
    return 0.2 + 0.6 * (points - low) / (high - low), label[:, None]


def test_two_arcs_are_learnt_by_a_2_15_1_network():
    x, y = two_arcs()
    parameters, _, _ = random_network([2, 15, 1], seed=2)
    net = arctan_modules(parameters)
    optimizer = SGD(net.parameters(), lr=0.5, momentum=0.9)  # without momentum the lecture takes 10,000 steps
    for _ in range(2000):
        optimizer.zero_grad()
        ad.softplus(net(x) * -y).mean().backward()
        optimizer.step()
    assert np.mean(np.sign(net(x).data) == y) == 1.0
