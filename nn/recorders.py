"""Callbacks that record what goes on inside a network while it learns, for TensorBoard or for plots."""

import secrets
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .activations import Activation
from .callbacks import Callback
from .module import Module
from .summary import owned_parameters

__all__ = ["GradientFlow", "TensorBoardLogger"]


class GradientFlow(Callback):
    """Record, layer by layer, how gradients flow: their norms, the size of the updates, and which units are dead.

    Args:
        every: record every so many steps, the first one included.

    Attributes:
        steps: the numbers of the recorded steps; all lists below have one entry for each.
        gradient_norms: {layer: [...]}, the 2-norm of the gradients of all its parameters, as the optimizer meets them.
        weight_norms: {layer: [...]}, the 2-norm of its parameters before the step.
        update_ratios: {layer: [...]}, the 2-norm of what the step changed, divided by that; around 1e-3 is healthy.
        dead_units: {activation: [...]}, the part of its units that gave 0 for every example of the batch, as a relu
            does whose input is never positive. Units are the last axis of an output; of an image's, (n, channels,
            height, width), the channels.

    A layer is a module that has parameters itself, by its name in the model ("" is the model). An activation is a
    module such as ``ReLU``; of one that is called several times in a step the last call counts. A layer whose norms are
    orders of magnitude below those of the layers after it hardly learns: its gradients vanish.

    >>> import numpy as np
    >>> from nn import SGD, Linear, MSELoss, ReLU, Sequential, fit
    >>> model = Sequential(Linear(1, 8, rng=0), ReLU(), Linear(8, 1, rng=1))
    >>> flow = GradientFlow()
    >>> x = np.linspace(-1.0, 1.0, 32).reshape(-1, 1)
    >>> _ = fit(model, (x, x * x), MSELoss(), SGD(model.parameters(), lr=0.1), epochs=3, callbacks=flow)
    >>> flow.steps, list(flow.gradient_norms), list(flow.dead_units)
    ([1, 2, 3], ['0', '2'], ['1'])
    """

    def __init__(self, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.every = every

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Begin new lists, and watch the activations."""
        learning, names = set(self.model.parameters()), {part: name for name, part in self.model.named_modules()}
        owned = {names[part]: [p for p in ps if p in learning] for part, ps in owned_parameters(self.model).items()}
        self._layers = {name: ps for name, ps in owned.items() if ps}
        self._recording = False
        watched = [(name, module) for name, module in self.model.named_modules() if isinstance(module, Activation)]
        self._hooks = [part.register_forward_hook(partial(self._count_dead, name)) for name, part in watched]
        self.steps: list[int] = []
        self.gradient_norms: dict[str, list[float]] = {name: [] for name in self._layers}
        self.weight_norms: dict[str, list[float]] = {name: [] for name in self._layers}
        self.update_ratios: dict[str, list[float]] = {name: [] for name in self._layers}
        self.dead_units: dict[str, list[float]] = {name: [] for name, _ in watched}

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any]) -> None:
        """See whether this step is to be recorded."""
        self._recording = (self.run.step - 1) % self.every == 0
        self._dead: dict[str, float] = {}

    def on_before_optimizer_step(self, batch: int, logs: dict[str, Any]) -> None:
        """Measure the gradients, and remember the parameters."""
        if self._recording:
            self._recording = False  # an optimizer that searches computes the network several times
            grads = {name: _norm([p.grad for p in layer]) for name, layer in self._layers.items()}
            self._before = {name: [np.array(p.data) for p in layer] for name, layer in self._layers.items()}
            self._measured = grads
        else:
            self._measured = {}

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Measure the step, and enter everything."""
        if not self._measured:
            return
        self.steps.append(self.run.step)
        for name, layer in self._layers.items():
            before = self._before[name]
            size = _norm(before)
            change = _norm([p.data - old for p, old in zip(layer, before, strict=True)])
            self.gradient_norms[name].append(self._measured[name])
            self.weight_norms[name].append(size)
            self.update_ratios[name].append(change / size if size else float("inf") if change else 0.0)
        for name, parts in self.dead_units.items():
            parts.append(self._dead.get(name, float("nan")))  # nan: not called in this step

    def on_train_end(self, logs: dict[str, Any]) -> None:
        """Watch no longer."""
        for hook in self._hooks:
            hook.remove()
        self._before = {}

    def _count_dead(self, name: str, module: Module, inputs: Any, output: Any) -> None:
        if self._recording:
            y = np.asarray(getattr(output, "data", output))
            examples = tuple(range(y.ndim - 1)) if y.ndim < 4 else (0, *range(2, y.ndim))
            self._dead[name] = float(np.mean(~np.any(y, axis=examples)))


def _norm(arrays: list[Any]) -> float:
    """The 2-norm of all numbers together; a parameter without a gradient counts as 0."""
    flat = [np.ravel(np.asarray(x, np.float64)) for x in arrays if x is not None]
    return float(np.sqrt(sum(float(x @ x) for x in flat)))


class TensorBoardLogger(Callback):
    """Write what ``fit`` logs into a folder, for TensorBoard: ``tensorboard --logdir DIR``.

    Args:
        log_dir: the folder; it is made if need be. A folder for each training, side by side, lets TensorBoard compare
            them.
        histogram_freq: write histograms of all parameters and gradients every so many epochs; 0 for never.

    Epochs are the steps of TensorBoard's axis; they can be seen about a second after their end. Every number of the
    history has its name as tag; histograms have ``parameters/`` or ``gradients/`` before the name of the parameter.
    Raises ImportError, with the command that installs it, if neither tensorboardX nor tensorboard is there.

    >>> logger = TensorBoardLogger("runs/first")
    """

    def __init__(self, log_dir: str | Path, histogram_freq: int = 0) -> None:
        if histogram_freq < 0:
            raise ValueError(f"histogram_freq must be at least 0, got {histogram_freq}")
        self.log_dir, self.histogram_freq = Path(log_dir), histogram_freq

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Open a new file in the folder."""
        self._event, self._summary, writer = _tensorboard()
        # The names of files end with the second; two trainings in one second are not to share a file
        self._writer = writer(str(self.log_dir), flush_secs=1, filename_suffix=f".{secrets.token_hex(4)}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Write the numbers of the epoch; what is not a number is left out."""
        value = self._summary.Value
        values = [value(tag=name, simple_value=float(x)) for name, x in logs.items() if np.ndim(x) == 0]
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for name, parameter in self.model.named_parameters():
                for kind, numbers in (("parameters", parameter.data), ("gradients", parameter.grad)):
                    if (histogram := _histogram(numbers)) is not None:
                        values.append(value(tag=f"{kind}/{name}", histo=histogram))
        self._writer.add_event(self._event(wall_time=time.time(), step=epoch, summary=self._summary(value=values)))

    def on_train_end(self, logs: dict[str, Any]) -> None:
        """Close the file."""
        self._writer.close()
        del self._writer, self._event, self._summary  # so that the callback can be copied


def _tensorboard() -> tuple[Any, Any, Any]:
    """The records of TensorBoard's files, and what writes them: from tensorboardX, or from TensorBoard itself."""
    try:
        from tensorboardX.event_file_writer import EventFileWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary
    except ImportError:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoardLogger needs tensorboardX or tensorboard: pip install 'autodiff-nn[tensorboard]'"
            ) from error
    return Event, Summary, EventFileWriter


def _histogram(numbers: Any) -> dict[str, Any] | None:
    """A histogram as TensorBoard's records describe it, of the numbers that are finite; None if there are none."""
    x = np.ravel(np.asarray(np.nan if numbers is None else numbers, np.float64))
    x = x[np.isfinite(x)]
    if not x.size:
        return None
    low, high = float(x.min()), float(x.max())
    with np.errstate(over="ignore", invalid="ignore"):
        total, squares = float(x.sum()), float(x @ x)
        try:
            counts, edges = np.histogram(x, bins=30)
        except ValueError:  # the numbers are too close together, or too far apart, for 30 bins
            counts, edges = np.array([x.size]), np.array([low, high])
    return {
        "min": low, "max": high, "num": float(x.size), "sum": total, "sum_squares": squares,
        "bucket_limit": edges[1:].tolist(), "bucket": counts.astype(float).tolist(),
    }  # fmt: skip
