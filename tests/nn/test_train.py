"""fit and evaluate: the same numbers as a loop written by hand, and an end that is always clean."""

from __future__ import annotations

import csv
import gc
import io
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import autodiff as ad
from autodiff import Tensor, Value
from nn import (
    GRU,
    LBFGS,
    MLP,
    R2,
    SGD,
    Accuracy,
    Adam,
    BatchNorm1d,
    BCEWithLogitsLoss,
    Callback,
    Chi2Loss,
    ConfusionMatrix,
    Conv2d,
    CrossEntropyLoss,
    DataLoader,
    Dropout,
    EarlyStopping,
    Embedding,
    Flatten,
    GradientDescent,
    GradientFlow,
    History,
    LambdaCallback,
    Linear,
    MaxPool2d,
    Metric,
    Module,
    MSELoss,
    ReduceLROnPlateau,
    ReLU,
    Sequential,
    Tanh,
    TensorDataset,
    TerminateOnNaN,
    attach,
    clip_grad_norm_,
    clip_grad_value_,
    evaluate,
    fit,
    load_iris,
    schedules,
    standardize,
    toys,
)

MOONS = toys.moons(100, noise=0.2, rng=0)


def network(rng=0):
    rng = np.random.default_rng(rng)
    return Sequential(Linear(2, 8, rng=rng), Tanh(), Linear(8, 2, rng=rng))


def line(rng=0):
    """Return a model and data that it can learn exactly."""
    x = np.linspace(-1.0, 1.0, 20).reshape(-1, 1)
    return Linear(1, 1, rng=rng), (x, 3.0 * x + 0.5)


