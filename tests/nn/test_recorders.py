"""Recorders: the flow of gradients, and files for TensorBoard."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from nn import (
    LBFGS,
    MLP,
    SGD,
    Conv2d,
    CrossEntropyLoss,
    Flatten,
    GradientFlow,
    LambdaCallback,
    Linear,
    Module,
    MSELoss,
    ReLU,
    Sequential,
    Sigmoid,
    TensorBoardLogger,
    fit,
)
from nn.recorders import _histogram

X = np.linspace(-1.0, 1.0, 16).reshape(-1, 1)


def train(model, callback, *, lr=0.1, epochs=3, data=(X, X**2), loss=None, **options):
    optimizer = SGD(model.parameters(), lr=lr)
    return fit(model, data, loss or MSELoss(), optimizer, epochs=epochs, callbacks=callback, seed=0, **options)


def norm(*arrays):
    return math.sqrt(sum(float(np.sum(np.square(x))) for x in arrays))


# ---- gradients ------------------------------------------------------------------------------------------------------


def test_norms_are_those_of_a_step_made_by_hand():
    def network():
        return Sequential(Linear(1, 4, rng=0), ReLU(), Linear(4, 1, rng=1))

    flow, by_hand = GradientFlow(), network()
    train(network(), flow, epochs=1)
    MSELoss()(by_hand(X), X**2).backward()
    for name, layer in (("0", by_hand[0]), ("2", by_hand[2])):
        gradients = norm(layer.weight.grad, layer.bias.grad)
        weights = norm(layer.weight.data, layer.bias.data)
        assert flow.gradient_norms[name] == pytest.approx([gradients], rel=1e-12)
        assert flow.weight_norms[name] == pytest.approx([weights], rel=1e-12)
        assert flow.update_ratios[name] == pytest.approx([0.1 * gradients / weights], rel=1e-12)


def test_vanishing_gradients_are_seen():
    layers = [part for i in range(6) for part in (Linear(8, 8, rng=i), Sigmoid())]
    model = Sequential(Linear(1, 8, rng=9), Sigmoid(), *layers, Linear(8, 1, rng=10))
    flow = GradientFlow()
    train(model, flow)
    norms = [values[0] for values in flow.gradient_norms.values()]
    assert norms[0] < 1e-3 * norms[-1]


def test_dead_units_are_counted_for_every_activation():
    model = Sequential(Linear(1, 4, rng=0), ReLU(), Linear(4, 3, rng=1), Sigmoid(), Linear(3, 1, rng=2))
    model[0].weight.data = np.array([[1.0], [1.0], [-1.0], [0.5]])
    model[0].bias.data = np.array([-5.0, 0.0, 0.0, -0.5])  # the first never fires; the last only just not
    flow = GradientFlow()
    train(model, flow, lr=0.0, epochs=2, batch_size=16)
    assert flow.dead_units == {"1": [0.5, 0.5], "3": [0.0, 0.0]}


def test_the_units_of_an_image_are_its_channels():
    model = Sequential(Conv2d(1, 4, 3, rng=0), ReLU(), Flatten(), Linear(4 * 9, 2, rng=1))
    model[0].weight.data = np.zeros((4, 1, 3, 3))
    model[0].bias.data = np.array([-1.0, 1.0, -1.0, -1.0])
    flow = GradientFlow()
    images, labels = np.ones((4, 1, 5, 5)), np.array([0, 1, 0, 1])
    train(model, flow, lr=0.0, epochs=1, data=(images, labels), loss=CrossEntropyLoss())
    assert flow.dead_units == {"1": [0.75]}


def test_only_every_so_many_steps_are_recorded_and_nothing_is_watched_afterwards():
    model = Sequential(Linear(1, 4, rng=0), ReLU(), Linear(4, 1, rng=1))
    flow = GradientFlow(every=3)
    train(model, flow, epochs=2, batch_size=4)
    assert flow.steps == [1, 4, 7]
    for values in (*flow.gradient_norms.values(), *flow.update_ratios.values(), *flow.dead_units.values()):
        assert len(values) == 3
    model(X)
    assert len(flow.dead_units["1"]) == 3
    assert not model[1]._hooks
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        GradientFlow(every=0)


def test_recording_changes_nothing_and_works_with_an_optimizer_that_searches():
    pytest.importorskip("scipy", reason="LBFGS is SciPy's")
    for make in (lambda ps: SGD(ps, lr=0.1), LBFGS):
        states = []
        for callbacks in ([], [GradientFlow()]):
            model = Sequential(Linear(1, 4, rng=0), ReLU(), Linear(4, 1, rng=1))
            fit(model, (X, X**2), MSELoss(), make(model.parameters()), epochs=2, callbacks=callbacks, seed=0)
            states.append({name: x.tolist() for name, x in model.state_dict().items()})
        assert states[0] == states[1]
        assert len(callbacks[0].dead_units["1"]) == 2


def test_layers_are_modules_also_in_a_network_of_neurons_and_the_untrained_have_a_ratio():
    class Batched(Module):
        def __init__(self):
            self.mlp = MLP(1, [2, 1], rng=0)

        def forward(self, x):
            return [self.mlp(row) for row in x.tolist()]

    def squares(predictions, targets):
        return sum((p - t) ** 2 for p, t in zip(predictions, targets.ravel().tolist(), strict=True))

    model, flow = Batched(), GradientFlow()
    train(model, flow, lr=0.001, epochs=1, loss=squares)
    names = {name for name, _ in model.named_modules()}
    assert set(flow.gradient_norms) <= names
    assert len(flow.gradient_norms) == 3  # neurons
    zeros = Linear(1, 1, rng=0)
    zeros.weight.data, zeros.bias.data = np.zeros((1, 1)), np.zeros(1)
    for lr, ratio in ((0.1, math.inf), (0.0, 0.0)):
        train(zeros, flow, lr=lr, epochs=1, data=(X, X + 1.0))
        assert flow.update_ratios == {"": [ratio]}
        zeros.weight.data, zeros.bias.data = np.zeros((1, 1)), np.zeros(1)


def test_an_activation_that_is_not_called_has_no_number():
    class Sometimes(Module):
        def __init__(self):
            self.inner, self.activation, self.calls = Linear(1, 1, rng=0), ReLU(), 0

        def forward(self, x):
            self.calls += 1
            return self.activation(self.inner(x)) if self.calls == 1 else self.inner(x)

    flow = GradientFlow()
    train(Sometimes(), flow, lr=0.0, epochs=2)
    first, second = flow.dead_units["activation"]
    assert first in (0.0, 1.0)
    assert math.isnan(second)


def test_the_network_at_the_beginning_of_the_step_is_what_counts_for_an_optimizer_that_searches():
    pytest.importorskip("scipy", reason="LBFGS is SciPy's")
    model = Sequential(Linear(1, 4, rng=0), ReLU(), Linear(4, 1, rng=1))
    expected = float(np.mean(~np.any(model[1](model[0](X)).data, axis=0)))
    flow, deaths = GradientFlow(), []
    original = flow._count_dead

    def spy(*arguments):
        original(*arguments)
        deaths.append(flow._dead.get("1"))

    flow._count_dead = spy
    fit(model, (X, X**2), MSELoss(), LBFGS(model.parameters()), callbacks=flow, batch_size=16, seed=0)
    assert len(deaths) > 1  # the search calls the network several times
    assert flow.dead_units["1"] == [expected]
    assert set(deaths) == {expected}


# ---- TensorBoard ----------------------------------------------------------------------------------------------------


def written(folder):
    """Return {tag: {epoch: number or histogram}} of the only file in a folder of TensorBoard's."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    data, start, found = path.read_bytes(), 0, {}
    while start < len(data):  # each record: its length, a check sum of that, the record, a check sum of that
        length = int.from_bytes(data[start : start + 8], "little")
        event = Event.FromString(data[start + 12 : start + 12 + length])
        start += 16 + length
        for value in event.summary.value:
            number = value.histo if value.HasField("histo") else value.simple_value
            found.setdefault(value.tag, {})[event.step] = number
    return found


