"""The training loop: batches, gradients, steps, validation, and a history of it all.

It is no more than this, which can be written by hand just as well (``loader`` is a DataLoader):

>>> import numpy as np
>>> from nn import SGD, CrossEntropyLoss, DataLoader, Linear, TensorDataset
>>> model, loss, loader = Linear(2, 2, rng=0), CrossEntropyLoss(), DataLoader(TensorDataset(np.eye(2), [0, 1]))
>>> optimizer = SGD(model.parameters(), lr=0.1)
>>> for epoch in range(3):
...     for x, y in loader:
...         optimizer.zero_grad()
...         loss(model(x), y).backward()
...         optimizer.step()
"""

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

from autodiff import Node, no_grad

from .callbacks import Callback, History, Run
from .data import DataLoader, TensorDataset, random_split
from .metrics import Metric
from .module import Module, modes_kept
from .optim import Optimizer, clip_grad_norm_
from .schedules import ReduceLROnPlateau, Scheduler, attach

__all__ = ["evaluate", "fit"]

BATCH_SIZE = 32  # of data that are not dealt out by a DataLoader; Keras's default


def fit(
    model: Module,
    data: Any,
    loss: Callable[[Any, Any], Any],
    optimizer: Optimizer,
    *,
    epochs: int = 1,
    validation: Any = None,
    metrics: Metric | Sequence[Metric] = (),
    callbacks: Callback | Sequence[Callback] = (),
    schedule: Any = None,
    clip: float | Callable[[list[Any]], Any] | None = None,
    batch_size: int | None = None,
    seed: int | np.random.Generator | None = None,
    history: History | None = None,
    verbose: bool | None = None,
) -> History:
    """Train a model.

    Args:
        model: a Module; it is called with the inputs of a batch. (An ``MLP`` of Values takes one example: put it into a
            Module whose ``forward`` goes through the batch.) It is in training mode while it learns, in evaluation mode
            while it is validated, and in the end in the modes it had before; what is to stay in evaluation mode, as a
            frozen batch norm, has to be switched back in ``on_epoch_begin``.
        data: a tuple of arrays (inputs, ..., targets), or a dataset, which has a length and examples by number, as a
            list of tuples has: they are dealt out in batches, in a new random order every epoch. Or a DataLoader, or
            anything else that gives batches (inputs, ..., targets) in every ``for`` loop over it.
        loss: a function of prediction and targets that returns a node with one element, as the losses of ``nn`` do.
        optimizer: steps the parameters it was made with.
        epochs: how often to go through the data.
        validation: data as above, on which loss and metrics are computed after every epoch; or a fraction, as 0.2, of
            the data, which is drawn at random and held out in this call. To call ``fit`` again, split once yourself,
            with ``random_split``.
        metrics: computed over every epoch, on the predictions that were made in training, and on the validation data.
        callbacks: see ``nn.callbacks``. Hooks are called in the order of this list.
        schedule: a function of the step, or one a parameter group, as ``nn.schedules`` has; or what ``attach``
            returned. Each batch is a step; ``lambda t: schedule(t // len(loader))`` counts epochs instead. A function
            begins with step 0 in every call; to go on with it in another, pass what ``attach`` returned to both. Or a
            ReduceLROnPlateau, which is told ``val_loss`` (without validation ``loss``) after every epoch.
        clip: the largest norm of all gradients together, or a function that is called with the list of parameters.
        batch_size: of data that do not come in batches; 32 by default.
        seed: a seed or a Generator for the order of the batches and for what is held out, of data that do not come in
            batches.
        history: of an earlier training, to go on with: its epochs are counted on, and the new ones added to it.
        verbose: whether to show a progress bar; by default in a terminal and in a notebook.

    Returns a History, a dict of lists. Its ``loss`` is the mean of the losses of the batches, as they were met, each
    counted by its examples; of a loss with ``reduction="sum"`` it is the sum. Ctrl-C ends the training after the step
    under way, and the history so far is returned; ``history.stopped`` says so.
    Raises TypeError or ValueError, before anything is trained, for arguments that do not fit, and when they come for
    batches that do not. If training ends with an exception, a history that was given has the epochs before it.

    >>> from nn import Accuracy, Adam, CrossEntropyLoss, Linear, ReLU, Sequential, toys
    >>> x, y = toys.moons(200, noise=0.1, rng=0)
    >>> model = Sequential(Linear(2, 16, rng=0), ReLU(), Linear(16, 2, rng=1))
    >>> optimizer = Adam(model.parameters(), lr=0.02)
    >>> history = fit(
    ...     model, (x, y), CrossEntropyLoss(), optimizer, epochs=40, validation=0.2, metrics=Accuracy(), seed=0
    ... )
    >>> list(history), history.epochs
    (['loss', 'accuracy', 'val_loss', 'val_accuracy'], 40)
    >>> history["val_accuracy"][-1] > 0.9
    True
    """
    _check(model, loss, optimizer, epochs)
    measures = _measures(metrics)
    called = _listed("callbacks", callbacks, Callback, "LambdaCallback makes one of functions")
    loader, held_out = _loaders(data, validation, batch_size, seed)
    clipped = _clipping(optimizer, clip)
    run = Run(model, loss, optimizer, loader, _schedule(optimizer, schedule), epochs)
    run.history = History() if history is None else history
    with modes_kept(model), _interruptible(run), _bar(loader, epochs, verbose) as bar, _begun(called, run):
        _Loop(run, called, measures, held_out, clipped, bar).run_all()
        if run.stopped and not bar.disable:
            bar.write(f"stopped: {run.stopped}", file=sys.stderr)
    return run.history