@pytest.fixture(autouse=True)
def _ctrl_c_as_in_a_terminal():
    """Have Ctrl-C raise KeyboardInterrupt, also where tests run in the background and it would be ignored."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def state(model):
    return {name: x.tolist() for name, x in model.state_dict().items()}


# ---- the same as by hand --------------------------------------------------------------------------------------------


def test_fit_does_bit_for_bit_what_the_loop_in_the_docstring_does():
    by_hand, loss, losses = network(), CrossEntropyLoss(), []
    optimizer = Adam(by_hand.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(*MOONS), batch_size=16, shuffle=True, rng=7)
    for _ in range(3):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            value = loss(by_hand(x), y)
            value.backward()
            optimizer.step()
            total += len(y) * value.item()
        losses.append(total / 100)
    model = network()
    history = fit(model, MOONS, loss, Adam(model.parameters(), lr=0.01), epochs=3, batch_size=16, seed=7)
    assert history == {"loss": losses}
    assert state(model) == state(by_hand)


@pytest.mark.parametrize("data", ["arrays", "dataset", "examples", "loader", "batches"])
def test_data_may_come_in_any_form(data):
    x, y = MOONS
    given = {
        "arrays": (x, y),
        "dataset": TensorDataset(x, y),
        "examples": list(zip(x, y, strict=True)),
        "loader": DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, rng=3),
        "batches": DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, rng=3),
    }[data]
    if data == "batches":
        loader = given
        given = type("Batches", (), {"__iter__": lambda self: iter(loader)})()
    model = network()
    options = {"seed": 3} if data in ("arrays", "dataset", "examples") else {}
    history = fit(model, given, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1), epochs=2, **options)
    reference = network()
    expected = fit(reference, (x, y), CrossEntropyLoss(), SGD(reference.parameters(), lr=0.1), epochs=2, seed=3)
    assert history == expected
    assert state(model) == state(reference)


def test_a_batch_may_have_several_inputs():
    class Sum(Module):
        def __init__(self):
            self.a, self.b = Linear(1, 1, rng=0), Linear(1, 1, rng=1)

        def forward(self, x, y):
            return self.a(x) + self.b(y)

    x = np.arange(6.0).reshape(6, 1) / 6
    model = Sum()
    history = fit(model, (x, x**2, x + 2 * x**2), MSELoss(), Adam(model.parameters(), lr=0.1), epochs=400, seed=0)
    assert history["loss"][-1] < 1e-4 < history["loss"][0]


def test_a_network_of_scalars_learns_too():
    class Batched(Module):
        def __init__(self):
            self.mlp = MLP(2, [4, 1], activation="tanh", rng=0)

        def forward(self, x):
            return [self.mlp(row) for row in x.tolist()]

    def squares(predictions, targets):
        return sum((p - t) ** 2 for p, t in zip(predictions, targets.tolist(), strict=True)) / len(targets)

    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    model = Batched()
    history = fit(
        model, (x, np.array([0.0, 1.0, 1.0, 0.0])), squares, Adam(model.parameters(), lr=0.05), epochs=150, seed=0
    )
    assert isinstance(model.mlp.parameters()[0], Value)
    assert history["loss"][-1] < 0.01 < history["loss"][0]


def test_the_loss_is_the_mean_over_the_examples_also_when_the_last_batch_is_smaller():
    model, (x, y) = line()
    optimizer = SGD(model.parameters(), lr=0.0)
    history = fit(model, (x, y), MSELoss(), optimizer, batch_size=7, validation=(x, y), metrics=R2(), seed=0)
    expected = np.mean((model(x).data - y) ** 2)
    assert history["loss"] == pytest.approx([expected], rel=1e-14)
    assert history["val_loss"] == pytest.approx([expected], rel=1e-14)
    assert history["val_r2"] == pytest.approx(history["r2"], rel=1e-12)


def test_evaluate_gives_the_numbers_of_the_validation():
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    held_out = toys.moons(50, noise=0.2, rng=1)
    history = fit(model, MOONS, CrossEntropyLoss(), optimizer, validation=held_out, metrics=[Accuracy()], seed=0)
    numbers = evaluate(model, held_out, CrossEntropyLoss(), Accuracy())
    assert numbers == {"loss": history["val_loss"][0], "accuracy": history["val_accuracy"][0]}
    logits = model(held_out[0]).data
    assert numbers["accuracy"] == np.mean(logits.argmax(axis=1) == held_out[1])


def test_a_part_of_the_data_is_held_out_and_never_learned_from():
    seen = []

    class Spy(Module):
        def __init__(self):
            self.inner = Linear(1, 1, rng=0)

        def forward(self, x):
            seen.append((self.training, x.ravel().tolist()))
            return self.inner(x)

    x = np.arange(50.0).reshape(-1, 1)
    model = Spy()
    optimizer = SGD(model.parameters(), lr=0.0)
    fit(model, (x, x), MSELoss(), optimizer, epochs=3, validation=0.2, batch_size=8, seed=5)
    learned = {value for training, batch in seen if training for value in batch}
    held = {value for training, batch in seen if not training for value in batch}
    assert len(learned) == 40
    assert len(held) == 10
    assert not learned & held
    assert held != set(range(40, 50))


def test_the_same_seed_gives_the_same_bits_and_another_others():
    def losses(seed):
        model = network()
        return fit(
            model, MOONS, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1), epochs=2, validation=0.3, seed=seed
        )

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_modes_are_training_while_it_learns_evaluation_while_it_validates_and_then_as_before():
    model = Sequential(Linear(2, 4, rng=0), BatchNorm1d(4), Dropout(0.5, rng=0), Linear(4, 2, rng=1))
    model[2].eval()
    modes = []
    model[0].register_forward_hook(lambda *_: modes.append([part.training for part in model.modules()]))
    fit(model, MOONS, CrossEntropyLoss(), SGD(model.parameters()), batch_size=100, validation=MOONS, seed=0)
    assert modes == [[True] * 5, [False] * 5]
    assert [part.training for part in model] == [True, True, False, True]


def test_one_graph_is_alive_at_a_time_and_none_afterwards():
    """Of the graphs of a training, a validation and the steps before, none outlives its step, without the collector."""
    alive, most = weakref.WeakSet(), []

    class Watched(Module):
        def __init__(self):
            self.inner = network()

        def forward(self, x):
            most.append(len(alive))
            y = self.inner(x)
            alive.add(y)
            return y

    model = Watched()
    gc.disable()
    try:
        fit(model, MOONS, CrossEntropyLoss(), SGD(model.parameters()), epochs=2, validation=0.2, seed=0)
    finally:
        gc.enable()
    assert max(most) == 0
    assert len(alive) == 0


def test_validation_records_nothing_and_training_keeps_no_gradients_of_intermediate_nodes():
    recorded, between = [], []

    class Watched(Module):
        def __init__(self):
            self.inner = network()

        def forward(self, x):
            y = self.inner(x)
            recorded.append((self.training, y.parents != ()))
            between.append(y)
            return y

    model = Watched()
    fit(model, MOONS, CrossEntropyLoss(), SGD(model.parameters()), batch_size=100, validation=MOONS, seed=0)
    assert recorded == [(True, True), (False, False)]
    assert between[0].grad is None


def test_metrics_are_given_plain_numbers():
    kinds = []

    class Kind(Metric):
        name = "kind"

        def reset(self):
            pass

        def update(self, prediction, target):
            kinds.append((type(prediction), type(target)))

        def compute(self):
            return 0.0

    model = network()
    fit(model, MOONS, CrossEntropyLoss(), SGD(model.parameters()), validation=MOONS, metrics=Kind(), seed=0)
    assert set(kinds) == {(np.ndarray, np.ndarray)}


def test_gradients_of_parameters_that_are_not_stepped_do_not_pile_up():
    model, data = line()
    norms = []
    look = LambdaCallback(on_train_batch_end=lambda *_: norms.append(abs(model.bias.grad[0])))
    fit(model, data, MSELoss(), SGD([model.weight], lr=0.0), epochs=3, callbacks=look, seed=0)
    assert norms[0] > 0.0
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-12)  # the order of the rows differs


@pytest.mark.parametrize(("batch_size", "smaller"), [(20, 20), (10, 10), (7, 6)])
def test_the_loss_of_a_sum_is_a_sum(batch_size, smaller):
    model, (x, y) = line()
    expected = float(np.sum((model(x).data - y) ** 2))
    for batches in (batch_size, smaller):
        assert evaluate(model, (x, y), MSELoss(reduction="sum"), batch_size=batches)["loss"] == pytest.approx(expected)
        assert evaluate(model, (x, y), Chi2Loss(1.0), batch_size=batches)["loss"] == pytest.approx(expected)


@pytest.mark.parametrize("batch_size", [20, 10, 7])
def test_a_batch_counts_by_its_examples_whatever_its_targets_are(batch_size):
    model, (x, y) = line()
    expected = float(np.mean((model(x).data - y) ** 2))
    pairs = list(zip(x, zip(y, y, strict=True), strict=True))

    def loss(prediction, targets):
        return MSELoss()(prediction, targets[0])

    assert evaluate(model, pairs, loss, batch_size=batch_size)["loss"] == pytest.approx(expected)
    seen = [(x, None)]
    nothing = type("Batches", (), {"__iter__": lambda self: iter(seen)})()
    squares = float(np.mean(model(x).data ** 2))
    assert evaluate(model, nothing, lambda p, _: (p * p).mean())["loss"] == pytest.approx(squares)


def test_arrays_of_another_library_are_taken_for_what_they_are():
    class Foreign:
        def __init__(self, x):
            self.x = x

        def __array__(self, dtype=None, copy=None):
            return np.array(self.x, dtype=dtype, copy=copy)

        def __len__(self):
            return len(self.x)

    model, (x, y) = line()
    batches = type("Batches", (), {"__iter__": lambda self: iter([(Foreign(x), Foreign(y))])})()
    assert evaluate(model, batches, MSELoss()) == evaluate(model, (x, y), MSELoss())


def test_networks_of_other_kinds_learn_as_well():
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(24, 1, 6, 6)), np.arange(24) % 2
    images[labels == 1] += 1.0
    words = np.array([[0, 1, 2], [3, 4, 5]])[labels]

    class LastState(Module):
        def __init__(self):
            self.table, self.cell, self.head = Embedding(6, 4, rng=0), GRU(4, 5, rng=1), Linear(5, 2, rng=2)

        def forward(self, x):
            return self.head(self.cell(self.table(x.T))[0][-1])

    conv = Sequential(Conv2d(1, 3, 3, rng=0), ReLU(), MaxPool2d(2), Flatten(), Linear(12, 2, rng=1))
    for model, x in ((conv, images), (LastState(), words)):
        flow = GradientFlow()
        history = fit(
            model, (x, labels), CrossEntropyLoss(), Adam(model.parameters(), lr=0.02), epochs=30, batch_size=8,
            metrics=Accuracy(), callbacks=[flow, TerminateOnNaN()], clip=1.0, seed=0,
        )  # fmt: skip
        assert history["accuracy"][-1] == 1.0
        assert all(len(norms) == 90 for norms in flow.gradient_norms.values())


def test_a_frozen_layer_stays_and_is_no_obstacle():
    model = network()
    model[0].freeze()
    before = model[0].weight.copy()
    history = fit(model, MOONS, CrossEntropyLoss(), Adam(model.parameters(), lr=0.02), epochs=5, seed=0)
    assert np.array_equal(model[0].weight, before)
    assert history["loss"][-1] < history["loss"][0]


# ---- schedules, clipping, other optimizers --------------------------------------------------------------------------


def test_a_schedule_is_a_function_of_the_step_and_the_rate_is_logged():
    model, data = line()
    optimizer, rates = SGD(model.parameters(), lr=123.0), []
    spy = LambdaCallback(on_before_optimizer_step=lambda batch, logs: rates.append(optimizer.lr))
    schedule = schedules.exponential(0.1, 0.5)
    history = fit(model, data, MSELoss(), optimizer, epochs=2, batch_size=10, schedule=schedule, callbacks=spy, seed=0)
    assert rates == [0.1, 0.05, 0.025, 0.0125]
    assert history["lr"] == [0.05, 0.0125]


def test_a_schedule_that_is_attached_already_goes_on_where_it_was():
    model, data = line()
    optimizer = SGD(model.parameters())
    scheduler = attach(optimizer, schedules.inverse_time(1.0, 1.0))
    for expected in (2, 4):
        fit(model, data, MSELoss(), optimizer, batch_size=10, schedule=scheduler, seed=0)
        assert scheduler.t == expected


def test_every_group_may_have_a_schedule_of_its_own():
    model, data = line()
    optimizer = SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}], lr=0.1)
    seen = []
    look = LambdaCallback(
        on_before_optimizer_step=lambda *_: seen.append([group["lr"] for group in optimizer.param_groups])
    )
    pair = [schedules.constant(0.1), schedules.exponential(1.0, 0.5)]
    fit(model, data, MSELoss(), optimizer, batch_size=10, schedule=pair, callbacks=look, seed=0)
    assert seen == [[0.1, 1.0], [0.1, 0.5]]


def test_reduce_on_plateau_is_told_the_validation_loss_after_every_epoch():
    model, data = line()
    held_out = data[0], data[1] + 1.0
    optimizer = SGD(model.parameters(), lr=1e-300)  # moves nothing, so there is no progress
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=1, eps=0.0)
    history = fit(model, data, MSELoss(), optimizer, epochs=4, schedule=plateau, validation=held_out, seed=0)
    assert plateau.best == history["val_loss"][0]
    assert history["lr"] == [1e-300, 1e-300, 1e-300, 5e-301]


def test_gradients_are_clipped_before_the_step():
    norms = []

    def norm(*_):
        norms.append(math.sqrt(sum(float(np.sum(p.grad**2)) for p in model.parameters())))

    for clip in (None, 0.25, lambda parameters: clip_grad_value_(parameters, 0.1)):
        model, data = line()
        optimizer = SGD(model.parameters(), lr=0.1)
        fit(
            model,
            data,
            MSELoss(),
            optimizer,
            clip=clip,
            seed=0,
            callbacks=LambdaCallback(on_before_optimizer_step=norm),
        )
    assert norms[0] > 1.0
    assert norms[1] == pytest.approx(0.25, rel=1e-5)  # clip_grad_norm_ adds 1e-6 to the norm
    assert norms[2] == pytest.approx(0.1 * math.sqrt(2.0), rel=1e-12)


@pytest.mark.parametrize("make", [LBFGS, GradientDescent])
def test_optimizers_that_search_along_a_line_can_be_used(make):
    pytest.importorskip("scipy", reason="LBFGS is SciPy's")
    model, data = line()
    counted = []
    spy = LambdaCallback(on_before_optimizer_step=lambda batch, logs: counted.append(logs["loss"]))
    history = fit(
        model, data, MSELoss(), make(model.parameters()), epochs=30, batch_size=20, metrics=R2(), callbacks=spy, seed=0
    )
    assert history["loss"][-1] < 1e-6 * history["loss"][0]
    assert counted == history["loss"]  # the hook runs once a step, at the place where the step begins


# ---- what callbacks see ---------------------------------------------------------------------------------------------


class Notes(Callback):
    """Writes down every hook that is called."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if not name.startswith("on_"):
            return found
        return lambda *arguments: (
            self.calls.append((name, *arguments[:-1], sorted(arguments[-1]))),
            found(*arguments),
        )[1]


