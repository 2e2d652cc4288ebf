"""scikit-learn's ``MLPClassifier`` and ``MLPRegressor`` with our engine inside: same parameters, same random draws.

They are drop-in replacements: with the same ``random_state`` they learn what scikit-learn's learn, up to rounding, and
they go wherever its estimators go: into pipelines, grid searches and cross-validation. The network is a ``Sequential``
in the attribute ``model_``; our engine differentiates, our optimizers step.

Where they differ: ``coefs_`` and ``intercepts_`` are tuples of views into the network. The logarithmic loss does not
end at 36, where scikit-learn clips it. Ctrl-C keeps what lbfgs found, too. For several outputs lbfgs makes small what
sgd and adam do, where scikit-learn's mixes two losses. An activation that is changed after ``fit`` counts from the
next ``fit`` on, where scikit-learn's ``predict`` takes it at once. Refused are a momentum of 1, targets below 0 with
``loss="poisson"``, other ``hidden_layer_sizes`` in a fit that goes on from the last (by ``warm_start`` or
``partial_fit``), and a first loss of lbfgs that is not finite. Taken are numbers written as text for the targets of a
regressor, and ``hidden_layer_sizes`` nested in any way, which are read one after the other.

Importing this module needs scikit-learn: ``pip install 'autodiff-nn[sklearn]'``.
"""
# ruff: noqa: N803, N806  # a matrix of examples is X, which is a keyword of scikit-learn's methods

import math
from typing import Any, Self

import numpy as np

try:
    from sklearn import neural_network as theirs
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.preprocessing import LabelBinarizer
    from sklearn.utils import column_or_1d
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
    from sklearn.utils.validation import validate_data

    from ._estimator import CONSTRAINTS, FLOATS, Estimator, has_partial_fit
except ImportError as error:
    raise ImportError("nn.sklearn needs scikit-learn 1.7 or later: pip install 'autodiff-nn[sklearn]'") from error

__all__ = ["MLPClassifier", "MLPRegressor"]


