"""What both scikit-learn estimators share: the network, its training, and scikit-learn's rules for when that ends."""
# ruff: noqa: N803, N806  # a matrix of examples is X, which is a keyword of scikit-learn's methods

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from scipy.special import xlogy
from sklearn import neural_network as theirs
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

import autodiff
from autodiff import Tensor, no_grad, recording

from .activations import Activation, Sigmoid
from .containers import Sequential
from .functional import binary_cross_entropy_with_logits, cross_entropy, l2_penalty, mse_loss
from .layers import Identity, Linear
from .module import Module
from .optim import LBFGS, SGD, Adam, Optimizer

__all__ = ["CONSTRAINTS", "FLOATS", "Estimator", "has_partial_fit"]

ACTIVATIONS: dict[str, Callable[[], Module]] = {
    name: partial(Activation, function)
    for name in autodiff.__all__
    if getattr(function := getattr(autodiff, name), "arity", None) == 1 and hasattr(function, "partials")
}
"""What makes the module of an activation: our elementwise functions by their names, and scikit-learn's other two."""
ACTIVATIONS |= {"identity": Identity, "logistic": Sigmoid}

FLOATS = (np.float64, np.float32)
INTERRUPTED = "Training interrupted by user."

CONSTRAINTS = theirs.MLPClassifier._parameter_constraints | {"activation": [StrOptions(set(ACTIVATIONS))]}
"""What each parameter may be: for scikit-learn's own estimators, with more activations."""

# What follows the last Linear: the function that gives the prediction, and the losses of a batch, (n,) or (n, outputs)
OUTPUTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "identity": (lambda z: z, lambda z, y: mse_loss(z, y, half=True, reduction="none")),
    "logistic": (autodiff.sigmoid, lambda z, y: binary_cross_entropy_with_logits(z, y, reduction="none")),
    "softmax": (autodiff.softmax, lambda z, y: cross_entropy(z, y, reduction="none")),
    "exp": (autodiff.exp, lambda z, y: autodiff.exp(z) - y * z + (xlogy(y, y) - y)),  # half the Poisson deviance
}


class _SGD(SGD):
    """SGD whose velocity remembers steps, not gradients, so that a new rate does not change what was remembered."""

    def update(self, group: Any, pieces: Any) -> None:
        """v = momentum v + lr g; p = p - v."""
        super().update({**group, "lr": 1.0}, ((p, group["lr"] * g, state) for p, g, state in pieces))


class _Adam(Adam):
    """Adam that adds eps to the root before it is corrected for its start at zero, as in the paper's last formula."""

    def update(self, group: Any, pieces: Any) -> None:
        """p = p - lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + eps)."""
        for p, g, state in pieces:
            eps = group["eps"] / math.sqrt(1.0 - group["betas"][1] ** state["step"])
            super().update({**group, "eps": eps}, [(p, g, state)])