def evaluate(
    model: Module,
    data: Any,
    loss: Callable[[Any, Any], Any],
    metrics: Metric | Sequence[Metric] = (),
    *,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Compute loss and metrics on data, in evaluation mode and without a graph; nothing is learned.

    Args:
        model, data, loss, metrics, batch_size: as for ``fit``; the data are taken in their order. The metrics begin
            anew.

    Returns the numbers by name: ``loss``, as in a History, then the metrics. Raises what ``fit`` raises.

    >>> from nn import Accuracy, CrossEntropyLoss, Identity
    >>> logits, labels = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), np.array([0, 1, 1])
    >>> numbers = evaluate(Identity(), (logits, labels), CrossEntropyLoss(), Accuracy())
    >>> {name: round(x, 4) for name, x in numbers.items()}
    {'loss': 0.3778, 'accuracy': 0.6667}
    """
    _check_functions("evaluate", model, loss)
    measures, loader = _measures(metrics), _loader(data, batch_size)
    with modes_kept(model):
        return _evaluated(model, loader, loss, measures, lambda: None)


# ---- the loop -------------------------------------------------------------------------------------------------------


class _Abandoned(Exception):  # noqa: N818  # no error: how an unfinished epoch is left
    """The training was stopped in the middle of an epoch."""


@dataclass
class _Loop:
    run: Run
    callbacks: list[Callback]
    measures: list[Metric]
    held_out: Any
    clip: Callable[[], Any] | None
    bar: Any
    validated: dict[str, str] = field(default_factory=dict)
    """The last validation, as the bar shows it."""

    def run_all(self) -> None:
        """All epochs, or as many as there is time for."""
        run = self.run
        first = run.history.epochs + 1
        try:
            for epoch in range(first, first + run.epochs):
                run.epoch = epoch
                self.bar.set_description(f"epoch {epoch}/{first + run.epochs - 1}", refresh=False)
                logs = self.one_epoch()
                run.history.append(logs)
                run.logs.update(logs)
                if run.stopped:
                    break
        except _Abandoned:
            pass
        except KeyboardInterrupt:  # pressed twice, or in a thread or program with a handler of its own
            run.stop(f"interrupted in epoch {run.epoch}")
        run.history.stopped, run.batch = run.stopped, ()

    def one_epoch(self) -> dict[str, Any]:
        """Go through the data once; returns what is logged."""
        run, scheduled = self.run, isinstance(self.run.schedule, Scheduler)
        run.model.train()
        self.tell("on_epoch_begin", run.epoch, {})
        so_far, rate = _SoFar(run.loss, self.measures), None
        for number, batch in enumerate(_batches(run.loader), start=1):
            run.batch, run.step = _checked(batch), run.step + 1
            self.tell("on_train_batch_begin", number, {})
            self.go_on()
            prediction, logs = self.one_step(number)
            so_far.add(prediction, run.batch, logs["loss"])
            del prediction  # and with it the graph, before the next one is built
            if run.schedule is not None:
                rate = run.optimizer.lr
            if scheduled:
                run.schedule.step()
            self.tell("on_train_batch_end", number, logs)
            if self.bar.update():  # it was drawn anew: what is new to say comes with the next time
                self.bar.set_postfix(loss=f"{so_far.loss:.4g}", **self.validated, refresh=False)
            self.go_on()  # before the next batch is drawn, so that the loader knows which it is
        logs = so_far.logs()
        if self.held_out is not None:
            numbers = _evaluated(run.model, self.held_out, run.loss, self.measures, self.go_on)
            logs |= {f"val_{name}": value for name, value in numbers.items()}
            self.validated = {"val_loss": f"{logs['val_loss']:.4g}"}
        self.bar.set_postfix(loss=f"{so_far.loss:.4g}", **self.validated, refresh=False)
        if rate is not None:
            logs["lr"] = rate
        if isinstance(run.schedule, ReduceLROnPlateau):
            run.schedule.step(logs.get("val_loss", logs["loss"]))
        self.tell("on_epoch_end", run.epoch, logs)
        return logs

    def one_step(self, number: int) -> tuple[Any, dict[str, Any]]:
        """Let the optimizer make a step; returns the prediction before it, and what is logged."""
        run, logs = self.run, {}
        first: Any = None

        def closure() -> Any:  # most optimizers call it once; those that search along a line call it more often
            nonlocal first
            prediction, loss = run.compute()
            if self.clip is not None:
                self.clip()
            if first is None:
                first, logs["loss"] = prediction, loss.item()
                self.tell("on_before_optimizer_step", number, logs)
                self.go_on()
            return loss

        run.optimizer.step(closure)
        return first, logs

    def tell(self, hook: str, *arguments: Any) -> None:
        """Call a hook of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def go_on(self) -> None:
        """Leave the epoch if training was stopped."""
        if self.run.stopped:
            raise _Abandoned


