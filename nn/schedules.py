"""Learning rates as functions of the step, what sets them on an optimizer, and a scan that recommends one.

A schedule is a pure function of the step t = 0, 1, 2, ... that gives the rate of that step; whether a step is a batch
or an epoch is up to the caller. ``attach`` sets the rates on an optimizer.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._optimizer import Optimizer, number_of

__all__ = [
    "LRScan",
    "ReduceLROnPlateau",
    "Schedule",
    "Scheduler",
    "attach",
    "chain",
    "constant",
    "cosine",
    "cosine_warm_restarts",
    "cyclical",
    "exponential",
    "inverse_time",
    "linear",
    "lr_scan",
    "multi_step",
    "one_cycle",
    "polynomial",
    "sequential",
    "step",
    "warmup",
]

Schedule = Callable[[int], float]
"""A rate as a function of the step."""


# ---- schedules ------------------------------------------------------------------------------------------------------


def constant(lr: float) -> Schedule:
    """The same rate at every step.

    >>> constant(0.1)(1000)
    0.1
    """
    _require(lr >= 0.0, "lr", "at least 0", lr)
    return lambda t: lr


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """lr gamma^floor(t / step_size): multiplied by gamma every step_size steps.

    >>> [step(1.0, step_size=2, gamma=0.5)(t) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    _require(step_size >= 1, "step_size", "at least 1", step_size)
    return lambda t: lr * gamma ** (t // step_size)


def multi_step(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """Multiplied by gamma at each of the milestones.

    >>> [multi_step(1.0, milestones=[1, 3], gamma=0.5)(t) for t in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """
    ordered = sorted(milestones)
    return lambda t: lr * gamma ** bisect.bisect_right(ordered, t)


def exponential(lr: float, gamma: float, every: int = 1) -> Schedule:
    """lr gamma^(t / every), without stairs: by the factor gamma in ``every`` steps.

    >>> exponential(0.02, gamma=0.96, every=100)(100)
    0.0192
    """
    _require(every >= 1, "every", "at least 1", every)
    return lambda t: lr * gamma ** (t / every)


def inverse_time(lr: float, decay: float, every: int = 1) -> Schedule:
    """lr / (1 + decay t / every).

    >>> inverse_time(1.0, decay=1.0)(3)
    0.25
    """
    _require(every >= 1, "every", "at least 1", every)
    return lambda t: lr / (1.0 + decay * t / every)


def polynomial(lr: float, total: int, power: float = 1.0, end: float = 0.0) -> Schedule:
    """end + (lr - end) (1 - t / total)^power, and end from step total on.

    >>> [polynomial(1.0, total=4)(t) for t in (0, 2, 4, 6)]
    [1.0, 0.5, 0.0, 0.0]
    """
    _require(total >= 1, "total", "at least 1", total)
    return lambda t: end + (lr - end) * (1.0 - min(t, total) / total) ** power


def linear(start: float, end: float, total: int) -> Schedule:
    """A straight line from start at t = 0 to end at t = total, and end from there on.

    >>> [linear(0.0, 1.0, total=4)(t) for t in (0, 1, 4, 5)]
    [0.0, 0.25, 1.0, 1.0]
    """
    _require(total >= 1, "total", "at least 1", total)
    return lambda t: start + (end - start) * min(t, total) / total


def cosine(lr: float, t_max: int, eta_min: float = 0.0) -> Schedule:
    """eta_min + (lr - eta_min) (1 + cos(pi t / t_max)) / 2: half a wave down; after t_max it rises again.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, without restarts.

    >>> [round(cosine(1.0, t_max=4)(t), 6) for t in (0, 2, 4, 8)]
    [1.0, 0.5, 0.0, 1.0]
    """
    _require(t_max >= 1, "t_max", "at least 1", t_max)
    return lambda t: eta_min + (lr - eta_min) * (1.0 + math.cos(math.pi * t / t_max)) / 2.0


def cosine_warm_restarts(lr: float, t_0: int, t_mult: int = 1, eta_min: float = 0.0) -> Schedule:
    """The cosine over t_0 steps, then again from the top over t_0 t_mult steps, and so on.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    >>> [round(cosine_warm_restarts(1.0, t_0=2, t_mult=2)(t), 6) for t in range(7)]
    [1.0, 0.5, 1.0, 0.853553, 0.5, 0.146447, 1.0]
    """
    _require(t_0 >= 1, "t_0", "at least 1", t_0)
    _require(t_mult >= 1, "t_mult", "at least 1", t_mult)

    def schedule(t: int) -> float:
        length = t_0
        if t_mult == 1:
            t %= t_0
        while t >= length:  # as many turns as restarts, and each is longer than the last
            t, length = t - length, length * t_mult
        return cosine(lr, length, eta_min)(t)

    return schedule


def cyclical(
    base_lr: float,
    max_lr: float,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> Schedule:
    """Up and down in straight lines between base_lr and max_lr.

    Args:
        base_lr: the rate at t = 0 and at the end of every cycle.
        max_lr: the top of the first cycle.
        step_size_up: the steps from bottom to top.
        step_size_down: the steps from top to bottom; by default as many.
        mode: "triangular": all tops equal; "triangular2": each cycle half as high as the last; "exp_range": the height
            is multiplied by gamma^t.
        gamma: for "exp_range".

    Raises ValueError for another mode or a step size below 1.
    Source: Smith, "Cyclical learning rates for training neural networks", 2017.

    >>> [round(cyclical(0.1, 0.5, step_size_up=2, mode="triangular2")(t), 6) for t in range(7)]
    [0.1, 0.3, 0.5, 0.3, 0.1, 0.2, 0.3]
    """
    modes: dict[str, Callable[[int, int], float]] = {
        "triangular": lambda t, cycle: 1.0,
        "triangular2": lambda t, cycle: 0.5**cycle,
        "exp_range": lambda t, cycle: gamma**t,
    }
    _require(mode in modes, "mode", f"one of {', '.join(modes)}", mode)
    down = step_size_up if step_size_down is None else step_size_down
    _require(min(step_size_up, down) >= 1, "step_size_up and step_size_down", "at least 1", (step_size_up, down))

    def schedule(t: int) -> float:
        cycle, place = divmod(t, step_size_up + down)
        height = place / step_size_up if place <= step_size_up else 1.0 - (place - step_size_up) / down
        return base_lr + (max_lr - base_lr) * height * modes[mode](t, cycle)

    return schedule


def one_cycle(
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """One rise to max_lr and one long fall far below the start; after the last step the rate stays.

    Args:
        max_lr: the top.
        total_steps: the number of steps; the last has t = total_steps - 1.
        pct_start: the part of them in which the rate rises, in [0, 1].
        anneal_strategy: "cos" or "linear", the form of rise and fall.
        div_factor: the first rate is max_lr / div_factor.
        final_div_factor: the last rate is the first / final_div_factor.
        three_phase: fall to the first rate as fast as it rose, then on to the last.

    Raises ValueError for an option out of its range.
    Source: Smith and Topin, "Super-convergence", 2018; the options are PyTorch's.

    >>> [round(one_cycle(1.0, total_steps=11, pct_start=0.5, anneal_strategy="linear")(t), 4) for t in (0, 4, 10)]
    [0.04, 0.8933, 0.0]
    """
    _require(total_steps >= 1, "total_steps", "at least 1", total_steps)
    _require(0.0 <= pct_start <= 1.0, "pct_start", "in [0, 1]", pct_start)
    _require(anneal_strategy in ("cos", "linear"), "anneal_strategy", "cos or linear", anneal_strategy)
    first, top, last = max_lr / div_factor, pct_start * total_steps - 1.0, float(total_steps - 1)
    phases = [(top, first, max_lr), (last, max_lr, first / final_div_factor)]
    if three_phase:
        phases[1:] = [(2.0 * top, max_lr, first), (last, first, first / final_div_factor)]

    def schedule(t: int) -> float:
        begin = 0.0
        for end, low, high in phases:  # noqa: B007  # the phase that t is in is used below
            if t <= end:
                break
            begin = end
        part = min((t - begin) / (end - begin), 1.0) if end > begin else 1.0
        return low + (high - low) * (part if anneal_strategy == "linear" else (1.0 - math.cos(math.pi * part)) / 2.0)

    return schedule


# ---- composition ----------------------------------------------------------------------------------------------------


def warmup(schedule: Schedule, steps: int, start_factor: float = 0.0) -> Schedule:
    """A straight line from start_factor of the schedule's first rate up to it, then the schedule from its beginning.

    Args:
        schedule: what follows the warm-up.
        steps: the length of the warm-up; at t = steps the schedule begins.
        start_factor: the part of the first rate to start from, at least 0.

    Raises ValueError for steps below 1 or a start_factor below 0.

    >>> [round(warmup(exponential(1.0, 0.5), steps=2)(t), 6) for t in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    _require(start_factor >= 0.0, "start_factor", "at least 0", start_factor)
    first = schedule(0)
    return sequential([linear(start_factor * first, first, steps), schedule], [steps])


def sequential(schedules: Sequence[Schedule], milestones: Sequence[int]) -> Schedule:
    """One schedule after another; each begins at its t = 0 when its milestone is reached.

    Args:
        schedules: at least one.
        milestones: the steps at which the second, third, ... begins, increasing.

    Raises ValueError unless there is one schedule more than milestones, and these increase.

    >>> [sequential([constant(0.1), exponential(1.0, 0.5)], [2])(t) for t in range(5)]
    [0.1, 0.1, 1.0, 0.5, 0.25]
    """
    schedules, starts = list(schedules), [0, *milestones]
    if len(schedules) != len(starts):
        raise ValueError(f"{len(schedules)} schedules need {len(schedules) - 1} milestones, got {len(starts) - 1}")
    _require(starts == sorted(set(starts)), "milestones", "above 0 and increasing", list(milestones))

    def schedule(t: int) -> float:
        i = bisect.bisect_right(starts, t) - 1
        return schedules[i](t - starts[i])

    return schedule


def chain(lr: float, schedules: Sequence[Schedule]) -> Schedule:
    """Several schedules at once: lr times the product of their factors, a factor being schedule(t) / schedule(0).

    Raises ValueError if a schedule begins with the rate 0, which has no factor.

    >>> halves, thirds = exponential(1.0, 0.5), step(1.0, step_size=2, gamma=0.1)
    >>> [round(chain(4.0, [halves, thirds])(t), 6) for t in range(3)]
    [4.0, 2.0, 0.1]
    """
    schedules = list(schedules)
    firsts = [schedule(0) for schedule in schedules]
    _require(all(firsts), "the first rate of every schedule", "above 0", firsts)
    return lambda t: lr * math.prod(s(t) / first for s, first in zip(schedules, firsts, strict=True))


def _require(condition: bool, name: str, expected: str, got: Any) -> None:
    if not condition:
        raise ValueError(f"{name} must be {expected}, got {got}")


# ---- on an optimizer ------------------------------------------------------------------------------------------------


class Scheduler:
    """A schedule attached to an optimizer; ``attach`` makes it.

    ``scheduler.t`` is the step whose rate the optimizer has.

    >>> from autodiff import Value
    >>> from nn.optim import SGD
    >>> optimizer = SGD([Value(1.0)])
    >>> scheduler = attach(optimizer, exponential(1.0, gamma=0.5))
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.t, optimizer.lr
    (1, 0.5)
    """

    def __init__(self, optimizer: Optimizer, schedules: list[Schedule]) -> None:
        self.optimizer = optimizer
        self.schedules = schedules
        self.t = 0
        self._set()

    def step(self) -> None:
        """Set the rate of the next step; call it after ``optimizer.step()``."""
        self.t += 1
        self._set()

    def state_dict(self) -> dict[str, int]:
        """The step reached; the rest is the schedule itself."""
        return {"t": self.t}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a step that ``state_dict`` gave. Raises ValueError, with nothing changed, for anything else."""
        _check_state("Scheduler", self.state_dict(), state_dict)
        if state_dict["t"] < 0 or state_dict["t"] != int(state_dict["t"]):
            raise ValueError(f"t must be a whole number, at least 0, got {state_dict['t']}; nothing was changed")
        self.t = int(state_dict["t"])
        self._set()

    def _set(self) -> None:
        for group, schedule in zip(self.optimizer.param_groups, self.schedules, strict=True):
            group["lr"] = schedule(self.t)


def attach(optimizer: Optimizer, schedule: Schedule | Sequence[Schedule]) -> Scheduler:
    """Let a schedule set an optimizer's rate: that of t = 0 now, and the next at each ``step()`` of what is returned.

    Args:
        optimizer: its ``lr`` is set; what it was before is forgotten.
        schedule: a function of the step; or a list of them, one for every parameter group.

    Raises ValueError if the groups have different rates and there are not as many schedules, TypeError for an optimizer
    without a rate or a schedule that is not a function.

    >>> from autodiff import Value
    >>> from nn.optim import SGD
    >>> optimizer = SGD([Value(1.0)])
    >>> scheduler = attach(optimizer, warmup(constant(0.1), steps=2))
    >>> rates = []
    >>> for _ in range(3):
    ...     rates.append(optimizer.lr)
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.0, 0.05, 0.1]
    """
    groups = _groups_with_rates(optimizer)
    schedules = [schedule] * len(groups) if callable(schedule) else list(schedule)
    for given in schedules:
        if getattr(given, "__module__", "") == __name__ and (name := getattr(given, "__name__", "")) in __all__:
            raise TypeError(f"schedules.{name} is not a schedule, but makes one: write schedules.{name}(...)")
    if not all(map(callable, schedules)):
        raise TypeError(f"a schedule is a function of the step, got {schedule!r}; as constant(0.1) gives")
    if len(schedules) != len(groups):
        raise ValueError(f"{len(groups)} parameter groups need as many schedules, got {len(schedules)}")
    if callable(schedule) and len({group["lr"] for group in groups}) > 1:
        rates = [group["lr"] for group in groups]
        raise ValueError(f"the groups have different rates {rates}; pass a list of schedules, one for every group")
    return Scheduler(optimizer, schedules)


class ReduceLROnPlateau:
    """Multiply the rate by a factor when a loss or score has stopped getting better; options as in PyTorch.

    Args:
        optimizer: the rate of each of its groups is reduced.
        mode: "min" if lower is better, "max" if higher is.
        factor: what the rate is multiplied by, below 1.
        patience: how many steps without progress are tolerated; at the next one the rate falls.
        threshold: how much better than the best counts as progress.
        threshold_mode: "rel": the threshold is a part of the best; "abs": a difference.
        cooldown: how many steps after a reduction do not count.
        min_lr: the rate never falls below.
        eps: a reduction by less than this is not made.

    Raises ValueError for an option out of its range, TypeError for an optimizer without a rate.

    >>> from autodiff import Value
    >>> from nn.optim import SGD
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 1.0):
    ...     plateau.step(loss)
    >>> optimizer.lr
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        _groups_with_rates(optimizer)
        _require(mode in ("min", "max"), "mode", "min or max", mode)
        _require(0.0 < factor < 1.0, "factor", "between 0 and 1", factor)
        _require(threshold_mode in ("rel", "abs"), "threshold_mode", "rel or abs", threshold_mode)
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lr, self.eps = min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = self.cooling = 0

    def step(self, metric: float) -> None:
        """Take note of a loss or score, and reduce the rate if it has stopped getting better."""
        metric = number_of(metric)
        if self._is_better(metric):
            self.best, self.bad_steps = metric, 0
        else:
            self.bad_steps += 1
        if self.cooling:
            self.cooling -= 1
            self.bad_steps = 0
        if self.bad_steps > self.patience:
            self.cooling, self.bad_steps = self.cooldown, 0
            for group in self.optimizer.param_groups:
                lower = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - lower > self.eps:
                    group["lr"] = lower

    def _is_better(self, metric: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "abs":
            return sign * metric > sign * self.best + self.threshold
        return sign * metric > sign * (self.best * (1.0 + sign * self.threshold))

    def state_dict(self) -> dict[str, float]:
        """The best so far and the two counts; the rate itself is in the optimizer's state."""
        return {"best": self.best, "bad_steps": self.bad_steps, "cooling": self.cooling}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave. Raises ValueError, with nothing changed, for anything else."""
        _check_state("ReduceLROnPlateau", self.state_dict(), state_dict)
        self.best = float(state_dict["best"])
        self.bad_steps, self.cooling = int(state_dict["bad_steps"]), int(state_dict["cooling"])


def _groups_with_rates(optimizer: Any) -> list[dict[str, Any]]:
    if not isinstance(optimizer, Optimizer) or "lr" not in optimizer.defaults:
        raise TypeError(f"an optimizer with a learning rate is needed, got {type(optimizer).__name__}")
    return optimizer.param_groups


def _check_state(name: str, own: dict[str, Any], given: dict[str, Any]) -> None:
    wrong = [f"{key}: missing" for key in own if key not in given]
    wrong += [f"{key}: unexpected" for key in given if key not in own]
    wrong += [f"{k}: got {v!r}, expected a number" for k, v in given.items() if k in own and not _is_number(v)]
    if wrong:
        raise ValueError(f"the state does not fit this {name}; nothing was changed:\n  " + "\n  ".join(wrong))


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not math.isnan(x)


# ---- which rate? ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LRScan:
    """What ``lr_scan`` found: the rates it tried, the loss before each of these steps, and the rate it recommends.

    >>> LRScan(rates=[0.01, 0.1, 1.0], losses=[1.0, 0.5, 9.0], suggestion=0.05).suggestion
    0.05
    """

    rates: list[float] = field(repr=False)
    losses: list[float] = field(repr=False)
    suggestion: float


def lr_scan(
    optimizer: Optimizer,
    closure: Callable[[], Any],
    *,
    start: float = 1e-6,
    end: float = 1.0,
    steps: int = 100,
    stop: float = 10.0,
    model: Any = None,
) -> LRScan:
    """Try rates that grow from step to step, put everything back, and set half the rate of the lowest loss.

    Args:
        optimizer: makes the steps; afterwards its parameters and state are as before, its gradients cleared, and its
            ``lr`` is the suggestion.
        closure: clears the gradients, computes the loss of the next batch, calls ``backward`` and returns the loss.
        start, end: the first and the last rate; between them they grow by a constant factor.
        steps: how many rates, at least 2.
        stop: the scan ends early when the loss is this many times the first, or nan.
        model: a module whose ``state_dict`` is put back too; for one that remembers more than parameters (batch norm).

    Returns the rates, the losses and the suggestion, for a plot with a logarithmic axis of rates.
    Raises ValueError for a range of rates that does not grow, if the first loss is not finite, or if the closure gives
    no gradient but 0. Then, and if the closure raises, everything is put back too, and so is the rate.
    Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.

    >>> from autodiff import Value
    >>> from nn.optim import SGD
    >>> p = Value(1.0)
    >>> optimizer = SGD([p])
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = p * p
    ...     loss.backward()
    ...     return loss
    >>> scan = lr_scan(optimizer, closure, start=1e-3, end=10.0, steps=50)
    >>> 0.1 < scan.suggestion < 1.0, optimizer.lr == scan.suggestion, p.data
    (True, True, 1.0)
    """
    _groups_with_rates(optimizer)
    _require(0.0 < start < end, "start and end", "rates above 0, start below end", (start, end))
    _require(steps >= 2, "steps", "at least 2", steps)
    before = [p.data if isinstance(p.data, float) else p.data.copy() for p in optimizer.parameters]
    state, model_state = optimizer.state_dict(), _copied(model)
    rates: list[float] = []
    losses: list[float] = []
    try:
        for i in range(steps):
            optimizer.lr = start * (end / start) ** (i / (steps - 1))
            loss = optimizer.step(closure)
            if not i and math.isfinite(loss or 0.0) and not any(map(_has_slope, optimizer.parameters)):
                raise ValueError("the closure gave no gradients; does it call loss.backward(), on this model?")
            rates.append(optimizer.lr)
            losses.append(math.nan if loss is None else loss)
            if not losses[-1] <= stop * abs(losses[0]):
                break
    finally:
        if model is not None:
            model.load_state_dict(model_state)
        for p, data in zip(optimizer.parameters, before, strict=True):
            p.data = data
        optimizer.load_state_dict(state)
        optimizer.zero_grad()
    if not math.isfinite(losses[0]):
        raise ValueError(f"the first loss must be finite, got {losses[0]}; look at the data and the starting weights")
    finite = [(loss, rate) for loss, rate in zip(losses, rates, strict=True) if math.isfinite(loss)]
    optimizer.lr = min(finite)[1] / 2.0
    return LRScan(rates, losses, optimizer.lr)


def _has_slope(parameter: Any) -> bool:
    return parameter.grad is not None and bool(np.any(parameter.grad))


def _copied(model: Any) -> dict[str, Any]:
    """The state of a module, each array a copy."""
    state = {} if model is None else model.state_dict()
    return {name: x.copy() if hasattr(x, "copy") else x for name, x in state.items()}