@pytest.mark.parametrize("package", ["tensorboardX", "tensorboard"])
def test_what_is_logged_is_in_tensorboards_file(tmp_path, monkeypatch, package):
    pytest.importorskip(package, reason=f"{package} is not installed")
    pytest.importorskip("tensorboardX", reason="its records are used to read the file")
    if package == "tensorboard":
        monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    model = Sequential(Linear(1, 4, rng=0), ReLU(), Linear(4, 1, rng=1))
    logger = TensorBoardLogger(tmp_path / "runs" / "one", histogram_freq=2)
    history = train(model, logger, epochs=3, validation=(X, X**2))
    found = written(tmp_path / "runs" / "one")
    for name, values in history.items():
        assert found[name] == pytest.approx(dict(enumerate(values, start=1)), rel=1e-6)  # float32 in the file
    names = ("0.weight", "0.bias", "2.weight", "2.bias")
    histograms = {f"{kind}/{name}" for kind in ("parameters", "gradients") for name in names}
    assert {tag for tag in found if "/" in tag} == histograms
    (histogram,) = found["parameters/0.weight"].values()
    assert list(found["parameters/0.weight"]) == [2]
    assert histogram.num == sum(histogram.bucket) == 4
    assert len(histogram.bucket) == len(histogram.bucket_limit) == 30
    assert histogram.min <= histogram.sum / 4 <= histogram.max


