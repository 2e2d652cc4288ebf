"""Losses: modules that turn predictions and targets into one number to make small."""

from typing import Any

import numpy as np

from autodiff import (
    Node,
    ShapeError,
    Value,
    mean,
    mean_binary_cross_entropy_with_logits,
    mean_squared_error,
    softmax_cross_entropy,
)

from .module import Module

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss"]


def _array(x: Any) -> Any:
    """Nodes and arrays as they are; a number or a list as an array."""
    return x if isinstance(x, (Node, np.ndarray)) else np.asarray(x, dtype=np.float64)


def _same_shape(loss: Module, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Both operands of a loss, after their shapes were compared: broadcasting here hides mistakes.

    A target that has no floating dtype of its own gets the prediction's, so that float32 stays float32.
    """
    prediction = _array(prediction)
    if not isinstance(target, Node) and not (isinstance(target, np.ndarray) and target.dtype.kind == "f"):
        dtype = getattr(prediction, "dtype", np.dtype(np.float64))
        target = np.asarray(target, dtype=dtype if dtype.kind == "f" else np.float64)
    if prediction.shape != target.shape:
        raise ShapeError(
            f"{loss} needs predictions and targets of one shape, got {prediction.shape} and {target.shape}; "
            "reshape one of them"
        )
    if isinstance(prediction, Value) and isinstance(target, np.ndarray):
        return prediction, target.item()  # the loss of a Value is a Value
    return prediction, target


class MSELoss(Module):
    """The mean of (prediction - target)**2 over all elements.

    Raises ShapeError if the shapes differ.

    >>> MSELoss()(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
    2.0
    """

    def forward(self, prediction: Any, target: Any) -> Any:
        """Prediction and target of one shape to one number."""
        return mean_squared_error(*_same_shape(self, prediction, target))


class BCEWithLogitsLoss(Module):
    """The mean binary cross-entropy of sigmoid(logits) against targets in [0, 1]; stable for any logit.

    Raises ShapeError if the shapes differ.

    >>> round(BCEWithLogitsLoss()(np.array([0.0]), np.array([1.0])).item(), 6)
    0.693147
    """

    def forward(self, logits: Any, target: Any) -> Any:
        """Logits and targets of one shape to one number."""
        return mean_binary_cross_entropy_with_logits(*_same_shape(self, logits, target))


class CrossEntropyLoss(Module):
    """The mean cross-entropy of softmax(logits) over the last axis.

    Targets are class numbers, integers of shape (batch,), or probabilities, shape (batch, classes).
    Raises ShapeError if the shapes do not fit, ValueError for a class number out of range, TypeError for one that is
    not an integer.

    >>> round(CrossEntropyLoss()(np.zeros((2, 4)), np.array([0, 3])).item(), 6)
    1.386294
    """

    def forward(self, logits: Any, target: Any) -> Any:
        """Logits (batch, classes) and targets to one number."""
        logits = _array(logits)
        if not logits.ndim:
            raise ShapeError(f"{self} needs logits of shape (batch, classes), got one number")
        if not isinstance(target, Node):
            target = _probabilities(self, logits, np.asarray(target))
        return mean(softmax_cross_entropy(*_same_shape(self, logits, target)))


def _probabilities(loss: Module, logits: Any, target: np.ndarray) -> Any:
    """Class numbers as rows with a single 1; probabilities stay as they are."""
    shape = logits.shape
    if target.dtype.kind not in "iu":
        if target.shape == shape[:-1]:
            raise TypeError(f"{loss}: class numbers must be integers, got {target.dtype}; convert with .astype(int)")
        return target
    if target.shape != shape[:-1]:
        raise ShapeError(
            f"{loss} needs one class number for each row of logits: logits have shape {shape}, so class numbers "
            f"need shape {shape[:-1]}, got {target.shape}; integers are class numbers, probabilities must be floats"
        )
    if target.size and not (target.min() >= 0 and target.max() < shape[-1]):
        raise ValueError(f"{loss}: class numbers must be in 0 .. {shape[-1] - 1}, got {target.min()} .. {target.max()}")
    return np.equal(np.arange(shape[-1]), target[..., None])