def test_hooks_are_called_in_order_with_numbers_from_1_and_the_logs_there_are():
    model, data = line()
    notes = Notes()
    fit(
        model, data, MSELoss(), SGD(model.parameters()), epochs=2, batch_size=10, validation=data, callbacks=[notes],
        seed=0,
    )  # fmt: skip
    batches = [
        call
        for batch in (1, 2)
        for call in (
            ("on_train_batch_begin", batch, []),
            ("on_before_optimizer_step", batch, ["loss"]),
            ("on_train_batch_end", batch, ["loss"]),
        )
    ]
    epochs = [
        call
        for epoch in (1, 2)
        for call in (("on_epoch_begin", epoch, []), *batches, ("on_epoch_end", epoch, ["loss", "val_loss"]))
    ]
    assert notes.calls == [("on_train_begin", []), *epochs, ("on_train_end", ["loss", "val_loss"])]


def test_a_callback_sees_the_run():
    model, data = line()
    optimizer, seen = SGD(model.parameters()), []

    class Look(Callback):
        def on_train_batch_end(self, *_):
            run = self.run
            assert self.model is run.model is model
            assert run.optimizer is optimizer
            assert len(run.loader) == 2
            seen.append((run.epoch, run.step, run.epochs, run.history.epochs, len(run.batch[0])))

    fit(model, data, MSELoss(), optimizer, epochs=2, batch_size=12, callbacks=Look(), seed=0)
    assert seen == [(1, 1, 2, 0, 12), (1, 2, 2, 0, 8), (2, 3, 2, 1, 12), (2, 4, 2, 1, 8)]


