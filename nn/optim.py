"""Optimizers: they change parameters by their gradients. Values and Tensors alike, with PyTorch's options and defaults.

In the formulas p is a parameter, g its gradient, t the number of the step, starting at 1; products, quotients and roots
are taken element by element. A ``weight_decay`` w adds w p to g (AdamW and NAdam can shrink p by lr w p instead).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autodiff import Node

from ._optimizer import Optimizer, blocks, number_of, units_of

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "GradientDescent",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum: v = momentum v + (1 - dampening) g; p = p - lr v.

    Args:
        parameters: leaves, Values or Tensors, or parameter groups (see ``Optimizer``).
        lr: the learning rate; readable and settable as ``optimizer.lr``.
        momentum: in [0, 1).
        dampening: the part of g that does not enter v; the first v is g.
        weight_decay: added to g as weight_decay * p.
        nesterov: step by g + momentum v instead of v, so by the gradient where the momentum leads to.

    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Sutskever et al., "On the importance of initialization and momentum", 2013, in PyTorch's form.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = SGD([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> p.data
    0.8
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        if options.get("nesterov") and (options["momentum"] == 0.0 or options["dampening"] != 0.0):
            got = f"got momentum {options['momentum']} and dampening {options['dampening']}"
            raise ValueError(f"nesterov needs a momentum above 0 and no dampening, {got}")
        return super()._checked(options)

    def memory(self, group: dict[str, Any]) -> dict[str, float]:
        """The velocity v, if there is momentum."""
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def update(self, group: Any, pieces: Any) -> None:
        """v = momentum v + (1 - dampening) g; p = p - lr v."""
        lr, dampening = self.scalar(group["lr"]), group["dampening"]
        momentum = group["momentum"] and self.scalar(group["momentum"])
        for p, g, state in pieces:
            if (v := state.get("momentum_buffer")) is not None:
                v *= momentum
                v += (1.0 - dampening) * g if dampening and state["step"] > 1 else g
                g = g + momentum * v if group["nesterov"] else v
            p -= lr * g


class Adagrad(Optimizer):
    """Rates that fall with the squares summed so far: s = s + g^2; p = p - lr/(1 + (t-1) lr_decay) g / (sqrt(s) + eps).

    Args:
        parameters: leaves, Values or Tensors, or parameter groups (see ``Optimizer``).
        lr: the learning rate.
        lr_decay: how fast the rate falls by itself.
        weight_decay: added to g as weight_decay * p.
        initial_accumulator_value: the first s.
        eps: keeps the quotient finite.

    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods", 2011.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = Adagrad([p], lr=0.5)
    >>> (p * p).backward()
    >>> optimizer.step()  # the first step is lr in the direction of the sign
    >>> round(p.data, 6)
    0.5
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        start = initial_accumulator_value
        super().__init__(
            parameters, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=start, eps=eps
        )

    def memory(self, group: dict[str, Any]) -> dict[str, float]:
        """The sum of squares s."""
        return {"sum": group["initial_accumulator_value"]}

    def update(self, group: Any, pieces: Any) -> None:
        """s = s + g^2; p = p - lr/(1 + (t-1) lr_decay) g / (sqrt(s) + eps)."""
        for p, g, state in pieces:
            t, s = state["step"], state["sum"]
            s += g * g
            p -= group["lr"] / (1.0 + (t - 1) * group["lr_decay"]) * g / (np.sqrt(s) + group["eps"])


class Adadelta(Optimizer):
    """Steps in the unit of the parameters: s = rho s + (1-rho) g^2; d = sqrt(a+eps)/sqrt(s+eps) g; p = p - lr d.

    Then a = rho a + (1-rho) d^2.

    Args:
        parameters: leaves, Values or Tensors, or parameter groups (see ``Optimizer``).
        lr: a factor for all steps.
        rho: how much of the two running means is kept.
        eps: added under both roots; it starts the movement.
        weight_decay: added to g as weight_decay * p.

    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = Adadelta([p])
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> round(p.data, 6)
    0.996838
    """

    def __init__(
        self, parameters: Iterable[Any], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)

    def memory(self, group: dict[str, Any]) -> dict[str, float]:  # noqa: ARG002  # the same for every group
        """The running means s of squared gradients and a of squared steps."""
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def update(self, group: Any, pieces: Any) -> None:
        """s = rho s + (1-rho) g^2; d = sqrt(a+eps)/sqrt(s+eps) g; p = p - lr d; a = rho a + (1-rho) d^2."""
        rho, eps = group["rho"], group["eps"]
        for p, g, state in pieces:
            s, a = state["square_avg"], state["acc_delta"]
            s *= rho
            s += (1.0 - rho) * g * g
            d = np.sqrt((a + eps) / (s + eps)) * g
            a *= rho
            a += (1.0 - rho) * d * d
            p -= group["lr"] * d


