"""What the lectures do with networks besides training them: look inside, compare widths, prune, start in other ways."""

import os

import numpy as np
import pytest

from autodiff import Tensor, sigmoid
from nn import (
    SGD,
    Accuracy,
    Adam,
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    functional,
    init,
    load_digits,
    load_iris,
    lr_scan,
    toys,
    trace,
)

from .test_lectures import stepped

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def flat(arrays):
    return np.concatenate([np.ravel(x) for x in arrays])


# ---- 000: logistic regression, widths, linearisation, pruning ---------------------------------------------------


def test_logistic_regression_on_two_digits_is_that_by_hand_and_makes_no_mistake(figure):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'autodiff-nn[sklearn]'")
    pixels, labels = load_digits()
    two = labels <= 1
    x, y = pixels[two] / 16.0, labels[two, None].astype(float)
    net = Sequential(Linear(64, 1), Sigmoid())
    init.zeros_(net[0].weight)
    init.zeros_(net[0].bias)
    optimizer, loss = SGD(net.parameters(), lr=0.01), BCELoss()
    w, b, ours, by_hand = np.zeros((64, 1)), 0.0, [], []
    for _ in range(500):
        ours.append(stepped(net, loss, optimizer, x, y))
        f = 1.0 / (1.0 + np.exp(-(x @ w + b)))
        by_hand.append(np.mean(-y * np.log(f) - (1.0 - y) * np.log(1.0 - f)))
        w, b = w - 0.01 * x.T @ (f - y) / len(y), b - 0.01 * np.mean(f - y)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-12)
    assert ours[0] == pytest.approx(np.log(2.0), rel=1e-15)
    accuracy = np.mean((net(x).data > 0.5) == (y > 0.5))
    figure(f"zeros and ones among the digits, logistic regression: accuracy {accuracy}")
    assert accuracy == 1.0


XOR, CLASSES = toys.xor(rng=0)
TARGETS = CLASSES[:, None].astype(float)


def wide(n, seed):
    """Return a 2-n-1 network with weights randn / sqrt(inputs) and no biases to begin with."""
    net, rng = Sequential(Linear(2, n), ReLU(), Linear(n, 1)), np.random.default_rng(seed)
    for layer in (net[0], net[2]):
        init.normal_(layer.weight, std=layer.weight.shape[1] ** -0.5, rng=rng)
        init.zeros_(layer.bias)
    return net


def learn(net, steps, masks=None):
    """Descend the gradient of all points with rate 0.1, along the parameters that the masks leave; the last loss."""
    optimizer, loss = SGD(net.parameters(), lr=0.1), BCEWithLogitsLoss()
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(net(XOR), TARGETS)
        value.backward(keep_grads=False)
        for p, mask in zip(net.parameters(), masks or (), strict=masks is not None):
            p.grad *= mask
        optimizer.step()
    return value.item()


def right(net):
    return np.mean((net(XOR).data > 0.0) == (TARGETS > 0.5))


def test_the_wider_a_network_the_less_its_first_weights_move():
    moved = []
    for n in (2, 8, 32, 128):
        changes = []
        for seed in range(4):
            net = wide(n, seed)
            before = net[0].weight.data.copy()
            learn(net, 1000)
            changes.append(np.linalg.norm(net[0].weight.data - before) / np.linalg.norm(before))
        moved.append(np.mean(changes))
    assert np.all(np.diff(np.log(moved)) < -0.5)  # every fourfold width: less than 0.6 of the change before
    assert right(net) == 1.0


def features(net, x):
    """Return the gradient of the output by all parameters, one row a sample."""
    rows = []
    for sample in x:
        net.zero_grad()
        net(sample[None]).sum().backward()
        rows.append(flat(p.grad for p in net.parameters()))
    return np.array(rows)


def test_the_tangent_kernel_is_the_product_of_the_gradients_of_two_samples():
    net, x = wide(16, 0), XOR[:20]
    grads = features(net, x)
    assert grads.shape == (20, 16 * 2 + 16 + 16 + 1)
    s = x @ net[0].weight.data.T
    h, through = np.maximum(s, 0.0), (s > 0.0) * net[2].weight.data
    by_hand = (x @ x.T + 1.0) * (through @ through.T) + h @ h.T + 1.0
    kernel = grads @ grads.T
    np.testing.assert_allclose(kernel, by_hand, rtol=1e-12)
    assert np.linalg.eigvalsh(kernel).min() > -1e-12 * np.linalg.eigvalsh(kernel).max()