def test_what_a_callback_adds_to_the_logs_is_in_the_history_aligned_with_the_epochs():
    model, data = line()
    extra = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(even=1.0) if epoch % 2 == 0 else None)
    history = fit(model, data, MSELoss(), SGD(model.parameters()), epochs=4, callbacks=extra, seed=0)
    np.testing.assert_array_equal(history["even"], [math.nan, 1.0, math.nan, 1.0])


def test_callbacks_end_in_the_order_of_the_list_and_each_that_has_begun():
    model, data = line()
    ended, weights = [], []

    def note(name, fail=False):
        def end(_):
            ended.append(name)
            weights.append(model.weight.data.item())
            if fail:
                raise OSError(name)

        return end

    def second_is_best(epoch, logs):
        model.weight.data = np.full((1, 1), float(epoch))
        logs["val_loss"] = abs(epoch - 2.0)

    best = EarlyStopping(patience=9, restore_best_weights=True)
    failing, last = LambdaCallback(on_train_end=note("a", fail=True)), LambdaCallback(on_train_end=note("b"))
    callbacks = [LambdaCallback(on_epoch_end=second_is_best), best, failing, last]
    with pytest.raises(OSError, match="a"):
        fit(model, data, MSELoss(), SGD(model.parameters(), lr=0.0), epochs=3, callbacks=callbacks, seed=0)
    assert ended == ["a", "b"]
    assert weights == [2.0, 2.0]

    def refuse(_):
        raise OSError("no")

    ended.clear()
    callbacks = [LambdaCallback(on_train_end=note("a")), LambdaCallback(on_train_begin=refuse, on_train_end=note("b"))]
    with pytest.raises(OSError, match="no"):
        fit(model, data, MSELoss(), SGD(model.parameters()), callbacks=callbacks, seed=0)
    assert ended == ["a"]