class MLPClassifier(ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no type information
    """A multilayer perceptron that classifies; scikit-learn's class of this name, trained by our engine.

    The loss is the cross-entropy. Targets are labels of any kind, (n,), or for several labels an example a matrix of
    zeros and ones, (n, labels).

    Args:
        hidden_layer_sizes: units of each hidden layer; a number is one layer.
        activation: of the hidden layers: "identity", "logistic", "tanh", "relu", or the name of another elementwise
            function of autodiff, such as "gelu" or "arctan".
        solver: "adam"; "sgd"; or "lbfgs", for small data.
        alpha: strength of the penalty alpha / 2 * (sum of the squared weights, without biases) / n.
        batch_size: examples a step, "auto" for at most 200; lbfgs takes all.
        learning_rate: for sgd: "constant"; "invscaling", learning_rate_init / t**power_t; or "adaptive", divided by 5
            each time that ``n_iter_no_change`` epochs bring nothing.
        learning_rate_init: the first rate, for sgd and adam.
        power_t: the exponent of "invscaling".
        max_iter: the most epochs, for lbfgs iterations.
        shuffle: a new order of the examples every epoch.
        random_state: a seed, a RandomState, or None for NumPy's global one, as everywhere in scikit-learn.
        tol: an epoch that does not improve the loss (the validation score, if ``early_stopping``) by this much counts
            as none; for lbfgs, the largest element of the gradient at which it stops.
        verbose: print the loss of every epoch.
        warm_start: go on from the last ``fit`` instead of starting anew.
        momentum: of sgd, in [0, 1).
        nesterovs_momentum: whether it is Nesterov's.
        early_stopping: hold out a part of the examples, stop when their score improves no more, and keep the best.
        validation_fraction: how large that part is.
        beta_1, beta_2: how much of adam's running means is kept.
        epsilon: keeps adam's quotient finite.
        n_iter_no_change: how many epochs may bring nothing.
        max_fun: the most evaluations of the loss, for lbfgs.

    Attributes:
        model_: the Sequential; its outputs are logits, before ``out_activation_``.
        classes_: the labels, (classes,).
        coefs_, intercepts_: weights (in, out) and biases (out,) of each layer: views into ``model_``.
        loss_, n_iter_, t_: the last loss, the epochs, the examples seen.
        loss_curve_, best_loss_: the loss of every epoch, and the lowest; only sgd and adam.
        validation_scores_, best_validation_score_: likewise, if ``early_stopping``, else None.
        n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_: what the network is made for.

    Raises ValueError for a parameter out of range, when ``fit`` is called, as scikit-learn's estimators do.

    >>> from sklearn.datasets import make_moons
    >>> points, labels = make_moons(100, noise=0.1, random_state=0)
    >>> classifier = MLPClassifier((8,), "tanh", solver="lbfgs", random_state=0).fit(points, labels)
    >>> classifier.score(points, labels)
    1.0
    >>> classifier.model_
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=True)
      (1): Activation(tanh)
      (2): Linear(in_features=8, out_features=1, bias=True)
    )
    """

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
    ) -> None:
        self._set(locals())

    @available_if(has_partial_fit)  # type: ignore[untyped-decorator]  # scikit-learn has no type information
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Go once over some examples, going on from what was learned before; not for lbfgs.

        Args:
            X, y, sample_weight: as for ``fit``.
            classes: all labels that will ever come, (classes,); needed in the first call.

        Returns the estimator. Raises ValueError for labels that are not among the classes.
        """
        if _check_partial_fit_first_call(self, classes):
            several = type_of_target(y).startswith("multilabel")
            self._binarizer = LabelBinarizer().fit(y if several else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """The label of each example, (n,), or its labels as zeros and ones, (n, labels)."""
        return self._labels(self._checked_outputs(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of every class, (n, classes), in the order of ``classes_``; or of every label."""
        p = self._checked_outputs(X)
        return np.hstack([1.0 - p, p]) if self.n_outputs_ == 1 else p

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of ``predict_proba``."""
        p = self.predict_proba(X)
        result: np.ndarray = np.log(p, out=p)
        return result

    def _labels(self, outputs: np.ndarray) -> np.ndarray:
        labels: np.ndarray = self._binarizer.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs)
        return labels

    def _checked_data(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        X, y = validate_data(self, X, y, accept_sparse="csr", multi_output=True, dtype=FLOATS, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._binarizer.classes_
        classes = unique_labels(y)
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {classes}"
            )
        if not set(classes) <= set(self.classes_):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )
        self.out_activation_ = "softmax" if self._binarizer.y_type_ == "multiclass" else "logistic"
        return X, self._binarizer.transform(y).astype(X.dtype)

    def _score(self, X: Any, y: np.ndarray, weight: np.ndarray) -> float:
        outputs = self._outputs(X)
        if not np.isfinite(outputs).all():
            return math.nan
        return float(accuracy_score(self._labels(y), self._labels(outputs), sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no type information
    """A multilayer perceptron that predicts numbers; scikit-learn's class of this name, trained by our engine.

    Targets are numbers, (n,) or (n, outputs).

    Args:
        loss: "squared_error", half of it; or "poisson", half the Poisson deviance of exp(output), for counts.
        hidden_layer_sizes, ...: all other arguments and attributes are those of ``MLPClassifier``, except classes_.

    For several outputs ``loss_`` is the mean of their squared errors, but their sum is made small, so that outputs do
    not share a rate. So do scikit-learn's sgd and adam; its lbfgs mixes the mean with the gradient of the sum.
    Raises ValueError for a parameter out of range, when ``fit`` is called, as scikit-learn's estimators do.

    >>> x = np.linspace(-3.0, 3.0, 50).reshape(-1, 1)
    >>> regressor = MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", solver="lbfgs", random_state=0)
    >>> regressor.fit(x, np.sin(x).ravel()).score(x, np.sin(x).ravel()) > 0.99
    True
    """

    _parameter_constraints = CONSTRAINTS | {"loss": theirs.MLPRegressor._parameter_constraints["loss"]}

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
    ) -> None:
        self._set(locals())

    @available_if(has_partial_fit)  # type: ignore[untyped-decorator]  # scikit-learn has no type information
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go once over some examples, going on from what was learned before; not for lbfgs.

        Args:
            X, y, sample_weight: as for ``fit``.

        Returns the estimator. Raises ValueError for data that do not fit.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """What is predicted of each example, (n,) or (n, outputs)."""
        outputs = self._checked_outputs(X)
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def _checked_data(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:  # noqa: ARG002  # only for classes
        options = {"accept_sparse": "csr", "multi_output": True, "y_numeric": True, "dtype": FLOATS}
        X, y = validate_data(self, X, y, reset=reset, **options)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0.0).any():
            raise ValueError(f"loss='poisson' needs targets of at least 0, got {y.min()}")
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        return X, y.astype(X.dtype)

    def _score(self, X: Any, y: np.ndarray, weight: np.ndarray) -> float:
        outputs = self._outputs(X)
        return float(r2_score(y, outputs, sample_weight=weight)) if np.isfinite(outputs).all() else math.nan
