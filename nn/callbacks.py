"""Callbacks: what is done besides learning while ``fit`` trains, at the end of an epoch or around a step.

The names of the hooks, and of what is logged, are those of Keras. Epochs and batches count from 1.
"""

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autodiff import AnomalyError, Node, detect_anomaly

from .module import Module
from .saving import save

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "Run",
    "TerminateOnNaN",
]


class History(dict[str, list[Any]]):
    """What ``fit`` logged: for every name a list with one entry an epoch.

    ``loss``, then every metric by its name; the same with ``val_`` before it for the validation data; and ``lr``, the
    rate of the last step, if there was a schedule. An epoch that was not finished, with its validation, is not in it.

    Args:
        logged: to begin with, a sequence for every name, as in the file of a ``ModelCheckpoint``.

    Attributes:
        stopped: why training ended before its last epoch, a sentence; "" if it did not.

    >>> history = History()
    >>> history.append({"loss": 0.5, "val_loss": 0.75})
    >>> history["val_loss"], history
    ([0.75], History(1 epoch: loss 0.5, val_loss 0.75))
    """

    stopped: str = ""

    def __init__(self, logged: Mapping[str, Any] | None = None) -> None:
        lists = {name: x.tolist() if isinstance(x, np.ndarray) else list(x) for name, x in (logged or {}).items()}
        super().__init__(lists)

    @property
    def epochs(self) -> int:
        """How many epochs are in it."""
        return max(map(len, self.values()), default=0)

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"{name!r} was not logged; there are {', '.join(self)}")

    def append(self, logs: Mapping[str, Any]) -> None:
        """Enter another epoch. What was not logged in an epoch is nan there, so that all lists have the same length."""
        before = self.epochs
        for name in {**self, **logs}:
            self.setdefault(name, [math.nan] * before).append(logs.get(name, math.nan))

    def to_csv(self, path: str | Path) -> None:
        """Write a table with a line an epoch; numbers with all their digits, an array as a list in brackets."""
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["epoch", *self])
            for i in range(self.epochs):
                table.writerow([i + 1, *(_cell(values[i]) for values in self.values())])

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {_short(values[-1])}" for name, values in self.items() if values)
        plural = "" if self.epochs == 1 else "s"
        return f"History({self.epochs} epoch{plural}{': ' if last else ''}{last})"


def _cell(value: Any) -> Any:
    return json.dumps(value.tolist()) if isinstance(value, np.ndarray) else value


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value!r}"