def test_the_first_reason_to_stop_is_the_one_that_is_told():
    model, data = line()
    first = LambdaCallback(on_epoch_end=lambda *_: first.run.stop("first"))
    second = LambdaCallback(on_epoch_end=lambda *_: second.run.stop("second"))
    history = fit(model, data, MSELoss(), SGD(model.parameters()), epochs=3, callbacks=[first, second], seed=0)
    assert history.stopped == "first"


def test_a_stop_at_the_end_of_an_epoch_keeps_the_epoch_and_lets_later_callbacks_see_it():
    model, data = line()
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: stop.run.stop("enough") if epoch == 2 else None)
    notes = Notes()
    history = fit(model, data, MSELoss(), SGD(model.parameters()), epochs=9, callbacks=[stop, notes], seed=0)
    assert history.epochs == 2
    assert history.stopped == "enough"
    assert [call for call in notes.calls if call[0] == "on_epoch_end"][-1][1] == 2


def test_a_stop_in_the_middle_leaves_the_epoch_out_and_one_before_the_step_makes_none():
    model, data = line()
    before = state(model)
    stop = LambdaCallback(on_before_optimizer_step=lambda batch, logs: stop.run.stop("no"))
    notes = Notes()
    history = fit(model, data, MSELoss(), SGD(model.parameters(), lr=1.0), callbacks=[stop, notes], seed=0)
    assert history == {}
    assert state(model) == before
    assert [call[0] for call in notes.calls][-1] == "on_train_end"


def test_an_exception_ends_what_was_begun_and_goes_on_to_the_caller():
    model, data = line()

    def fail(*_):
        raise OSError("disk full")

    notes = Notes()
    model.eval()
    with pytest.raises(OSError, match="disk full"):
        fit(
            model,
            data,
            MSELoss(),
            SGD(model.parameters()),
            callbacks=[notes, LambdaCallback(on_epoch_end=fail)],
            seed=0,
        )
    assert notes.calls[-1][0] == "on_train_end"
    assert not model.training
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_training_after_the_step_under_way():
    model = Sequential(Linear(1, 3, rng=0), ReLU(), Linear(3, 1, rng=1))
    _, data = line()
    optimizer = SGD(model.parameters(), lr=0.1)
    update, steps = optimizer.update, []

    def interrupted(group, pieces):
        def pressing():
            for i, piece in enumerate(pieces):
                yield piece
                if i == 0 and len(steps) == 4:  # in the middle of a step: one parameter has moved, the others have not
                    os.kill(os.getpid(), signal.SIGINT)

        update(group, pressing())
        steps.append([np.array(p.data) for p in model.parameters()])

    optimizer.update = interrupted
    history = fit(model, data, MSELoss(), optimizer, epochs=100, batch_size=10, seed=0)
    assert history.epochs == 2  # of two steps each; the fifth step was made to its end
    assert history.stopped == "interrupted in epoch 3"
    assert len(steps) == 5
    assert all(np.any(a != b) for a, b in zip(steps[3], steps[4], strict=True))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_noticed_in_the_validation():
    validated = []

    class Slow(Module):
        def __init__(self):
            self.inner = Linear(1, 1, rng=0)

        def forward(self, x):
            if not self.training:
                validated.append(1)
                os.kill(os.getpid(), signal.SIGINT)
            return self.inner(x)

    model, (_, data) = Slow(), line()
    history = fit(model, data, MSELoss(), SGD(model.parameters()), epochs=5, validation=data, batch_size=5, seed=0)
    assert len(validated) == 1
    assert history == {}
    assert history.stopped == "interrupted in epoch 1"


