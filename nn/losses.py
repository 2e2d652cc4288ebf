"""Losses as modules: they keep their options, and turn predictions and targets into one number to make small.

What each computes, and what it takes and refuses, is said at the function of ``nn.functional`` that it calls.
"""

from inspect import signature
from typing import Any

from .functional import (
    REDUCTIONS,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    check_positive,
    check_reduction,
    check_smoothing,
    chi2_loss,
    cross_entropy,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    logistic_loss,
    mse_loss,
    nll_loss,
)
from .module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "Chi2Loss",
    "CrossEntropyLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LogisticLoss",
    "MSELoss",
    "NLLLoss",
]


class _Loss(Module):
    """What losses share: a reduction, and a repr that shows the options that are not the usual ones."""

    reductions = tuple(REDUCTIONS)

    def __init__(self, *, reduction: str = "mean") -> None:
        check_reduction(type(self).__name__, reduction, self.reductions)
        self.reduction = reduction

    def _describe(self) -> str:
        options = {
            name: (getattr(self, name), option.default) for name, option in signature(type(self)).parameters.items()
        }
        return ", ".join(f"{name}={got!r}" for name, (got, usual) in options.items() if repr(got) != repr(usual))


class MSELoss(_Loss):
    """The mean of (prediction - target)**2; see ``nn.functional.mse_loss``.

    Args:
        half: take half of it; with reduction="sum" that is the half sum of squares of the textbooks.
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for an unknown reduction.

    >>> import numpy as np
    >>> MSELoss()(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
    2.0
    """

    def __init__(self, *, half: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.half = half

    def forward(self, prediction: Any, target: Any) -> Any:
        """Prediction and target of one shape to one number."""
        return mse_loss(prediction, target, half=self.half, reduction=self.reduction)


class L1Loss(_Loss):
    """The mean of abs(prediction - target); see ``nn.functional.l1_loss``.

    Args:
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for an unknown reduction.

    >>> import numpy as np
    >>> L1Loss()(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
    1.0
    """

    def forward(self, prediction: Any, target: Any) -> Any:
        """Prediction and target of one shape to one number."""
        return l1_loss(prediction, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """Half the squared error up to delta, a line beyond; see ``nn.functional.huber_loss``.

    Args:
        delta: where the parabola becomes a line; greater than 0.
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for an option out of range.

    >>> import numpy as np
    >>> HuberLoss()(np.array([0.5, 3.5]), np.zeros(2)).item()
    1.5625
    """

    def __init__(self, *, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        check_positive("HuberLoss", "delta", delta)
        self.delta = delta

    def forward(self, prediction: Any, target: Any) -> Any:
        """Prediction and target of one shape to one number."""
        return huber_loss(prediction, target, delta=self.delta, reduction=self.reduction)


class Chi2Loss(_Loss):
    """Chi-squared, the sum of ((prediction - target) / sigma)**2; see ``nn.functional.chi2_loss``.

    Args:
        sigma: the known standard deviations of the targets, greater than 0: a number, or an array that broadcasts to
            the shape of the predictions.
        reduction: "sum", "mean" or "none".

    Raises ShapeError if the shapes differ or sigma does not fit, ValueError for an option out of range.

    >>> import numpy as np
    >>> Chi2Loss(0.5)(np.array([1.0, 2.0]), np.array([1.5, 1.0])).item()
    5.0
    """

    def __init__(self, sigma: Any, *, reduction: str = "sum") -> None:
        super().__init__(reduction=reduction)
        check_positive("Chi2Loss", "sigma", sigma)
        self.sigma = sigma

    def forward(self, prediction: Any, target: Any) -> Any:
        """Prediction and target of one shape to one number."""
        return chi2_loss(prediction, target, self.sigma, reduction=self.reduction)


class BCELoss(_Loss):
    """The mean binary cross-entropy of probabilities; see ``nn.functional.binary_cross_entropy``.

    After a sigmoid, prefer to leave out the sigmoid and use ``BCEWithLogitsLoss``.

    Args:
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for a probability outside [0, 1] or an unknown reduction.

    >>> import numpy as np
    >>> round(BCELoss()(np.array([0.5]), np.array([1.0])).item(), 6)
    0.693147
    """

    def forward(self, probability: Any, target: Any) -> Any:
        """Probability and target of one shape to one number."""
        return binary_cross_entropy(probability, target, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """The mean binary cross-entropy of sigmoid(logits) against targets in [0, 1]; stable for any logit.

    Args:
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for an unknown reduction.

    >>> import numpy as np
    >>> round(BCEWithLogitsLoss()(np.array([0.0]), np.array([1.0])).item(), 6)
    0.693147
    """

    def forward(self, logits: Any, target: Any) -> Any:
        """Logits and targets of one shape to one number."""
        return binary_cross_entropy_with_logits(logits, target, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """The mean cross-entropy of softmax(logits) over the last axis; see ``nn.functional.cross_entropy``.

    Targets are class numbers, integers of shape (batch,), or probabilities, shape (batch, classes).

    Args:
        weight: (classes,), how much each class counts.
        ignore_index: rows with this class number do not count.
        label_smoothing: a in [0, 1]: targets y become y * (1 - a) + a / classes.
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes do not fit, ValueError for a class number or an option out of range, TypeError for
    a class number that is not an integer.

    >>> import numpy as np
    >>> round(CrossEntropyLoss()(np.zeros((2, 4)), np.array([0, 3])).item(), 6)
    1.386294
    """

    def __init__(
        self, *, weight: Any = None, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        check_smoothing("CrossEntropyLoss", label_smoothing)
        self.weight = weight
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, logits: Any, target: Any) -> Any:
        """Logits (batch, classes) and targets to one number."""
        return cross_entropy(
            logits,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )


class NLLLoss(_Loss):
    """The mean negative log-likelihood, for a network that ends in log-softmax; see ``nn.functional.nll_loss``.

    Args:
        weight: (classes,), how much each class counts.
        ignore_index: rows with this class number do not count.
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes do not fit, ValueError for a class number or an option out of range, TypeError for
    a class number that is not an integer.

    >>> import numpy as np
    >>> round(NLLLoss()(np.log([[0.5, 0.5]]), np.array([0])).item(), 6)
    0.693147
    """

    def __init__(self, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight = weight
        self.ignore_index = ignore_index

    def forward(self, log_probabilities: Any, target: Any) -> Any:
        """Logarithms of probabilities (batch, classes) and class numbers (batch,) to one number."""
        return nll_loss(
            log_probabilities, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class LogisticLoss(_Loss):
    """The mean of log(1 + exp(-label * score)) for labels -1 and 1; see ``nn.functional.logistic_loss``.

    Args:
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for another label or an unknown reduction.

    >>> import numpy as np
    >>> round(LogisticLoss()(np.array([0.0]), np.array([-1])).item(), 6)
    0.693147
    """

    def forward(self, scores: Any, labels: Any) -> Any:
        """Scores and labels of one shape to one number."""
        return logistic_loss(scores, labels, reduction=self.reduction)


class HingeLoss(_Loss):
    """The mean of max(0, 1 - label * score) for labels -1 and 1; see ``nn.functional.hinge_loss``.

    Args:
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for another label or an unknown reduction.

    >>> import numpy as np
    >>> HingeLoss()(np.array([0.25, 3.0]), np.array([1, 1])).item()
    0.375
    """

    def forward(self, scores: Any, labels: Any) -> Any:
        """Scores and labels of one shape to one number."""
        return hinge_loss(scores, labels, reduction=self.reduction)


class KLDivLoss(_Loss):
    """The divergence target * (log(target) - log_prediction); see ``nn.functional.kl_div``.

    Args:
        log_target: the targets are logarithms of probabilities, too.
        reduction: "mean" over all elements, "batchmean" over the rows, "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for a negative probability or an unknown reduction.

    >>> import numpy as np
    >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> round(KLDivLoss(reduction="batchmean")(np.log(q), p).item(), 6)
    0.143841
    """

    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, *, log_target: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, log_prediction: Any, target: Any) -> Any:
        """Logarithms of probabilities and target probabilities of one shape to one number."""
        return kl_div(log_prediction, target, log_target=self.log_target, reduction=self.reduction)