@dataclass
class Run:
    """A training under way, as its callbacks see it: ``callback.run``.

    >>> class StopAt(Callback):
    ...     def on_train_batch_end(self, batch, logs):
    ...         if self.run.step == 1000:
    ...             self.run.stop("after 1,000 steps")
    """

    model: Module
    loss: Callable[[Any, Any], Any]
    optimizer: Any
    loader: Any
    """Deals out the batches."""
    schedule: Any
    """Sets the rates, or None."""
    epochs: int
    """How many there will be."""
    history: History = field(default_factory=History)
    epoch: int = 0
    """The epoch under way, from 1."""
    step: int = 0
    """The step of the optimizer under way, from 1; it goes on over the epochs."""
    batch: tuple[Any, ...] = ()
    """Inputs and targets of the step under way."""
    logs: dict[str, Any] = field(default_factory=dict)
    """What was logged in the last epoch that is finished."""
    stopped: str = ""
    """Why the training is to end; "" while it is to go on."""

    def __post_init__(self) -> None:
        """Find the parameters that are not stepped: their gradients have to be cleared as well."""
        stepped = set(self.optimizer.parameters)
        self.others = [p for p in self.model.parameters() if p not in stepped]

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the training: after this epoch if it is over, else at once; if no step was made yet, without one."""
        self.stopped = self.stopped or reason

    def compute(self) -> tuple[Any, Any]:
        """Compute the prediction for the batch under way, its loss and the gradients; returns prediction and loss."""
        *inputs, target = self.batch
        self.optimizer.zero_grad()
        for p in self.others:
            p.zero_grad()
        prediction = self.model(*inputs)
        loss = self.loss(prediction, target)
        if not isinstance(loss, Node):
            raise TypeError(f"the loss must be a Tensor or a Value computed from the prediction, got {loss!r}")
        loss.backward(keep_grads=False)
        return prediction, loss


class Callback:
    """The base of all callbacks: every hook does nothing until a subclass defines it.

    ``logs`` are, after an epoch, what goes into the history; around a step, ``{"loss": loss of the batch}``. ``run``
    has everything else: the model, the optimizer, the history so far, and ``stop(reason)``.
    Raises TypeError, where a subclass is defined, for a method whose name begins with ``on_`` and is no hook.

    >>> class Halve(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         self.run.optimizer.lr /= 2
    """

    run: Run
    """Set by ``fit`` before ``on_train_begin``."""

    def __init_subclass__(cls) -> None:
        """Refuse a misspelt hook."""
        _check_hooks(cls)

    @property
    def model(self) -> Module:
        """The module that is trained."""
        return self.run.model

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Before the first epoch; ``logs`` are empty."""

    def on_train_end(self, logs: dict[str, Any]) -> None:
        """After the last epoch, however the training ends; ``logs`` are those of the last epoch finished."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        """Before the first batch of an epoch; ``logs`` are empty."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """After the validation; ``logs`` go into the history, and may still be added to."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any]) -> None:
        """Before the prediction for a batch."""

    def on_before_optimizer_step(self, batch: int, logs: dict[str, Any]) -> None:
        """When the gradients are there, clipped; if the training is stopped here the step is not made."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """After the step; the gradients are still there."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


def _check_hooks(cls: type) -> None:
    """Raise TypeError for a method that looks like a hook and is none: it would never be called."""
    if unknown := [name for name in vars(cls) if name.startswith("on_") and name not in HOOKS]:
        raise TypeError(f"{cls.__name__}: there is no hook {', '.join(unknown)}; the hooks are {', '.join(HOOKS)}")


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        hooks: functions by the name of the hook, with the arguments that it has.

    Raises TypeError for a hook that does not exist.

    >>> seen = []
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    """

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        if unknown := hooks.keys() - set(HOOKS):
            raise TypeError(f"there is no hook {', '.join(sorted(unknown))}; the hooks are {', '.join(HOOKS)}")
        vars(self).update(hooks)


# ---- the best epoch ------------------------------------------------------------------------------------------------


class _Monitor(Callback):
    """Watches a number of the history and knows whether it is the best so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        if min_delta < 0.0:
            raise ValueError(f"min_delta must be at least 0, got {min_delta}")
        if mode == "auto":
            plain = monitor.removeprefix("val_")
            greater = plain in ("precision", "recall", "f1", "r2") or plain.endswith("accuracy")
            if not greater and not plain.endswith("loss"):
                raise ValueError(f"is more of {monitor!r} better or worse? Pass mode='max' or mode='min'")
            mode = "max" if greater else "min"
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self.forget()

    def forget(self) -> None:
        """Let the next epoch be the best."""
        self.best = math.inf if self.mode == "min" else -math.inf
        self.best_epoch = 0

    def recall(self) -> None:
        """Take the best of the history that the training goes on with for the best so far."""
        for epoch, value in enumerate(self.run.history.get(self.monitor, []), start=1):
            self.is_best(epoch, {self.monitor: value})

    def is_best(self, epoch: int, logs: dict[str, Any]) -> bool:
        """Whether this epoch is better than the best before, which it then replaces; nan never is."""
        if self.monitor not in logs:
            unvalidated = self.monitor.startswith("val_") and "val_loss" not in logs
            hint = "; pass validation= to fit" if unvalidated else ""
            raise ValueError(f"there is no {self.monitor!r} among what was logged: {', '.join(logs)}{hint}")
        value = logs[self.monitor]
        if np.size(value) != 1:
            raise ValueError(f"{self.monitor!r} is not one number but {np.size(value)}, so none is best; average it")
        gain = self.best - value if self.mode == "min" else value - self.best
        if better := gain > self.min_delta:
            self.best, self.best_epoch = value, epoch
        return bool(better)


class EarlyStopping(_Monitor):
    """End the training when a number has not become better for some epochs.

    Args:
        monitor: a name in the history.
        min_delta: how much better counts as better.
        patience: after so many epochs in a row without progress the training ends; 0 counts as 1, as in Keras.
        mode: "min" if less is better, "max" if more is; "auto" knows losses and the metrics of ``nn.metrics``.
        restore_best_weights: at the end put the parameters and buffers of the best epoch back, if it was one of this
            training: those of a history that is continued are not known.

    Attributes:
        best, best_epoch: the best value and its epoch.

    Raises ValueError for an option out of its range, or when ``monitor`` is not logged.

    >>> EarlyStopping("val_loss", patience=3, restore_best_weights=True).mode
    'min'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if patience < 0:
            raise ValueError(f"patience must be at least 0, got {patience}")
        self.patience, self.restore_best_weights = patience, restore_best_weights

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Forget an earlier training, but not one whose history is continued."""
        self.forget()
        self.recall()
        self._weights: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Stop if there was no progress for long enough."""
        if self.is_best(epoch, logs):
            self._weights = self.model.state_dict() if self.restore_best_weights else {}
        elif epoch - self.best_epoch >= max(self.patience, 1):
            best = f"best in epoch {self.best_epoch}, at {_short(self.best)}" if self.best_epoch else "never a number"
            self.run.stop(f"{self.monitor} was {best}")

    def on_train_end(self, logs: dict[str, Any]) -> None:
        """Put the best weights back."""
        if self._weights:
            self.model.load_state_dict(self._weights)
        self._weights = {}


class ModelCheckpoint(_Monitor):
    """Save the model, and what it takes to go on, after every epoch or whenever it is the best so far.

    Args:
        filepath: of the safetensors file, see ``nn.save``; its folder is made if need be. It may have fields, as in
            ``"{epoch:03d}-{val_loss:.3f}"`` for one file an epoch; else each replaces the one before, which stays whole
            until the new one is.
        monitor, mode: as for ``EarlyStopping``; used with save_best_only.
        save_best_only: save only if ``monitor`` is better than ever before, also in an earlier training with this
            callback, or in the history that is continued.
        save_weights_only: the model alone, as PyTorch reads it; else with the optimizer, the schedule, the position in
            the data and the history, so that training can go on.

    Attributes:
        saved: the path of the last file written, or None.

    Raises ValueError for a field that is not logged, or what ``nn.save`` raises.

    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> from nn import SGD, Linear, MSELoss, fit, load
    >>> model, data = Linear(1, 1, rng=0), (np.ones((4, 1)), np.zeros((4, 1)))
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> with TemporaryDirectory() as folder:
    ...     checkpoint = ModelCheckpoint(f"{folder}/last.safetensors")
    ...     _ = fit(model, data, MSELoss(), optimizer, epochs=3, callbacks=checkpoint)
    ...     saved = load(checkpoint.saved, model, optimizer=optimizer, strict=False)
    >>> fit(model, data, MSELoss(), optimizer, epochs=2, history=History(saved["history"])).epochs
    5
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        mode: str = "auto",
        save_best_only: bool = False,
        save_weights_only: bool = False,
    ) -> None:
        super().__init__(monitor, "min" if mode == "auto" and not save_best_only else mode)
        self.filepath, self.save_best_only, self.save_weights_only = str(filepath), save_best_only, save_weights_only
        self.saved: Path | None = None

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Look at the history that is continued."""
        self.recall()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Save."""
        if self.save_best_only and not self.is_best(epoch, logs):
            return
        try:
            path = Path(self.filepath.format(epoch=epoch, **logs))
        except (KeyError, IndexError, ValueError) as error:
            names = ", ".join(["epoch", *logs])
            raise ValueError(f"{self.filepath!r}: its fields cannot be filled: {error}; there are {names}") from None
        run = self.run
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            save(path, run.model)
        else:
            history = History(run.history)
            history.append(logs)
            # As arrays, because a file takes those however long they are
            logged = {name: np.array(x) if {*map(type, x)} == {float} else x for name, x in history.items()}
            loader = run.loader if hasattr(run.loader, "state_dict") else None
            parts = {"optimizer": run.optimizer, "schedule": run.schedule, "loader": loader}
            save(path, run.model, **parts, history=logged)
        self.saved = path


