"""Metrics: how good predictions are, in numbers for people. They add up over batches.

Every metric has ``update(prediction, target)`` for a batch, ``compute()`` for the result of all batches since the last
``reset()``, and a ``name`` for tables. A prediction may be a Tensor; only its numbers are used.

>>> accuracy = Accuracy()
>>> for logits, labels in [(np.array([[2.0, 1.0], [0.0, 3.0]]), [0, 1]), (np.array([[1.0, 0.0]]), [1])]:
...     accuracy.update(logits, labels)
>>> round(accuracy.compute(), 3)
0.667
"""

import copy
import math
from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np

from autodiff import Node, ShapeError

__all__ = ["F1", "R2", "Accuracy", "ConfusionMatrix", "Metric", "Precision", "Recall", "TopKAccuracy"]

Average = Literal["auto", "binary", "macro", "micro"] | None


class Metric(ABC):
    """A number (or an array) that is computed over batches.

    Subclasses define ``reset``, ``update`` and ``compute``, and the ``name`` to show. ``reset`` is called when a metric
    is made.

    >>> class Largest(Metric):
    ...     name = "largest"
    ...     def reset(self):
    ...         self.largest = -np.inf
    ...     def update(self, prediction, target):
    ...         self.largest = max(self.largest, prediction.max())
    ...     def compute(self):
    ...         return float(self.largest)
    >>> largest = Largest()
    >>> largest(np.array([1.0, 3.0]), None), largest.compute()
    (3.0, -inf)
    """

    name: str

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget all batches."""

    @abstractmethod
    def update(self, prediction: Any, target: Any) -> None:
        """Take another batch into account."""

    @abstractmethod
    def compute(self) -> Any:
        """The result of all batches since the last reset; nan if there were none."""

    def __call__(self, prediction: Any, target: Any) -> Any:
        """The result of one batch alone; what was added up before stays as it is."""
        alone = copy.copy(self)
        alone.reset()
        alone.update(prediction, target)
        return alone.compute()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._describe()})"

    def _describe(self) -> str:
        return ""


# ---- right or wrong -----------------------------------------------------------------------------------------------


class Accuracy(Metric):
    """The part of the predictions that are right.

    Args:
        threshold: for predictions with one number an example. The example is taken for positive if the number is
            greater: 0 for logits and for labels +-1, 0.5 for probabilities. Without it there are several numbers an
            example, of which the largest is the prediction, or class numbers.

    A batch is scores (n, classes) with class numbers (n,) or probabilities (n, classes); or class numbers (n,) with
    class numbers (n,); or, with a threshold, scores of any shape with labels of that shape, where those greater than 0
    are positive. Leading axes may be more than one. Raises ShapeError if the shapes do not fit, TypeError for targets
    that are no class numbers, ValueError for probabilities that do not add up to 1.

    >>> Accuracy()(np.array([[0.1, 0.9], [0.8, 0.2]]), [1, 1])
    0.5
    >>> Accuracy(threshold=0.0)(np.array([[0.3], [-2.0]]), np.array([[1.0], [-1.0]]))
    1.0
    """

    name = "accuracy"

    def __init__(self, *, threshold: float | None = None) -> None:
        self.threshold = threshold
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self._right = self._seen = 0

    def update(self, prediction: Any, target: Any) -> None:
        """Count the predictions of a batch that are right."""
        guess, truth = _classes("Accuracy", prediction, target, self.threshold)
        self._right += int(np.count_nonzero(guess == truth))
        self._seen += guess.size

    def compute(self) -> float:
        """The part that is right, 0 to 1; nan before the first example."""
        return self._right / self._seen if self._seen else math.nan

    def _describe(self) -> str:
        return "" if self.threshold is None else f"threshold={self.threshold}"


class TopKAccuracy(Metric):
    """The part of the examples whose class is among the k with the largest scores.

    Args:
        k: how many guesses there are.

    A batch is scores (n, classes) and class numbers (n,). A class that shares its score with others is among the k if
    fewer than k scores are greater. Raises ShapeError if the shapes do not fit, ValueError for a k less than 1 or a
    class number out of range.

    >>> TopKAccuracy(2)(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), [1, 2])
    0.5
    """

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k
        self.name = f"top_{k}_accuracy"
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self._right = self._seen = 0

    def update(self, prediction: Any, target: Any) -> None:
        """Count the examples of a batch whose class is among the k."""
        scores, labels = _numbers(prediction), _labels("TopKAccuracy", target)
        if scores.shape[:-1] != labels.shape or not scores.ndim:
            raise ShapeError(
                f"TopKAccuracy takes scores (n, classes) and class numbers (n,), got {scores.shape} and {labels.shape}"
            )
        _check_range("TopKAccuracy", labels, scores.shape[-1])
        own = np.take_along_axis(scores, labels[..., None], axis=-1)
        greater = np.count_nonzero(~(scores <= own), axis=-1)  # so that a nan is never right
        self._right += int(np.count_nonzero(greater < self.k))
        self._seen += labels.size

    def compute(self) -> float:
        """The part that is right, 0 to 1; nan before the first example."""
        return self._right / self._seen if self._seen else math.nan

    def _describe(self) -> str:
        return str(self.k)


class ConfusionMatrix(Metric):
    """How many examples of each class (row) were taken for each class (column).

    Args:
        classes: how many there are. By default as many as were seen: the matrix grows.
        threshold: as for ``Accuracy``; the classes are then 0, negative, and 1, positive.

    A batch is as for ``Accuracy``. Raises ShapeError if the shapes do not fit, TypeError for targets that are no class
    numbers, ValueError for one that is out of range.

    >>> ConfusionMatrix()([0, 1, 1, 2], [0, 1, 2, 2])
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]])
    """

    name = "confusion_matrix"

    def __init__(self, classes: int | None = None, *, threshold: float | None = None) -> None:
        self.classes = classes
        self.threshold = threshold
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        n = self.classes or 0
        self._counts = np.zeros((n, n), np.int64)

    def update(self, prediction: Any, target: Any) -> None:
        """Count a batch."""
        own = type(self).__name__
        guess, truth = (x.ravel() for x in _classes(own, prediction, target, self.threshold))
        largest = max(np.max(guess, initial=-1), np.max(truth, initial=-1))
        for classes in (guess, truth):
            _check_range(own, classes, self.classes or int(largest) + 1)
        if (missing := int(largest) + 1 - len(self._counts)) > 0:
            self._counts = np.pad(self._counts, (0, missing))
        n = len(self._counts)
        self._counts += np.bincount(truth * n + guess, minlength=n * n).reshape(n, n)

    def compute(self) -> Any:
        """The matrix, (classes, classes) int64."""
        return self._counts.copy()

    def _describe(self) -> str:
        options = {"classes": self.classes, "threshold": self.threshold}
        return ", ".join(f"{name}={value}" for name, value in options.items() if value is not None)


class _OfConfusion(ConfusionMatrix):
    """The part that is right, for each class, of what was taken for it and of what is there; averaged or not."""

    _shares: tuple[float, float]
    """How much each of the two counts."""

    def __init__(
        self, average: Average = "auto", *, classes: int | None = None, threshold: float | None = None
    ) -> None:
        if average == "auto":
            average = "macro" if threshold is None else "binary"
        if average not in ("binary", "macro", "micro", None):
            raise ValueError(f"average must be 'auto', 'binary', 'macro', 'micro' or None, got {average!r}")
        self.average = average
        super().__init__(classes, threshold=threshold)

    def compute(self) -> Any:
        """A float, or for each class one, (classes,) float64; nan before the first example."""
        right = np.diag(self._counts).astype(np.float64)
        guessed, there = self._counts.sum(axis=0), self._counts.sum(axis=1)
        if self.average == "micro":
            return float(self._ratio(right.sum(), guessed.sum(), there.sum())) if guessed.any() else math.nan
        each = self._ratio(right, guessed, there)
        if self.average is None:
            return each
        if self.average == "binary":
            if len(each) > 2:
                raise ValueError(f"average='binary' is for the classes 0 and 1, got {len(each)}; try 'macro'")
            return (float(each[1]) if len(each) > 1 else 0.0) if guessed.any() else math.nan
        if self.classes is None:
            each = each[(guessed + there) > 0]  # a number between those of the classes need not be a class
        return float(each.mean()) if guessed.any() else math.nan

    def _ratio(self, right: Any, guessed: Any, there: Any) -> Any:
        """right / (a * guessed + b * there), and 0 where there is nothing to divide by."""
        whole = np.asarray(self._shares[0] * guessed + self._shares[1] * there)
        return np.divide(right, whole, out=np.zeros(whole.shape), where=whole > 0.0)

    def _describe(self) -> str:
        return ", ".join(filter(None, [repr(self.average), super()._describe()]))


class Precision(_OfConfusion):
    """Of the examples taken for a class, the part that is of it.

    Args:
        average: "binary", of class 1 alone, if there are but 0 and 1; "macro", the mean over the classes; "micro", all
            examples together, which is the accuracy; or None, one number a class. By default "binary" with a threshold
            and else "macro".
        classes: how many there are; each then counts in the mean, also one that never occurs. By default those that
            occurred, in a target or a prediction.
        threshold: as for ``Accuracy``; the classes are then 0, negative, and 1, positive.

    A class for which nothing was taken has precision 0. A batch, and what is raised, is as for ``ConfusionMatrix``.

    >>> Precision(average=None)([0, 1, 1, 1], [0, 0, 1, 1]).round(3)
    array([1.   , 0.667])
    """

    name = "precision"

    _shares = (1.0, 0.0)


class Recall(_OfConfusion):
    """Of the examples of a class, the part that was taken for it.

    Args:
        average, classes, threshold: as for ``Precision``.

    A class without examples has recall 0. A batch, and what is raised, is as for ``ConfusionMatrix``.

    >>> Recall(average=None)([0, 1, 1, 1], [0, 0, 1, 1])
    array([0.5, 1. ])
    """

    name = "recall"

    _shares = (0.0, 1.0)


class F1(_OfConfusion):
    """The harmonic mean of precision and recall.

    Args:
        average, classes, threshold: as for ``Precision``; "macro" is the mean of the F1 of the classes.

    A class without examples for which nothing was taken has 0. A batch, and what is raised, is as for
    ``ConfusionMatrix``.

    >>> F1(average=None)([0, 1, 1, 1], [0, 0, 1, 1]).round(3)
    array([0.667, 0.8  ])
    """

    name = "f1"

    _shares = (0.5, 0.5)


# ---- how far off --------------------------------------------------------------------------------------------------


class R2(Metric):
    """The coefficient of determination, 1 - (sum of squared errors) / (sum of squared deviations from the mean).

    1 is perfect, 0 as good as always saying the mean, and it may be negative. A batch is predictions and targets of one
    shape, (n,) or (n, outputs); of several outputs each has its own, and the mean is taken. If the targets are all the
    same, it is 1 for perfect predictions and otherwise 0.

    Args:
        average: take the mean over the outputs; else give one number an output.

    The deviations are gathered batch by batch without loss of digits (Chan, Golub and LeVeque 1983,
    doi:10.1080/00031305.1983.10483115). Raises ShapeError if the shapes differ from each other or from earlier ones.

    >>> r2 = R2()
    >>> r2.update([1.0, 2.0], [1.0, 2.5])
    >>> r2.update([3.0], [3.0])
    >>> round(r2.compute(), 6)
    0.884615
    """

    name = "r2"

    def __init__(self, *, average: bool = True) -> None:
        self.average = average
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self._seen = 0
        self._mean: Any = 0.0
        self._errors: Any = 0.0
        self._deviations: Any = 0.0

    def update(self, prediction: Any, target: Any) -> None:
        """Add the errors and deviations of a batch."""
        guess, truth = (np.asarray(_numbers(x), np.float64) for x in (prediction, target))
        if guess.shape != truth.shape or truth.ndim not in (1, 2):
            raise ShapeError(
                f"R2 takes predictions and targets of one shape, (n,) or (n, outputs), "
                f"got {guess.shape} and {truth.shape}"
            )
        if self._seen and np.shape(self._mean) != truth.shape[1:]:
            raise ShapeError(f"R2 got targets of shape {truth.shape} after some with outputs {np.shape(self._mean)}")
        if not (n := len(truth)):
            return
        mean = truth.mean(axis=0)
        shift, total = mean - self._mean, self._seen + n
        self._errors = self._errors + np.square(truth - guess).sum(axis=0)
        self._deviations = (
            self._deviations + np.square(truth - mean).sum(axis=0) + np.square(shift) * (self._seen * n / total)
        )
        self._mean, self._seen = self._mean + shift * (n / total), total

    def compute(self) -> Any:
        """A float, or for each output one, (outputs,) float64; nan before the second example."""
        if self._seen < 2:
            return math.nan
        constant = self._deviations == 0.0
        ratio = self._errors / np.where(constant, 1.0, self._deviations)
        each = np.where(constant, np.where(self._errors == 0.0, 1.0, 0.0), 1.0 - ratio)
        return each if not self.average else float(each.mean())

    def _describe(self) -> str:
        return "" if self.average else "average=False"


# ---- what they have in common -------------------------------------------------------------------------------------


def _numbers(x: Any) -> np.ndarray:
    return np.asarray(x.data if isinstance(x, Node) else x)


def _labels(metric: str, target: Any) -> np.ndarray:
    labels = _numbers(target)
    if labels.dtype.kind not in "iub":
        raise TypeError(f"{metric}: class numbers must be integers, got {labels.dtype}; convert with .astype(int)")
    return labels.astype(np.int64)


def _check_range(metric: str, labels: np.ndarray, classes: int) -> None:
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"{metric}: class numbers must be in 0 .. {classes - 1}, got {labels.min()} .. {labels.max()}")


def _classes(metric: str, prediction: Any, target: Any, threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The class numbers that a batch predicts, and the true ones."""
    guess, truth = _numbers(prediction), _numbers(target)
    if threshold is not None:
        if guess.shape != truth.shape:
            raise ShapeError(f"{metric} needs scores and labels of one shape, got {guess.shape} and {truth.shape}")
        return (guess > threshold).astype(np.int64), (truth > 0).astype(np.int64)
    classes = guess.shape[-1] if guess.ndim > 1 else 1
    if classes > 1 and guess.shape == truth.shape and guess.dtype.kind == truth.dtype.kind == "f":
        if np.any(np.abs(truth.sum(axis=-1) - 1.0) > 1e-3):  # probabilities, perhaps rounded to three digits
            raise ValueError(
                f"{metric} takes probabilities (n, classes) that add up to 1 as targets; for several labels an example "
                "give a threshold"
            )
        return guess.argmax(axis=-1), truth.argmax(axis=-1)
    if guess.ndim == truth.ndim + 1:
        guess = guess.argmax(axis=-1)
    elif guess.dtype.kind == "f":
        raise ShapeError(
            f"{metric} takes scores (n, classes) and class numbers (n,), got {guess.shape} and {truth.shape}; "
            "for one score an example give a threshold"
        )
    if guess.shape != truth.shape:
        raise ShapeError(f"{metric} needs one class number for each prediction, got {guess.shape} and {truth.shape}")
    return _labels(metric, guess), _labels(metric, truth)