def test_an_interrupt_that_is_an_exception_ends_training_cleanly_too():
    def raises(*_):
        raise KeyboardInterrupt

    model, data = line()
    found = []

    def work():
        stop = LambdaCallback(on_epoch_begin=raises)
        found.append(fit(model, data, MSELoss(), SGD(model.parameters()), callbacks=stop, seed=0))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert found[0].stopped == "interrupted in epoch 1"


def test_ctrl_c_when_training_has_ended_anyway_changes_nothing():
    model, data = line()
    press = LambdaCallback(on_train_end=lambda logs: os.kill(os.getpid(), signal.SIGINT))
    for callbacks, epochs, stopped in (
        ([press], 3, ""),
        ([EarlyStopping("loss", min_delta=100.0), press], 2, "loss was best in epoch 1"),
    ):
        history = fit(model, data, MSELoss(), SGD(model.parameters()), epochs=3, callbacks=callbacks, seed=0)
        assert history.epochs == epochs
        assert history.stopped.startswith(stopped)
        assert bool(history.stopped) == bool(stopped)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_after_a_stop_the_loader_goes_on_with_the_batch_that_was_not_learned_from(batch):
    model, data = line()
    loader = DataLoader(TensorDataset(*data), batch_size=5)
    stop = LambdaCallback(on_train_batch_end=lambda number, logs: stop.run.stop() if number == batch else None)
    history = fit(model, loader, MSELoss(), SGD(model.parameters()), epochs=3, callbacks=stop)
    assert (history.epochs, history.stopped) == (0, "stopped by a callback")
    again = DataLoader(TensorDataset(*data), batch_size=5)
    again.load_state_dict(loader.state_dict())
    seen = []
    look = LambdaCallback(on_train_batch_begin=lambda *_: seen.append(float(look.run.batch[0][0, 0])))
    fit(model, again, MSELoss(), SGD(model.parameters()), callbacks=look)
    starts = [float(x) for x in data[0][::5, 0]]
    assert seen == (starts[batch:] or starts)


def test_ctrl_c_in_a_terminal_gives_the_history_and_a_second_one_does_not_wait():
    script = textwrap.dedent(
        """
        import sys, time
        import numpy as np
        from nn import SGD, Linear, MSELoss, Module, fit

        class Slow(Module):
            def __init__(self):
                self.inner = Linear(1, 1, rng=0)
            def forward(self, x):
                print("step", flush=True)
                time.sleep(float(sys.argv[1]))
                return self.inner(x)

        model = Slow()
        x = np.ones((4, 1))
        history = fit(model, (x, x), MSELoss(), SGD(model.parameters()), epochs=1000, seed=0)
        print("ended:", history.stopped, history.epochs == len(history.get("loss", [])))
        """
    )
    for seconds, presses in (("0.01", 1), ("600", 2)):
        child = subprocess.Popen(
            [sys.executable, "-c", script, seconds], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "step\n"
        for _ in range(presses):
            child.send_signal(signal.SIGINT)
            time.sleep(0.2)  # so that two signals are not taken for one
        out, err = child.communicate()
        assert out.splitlines()[-1].startswith("ended: interrupted in epoch"), err
        assert out.splitlines()[-1].endswith("True")
        assert child.returncode == 0


# ---- bad input ------------------------------------------------------------------------------------------------------


class NamedR2(R2):
    def __init__(self, name):
        super().__init__()
        self.name = name


TWICE = Callback()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": lambda x: x}, TypeError, "fit takes a Module, got function"),
        ({"optimizer": 0.1}, TypeError, "optimizer must be an Optimizer, got 0.1"),
        ({"optimizer": SGD([Tensor([1.0])])}, ValueError, "none of the model's parameters"),
        ({"epochs": -1}, ValueError, "epochs must be an int, at least 0, got -1"),
        ({"epochs": 2.5}, ValueError, "epochs must be an int, at least 0, got 2.5"),
        ({"metrics": ["accuracy"]}, TypeError, "metrics must be Metrics, got 'accuracy'; pass for example Accuracy"),
        ({"metrics": [R2(), R2()]}, ValueError, "a metric is called 'r2', as another number is"),
        ({"callbacks": [print]}, TypeError, "callbacks must be Callbacks"),
        ({"metrics": Accuracy}, TypeError, "metrics must be Metrics, got <class"),
        ({"metrics": [NamedR2("val_loss")]}, ValueError, "a metric is called 'val_loss'"),
        ({"metrics": [NamedR2("lr")]}, ValueError, "a metric is called 'lr'"),
        ({"callbacks": [TWICE, TWICE]}, ValueError, "one of the callbacks is given twice"),
        ({"loss": "mse"}, TypeError, "loss must be a function of prediction and targets, as MSELoss.. is, got 'mse'"),
        ({"loss": MSELoss}, TypeError, "loss must be a function"),
        ({"clip": "1"}, TypeError, "clip must be a number or a function of the parameters, got '1'"),
        ({"data": [np.ones((3, 1)), np.ones((3, 1))]}, TypeError, "a tuple .inputs, ..., targets., got a list of 2"),
        ({"data": {"x": np.ones((3, 1))}}, TypeError, "a tuple .inputs, ..., targets., got a dict of 1"),
        ({"validation": (np.ones((3, 1)),)}, TypeError, "a tuple .inputs, ..., targets., got a tuple of 1"),
        ({"validation": 1.5}, ValueError, "between 0 and 1, got 1.5"),
        ({"validation": 0.001}, ValueError, "20 examples to learn from and 0 to validate are too few"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"clip": -1.0}, ValueError, "clip must be above 0, got -1.0"),
        ({"schedule": 0.1}, TypeError, "schedule must be a function of the step, .*, got 0.1"),
        ({"data": np.ones((3, 1))}, TypeError, "a tuple .inputs, ..., targets., got one array"),
        ({"data": iter([(1, 2)])}, TypeError, "an iterator ends with the first"),
        ({"data": (np.ones((3, 1)), np.ones(2))}, ValueError, "arrays of one length, got 3, 2"),
        ({"data": (np.ones((3, 1)),)}, TypeError, "data must be a tuple .inputs, ..., targets., got a tuple of 1"),
        ({"loss": lambda p, t: 1.0}, TypeError, "the loss must be a Tensor or a Value"),
        ({"loss": lambda p, t: p - t}, ad.SeedError, "seed"),
    ],
)
def test_what_does_not_fit_is_refused_with_words_and_nothing_is_changed(changes, error, words):
    model, data = line()
    optimizer = SGD(model.parameters(), lr=0.1)
    before = state(model)
    arguments = {"model": model, "data": data, "loss": MSELoss(), "optimizer": optimizer, "seed": 0} | changes
    with pytest.raises(error, match=words):
        fit(**arguments)
    assert state(model) == before
    assert optimizer.lr == 0.1
    assert model.training