# ---- trouble -------------------------------------------------------------------------------------------------------


class TerminateOnNaN(Callback):
    """End the training when a loss or a gradient becomes nan or infinite, and say which operation did it first.

    The step is not made: the parameters are those that gave the bad numbers. (The running statistics of a batch norm
    have taken the batch in.) ``history.stopped`` names the operation, with file and line, as ``detect_anomaly`` finds
    it when the batch is computed once more.

    >>> import numpy as np
    >>> from nn import SGD, Linear, MSELoss, fit
    >>> model = Linear(1, 1, rng=0)
    >>> data = (np.zeros((3, 1)), np.array([[1.0], [np.nan], [2.0]]))
    >>> fit(model, data, MSELoss(), SGD(model.parameters()), callbacks=TerminateOnNaN()).stopped
    'nan or inf in step 1, batch 1 of epoch 1: already in the targets of the batch'
    """

    def on_before_optimizer_step(self, batch: int, logs: dict[str, Any]) -> None:
        """Look at the loss and at every gradient."""
        run = self.run
        gradients = (p.grad for p in run.optimizer.parameters if p.grad is not None)
        if math.isfinite(logs["loss"]) and all(map(_is_finite, gradients)):
            return
        where = f"nan or inf in step {run.step}, batch {batch} of epoch {run.epoch}"
        given = [what for what, x in zip(_names(run.batch), run.batch, strict=True) if not _is_finite(x)]
        run.stop(f"{where}: {f'already in the {given[0]} of the batch' if given else self._first_operation()}")

    def _first_operation(self) -> str:
        state = self.model.state_dict()  # a batch norm is not to take the batch in twice
        try:
            with detect_anomaly(), np.errstate(all="ignore"):  # NumPy has warned the first time
                self.run.compute()
        except AnomalyError as error:
            return " ".join("; ".join([str(error), *getattr(error, "__notes__", [])]).split())
        finally:
            self.model.load_state_dict(state)
        return "it did not come again when the batch was computed once more: does clip make it, or something random?"