class _SoFar:
    """The losses so far, added up or averaged over the examples, and the metrics."""

    def __init__(self, loss: Any, measures: list[Metric]) -> None:
        self.adds, self.measures = getattr(loss, "reduction", "mean") == "sum", measures
        self.total, self.examples = 0.0, 0
        for measure in measures:
            measure.reset()

    @property
    def loss(self) -> float:
        return self.total if self.adds else self.total / self.examples if self.examples else math.nan

    def add(self, prediction: Any, batch: tuple[Any, ...], loss: float) -> None:
        n = _examples(batch)
        self.total, self.examples = self.total + (loss if self.adds else n * loss), self.examples + n
        for measure in self.measures:
            measure.update(prediction.data if isinstance(prediction, Node) else prediction, batch[-1])

    def logs(self) -> dict[str, Any]:
        return {"loss": self.loss} | {measure.name: measure.compute() for measure in self.measures}


def _evaluated(
    model: Module, loader: Any, loss: Any, measures: list[Metric], go_on: Callable[[], None]
) -> dict[str, Any]:
    model.eval()
    so_far = _SoFar(loss, measures)
    with no_grad():
        for batch in _batches(loader):
            go_on()
            *inputs, target = batch = _checked(batch)
            prediction = model(*inputs)
            so_far.add(prediction, batch, _one_number(loss(prediction, target)))
    return so_far.logs()


def _batches(loader: Any) -> Iterator[Any]:
    """The batches of an epoch. A loader saved after the last batch of one has none left of it; then those of the next.

    Raises ValueError if there are none at all.
    """
    for _ in range(2):
        any_came = False
        for batch in loader:
            any_came = True
            yield batch
        if any_came:
            return
    raise ValueError(
        "the data gave no batch in this epoch: they are empty, drop_last left nothing, or they can be gone through "
        "only once; pass arrays, a dataset or a DataLoader"
    )