def test_data_without_a_batch_are_refused():
    model, (x, y) = line()
    once = iter([(x, y)])
    dropping = DataLoader(TensorDataset(x, y), batch_size=64, drop_last=True)
    for data, validation in (
        ((x[:0], y[:0]), None),
        (dropping, None),
        ((x, y), dropping),
        (type("Once", (), {"__iter__": lambda self: once})(), None),
    ):
        with pytest.raises(ValueError, match="the data gave no batch in this epoch"):
            fit(model, data, MSELoss(), SGD(model.parameters()), epochs=2, validation=validation)


def test_epochs_are_counted_on_in_a_history_that_is_given():
    model, data = line()
    notes = Notes()
    history = fit(model, data, MSELoss(), SGD(model.parameters(), lr=0.1), epochs=2, seed=0)
    same = fit(
        model, data, MSELoss(), SGD(model.parameters(), lr=0.1), epochs=3, seed=0, history=history, callbacks=notes
    )
    assert same is history
    assert history.epochs == 5
    assert [call[1] for call in notes.calls if call[0] == "on_epoch_end"] == [3, 4, 5]


def test_a_history_that_is_given_survives_an_exception():
    model, data = line()
    history = History()
    fail = LambdaCallback(on_epoch_begin=lambda epoch, logs: 1 / (epoch - 3))
    with pytest.raises(ZeroDivisionError):
        fit(model, data, MSELoss(), SGD(model.parameters()), epochs=9, seed=0, history=history, callbacks=fail)
    assert history.epochs == 2


