"""Networks and losses in compiled functions: the same numbers, and errors where they could not be the same."""

import copy

import numpy as np
import pytest

import nn
from autodiff import CompileError, Node, Tensor, Value, compile, no_grad

from .test_oracle import LAYERS, LOSSES

RNG = np.random.default_rng(0)
VECTORS, IMAGES, SEQUENCES = RNG.normal(size=(5, 3)), RNG.normal(size=(2, 2, 6, 6)), RNG.normal(size=(4, 5, 3))

MADE = {  # how to make what takes arguments
    "BatchNorm1d": lambda: nn.BatchNorm1d(3).eval(),
    "Conv2d": lambda: nn.Conv2d(2, 4, 3, padding=1, rng=0),
    "Dropout": lambda: nn.Dropout(0.5, rng=0).eval(),
    "GRU": lambda: nn.GRU(3, 2, rng=0),
    "LSTM": lambda: nn.LSTM(3, 2, rng=0),
    "LayerNorm": lambda: nn.LayerNorm(3),
    "Linear": lambda: nn.Linear(3, 2, rng=0),
    "MaxPool2d": lambda: nn.MaxPool2d(2),
    "AvgPool2d": lambda: nn.AvgPool2d(2),
    "RNN": lambda: nn.RNN(3, 2, rng=0),
    "Perceptron": lambda: nn.Perceptron(3, rng=0),
}
TAKES_INTEGERS = {"Embedding"}


def input_for(name):
    pictures, words = name.endswith("2d"), name in ("RNN", "GRU", "LSTM")
    return IMAGES if pictures else SEQUENCES if words else VECTORS


def results(f, x, parameters):
    """Return the output of f, and the gradients of <weights, output> by x and by the parameters."""
    x = Tensor(x)
    for p in parameters:
        p.zero_grad()
    y = f(x)
    y.backward(np.cos(np.arange(y.size)).reshape(y.shape))
    return [y.data, x.grad, *[p.grad for p in parameters]]


def assert_same(eager, compiled):
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - TAKES_INTEGERS))
def test_every_layer_can_be_compiled(name):
    layer = MADE.get(name, LAYERS[name])()
    first = (lambda x: layer(x)[0]) if name in ("RNN", "GRU", "LSTM") else layer
    fast = compile(first)
    for _ in range(2):
        x = input_for(name) * RNG.normal()
        assert_same(results(first, x, layer.parameters()), results(fast, x, layer.parameters()))


TARGETS = {"binary_cross_entropy_with_logits": (VECTORS > 0) * 1.0, "cross_entropy": np.full((5, 3), 1 / 3)}
SIGNS = {"hinge_loss", "logistic_loss"}
READ_THEIR_INPUT = {"binary_cross_entropy", "kl_div"}
"""They treat numbers at the border of what they take in another way than the rest."""


@pytest.mark.parametrize("name", sorted(set(LOSSES) - READ_THEIR_INPUT))
def test_every_loss_can_be_compiled(name):
    loss = getattr(nn.functional, name)
    if name == "nll_loss":  # class numbers are a part of the function
        labels = np.array([0, 2, 1, 1, 0])
        f = lambda x, t: loss(x - t, labels)
    else:
        f = (lambda x, t: loss(x, t, 0.5)) if name == "chi2_loss" else loss
    fast = compile(f)
    target = TARGETS.get(name, np.sign(VECTORS) if name in SIGNS else VECTORS[::-1].copy())
    for _ in range(2):
        x = RNG.normal(size=VECTORS.shape)
        assert_same(results(lambda x: f(x, target), x, []), results(lambda x: fast(x, target), x, []))


@pytest.mark.parametrize("name", sorted(READ_THEIR_INPUT))
def test_losses_that_look_at_their_input_say_so(name):
    with pytest.raises(CompileError, match="reads the numbers"):
        compile(getattr(nn.functional, name))(np.full(3, 0.5), np.full(3, 0.25))


