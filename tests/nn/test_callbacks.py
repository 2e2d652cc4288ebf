"""Callbacks: stopping early, saving, noticing nan, writing tables."""

from __future__ import annotations

import copy
import csv
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import autodiff as ad
from nn import (
    SGD,
    Adam,
    BatchNorm1d,
    Callback,
    CSVLogger,
    DataLoader,
    EarlyStopping,
    GradientFlow,
    History,
    LambdaCallback,
    Linear,
    ModelCheckpoint,
    Module,
    MSELoss,
    ReLU,
    Sequential,
    TensorBoardLogger,
    TensorDataset,
    TerminateOnNaN,
    attach,
    fit,
    load,
    schedules,
)


class Scripted(Callback):
    """Pretends that the validation losses are these, and moves the only weight to the number of the epoch."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs):
        logs[self.name] = self.values[epoch - 1]
        self.model.weight.data = np.full((1, 1), float(epoch))


def train(*callbacks, epochs=10, model=None, **options):
    model = model or Linear(1, 1, bias=False, rng=0)
    x = np.ones((4, 1))
    optimizer = options.pop("optimizer", None) or SGD(model.parameters(), lr=0.0)
    return model, fit(model, (x, x), MSELoss(), optimizer, epochs=epochs, callbacks=callbacks, seed=0, **options)


# ---- early stopping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "stops", "best"),
    [
        ([3, 2, 1, 2, 2, 2, 2, 2, 2, 2], 3, 0.0, 6, 3),
        ([3, 2, 1, 2, 2, 0, 2, 2, 2, 2], 3, 0.0, 9, 6),
        ([3, 2, 1, 2, 2, 2, 2, 2, 2, 2], 0, 0.0, 4, 3),
        ([3, 2, 1, 2, 2, 2, 2, 2, 2, 2], 1, 0.0, 4, 3),
        ([3, 3, 3, 3, 3, 3, 3, 3, 3, 3], 2, 0.0, 3, 1),
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 1, 0.0, None, 10),
        ([9.0, 8.9, 8.8, 8.4, 8, 7, 6, 5, 4, 3], 3, 0.5, None, 10),
        ([9.5, 9.4, 9.3, 9.2, 9.1, 7, 6, 5, 4, 3], 3, 0.5, 4, 1),
        ([math.nan, 1, math.nan, math.nan, 1, 1, 1, 1, 1, 1], 2, 0.0, 4, 2),
        ([math.nan] * 10, 2, 0.0, 2, 0),
    ],
)
def test_training_stops_after_so_many_epochs_without_progress(losses, patience, min_delta, stops, best):
    early = EarlyStopping(patience=patience, min_delta=min_delta)
    _, history = train(Scripted(losses), early)
    assert history.epochs == (stops or 10)
    assert early.best_epoch == best
    assert bool(history.stopped) == (stops is not None)
    if stops:
        was = f"best in epoch {best}, at {losses[best - 1]}" if best else "never a number"
        assert history.stopped == f"val_loss was {was}"


def test_the_weights_of_the_best_epoch_are_put_back_if_asked_for():
    losses = [3.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    for restore, expected in ((True, 2.0), (False, 4.0)):
        model, history = train(Scripted(losses), EarlyStopping(patience=2, restore_best_weights=restore), epochs=6)
        assert history.epochs == 4
        assert model.weight.data.item() == expected
    model, _ = train(Scripted([2.0, 1.0, 3.0]), EarlyStopping(patience=9, restore_best_weights=True), epochs=3)
    assert model.weight.data.item() == 2.0  # also when training was not stopped early


def test_more_is_better_for_accuracies_and_what_is_unknown_has_to_be_said():
    early = EarlyStopping("val_accuracy", patience=2)
    _, history = train(Scripted([0.5, 0.9, 0.7, 0.8, 0.9], "val_accuracy"), early)
    assert (history.epochs, early.best, early.best_epoch) == (4, 0.9, 2)
    assert [EarlyStopping(name).mode for name in ("loss", "val_loss", "r2", "val_f1", "top_5_accuracy")] == [
        "min", "min", "max", "max", "max",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="is more of 'speed' better or worse"):
        EarlyStopping("speed")
    _, history = train(Scripted([1.0, 2.0, 1.0, 1.0], "speed"), EarlyStopping("speed", patience=2, mode="max"))
    assert history.epochs == 4


def test_a_second_training_with_the_same_callback_begins_anew():
    early = EarlyStopping(patience=2, restore_best_weights=True)
    train(Scripted([1.0, 2.0, 2.0]), early)
    model, history = train(Scripted([5.0, 4.0, 5.0, 5.0]), early)
    assert history.epochs == 4
    assert model.weight.data.item() == 2.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EarlyStopping(mode="least"), "mode must be 'auto', 'min' or 'max', got 'least'"),
        (lambda: EarlyStopping(patience=-1), "patience must be at least 0, got -1"),
        (lambda: EarlyStopping(min_delta=-0.1), "min_delta must be at least 0, got -0.1"),
        (lambda: train(EarlyStopping()), "no 'val_loss' among what was logged: loss; pass validation= to fit"),
        (lambda: train(EarlyStopping("accuracy")), "no 'accuracy' among what was logged: loss$"),
        (
            lambda: train(ModelCheckpoint("{nothing}.safetensors")),
            "its fields cannot be filled: 'nothing'; there are epoch, loss",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_hook_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="there is no hook on_epoch; the hooks are on_train_begin, on_train_end"):
        LambdaCallback(on_epoch=print)


def test_several_numbers_have_no_best():
    with pytest.raises(ValueError, match="'val_loss' is not one number but 2, so none is best; average it"):
        train(Scripted([np.zeros(2)]), EarlyStopping(), epochs=1)


# ---- checkpoints ----------------------------------------------------------------------------------------------------


def test_every_epoch_is_saved_under_its_own_name_if_there_are_fields(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.1f}.safetensors")
    train(Scripted([3.0, 2.0]), checkpoint, epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01-3.0.safetensors", "02-2.0.safetensors"]
    assert checkpoint.saved == tmp_path / "02-2.0.safetensors"
    model = Linear(1, 1, bias=False, rng=1)
    load(tmp_path / "01-3.0.safetensors", model, strict=False)
    assert model.weight.data.item() == 1.0


def test_only_the_best_is_kept_if_asked_for(tmp_path):
    path = tmp_path / "best.safetensors"
    train(
        Scripted([3.0, 1.0, 2.0, math.nan]),
        ModelCheckpoint(path, save_best_only=True, save_weights_only=True),
        epochs=4,
    )
    model = Linear(1, 1, bias=False, rng=1)
    load(path, model)
    assert model.weight.data.item() == 2.0


def test_the_best_stays_the_best_when_training_goes_on(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "best.safetensors", save_best_only=True)
    _, history = train(Scripted([3.0, 1.0, 2.0]), checkpoint, epochs=3)
    train(Scripted([0, 0, 0, 5.0, 6.0]), checkpoint, epochs=2, history=history)
    assert History(load(checkpoint.saved)["history"])["val_loss"] == [3.0, 1.0]
    assert (checkpoint.best, checkpoint.best_epoch) == (1.0, 2)


def test_what_was_best_is_remembered_by_the_history_that_is_continued_in_another_process(tmp_path):
    path = tmp_path / "new" / "best.safetensors"
    _, history = train(Scripted([3.0, 1.0, 2.0]), ModelCheckpoint(path, save_best_only=True), epochs=3)
    resumed = [ModelCheckpoint(path, save_best_only=True), EarlyStopping(patience=3, restore_best_weights=True)]
    model, history = train(Scripted([0, 0, 0, 5.0, 6.0, 0.5]), *resumed, epochs=9, history=History(history))
    assert history.stopped == "val_loss was best in epoch 2, at 1"
    assert history.epochs == 5
    assert resumed[0].saved is None
    assert History(load(path)["history"])["val_loss"] == [3.0, 1.0]
    assert model.weight.data.item() == 5.0  # the weights of epoch 2 are not known here
    _, history = train(Scripted([0] * 5 + [0.5]), ModelCheckpoint(path, save_best_only=True), epochs=1, history=history)
    assert History(load(path)["history"])["val_loss"] == [3.0, 1.0, 2.0, 5.0, 6.0, 0.5]


def test_a_long_history_is_saved_and_an_odd_one_as_well(tmp_path):
    history = History({"loss": [0.1] * 50_000, "table": [np.eye(2)] * 3, "note": ["a", None, 1]})
    checkpoint = ModelCheckpoint(tmp_path / "last")
    run = SimpleNamespace(model=Linear(1, 1, rng=0), optimizer=None, schedule=None, loader=None, history=history)
    checkpoint.run = run
    checkpoint.on_epoch_end(50_001, {"loss": 0.2})
    saved = History(load(checkpoint.saved)["history"])
    assert saved["loss"] == [0.1] * 50_000 + [0.2]
    assert saved["note"][:3] == ["a", None, 1]
    np.testing.assert_array_equal(saved["table"][2], np.eye(2))


def test_a_history_names_what_was_logged_when_asked_for_something_else():
    with pytest.raises(KeyError, match="'acc' was not logged; there are loss, accuracy"):
        History({"loss": [1.0], "accuracy": [0.5]})["acc"]


def test_a_misspelt_hook_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match="Mine: there is no hook on_epoch_ends; the hooks are on_train_begin"):

        class Mine(Callback):
            def on_epoch_ends(self, epoch, logs):
                """Never called."""


def test_a_hint_is_only_given_where_it_helps():
    with pytest.raises(ValueError, match=r"no 'val_acc' among what was logged: loss, val_loss$"):
        train(EarlyStopping("val_acc", mode="max"), validation=(np.ones((2, 1)), np.ones((2, 1))))


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_ended(tmp_path):
    x = np.linspace(-1.0, 1.0, 30).reshape(-1, 1)

    def parts():
        model = Sequential(Linear(1, 5, rng=0), ReLU(), Linear(5, 1, rng=1))
        optimizer = Adam(model.parameters(), lr=0.5)
        loader = DataLoader(TensorDataset(x, x * x), batch_size=8, shuffle=True, rng=3)
        return model, optimizer, loader, attach(optimizer, schedules.exponential(0.1, 0.9))

    def run(model, optimizer, loader, schedule, epochs, **options):
        return fit(model, loader, MSELoss(), optimizer, epochs=epochs, schedule=schedule, **options)

    whole = parts()
    history = run(*whole, 6)
    path = tmp_path / "checkpoint.safetensors"
    run(*parts(), 3, callbacks=ModelCheckpoint(path))
    model, optimizer, loader, schedule = parts()
    saved = load(path, model, optimizer=optimizer, loader=loader, schedule=schedule)
    assert History(saved["history"]) == {name: values[:3] for name, values in history.items()}
    assert run(model, optimizer, loader, schedule, 3, history=History(saved["history"])) == history
    assert all(np.array_equal(p.data, q.data) for p, q in zip(model.parameters(), whole[0].parameters(), strict=True))


# ---- nan ------------------------------------------------------------------------------------------------------------


class Bad(Module):
    """Computes well until its third call in training, and then with something that it must not."""

    def __init__(self, spoil):
        self.inner, self.spoil, self.calls = Linear(1, 1, rng=0), spoil, 0

    def forward(self, x):
        self.calls += 1
        y = self.inner(x)
        return self.spoil(y) if self.calls >= 3 else y


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy tells of the invalid values as well
@pytest.mark.parametrize(
    ("spoil", "operation"),
    [
        (lambda y: ad.log(-ad.square(y) - 1.0), "log gave nan"),
        (lambda y: y / (y - y), "div gave"),
        (lambda y: ad.exp(1e3 + y), "exp gave inf"),
        (lambda y: ad.sqrt(y - y), "sqrt"),  # the loss is finite; the gradient is not
        (lambda y: y * 1e200, "mean_squared_error gave inf"),
    ],
)
def test_training_ends_at_the_first_nan_and_says_which_operation_made_it(spoil, operation):
    model = Bad(spoil)
    optimizer, before = SGD(model.parameters(), lr=0.1), []
    remember = LambdaCallback(on_train_batch_end=lambda *_: before.append(model.state_dict()))
    _, history = train(remember, TerminateOnNaN(), model=model, optimizer=optimizer, epochs=5)
    assert history.epochs == 2
    assert history.stopped.startswith("nan or inf in step 3, batch 1 of epoch 3: ")
    assert operation in history.stopped
    assert ".py:" in history.stopped
    assert all(np.array_equal(model.state_dict()[name], x) for name, x in before[-1].items())


def test_the_module_in_which_the_first_nan_was_is_told():
    model = Sequential(Linear(1, 1, rng=0), Linear(1, 1, rng=1), ReLU())
    model[1].weight.data = np.full((1, 1), 1e308)
    model[0].weight.data, model[0].bias.data = np.full((1, 1), 1e3), np.ones(1)
    with np.errstate(over="ignore"):
        _, history = train(TerminateOnNaN(), model=model)
    assert "linear gave" in history.stopped
    assert history.stopped.endswith("in module 1 of a Sequential: Linear")


def test_bad_data_are_told_from_bad_operations():
    x = np.ones((4, 1))
    bad = np.array([[1.0], [math.inf], [1.0], [1.0]])
    for data, words in (((bad, x), "already in the inputs"), ((x, bad), "already in the targets")):
        model = Linear(1, 1, rng=0)
        with np.errstate(invalid="ignore"):
            history = fit(model, data, MSELoss(), SGD(model.parameters()), callbacks=TerminateOnNaN(), seed=0)
        assert words in history.stopped


def test_a_nan_that_does_not_come_again_is_told_as_such():
    model = Bad(lambda y: y)
    values = iter([math.nan, 0.0])
    model.forward = lambda x: model.inner(x) + next(values)
    with np.errstate(invalid="ignore"):
        _, history = train(TerminateOnNaN(), model=model)
    assert "did not come again" in history.stopped


def test_what_is_nested_in_a_batch_is_looked_at_too():
    class Two(Module):
        def __init__(self):
            self.inner = Linear(1, 1, rng=0)

        def forward(self, pair):
            return self.inner(pair["x"]) + pair["more"][0].sum()

    for number, words in ((1.0, "mean_squared_error gave"), (math.nan, "already in the inputs")):
        more, model = np.full((1, 3), number), Two()
        data = Repeated(({"x": np.ones((4, 1)), "more": [more]}, np.full((4, 1), 1e200)))
        with np.errstate(over="ignore"):
            history = fit(model, data, MSELoss(), SGD(model.parameters()), callbacks=TerminateOnNaN())
        assert words in history.stopped
        assert "\n" not in history.stopped


class Repeated:
    """The same batch in every epoch."""

    def __init__(self, batch):
        self.batch = batch

    def __iter__(self):
        yield self.batch


def test_a_batch_norm_takes_the_bad_batch_in_once():
    model = Sequential(Linear(1, 2, rng=0), BatchNorm1d(2), Linear(2, 1, rng=1))
    targets = np.full((4, 1), 1e200)
    with np.errstate(over="ignore"):
        fit(model, (np.ones((4, 1)), targets), MSELoss(), SGD(model.parameters()), callbacks=TerminateOnNaN(), seed=0)
    assert model[1].num_batches_tracked == 1


def test_numpys_warnings_do_not_come_twice():
    model = Linear(1, 1, rng=0)
    data = np.ones((4, 1)), np.full((4, 1), 1e200)
    with pytest.warns(RuntimeWarning) as caught:  # what is counted is all of it
        fit(model, data, MSELoss(), SGD(model.parameters()), callbacks=TerminateOnNaN(), seed=0)
    assert len(caught) == 1


def test_large_finite_numbers_are_no_reason_to_stop():
    model = Linear(4, 1, rng=0)
    x = np.full((4, 4), 1e308)  # their sum is infinite, and so is that of the gradients, but no number is
    with np.errstate(over="ignore"):
        history = fit(
            model, (x, x[:, :1]), lambda p, t: (p[:1] * 1e-300).sum() * 1e300 - 0.0 * t[0, 0],
            SGD(model.parameters(), lr=0.0), callbacks=TerminateOnNaN(), seed=0,
        )  # fmt: skip
        assert model.weight.grad.sum() == math.inf
    assert np.isfinite(model.weight.grad).all()
    assert history.stopped == ""


# ---- tables ---------------------------------------------------------------------------------------------------------


def rows(path):
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


def test_every_epoch_is_in_the_table_as_soon_as_it_is_finished(tmp_path):
    path, seen = tmp_path / "log.csv", []
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(len(rows(path))))
    _, history = train(Scripted([1 / 3, 0.1, 2.0]), CSVLogger(path), look, epochs=3)
    assert seen == [2, 3, 4]
    assert rows(path)[0] == ["epoch", "loss", "val_loss"]
    assert [float(row[2]) for row in rows(path)[1:]] == [1 / 3, 0.1, 2.0]
    history.to_csv(tmp_path / "history.csv")
    assert rows(tmp_path / "history.csv") == rows(path)


def test_a_table_is_replaced_or_continued(tmp_path):
    path = tmp_path / "log.csv"
    for append, expected in ((False, 3), (True, 5), (False, 3)):
        train(CSVLogger(path, append=append), epochs=2)
        assert len(rows(path)) == expected
    with pytest.raises(ValueError, match="has the columns epoch, loss, not epoch, loss, val_loss"):
        train(Scripted([1.0]), CSVLogger(path, append=True), epochs=1)
    assert len(rows(path)) == 3
    path.write_text("")
    train(CSVLogger(path, append=True), epochs=1)
    assert rows(path)[0] == ["epoch", "loss"]
    train(CSVLogger(tmp_path / "new" / "folder" / "log.csv"), epochs=1)
    assert len(rows(tmp_path / "new" / "folder" / "log.csv")) == 2
    with pytest.raises(OSError, match=r"log\.csv"):
        train(CSVLogger(path / "log.csv"))  # below a file


def test_the_columns_of_a_table_are_those_of_the_first_epoch(tmp_path):
    path = tmp_path / "log.csv"
    change = {1: {"a": 1.0}, 2: {"b": 2.0}, 3: {"a": 3.0, "b": 3.0}}
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(change[epoch]))
    train(add, CSVLogger(path), epochs=3)
    assert rows(path)[0] == ["epoch", "loss", "a"]
    assert [row[2] for row in rows(path)[1:]] == ["1.0", "nan", "3.0"]


def test_callbacks_and_histories_can_be_copied_and_pickled_after_a_training(tmp_path):
    callbacks = [
        EarlyStopping("loss", restore_best_weights=True), ModelCheckpoint(tmp_path / "last"), TerminateOnNaN(),
        CSVLogger(tmp_path / "log.csv"), GradientFlow(), TensorBoardLogger(tmp_path / "runs"),
    ]  # fmt: skip
    _, history = train(*callbacks, epochs=2)
    again = pickle.loads(pickle.dumps((history, copy.deepcopy(callbacks))))  # noqa: S301  # our own bytes
    assert again[0] == history
    assert again[0].stopped == history.stopped
    assert [type(callback) for callback in again[1]] == [type(callback) for callback in callbacks]


def test_a_history_fills_what_was_not_logged_with_nan():
    history = History()
    for logs in ({"a": 1.0}, {"b": 2.0}, {"a": 3.0, "b": 4.0}):
        history.append(logs)
    np.testing.assert_array_equal(history["a"], [1.0, math.nan, 3.0])
    np.testing.assert_array_equal(history["b"], [math.nan, 2.0, 4.0])
    assert history.epochs == 3
