"""What every optimizer shares: parameter groups, the walk over large arrays, and the state that is saved."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np

from autodiff import Tensor, Value

__all__ = ["Optimizer", "blocks", "units_of"]

# A training step frees and asks for the same large arrays over and over. glibc's malloc hands each back to the system
# and fetches it again, and the page faults cost more than the arithmetic, unless its thresholds are high; they rise to
# the size of the largest block freed so far, up to 32 MB (mallopt(3), M_MMAP_THRESHOLD). This block is never touched.
np.empty((32 << 20) - 8192, np.uint8)

# Rules are applied to so many elements at a time. What they compute on the way then stays in the processor's cache and
# in a few reused blocks of half a megabyte, however large the parameter is. Up to WHOLE elements the walk costs more
# than it saves.
BLOCK, WHOLE = 1 << 16, 1 << 18

_FRACTION = ("in [0, 1)", lambda x: 0.0 <= x < 1.0)
_NOT_NEGATIVE = ("at least 0", lambda x: x >= 0.0)
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    **dict.fromkeys(("lr", "weight_decay", "eps", "lr_decay", "momentum_decay"), _NOT_NEGATIVE),
    **dict.fromkeys(("initial_accumulator_value", "tolerance_grad", "tolerance_change"), _NOT_NEGATIVE),
    **dict.fromkeys(("momentum", "betas", "alpha", "rho"), _FRACTION),
    **dict.fromkeys(("armijo", "shrink"), ("between 0 and 1", lambda x: 0.0 < x < 1.0)),
    **dict.fromkeys(("max_iter", "max_eval", "history_size", "max_trials"), ("at least 1", lambda x: x >= 1)),
}


class Optimizer:
    """The base of all optimizers: it owns the parameter groups and walks over them; a subclass is one update rule.

    Args:
        parameters: leaves (Values, Tensors or both), or a list of dicts, one a parameter group: its leaves under
            ``"params"``, and the options in which it differs. A leaf that occurs twice in a group is stepped once.
        defaults: the options of the rule, by name; every group has all of them.

    A Tensor without a gradient (``grad`` is None) is left alone. A Value always has one, 0.0 before any backward.
    All Values of a group are stepped together as one array.

    A rule of your own is a subclass with ``update``, and with ``memory`` if it remembers arrays. It is written in
    plain NumPy on arrays, and must change ``p`` and what it remembers in place:

    >>> class SignDescent(Optimizer):
    ...     def __init__(self, parameters, lr=0.1):
    ...         super().__init__(parameters, lr=lr)
    ...     def update(self, group, pieces):
    ...         for p, g, state in pieces:
    ...             p -= group["lr"] * np.sign(g)
    >>> p = Tensor([1.0, -2.0])
    >>> optimizer = SignDescent([p])
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.data
    array([ 0.9, -1.9])

    Raises ValueError for no parameters, a parameter in two groups, an unknown option or one out of its range;
    TypeError for anything that is not a leaf.
    """

    decoupled: ClassVar[bool] = False
    """Whether weight decay shrinks the parameters themselves, instead of being added to their gradients."""

    counters: ClassVar[dict[str, Any]] = {"step": 0}
    """The numbers remembered for every parameter, with the values they start from; ``step`` counts by itself."""

    advance: ClassVar[Any] = None
    """A method ``advance(self, group, state)`` that brings the other counters to the next step, if there are any."""

    def __init__(self, parameters: Iterable[Any], **defaults: Any) -> None:
        self.defaults = self._checked(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.parameters: list[Any] = []
        # For each group its units, each with what is remembered for it, and whether it is walked over in blocks
        self._walk: list[tuple[dict[str, Any], list[tuple[Any, dict[str, Any], bool]]]] = []
        found = self._listed(parameters)
        for group in found if isinstance(found[0], dict) else [{"params": found}]:
            self.add_param_group(group)

    # ---- parameter groups ----

    def add_param_group(self, group: Any) -> None:
        """Step more parameters, with options of their own: ``{"params": layer.parameters(), "lr": 0.01}``."""
        name = type(self).__name__
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f'a parameter group of {name} is a dict with "params", got {group!r}')
        params, stepped = self._listed(group["params"]), set(self.parameters)
        for p in params:
            if not isinstance(p, (Value, Tensor)) or not p.is_leaf:
                raise TypeError(f"{name} steps leaves (Value or Tensor), got {p!r}; pass model.parameters()")
            if p in stepped:
                raise ValueError(f"a parameter of {name} is in two groups: {p!r}; leave it out of one of them")
        params = list(dict.fromkeys(params))
        options = {key: value for key, value in group.items() if key != "params"}
        if unknown := options.keys() - self.defaults.keys():
            raise ValueError(f"{name} has no option {', '.join(sorted(unknown))}; it has {', '.join(self.defaults)}")
        group = {"params": params, **self._checked({**self.defaults, **options})}
        self.param_groups.append(group)
        self.parameters += params
        dtypes = {unit.data.dtype for unit in units_of(self.parameters)}
        self._dtype = dtypes.pop() if len(dtypes) == 1 else None
        units = units_of(params)
        self._walk.append((group, [(unit, dict(self.counters), unit.data.size > WHOLE) for unit in units]))

    def _listed(self, parameters: Any) -> list[Any]:
        name = type(self).__name__
        if not isinstance(parameters, Iterable) or isinstance(parameters, (Value, Tensor, dict, str)):
            raise TypeError(f"{name} takes parameters, got {type(parameters).__name__}; pass model.parameters()")
        if not (found := list(parameters)):
            raise ValueError(f"{name} got no parameters; pass model.parameters()")
        return found

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options as Python numbers, which keep float32 what it is. Raises if one is out of its range."""
        checked: dict[str, Any] = {}
        for name, value in options.items():
            expected, allowed = _RANGES.get(name, ("a number", lambda _: True))
            parts = tuple(value) if name == "betas" else (value,)
            if not all(isinstance(x, (int, float, np.bool_, np.integer, np.floating)) for x in parts):
                raise TypeError(f"{name} must be {expected}, got {type(value).__name__}: {value!r}")
            if not all(map(allowed, parts)) or any(isinstance(x, int) and x.bit_length() > 1000 for x in parts):
                raise ValueError(f"{name} must be {expected}, got {value}")
            plain = tuple(x.item() if isinstance(x, np.generic) else x for x in parts)
            checked[name] = plain if name == "betas" else plain[0]
        if len(betas := checked.get("betas", (0.0, 0.0))) != 2:
            raise ValueError(f"betas must be two numbers, got {betas}")
        return checked

    @property
    def lr(self) -> float:
        """The learning rate: reading gives that of the first group, setting sets that of every group."""
        return self.param_groups[0]["lr"]  # type: ignore[no-any-return]  # _checked made it a number

    @lr.setter
    def lr(self, lr: float) -> None:
        rate = self._checked({"lr": lr})["lr"]
        for group in self.param_groups:
            group["lr"] = rate

    # ---- stepping ----

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters:
            p.zero_grad()

    def step(self, closure: Callable[[], Any] | None = None) -> float | None:
        """Change every parameter by its gradient.

        Args:
            closure: if given, it is called first; it clears the gradients, computes the loss, calls ``backward``
                and returns the loss.

        Returns what the closure returned as a float, or None.
        """
        loss = None if closure is None else number_of(closure())
        for group, units in self._walk:
            self.update(group, self._pieces(group, units))
        return loss

    def memory(self, group: dict[str, Any]) -> dict[str, float]:  # noqa: ARG002  # for rules whose memory depends on it
        """The arrays to remember for every parameter, by name, with the number that fills them at the start."""
        return {}

    def update(
        self,
        group: dict[str, Any],  # noqa: ARG002  # the signature that rules fill in
        pieces: Iterable[tuple[Any, Any, dict[str, Any]]],  # noqa: ARG002  # likewise
    ) -> None:
        """The rule: for p, g and state in pieces, change the array p, and the arrays in state, in place.

        A piece is a parameter or, of a large one, a block: the rule must treat every element by itself.
        """
        raise TypeError(f"{type(self).__name__} does not define update()")

    def _pieces(self, group: dict[str, Any], units: list[tuple[Any, dict[str, Any], bool]]) -> Iterator[Any]:
        """(p, g, state) of every parameter of a group that has a gradient, in blocks that fit the cache."""
        memory, advance, decay = self.memory(group), self.advance, group.get("weight_decay")
        for unit, state, large in units:
            g = unit.grad
            if g is None:
                continue
            p = unit.data
            if memory and not state.keys() >= memory.keys():  # at the first step, or after an option has changed
                state.update((name, np.full_like(p, x)) for name, x in memory.items() if name not in state)
            state["step"] += 1
            if advance is not None:
                advance(group, state)
            if large or decay:
                for p_part, g_part, *arrays in blocks(p, g, *(state[name] for name in memory)):
                    g_part = self._decayed(group, p_part, g_part)
                    yield p_part, g_part, {**state, **dict(zip(memory, arrays, strict=True))}
            else:
                yield p, g, state
            unit.data = p

    def scalar(self, x: float) -> Any:
        """An option as a 0-d array: NumPy multiplies small arrays by it faster than by a Python number."""
        return x if self._dtype is None else _scalar(x, self._dtype)

    def _decayed(self, group: dict[str, Any], p: Any, g: Any) -> Any:
        """The gradient with weight decay; or shrink the parameter itself."""
        if not (decay := group.get("weight_decay")):
            return g
        if not group.get("decoupled_weight_decay", self.decoupled):
            return g + decay * p
        p *= 1.0 - group["lr"] * decay
        return g

    # ---- what is saved ----

    def state_dict(self) -> dict[str, Any]:
        """All options and all that is remembered, as numbers and copies of arrays under dotted names.

        ``param_groups.0.lr`` is an option of the first group, ``state.0.2.exp_avg`` an array of its third parameter,
        if that has made a step. The Values of a group count as one parameter, after its Tensors.

        >>> optimizer = Optimizer([Tensor([1.0])], lr=0.5)
        >>> optimizer.state_dict()
        {'param_groups.0.lr': 0.5}
        """
        saved: dict[str, Any] = {}
        for i, (group, units) in enumerate(self._walk):
            saved |= _named(f"param_groups.{i}", {name: group[name] for name in self.defaults})
            for j, (unit, state, _) in enumerate(units):
                if state["step"]:
                    kept = {name: np.full_like(unit.data, x) for name, x in self.memory(group).items()}
                    kept |= {name: state[name].copy() for name in kept if name in state}
                    saved |= _named(f"state.{i}.{j}", {name: state[name] for name in self.counters} | kept)
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave; the path then goes on bit for bit.

        Raises ValueError if names, shapes or dtypes differ from this optimizer's; the message lists all differences,
        and nothing has changed.
        """
        given = dict(state_dict)
        wrong: list[str] = []
        loaded: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for i, (group, units) in enumerate(self._walk):
            options = _taken(given, f"param_groups.{i}", self.defaults, wrong)
            try:
                options = self._checked(options)
            except ValueError as error:
                wrong.append(f"param_groups.{i}: {error}")
            for j, (unit, state, _) in enumerate(units):
                new = self.counters  # as before its first step
                if any(key.startswith(f"state.{i}.{j}.") for key in given):
                    like = self.counters | dict.fromkeys(self.memory(options), unit.data)
                    new = _taken(given, f"state.{i}.{j}", like, wrong)
                    bad = [name for name in self.counters if not _is_count(new[name])]
                    wrong += [f"state.{i}.{j}.{name}: must be finite and at least 0" for name in bad]
                loaded.append((state, new))
            loaded.append((group, {"params": group["params"], **options}))
        wrong += [f"{key}: unexpected" for key in given]
        if wrong:
            raise ValueError(
                f"the state does not fit this {type(self).__name__}; nothing was changed. Make the optimizer with the "
                "parameters, groups and options it was saved with:\n  " + "\n  ".join(wrong)
            )
        for old, new in loaded:
            old.clear()
            old.update((name, x.copy() if isinstance(x, np.ndarray) else x) for name, x in new.items())

    def snapshot(self) -> Callable[[], None]:
        """A function that puts the options and what is remembered back, as they are now; without a copy of the arrays.

        It is for undoing ``load_state_dict``, which replaces arrays and writes into none; ``step`` writes into them.

        >>> optimizer = Optimizer([Tensor([1.0])], lr=0.5)
        >>> put_back = optimizer.snapshot()
        >>> optimizer.load_state_dict({"param_groups.0.lr": 0.25})
        >>> put_back()
        >>> optimizer.lr
        0.5
        """
        kept = [(x, dict(x)) for group, units in self._walk for x in (group, *(state for _, state, _ in units))]

        def put_back() -> None:
            for x, content in kept:
                x.clear()
                x.update(content)

        return put_back

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={self.param_groups[0][name]}" for name in self.defaults)
        groups = f"{len(self.param_groups)} groups, the first with " if len(self.param_groups) > 1 else ""
        return f"{type(self).__name__}({groups}{options})"


_scalar = lru_cache(maxsize=64)(np.array)  # rates change rarely; nothing writes into them
_DATA, _GRAD = attrgetter("data"), attrgetter("grad")


class _Values:
    """Several Values as one array, with the data and the gradient of a Tensor."""

    def __init__(self, values: list[Value]) -> None:
        self.values = values

    @property
    def data(self) -> np.ndarray:
        return np.fromiter(map(_DATA, self.values), float, len(self.values))

    @data.setter
    def data(self, data: np.ndarray) -> None:
        for v, x in zip(self.values, data.tolist(), strict=True):
            v.data = x

    @property
    def grad(self) -> np.ndarray:
        return np.fromiter(map(_GRAD, self.values), float, len(self.values))

    @grad.setter
    def grad(self, grad: np.ndarray) -> None:
        for v, x in zip(self.values, grad.tolist(), strict=True):
            v.grad = x


def units_of(parameters: Iterable[Any]) -> list[Any]:
    """The Tensors, and all Values as one: things with an array ``data`` and an array (or None) ``grad``."""
    unique = list(dict.fromkeys(parameters))
    values = [p for p in unique if isinstance(p, Value)]
    return [p for p in unique if not isinstance(p, Value)] + ([_Values(values)] if values else [])


def blocks(written: np.ndarray, *others: np.ndarray) -> Any:
    """Walk over arrays of one shape and any layout in blocks; all but the second (the gradient) may be written."""
    if written.size <= BLOCK:
        yield written, *others
        return
    access: Any = [["readwrite"], ["readonly"], *[["readwrite"]] * len(others)][: 1 + len(others)]
    with np.nditer([written, *others], ["external_loop", "buffered"], access, buffersize=BLOCK) as walk:
        for block in walk:
            yield block if others else (block,)


def number_of(loss: Any) -> float:
    """The loss that a closure returned, as a float."""
    if isinstance(loss, (Value, Tensor)):
        return loss.item()
    if isinstance(loss, (int, float, np.number, np.ndarray)):
        return float(loss)
    raise TypeError(f"the closure must return the loss, got {type(loss).__name__}; end it with `return loss`")


def _named(prefix: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """The numbers and arrays under dotted names; those of a tuple by their positions."""
    named = {}
    for name, value in numbers.items():
        parts = {f".{i}": x for i, x in enumerate(value)} if isinstance(value, tuple) else {"": value}
        named.update({f"{prefix}.{name}{i}": x for i, x in parts.items()})
    return named


def _taken(given: dict[str, Any], prefix: str, template: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    """Take what a template describes out of the given state; note what is missing or of another kind."""
    taken = {}
    for name, like in template.items():
        found = []
        for key, expected in _named(prefix, {name: like}).items():
            value = given.pop(key, None)
            if _kind(value) != _kind(expected):
                got = "missing" if value is None else f"got {_kind(value)}"
                wrong.append(f"{key}: {got}, expected {_kind(expected)}")
                value = expected
            found.append(value)
        taken[name] = tuple(found) if isinstance(like, tuple) else found[0]
    return taken


def _is_count(x: Any) -> bool:
    try:
        return 0.0 <= float(x) < math.inf
    except OverflowError:  # an integer beyond the largest float
        return False


def _kind(x: Any) -> str:
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape} and dtype {x.dtype}"
    return "a number" if isinstance(x, (int, float, np.number, np.bool_)) else type(x).__name__