def _names(batch: tuple[Any, ...]) -> list[str]:
    return [*("inputs" for _ in batch[1:]), "targets"]


def _is_finite(x: Any) -> bool:
    """Whether numbers are all finite. Their sum tells it in one pass without a temporary, unless it overflows."""
    if isinstance(x, (tuple, list, dict)):
        return all(map(_is_finite, x.values() if isinstance(x, dict) else x))
    x = np.asarray(x.data if isinstance(x, Node) else x)
    if x.dtype.kind not in "fc":
        return True
    with np.errstate(all="ignore"):
        return bool(np.isfinite(x.sum()) or np.isfinite(x).all())


# ---- on disk -------------------------------------------------------------------------------------------------------


class CSVLogger(Callback):
    """Write every epoch into a table as soon as it is finished.

    Args:
        filename: of the CSV file, with a head line ``epoch,loss,...``. The columns are those of the first epoch: what a
            later one has more is left out, and what it has not is nan.
        append: add to a file that exists, if it has the same columns.

    Raises OSError if the file cannot be written, ValueError if the one to be continued has other columns.

    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> from nn import SGD, Linear, MSELoss, fit
    >>> model, data = Linear(1, 1, rng=0), (np.ones((4, 1)), np.zeros((4, 1)))
    >>> with TemporaryDirectory() as folder:
    ...     logger = CSVLogger(f"{folder}/training.csv")
    ...     _ = fit(model, data, MSELoss(), SGD(model.parameters(), lr=0.0), epochs=2, callbacks=logger)
    ...     lines = logger.path.read_text().splitlines()
    >>> lines[0], len(lines)
    ('epoch,loss', 3)
    """

    def __init__(self, filename: str | Path, append: bool = False) -> None:
        self.path, self.append = Path(filename), append

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Begin a new file, unless the old one is continued."""
        self._columns: list[str] = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not (self.append and self.path.exists()):
            self.path.write_text("", encoding="utf-8")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Write a line, and a head before the first."""
        with self.path.open("a+", encoding="utf-8", newline="") as file:
            if not self._columns:
                self._columns = ["epoch", *logs]
                file.seek(0)
                head = next(csv.reader(file), [])
                if not head:
                    csv.writer(file).writerow(self._columns)
                elif head != self._columns:
                    names = f"{', '.join(head)}, not {', '.join(self._columns)}"
                    raise ValueError(f"{self.path} has the columns {names}; pass append=False or another file")
            row = {"epoch": epoch, **logs}
            csv.writer(file).writerow([_cell(row.get(name, math.nan)) for name in self._columns])