def _checked(batch: Any) -> tuple[Any, ...]:
    """The parts of a batch; those of another library, as PyTorch's, as arrays."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        got = f"{len(batch)} array" if isinstance(batch, (tuple, list)) else type(batch).__name__
        raise TypeError(f"a batch must be a tuple (inputs, ..., targets), got {got}")
    return tuple(
        np.asarray(x) if hasattr(x, "__array__") and not isinstance(x, (np.ndarray, Node)) else x for x in batch
    )


def _examples(part: Any) -> int:
    """How many examples a batch has: the length of the first array in it."""
    while isinstance(part, (tuple, list, dict)) and part and not isinstance(part, np.ndarray):
        inner = next(iter(part.values())) if isinstance(part, dict) else part[0]
        if np.ndim(getattr(inner, "data", inner)) == 0 and not isinstance(inner, (tuple, list, dict)):
            return len(part)  # a list of numbers
        part = inner
    return len(part)


def _one_number(loss: Any) -> float:
    x = loss.data if isinstance(loss, Node) else loss
    if not isinstance(x, (int, float, np.ndarray, np.number)) or np.size(x) != 1:
        raise TypeError(f"the loss must be one number, got {loss!r}; use reduction='mean', or .mean()")
    return float(np.asarray(x).item())


# ---- what fit is given -----------------------------------------------------------------------------------------------


def _check(model: Any, loss: Any, optimizer: Any, epochs: Any) -> None:
    _check_functions("fit", model, loss)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an Optimizer, got {optimizer!r}; make one, as SGD(model.parameters())")
    if set(optimizer.parameters).isdisjoint(model.parameters()):
        raise ValueError("the optimizer has none of the model's parameters; make it with model.parameters()")
    if not isinstance(epochs, (int, np.integer)) or epochs < 0:
        raise ValueError(f"epochs must be an int, at least 0, got {epochs!r}")


def _check_functions(name: str, model: Any, loss: Any) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"{name} takes a Module, got {type(model).__name__}; give it a class with forward()")
    if not callable(loss) or isinstance(loss, type):
        raise TypeError(f"loss must be a function of prediction and targets, as MSELoss() is, got {loss!r}")


def _listed(name: str, given: Any, kind: type, hint: str) -> list[Any]:
    """One thing or several as a list. Raises TypeError for a thing of another kind, ValueError for one given twice."""
    listed = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
    if strange := [x for x in listed if not isinstance(x, kind)]:
        raise TypeError(f"{name} must be {kind.__name__}s, got {strange[0]!r}; {hint}")
    if len({id(x) for x in listed}) < len(listed):
        raise ValueError(f"one of the {name} is given twice")
    return listed


def _measures(metrics: Any) -> list[Metric]:
    measures = _listed("metrics", metrics, Metric, "pass for example Accuracy()")
    names = ["loss", "lr", "epoch", *(measure.name for measure in measures)]
    for name in names[3:]:
        if names.count(name) > 1 or name.startswith("val_"):
            raise ValueError(f"a metric is called {name!r}, as another number is or may be; give it another .name")
    return measures


def _loaders(data: Any, validation: Any, batch_size: int | None, seed: Any) -> tuple[Any, Any]:
    """Two things that give batches; the second is None without validation."""
    rng = np.random.default_rng(seed)
    if isinstance(validation, (float, np.floating)):
        part = float(validation)
        if not 0.0 < part < 1.0:
            raise ValueError(f"validation, if a number, must be between 0 and 1, got {part}")
        if _deals_batches(data):
            raise TypeError("validation, if a number, needs data that are arrays or a dataset; split with random_split")
        data, validation = random_split(_dataset(data), [1.0 - part, part], rng=rng)
        if not len(data) or not len(validation):
            raise ValueError(f"{len(data)} examples to learn from and {len(validation)} to validate are too few")
    if _deals_batches(data) and seed is not None:
        raise ValueError("seed has no effect on data that come in batches; pass rng= to the DataLoader")
    loader = _loader(data, batch_size, rng)
    if validation is None:
        return loader, None
    return loader, _loader(validation, None if _deals_batches(validation) else batch_size)


def _loader(data: Any, batch_size: int | None, rng: np.random.Generator | None = None) -> Any:
    """Something that gives batches; in random order if there is a generator."""
    if not _deals_batches(data):
        size = BATCH_SIZE if batch_size is None else batch_size
        return DataLoader(_dataset(data), size, shuffle=rng is not None, rng=rng)
    if batch_size is not None:
        raise ValueError("batch_size has no effect on data that come in batches; leave it out")
    return data


def _deals_batches(data: Any) -> bool:
    if isinstance(data, Iterator):
        raise TypeError("data must give batches in every epoch, but an iterator ends with the first; pass a DataLoader")
    return hasattr(data, "__iter__") and not hasattr(data, "__getitem__")


def _dataset(data: Any) -> Any:
    """A dataset of what may be the arrays themselves. Raises TypeError if that is not a tuple of two or more."""
    arrays = (np.ndarray, Node)
    if isinstance(data, tuple) and len(data) > 1:
        return TensorDataset(*data)
    listed = isinstance(data, list) and any(isinstance(x, arrays) for x in data)
    if listed or isinstance(data, (*arrays, tuple, dict)):
        raise TypeError(f"data must be a tuple (inputs, ..., targets), got {_described(data)}")
    return data


def _described(data: Any) -> str:
    return "one array" if isinstance(data, (np.ndarray, Node)) else f"a {type(data).__name__} of {len(data)}"


def _schedule(optimizer: Optimizer, schedule: Any) -> Any:
    if schedule is None:
        return None
    if callable(schedule) or isinstance(schedule, (list, tuple)):
        return attach(optimizer, schedule)
    if not isinstance(schedule, (Scheduler, ReduceLROnPlateau)):
        raise TypeError(f"schedule must be a function of the step, as schedules.constant(0.1) is, got {schedule!r}")
    if schedule.optimizer is not optimizer:
        raise ValueError("the schedule is attached to another optimizer")
    if isinstance(schedule, ReduceLROnPlateau) and schedule.mode != "min":
        raise ValueError("fit tells the schedule a loss, so its mode must be 'min'; else call its step in on_epoch_end")
    return schedule


def _clipping(optimizer: Optimizer, clip: Any) -> Callable[[], Any] | None:
    if clip is None:
        return None
    if callable(clip):
        return partial(clip, optimizer.parameters)
    if not isinstance(clip, (int, float, np.number)):
        raise TypeError(f"clip must be a number or a function of the parameters, got {clip!r}")
    if not clip > 0.0:
        raise ValueError(f"clip must be above 0, got {clip}")
    return partial(clip_grad_norm_, optimizer.parameters, float(clip))


# ---- around it -------------------------------------------------------------------------------------------------------


@contextmanager
def _begun(callbacks: list[Callback], run: Run) -> Iterator[None]:
    """Begin the training for every callback, and end it, in the same order, for those for which it has begun."""
    begun: list[Callback] = []
    try:
        for callback in callbacks:
            callback.run = run
            callback.on_train_begin({})
            begun.append(callback)
        yield
    finally:
        with ExitStack() as ends:  # if one raises, the others are still told
            for callback in reversed(begun):
                ends.callback(callback.on_train_end, run.logs)


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Let Ctrl-C end the training after the step under way, so that all parameters have made it or none."""
    usual = signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not usual:
        yield
        return

    pressed = False

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            usual(number, frame)
        pressed = True
        run.stop(f"interrupted in epoch {run.epoch}")

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _bar(loader: Any, epochs: int, verbose: bool | None) -> Any:
    from tqdm.auto import tqdm

    try:
        total = epochs * len(loader)
    except TypeError:  # it does not know
        total = None
    return tqdm(total=total, unit="step", disable=not (_is_watched() if verbose is None else verbose))


def _is_watched() -> bool:
    """Whether somebody sees a progress bar: in a terminal, or in a notebook, which has no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return (sys.stderr is not None and sys.stderr.isatty()) or "IPKernelApp" in getattr(shell, "config", {})