def test_the_linear_model_at_the_first_weights_follows_the_network_the_better_the_wider_it_is():
    errors = []
    for n in (8, 32, 128, 512):
        net = wide(n, 0)
        grads, before, f = features(net, XOR), flat(p.data for p in net.parameters()), net(XOR).data[:, 0]
        learn(net, 20)
        change = net(XOR).data[:, 0] - f
        linear = grads @ (flat(p.data for p in net.parameters()) - before)
        errors.append(np.linalg.norm(change - linear) / np.linalg.norm(change))
    assert np.all(np.diff(errors) < 0.0)
    assert errors[-1] < 0.01 < 0.05 < errors[0]


def test_a_very_wide_network_does_not_overfit(figure):
    n, steps = (10_000, 1000) if THOROUGH else (1000, 300)
    (x, y), (new_x, new_y) = (toys.xor(noise=0.7, rng=seed) for seed in (1, 2))
    net, loss = wide(n, 0), BCEWithLogitsLoss()
    optimizer = SGD(net.parameters(), lr=0.1)
    for _ in range(steps):
        stepped(net, loss, optimizer, x, y[:, None].astype(float))
    train, test = (np.mean((net(a).data[:, 0] > 0.0) == (b > 0)) for a, b in ((x, y), (new_x, new_y)))
    figure(f"XOR with noise 0.7 by {n:,} hidden units: accuracy {train:.3f}, on other points {test:.3f}")
    assert test > 0.9
    assert train - test < 0.05


def masks_of(net, keep):
    """Return for each parameter which of its numbers are kept: of all weights the largest, and every bias."""
    sizes = np.abs(flat(net[i].weight.data for i in (0, 2)))
    cut = np.quantile(sizes, 1.0 - keep)
    return [(np.abs(p.data) >= cut) | (p.ndim == 1) for p in net.parameters()]


def restarted(state, masks):
    """Return the network at its first weights, of which the masks leave some."""
    net = Sequential(Linear(2, 32), ReLU(), Linear(32, 1))
    net.load_state_dict(state)
    for p, mask in zip(net.parameters(), masks, strict=True):
        p.data = p.data * mask
    return net


@pytest.mark.parametrize("seed", range(6))
def test_a_fifth_of_the_weights_learns_from_the_first_weights_if_it_is_the_largest_fifth(seed):
    net = Sequential(Linear(2, 32, rng=seed), ReLU(), Linear(32, 1, rng=seed + 100))
    first = net.state_dict()
    learn(net, 1000)
    masks = masks_of(net, keep=0.2)
    winner = restarted(first, masks)
    learn(winner, 1000, masks)
    assert right(winner) == 1.0
    for p, mask in zip(winner.parameters(), masks, strict=True):
        assert np.all(p.data[~mask] == 0.0)
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(mask.ravel()).reshape(mask.shape) for mask in masks]
    loser = restarted(first, drawn)
    learn(loser, 1000, drawn)
    assert right(loser) < 0.9


# ---- 001: a sigmoid neuron on irises ----------------------------------------------------------------------------


def neuron_by_hand(x, y, steps):
    """Yield the weights of a sigmoid neuron that descends its cross-entropy with rate 0.1, until a step is small."""
    theta = np.zeros((x.shape[1], 1))
    for _ in range(steps):
        change = 0.1 * x.T @ (1.0 / (1.0 + np.exp(-x @ theta)) - y) / len(y)
        theta = theta - change
        yield theta
        if np.linalg.norm(change) < 5e-5:
            return