def test_options_that_would_have_no_effect_are_refused():
    model, data = line()
    loader = DataLoader(TensorDataset(*data), batch_size=5)
    optimizer = SGD(model.parameters())
    for options, words in [
        ({"seed": 1}, "seed has no effect on data that come in batches"),
        ({"batch_size": 1}, "batch_size has no effect on data that come in batches"),
        ({"validation": 0.5}, "needs data that are arrays or a dataset"),
        ({"schedule": attach(SGD([Tensor([1.0])]), schedules.constant(0.1))}, "attached to another optimizer"),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            fit(model, loader, MSELoss(), optimizer, **options)
    plateau = ReduceLROnPlateau(optimizer, mode="max")
    with pytest.raises(ValueError, match="its mode must be 'min'"):
        fit(model, loader, MSELoss(), optimizer, schedule=plateau)


def test_evaluate_refuses_what_fit_refuses():
    model, data = line()
    for arguments, words in (
        ((3, data, MSELoss()), "evaluate takes a Module, got int"),
        ((model, data, "mse"), "loss must be a function of prediction and targets, as MSELoss.. is, got 'mse'"),
        ((model, data, MSELoss(reduction="none")), "the loss must be one number, got Tensor"),
        ((model, data, lambda p, t: None), "the loss must be one number, got None"),
    ):
        with pytest.raises(TypeError, match=words):
            evaluate(*arguments)


# ---- what is seen and kept ------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_is_shown_in_a_terminal_and_nothing_elsewhere(monkeypatch):
    for stream, verbose, shown in [
        (io.StringIO(), None, False),
        (Terminal(), None, True),
        (Terminal(), False, False),
        (io.StringIO(), True, True),
    ]:
        monkeypatch.setattr(sys, "stderr", stream)
        model, data = line()
        fit(model, data, MSELoss(), SGD(model.parameters()), epochs=3, batch_size=5, verbose=verbose, seed=0)
        text = stream.getvalue()
        assert bool(text) == shown
        if shown:
            assert "epoch 3/3" in text
            assert "12/12" in text


def test_the_bar_is_shown_in_a_notebook_too_and_without_any_error_stream_there_is_none(monkeypatch):
    stream, model, data = io.StringIO(), *line()
    monkeypatch.setattr(sys, "stderr", stream)
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    fit(model, data, MSELoss(), SGD(model.parameters()), epochs=2, validation=data, seed=0)
    assert "epoch 2/2" in stream.getvalue()
    assert "val_loss=" in stream.getvalue()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    monkeypatch.setattr(sys, "stderr", None)
    assert fit(model, data, MSELoss(), SGD(model.parameters()), seed=0).epochs == 1


def test_who_watches_is_told_why_training_ended(monkeypatch):
    stream, (model, data) = Terminal(), line()
    monkeypatch.setattr(sys, "stderr", stream)
    fit(model, data, MSELoss(), SGD(model.parameters(), lr=0.0), epochs=9, callbacks=EarlyStopping("loss"), seed=0)
    assert "stopped: loss was best in epoch" in stream.getvalue()


def test_a_loader_that_does_not_know_its_length_will_do():
    model, data = line()

    class Stream:
        def __iter__(self):
            yield data

        def __len__(self):
            raise TypeError("endless")

    assert fit(model, Stream(), MSELoss(), SGD(model.parameters()), epochs=2, verbose=False).epochs == 2


def test_the_history_can_be_written_as_a_table_and_printed_in_a_line(tmp_path):
    history = History()
    history.append({"loss": 0.1, "confusion_matrix": np.eye(2, dtype=int)})
    history.append({"loss": 1 / 3, "confusion_matrix": np.zeros((2, 2), int)})
    history.to_csv(tmp_path / "history.csv")
    rows = list(csv.reader((tmp_path / "history.csv").read_text().splitlines()))
    assert rows[0] == ["epoch", "loss", "confusion_matrix"]
    assert rows[1] == ["1", "0.1", "[[1, 0], [0, 1]]"]
    assert float(rows[2][1]) == 1 / 3
    assert repr(History()) == "History(0 epochs)"
    assert repr(history).startswith("History(2 epochs: loss 0.3333, confusion_matrix array(")
    assert len(repr(history).splitlines()[0]) < 80


def test_iris_is_learned_with_all_of_it_together():
    measurements, labels, _ = load_iris()
    x = standardize(measurements)[0]
    model = Sequential(Linear(4, 16, rng=0), ReLU(), Linear(16, 3, rng=1))
    optimizer = Adam(model.parameters(), lr=0.01)
    history = fit(
        model, (x, labels), CrossEntropyLoss(), optimizer, epochs=40, validation=0.2, batch_size=16,
        metrics=[Accuracy(), ConfusionMatrix(3)], schedule=schedules.cosine(0.01, 300), clip=5.0, seed=0,
    )  # fmt: skip
    assert history["val_accuracy"][-1] >= 0.9
    assert history["val_confusion_matrix"][-1].sum() == 30
    assert list(history) == [
        "loss",
        "accuracy",
        "confusion_matrix",
        "val_loss",
        "val_accuracy",
        "val_confusion_matrix",
        "lr",
    ]


def test_an_empty_training_has_an_empty_history():
    model, data = line()
    assert fit(model, data, MSELoss(), SGD(model.parameters()), epochs=0, seed=0) == {}


def test_binary_labels_with_a_threshold_are_counted_in_training_and_validation():
    x, y = MOONS
    model = Sequential(Linear(2, 8, rng=0), Tanh(), Linear(8, 1, rng=1))
    history = fit(
        model, (x, y.reshape(-1, 1).astype(float)), BCEWithLogitsLoss(), Adam(model.parameters(), lr=0.05), epochs=100,
        metrics=Accuracy(threshold=0.0), seed=0,
    )  # fmt: skip
    assert history["accuracy"][-1] > 0.95
    assert clip_grad_norm_(model.parameters(), 1e9) < 1.0  # the gradients of the last step are still there