@pytest.mark.parametrize("optimizer", [nn.SGD, nn.Adam])
def test_training_is_the_same(optimizer):
    x, y = RNG.normal(size=(40, 2)), RNG.integers(0, 2, (40, 1)) * 1.0
    losses, weights = [], []
    for compiled in (False, True):
        model = nn.Sequential(nn.Linear(2, 8, rng=0), nn.Tanh(), nn.Linear(8, 1, rng=1))
        criterion = nn.BCEWithLogitsLoss()
        loss_of = lambda x, y, model=model, criterion=criterion: criterion(model(x), y)
        loss_of = compile(loss_of) if compiled else loss_of
        steps = optimizer(model.parameters(), lr=0.1)
        path = []
        for i in range(50):
            part = slice(10 * (i % 4), 10 * (i % 4) + 10)
            steps.zero_grad()
            loss = loss_of(x[part], y[part])
            loss.backward(keep_grads=False)
            steps.step()
            path.append(loss.item())
        losses.append(path)
        weights.append([p.data for p in model.parameters()])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)
    assert_same(*weights)


def test_a_scalar_network_can_be_compiled():
    mlp = nn.MLP(2, [3, 1], rng=0)
    fast = compile(lambda a, b: mlp([a, b]))
    for a, b in ((0.5, -1.0), (2.0, 3.0)):
        mlp.zero_grad()
        y = mlp([a, b])
        y.backward()
        expected = [y.data, *[p.grad for p in mlp.parameters()]]
        mlp.zero_grad()
        z = fast(a, b)
        assert type(z) is Value
        z.backward()
        assert_same(expected, [z.data, *[p.grad for p in mlp.parameters()]])


# ---- modules that change -------------------------------------------------------------------------------------------


def test_dropout_is_compiled_for_evaluation_and_refused_in_training():
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Dropout(0.5, rng=0)).eval()
    fast = compile(model)
    assert_same([model(VECTORS).data], [fast(VECTORS).data])
    model.train()
    with pytest.raises(CompileError, match="dropout in training mode"):
        fast(VECTORS)


def test_batch_norm_is_refused_in_training_with_nothing_changed():
    norm = nn.BatchNorm1d(3)
    before = norm.state_dict()
    with pytest.raises(CompileError, match="after eval"):
        compile(norm)(VECTORS)
    assert_same(before.values(), norm.state_dict().values())
    free = nn.BatchNorm1d(3, track_running_stats=False)
    assert_same(results(free, VECTORS, free.parameters()), results(compile(free), VECTORS, free.parameters()))


def test_compiled_batch_norm_follows_the_running_estimates():
    norm = nn.BatchNorm1d(3)
    fast = compile(norm)
    for scale in (1.0, 5.0):
        norm.train()(VECTORS * scale)
        norm.eval()
        assert_same([norm(VECTORS).data], [fast(VECTORS).data])


def changed_parameter(model):
    model[0].weight = Tensor(np.ones((3, 3)))


def changed_option(model):
    model[2].eps = 1.0


TANH = nn.Tanh()


def replaced_module(model):
    model[1] = TANH


def deleted_module(model):
    del model[2]


def inserted_module(model):
    model.insert(0, TANH)


def appended_module(model):
    model.append(TANH)


def extended_chain(model):
    model.extend([TANH])


def changed_buffer(model):
    model.load_state_dict({name: x + 1.0 for name, x in model.state_dict().items()})


CHANGES = [changed_parameter, changed_option, changed_buffer, replaced_module, deleted_module, inserted_module]