def test_a_sigmoid_neuron_tells_setosa_from_two_measurements_as_by_hand(figure):
    measurements, species, names = load_iris()
    assert names[0] == "setosa"
    x = np.column_stack([measurements[:, :2], np.ones(150)])
    y = (species[:, None] == 0).astype(float)
    theta = Tensor(np.zeros((3, 1)))
    optimizer = SGD([theta], lr=0.1)
    steps = 0
    for steps, expected in enumerate(neuron_by_hand(x, y, 1_000_000 if THOROUGH else 5000), start=1):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(x @ theta, y).backward(keep_grads=False)
        optimizer.step()
        if steps % 1000 == 0:
            np.testing.assert_allclose(theta.data, expected, rtol=1e-10)
    np.testing.assert_allclose(theta.data, expected, rtol=1e-10)
    accuracy = np.mean((sigmoid(x @ theta).data > 0.5) == (y > 0.5))
    figure(f"setosa by a sigmoid neuron: accuracy {accuracy:.4f} after {steps:,} steps")
    assert accuracy >= 0.99
    if THOROUGH:
        assert steps > 200_000
        assert accuracy == 1.0


# ---- 002: statistics of a network, and its rate -----------------------------------------------------------------


def statistics(scale):
    """Return the network, what passed through it, and the gradients of all its parameters."""
    net = Sequential(Linear(100, 200, rng=0), Tanh(), Linear(200, 100, rng=1), ReLU(), Linear(100, 10, rng=2))
    rng = np.random.default_rng(3)
    x, labels = rng.normal(size=(500, 100)), rng.integers(0, 10, 500)
    with trace(net) as flows:
        (scale * CrossEntropyLoss()(net(x), labels)).backward()
    return net, flows, [p.grad for p in net.parameters()]


def test_the_statistics_of_a_network_are_those_that_its_initialisation_promises():
    net, flows, _ = statistics(1.0)
    for i, n_in in ((0, 100), (2, 200), (4, 100)):
        weights = net[i].weight.data
        assert np.abs(weights).max() <= n_in**-0.5
        assert weights.std() == pytest.approx((3.0 * n_in) ** -0.5, rel=0.03)  # of a uniform distribution
    assert [flow.output.shape for flow in flows.values()] == [(500, 200), (500, 200), (500, 100), (500, 100), (500, 10)]
    # Variance 1/3 from 100 inputs of variance 1, and 1/300 from the bias
    assert flows["0"].output.std() == pytest.approx((1.0 / 3.0 + 1.0 / 300.0) ** 0.5, rel=0.03)
    np.testing.assert_array_equal(flows["1"].output, np.tanh(flows["1"].input))
    np.testing.assert_array_equal(flows["3"].output, np.maximum(flows["3"].input, 0.0))
    assert np.mean(flows["3"].output == 0.0) == pytest.approx(0.5, abs=0.05)
    stds = [flows[name].output.std() for name in ("0", "1", "2", "3", "4")]
    assert stds == sorted(stds, reverse=True)  # every layer narrows what it is given


def test_a_loss_times_a_hundred_scales_every_gradient_and_nothing_else():
    (_, flows, gradients), (_, scaled, hundredfold) = statistics(1.0), statistics(100.0)
    for name, flow in flows.items():
        np.testing.assert_array_equal(scaled[name].output, flow.output)
    pairs = [(flow.gradient, scaled[name].gradient) for name, flow in flows.items()]
    for g, h in [*pairs, *zip(gradients, hundredfold, strict=True)]:
        # Sums in which terms cancel keep the rounding of the largest terms
        np.testing.assert_allclose(h, 100.0 * g, rtol=1e-12, atol=1e-13 * np.abs(h).max())


def test_a_scan_of_rates_recommends_one_with_which_the_network_learns_and_leaves_it_as_it_was():
    net = Sequential(Linear(2, 16, rng=0), Tanh(), Linear(16, 1, rng=1))
    loss, optimizer = BCEWithLogitsLoss(), SGD(net.parameters(), lr=1e-3, momentum=0.9)
    before = net.state_dict()

    def closure():
        optimizer.zero_grad()
        value = loss(net(XOR), TARGETS)
        value.backward()
        return value

    scan = lr_scan(optimizer, closure, start=1e-6, end=1.0, steps=100)
    ratios = np.array(scan.rates[1:]) / scan.rates[:-1]
    np.testing.assert_allclose(ratios, 1e6 ** (1.0 / 99.0), rtol=1e-12)
    assert optimizer.lr == scan.suggestion == scan.rates[int(np.argmin(scan.losses))] / 2.0
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    for _ in range(100):
        stepped(net, loss, optimizer, XOR, TARGETS)
    assert right(net) == 1.0