class Estimator(BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn has no type information
    """A multilayer perceptron with the parameters of scikit-learn's; a subclass knows what it predicts."""

    loss = "log_loss"  # the classifier's only one

    model_: Sequential

    def _set(self, arguments: dict[str, Any]) -> None:
        """Keep every argument of the constructor, untouched, under its name: scikit-learn's contract."""
        for name, argument in arguments.items():
            if name != "self":
                setattr(self, name, argument)

    # ---- the network ----

    @property
    def _linears(self) -> list[Any]:
        return [module for module in self.model_ if isinstance(module, Linear)]

    @property
    def coefs_(self) -> tuple[np.ndarray, ...]:
        """The weights of each layer, (in, out): views of ``model_``'s, so writing into one changes the network."""
        return tuple(layer.weight.data.T for layer in self._linears)

    @coefs_.setter
    def coefs_(self, coefs: Iterable[Any]) -> None:
        check_is_fitted(self)
        _write(self.coefs_, coefs)

    @property
    def intercepts_(self) -> tuple[np.ndarray, ...]:
        """The biases of each layer, (out,): ``model_``'s own arrays."""
        return tuple(layer.bias.data for layer in self._linears)

    @intercepts_.setter
    def intercepts_(self, intercepts: Iterable[Any]) -> None:
        check_is_fitted(self)
        _write(self.intercepts_, intercepts)

    def _build(self, units: list[int], dtype: Any, random: np.random.RandomState) -> None:
        """Make the network and draw its weights as scikit-learn does (Glorot and Bengio 2010)."""
        modules: list[Any] = []
        for n_in, n_out in pairwise(units):
            layer: Any = Linear(n_in, n_out, dtype=dtype, rng=0)
            bound = math.sqrt((2.0 if self.activation in ("logistic", "sigmoid") else 6.0) / (n_in + n_out))
            layer.weight.data[...] = random.uniform(-bound, bound, (n_in, n_out)).T
            layer.bias.data[...] = random.uniform(-bound, bound, n_out)
            modules += [layer, ACTIVATIONS[self.activation]()]
        self.model_ = Sequential(*modules[:-1])
        self._activation = self.activation
        self.n_layers_, self.n_outputs_ = len(units), units[-1]
        self.n_iter_ = self.t_ = 0

    def _outputs(self, X: Any) -> np.ndarray:
        """What is predicted, (n, outputs); in batches, so that sparse examples need not all become dense at once."""
        with no_grad():
            logits = [self.model_(_dense(X[rows])).data for rows in gen_batches(X.shape[0], 1000)]
        prediction: np.ndarray = OUTPUTS[self.out_activation_][0](np.concatenate(logits))
        return prediction

    def _checked_outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._outputs(validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False))

    # ---- training ----

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from examples; what was learned before is forgotten unless ``warm_start``.

        Args:
            X: (n, features), an array or a sparse matrix. float32 stays float32, all else becomes float64.
            y: (n,) or (n, outputs), what is to be predicted.
            sample_weight: (n,), how much each example counts; by default all the same.

        Returns the estimator. Raises ValueError for data or parameters that do not fit, and if the weights become
        infinite or nan. Warns with ConvergenceWarning if ``max_iter`` ends the training. Ctrl-C ends it too, with a
        warning, and what was learned so far is kept.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> Self:
        self._validate_params()
        hidden = np.ravel(self.hidden_layer_sizes).tolist()
        if not all(isinstance(n, int) and n > 0 for n in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0 and whole, got {hidden}")
        first = not hasattr(self, "model_") or not (self.warm_start or incremental)
        X, y = self._checked_data(X, y, incremental=incremental, reset=first)
        y = y.reshape(len(y), -1)
        data = X, y, _check_sample_weight(sample_weight, X).astype(X.dtype)
        random = check_random_state(self.random_state)
        asked = [*hidden, y.shape[1]]
        if first:
            self._build([X.shape[1], *asked], X.dtype, random)
        if (has := [len(b) for b in self.intercepts_]) != asked:
            raise ValueError(f"the network has layers of {has} units; to change them to {asked}, set warm_start=False")
        if self._activation != self.activation:
            for i in range(1, len(self.model_), 2):
                self.model_[i] = ACTIVATIONS[self.activation]()
            self._activation = self.activation
        with recording():
            if self.solver == "lbfgs":
                self._fit_lbfgs(data)
            else:
                self._fit_stochastic(data, random, incremental=incremental)
        if not all(np.isfinite(p.data).all() for p in self.model_.parameters()):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )
        return self

    def _losses(self, X: Any, y: np.ndarray, weight: np.ndarray) -> tuple[Tensor, float]:
        """The loss of a batch that is made small, and the loss that is reported.

        They differ for the squared error of several outputs: scikit-learn follows the gradient of the sum over the
        outputs and reports the mean.
        """
        total = weight.sum()
        terms = OUTPUTS[self.out_activation_][1](self.model_(_dense(X)), y)
        error = ((weight / total) @ terms).sum()
        penalty = l2_penalty([layer.weight for layer in self._linears], 0.5 * self.alpha / float(total))
        mean_of = self.n_outputs_ if self.loss == "squared_error" else 1
        return error + penalty, error.item() / mean_of + penalty.item()

    def _fit_lbfgs(self, data: tuple[Any, ...]) -> None:
        parameters = self.model_.parameters()
        optimizer = LBFGS(
            parameters,
            max_iter=self.max_iter,
            max_eval=self.max_fun,
            tolerance_grad=self.tol,
            tolerance_change=1e7 * np.finfo(np.float64).eps,  # SciPy's default, and so scikit-learn's
        )
        best, where = math.inf, _copies(parameters)

        def closure() -> Tensor:
            nonlocal best, where
            optimizer.zero_grad()
            loss, _ = self._losses(*data)
            loss.backward(keep_grads=False)
            if loss.item() < best:
                best, where = loss.item(), _copies(parameters)
            return loss

        try:
            optimizer.step(closure)
        except KeyboardInterrupt:
            _copy_to(parameters, where)
            warnings.warn(INTERRUPTED, stacklevel=4)
        else:
            self.n_iter_ = min(optimizer.result.nit, self.max_iter)
            if optimizer.result.status:
                message = f"lbfgs failed to converge after {self.n_iter_} iteration(s): {optimizer.result.message}"
                warnings.warn(message + ". Increase max_iter, or scale the data.", ConvergenceWarning, stacklevel=4)
        with no_grad():
            self.loss_ = self._losses(*data)[1]

    def _fit_stochastic(self, data: tuple[Any, ...], random: np.random.RandomState, *, incremental: bool) -> None:
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if not (incremental and hasattr(self, "_optimizer")):
            self._optimizer = self._new_optimizer()
        validation: tuple[Any, ...] = ()
        if self.early_stopping:
            data, validation = self._split(data, random)
        self._begin_record()
        n = len(data[1])
        if (batch_size := min(200, n) if self.batch_size == "auto" else self.batch_size) > n:
            warnings.warn(f"batch_size {batch_size} is more than the {n} examples; it is clipped", stacklevel=4)
            batch_size = n
        rows = np.arange(n)
        self.n_iter_ = 0
        try:
            for _ in range(1 if incremental else self.max_iter):
                rows = rows[random.permutation(n)] if self.shuffle else rows
                self._fit_epoch(data, np.split(rows, range(batch_size, n, batch_size)))
                if self._is_over(validation):
                    break
                if self.n_iter_ == self.max_iter and not incremental:
                    message = f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet."
                    warnings.warn(f"Stochastic Optimizer: {message}", ConvergenceWarning, stacklevel=4)
        except KeyboardInterrupt:
            warnings.warn(INTERRUPTED, stacklevel=4)
        if self.early_stopping:
            _copy_to(self.model_.parameters(), self._best)

    def _fit_epoch(self, data: tuple[Any, ...], batches: list[np.ndarray]) -> None:
        """One walk over all examples: the loop that trains."""
        X, y, weight = data
        total = 0.0
        for rows in batches:
            if not weight[rows].any():
                continue  # nothing in this batch counts
            loss, reported = self._losses(X[rows], y[rows], weight[rows])
            self._optimizer.zero_grad()
            loss.backward(keep_grads=False)
            self._optimizer.step()
            total += reported * len(rows)
        self.loss_ = total / len(y)
        self.loss_curve_.append(self.loss_)
        self.n_iter_ += 1
        self.t_ += len(y)
        self._say(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")

    def _new_optimizer(self) -> Optimizer:
        parameters, lr = self.model_.parameters(), self.learning_rate_init
        if self.solver == "adam":
            return _Adam(parameters, lr=lr, betas=(self.beta_1, self.beta_2), eps=self.epsilon)
        nesterov = self.nesterovs_momentum and self.momentum > 0.0
        return _SGD(parameters, lr=lr, momentum=self.momentum, nesterov=nesterov)

    def _split(self, data: tuple[Any, ...], random: np.random.RandomState) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The examples to learn from, and those to validate with."""
        y = data[1]
        stratify = y if isinstance(self, ClassifierMixin) and self.n_outputs_ == 1 else None
        parts = train_test_split(*data, random_state=random, test_size=self.validation_fraction, stratify=stratify)
        if len(parts[3]) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return tuple(parts[::2]), tuple(parts[1::2])

    # ---- when to end ----

    def _begin_record(self) -> None:
        """Start what is written down about the training, unless it goes on from an earlier one of the same kind."""
        if self.t_ == 0 or (self.validation_scores_ is not None) != self.early_stopping:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.best_loss_: Any = None if self.early_stopping else math.inf
            self.best_validation_score_: Any = -math.inf if self.early_stopping else None
            self.validation_scores_: Any = [] if self.early_stopping else None
            self._best = _copies(self.model_.parameters()) if self.early_stopping else []

    def _is_over(self, validation: tuple[Any, ...]) -> bool:
        """Note how good the network is after an epoch, and say whether to stop; or lower the rate."""
        self._note_progress(validation)
        sgd = self.solver == "sgd"
        if sgd and self.learning_rate == "invscaling":
            self._optimizer.lr = self.learning_rate_init / (self.t_ + 1) ** self.power_t
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Validation score" if self.early_stopping else "Training loss"
        message = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        if sgd and self.learning_rate == "adaptive" and self._optimizer.lr > 1e-6:
            self._optimizer.lr /= 5.0
            self._no_improvement_count = 0
            self._say(f"{message} Setting learning rate to {self._optimizer.lr:f}")
            return False
        self._say(f"{message} Stopping.")
        return True

    def _note_progress(self, validation: tuple[Any, ...]) -> None:
        if self.early_stopping:
            score, best = self._score(*validation), self.best_validation_score_
            self.validation_scores_.append(score)
            self._say(f"Validation score: {score:f}")
        else:
            score, best = -self.loss_, -self.best_loss_
        self._no_improvement_count = self._no_improvement_count + 1 if score < best + self.tol else 0
        if score > best and self.early_stopping:
            self.best_validation_score_ = score
            self._best = _copies(self.model_.parameters())
        elif score > best:
            self.best_loss_ = self.loss_

    def _say(self, message: str) -> None:
        if self.verbose:
            print(message)  # noqa: T201  # what verbose=True asks for

    # ---- what scikit-learn asks of an estimator, and what a classifier and a regressor do differently ----

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @abstractmethod
    def _checked_data(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        """The examples, and what is to be predicted as numbers of the same dtype."""

    @abstractmethod
    def _score(self, X: Any, y: np.ndarray, weight: np.ndarray) -> float:
        """How good the predictions of examples held out are; more is better."""


def _dense(X: Any) -> Any:
    return X.toarray() if issparse(X) else X


def _copies(parameters: list[Any]) -> list[np.ndarray]:
    return [p.data.copy() for p in parameters]


def _copy_to(parameters: list[Any], arrays: list[np.ndarray]) -> None:
    for p, x in zip(parameters, arrays, strict=True):
        p.data[...] = x


def _write(own: tuple[np.ndarray, ...], given: Iterable[Any]) -> None:
    """Write all arrays, or none if one does not fit."""
    pairs = [(x, np.array(y, x.dtype)) for x, y in zip(own, given, strict=True)]  # copies: they may be views of own
    if any(x.shape != y.shape for x, y in pairs):
        raise ValueError(f"the layers take shapes {[x.shape for x in own]}, got {[y.shape for _, y in pairs]}")
    for x, y in pairs:
        x[...] = y


def has_partial_fit(estimator: Estimator) -> bool:
    """Whether partial_fit is there. Raises AttributeError if not, with the reason."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for the solvers sgd and adam; lbfgs needs all data at once")
    return True