class RMSprop(Optimizer):
    """Gradients divided by their running size: s = alpha s + (1-alpha) g^2; p = p - lr g / (sqrt(s) + eps).

    Args:
        parameters: leaves, Values or Tensors, or parameter groups (see ``Optimizer``).
        lr: the learning rate.
        alpha: how much of the running mean is kept.
        eps: keeps the quotient finite.
        weight_decay: added to g as weight_decay * p.
        momentum: v = momentum v + g / (sqrt(s) + eps), and p = p - lr v.
        centered: divide by the running standard deviation: s - m^2 under the root, with m the running mean of g.

    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Hinton, lecture 6 of "Neural networks for machine learning", 2012; centred: Graves, "Generating sequences
    with recurrent neural networks", 2013, with PyTorch's eps outside the root.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = RMSprop([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()  # lr / sqrt(1 - alpha), in the direction of the sign
    >>> round(p.data, 6)
    0.0
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=centered
        )

    def memory(self, group: dict[str, Any]) -> dict[str, float]:
        """The running mean of squares; of the gradients if centred; the velocity if there is momentum."""
        wanted = {"square_avg": True, "grad_avg": group["centered"], "momentum_buffer": group["momentum"]}
        return {name: 0.0 for name, needed in wanted.items() if needed}

    def update(self, group: Any, pieces: Any) -> None:
        """s = alpha s + (1-alpha) g^2; p = p - lr g / (sqrt(s) + eps)."""
        alpha, momentum = group["alpha"], group["momentum"]
        for p, g, state in pieces:
            variance = s = state["square_avg"]
            s *= alpha
            s += (1.0 - alpha) * g * g
            if group["centered"]:
                m = state["grad_avg"]
                m += (1.0 - alpha) * (g - m)
                variance = s - m * m
            d = g / (np.sqrt(variance) + group["eps"])
            if momentum:
                v = state["momentum_buffer"]
                v *= momentum
                v += d
                d = v
            p -= group["lr"] * d


class Adam(Optimizer):
    """Running means of g and g^2, both corrected for their start at zero.

    m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p = p - lr m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps).

    Args:
        parameters: leaves, Values or Tensors, or parameter groups (see ``Optimizer``).
        lr: the learning rate.
        betas: b1 and b2, how much of the running means is kept, each in [0, 1).
        eps: keeps the quotient finite.
        weight_decay: added to g as weight_decay * p; ``AdamW`` shrinks p instead.
        amsgrad: divide by the largest v so far.

    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Kingma and Ba, "Adam", 2015; amsgrad: Reddi, Kale and Kumar, 2018.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = Adam([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()  # the first step is lr in the direction of the sign
    >>> round(p.data, 6)
    0.9
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)

    def memory(self, group: dict[str, Any]) -> dict[str, float]:
        """The running means m and v; the largest v if amsgrad."""
        return dict.fromkeys(("exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * bool(group["amsgrad"])), 0.0)

    def update(self, group: Any, pieces: Any) -> None:
        """m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p = p - lr m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps)."""
        b1, b2 = group["betas"]
        for p, g, state in pieces:
            t, m, v = state["step"], state["exp_avg"], state["exp_avg_sq"]
            m += (1.0 - b1) * (g - m)
            v += (1.0 - b2) * (g * g - v)
            if group["amsgrad"]:
                v = np.maximum(largest := state["max_exp_avg_sq"], v, out=largest)
            p -= group["lr"] / (1.0 - b1**t) * m / (np.sqrt(v / (1.0 - b2**t)) + group["eps"])


class AdamW(Adam):
    """Adam with decoupled weight decay: first p = p - lr weight_decay p, then Adam's step by g alone.

    Args:
        parameters: leaves, Values or Tensors, or parameter groups (see ``Optimizer``).
        lr, betas, eps, amsgrad: as in ``Adam``.
        weight_decay: the part of p, times lr, that every step takes away.

    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = AdamW([p], lr=0.1, weight_decay=0.5)
    >>> (p * 0.0).backward()
    >>> optimizer.step()
    >>> p.data
    0.95
    """

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad)


class Adamax(Optimizer):
    """Adam with the largest gradient in place of the mean square: u = max(b2 u, |g| + eps); p = p - lr m/(1-b1^t) / u.

    Args:
        parameters: leaves, Values or Tensors, or parameter groups (see ``Optimizer``).
        lr: the learning rate.
        betas: b1 for the running mean m of g, b2 for u, each in [0, 1).
        eps: keeps the quotient finite.
        weight_decay: added to g as weight_decay * p.

    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Kingma and Ba, "Adam", 2015, section 7.1; eps as in PyTorch.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = Adamax([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> round(p.data, 6)
    0.9
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def memory(self, group: dict[str, Any]) -> dict[str, float]:  # noqa: ARG002  # the same for every group
        """The running mean m and the running maximum u."""
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def update(self, group: Any, pieces: Any) -> None:
        """m = b1 m + (1-b1) g; u = max(b2 u, |g| + eps); p = p - lr m/(1-b1^t) / u."""
        b1, b2 = group["betas"]
        for p, g, state in pieces:
            t, m, u = state["step"], state["exp_avg"], state["exp_inf"]
            m += (1.0 - b1) * (g - m)
            u *= b2
            np.maximum(u, np.abs(g) + group["eps"], out=u)
            p -= group["lr"] / (1.0 - b1**t) * m / u


class NAdam(Optimizer):
    """Adam with Nesterov's look ahead, and a momentum mu_t = b1 (1 - 0.96^(t momentum_decay) / 2) that grows.

    With P = mu_1 ... mu_t, and m and v as in Adam,
    p = p - lr (mu_{t+1} m / (1 - P mu_{t+1}) + (1-mu_t) g / (1 - P)) / (sqrt(v/(1-b2^t)) + eps).

    Args:
        parameters: leaves, Values or Tensors, or parameter groups (see ``Optimizer``).
        lr: the learning rate.
        betas: b1 and b2, how much of the running means m and v (as in ``Adam``) is kept, each in [0, 1).
        eps: keeps the quotient finite.
        weight_decay: added to g as weight_decay * p.
        momentum_decay: how fast mu rises to b1.
        decoupled_weight_decay: shrink p by lr weight_decay p instead.

    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Dozat, "Incorporating Nesterov momentum into Adam", 2016.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = NAdam([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> round(p.data, 6)
    0.894355
    """

    counters = {"step": 0, "mu_product": 1.0}  # noqa: RUF012  # a ClassVar of the base

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    def memory(self, group: dict[str, Any]) -> dict[str, float]:  # noqa: ARG002  # the same for every group
        """The running means m and v."""
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def advance(self, group: dict[str, Any], state: dict[str, Any]) -> None:
        """P = P mu_t."""
        state["mu_product"] *= _mu(group, state["step"])

    def update(self, group: Any, pieces: Any) -> None:
        """p = p - lr (mu_{t+1} m / (1 - P mu_{t+1}) + (1-mu_t) g / (1 - P)) / (sqrt(v/(1-b2^t)) + eps)."""
        b1, b2 = group["betas"]
        for p, g, state in pieces:
            t, product, m, v = state["step"], state["mu_product"], state["exp_avg"], state["exp_avg_sq"]
            mu, mu_next = _mu(group, t), _mu(group, t + 1)
            m += (1.0 - b1) * (g - m)
            v += (1.0 - b2) * (g * g - v)
            ahead = mu_next / (1.0 - product * mu_next) * m + (1.0 - mu) / (1.0 - product) * g
            p -= group["lr"] * ahead / (np.sqrt(v / (1.0 - b2**t)) + group["eps"])


def _mu(group: dict[str, Any], t: int) -> float:
    """NAdam's momentum at step t."""
    return float(group["betas"][0] * (1.0 - 0.5 * 0.96 ** (t * group["momentum_decay"])))


# ---- optimizers that evaluate the loss more than once ---------------------------------------------------------------


class _Search(Optimizer, ABC):
    """What the optimizers share that evaluate the loss several times a step: the problem as one long vector."""

    def add_param_group(self, group: Any) -> None:
        """These optimizers have one group of parameters, the one they are made with. Raises ValueError for another."""
        if self.param_groups:
            raise ValueError(f"{type(self).__name__} moves all parameters together and has one group, got another")
        super().add_param_group(group)

    def _units(self) -> list[Any]:
        return [unit for unit, _, _ in self._walk[0][1]]

    def _get(self, what: str) -> np.ndarray:
        """All data, or all gradients, as one float64 vector; zeros where there is no gradient."""
        parts = [(unit, getattr(unit, what)) for unit in self._units()]
        return np.concatenate(
            [np.zeros(unit.data.size) if part is None else np.ravel(part) for unit, part in parts], dtype=np.float64
        )

    def _set(self, x: np.ndarray) -> None:
        """Give the parameters the numbers of one vector."""
        start = 0
        for unit in self._units():
            data = unit.data
            data[...] = x[start : start + data.size].reshape(data.shape)
            unit.data = data
            start += data.size

    def step(self, closure: Callable[[], Any] | None = None) -> float:
        """Move to a place where the loss is lower.

        Args:
            closure: clears the gradients, computes the loss, calls ``backward`` and returns the loss; it is called
                several times, and must compute the same function each time.

        Returns the loss before the step. Raises ValueError if that is not finite, TypeError without a closure. If the
        closure raises, the parameters are where they were.
        """
        if closure is None:
            name = type(self).__name__
            raise TypeError(f"{name} evaluates the loss several times; pass step() a closure that computes it")
        start = self._get("data")
        try:
            loss = number_of(closure())
            if not math.isfinite(loss):
                raise ValueError(f"the loss must be finite to search a lower one, got {loss}")
            self._search(closure, loss, start)
        except BaseException:
            self._set(start)
            raise
        return loss

    @abstractmethod
    def _search(self, closure: Callable[[], Any], loss: float, start: np.ndarray) -> None:
        """Set the parameters to where the loss is lower than at the start."""


class LBFGS(_Search):
    """The limited-memory BFGS method, by SciPy's L-BFGS-B: it estimates the curvature from the last gradients.

    Args:
        parameters: leaves, Values or Tensors.
        max_iter: the most iterations of one call of ``step``.
        max_eval: the most evaluations of the loss; by default 5/4 of max_iter.
        tolerance_grad: stop when no element of the gradient is larger.
        tolerance_change: stop when an iteration lowers the loss by less than this part of it (or of 1).
        history_size: how many past steps the curvature is estimated from.

    ``optimizer.result`` is SciPy's report of the last step: ``fun`` (the loss reached), ``nit``, ``nfev``, ``message``.
    Each call of ``step`` begins a new estimate, so one call with a large max_iter is best; it needs the whole batch.
    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf,
    ImportError if SciPy is missing. Source: Byrd, Lu, Nocedal and Zhu, 1995.

    >>> from autodiff import Value
    >>> x, y = Value(0.8), Value(1.6)
    >>> optimizer = LBFGS([x, y], max_iter=100)
    >>> def beale():
    ...     optimizer.zero_grad()
    ...     loss = (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
    ...     loss.backward()
    ...     return loss
    >>> loss_before = optimizer.step(beale)
    >>> round(x.data, 4), round(y.data, 4)
    (3.0, 0.5)
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 10,
    ) -> None:
        super().__init__(
            parameters,
            max_iter=max_iter,
            max_eval=max(max_iter * 5 // 4, 1) if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
        )
        self.result: Any = None

    def _search(self, closure: Callable[[], Any], loss: float, start: np.ndarray) -> None:
        try:
            from scipy.optimize import minimize
        except ImportError as error:
            raise ImportError("LBFGS needs SciPy: pip install 'autodiff-nn[sklearn]'") from error
        group, known = self.param_groups[0], [(loss, self._get("grad"))]

        def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
            if known:  # SciPy begins where the step does, and the closure has been there
                return known.pop()
            self._set(x)
            return number_of(closure()), self._get("grad")

        options = {
            "maxiter": group["max_iter"],
            "maxfun": group["max_eval"],
            "gtol": group["tolerance_grad"],
            "ftol": group["tolerance_change"],
            "maxcor": group["history_size"],
        }
        self.result = minimize(evaluate, start, jac=True, method="L-BFGS-B", options=options)
        self._set(self.result.x)


class GradientDescent(_Search):
    """Gradient descent with Armijo's backtracking: p = p - r g, with r halved until the loss falls by armijo r |g|^2.

    Args:
        parameters: leaves, Values or Tensors.
        lr: the first rate r that every step tries.
        armijo: the part of the fall promised by the gradient that must come true, between 0 and 1.
        shrink: the factor from one trial of r to the next, between 0 and 1.
        max_trials: how many rates are tried; if none lowers the loss enough, the step changes nothing.

    ``optimizer.rate`` is the rate that the last step took, 0.0 if it changed nothing. After a step that changed
    something the gradients are those of the new place.
    Raises ValueError for no parameters or an option out of range, TypeError for anything that is not a leaf.
    Source: Armijo, 1966; Nocedal and Wright, "Numerical optimization", algorithm 3.1.

    >>> from autodiff import Value
    >>> p = Value(1.0)
    >>> optimizer = GradientDescent([p], lr=8.0)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = p * p
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure)
    1.0
    >>> p.data, optimizer.rate
    (0.0, 0.5)
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1.0,
        armijo: float = 1e-4,
        shrink: float = 0.5,
        max_trials: int = 50,
    ) -> None:
        super().__init__(parameters, lr=lr, armijo=armijo, shrink=shrink, max_trials=max_trials)
        self.rate = 0.0

    def _search(self, closure: Callable[[], Any], loss: float, start: np.ndarray) -> None:
        group, g = self.param_groups[0], self._get("grad")
        self.rate, fall = group["lr"], group["armijo"] * float(g @ g)
        for _ in range(group["max_trials"] if fall else 0):
            self._set(start - self.rate * g)
            if number_of(closure()) <= loss - self.rate * fall:
                return
            self.rate *= group["shrink"]
        self.rate = 0.0
        self._set(start)


# ---- clipping -------------------------------------------------------------------------------------------------------


def clip_grad_norm_(
    parameters: Iterable[Any], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients together, in place, so that the norm of all their elements is at most max_norm.

    Args:
        parameters: Values and Tensors, or one of them; a Tensor without a gradient is skipped.
        max_norm: gradients are multiplied by min(1, max_norm / (norm + 1e-6)), as in PyTorch.
        norm_type: the p of the p-norm, ``math.inf`` for the largest element.
        error_if_nonfinite: raise if the norm is nan or infinite, before any gradient is changed.

    Returns the norm before, a float. Raises ValueError for a norm that is not finite (if asked to), a max_norm below 0
    or a norm_type not above 0, TypeError for parameters that are no Values or Tensors.

    >>> from autodiff import Value
    >>> p, q = Value(0.0), Value(0.0)
    >>> (3.0 * p + 4.0 * q).backward()
    >>> clip_grad_norm_([p, q], max_norm=1.0)
    5.0
    >>> round(p.grad, 6), round(q.grad, 6)
    (0.6, 0.8)
    """
    if not max_norm >= 0.0:
        raise ValueError(f"max_norm must be at least 0, got {max_norm}")
    if not norm_type > 0.0:
        raise ValueError(f"norm_type must be above 0, got {norm_type}")
    units = _with_gradient("clip_grad_norm_", parameters)
    # In float64, also for float32: the norm has more terms than any one element, and its powers are larger
    sizes = (np.abs(block, dtype=np.float64).ravel() for unit in units for (block,) in blocks(unit.grad))
    if norm_type == math.inf:
        norm = float(np.max([np.max(x, initial=0.0) for x in sizes], initial=0.0))  # unlike Python's max, nan stays nan
    elif norm_type == 2.0:
        norm = math.sqrt(sum(float(x @ x) for x in sizes))
    else:
        norm = float(sum(float(np.sum(x**norm_type)) for x in sizes) ** (1.0 / norm_type))
    if error_if_nonfinite and not math.isfinite(norm):
        raise ValueError(f"the norm of the gradients is {norm}; no gradient was changed")
    if (factor := max_norm / (norm + 1e-6)) < 1.0 or math.isnan(factor):
        for unit in units:
            grad = unit.grad
            grad *= factor
            unit.grad = grad
    return norm


def clip_grad_value_(parameters: Iterable[Any], clip_value: float) -> None:
    """Clip every element of every gradient, in place, to [-clip_value, clip_value].

    Args:
        parameters: Values and Tensors, or one of them; a Tensor without a gradient is skipped.
        clip_value: at least 0.

    Raises ValueError for a clip_value below 0, TypeError for parameters that are no Values or Tensors.

    >>> from autodiff import Tensor
    >>> p = Tensor([1.0, -2.0])
    >>> (p * p).sum().backward()
    >>> clip_grad_value_([p], 3.0)
    >>> p.grad
    array([ 2., -3.])
    """
    if not clip_value >= 0.0:
        raise ValueError(f"clip_value must be at least 0, got {clip_value}")
    for unit in _with_gradient("clip_grad_value_", parameters):
        unit.grad = np.clip(grad := unit.grad, -clip_value, clip_value, out=grad)


def _with_gradient(name: str, parameters: Any) -> list[Any]:
    found = [parameters] if isinstance(parameters, Node) else list(parameters)
    for p in found:
        if not isinstance(p, Node):
            raise TypeError(f"{name} takes Values and Tensors, got {type(p).__name__}; pass model.parameters()")
    return [unit for unit in units_of(found) if unit.grad is not None]