# ---- 004: where to start, what to keep fixed, what to hold small ------------------------------------------------


@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_units_that_start_equal_stay_equal_and_so_do_not_learn_xor(constant):
    net = Sequential(Linear(2, 8), Tanh(), Linear(8, 1))
    for p in net.parameters():
        init.constant_(p, constant)
    learn(net, 200)
    np.testing.assert_array_equal(net[0].weight.data, np.tile(net[0].weight.data[:1], (8, 1)))
    assert right(net) < 0.8


@pytest.mark.parametrize("start", [init.glorot_uniform_, init.glorot_normal_, init.he_uniform_, init.he_normal_])
def test_units_that_start_at_random_learn_xor(start):
    net = Sequential(Linear(2, 16), ReLU(), Linear(16, 1))
    for i in (0, 2):
        start(net[i].weight, rng=i)
        init.zeros_(net[i].bias)
    learn(net, 1000)
    assert right(net) == 1.0


def test_a_network_for_small_digits_is_tuned_for_large_ones_by_its_last_layer_alone():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'autodiff-nn[sklearn]'")
    pixels, labels = load_digits()
    x, large, loss = pixels / 16.0, labels >= 5, CrossEntropyLoss()
    net = Sequential(Linear(64, 32, rng=0), ReLU(), Linear(32, 5, rng=1))
    optimizer = Adam(net.parameters(), lr=0.01)
    for _ in range(200):
        stepped(net, loss, optimizer, x[~large], labels[~large])
    assert Accuracy()(net(x[~large]), labels[~large]) > 0.99
    tuned = Sequential(Linear(64, 32), ReLU(), Linear(32, 5, rng=2))
    tuned[0].load_state_dict(net[0].state_dict())
    tuned[0].freeze()
    assert sum(p.size for p in tuned.parameters()) == 33 * 5
    guessing = Accuracy()(tuned(x[large]), labels[large] - 5)
    optimizer = Adam(tuned.parameters(), lr=0.01)
    for _ in range(200):
        stepped(tuned, loss, optimizer, x[large], labels[large] - 5)
    assert Accuracy()(tuned(x[large]), labels[large] - 5) > 0.9 > 0.5 > guessing
    for name, array in net[0].state_dict().items():
        np.testing.assert_array_equal(tuned[0].state_dict()[name], array)


def regularised(penalty, strength, decay=0.0):
    """Return the parameters of a network that learnt XOR with a penalty in the loss or a decay in the optimizer."""
    net, loss = Sequential(Linear(2, 8, rng=0), Tanh(), Linear(8, 1, rng=1)), BCEWithLogitsLoss()
    optimizer = SGD(net.parameters(), lr=0.1, weight_decay=decay)
    for _ in range(1000):
        optimizer.zero_grad()
        value = loss(net(XOR), TARGETS)
        if penalty is not None:
            value = value + penalty(net.parameters(), strength)
        value.backward(keep_grads=False)
        optimizer.step()
    return flat(p.data for p in net.parameters())


def test_an_L2_penalty_in_the_loss_is_half_the_weight_decay_of_the_optimizer():
    penalised, decayed = regularised(functional.l2_penalty, 0.01), regularised(None, 0.0, decay=0.02)
    np.testing.assert_allclose(penalised, decayed, rtol=1e-9)
    assert np.linalg.norm(penalised) < 0.7 * np.linalg.norm(regularised(None, 0.0))


def test_an_L1_penalty_makes_weights_vanish_where_an_L2_penalty_makes_them_small():
    lasso, ridge = regularised(functional.l1_penalty, 0.01), regularised(functional.l2_penalty, 0.01)
    step = 0.1 * 0.01  # by which the penalty moves a weight, to and fro about zero
    assert np.sum(np.abs(lasso) <= step) > 5 * max(1, np.sum(np.abs(ridge) <= step))
