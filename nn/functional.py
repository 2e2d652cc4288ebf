"""Losses as functions: from predictions and targets to one number to make small, or to one number an element.

What they share:

* Predictions are Tensors or Values, or plain numbers and arrays if no gradient is wanted. Elementwise losses of a Value
  give a Value. Targets are arrays, lists or numbers; a target may also be a node, and then gets a gradient too.
* Shapes must be equal. Nothing broadcasts: a column against a row is a mistake, not a table.
* ``reduction`` is "mean" (over all elements, or all rows for losses of classes), "sum" or "none".
* float32 stays float32.

The modules of the same names are in ``nn.losses``.
"""

import math
from collections.abc import Callable, Collection, Iterable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

import autodiff
from autodiff import (
    Node,
    ShapeError,
    Tensor,
    Value,
    abs,
    add,
    array_op,
    clip,
    div,
    exp,
    expm1,
    is_compiling,
    log,
    log1p,
    log_softmax,
    mean,
    mean_binary_cross_entropy_with_logits,
    mean_squared_error,
    mul,
    neg,
    relu,
    reshape,
    softmax_cross_entropy,
    softplus,
    square,
    squared_error,
    sub,
    sum,
    where,
)

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "chi2_loss",
    "cross_entropy",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "l1_penalty",
    "l2_penalty",
    "logistic_loss",
    "mse_loss",
    "nll_loss",
]

FLOAT64 = np.dtype(np.float64)
REDUCTIONS: dict[str, Callable[[Any], Any]] = {"mean": mean, "sum": sum, "none": lambda terms: terms}


# ---- regression -----------------------------------------------------------------------------------------------------


def mse_loss(prediction: Any, target: Any, *, half: bool = False, reduction: str = "mean") -> Any:
    """The squared error (prediction - target)**2.

    Args:
        prediction, target: of one shape.
        half: take half of it, whose derivative is prediction - target. With reduction="sum" this is the half sum of
            squares of the textbooks.
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for an unknown reduction.

    >>> x, y = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    >>> float(mse_loss(x, y)), float(mse_loss(x, y, half=True, reduction="sum"))
    (2.0, 2.0)
    """
    prediction, target = _pair("mse_loss", prediction, target)
    if reduction == "mean" and not half:
        return mean_squared_error(prediction, target)  # one node instead of two
    terms = squared_error(prediction, target)
    return reduced("mse_loss", mul(0.5, terms) if half else terms, reduction)