def test_a_histogram_leaves_out_what_is_not_finite(tmp_path):
    pytest.importorskip("tensorboardX", reason="its records are used to read the file")
    model = Linear(1, 3, rng=0)
    model.weight.data = np.array([[math.nan], [1.0], [math.inf]])
    with np.errstate(invalid="ignore"):
        train(
            model, TensorBoardLogger(tmp_path / "run", histogram_freq=1), lr=0.0, epochs=1, data=(X, np.zeros((16, 3)))
        )
    (histogram,) = written(tmp_path / "run")["parameters/weight"].values()
    assert (histogram.num, histogram.min, histogram.max) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("low", "high"), [(1.0, np.nextafter(1.0, 2.0)), (-1e308, 1e308)])
def test_numbers_too_close_or_too_far_apart_for_bins_are_in_one(low, high):
    histogram = _histogram(np.array([[low], [high]]))
    assert (histogram["min"], histogram["max"], histogram["bucket"]) == (low, high, [2.0])


def test_an_array_without_a_finite_number_has_no_histogram(tmp_path):
    pytest.importorskip("tensorboardX", reason="its records are used to read the file")
    model = Linear(1, 1, rng=0)
    model.weight.data = np.array([[math.nan]])
    with np.errstate(invalid="ignore"):
        train(model, TensorBoardLogger(tmp_path / "run", histogram_freq=1), lr=0.0, epochs=1)
    assert not any("/" in tag for tag in written(tmp_path / "run"))


def test_numbers_of_numpy_are_numbers_and_arrays_are_left_out(tmp_path):
    pytest.importorskip("tensorboardX", reason="its records are used to read the file")
    extra = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(half=np.float32(0.5), table=np.eye(2)))
    train(Linear(1, 1, rng=0), [extra, TensorBoardLogger(tmp_path / "run")], epochs=1)
    found = written(tmp_path / "run")
    assert set(found) == {"loss", "half"}
    assert found["half"] == {1: 0.5}


def test_two_trainings_in_one_second_have_two_files(tmp_path):
    pytest.importorskip("tensorboardX", reason="TensorBoardLogger needs it, or tensorboard")
    for _ in range(2):
        train(Linear(1, 1, rng=0), TensorBoardLogger(tmp_path / "run"))
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_a_missing_package_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    for name in ("tensorboardX", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
        for module in [module for module in sys.modules if module.startswith(f"{name}.")]:
            monkeypatch.setitem(sys.modules, module, None)
    model = Linear(1, 1, rng=0)
    before = model.weight.data.copy()
    with pytest.raises(ImportError, match=r"pip install 'autodiff-nn\[tensorboard\]'"):
        train(model, TensorBoardLogger(tmp_path))
    assert np.array_equal(model.weight.data, before)
    with pytest.raises(ValueError, match="histogram_freq must be at least 0, got -1"):
        TensorBoardLogger(tmp_path, histogram_freq=-1)