@pytest.mark.parametrize("change", [*CHANGES, appended_module, extended_chain, nn.Sequential.freeze])
def test_a_changed_module_is_noticed(change):
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.LeakyReLU(), nn.LayerNorm(3))
    fast = compile(model)
    before = fast(VECTORS)
    change(model)
    after = fast(VECTORS)
    expected = model(VECTORS)
    assert isinstance(after, Node) == isinstance(expected, Node)
    numbers = lambda y: np.asarray(y.data if isinstance(y, Node) else y)
    assert_same([numbers(expected)], [numbers(after)])
    assert (change is nn.Sequential.freeze) == np.array_equal(numbers(before), numbers(after))
    if change is nn.Sequential.freeze:
        assert isinstance(compile(model.unfreeze())(VECTORS), Tensor)
        assert isinstance(fast(VECTORS), Tensor)


def test_a_module_with_hooks_is_refused_until_they_are_removed():
    model = nn.Linear(3, 2, rng=0)
    fast = compile(model)
    fast(VECTORS)
    hook = model.register_forward_hook(lambda module, inputs, output: None)
    with pytest.raises(CompileError, match="hooks"):
        fast(VECTORS)
    hook.remove()
    assert fast(VECTORS).shape == (5, 2)


def test_evaluation_under_no_grad_gives_leaves():
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.ReLU())
    fast = compile(model)
    with no_grad():
        assert fast(VECTORS).is_leaf
    assert not fast(VECTORS).is_leaf


def test_a_changed_dict_of_modules_is_noticed():
    heads, tanh = nn.ModuleDict({"left": nn.ReLU()}), nn.Tanh()
    fast = compile(lambda x: heads["left"](x))
    assert_same([np.maximum(VECTORS, 0.0)], [fast(VECTORS)])
    heads["left"] = tanh
    assert_same([np.tanh(VECTORS)], [fast(VECTORS)])
    del heads["left"]
    with pytest.raises(KeyError):
        fast(VECTORS)


def test_modules_that_keep_what_they_compute_are_refused():
    class Remembers(nn.Module):
        def forward(self, x):
            self.last = x * 2.0
            return self.last

    with pytest.raises(CompileError, match="assigns last"):
        compile(Remembers())(VECTORS)


def test_a_training_step_with_batch_norm_leaves_other_compiled_functions_alone():
    norm, calls = nn.BatchNorm1d(3), []

    def loss(prediction):
        calls.append(1)
        return (prediction * prediction).sum()

    fast = compile(loss)
    for _ in range(3):
        fast(norm(VECTORS)).backward()
    assert len(calls) == 2


def test_labels_that_are_closed_over_are_checked():
    with pytest.raises(ValueError, match="labels -1 and 1"):
        compile(lambda x: nn.functional.hinge_loss(x, np.zeros((5, 3))))(VECTORS)


def test_class_numbers_can_be_closed_over():
    labels = np.array([0, 2, 1, 1, 0])
    f = lambda x: nn.functional.cross_entropy(x, labels)
    assert_same(results(f, VECTORS, []), results(compile(f), VECTORS, []))


def test_a_summary_of_a_module_with_a_compiled_part_says_what_to_do():
    class Fast(nn.Module):
        def __init__(self):
            self.body = nn.Linear(3, 2, rng=0)
            self.run = compile(self.body)

        def forward(self, x):
            return self.run(x)

    model = Fast()
    assert model(VECTORS).shape == (5, 2)
    assert len(model.parameters()) == 2
    with pytest.raises(CompileError, match=r"nn\.summary"):
        nn.summary(model, (3,))
    twin = copy.deepcopy(model)
    twin.body.weight.data = np.zeros((2, 3))
    assert np.ptp(twin(VECTORS).data, axis=0).tolist() == [0.0, 0.0]
    assert np.ptp(model(VECTORS).data, axis=0).tolist() != [0.0, 0.0]


def test_a_deleted_attribute_is_noticed():
    class Scale(nn.Module):
        factor = 2.0

        def forward(self, x):
            return x * self.factor

    scale = Scale()
    scale.factor = 3.0
    fast = compile(scale)
    assert fast(1.0) == 3.0
    del scale.factor
    assert fast(1.0) == 2.0