def l1_loss(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The absolute error abs(prediction - target); its derivative where they are equal is 0.

    Args:
        prediction, target: of one shape.
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for an unknown reduction.

    >>> float(l1_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    1.0
    """
    prediction, target = _pair("l1_loss", prediction, target)
    return reduced("l1_loss", abs(sub(prediction, target)), reduction)


def huber_loss(prediction: Any, target: Any, *, delta: float = 1.0, reduction: str = "mean") -> Any:
    """Half the squared error, d**2 / 2, up to abs(d) = delta, and beyond its tangent, delta * (abs(d) - delta / 2).

    Args:
        prediction, target: of one shape.
        delta: where the parabola becomes a line; greater than 0.
        reduction: "mean", "sum" or "none".

    Source: Huber 1964, doi:10.1214/aoms/1177703732.
    Raises ShapeError if the shapes differ, ValueError for a delta that is not positive or an unknown reduction.

    >>> huber_loss(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
    array([0.125, 2.5  ])
    """
    check_positive("huber_loss", "delta", delta)
    prediction, target = _pair("huber_loss", prediction, target)
    difference = sub(prediction, target)
    near = clip(difference, -delta, delta)  # one formula for both branches, right for every derivative
    return reduced("huber_loss", mul(near, sub(difference, mul(0.5, near))), reduction)


def chi2_loss(prediction: Any, target: Any, sigma: Any, *, reduction: str = "sum") -> Any:
    """Chi-squared: ((prediction - target) / sigma)**2, summed unless asked otherwise.

    Args:
        prediction, target: of one shape.
        sigma: the standard deviations of the targets, greater than 0: a number, or an array that broadcasts to the
            shape of the predictions.
        reduction: "sum", which is what chi-squared means, "mean" or "none".

    Raises ShapeError if the shapes differ or sigma does not fit, ValueError for a sigma that is not positive or an
    unknown reduction.

    >>> float(chi2_loss(np.array([1.0, 2.0]), np.array([1.5, 1.0]), np.array([0.5, 1.0])))
    2.0
    """
    check_positive("chi2_loss", "sigma", sigma)
    prediction, target = _pair("chi2_loss", prediction, target)
    sigma = np.asarray(sigma, dtype=_dtype(prediction))
    if not _fits(sigma.shape, prediction.shape):
        raise ShapeError(
            f"chi2_loss: sigma of shape {sigma.shape} does not broadcast to predictions of shape {prediction.shape}"
        )
    return reduced("chi2_loss", square(div(sub(prediction, target), sigma[()])), reduction)


# ---- two classes ----------------------------------------------------------------------------------------------------


def binary_cross_entropy(probability: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The cross-entropy -target * log(probability) - (1 - target) * log(1 - probability) of probabilities.

    It is what it says also at the ends: 0 if the probability is 0 or 1 and right, infinite if it is wrong. (PyTorch
    cuts it off at 100.) So for the output of a sigmoid prefer ``binary_cross_entropy_with_logits``, which takes what
    goes into the sigmoid and never meets an end.

    Args:
        probability, target: of one shape, in [0, 1].
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for a probability outside [0, 1] or an unknown reduction.

    >>> binary_cross_entropy(np.array([0.5, 0.75]), np.array([0.0, 1.0]), reduction="none").round(6)
    array([0.693147, 0.287682])
    """
    p, t = _pair("binary_cross_entropy", probability, target)
    low, high = np.min(_data(p), initial=0.0), np.max(_data(p), initial=1.0)
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(
            f"binary_cross_entropy takes probabilities in [0, 1], got {low} .. {high}; "
            "for logits use binary_cross_entropy_with_logits"
        )
    # 0 * log(0) is 0: where a factor is 0 and the probability is certain, the logarithm is not taken at all. Below the
    # smallest normal number its slope would overflow.
    yes = log(_replace(p, (_data(p) < np.finfo(_dtype(p)).tiny) & (_data(t) == 0.0), 1.0))
    no = log1p(neg(_replace(p, (_data(p) == 1.0) & (_data(t) == 1.0), 0.0)))
    terms = sub(mul(sub(t, 1.0), no), mul(t, yes))
    return reduced("binary_cross_entropy", terms, reduction)


def binary_cross_entropy_with_logits(logits: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The binary cross-entropy of sigmoid(logits); finite and exact for any finite logit.

    Args:
        logits, target: of one shape; targets in [0, 1].
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for an unknown reduction.

    >>> binary_cross_entropy_with_logits(np.array([0.0, 1e4]), np.array([1.0, 0.0]), reduction="none").round(6)
    array([6.93147e-01, 1.00000e+04])
    """
    logits, target = _pair("binary_cross_entropy_with_logits", logits, target)
    if reduction == "mean":
        return mean_binary_cross_entropy_with_logits(logits, target)  # one node instead of two
    terms = autodiff.binary_cross_entropy_with_logits(logits, target)
    return reduced("binary_cross_entropy_with_logits", terms, reduction)


def logistic_loss(scores: Any, labels: Any, *, reduction: str = "mean") -> Any:
    """The loss log(1 + exp(-label * score)) of logistic regression, for labels -1 and 1; no score overflows.

    It is ``binary_cross_entropy_with_logits`` for targets (1 + label) / 2.

    Args:
        scores, labels: of one shape; every label is -1 or 1.
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for another label or an unknown reduction.

    >>> logistic_loss(np.array([0.0, 1e4]), np.array([1, -1]), reduction="none").round(6)
    array([6.93147e-01, 1.00000e+04])
    """
    scores, labels = _pair("logistic_loss", scores, labels)
    _check_signs("logistic_loss", labels)
    return reduced("logistic_loss", softplus(neg(mul(labels, scores))), reduction)


def hinge_loss(scores: Any, labels: Any, *, reduction: str = "mean") -> Any:
    """The loss max(0, 1 - label * score) of support vector machines, for labels -1 and 1; at the kink its slope is 0.

    Args:
        scores, labels: of one shape; every label is -1 or 1.
        reduction: "mean", "sum" or "none".

    Raises ShapeError if the shapes differ, ValueError for another label or an unknown reduction.

    >>> hinge_loss(np.array([0.25, 3.0, 0.5]), np.array([1, 1, -1]), reduction="none")
    array([0.75, 0.  , 1.5 ])
    """
    scores, labels = _pair("hinge_loss", scores, labels)
    _check_signs("hinge_loss", labels)
    return reduced("hinge_loss", relu(sub(1.0, mul(labels, scores))), reduction)


# ---- many classes ---------------------------------------------------------------------------------------------------


class LabelCosts(NamedTuple):
    """How the label of every row compares with the other classes, for logits of shape (rows, classes)."""

    at: tuple[Any, Any]
    """The index of the labels."""
    others: Any
    """exp(logit - maximum of its row), and 0 at the label: (rows, classes)."""
    against: Any
    """The sum of the others: (rows,)."""
    own: Any
    """exp(logit - maximum of its row) of the label: (rows,)."""
    loss: Any
    """The mean of -log softmax at the labels."""


@np.errstate(all="ignore")  # with infinite logits there is nothing to know, and nothing to warn of
def label_costs(logits: Any, labels: Any) -> LabelCosts | None:
    """The mean cross-entropy of plain logits, and what its gradient needs; None if the mean is not finite.

    No label is subtracted from a sum that it is part of: near certainty that would leave no digit.
    """
    if type(logits) is not np.ndarray or logits.dtype.kind != "f":
        return None
    rows = logits.reshape(-1, logits.shape[-1])
    at = np.arange(len(rows)), labels.ravel()
    rows = rows - np.maximum.reduce(rows, axis=1, keepdims=True)  # so exp cannot overflow
    others = np.exp(rows, order="C")
    own = others[at]
    others[at] = 0.0
    against = np.add.reduce(others, axis=1)
    # The sum without the 1 of the maximum. Where that is the label, own - 1 is 0; else the others hold that 1
    costs = np.log1p(against + (own - 1.0)) - rows[at]
    loss = np.add.reduce(costs) / costs.size
    return LabelCosts(at, others, against, own, loss) if math.isfinite(loss) else None


def _labels_to_logs(x: Any, labels: Any) -> tuple[Any, Any]:
    """log_softmax(x), and where its labels are."""
    return log_softmax(x), labels[..., None] == np.arange(x.shape[-1])


def _label_loss(x: Any, *, labels: Any, known: LabelCosts | None = None) -> Any:
    if known is not None:
        return known.loss
    logs, mask = _labels_to_logs(x, labels)
    return -np.mean(logs[mask])


def _label_weight(x: Any, labels: Any, known: LabelCosts | None) -> Any:
    """(p - 1) / rows at the labels and p / rows elsewhere, for p = softmax(x)."""
    if known is None or isinstance(x, Node):
        logs, mask = _labels_to_logs(x, labels)
        return where(mask, expm1(logs), exp(logs)) * (x.shape[-1] / x.size)
    share = 1.0 / (known.against + known.own) / len(known.own)
    weight = known.others * share[:, None]
    weight[known.at] = 0.0 - known.against * share  # a minus sign would make -0.0 of 0.0
    return weight.reshape(x.shape)


mean_label_cross_entropy = array_op(
    "mean_label_cross_entropy",
    _label_loss,
    lambda g, y, x, *, labels, known=None: g * _label_weight(x, labels, known),
    pushforwards=[lambda t, y, x, *, labels, known=None: sum(t * _label_weight(x, labels, known))],
    fresh=True,
    symbol="CE",
    doc="The mean over the rows of x of -log softmax(x) at each row's label, a class number: the usual cross-entropy "
    "as one node, without the probabilities of all classes. Whoever has the label_costs of this x may hand them over, "
    "so that they are not computed again.",
)


def cross_entropy(
    logits: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """The cross-entropy of softmax(logits) over the last axis; no logit overflows, and one may be -inf.

    Args:
        logits: (..., classes).
        target: class numbers, integers of shape (...), or probabilities, floats of shape (..., classes).
        weight: (classes,), how much each class counts.
        ignore_index: rows with this class number contribute nothing, neither to the sum nor to the number of rows that
            "mean" divides by. Only for class numbers.
        label_smoothing: a in [0, 1]: targets y become y * (1 - a) + a / classes.
        reduction: "mean", "sum" or "none", which gives the shape (...). With class numbers, "mean" divides by the sum
            of the weights of the rows' classes; with probabilities, by the number of rows. If there is nothing to
            divide by, the mean is nan and the gradient 0.

    Raises ShapeError if the shapes do not fit, ValueError for a class number or an option out of range, TypeError for
    class numbers that are not integers.

    >>> logits = np.array([[2.0, -1.0, 3.0], [0.0, 0.0, 0.0]])
    >>> cross_entropy(logits, np.array([2, 0]), reduction="none").round(6)
    array([0.326563, 1.098612])
    >>> float(cross_entropy(logits, np.array([2, 9]), ignore_index=9).round(6))
    0.326563
    """
    name = "cross_entropy"
    check_smoothing(name, label_smoothing)
    logits = _rows(name, logits)
    classes = logits.shape[-1]
    target = target if isinstance(target, (np.ndarray, Node)) else np.asarray(target)
    if _are_probabilities(name, logits.shape, target):
        if ignore_index != -100:
            raise ValueError(f"{name}: ignore_index goes with class numbers; these targets are probabilities")
        logits, p = _pair(name, logits, target)
        rows = softmax_cross_entropy(logits, _costs(name, p, label_smoothing, weight))
        return reduced(name, rows, reduction)
    kept = _kept(name, logits.shape, target, ignore_index)
    if reduction == "mean" and weight is kept is None and not label_smoothing and target.size:
        labels = target.astype(np.intp)  # of our own: the graph refers to them
        known = None if is_compiling() else label_costs(_data(logits), labels)  # compiling, nobody may see numbers
        return mean_label_cross_entropy(logits, labels=labels, known=known)
    p = _one_hot(target if kept is None else np.where(kept, target, 0), classes, _dtype(logits))
    p = _costs(name, p, label_smoothing, weight)
    if kept is not None:
        p *= kept[..., None]
        logits = where(kept[..., None], logits, 0.0)  # so that a nan in a row that is ignored stays out
    rows = softmax_cross_entropy(logits, p)
    return _reduced_rows(name, rows, reduction, weight, target, kept)


def nll_loss(
    log_probabilities: Any, target: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """The negative log-likelihood: minus the logarithm of the probability of each row's class.

    Applied to log_softmax(logits) it is the cross-entropy.

    Args:
        log_probabilities: (..., classes), logarithms of probabilities.
        target: class numbers, integers of shape (...).
        weight, ignore_index, reduction: as for ``cross_entropy``.

    Raises ShapeError if the shapes do not fit, ValueError for a class number or an option out of range, TypeError for
    class numbers that are not integers.

    >>> nll_loss(np.log([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 0]), reduction="none").round(6)
    array([0.693147, 1.386294])
    """
    name = "nll_loss"
    logs, target = _rows(name, log_probabilities), np.asarray(target)
    if target.dtype.kind not in "iu":
        raise TypeError(f"{name}: class numbers must be integers, got {target.dtype}; convert with .astype(int)")
    classes = logs.shape[-1]
    kept = _kept(name, logs.shape, target, ignore_index)
    rows = reshape(logs, shape=(target.size, classes))
    labels = target if kept is None else np.where(kept, target, 0)
    picked = reshape(rows[np.arange(target.size), labels.ravel()], shape=target.shape)
    if kept is not None:
        picked = where(kept, picked, 0.0)
    factors = _costs(name, np.ones(classes, _dtype(logs)), 0.0, weight)[labels]
    return _reduced_rows(name, neg(mul(factors, picked)), reduction, weight, target, kept)


def kl_div(log_prediction: Any, target: Any, *, log_target: bool = False, reduction: str = "mean") -> Any:
    """The Kullback-Leibler divergence target * (log(target) - log_prediction), element by element.

    Summed over the classes it says how far the predicted distribution is from the target's.

    Args:
        log_prediction: logarithms of probabilities, for instance from log_softmax.
        target: probabilities of the same shape; where one is 0 the divergence is 0.
        log_target: the targets are logarithms of probabilities, too.
        reduction: "mean" over all elements, "batchmean" for the sum divided by the length of the first axis, which is
            the mean divergence of the rows, "sum" or "none". The meaning of each is PyTorch's.

    Raises ShapeError if the shapes differ, ValueError for a negative probability or an unknown reduction.

    >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> float(kl_div(np.log(q), p, reduction="batchmean").round(6))
    0.143841
    """
    name = "kl_div"
    logs, target = _pair(name, log_prediction, target)
    if log_target:
        impossible = _data(target) == -np.inf
        log_p = _replace(target, impossible, 0.0)
        p = exp(log_p)
    else:
        if np.min(_data(target), initial=0.0) < 0.0:
            raise ValueError(f"{name} takes probabilities, got {np.min(_data(target))}; for logarithms set log_target")
        impossible = _data(target) == 0.0
        p = _replace(target, impossible, 1.0)
        log_p = log(p)
    terms = _replace(mul(p, sub(log_p, logs)), impossible, 0.0)
    if reduction == "batchmean":
        return div(sum(terms), float(logs.shape[0] if logs.shape else 1))
    return reduced(name, terms, reduction, ("mean", "batchmean", "sum", "none"))


# ---- penalties ------------------------------------------------------------------------------------------------------


def l1_penalty(parameters: Iterable[Any], strength: float = 1.0) -> Any:
    """strength * the sum of the absolute values of all parameters, to be added to a loss.

    Args:
        parameters: Values or Tensors.
        strength: a factor.

    Raises ValueError for no parameters.

    >>> from autodiff import Tensor
    >>> l1_penalty([Tensor([1.0, -2.0]), Tensor([[0.5]])], 2.0).item()
    7.0
    """
    return _penalty("l1_penalty", abs, parameters, strength)


def l2_penalty(parameters: Iterable[Any], strength: float = 1.0) -> Any:
    """strength * the sum of the squares of all parameters, to be added to a loss.

    Its gradient is 2 * strength * parameter, so ``l2_penalty(parameters, d / 2)`` does in a loss what
    ``weight_decay=d`` does in plain gradient descent.

    Args:
        parameters: Values or Tensors.
        strength: a factor.

    Raises ValueError for no parameters.

    >>> from autodiff import Tensor
    >>> l2_penalty([Tensor([1.0, -2.0]), Tensor([[0.5]])], 2.0).item()
    10.5
    """
    return _penalty("l2_penalty", square, parameters, strength)


def _penalty(name: str, size: Callable[[Any], Any], parameters: Iterable[Any], strength: float) -> Any:
    sizes = [sum(size(p)) for p in parameters]
    if not sizes:
        raise ValueError(f"{name} got no parameters; pass model.parameters()")
    return mul(strength, reduce(add, sizes))


# ---- what all have in common ----------------------------------------------------------------------------------------


def check_reduction(name: str, reduction: str, known: Collection[str] = REDUCTIONS) -> None:
    """Raise ValueError unless a loss of this name knows the reduction."""
    if reduction not in known:
        raise ValueError(f"{name}: reduction must be one of {', '.join(known)}, got {reduction!r}")


def check_positive(name: str, option: str, number: Any) -> None:
    """Raise ValueError unless all numbers given for an option are greater than 0."""
    if not np.all(np.asarray(number) > 0.0):
        raise ValueError(f"{name}: {option} must be greater than 0, got {number}")


def check_smoothing(name: str, label_smoothing: float) -> None:
    """Raise ValueError unless the label smoothing is in [0, 1]."""
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"{name}: label_smoothing must be in [0, 1], got {label_smoothing}")


def reduced(name: str, terms: Any, reduction: str, known: Collection[str] = REDUCTIONS) -> Any:
    """The terms of a loss, averaged, added up, or as they are."""
    check_reduction(name, reduction, known)
    return REDUCTIONS[reduction](terms)


def _array(x: Any) -> Any:
    """Nodes and arrays as they are; a number or a list as an array."""
    return x if type(x) is Tensor or isinstance(x, (np.ndarray, Node)) else np.asarray(x, dtype=np.float64)


def _data(x: Any) -> Any:
    return x.data if isinstance(x, Node) else x


def _dtype(x: Any) -> Any:
    """The floating dtype that goes with x."""
    dtype = getattr(x, "dtype", FLOAT64)
    return dtype if dtype.kind == "f" else FLOAT64


def _replace(x: Any, condition: Any, instead: float) -> Any:
    """x, with a constant where the condition holds; seldom it does, so seldom there is anything to do."""
    return where(condition, instead, x) if np.any(condition) else x


def _fits(shape: tuple[int, ...], larger: tuple[int, ...]) -> bool:
    """Whether the one shape broadcasts to the other."""
    return len(shape) <= len(larger) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(larger), strict=False)
    )


def _pair(name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Both operands of a loss, after their shapes were compared: broadcasting here hides mistakes.

    A target that has no floating dtype of its own gets the prediction's, so that float32 stays float32.
    """
    usual = type(prediction) is Tensor and type(target) is np.ndarray and target.dtype.kind == "f"
    if usual and prediction.shape == target.shape:
        return prediction, target  # at every training step, so as fast as can be
    prediction = _array(prediction)
    if not isinstance(target, Node) and not (isinstance(target, np.ndarray) and target.dtype.kind == "f"):
        target = np.asarray(target, dtype=_dtype(prediction))
    if prediction.shape != target.shape:
        column = prediction.shape == (*target.shape, 1)
        raise ShapeError(
            f"{name} needs predictions and targets of one shape, got {prediction.shape} and {target.shape}; "
            + ("write target[:, None]" if column and target.ndim == 1 else "reshape one of them")
        )
    if isinstance(prediction, Value) and isinstance(target, np.ndarray):
        return prediction, target.item()  # the loss of a Value is a Value
    return prediction, target


def _check_signs(name: str, labels: Any) -> None:
    unknown = is_compiling() and isinstance(labels, Node)  # nobody may look at numbers now
    if not unknown and not np.all(np.abs(_data(labels)) == 1.0):
        raise ValueError(f"{name} takes labels -1 and 1; for 0 and 1 use 2 * labels - 1 or a binary cross-entropy")


def _rows(name: str, logits: Any) -> Any:
    logits = _array(logits)
    if not logits.ndim:
        raise ShapeError(f"{name} needs logits of shape (batch, classes), got one number")
    return logits


def _are_probabilities(name: str, shape: tuple[int, ...], target: Any) -> bool:
    if target.dtype.kind in "iu":
        return False
    if target.shape == shape[:-1] and not isinstance(target, Node):
        raise TypeError(f"{name}: class numbers must be integers, got {target.dtype}; convert with .astype(int)")
    return True


def _kept(name: str, shape: tuple[int, ...], labels: np.ndarray, ignore_index: int) -> Any:
    """Which rows count, or None for all, after the class numbers were checked."""
    classes = shape[-1]
    if labels.shape != shape[:-1]:
        as_torch = len(shape) > 2 and labels.shape == shape[:1] + shape[2:]
        moved = "; the classes go last: np.moveaxis(logits, 1, -1)" if as_torch else ""
        raise ShapeError(
            f"{name} needs one class number for each row of logits: logits have shape {shape}, so class numbers "
            f"need shape {shape[:-1]}, got {labels.shape}; integers are class numbers, probabilities must be floats"
            + moved
        )
    if not labels.size:
        return None
    low, high = np.minimum.reduce(labels, axis=None), np.maximum.reduce(labels, axis=None)
    if low >= 0 and high < classes and not 0 <= ignore_index < classes:
        return None
    kept: np.ndarray = labels != ignore_index
    rest = labels[kept]
    if rest.size and not (rest.min() >= 0 and rest.max() < classes):
        raise ValueError(f"{name}: class numbers must be in 0 .. {classes - 1}, got {rest.min()} .. {rest.max()}")
    return kept


def _one_hot(labels: np.ndarray, classes: int, dtype: Any) -> np.ndarray:
    p = np.zeros((labels.size, classes), dtype)
    p[np.arange(labels.size), labels.ravel()] = 1.0
    return p.reshape(*labels.shape, classes)


def _costs(name: str, p: Any, label_smoothing: float, weight: Any) -> Any:
    """What minus the logarithm of the probability of each class costs: the targets p, smoothed and weighted."""
    classes = p.shape[-1]
    if label_smoothing:
        p = p * (1.0 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        weight = np.asarray(weight, dtype=p.dtype)
        if weight.shape != (classes,):
            raise ShapeError(
                f"{name} needs one weight for each of {classes} classes, got weights of shape {weight.shape}"
            )
        p = p * weight
    return p


def _reduced_rows(name: str, rows: Any, reduction: str, weight: Any, labels: np.ndarray, kept: Any) -> Any:
    """The losses of rows, where "mean" divides by the weights of the rows that count."""
    if weight is kept is None or reduction != "mean":
        return reduced(name, rows, reduction)
    counted = labels if kept is None else labels[kept]
    total = float(counted.size if weight is None else np.asarray(weight, dtype=np.float64)[counted].sum())
    return mul(sum(rows), 1.0 / total if total else math.nan)
